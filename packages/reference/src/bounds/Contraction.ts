// Bounds of contractions over `depth` terms: γ(depth)·Σ|a||b| + Σ|a|·eb + ea·|b| + ea·eb, then the rounding of the result.
//
// As two products at most: (γ|a| + ea)·|b| + (|a| + ea)·eb, the second only where b has errors.
import * as DTypes from "@anneal/ir/DType"
import type { BoundRule, RuleCall } from "../BoundRule.ts"
import { boundOf, hasErrors, magnitudes, rerun, resultOf, tensorOf } from "../BoundRule.ts"
import * as Elements from "../Elements.ts"
import type { Work } from "../Kernel.ts"
import * as Rounding from "../Rounding.ts"

/** Terms of a result: the contracted extent, or channels and taps of a convolution; one more for a bias. */
const depthOf = (call: RuleCall): number => {
  const [a, b] = [call.input(0), call.input(1)]
  if (call.node.op.name === "matmul") return a.shape.at(-1) ?? 1
  const taps = b.shape.slice(2).reduce((product, extent) => product * extent, 1)
  const channels = call.node.op.name === "conv" ? (b.shape[1] ?? 1) : (b.shape[0] ?? 1)
  return channels * taps + (call.inputs[2] === undefined ? 0 : 1)
}

export const contraction: BoundRule = function* (call) {
  const [a, b] = [call.input(0), call.input(1)]
  const result = resultOf(call)
  const isFloat = DTypes.isFloat(a.dtype)
  if (!isFloat && !call.bounds.some(hasErrors)) return [undefined]
  const g = isFloat ? Rounding.gamma(depthOf(call), call.unitRoundoff(a.dtype)) : 0
  const [sizesA, sizesB] = [magnitudes(Elements.numbers(a)), magnitudes(Elements.numbers(b))]
  const [errorsA, errorsB] = [boundOf(call, 0), call.bounds[1]]
  const left = new Float64Array(sizesA.length)
  for (let i = 0; i < left.length; i++) left[i] = g * (sizesA[i] ?? 0) + (errorsA[i] ?? 0)
  const bias = call.inputs[2]
  // The bias is a term like any other: γ|c| + ec.
  const biasTerm = bias === undefined ? undefined : magnitudes(Elements.numbers(bias))
  const biasErrors = boundOf(call, 2)
  if (biasTerm !== undefined)
    for (let i = 0; i < biasTerm.length; i++) biasTerm[i] = g * (biasTerm[i] ?? 0) + (biasErrors[i] ?? 0)
  const bound = yield* product(call, left, sizesB, biasTerm)
  if (errorsB !== undefined && hasErrors(errorsB)) {
    for (let i = 0; i < sizesA.length; i++) sizesA[i] = (sizesA[i] ?? 0) + (errorsA[i] ?? 0)
    const second = yield* product(call, sizesA, errorsB, undefined)
    for (let i = 0; i < bound.length; i++) bound[i] = (bound[i] ?? 0) + (second[i] ?? 0)
  }
  return [Rounding.addHalfUlp(bound, Elements.numbers(result), result.dtype)]
}

function* product(
  call: RuleCall,
  a: Float64Array,
  b: Float64Array,
  bias: Float64Array | undefined
): Work<Float64Array> {
  const inputs = [tensorOf(call.input(0).shape, a), tensorOf(call.input(1).shape, b)]
  return yield* rerun(call, bias === undefined ? inputs : [...inputs, tensorOf([bias.length], bias)])
}
