/**
 * The floating-point formats of tensors: bits ⇄ numbers, and the constants that error bounds are made of.
 *
 *   encodeF16(65519.99) ⇒ 0x7bff (65504)      decodeBf16(0x3f80) ⇒ 1      ulp(1, "f8e4m3") ⇒ 0.125
 *
 * An encoder rounds once, from float64 straight to the format, to nearest with ties to even. f16 and bf16 overflow to
 * ±Infinity. f8e4m3 (1-4-3, no infinity, NaN is S.1111.111) and f8e5m2 (IEEE-like 1-5-2) saturate or not, by the rules of
 * ONNX's Cast: a value that rounds past the greatest finite one, infinities too, becomes that one when saturating; if not, NaN
 * in f8e4m3 and ±Infinity in f8e5m2.
 *
 * Sources: IEEE 754-2019; "FP8 Formats for Deep Learning" (Micikevicius et al., 2022); ONNX operators, Cast.
 */

/** The formats that are stored as bits in an integer array. */
export type NarrowFloat = "f16" | "bf16" | "f8e4m3" | "f8e5m2"

/** All floating-point element types. */
export type Float = NarrowFloat | "f32" | "f64"

/** What a binary format is made of. */
export interface Format {
  /** Bits of an element. */
  readonly width: number
  /** Bits of the fraction, without the implicit leading one. */
  readonly fractionBits: number
  /** The exponent of the smallest normal number: that number is 2^minExponent. */
  readonly minExponent: number
  /** The greatest finite number. */
  readonly max: number
  /** The smallest positive number, a subnormal one. */
  readonly minSubnormal: number
  /** The distance from 1 to the next number. A rounding to nearest has a relative error of at most half of it. */
  readonly epsilon: number
  readonly hasInfinity: boolean
}

const makeFormat = (
  width: number,
  fractionBits: number,
  minExponent: number,
  max: number,
  hasInfinity = true
): Format => ({
  width,
  fractionBits,
  minExponent,
  max,
  minSubnormal: 2 ** (minExponent - fractionBits),
  epsilon: 2 ** -fractionBits,
  hasInfinity
})

export const formats: { readonly [F in Float]: Format } = {
  f8e4m3: makeFormat(8, 3, -6, 448, false),
  f8e5m2: makeFormat(8, 2, -14, 57344),
  f16: makeFormat(16, 10, -14, 65504),
  bf16: makeFormat(16, 7, -126, 2 ** 127 * (2 - 2 ** -7)),
  f32: makeFormat(32, 23, -126, 2 ** 127 * (2 - 2 ** -23)),
  f64: makeFormat(64, 52, -1022, Number.MAX_VALUE)
}

// One number seen as its words. Scratch: nothing is kept in it between calls.
const double = new Float64Array(1)
const words = new Uint32Array(double.buffer)
const single = new Float32Array(1)
const singleBits = new Uint32Array(single.buffer)
const high = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 1 : 0

/** `floor(log2(|value|))` of a finite number; at least -1023 (zeros and subnormals). */
const exponentOf = (value: number): number => {
  double[0] = value
  return (((words[high] ?? 0) >>> 20) & 0x7ff) - 1023
}

/** 2^exponent, for exponents from -1022 to 1023. */
const powerOfTwo = (exponent: number): number => {
  words[high] = (exponent + 1023) << 20
  words[1 - high] = 0
  return double[0] ?? 0
}

const signOf = (value: number): number => {
  double[0] = value
  return (words[high] ?? 0) >>> 31
}

// Adding and taking away 2^52 leaves a float64 below 2^52 rounded to an integer, ties to even.
const roundingShift = 2 ** 52

/**
 * The bits, without sign, of the magnitude rounded to the format: the significand in units of the last place, plus the exponent's
 * steps above the smallest. A carry goes from the fraction into the exponent by itself, and past the greatest number.
 */
const magnitudeBits = (size: number, fractionBits: number, minExponent: number): number => {
  const found = exponentOf(size)
  const exponent = found < minExponent ? minExponent : found
  const significand = size * powerOfTwo(fractionBits - exponent) + roundingShift - roundingShift
  return (exponent - minExponent) * (1 << fractionBits) + significand
}

/** IEEE half precision from a number, 16 bits; past 65504 (65520 and up) ±Infinity. */
export const encodeF16 = (value: number): number => {
  if (value !== value) return 0x7e00
  const size = Math.abs(value)
  const bits = size >= 65520 ? 0x7c00 : magnitudeBits(size, 10, -14)
  return (signOf(value) << 15) | bits
}

/** bfloat16 from a number, 16 bits; past its greatest ±Infinity. */
export const encodeBf16 = (value: number): number => {
  if (value !== value) return 0x7fc0
  const size = Math.abs(value)
  const bits = size >= 2 ** 128 ? 0x7f80 : magnitudeBits(size, 7, -126)
  return (signOf(value) << 15) | bits
}

/** FLOAT8E4M3FN from a number, 8 bits; past 448 it is 448 when saturating, else NaN. */
export const encodeF8e4m3 = (value: number, saturate: boolean = true): number => {
  if (value !== value) return 0x7f
  const size = Math.abs(value)
  const bits = size >= 512 ? 0x7f : magnitudeBits(size, 3, -6)
  return (signOf(value) << 7) | (bits > 0x7e ? (saturate ? 0x7e : 0x7f) : bits)
}

/** FLOAT8E5M2 from a number, 8 bits; past 57344 it is 57344 when saturating, else ±Infinity. */
export const encodeF8e5m2 = (value: number, saturate: boolean = true): number => {
  if (value !== value) return 0x7e
  const size = Math.abs(value)
  const bits = size >= 65536 ? 0x7c : magnitudeBits(size, 2, -14)
  return (signOf(value) << 7) | (bits > 0x7b ? (saturate ? 0x7b : 0x7c) : bits)
}

const decodeBits = (bits: number, format: Format): number => {
  const { fractionBits, minExponent, width } = format
  const sign = (bits >>> (width - 1)) & 1 ? -1 : 1
  const magnitude = bits & ((1 << (width - 1)) - 1)
  const fraction = magnitude & ((1 << fractionBits) - 1)
  const step = magnitude >>> fractionBits
  const allOnes = (1 << (width - 1 - fractionBits)) - 1
  if (format.hasInfinity ? step === allOnes : magnitude === (1 << (width - 1)) - 1) {
    return format.hasInfinity && fraction === 0 ? sign * Infinity : Number.NaN
  }
  const significand = step === 0 ? fraction : fraction + (1 << fractionBits)
  return sign * significand * 2 ** (minExponent - fractionBits + Math.max(step - 1, 0))
}

const makeTable = (format: Format): Float32Array =>
  Float32Array.from({ length: 2 ** format.width }, (_, bits) => decodeBits(bits, format))

/** Each is made when it is first asked for: most models have no narrow floats, and a table of 65,536 takes a while. */
const tables = new Map<NarrowFloat, Float32Array>()

const tableOf = (dtype: NarrowFloat): Float32Array => {
  const made = tables.get(dtype) ?? makeTable(formats[dtype])
  tables.set(dtype, made)
  return made
}

/** The number that the bits of a narrow format stand for; higher bits are not looked at. */
export const decode = (dtype: NarrowFloat, bits: number): number => {
  const table = tableOf(dtype)
  return table[bits & (table.length - 1)] ?? 0
}

export const decodeF16 = (bits: number): number => decode("f16", bits)
export const decodeBf16 = (bits: number): number => decode("bf16", bits)
export const decodeF8e4m3 = (bits: number): number => decode("f8e4m3", bits)
export const decodeF8e5m2 = (bits: number): number => decode("f8e5m2", bits)

/** The bits of a number in a narrow format. `saturate` is about the 8-bit formats only. */
export const encode = (dtype: NarrowFloat, value: number, saturate: boolean = true): number => {
  switch (dtype) {
    case "f16":
      return encodeF16(value)
    case "bf16":
      return encodeBf16(value)
    case "f8e4m3":
      return encodeF8e4m3(value, saturate)
    default:
      return encodeF8e5m2(value, saturate)
  }
}

/** The number of the format that is nearest to `value`, ties to even; overflow as in `encode`. */
export const round = (dtype: Float, value: number, saturate: boolean = true): number =>
  dtype === "f64" ? value : dtype === "f32" ? Math.fround(value) : decode(dtype, encode(dtype, value, saturate))

/** The numbers that an array of bits stands for. Exact: each narrow number is a float32. */
export const decodeArray = (dtype: NarrowFloat, bits: Uint16Array | Uint8Array): Float32Array => {
  const table = tableOf(dtype)
  const mask = table.length - 1
  const values = new Float32Array(bits.length)
  for (let index = 0; index < bits.length; index++) values[index] = table[(bits[index] ?? 0) & mask] ?? 0
  return values
}

/** The storage of a narrow format: 16 or 8 bits an element. */
export interface NarrowStorage {
  readonly f16: Uint16Array
  readonly bf16: Uint16Array
  readonly f8e4m3: Uint8Array
  readonly f8e5m2: Uint8Array
}

const encodeInto = <A extends Uint16Array | Uint8Array>(
  bits: A,
  values: ArrayLike<number>,
  encodeOne: (value: number, saturate: boolean) => number,
  saturate: boolean
): A => {
  for (let index = 0; index < bits.length; index++) bits[index] = encodeOne(values[index] ?? 0, saturate)
  return bits
}

const arrayEncoders: {
  readonly [F in NarrowFloat]: (values: ArrayLike<number>, saturate: boolean) => NarrowStorage[F]
} = {
  f16: (values, saturate) => encodeInto(new Uint16Array(values.length), values, encodeF16, saturate),
  bf16: (values, saturate) => encodeInto(new Uint16Array(values.length), values, encodeBf16, saturate),
  f8e4m3: (values, saturate) => encodeInto(new Uint8Array(values.length), values, encodeF8e4m3, saturate),
  f8e5m2: (values, saturate) => encodeInto(new Uint8Array(values.length), values, encodeF8e5m2, saturate)
}

/** The bits of an array of numbers, each rounded once. `saturate` is about the 8-bit formats only. */
export const encodeArray = <F extends NarrowFloat>(
  dtype: F,
  values: ArrayLike<number>,
  saturate: boolean = true
): NarrowStorage[F] => arrayEncoders[dtype](values, saturate)

/** The spacing of the format's numbers at `value`'s magnitude (at the greatest finite one beyond that); NaN if not finite. */
export const ulp = (value: number, dtype: Float): number => {
  if (!Number.isFinite(value)) return Number.NaN
  const { fractionBits, max, minExponent } = formats[dtype]
  return 2 ** (Math.max(exponentOf(Math.min(Math.abs(value), max)), minExponent) - fractionBits)
}

/** Half the distance from 1 to the next number: the greatest relative error of one rounding of a normal number. */
export const unitRoundoff = (dtype: Float): number => formats[dtype].epsilon / 2

/**
 * The least number of the format that is greater than `value`. Past the greatest finite number it is Infinity, or NaN where
 * the format has none.
 */
export const nextUp = (value: number, dtype: Float): number => {
  const { hasInfinity, max } = formats[dtype]
  if (value !== value) return Number.NaN
  if (value >= max) return hasInfinity ? Infinity : Number.NaN
  if (value < -max) return -max
  const nearest = round(dtype, value)
  if (nearest > value) return nearest
  return stepUp(nearest, dtype)
}

/** The greatest number of the format that is less than `value`; as `nextUp`. */
export const nextDown = (value: number, dtype: Float): number => -nextUp(-value, dtype)

/** The number after one of the format's own finite numbers below its greatest. */
const stepUp = (value: number, dtype: Float): number => {
  if (value === 0) return formats[dtype].minSubnormal
  if (dtype === "f64") {
    double[0] = value
    const low = (words[1 - high] ?? 0) + (value > 0 ? 1 : -1)
    words[1 - high] = low
    words[high] = (words[high] ?? 0) + (low > 0xffffffff ? 1 : low < 0 ? -1 : 0)
    return double[0] ?? 0
  }
  if (dtype === "f32") {
    single[0] = value
    singleBits[0] = (singleBits[0] ?? 0) + (value > 0 ? 1 : -1)
    return single[0] ?? 0
  }
  return decode(dtype, encode(dtype, value) + (value > 0 ? 1 : -1))
}
