/**
 * Lanes: how elements of each dtype are held in code, how they are read and written.
 *
 * | dtype                       | one element          | four neighbours                                  |
 * | f32, f16, bf16, f8…         | f32                  | f32x4 (narrow ones rounded, but held as f32)     |
 * | i32, u32 and narrower       | i32, extended        | i32x4, extended                                  |
 * | bool                        | i32, 0 or 1          | i32x4, 0 or −1                                   |
 * | i64, u64, f64               | i64, f64             | two vectors: lanes 0, 1 and lanes 2, 3           |
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Code, Expr, I32, V128 } from "./Instruction.ts"
import { f32, f32x4, f64, f64x2, i16x8, i32, i32x4, i64, i64x2, i8x16, shuffle, v128 } from "./Instruction.ts"
import * as NarrowFloat from "./NarrowFloat.ts"
import type { Writer } from "./Writer.ts"

export type Kind = "f32" | "i32" | "bool" | "f64" | "i64"

export const kindOf = (dtype: DType): Kind => {
  switch (dtype) {
    case "f32":
    case "f16":
    case "bf16":
    case "f8e4m3":
    case "f8e5m2":
      return "f32"
    case "f64":
      return "f64"
    case "i64":
    case "u64":
      return "i64"
    case "bool":
      return "bool"
    default:
      return "i32"
  }
}

/** Four neighbouring elements. */
export type Lanes = readonly [V128] | readonly [V128, V128]

export const map = (lanes: Lanes, change: (part: V128) => V128): Lanes =>
  lanes.length === 1 ? [change(lanes[0])] : [change(lanes[0]), change(lanes[1])]

export const zip = (a: Lanes, b: Lanes, join: (a: V128, b: V128) => V128): Lanes =>
  a.length === 2 && b.length === 2 ? [join(a[0], b[0]), join(a[1], b[1])] : [join(a[0], b[0])]

export const isUnsigned = (dtype: DType): boolean => dtype === "u32" || dtype === "u64"

// ---- one element and four -------------------------------------------------------------------------------------------

/** All four lanes the element. */
export const splat = (dtype: DType, x: Expr): Lanes => {
  switch (kindOf(dtype)) {
    case "f32":
      return [f32x4.splat({ type: "f32", code: x.code })]
    case "i32":
      return [i32x4.splat(asI32(x))]
    case "bool":
      return [i32x4.splat(i32.sub(i32.const(0), asI32(x)))]
    case "f64": {
      const one = f64x2.splat({ type: "f64", code: x.code })
      return [one, one]
    }
    case "i64": {
      const one = i64x2.splat({ type: "i64", code: x.code })
      return [one, one]
    }
  }
}

const asI32 = (x: Expr): I32 => ({ type: "i32", code: x.code })

/** One lane as an element. */
export const extract = (dtype: DType, lanes: Lanes, lane: number): Expr => {
  const part = lanes.length === 2 && lane >= 2 ? lanes[1] : lanes[0]
  switch (kindOf(dtype)) {
    case "f32":
      return f32x4.extract_lane(part, lane)
    case "i32":
      return i32x4.extract_lane(part, lane)
    case "bool":
      return i32.and(i32x4.extract_lane(part, lane), i32.const(1))
    case "f64":
      return f64x2.extract_lane(part, lane % 2)
    case "i64":
      return i64x2.extract_lane(part, lane % 2)
  }
}

/** Four elements as lanes. */
export const gather = (dtype: DType, elements: ReadonlyArray<Expr>): Lanes => {
  const [a, b, c, d] = elements
  if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error("four lanes")
  switch (kindOf(dtype)) {
    case "f32": {
      const one = (x: Expr): Expr<"f32"> => ({ type: "f32", code: x.code })
      const put = f32x4.replace_lane
      return [put(put(put(f32x4.splat(one(a)), 1, one(b)), 2, one(c)), 3, one(d))]
    }
    case "i32":
    case "bool": {
      const put = i32x4.replace_lane
      const all = put(put(put(i32x4.splat(asI32(a)), 1, asI32(b)), 2, asI32(c)), 3, asI32(d))
      return [kindOf(dtype) === "bool" ? i32x4.neg(all) : all]
    }
    case "f64": {
      const pair = (x: Expr, y: Expr): V128 =>
        f64x2.replace_lane(f64x2.splat({ type: "f64", code: x.code }), 1, { type: "f64", code: y.code })
      return [pair(a, b), pair(c, d)]
    }
    case "i64": {
      const pair = (x: Expr, y: Expr): V128 =>
        i64x2.replace_lane(i64x2.splat({ type: "i64", code: x.code }), 1, { type: "i64", code: y.code })
      return [pair(a, b), pair(c, d)]
    }
  }
}

/** What has no vector form: computed lane by lane. `elements` has the operands' elements of one lane. */
export const lanewise = (
  w: Writer,
  result: DType,
  operands: ReadonlyArray<{ readonly dtype: DType; readonly lanes: Lanes }>,
  compute: (elements: ReadonlyArray<Expr>) => Expr
): Lanes => {
  const kept = operands.map(({ dtype, lanes }) => ({ dtype, lanes: map(lanes, (part) => w.keep(part)) }))
  return gather(
    result,
    [0, 1, 2, 3].map((lane) => w.keep(compute(kept.map(({ dtype, lanes }) => extract(dtype, lanes, lane)))))
  )
}

/** 32-bit integers as 64-bit ones. */
export const widen = (w: Writer, lanes: V128): Lanes => {
  const kept = w.keep(lanes)
  return [i64x2.extend_low_i32x4_s(kept), i64x2.extend_high_i32x4_s(kept)]
}

/** The even 32-bit words of two vectors: a mask of 64-bit lanes as one of 32-bit lanes, or the low words of integers. */
export const lowWords = (a: V128, b: V128): V128 =>
  shuffle(a, b, [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27])

// ---- memory ---------------------------------------------------------------------------------------------------------

/** The element at an address. */
export const loadOne = (w: Writer, dtype: DType, address: I32, offset = 0): Expr => {
  switch (dtype) {
    case "f32":
      return f32.load(address, offset)
    case "f64":
      return f64.load(address, offset)
    case "i64":
    case "u64":
      return i64.load(address, offset)
    case "i32":
    case "u32":
      return i32.load(address, offset)
    case "i16":
      return i32.load16_s(address, offset)
    case "u16":
      return i32.load16_u(address, offset)
    case "i8":
    case "i4":
      return i32.load8_s(address, offset)
    case "u8":
    case "u4":
    case "bool":
      return i32.load8_u(address, offset)
    case "f16":
    case "bf16":
      return w.first(NarrowFloat.decode(w, dtype, i32x4.splat(i32.load16_u(address, offset))))
    case "f8e4m3":
    case "f8e5m2":
      return w.first(NarrowFloat.decode(w, dtype, i32x4.splat(i32.load8_u(address, offset))))
  }
}

export const storeOne = (w: Writer, dtype: DType, address: I32, value: Expr, offset = 0): Code => {
  switch (dtype) {
    case "f32":
      return f32.store(address, { type: "f32", code: value.code }, offset)
    case "f64":
      return f64.store(address, { type: "f64", code: value.code }, offset)
    case "i64":
    case "u64":
      return i64.store(address, { type: "i64", code: value.code }, offset)
    case "i32":
    case "u32":
      return i32.store(address, asI32(value), offset)
    case "i16":
    case "u16":
      return i32.store16(address, asI32(value), offset)
    case "i8":
    case "i4":
    case "u8":
    case "u4":
    case "bool":
      return i32.store8(address, asI32(value), offset)
    case "f16":
    case "bf16":
    case "f8e4m3":
    case "f8e5m2": {
      const bits = NarrowFloat.encode(w, dtype, f32x4.splat({ type: "f32", code: value.code }), false)
      const word = i32x4.extract_lane(bits, 0)
      return DTypes.slotBytes(dtype) === 2 ? i32.store16(address, word, offset) : i32.store8(address, word, offset)
    }
  }
}

/** Four elements that lie one after another. */
export const load = (w: Writer, dtype: DType, address: I32, offset = 0): Lanes => {
  switch (dtype) {
    case "f32":
    case "i32":
    case "u32":
      return [v128.load(address, offset)]
    case "f64":
    case "i64":
    case "u64": {
      const at = w.keep(address)
      return [v128.load(at, offset), v128.load(at, offset + 16)]
    }
    case "i16":
      return [v128.load16x4_s(address, offset)]
    case "u16":
      return [v128.load16x4_u(address, offset)]
    case "i8":
    case "i4":
      return [i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(address, offset)))]
    case "u8":
    case "u4":
      return [widenBytes(v128.load32_zero(address, offset))]
    case "bool":
      return [i32x4.neg(widenBytes(v128.load32_zero(address, offset)))]
    case "f16":
    case "bf16":
      return [NarrowFloat.decode(w, dtype, v128.load16x4_u(address, offset))]
    case "f8e4m3":
    case "f8e5m2":
      return [NarrowFloat.decode(w, dtype, widenBytes(v128.load32_zero(address, offset)))]
  }
}

const widenBytes = (bytes: V128): V128 => i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(bytes))

/** One element, four times. */
export const loadSplat = (w: Writer, dtype: DType, address: I32, offset = 0): Lanes => {
  switch (kindOf(dtype)) {
    case "f64":
    case "i64": {
      const one = w.keep(v128.load64_splat(address, offset))
      return [one, one]
    }
    default:
      if (dtype === "f32" || dtype === "i32" || dtype === "u32") return [v128.load32_splat(address, offset)]
      return splat(dtype, loadOne(w, dtype, address, offset))
  }
}

/** Four elements `stride` bytes apart. */
export const loadStrided = (w: Writer, dtype: DType, address: I32, stride: number | I32, offset = 0): Lanes => {
  const is32 = dtype === "f32" || dtype === "i32" || dtype === "u32"
  const near = is32 && typeof stride === "number" ? pairs[stride] : undefined
  if (near !== undefined) {
    // Two loads, neither of them beyond the four elements.
    const from = w.keep(near.back === 0 ? address : i32.sub(address, i32.const(near.back)))
    return [shuffle(v128.load(from, offset), v128.load(from, offset + near.second), near.lanes.flatMap(wordOf))]
  }
  const at = addresses(w, address, stride, offset)
  if (is32) {
    const [a, b, c, d] = at
    let all = v128.load32_zero(a.address, a.offset)
    all = v128.load32_lane(b.address, all, 1, b.offset)
    all = v128.load32_lane(c.address, all, 2, c.offset)
    return [v128.load32_lane(d.address, all, 3, d.offset)]
  }
  return gather(
    dtype,
    at.map((one) => loadOne(w, dtype, one.address, one.offset))
  )
}

const wordOf = (word: number): ReadonlyArray<number> => [0, 1, 2, 3].map((byte) => 4 * word + byte)

/** By stride in bytes: where two loads begin, and the words of them that are the elements. */
const pairs: {
  readonly [stride: number]: { readonly back: number; readonly second: number; readonly lanes: ReadonlyArray<number> }
} = {
  8: { back: 0, second: 12, lanes: [0, 2, 5, 7] },
  12: { back: 0, second: 24, lanes: [0, 3, 4, 7] },
  [-4]: { back: 12, second: 0, lanes: [3, 2, 1, 0] }
}

interface Address {
  readonly address: I32
  readonly offset: number
}

const addresses = (
  w: Writer,
  address: I32,
  stride: number | I32,
  offset: number
): readonly [Address, Address, Address, Address] => {
  const first = w.keep(address)
  if (typeof stride === "number" && stride >= 0) {
    const at = (lane: number): Address => ({ address: first, offset: offset + lane * stride })
    return [at(0), at(1), at(2), at(3)]
  }
  const step = typeof stride === "number" ? i32.const(stride) : w.keep(stride)
  const second = w.keep(i32.add(first, step))
  const third = w.keep(i32.add(second, step))
  return [
    { address: first, offset },
    { address: second, offset },
    { address: third, offset },
    { address: i32.add(third, step), offset }
  ]
}

/** Four elements to memory, one after another. Narrow floats are rounded (and have saturated, where they do) already. */
export const store = (w: Writer, dtype: DType, address: I32, value: Lanes, offset = 0): Code => {
  const [low] = value
  switch (dtype) {
    case "f32":
    case "i32":
    case "u32":
      return v128.store(address, low, offset)
    case "f64":
    case "i64":
    case "u64": {
      const at = w.keep(address)
      return [v128.store(at, low, offset), v128.store(at, value.length === 2 ? value[1] : low, offset + 16)]
    }
    default:
      return DTypes.slotBytes(dtype) === 2
        ? v128.store64_lane(address, packed(w, dtype, low), 0, offset)
        : v128.store32_lane(address, packed(w, dtype, low), 0, offset)
  }
}

/** Whether `storeBytes` takes a dtype: integers in slots of one byte. */
export const isBytes = (dtype: DType): boolean => kindOf(dtype) === "i32" && DTypes.slotBytes(dtype) === 1

/**
 * The low 8 bits of each lane to memory, one after another: of four, eight or sixteen elements. Lanes hold −128 … 255, or
 * −2³¹, which is stored as 0.
 */
export const storeBytes = (w: Writer, address: I32, lanes: ReadonlyArray<V128>, offset = 0): Code => {
  const [a, b, c, d] = lanes
  if (a === undefined) throw new Error("no lanes to store")
  const low = w.splatI32(0x00ff00ff)
  // −2³¹ saturates to −32768, whose low byte is 0 as well.
  const words = (x: V128, y: V128 | undefined): V128 => {
    const first = w.keep(x)
    return v128.and(i16x8.narrow_i32x4_s(first, y ?? first), low)
  }
  const first = w.keep(words(a, b))
  const bytes = i8x16.narrow_i16x8_u(first, c === undefined ? first : words(c, d))
  if (b === undefined) return v128.store32_lane(address, bytes, 0, offset)
  if (c === undefined) return v128.store64_lane(address, bytes, 0, offset)
  return v128.store(address, bytes, offset)
}

/** Lanes of 32 bits narrowed to the dtype's slots, in the low half or quarter of a vector. */
export const packed = (w: Writer, dtype: DType, lanes: V128): V128 => {
  const halves = (x: V128): V128 => {
    const kept = w.keep(x)
    return i16x8.narrow_i32x4_s(kept, kept)
  }
  const bytes = (x: V128, signed: boolean): V128 => {
    const kept = w.keep(halves(x))
    return signed ? i8x16.narrow_i16x8_s(kept, kept) : i8x16.narrow_i16x8_u(kept, kept)
  }
  switch (dtype) {
    case "i16":
      return halves(lanes)
    case "u16": {
      const kept = w.keep(lanes)
      return i16x8.narrow_i32x4_u(kept, kept)
    }
    case "f16":
    case "bf16": {
      const kept = w.keep(NarrowFloat.encode(w, dtype, lanes, false))
      return i16x8.narrow_i32x4_u(kept, kept)
    }
    case "f8e4m3":
    case "f8e5m2":
      return bytes(NarrowFloat.encode(w, dtype, lanes, false), false)
    case "bool":
      return bytes(i32x4.neg(lanes), false)
    case "u8":
    case "u4":
      return bytes(lanes, false)
    default:
      return bytes(lanes, true)
  }
}

/** Four elements to memory, `stride` bytes apart. */
export const storeStrided = (
  w: Writer,
  dtype: DType,
  address: I32,
  stride: number | I32,
  value: Lanes,
  offset = 0
): Code => {
  const lanes = map(value, (part) => w.keep(part))
  return addresses(w, address, stride, offset).map((one, lane) =>
    storeOne(w, dtype, one.address, extract(dtype, lanes, lane), one.offset)
  )
}
