/**
 * IndexRanges: what operands may hold, so that every index that is computed from them is inside what it indexes.
 *
 *   table[ids]          ⇒  ids in 0 … rows - 1
 *   table[2 * ids + 1]  ⇒  ids in 0 … (rows - 2) / 2
 *   scatter(x, ids, …)  ⇒  as the op's domain says
 */
import * as DTypes from "@anneal/ir/DType"
import type { DType } from "@anneal/ir/DType"
import type { Dim } from "@anneal/ir/Dim"
import type { Region, Whole } from "@anneal/lower/Region"
import * as Regions from "@anneal/lower/Region"
import type { Indirection, Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"

/** What an operand may hold, where its type does not say it. */
export interface Range {
  readonly least: number
  readonly greatest: number
}

type Interval = readonly [least: number, greatest: number]

const unknown: Interval = [-Infinity, Infinity]

const hull = (...values: ReadonlyArray<number>): Interval =>
  values.some(Number.isNaN) ? unknown : [Math.min(...values), Math.max(...values)]

const ofBinary = (op: string, a: Interval, b: Interval): Interval => {
  switch (op) {
    case "add":
      return hull(a[0] + b[0], a[1] + b[1])
    case "sub":
      return hull(a[0] - b[1], a[1] - b[0])
    case "mul":
      return hull(a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1])
    case "div":
      // One more each way, as integers round.
      return b[0] > 0 ? hull(Math.min(a[0], 0) - 1, Math.max(a[1], 0)) : unknown
    case "mod":
      return b[0] > 0 && b[1] < Infinity ? [a[0] < 0 ? -b[1] : 0, b[1]] : unknown
    case "min":
      return [Math.min(a[0], b[0]), Math.min(a[1], b[1])]
    case "max":
      return [Math.max(a[0], b[0]), Math.max(a[1], b[1])]
    default:
      return unknown
  }
}

const ofUnary = (op: string, x: Interval): Interval => {
  switch (op) {
    case "neg":
      return [-x[1], -x[0]]
    case "abs":
      return [0, Math.max(Math.abs(x[0]), Math.abs(x[1]))]
    case "sign":
      return [-1, 1]
    case "floor":
    case "ceil":
    case "round":
      return [Math.floor(x[0]), Math.ceil(x[1])]
    default:
      return unknown
  }
}

interface Setting {
  readonly size: (dim: Dim) => number
  /** Of the region's domain. */
  readonly extents: ReadonlyArray<number>
  /** What earlier stages of the region make, by name; sums and the like are not known. */
  readonly stages: ReadonlyMap<string, Scalar>
}

/** Bounds of an index, when every operand that it is computed from holds 0 … `greatest`. */
const intervalOf = (index: Scalar, greatest: (dtype: DType) => number, setting: Setting): Interval => {
  const { extents, size, stages } = setting
  const known = new Map<Scalar, Interval>()
  const at = (part: Scalar): Interval => known.get(part) ?? unknown
  const own = (part: Scalar): Interval => {
    switch (part.kind) {
      case "load":
        return [0, greatest(part.dtype)]
      case "constant":
        return [Number(part.value), Number(part.value)]
      case "dim":
        return [size(part.dim), size(part.dim)]
      case "index":
        return [0, Math.max(0, (extents[part.axis] ?? Infinity) - 1)]
      case "previous": {
        const stage = stages.get(part.name)
        return stage === undefined ? unknown : intervalOf(stage, greatest, setting)
      }
      case "unary":
        return DTypes.isInteger(part.dtype) || DTypes.isFloat(part.dtype) ? ofUnary(part.op, at(part.x)) : [0, 1]
      case "binary":
        // `index < 0` decides which end an index counts from.
        if (part.op === "less" && at(part.a)[0] >= at(part.b)[1]) return [0, 0]
        return part.dtype === "bool" ? [0, 1] : ofBinary(part.op, at(part.a), at(part.b))
      case "fma":
        return ofBinary("add", ofBinary("mul", at(part.a), at(part.b)), at(part.c))
      case "select":
        return at(part.condition)[1] === 0 ? at(part.b) : hull(...at(part.a), ...at(part.b))
      case "cast":
        return part.dtype === "bool" ? [0, 1] : [Math.floor(at(part.x)[0]), Math.ceil(at(part.x)[1])]
    }
  }
  for (const part of Scalars.parts([index])) known.set(part, own(part))
  return at(index)
}

/** The most that a dtype holds of what an index needs. */
const limited = (dtype: DType, greatest: number): number => {
  if (dtype === "bool") return Math.min(1, greatest)
  return DTypes.isInteger(dtype) && DTypes.bits(dtype) <= 8
    ? Math.min(Number(DTypes.integerRange(dtype).max), greatest)
    : greatest
}

/** The greatest number that operands may hold; all of the extent where nothing helps. */
const greatestOf = ({ extent, index }: Indirection, setting: Setting): number => {
  const last = setting.size(extent) - 1
  const fits = (greatest: number): boolean => {
    const [low, high] = intervalOf(index, (dtype) => limited(dtype, greatest), setting)
    return low >= -last - 1 && high <= last
  }
  if (fits(last) || !fits(0)) return last
  let [good, bad] = [0, last]
  while (bad - good > 1) {
    const middle = Math.floor((good + bad) / 2)
    if (fits(middle)) good = middle
    else bad = middle
  }
  return good
}

const ofWhole = ({ node, operands }: Whole, size: Setting["size"]): ReadonlyMap<number, Range> => {
  const types = operands.map((view) => (view === null ? undefined : { dtype: view.dtype, shape: view.shape }))
  return new Map(
    operands.flatMap((view, operand) => {
      const domain = view === null ? undefined : node.op.domain?.(operand, types, node.attributes)
      return domain?.kind === "index" ? [[operand, { least: 0, greatest: size(domain.extent) - 1 }]] : []
    })
  )
}

/** By number of the read. `values`: the region's expressions, whose loads count reads from `first` on. */
export const of = (
  region: Region,
  values: ReadonlyArray<Scalar>,
  first: number,
  size: Setting["size"]
): ReadonlyMap<number, Range> => {
  if (region.kind === "whole") return ofWhole(region, size)
  const [result] = Regions.writes(region)
  const named = region.kind === "rows" ? region.stages.filter(({ kind }) => kind !== "reduce") : []
  const stages = new Map(named.map(({ name, value }) => [name, value]))
  const setting = { size, extents: (result?.shape ?? []).map(size), stages }
  const found = new Map<number, Range>()
  const all = Scalars.parts(values)
  // What an earlier stage of the region made comes from any of its loads: integers among them may be indices.
  const leavesOf = (index: Scalar): ReadonlyArray<Scalar> => {
    const own = Scalars.parts([index])
    return own.some(({ kind }) => kind === "previous")
      ? [...own, ...all.filter(({ dtype }) => DTypes.isInteger(dtype))]
      : own
  }
  for (const part of all)
    for (const step of part.kind === "load" ? (part.indirect ?? []) : []) {
      const most = greatestOf(step, setting)
      for (const leaf of leavesOf(step.index))
        if (leaf.kind === "load") {
          const read = first + leaf.operand
          const greatest = limited(leaf.dtype, Math.min(found.get(read)?.greatest ?? Infinity, most))
          found.set(read, { least: 0, greatest })
        }
    }
  return found
}
