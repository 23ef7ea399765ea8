/**
 * IntegerRows: rows of 8-bit integers brought into the form that `IntegerTile` reads: their offset taken off, and widened
 * to 16 bits where the arithmetic wants it.
 *
 *   u8 [5 7 9], offset 128  ⇒  i8 [−123 −121 −119]
 *
 * Nothing beyond a run is read or written.
 */
import type { DType } from "@anneal/ir/DType"
import type { I32, V128 } from "../Instruction.ts"
import { i16x8, i32, i32x4, i8x16, shuffle, v128 } from "../Instruction.ts"
import type { FunctionBuilder, Local } from "../ModuleBuilder.ts"
import type { IntegerScheme } from "./IntegerScheme.ts"
import { rowElementBytes } from "./IntegerTile.ts"

export interface RowFormat {
  /** Whether elements are read without sign. */
  readonly unsigned: boolean
  /** Taken off each element. */
  readonly offset: number
  /** Of an element that is written. */
  readonly bytes: 1 | 2
}

export const rowFormat = (dtype: DType, { arithmetic, offset }: IntegerScheme): RowFormat => ({
  unsigned: dtype === "u8" || dtype === "u4",
  offset: offset.a,
  bytes: rowElementBytes(arithmetic) === 2 ? 2 : 1
})

/** A place in memory: a pointer that is not changed, and bytes after it. */
export interface Spot {
  readonly pointer: Local<"i32">
  readonly offset: number
}

const bytesSplat = (f: FunctionBuilder, byte: number): V128 =>
  f.constant(v128.const(Array.from({ length: 16 }, () => byte & 0xff)))
const wordsSplat = (f: FunctionBuilder, word: number): V128 =>
  f.constant(v128.const(Array.from({ length: 8 }, () => [word & 0xff, (word >> 8) & 0xff]).flat()))

/** Elements of a vector of the form. */
const lanesOf = ({ bytes }: RowFormat): number => 16 / bytes

/** A vector's worth of elements from memory. */
const loaded = (f: FunctionBuilder, format: RowFormat, from: I32, offset: number): V128 =>
  format.bytes === 1
    ? moved(f, format, v128.load(from, offset))
    : moved(f, format, format.unsigned ? v128.load8x8_u(from, offset) : v128.load8x8_s(from, offset))

/** The offset taken off lanes. */
const moved = (f: FunctionBuilder, { bytes, offset }: RowFormat, lanes: V128): V128 => {
  if (offset === 0) return lanes
  return bytes === 1 ? i8x16.sub(lanes, bytesSplat(f, offset)) : i16x8.sub(lanes, wordsSplat(f, offset))
}

const one = (f: FunctionBuilder, format: RowFormat, from: I32, fromOffset: number, to: I32, toOffset: number): void => {
  const element = format.unsigned ? i32.load8_u(from, fromOffset) : i32.load8_s(from, fromOffset)
  const value = format.offset === 0 ? element : i32.sub(element, i32.const(format.offset))
  f.do(format.bytes === 1 ? i32.store8(to, value, toOffset) : i32.store16(to, value, toOffset))
}

/** Fewer elements than a vector has, in pieces of 8, 4, 2 and 1. */
const few = (f: FunctionBuilder, format: RowFormat, count: number, from: Spot, to: Spot): void => {
  let at = 0
  const [source, target] = [f.get(from.pointer), f.get(to.pointer)]
  const widen = (lanes: V128): V128 =>
    format.bytes === 1 ? lanes : format.unsigned ? i16x8.extend_low_i8x16_u(lanes) : i16x8.extend_low_i8x16_s(lanes)
  for (const piece of [8, 4, 2]) {
    if ((count & piece) === 0) continue
    const offset = from.offset + at
    const lanes =
      piece === 8
        ? v128.load64_zero(source, offset)
        : piece === 4
          ? v128.load32_zero(source, offset)
          : i32x4.splat(i32.load16_u(source, offset))
    const value = moved(f, format, widen(lanes))
    const size = piece * format.bytes
    const place = to.offset + at * format.bytes
    f.do(
      size === 8
        ? v128.store64_lane(target, value, 0, place)
        : size === 4
          ? v128.store32_lane(target, value, 0, place)
          : v128.store16_lane(target, value, 0, place)
    )
    at += piece
  }
  if ((count & 1) === 1) one(f, format, source, from.offset + at, target, to.offset + at * format.bytes)
}

const unrolled = 8

/** `count` neighbouring elements. */
export const copyRun = (f: FunctionBuilder, format: RowFormat, count: number | I32, from: Spot, to: Spot): void => {
  const lanes = lanesOf(format)
  const vector = (fromAt: I32, toAt: I32, fromOffset: number, toOffset: number): void =>
    f.do(v128.store(toAt, loaded(f, format, fromAt, fromOffset), toOffset))
  if (typeof count === "number") {
    if (count < lanes) return few(f, format, count, from, to)
    const whole = Math.floor(count / lanes)
    const at = (first: number): void =>
      vector(f.get(from.pointer), f.get(to.pointer), from.offset + first, to.offset + first * format.bytes)
    if (whole <= unrolled) for (let v = 0; v < whole; v++) at(v * lanes)
    else
      f.range(0, whole * lanes, lanes, (i) =>
        vector(
          i32.add(f.get(from.pointer), f.get(i)),
          i32.add(f.get(to.pointer), i32.mul(f.get(i), i32.const(format.bytes))),
          from.offset,
          to.offset
        )
      )
    // The last vector ends where the run ends, over elements that are there already.
    if (count % lanes > 0) at(count - lanes)
    return
  }
  const i = f.let(i32.const(0))
  const source = (): I32 => i32.add(f.get(from.pointer), f.get(i))
  const target = (): I32 => i32.add(f.get(to.pointer), i32.mul(f.get(i), i32.const(format.bytes)))
  f.block((out) =>
    f.loop((again) => {
      f.brIf(out, i32.gt_s(i32.add(f.get(i), i32.const(lanes)), count))
      vector(source(), target(), from.offset, to.offset)
      f.set(i, i32.add(f.get(i), i32.const(lanes)))
      f.br(again)
    })
  )
  f.block((out) =>
    f.loop((again) => {
      f.brIf(out, i32.ge_s(f.get(i), count))
      one(f, format, source(), from.offset, target(), to.offset)
      f.set(i, i32.add(f.get(i), i32.const(1)))
      f.br(again)
    })
  )
}

/** `count` elements, `step` bytes apart. */
export const gatherRun = (
  f: FunctionBuilder,
  format: RowFormat,
  count: number | I32,
  step: I32,
  from: Local<"i32">,
  to: Local<"i32">
): void => {
  const source = f.let(f.get(from))
  f.range(0, count, 1, (i) => {
    const target = i32.add(f.get(to), i32.mul(f.get(i), i32.const(format.bytes)))
    one(f, format, f.get(source), 0, target, 0)
    f.set(source, i32.add(f.get(source), step))
  })
}

/** `count` elements that hold `value`, the offset taken off. */
export const fillRun = (f: FunctionBuilder, format: RowFormat, count: number, value: number, to: Spot): void => {
  const lanes = lanesOf(format)
  const held = value - format.offset
  const all = format.bytes === 1 ? bytesSplat(f, held) : wordsSplat(f, held)
  const at = (first: number): void => f.do(v128.store(f.get(to.pointer), all, to.offset + first * format.bytes))
  if (count >= lanes) {
    const whole = Math.floor(count / lanes)
    if (whole <= unrolled) for (let v = 0; v < whole; v++) at(v * lanes)
    else
      f.range(0, whole * lanes, lanes, (i) =>
        f.do(v128.store(i32.add(f.get(to.pointer), i32.mul(f.get(i), i32.const(format.bytes))), all, to.offset))
      )
    if (count % lanes > 0) at(count - lanes)
    return
  }
  for (let i = 0; i < count; i++) {
    const place = to.offset + i * format.bytes
    f.do(
      format.bytes === 1
        ? i32.store8(f.get(to.pointer), i32.const(held), place)
        : i32.store16(f.get(to.pointer), i32.const(held), place)
    )
  }
}

/** The sum of a row of bytes in the form of `seven`; `bytes`, a multiple of 16, at least 16. */
export const rowSum = (f: FunctionBuilder, unsigned: boolean, row: Local<"i32">, bytes: number): I32 => {
  const sum = f.let(i32x4.splat(i32.const(0)))
  const ones = bytesSplat(f, 1)
  const add = (address: I32, offset: number): void => {
    const lanes = v128.load(address, offset)
    const [signed, seven] = unsigned ? [ones, lanes] : [lanes, ones]
    f.set(sum, i32x4.relaxed_dot_i8x16_i7x16_add_s(signed, seven, f.get(sum)))
  }
  if (bytes <= 16 * 2 * unrolled) for (let i = 0; i < bytes; i += 16) add(f.get(row), i)
  else f.range(0, bytes, 16, (i) => add(i32.add(f.get(row), f.get(i)), 0))
  const folded = (by: number): V128 =>
    i32x4.add(
      f.get(sum),
      shuffle(
        f.get(sum),
        f.get(sum),
        [...Array(16).keys()].map((byte) => (byte + by) % 16)
      )
    )
  f.set(sum, folded(8))
  return i32x4.extract_lane(folded(4), 0)
}
