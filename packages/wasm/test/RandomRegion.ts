/**
 * RandomRegion: random buffers, views and scalar expressions for property tests, all from a seed.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Numbers from "@anneal/ir/Numbers"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import * as ScalarOp from "@anneal/lower/ScalarOp"
import type { View } from "@anneal/lower/View"
import { fractions } from "./Random.ts"

export interface Random {
  /** In [0, 1). */
  readonly next: () => number
  /** In [0, count). */
  readonly below: (count: number) => number
  readonly pick: <A>(items: ReadonlyArray<A>) => A
}

export const random = (seed: number): Random => {
  const next = fractions(seed)
  const below = (count: number): number => Math.floor(next() * count)
  return {
    next,
    below,
    pick: (items) => {
      const item = items[below(items.length)]
      if (item === undefined) throw new Error("nothing to pick from")
      return item
    }
  }
}

const special = [0, -0, 1, -1, Infinity, -Infinity, NaN, 0.5, 2.5, -1.5, 1e10, -3e9, 65504, 70000, 1e-7, 255, 128, -129]

/** Elements of a dtype: most of them small, some special. `tame`: finite and small only. */
export const elements = (r: Random, dtype: DType, length: number, tame = false) => {
  const values = Array.from({ length }, () => {
    if (dtype === "bool") return r.below(2)
    if (!tame && r.next() < 0.1) {
      const value = r.pick(special)
      return DTypes.isFloat(dtype) || Number.isFinite(value) ? value : 7
    }
    return DTypes.isFloat(dtype) ? (r.next() - 0.5) * 8 : Math.floor((r.next() - 0.3) * 40)
  })
  return Numbers.fromNumbers(dtype, [length], values).data
}

/** A view of the domain on a new buffer: axes in a random order, some broadcast, some with gaps, some backwards. */
export const view = (
  r: Random,
  buffer: string,
  dtype: DType,
  domain: ReadonlyArray<number>,
  options: { readonly broadcast?: boolean; readonly shuffled?: boolean } = {}
): { readonly view: View; readonly length: number } => {
  const order = domain.map((_, axis) => axis)
  if (options.shuffled !== false && r.next() < 0.4) order.sort(() => r.next() - 0.5)
  const strides = domain.map(() => 0)
  let step = r.next() < 0.15 ? 2 : 1
  let offset = r.below(3)
  let last = offset
  for (const axis of order.toReversed()) {
    const extent = domain[axis] ?? 1
    if (options.broadcast === true && r.next() < 0.25) continue
    const backwards = r.next() < 0.1
    strides[axis] = backwards ? -step : step
    const span = Math.max(0, extent - 1) * step
    if (backwards) offset += span
    last += span
    step *= extent
    if (r.next() < 0.15) step += r.below(3)
  }
  return { view: { buffer, dtype, shape: domain, offset, strides }, length: last + 1 + r.below(4) }
}

/** What gives numbers, rounded correctly or exact, on floats and on integers. */
const unaryOn = (operand: ScalarOp.Operand) =>
  ScalarOp.allUnary.filter(
    (op) => ScalarOp.isUnaryOn(op, operand) && !ScalarOp.isElementary(op) && op !== "isNaN" && op !== "isInf"
  )
const binaryOn = (operand: ScalarOp.Operand) =>
  ScalarOp.allBinary.filter((op) => ScalarOp.isBinaryOn(op, operand) && !ScalarOp.isComparison(op))
const floatUnary = unaryOn("float")
const floatBinary = binaryOn("float").filter((op) => op !== "pow")
const integerUnary = unaryOn("integer").filter((op) => op !== "neg")
const integerBinary = binaryOn("integer")
const comparisons = ScalarOp.allBinary.filter(ScalarOp.isComparison)

/** An expression of a dtype from leaves; every op in it is rounded correctly or exact. */
export const expression = (
  r: Random,
  dtype: DType,
  depth: number,
  leaf: (dtype: DType) => Scalar,
  dtypes: ReadonlyArray<DType>
): Scalar => {
  if (depth === 0) return leaf(dtype)
  const go = (one: DType): Scalar => expression(r, one, depth - 1, leaf, dtypes)
  const choice = r.next()
  if (choice < 0.15) return leaf(dtype)
  if (choice < 0.35) return Scalars.cast(go(r.pick(dtypes)), dtype, r.next() < 0.5)
  if (choice < 0.45) return Scalars.select(go("bool"), go(dtype), go(dtype))
  if (dtype === "bool") {
    const kind = r.pick(dtypes.filter((one) => one !== "bool"))
    if (choice < 0.7) return Scalars.binary(r.pick(comparisons), go(kind), go(kind), "bool")
    if (choice < 0.8) return Scalars.unary("not", go("bool"))
    return Scalars.binary(r.pick(["and", "or", "xor"] as const), go("bool"), go("bool"))
  }
  if (DTypes.isFloat(dtype)) {
    if (choice < 0.6) return Scalars.unary(r.pick(floatUnary), go(dtype))
    const made = Scalars.binary(r.pick(floatBinary), go(dtype), go(dtype))
    if (made.kind === "binary" && made.op === "mod")
      return { ...made, attributes: { rounding: r.pick(["floor", "truncate"]) } }
    return made
  }
  if (choice < 0.6) {
    const op = r.pick(DTypes.isSigned(dtype) ? [...integerUnary, "neg" as const] : integerUnary)
    return Scalars.unary(op, go(dtype))
  }
  const made = Scalars.binary(r.pick(integerBinary), go(dtype), go(dtype))
  if (made.kind === "binary" && made.op === "mod")
    return { ...made, attributes: { rounding: r.pick(["floor", "truncate"]) } }
  return made
}
