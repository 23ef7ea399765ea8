/**
 * LoopRow: expressions along one axis, four neighbours at a time, to be stored or to be combined.
 *
 * What does not change along the axis is computed once. A row that is no multiple of four ends with a vector that overlaps
 * the one before. Where results are stored its values are computed before the row's first store, so a result may lie in the
 * very place of an operand (element on element); where values are combined the lanes that were there before are masked.
 * Rows shorter than four go element by element.
 */
import type { DType } from "@anneal/ir/DType"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import type { Expr, I32, V128 } from "../Instruction.ts"
import { i32, i32x4 } from "../Instruction.ts"
import * as Lanes from "../Lanes.ts"
import type { Local } from "../ModuleBuilder.ts"
import * as ScalarCode from "../ScalarCode.ts"
import type { Writer } from "../Writer.ts"
import * as LoopPoint from "./LoopPoint.ts"
import { bytesOf, plus, type Point, type Pointer, type Size, sizeCode, times } from "./LoopPoint.ts"

export interface Task {
  readonly w: Writer
  /** At the row's first element. */
  readonly operands: ReadonlyArray<Pointer>
  readonly values: ReadonlyArray<Scalar>
  /** Index of the row's first element along the axis. */
  readonly from: Size
  /** The domain's axis that is gone along; undefined where none is. */
  readonly along: number | undefined
  /** The present index of the other axes. */
  readonly index: (axis: number) => I32 | undefined
  /** What was made before, the same for all of the row. */
  readonly previous: (name: string, dtype: DType) => Expr
}

export interface Row {
  readonly w: Writer
  /** Values of the four elements from `offset` on. */
  readonly vectorsAt: (offset: number) => ReadonlyArray<Lanes.Lanes>
  readonly singlesAt: (offset: number) => ReadonlyArray<Expr>
  /** Values of the last four of so many elements. To be asked before `advance`. */
  readonly lastVectors: (total: I32) => ReadonlyArray<Lanes.Lanes>
  /** Moves all pointers on. */
  readonly advance: (elements: number) => void
  /** Another pointer that moves along. */
  readonly pointerTo: (address: I32, stride: Size, dtype: DType) => Pointer
  /** Where a pointer is before the last four elements. */
  readonly nearEnd: (pointer: Pointer, total: I32) => I32
}

/** Computes what holds for the whole row, and sets pointers at its first element. */
export const prepare = ({ along, from, index: outerIndex, operands, previous, values, w }: Task): Row => {
  const { f } = w
  const split = LoopPoint.split(
    values,
    {
      operand: (operand) => operands[operand]?.stride !== 0,
      index: (axis) => axis === along,
      previous: () => false
    },
    operands.length
  )
  const position = f.local("i32")
  f.set(position, sizeCode(from))
  const index: Point["index"] = (axis) =>
    axis === along ? { at: f.get(position), along: true } : { at: outerIndex(axis) ?? i32.const(0), along: false }

  const known = new Map<string, Expr>()
  const knownLanes = new Map<string, Lanes.Lanes>()
  const before: Pick<Point, "w" | "index" | "previous" | "lanes"> = {
    w,
    index,
    previous: (name, dtype) => known.get(name) ?? previous(name, dtype),
    lanes: (name) => knownLanes.get(name)
  }
  const start: Point = { ...before, pointer: (operand) => pointerOf(operands, operand) }
  const one = LoopPoint.single(start, 0)
  const fixed = ScalarCode.single(
    w,
    split.invariants.map(({ value }) => value),
    one
  )
  split.invariants.forEach(({ name }, i) => known.set(name, fixed[i] ?? i32.const(0)))
  // The same in all lanes, made once.
  for (const part of Scalars.parts(split.values)) {
    if (part.kind !== "previous" || knownLanes.has(part.name)) continue
    const lanes = Lanes.splat(part.dtype, w.keep(before.previous(part.name, part.dtype)))
    knownLanes.set(
      part.name,
      Lanes.map(lanes, (vector) => w.keep(vector))
    )
  }

  const moving: Array<{ readonly local: Local<"i32">; readonly step: Size }> = []
  const placeOf = new Map<I32, number>()
  const pointerTo: Row["pointerTo"] = (address, stride, dtype) => {
    const local = f.let(address)
    const pointer = f.get(local)
    placeOf.set(pointer, moving.length)
    moving.push({ local, step: times(stride, bytesOf(dtype)) })
    return { address: pointer, stride, dtype }
  }
  const used = new Set(Scalars.parts(split.values).flatMap((part) => (part.kind === "load" ? [part.operand] : [])))
  const pointers: Array<Pointer | undefined> = operands.map(({ address, dtype, stride }, operand) =>
    used.has(operand) ? pointerTo(address, stride, dtype) : undefined
  )
  for (const entry of split.displaced) {
    const { dtype, stride } = start.pointer(entry.operand)
    pointers.push(pointerTo(LoopPoint.displacedAddress(start, entry, one), stride, dtype))
  }
  const point: Point = { ...before, pointer: (operand) => pointerOf(pointers, operand) }

  const nearEnd: Row["nearEnd"] = ({ address }, total) => {
    const step = moving[placeOf.get(address) ?? -1]?.step ?? 0
    return plus(address, times(i32.sub(total, i32.const(4)), step))
  }
  return {
    w,
    vectorsAt: (offset) => ScalarCode.vector(w, split.values, LoopPoint.vector(point, offset)),
    singlesAt: (offset) => ScalarCode.single(w, split.values, LoopPoint.single(point, offset)),
    lastVectors: (total) => {
      const atEnd = (pointer: Pointer): Pointer => ({ ...pointer, address: w.keep(nearEnd(pointer, total)) })
      const ends = pointers.map((pointer) => (pointer === undefined ? undefined : atEnd(pointer)))
      const end: Point = {
        ...point,
        pointer: (operand) => pointerOf(ends, operand),
        index: (axis) => {
          const here = index(axis)
          return here.along ? { ...here, at: i32.add(here.at, i32.sub(total, i32.const(4))) } : here
        }
      }
      return ScalarCode.vector(w, split.values, LoopPoint.vector(end, 0))
    },
    advance: (elements) => {
      for (const { local, step } of moving) if (step !== 0) f.set(local, plus(f.get(local), times(step, elements)))
      f.set(position, i32.add(f.get(position), i32.const(elements)))
    },
    pointerTo,
    nearEnd
  }
}

const pointerOf = (pointers: ReadonlyArray<Pointer | undefined>, operand: number): Pointer => {
  const found = pointers[operand]
  if (found === undefined) throw new Error(`operand ${operand} is not read`)
  return found
}

// ---- storing --------------------------------------------------------------------------------------------------------

const storeAt = (w: Writer, target: Pointer, offset: number, value: Lanes.Lanes): void => {
  const { address, dtype, stride } = target
  const bytes = bytesOf(dtype)
  const away = times(stride, offset * bytes)
  const [from, onward] = typeof away === "number" && away >= 0 ? [address, away] : [plus(address, away), 0]
  w.f.do(
    stride === 1
      ? Lanes.store(w, dtype, from, value, onward)
      : Lanes.storeStrided(w, dtype, from, times(stride, bytes), value, onward)
  )
}

const storeAll = (row: Row, targets: ReadonlyArray<Pointer>, offset: number, values: ReadonlyArray<Lanes.Lanes>) =>
  targets.forEach((target, i) => {
    const value = values[i]
    if (value !== undefined) storeAt(row.w, target, offset, value)
  })

const storeSingles = (row: Row, targets: ReadonlyArray<Pointer>, offset: number): void => {
  const values = row.singlesAt(offset)
  targets.forEach(({ address, dtype, stride }, i) => {
    const value = values[i]
    if (value === undefined) return
    const away = times(stride, offset * bytesOf(dtype))
    row.w.f.do(
      typeof away === "number" && away >= 0
        ? Lanes.storeOne(row.w, dtype, address, value, away)
        : Lanes.storeOne(row.w, dtype, plus(address, away), value)
    )
  })
}

/** Stores each value to its target, all along the row. `unroll`: vectors of a round. */
export const store = (row: Row, results: ReadonlyArray<Pointer>, count: Size, unroll: number): void => {
  const { w } = row
  const { f } = w
  const targets = results.map(({ address, dtype, stride }) => row.pointerTo(address, stride, dtype))
  /** All vectors of a round are computed before the first is stored: for the revectorizer, pairs of stores are neighbours. */
  const round = (vectors: number): void => {
    const all = Array.from({ length: vectors }, (_, vector) => row.vectorsAt(4 * vector))
    all.forEach((values, vector) => storeAll(row, targets, 4 * vector, values))
  }
  const rounds = (vectors: number, upTo: Size): void =>
    f.range(0, upTo, 4 * vectors, () => {
      round(vectors)
      row.advance(4 * vectors)
    })
  if (typeof count === "number") {
    if (count < 4) {
      for (let i = 0; i < count; i++) storeSingles(row, targets, i)
      return
    }
    const vectors = Math.floor(count / 4)
    const last = count % 4 === 0 ? undefined : row.vectorsAt(count - 4)
    const whole = Math.floor(vectors / unroll) * unroll
    rounds(unroll, 4 * whole)
    round(vectors - whole)
    // The pointers have moved past the whole rounds (one round is no loop, but moves them, too).
    if (last !== undefined) storeAll(row, targets, count - 4 - 4 * whole, last)
    return
  }
  const total = w.keep(count)
  f.if(
    i32.lt_s(total, i32.const(4)),
    () =>
      f.range(0, total, 1, () => {
        storeSingles(row, targets, 0)
        row.advance(1)
      }),
    () => {
      const last = row.lastVectors(total)
      const atEnd = (target: Pointer): Pointer => ({ ...target, address: w.keep(row.nearEnd(target, total)) })
      const ends = targets.map(atEnd)
      const whole = w.keep(i32.and(total, i32.const(-4 * unroll)))
      rounds(unroll, whole)
      if (unroll > 1) rounds(1, w.keep(i32.and(i32.sub(total, whole), i32.const(-4))))
      storeAll(row, ends, 0, last)
    }
  )
}

// ---- combining ------------------------------------------------------------------------------------------------------

export interface Consumer {
  /** Four elements; `vector` counts those of a round. `mask`: the lanes that count, all when left out. */
  readonly vectors: (values: ReadonlyArray<Lanes.Lanes>, vector: number, mask?: V128) => void
  readonly singles: (values: ReadonlyArray<Expr>) => void
}

/** Hands on the values all along the row, each element once but for masked lanes; `kept`: values that are stored, too. */
export const consume = (
  row: Row,
  kept: ReadonlyArray<{ readonly value: number; readonly target: Pointer }>,
  count: Size,
  unroll: number,
  consumer: Consumer
): void => {
  const { w } = row
  const { f } = w
  const targets = kept.map(({ target, value }) => {
    const { address, dtype, stride } = target
    return { value, target: row.pointerTo(address, stride, dtype) }
  })
  const keepAt = (values: ReadonlyArray<Lanes.Lanes>, offset: number): void => {
    for (const { target, value } of targets) {
      const lanes = values[value]
      if (lanes !== undefined) storeAt(w, target, offset, lanes)
    }
  }
  const round = (vectors: number): void => {
    for (let vector = 0; vector < vectors; vector++) {
      const values = row.vectorsAt(4 * vector)
      consumer.vectors(values, vector)
      keepAt(values, 4 * vector)
    }
  }
  const one = (offset: number): void => {
    const values = row.singlesAt(offset)
    consumer.singles(values)
    for (const { target, value } of targets) {
      const element = values[value]
      const { address, dtype } = target
      if (element !== undefined) f.do(Lanes.storeOne(w, dtype, address, element, offset * bytesOf(dtype)))
    }
  }
  const rounds = (vectors: number, upTo: Size): void =>
    f.range(0, upTo, 4 * vectors, () => {
      round(vectors)
      row.advance(4 * vectors)
    })
  if (typeof count === "number") {
    if (count < 4) {
      for (let i = 0; i < count; i++) one(i)
      return
    }
    const vectors = Math.floor(count / 4)
    const whole = Math.floor(vectors / unroll) * unroll
    rounds(unroll, 4 * whole)
    round(vectors - whole)
    const rest = count % 4
    if (rest === 0) return
    const offset = count - 4 - 4 * whole
    const values = row.vectorsAt(offset)
    consumer.vectors(values, 0, w.f.constant(i32x4.ge_s(w.steps(), i32x4.splat(i32.const(4 - rest)))))
    keepAt(values, offset)
    return
  }
  const total = w.keep(count)
  f.if(
    i32.lt_s(total, i32.const(4)),
    () =>
      f.range(0, total, 1, () => {
        one(0)
        row.advance(1)
      }),
    () => {
      const rest = w.keep(i32.and(total, i32.const(3)))
      f.if(rest, () => {
        const ends = targets.map(({ target, value }) => ({
          value,
          target: { ...target, address: w.keep(row.nearEnd(target, total)) }
        }))
        const values = row.lastVectors(total)
        consumer.vectors(values, 0, w.keep(i32x4.ge_s(w.steps(), i32x4.splat(i32.sub(i32.const(4), rest)))))
        for (const { target, value } of ends) {
          const lanes = values[value]
          if (lanes !== undefined) storeAt(w, target, 0, lanes)
        }
      })
      const whole = w.keep(i32.and(total, i32.const(-4 * unroll)))
      rounds(unroll, whole)
      if (unroll > 1) rounds(1, w.keep(i32.and(i32.sub(total, whole), i32.const(-4))))
    }
  )
}
