// Bounds of linear reductions: γ(depth)·Σ|x| + Σe, then the rounding of the result.
import * as Tensors from "@anneal/ir/Tensor"
import type { BoundRule } from "../BoundRule.ts"
import { boundOf, magnitudes, rerun, resultOf, tensorOf } from "../BoundRule.ts"
import * as Elements from "../Elements.ts"
import * as Rounding from "../Rounding.ts"
import * as DTypes from "@anneal/ir/DType"

/** The same sum over γ|x| + e; one rounding more for the mean's division. */
export const sum: BoundRule = function* (call) {
  const x = call.input(0)
  const result = resultOf(call)
  const isFloat = DTypes.isFloat(x.dtype)
  if (!isFloat && call.bounds[0] === undefined) return [undefined]
  const errors = boundOf(call, 0)
  const terms = new Float64Array(errors.length)
  const depth = result.data.length === 0 ? 0 : Math.ceil(termsOf(x.shape, result.shape, call.attributes["kernel"]))
  const g = isFloat ? Rounding.gamma(depth, call.unitRoundoff(x.dtype)) : 0
  const sizes = magnitudes(Elements.numbers(x))
  for (let i = 0; i < terms.length; i++) terms[i] = g * (sizes[i] ?? 0) + (errors[i] ?? 0)
  const bound = yield* rerun(call, [tensorOf(x.shape, terms)])
  // Means of integers truncate.
  if (!isFloat && call.node.op.name !== "reduceSum")
    for (let i = 0; i < bound.length; i++) bound[i] = (bound[i] ?? 0) + 1
  return [Rounding.addHalfUlp(bound, Elements.numbers(result), result.dtype)]
}

/** Elements that a result sums: of a window, or of a reduced row. */
const termsOf = (input: ReadonlyArray<number>, output: ReadonlyArray<number>, kernel: unknown): number => {
  if (!Array.isArray(kernel)) return Tensors.size(input) / Tensors.size(output)
  const extents: ReadonlyArray<unknown> = kernel
  return extents.reduce<number>((product, extent) => product * Number(extent), 1) + 1
}
