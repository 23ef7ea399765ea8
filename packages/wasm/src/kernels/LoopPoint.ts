/**
 * LoopPoint: reads a region's operands along one axis, by pointers: as four neighbours or as one element; and takes out of
 * expressions what does not change along that axis.
 *
 * An index of an indirection counts from the end when negative; out of range it stops the code (`CheckedIndex`).
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Indirection, Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import type { Expr, I32 } from "../Instruction.ts"
import { i32, i32x4, i64 } from "../Instruction.ts"
import * as Lanes from "../Lanes.ts"
import type { Environment } from "../ScalarCode.ts"
import * as ScalarCode from "../ScalarCode.ts"
import type { Writer } from "../Writer.ts"
import { checkedIndex } from "./CheckedIndex.ts"

export const bytesOf = (dtype: DType): number => DTypes.slotBytes(dtype)

/** A number where it is known, else code. */
export type Size = number | I32

export const sizeCode = (size: Size): I32 => (typeof size === "number" ? i32.const(size) : size)

/** a · b, folded where both are known. */
export const times = (a: Size, b: Size): Size => {
  if (typeof a === "number" && typeof b === "number") return a * b
  if (a === 0 || b === 0) return 0
  if (a === 1) return b
  if (b === 1) return a
  return i32.mul(sizeCode(a), sizeCode(b))
}

export const plus = (a: I32, b: Size): I32 => (b === 0 ? a : i32.add(a, sizeCode(b)))

/** A dim as a number, or in a local that is set here. */
export const sizeHere = (w: Writer, dim: Dim.Dim): Size =>
  typeof dim === "number" ? dim : w.emission.hoisted(w.f, dim)

/** What is stored of a value: a store rounds to the narrow float that it is of, so a cast to one just before need not. */
export const unrounded = (value: Scalar): Scalar =>
  value.kind === "cast" && (value.dtype === "f16" || value.dtype === "bf16") && value.x.dtype === "f32"
    ? value.x
    : value

// ---- what does not change along the axis ----------------------------------------------------------------------------

/** An operand with indirections that do not change along the axis: another operand there. */
export interface Displaced {
  readonly operand: number
  readonly steps: ReadonlyArray<Indirection>
}

export interface Split {
  /** The expressions, with invariant parts as `previous`, and displaced operands numbered after the others. */
  readonly values: ReadonlyArray<Scalar>
  readonly invariants: ReadonlyArray<{ readonly name: string; readonly value: Scalar }>
  readonly displaced: ReadonlyArray<Displaced>
}

export interface Variation {
  /** Operands that move along the axis. */
  readonly operand: (operand: number) => boolean
  readonly index: (axis: number) => boolean
  readonly previous: (name: string) => boolean
  /** Whether an operand whose indirections do not vary becomes a displaced one; else it stays as it is. Default: it does. */
  readonly displaces?: boolean
}

/** Takes apart what is the same all along the axis. `count`: how many operands there are. */
export const split = (values: ReadonlyArray<Scalar>, variation: Variation, count: number): Split => {
  const invariants: Array<{ readonly name: string; readonly value: Scalar }> = []
  const displaced: Array<Displaced> = []
  const varies = new Map<Scalar, boolean>()
  const isVarying = (scalar: Scalar): boolean => {
    const known = varies.get(scalar)
    if (known !== undefined) return known
    const own =
      (scalar.kind === "load" && variation.operand(scalar.operand)) ||
      (scalar.kind === "index" && variation.index(scalar.axis)) ||
      (scalar.kind === "previous" && variation.previous(scalar.name))
    const result = own || Scalars.children(scalar).some(isVarying)
    varies.set(scalar, result)
    return result
  }
  const done = new Map<Scalar, Scalar>()
  const visit = (scalar: Scalar): Scalar => {
    const known = done.get(scalar)
    if (known !== undefined) return known
    const result = change(scalar)
    done.set(scalar, result)
    return result
  }
  const change = (scalar: Scalar): Scalar => {
    if (scalar.kind === "constant" || (scalar.kind === "previous" && !isVarying(scalar))) return scalar
    if (!isVarying(scalar)) {
      const name = `invariant ${invariants.length}`
      invariants.push({ name, value: scalar })
      return Scalars.previous(name, scalar.dtype)
    }
    switch (scalar.kind) {
      case "load": {
        const { indirect } = scalar
        if (indirect === undefined) return scalar
        if (variation.displaces === false || indirect.some(({ index }) => isVarying(index)))
          return { ...scalar, indirect: indirect.map((step) => ({ ...step, index: visit(step.index) })) }
        displaced.push({ operand: scalar.operand, steps: indirect })
        return Scalars.load(count + displaced.length - 1, scalar.dtype)
      }
      case "index":
      case "dim":
      case "previous":
        return scalar
      case "unary":
      case "cast":
        return { ...scalar, x: visit(scalar.x) }
      case "binary":
        return { ...scalar, a: visit(scalar.a), b: visit(scalar.b) }
      case "fma":
        return { ...scalar, a: visit(scalar.a), b: visit(scalar.b), c: visit(scalar.c) }
      case "select":
        return { ...scalar, condition: visit(scalar.condition), a: visit(scalar.a), b: visit(scalar.b) }
    }
  }
  return { values: values.map(visit), invariants, displaced }
}

// ---- reading --------------------------------------------------------------------------------------------------------

/** An operand along the axis. */
export interface Pointer {
  readonly dtype: DType
  /** Address of the present element. */
  readonly address: I32
  /** Elements from one to the next along the axis. */
  readonly stride: Size
}

export interface Point {
  readonly w: Writer
  readonly pointer: (operand: number) => Pointer
  /** The present index of a domain's axis; `along`: it is the axis that is gone along. */
  readonly index: (axis: number) => { readonly at: I32; readonly along: boolean }
  /** Invariants and stages, one element each. */
  readonly previous: (name: string, dtype: DType) => Expr
  /** Values that differ along the axis; undefined when the name is none. */
  readonly lanes?: (name: string, dtype: DType) => Lanes.Lanes | undefined
}

/** Bytes that one step of an indirection moves. */
const displacement = (w: Writer, step: Indirection, index: Expr, bytes: number): I32 =>
  i32.mul(checkedIndex(w, index, step.index.dtype, step.extent), sizeCode(sizeHere(w, Dim.mul(step.stride, bytes))))

/** The address of a displaced operand's element. */
export const displacedAddress = (point: Point, { operand, steps }: Displaced, environment: Environment<Expr>): I32 => {
  const { address, dtype } = point.pointer(operand)
  const indices = ScalarCode.single(
    point.w,
    steps.map(({ index }) => index),
    environment
  )
  return steps.reduce(
    (sum, step, i) => i32.add(sum, displacement(point.w, step, indices[i] ?? i32.const(0), bytesOf(dtype))),
    address
  )
}

/** One element, `offset` elements on along the axis. */
export const single = (point: Point, offset: number): Environment<Expr> => {
  const { w } = point
  return {
    load: ({ dtype, indirect, operand }, evaluate) => {
      const { address, stride } = point.pointer(operand)
      const bytes = bytesOf(dtype)
      const away = times(stride, offset * bytes)
      const indices = (indirect ?? []).map((step) => displacement(w, step, evaluate(step.index), bytes))
      const moved = indices.reduce((sum, one) => i32.add(sum, one), address)
      return typeof away === "number" && away >= 0
        ? Lanes.loadOne(w, dtype, moved, away)
        : Lanes.loadOne(w, dtype, plus(moved, away))
    },
    previous: (name, dtype) => point.previous(name, dtype),
    index: (axis, dtype) => {
      const { along, at } = point.index(axis)
      const here = along && offset !== 0 ? i32.add(at, i32.const(offset)) : at
      return dtype === "i64" ? i64.extend_i32_s(here) : here
    }
  }
}

/** Four neighbours, from `offset` elements on along the axis. */
export const vector = (point: Point, offset: number): Environment<Lanes.Lanes> => {
  const { w } = point
  return {
    load: ({ dtype, indirect, operand }, evaluate) => {
      const { address, stride } = point.pointer(operand)
      const bytes = bytesOf(dtype)
      const away = times(stride, offset * bytes)
      const [from, fixed] = typeof away === "number" && away >= 0 ? [address, away] : [plus(address, away), 0]
      if (indirect !== undefined && indirect.length > 0) {
        const base = w.keep(from)
        const step = times(stride, bytes)
        const places = indirect.map((one) => ({ one, lanes: keepLanes(w, evaluate(one.index)) }))
        const elements = [0, 1, 2, 3].map((lane) => {
          const moved = places.reduce(
            (sum, { lanes, one }) =>
              i32.add(sum, displacement(w, one, Lanes.extract(one.index.dtype, lanes, lane), bytes)),
            plus(base, times(step, lane))
          )
          return w.keep(Lanes.loadOne(w, dtype, moved, fixed))
        })
        return Lanes.gather(dtype, elements)
      }
      if (stride === 1) return Lanes.load(w, dtype, from, fixed)
      if (stride === 0) return Lanes.loadSplat(w, dtype, from, fixed)
      return Lanes.loadStrided(w, dtype, from, times(stride, bytes), fixed)
    },
    previous: (name, dtype) => point.lanes?.(name, dtype) ?? Lanes.splat(dtype, w.keep(point.previous(name, dtype))),
    index: (axis, dtype) => {
      const { along, at } = point.index(axis)
      const here = along && offset !== 0 ? i32.add(at, i32.const(offset)) : at
      const steps = along ? i32x4.add(i32x4.splat(here), w.steps()) : i32x4.splat(here)
      return dtype === "i64" ? Lanes.widen(w, steps) : [steps]
    }
  }
}

const keepLanes = (w: Writer, lanes: Lanes.Lanes): Lanes.Lanes => Lanes.map(lanes, (part) => w.keep(part))
