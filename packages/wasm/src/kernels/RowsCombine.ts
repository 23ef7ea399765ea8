/**
 * RowsCombine: accumulators of reductions, of four lanes and of one element.
 *
 * Extremes of f32 are NaN if any value is: the comparison of each step forgets NaN, so a second accumulator notes where one was.
 * Positions of extremes follow the oracle: NaN wins; the first of equals, or the last.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Binary } from "@anneal/lower/ScalarOp"
import * as Scalars from "@anneal/lower/Scalar"
import type { Expr, I32, V128, ValueType } from "../Instruction.ts"
import { f32x4, i32, i32x4, i64, select, v128 } from "../Instruction.ts"
import * as Lanes from "../Lanes.ts"
import type { Local } from "../ModuleBuilder.ts"
import * as SingleOps from "../SingleOps.ts"
import * as VectorOps from "../VectorOps.ts"
import type { Writer } from "../Writer.ts"
import type { Reduce } from "./RowsPlan.ts"

export const isPosition = ({ combine }: Reduce): boolean => combine.startsWith("arg")

const operation = ({ combine }: Reduce): Binary => {
  switch (combine) {
    case "sum":
      return "add"
    case "prod":
      return "mul"
    case "max":
    case "argMaxFirst":
    case "argMaxLast":
      return "max"
    default:
      return "min"
  }
}

/** What combining nothing gives. */
const identity = (stage: Reduce): number | bigint => {
  const { dtype } = stage
  const op = operation(stage)
  const big = DTypes.isBig(dtype)
  if (op === "add") return big ? 0n : 0
  if (op === "mul") return big ? 1n : 1
  if (DTypes.isFloat(dtype)) return op === "max" ? -Infinity : Infinity
  const { max, min } = DTypes.integerRange(dtype)
  const extreme = op === "max" ? min : max
  return big ? extreme : Number(extreme)
}

const sample = Scalars.constant("f32", Number.NaN)
const join = (w: Writer, stage: Reduce, a: Lanes.Lanes, b: Lanes.Lanes): Lanes.Lanes =>
  VectorOps.binary(w, operation(stage), stage.dtype, a, b, undefined, [sample, sample])
const joinOne = (w: Writer, stage: Reduce, a: Expr, b: Expr): Expr =>
  SingleOps.binary(w, operation(stage), stage.dtype, a, b, undefined)

/** Locals that hold lanes. */
const localsFor = (w: Writer, dtype: DType): ReadonlyArray<Local<"v128">> =>
  DTypes.slotBytes(dtype) === 8 ? [w.f.local("v128"), w.f.local("v128")] : [w.f.local("v128")]
const read = (w: Writer, locals: ReadonlyArray<Local<"v128">>): Lanes.Lanes => {
  const [low, high] = locals.map((local) => w.f.get(local))
  if (low === undefined) throw new Error("an accumulator has a part")
  return high === undefined ? [low] : [low, high]
}
const write = (w: Writer, locals: ReadonlyArray<Local<"v128">>, lanes: Lanes.Lanes): void => {
  // All parts are computed before the first is written.
  const kept = lanes.map((part) => w.keep(part))
  locals.forEach((local, i) => {
    const part = kept[i]
    if (part !== undefined) w.f.set(local, part)
  })
}

const typeOf: { readonly [K in Lanes.Kind]: ValueType } = {
  f32: "f32",
  i32: "i32",
  bool: "i32",
  f64: "f64",
  i64: "i64"
}

/** Sums, products and extremes of lanes. */
export class VectorAccumulator {
  readonly #w: Writer
  readonly #stage: Reduce
  readonly #total: ReadonlyArray<Local<"v128">>
  readonly #nan: Local<"v128"> | undefined

  constructor(w: Writer, stage: Reduce) {
    this.#w = w
    this.#stage = stage
    this.#total = localsFor(w, stage.dtype)
    this.#nan =
      stage.dtype === "f32" && operation(stage) !== "add" && operation(stage) !== "mul" ? w.f.local("v128") : undefined
  }

  #identity(): Lanes.Lanes {
    return VectorOps.constant(this.#w, this.#stage.dtype, identity(this.#stage))
  }

  reset(): void {
    write(this.#w, this.#total, this.#identity())
    if (this.#nan !== undefined) this.#w.f.set(this.#nan, this.#w.splatI32(0))
  }

  add(value: Lanes.Lanes, mask?: V128): void {
    const w = this.#w
    const counted = mask === undefined ? value : VectorOps.choose(w, [mask], value, this.#identity())
    if (this.#nan === undefined) return write(w, this.#total, join(w, this.#stage, read(w, this.#total), counted))
    const x = w.keep(counted[0])
    const [total] = read(w, this.#total)
    write(w, this.#total, [operation(this.#stage) === "max" ? f32x4.pmax(total, x) : f32x4.pmin(total, x)])
    w.f.set(this.#nan, v128.or(w.f.get(this.#nan), f32x4.ne(x, x)))
  }

  /** Takes another accumulator in. */
  merge(other: VectorAccumulator): void {
    const w = this.#w
    if (this.#nan !== undefined && other.#nan !== undefined)
      w.f.set(this.#nan, v128.or(w.f.get(this.#nan), w.f.get(other.#nan)))
    const [a, b] = [read(w, this.#total), read(w, other.#total)]
    if (this.#nan === undefined) return write(w, this.#total, join(w, this.#stage, a, b))
    write(w, this.#total, [operation(this.#stage) === "max" ? f32x4.pmax(a[0], b[0]) : f32x4.pmin(a[0], b[0])])
  }

  lanes(): Lanes.Lanes {
    const total = read(this.#w, this.#total)
    if (this.#nan === undefined) return total
    return [v128.or(total[0], this.#w.f.get(this.#nan))]
  }

  /** All four lanes as one. */
  one(): Expr {
    const w = this.#w
    const { dtype } = this.#stage
    const lanes = Lanes.map(this.lanes(), (part) => w.keep(part))
    const [a, b, c, d] = [0, 1, 2, 3].map((lane) => Lanes.extract(dtype, lanes, lane))
    if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error("four lanes")
    return joinOne(w, this.#stage, joinOne(w, this.#stage, a, c), joinOne(w, this.#stage, b, d))
  }
}

/** Sums, products and extremes of elements, one by one. */
export class SingleAccumulator {
  readonly #w: Writer
  readonly #stage: Reduce
  readonly #total: Local

  constructor(w: Writer, stage: Reduce) {
    this.#w = w
    this.#stage = stage
    this.#total = w.f.local(typeOf[Lanes.kindOf(stage.dtype)])
  }

  reset(): void {
    this.#w.f.set(this.#total, SingleOps.constant(this.#stage.dtype, identity(this.#stage)))
  }

  add(value: Expr): void {
    this.#w.f.set(this.#total, joinOne(this.#w, this.#stage, this.one(), value))
  }

  one(): Expr {
    return this.#w.f.get(this.#total)
  }
}

/** Positions of extremes, element by element. `dtype`: of the values. */
export class SinglePosition {
  readonly #w: Writer
  readonly #stage: Reduce
  readonly #dtype: DType
  readonly #best: Local
  readonly #at: Local<"i32">

  constructor(w: Writer, stage: Reduce, dtype: DType) {
    this.#w = w
    this.#stage = stage
    this.#dtype = dtype
    this.#best = w.f.local(typeOf[Lanes.kindOf(dtype)])
    this.#at = w.f.local("i32")
  }

  reset(): void {
    this.#w.f.set(this.#at, i32.const(-1))
  }

  add(value: Expr, index: I32): void {
    const w = this.#w
    const x = w.keep(value)
    const best = w.f.get(this.#best)
    const compare = (op: Binary, a: Expr, b: Expr): I32 => ({
      type: "i32",
      code: SingleOps.binary(w, op, this.#dtype, a, b, undefined).code
    })
    const worse: Binary = operation(this.#stage) === "max" ? "lessOrEqual" : "greaterOrEqual"
    const strictly: Binary = operation(this.#stage) === "max" ? "less" : "greater"
    const bestIsNumber = compare("equal", best, best)
    const isLast = this.#stage.combine.endsWith("Last")
    const better = isLast
      ? i32.or(i32.and(i32.eqz(compare(strictly, x, best)), bestIsNumber), i32.eqz(compare("equal", x, x)))
      : i32.and(i32.eqz(compare(worse, x, best)), bestIsNumber)
    const takes = w.keep(i32.or(i32.lt_s(w.f.get(this.#at), i32.const(0)), better))
    w.f.set(this.#best, select(takes, x, best))
    w.f.set(this.#at, select(takes, index, w.f.get(this.#at)))
  }

  /** Takes in another's best: of equal ones the first position, or the last. Nothing where its position is negative. */
  join(value: Expr, index: I32): void {
    const w = this.#w
    const x = w.keep(value)
    const at = w.keep(index)
    const best = w.f.get(this.#best)
    const here = w.f.get(this.#at)
    const compare = (op: Binary, a: Expr, b: Expr): I32 => ({
      type: "i32",
      code: SingleOps.binary(w, op, this.#dtype, a, b, undefined).code
    })
    const isNumber = (a: Expr): I32 => compare("equal", a, a)
    const strictly: Binary = operation(this.#stage) === "max" ? "greater" : "less"
    const better = i32.or(compare(strictly, x, best), i32.and(i32.eqz(isNumber(x)), isNumber(best)))
    const ties = i32.or(compare("equal", x, best), i32.and(i32.eqz(isNumber(x)), i32.eqz(isNumber(best))))
    const nearer = this.#stage.combine.endsWith("Last") ? i32.gt_s(at, here) : i32.lt_s(at, here)
    const wins = i32.or(i32.lt_s(here, i32.const(0)), i32.or(better, i32.and(ties, nearer)))
    const takes = w.keep(i32.and(i32.ge_s(at, i32.const(0)), wins))
    w.f.set(this.#best, select(takes, x, best))
    w.f.set(this.#at, select(takes, at, w.f.get(this.#at)))
  }

  /** The position, as i64; 0 of nothing. */
  one(): Expr {
    const at = this.#w.f.get(this.#at)
    return i64.extend_i32_s(select(i32.lt_s(at, i32.const(0)), i32.const(0), at))
  }
}

/** Positions of extremes in each of four lanes; values of 32 bits. */
export class VectorPosition {
  readonly #w: Writer
  readonly #stage: Reduce
  readonly #dtype: DType
  readonly #best: Local<"v128">
  readonly #at: Local<"v128">

  constructor(w: Writer, stage: Reduce, dtype: DType) {
    this.#w = w
    this.#stage = stage
    this.#dtype = dtype
    this.#best = w.f.local("v128")
    this.#at = w.f.local("v128")
  }

  reset(): void {
    this.#w.f.set(this.#at, this.#w.splatI32(-1))
    this.#w.f.set(this.#best, this.#w.splatI32(0))
  }

  /** `index`: of each lane. `mask`: the lanes that count. */
  add(value: Lanes.Lanes, index: V128, mask?: V128): void {
    const w = this.#w
    const x = w.keep(value[0])
    const best = w.f.get(this.#best)
    const compare = (op: Binary, a: V128, b: V128): V128 =>
      VectorOps.binary(w, op, this.#dtype, [a], [b], undefined, [sample, sample])[0]
    const worse: Binary = operation(this.#stage) === "max" ? "lessOrEqual" : "greaterOrEqual"
    const strictly: Binary = operation(this.#stage) === "max" ? "less" : "greater"
    const bestIsNumber = compare("equal", best, best)
    const isLast = this.#stage.combine.endsWith("Last")
    const better = isLast
      ? v128.or(v128.andnot(bestIsNumber, compare(strictly, x, best)), v128.not(compare("equal", x, x)))
      : v128.andnot(bestIsNumber, compare(worse, x, best))
    const wins = v128.or(i32x4.lt_s(w.f.get(this.#at), w.splatI32(0)), better)
    const takes = w.keep(mask === undefined ? wins : v128.and(wins, mask))
    w.f.set(this.#best, v128.bitselect(x, best, takes))
    w.f.set(this.#at, v128.bitselect(index, w.f.get(this.#at), takes))
  }

  /** Hands each lane's best on. */
  joinInto(single: SinglePosition): void {
    for (let lane = 0; lane < 4; lane++)
      single.join(
        Lanes.extract(this.#dtype, [this.#w.f.get(this.#best)], lane),
        i32x4.extract_lane(this.#w.f.get(this.#at), lane)
      )
  }

  lanes(): Lanes.Lanes {
    const at = i32x4.max_s(this.#w.f.get(this.#at), this.#w.splatI32(0))
    return Lanes.widen(this.#w, at)
  }
}
