/**
 * NarrowFloat: f16, bf16, f8e4m3 and f8e5m2 as bits ⇄ as f32, four at a time, by integer arithmetic.
 *
 *   encode "f16" of 0.1 ⇒ 0x2e66        decode "bf16" of 0x3f80 ⇒ 1
 *
 * Rounds to nearest, ties to even, as `@anneal/ir/Float`. Source: M. Dukhan, FP16 (2017), for the subnormal numbers: adding
 * a large power of two rounds them, by the host's own addition.
 */
import * as Float from "@anneal/ir/Float"
import type { V128 } from "./Instruction.ts"
import { f32x4, i32x4, v128 } from "./Instruction.ts"
import { keep, type Writer } from "./Writer.ts"

interface Layout {
  readonly width: number
  readonly fractionBits: number
  readonly minExponent: number
  /** The greatest bits that are finite, and what overflow and NaN become. */
  readonly greatest: number
  readonly overflow: number
  readonly nan: number
}

const layouts: { readonly [F in Float.NarrowFloat]: Layout } = {
  f16: { width: 16, fractionBits: 10, minExponent: -14, greatest: 0x7bff, overflow: 0x7c00, nan: 0x7e00 },
  bf16: { width: 16, fractionBits: 7, minExponent: -126, greatest: 0x7f7f, overflow: 0x7f80, nan: 0x7fc0 },
  f8e4m3: { width: 8, fractionBits: 3, minExponent: -6, greatest: 0x7e, overflow: 0x7f, nan: 0x7f },
  f8e5m2: { width: 8, fractionBits: 2, minExponent: -14, greatest: 0x7b, overflow: 0x7c, nan: 0x7e }
}

const bitsOf = (value: number): number => new Int32Array(Float32Array.of(value).buffer)[0] ?? 0

/** Lanes of bits (zero-extended to 32) to lanes of f32. Exact. */
export const decode = (w: Writer, format: Float.NarrowFloat, bits: V128): V128 => {
  const { f } = w
  if (format === "bf16") return i32x4.shl(bits, w.i32(16))
  const { fractionBits, minExponent, overflow, width } = layouts[format]
  const kept = keep(f, bits)
  const size = keep(f, v128.and(kept, w.splatI32((1 << (width - 1)) - 1)))
  const sign = i32x4.shl(v128.xor(kept, size), w.i32(32 - width))
  // The exponent field is moved under that of f32, whose bias differs: a product puts it right, for subnormals too.
  const scaled = f32x4.mul(i32x4.shl(size, w.i32(23 - fractionBits)), w.splatF32(2 ** (126 + minExponent)))
  const special =
    format === "f8e4m3"
      ? v128.and(i32x4.eq(size, w.splatI32(0x7f)), w.splatI32(0x7fc00000))
      : v128.and(i32x4.ge_s(size, w.splatI32(overflow)), w.splatI32(0x7f800000))
  return v128.or(v128.or(scaled, special), sign)
}

/**
 * Lanes of f32 to lanes of bits (zero-extended to 32). `saturate` is about the 8-bit formats only, as in
 * `Float.encode`.
 */
export const encode = (w: Writer, format: Float.NarrowFloat, x: V128, saturate: boolean): V128 => {
  const { f } = w
  const { fractionBits, greatest, minExponent, nan, overflow, width } = layouts[format]
  const kept = keep(f, x)
  const size = keep(f, v128.and(kept, w.splatI32(0x7fffffff)))
  const sign = i32x4.shr_u(v128.xor(kept, size), w.i32(32 - width))
  const drop = 23 - fractionBits
  const tie = v128.and(i32x4.shr_u(size, w.i32(drop)), w.splatI32(1))
  const half = (1 << (drop - 1)) - 1
  const rebias = (127 + minExponent - 1) * 2 ** 23
  const normal = i32x4.shr_u(i32x4.add(i32x4.add(size, w.splatI32(half - rebias)), tie), w.i32(drop))
  let rounded: V128
  if (format === "bf16") rounded = normal
  else {
    const magic = 2 ** (minExponent - fractionBits + 23)
    const subnormal = i32x4.sub(f32x4.add(size, w.splatF32(magic)), w.splatI32(bitsOf(magic)))
    rounded = v128.bitselect(subnormal, normal, i32x4.lt_s(size, w.splatI32(bitsOf(2 ** minExponent))))
  }
  const saturates = saturate && width === 8
  const limited =
    format === "f8e4m3" && !saturates
      ? i32x4.min_s(rounded, w.splatI32(overflow))
      : i32x4.min_s(rounded, w.splatI32(saturates ? greatest : overflow))
  const isNaN = i32x4.gt_s(size, w.splatI32(0x7f800000))
  return v128.or(v128.bitselect(w.splatI32(nan), limited, isNaN), sign)
}

/** Lanes of f32 rounded to the format's numbers, as f32. */
export const round = (w: Writer, format: Float.NarrowFloat, x: V128, saturate = true): V128 =>
  decode(w, format, encode(w, format, x, saturate))
