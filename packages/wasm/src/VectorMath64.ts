/**
 * VectorMath64: the elementary functions that are computed in float64, two halves of a vector of four f32: correct in nearly all
 * cases when rounded to f32. One function of the module each.
 *
 *   log1p x = log64(1 + x)      asin x = atan(x / √(1 − x²))      pow(a, b) = e^(b log |a|), with C's special cases
 *
 * Angles beyond a million are taken modulo 2π with 128 bits of 1/2π (M. H. Payne, R. N. Hanek, 1983).
 */
import type { Elementary } from "@anneal/lower/ScalarOp"
import type { Emission } from "./Emission.ts"
import type { F64, I32, I64, V128 } from "./Instruction.ts"
import { f32, f32x4, f64, f64x2, i32, i64, i64x2, select, shuffle, v128 } from "./Instruction.ts"
import type { Func } from "./ModuleBuilder.ts"
import { Writer } from "./Writer.ts"

const parameter = (index: number) => ({ type: "v128", index }) as const

type Half = (w: Writer, x: V128) => V128

/** Those that are not written inline (`VectorMath`). */
export type Called = Exclude<Elementary, "exp" | "sigmoid" | "tanh" | "erf" | "log">

/** The function of the module. */
export const unary = (emission: Emission, op: Called): Func => {
  const half = halves[op]
  return emission.shared(`f32x4.${op}`, () => {
    const reduced = op === "sin" || op === "cos" || op === "tan"
    return emission.module.func(`f32x4.${op}`, ["v128"], ["v128"], (f) => {
      const w = new Writer(f, emission)
      const x = f.get(parameter(0))
      const low = f.local("v128")
      const high = f.local("v128")
      f.set(low, f64x2.promote_low_f32x4(x))
      f.set(high, f64x2.promote_low_f32x4(upper(x)))
      if (reduced) {
        const large = v128.any_true(f32x4.gt(f32x4.abs(x), w.splatF32(1e6)))
        f.if(large, () => {
          const turn = (lane: number): F64 => f.call("f64", angle(emission), [f32x4.extract_lane(x, lane)])
          f.set(low, f64x2.replace_lane(f64x2.splat(turn(0)), 1, turn(1)))
          f.set(high, f64x2.replace_lane(f64x2.splat(turn(2)), 1, turn(3)))
        })
      }
      f.return(demote(half(w, f.get(low)), half(w, f.get(high))))
    })
  })
}

const upper = (x: V128): V128 => shuffle(x, x, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15])
const demote = (low: V128, high: V128): V128 =>
  shuffle(
    f32x4.demote_f64x2_zero(low),
    f32x4.demote_f64x2_zero(high),
    [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]
  )

const madd = (w: Writer, a: V128, b: V128, c: V128): V128 =>
  w.emission.features.relaxed ? f64x2.relaxed_madd(a, b, c) : f64x2.add(f64x2.mul(a, b), c)

const polynomial = (w: Writer, x: V128, c: ReadonlyArray<number>): V128 =>
  c.slice(0, -1).reduceRight<V128>((total, one) => madd(w, total, x, w.splatF64(one)), w.splatF64(c.at(-1) ?? 0))

const signBit = -(1n << 63n)
const signOf = (w: Writer, x: V128): V128 => v128.and(x, w.splatI64(signBit))
const withSign = (w: Writer, size: V128, sign: V128): V128 =>
  v128.or(v128.andnot(size, w.splatI64(signBit)), signOf(w, sign))

// ---- exponentials ---------------------------------------------------------------------------------------------------

const exponential = [
  0.4999999999973491, 0.16666666754674145, 0.04166666695565026, 0.008333288929703546, 0.001388880924885166,
  0.0001990497183284948, 0.000024882520150071737
]

/** 2ⁿ and eʳ − 1, for x = n ln 2 + r. Beyond ±200, where f32 has nothing, x is limited. */
const split = (w: Writer, value: V128): { readonly scale: V128; readonly rest: V128 } => {
  const x = w.keep(f64x2.pmax(f64x2.pmin(value, w.splatF64(200)), w.splatF64(-200)))
  const magic = w.splatF64(6755399441055744 + 1023)
  const shifted = w.keep(f64x2.add(f64x2.mul(x, w.splatF64(Math.LOG2E)), magic))
  const n = f64x2.sub(shifted, magic)
  const r = w.keep(f64x2.sub(x, f64x2.mul(n, w.splatF64(Math.LN2))))
  const rest = madd(w, f64x2.mul(r, r), polynomial(w, r, exponential), r)
  return { scale: w.keep(i64x2.shl(shifted, i32.const(52))), rest: w.keep(rest) }
}

const exp: Half = (w, x) => {
  const { rest, scale } = split(w, x)
  return madd(w, scale, rest, scale)
}

const expm1: Half = (w, value) => {
  const x = w.keep(value)
  const { rest, scale } = split(w, x)
  const result = f64x2.add(f64x2.mul(scale, rest), f64x2.sub(scale, w.splatF64(1)))
  // −0 stays.
  return v128.bitselect(x, result, f64x2.eq(x, w.splatF64(0)))
}

const cosh: Half = (w, x) => {
  const e = w.keep(exp(w, x))
  return f64x2.mul(f64x2.add(e, f64x2.div(w.splatF64(1), e)), w.splatF64(0.5))
}

/** (t + t/(t + 1))/2, t = e^|x| − 1. */
const sinh: Half = (w, value) => {
  const x = w.keep(value)
  const t = w.keep(expm1(w, f64x2.abs(x)))
  const size = f64x2.mul(f64x2.add(t, f64x2.div(t, f64x2.add(t, w.splatF64(1)))), w.splatF64(0.5))
  return withSign(w, w.keep(size), x)
}

// ---- logarithms -----------------------------------------------------------------------------------------------------

const logarithm = [
  0.6666666666660696, 0.40000000043477174, 0.285714184284976, 0.22223287172899706, 0.1812614235792517,
  0.16792351374624623
]

const log: Half = (w, value) => {
  const x = w.keep(value)
  const root = 0x3fe6a09e667f3bcdn
  const offset = w.keep(i64x2.sub(x, w.splatI64(root)))
  const significand = w.keep(i64x2.add(v128.and(offset, w.splatI64((1n << 52n) - 1n)), w.splatI64(root)))
  // The exponent, small, in the low bits of a large number.
  const steps = i64x2.add(i64x2.shr_s(offset, i32.const(52)), w.splatI64(0x4338000000000000n))
  const n = f64x2.sub(steps, w.splatF64(6755399441055744))
  const one = w.splatF64(1)
  const s = w.keep(f64x2.div(f64x2.sub(significand, one), f64x2.add(significand, one)))
  const square = w.keep(f64x2.mul(s, s))
  const series = madd(w, f64x2.mul(s, square), polynomial(w, square, logarithm), f64x2.add(s, s))
  const result = madd(w, n, w.splatF64(Math.LN2), series)
  const zero = w.splatF64(0)
  const special = v128.bitselect(
    x,
    v128.bitselect(w.splatF64(-Infinity), result, f64x2.eq(x, zero)),
    f64x2.eq(x, w.splatF64(Infinity))
  )
  return v128.bitselect(special, w.splatF64(NaN), f64x2.ge(x, zero))
}

/** Below 2⁻¹² by its series: 1 + x would drop what counts. */
const log1p: Half = (w, value) => {
  const x = w.keep(value)
  const series = f64x2.mul(
    x,
    f64x2.add(w.splatF64(1), f64x2.mul(x, f64x2.add(w.splatF64(-1 / 2), f64x2.mul(x, w.splatF64(1 / 3)))))
  )
  const tiny = f64x2.lt(f64x2.abs(x), w.splatF64(2 ** -12))
  return v128.bitselect(series, log(w, f64x2.add(x, w.splatF64(1))), tiny)
}

/** log1p(|x| + x²/(1 + √(1 + x²))). */
const asinh: Half = (w, value) => {
  const x = w.keep(value)
  const size = w.keep(f64x2.abs(x))
  const square = w.keep(f64x2.mul(x, x))
  const one = w.splatF64(1)
  const more = f64x2.div(square, f64x2.add(one, f64x2.sqrt(f64x2.add(one, square))))
  const result = w.keep(log1p(w, f64x2.add(size, more)))
  // ∞²/∞ is no number.
  return withSign(w, w.keep(v128.bitselect(size, result, f64x2.eq(size, w.splatF64(Infinity)))), x)
}

/** log1p(t + √(t(x + 1))), t = x − 1. */
const acosh: Half = (w, value) => {
  const x = w.keep(value)
  const one = w.splatF64(1)
  const t = w.keep(f64x2.sub(x, one))
  const result = log1p(w, f64x2.add(t, f64x2.sqrt(f64x2.mul(t, f64x2.add(x, one)))))
  return v128.bitselect(result, w.splatF64(NaN), f64x2.ge(x, one))
}

/** log1p(2|x|/(1 − |x|))/2. */
const atanh: Half = (w, value) => {
  const x = w.keep(value)
  const size = w.keep(f64x2.abs(x))
  const ratio = f64x2.div(f64x2.add(size, size), f64x2.sub(w.splatF64(1), size))
  return withSign(w, w.keep(f64x2.mul(log1p(w, ratio), w.splatF64(0.5))), x)
}

// ---- angles ---------------------------------------------------------------------------------------------------------

const sine = [
  -0.16666666666631705, 0.008333333325294972, -0.00019841263837323543, 0.0000027555360988456705, -2.476189153764566e-8
]
const cosine = [
  0.04166666666660423, -0.0013888888878425356, 0.000024801581010470657, -2.755557078971855e-7, 2.064781465215749e-9
]

/** Sine and cosine of x = n π/2 + r, before n turns them: r's, and n in the low bits. */
const turned = (w: Writer, value: V128): { readonly s: V128; readonly c: V128; readonly n: V128 } => {
  const x = w.keep(value)
  const magic = w.splatF64(6755399441055744)
  const shifted = w.keep(f64x2.add(f64x2.mul(x, w.splatF64(2 / Math.PI)), magic))
  const n = w.keep(f64x2.sub(shifted, magic))
  // π/2 in pieces of 33 bits, whose products with n are exact.
  const first = f64x2.sub(x, f64x2.mul(n, w.splatF64(1.5707963267341256)))
  const second = f64x2.sub(first, f64x2.mul(n, w.splatF64(6.077100506303966e-11)))
  const r = w.keep(f64x2.sub(second, f64x2.mul(n, w.splatF64(2.0222662487959506e-21))))
  const square = w.keep(f64x2.mul(r, r))
  const s = madd(w, f64x2.mul(r, square), polynomial(w, square, sine), r)
  const bend = f64x2.sub(w.splatF64(1), f64x2.mul(square, w.splatF64(0.5)))
  const c = madd(w, f64x2.mul(square, square), polynomial(w, square, cosine), bend)
  return { s: w.keep(s), c: w.keep(c), n: shifted }
}

const odd = (w: Writer, n: V128): V128 => i64x2.ne(v128.and(n, w.splatI64(1n)), w.splatI64(0n))

const sin: Half = (w, value) => {
  const x = w.keep(value)
  const { c, n, s } = turned(w, x)
  const sign = i64x2.shl(i64x2.shr_u(n, i32.const(1)), i32.const(63))
  const result = v128.xor(v128.bitselect(c, s, odd(w, n)), sign)
  return v128.bitselect(x, result, f64x2.eq(x, w.splatF64(0)))
}

const cos: Half = (w, x) => {
  const { c, n, s } = turned(w, x)
  const sign = i64x2.shl(i64x2.shr_u(i64x2.add(n, w.splatI64(1n)), i32.const(1)), i32.const(63))
  return v128.xor(v128.bitselect(s, c, odd(w, n)), sign)
}

const tan: Half = (w, value) => {
  const x = w.keep(value)
  const { c, n, s } = turned(w, x)
  const isOdd = w.keep(odd(w, n))
  const ratio = f64x2.div(v128.bitselect(c, s, isOdd), v128.bitselect(s, c, isOdd))
  const result = v128.xor(ratio, v128.and(isOdd, w.splatI64(signBit)))
  return v128.bitselect(x, result, f64x2.eq(x, w.splatF64(0)))
}

const arctangent = [
  -0.3333333311110736, 0.19999984221807132, -0.14285320884857755, 0.11106143418416008, -0.09053629498627506,
  0.07510510873324729, -0.060569550913361976, 0.04417908087803354, -0.026547752504690863, 0.011778623265384858,
  -0.003326479256724293, 0.0004406917470824363
]

/** atan |x|, by the reciprocal above 1. */
const atanSize = (w: Writer, value: V128): V128 => {
  const x = w.keep(value)
  const one = w.splatF64(1)
  const large = w.keep(f64x2.gt(x, one))
  const t = w.keep(v128.bitselect(f64x2.div(one, x), x, large))
  const square = w.keep(f64x2.mul(t, t))
  const result = w.keep(madd(w, f64x2.mul(t, square), polynomial(w, square, arctangent), t))
  return v128.bitselect(f64x2.sub(w.splatF64(Math.PI / 2), result), result, large)
}

const atan: Half = (w, value) => {
  const x = w.keep(value)
  return withSign(w, w.keep(atanSize(w, f64x2.abs(x))), x)
}

const asin: Half = (w, value) => {
  const x = w.keep(value)
  const one = w.splatF64(1)
  const leg = f64x2.sqrt(f64x2.mul(f64x2.sub(one, x), f64x2.add(one, x)))
  return withSign(w, w.keep(atanSize(w, f64x2.div(f64x2.abs(x), leg))), x)
}

/** 2 atan √((1 − x)/(1 + x)). */
const acos: Half = (w, value) => {
  const x = w.keep(value)
  const one = w.splatF64(1)
  const ratio = f64x2.sqrt(f64x2.div(f64x2.sub(one, x), f64x2.add(one, x)))
  return f64x2.mul(w.splatF64(2), atanSize(w, ratio))
}

const halves: { readonly [O in Called]: Half } = {
  log1p,
  expm1,
  sinh,
  cosh,
  asinh,
  acosh,
  atanh,
  sin,
  cos,
  tan,
  asin,
  acos,
  atan
}

/** 1/2π in words of 32 bits, the most significant first. */
const perTurn = [0x28be60db, 0x9391054a, 0x7f09d5f4, 0x7d4d3770, 0x36d8a566, 0x4f10e410, 0x7f9458ea, 0xf7aef158]

/** An f32 modulo 2π, in (−π, π], by an exact product with the bits of 1/2π that count. */
const angle = (emission: Emission): Func =>
  emission.shared("f32.angle", () =>
    emission.module.func("f32.angle", ["f32"], ["f64"], (f) => {
      const x = f.get({ type: "f32", index: 0 })
      const bits = f.get(f.let(i32.reinterpret_f32(x)))
      const biased = f.get(f.let(i32.and(i32.shr_u(bits, i32.const(23)), i32.const(0xff))))
      f.if(i32.eq(biased, i32.const(255)), () => f.return(f64.const(NaN)))
      // Below 2^24 by subtraction: 2π in pieces of 30 bits, whose products with the number of turns are exact.
      f.if(f32.lt(f32.abs(x), f32.const(2 ** 24)), () => {
        const wide = f.get(f.let(f64.promote_f32(x)))
        f.if(f64.lt(f64.abs(wide), f64.const(1e6)), () => f.return(wide))
        const n = f.get(f.let(f64.nearest(f64.mul(wide, f64.const(0.5 / Math.PI)))))
        const pieces = [6.283185303211212, 3.9683743166540886e-9, 2.068073192717642e-18]
        f.return(pieces.reduce<F64>((rest, piece) => f64.sub(rest, f64.mul(n, f64.const(piece))), wide))
      })
      // |x| = m · 2^e, e > 0.
      const m = f.get(f.let(i64.extend_i32_u(i32.or(i32.and(bits, i32.const(0x7fffff)), i32.const(0x800000)))))
      const e = f.get(f.let(i32.sub(biased, i32.const(150))))
      const index = f.get(f.let(i32.shr_u(e, i32.const(5))))
      const shift = f.get(f.let(i64.extend_i32_u(i32.and(e, i32.const(31)))))
      const word = (k: number): I64 => {
        const at = (i: number): I64 => i64.const(BigInt(perTurn[i] ?? 0))
        const pick = (i: number): I32 => i32.eq(index, i32.const(i))
        return select(pick(0), at(k), select(pick(1), at(k + 1), select(pick(2), at(k + 2), at(k + 3))))
      }
      const pair = (k: number): I64 => i64.or(i64.shl(word(k), i64.const(32n)), word(k + 1))
      // 64 bits after the point of 2^e/2π, and the 32 after those.
      const left = i64.sub(i64.const(32n), shift)
      const high = f.get(f.let(i64.or(i64.shl(pair(0), shift), i64.shr_u(word(2), left))))
      const low = i64.and(i64.or(i64.shl(word(2), shift), i64.shr_u(word(3), left)), i64.const(0xffffffffn))
      const turns = i64.add(i64.mul(m, high), i64.shr_u(i64.mul(m, low), i64.const(32n)))
      const size = f64.mul(f64.convert_i64_s(turns), f64.const(2 * Math.PI * 2 ** -64))
      f.return(select(f32.lt(x, f32.const(0)), f64.neg(size), size))
    })
  )

// ---- powers ---------------------------------------------------------------------------------------------------------

const powerHalf = (w: Writer, a: V128, b: V128): V128 => {
  const one = w.splatF64(1)
  const zero = w.splatF64(0)
  const infinity = w.splatF64(Infinity)
  const size = w.keep(f64x2.abs(a))
  const exponentSize = w.keep(f64x2.abs(b))
  const magnitude = exp(w, f64x2.mul(b, w.keep(log(w, size))))
  // 1 to any power is 1, and −1 to an infinite one.
  const isOne = v128.and(f64x2.eq(size, one), v128.or(f64x2.eq(a, one), f64x2.eq(exponentSize, infinity)))
  const whole = w.keep(f64x2.eq(f64x2.trunc(b), b))
  // An odd number's half is not whole; numbers from 2^53 on are even.
  const halfOf = w.keep(f64x2.mul(b, w.splatF64(0.5)))
  const isOdd = v128.and(whole, f64x2.ne(f64x2.trunc(halfOf), halfOf))
  const signed = v128.xor(magnitude, v128.and(isOdd, signOf(w, a)))
  // A finite negative number to a power that is not whole.
  const invalid = v128.andnot(v128.and(f64x2.lt(a, zero), f64x2.lt(size, infinity)), whole)
  const result = v128.bitselect(w.splatF64(NaN), signed, invalid)
  return v128.bitselect(one, result, w.keep(v128.or(isOne, f64x2.eq(b, zero))))
}

export const power = (emission: Emission): Func =>
  emission.shared("f32x4.pow", () =>
    emission.module.func("f32x4.pow", ["v128", "v128"], ["v128"], (f) => {
      const w = new Writer(f, emission)
      const [a, b] = [f.get(parameter(0)), f.get(parameter(1))]
      const half = (part: (x: V128) => V128): V128 =>
        powerHalf(w, w.keep(f64x2.promote_low_f32x4(part(a))), w.keep(f64x2.promote_low_f32x4(part(b))))
      f.return(
        demote(
          half((x) => x),
          half(upper)
        )
      )
    })
  )
