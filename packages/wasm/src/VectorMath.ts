/**
 * VectorMath: elementary functions of four f32 at once, within about 2 ulp over the whole range, with IEEE 754's values at zeros,
 * infinities, NaN and subnormal numbers.
 *
 *   exp x = 2ⁿ · eʳ, n = round(x / ln 2)          tanh x = x · P(x²) / Q(x²), |x| ≤ 9.02
 *
 * What networks spend time in (exp, sigmoid, tanh, erf, log) is written inline in f32; the others are functions of the module that
 * compute in float64 (`VectorMath64.ts`). Coefficients: `test/MinimaxFit.ts`. They hold with a fused multiply-add and without.
 */
import type { Unary } from "@anneal/lower/Scalar"
import type { V128 } from "./Instruction.ts"
import { f32x4, i32, i32x4, v128 } from "./Instruction.ts"
import * as VectorMath64 from "./VectorMath64.ts"
import type { Writer } from "./Writer.ts"

/** The function of four f32; undefined where `op` is not a function of this file. */
export const unary = (w: Writer, op: Unary, x: V128): V128 | undefined => {
  switch (op) {
    case "exp":
      return exp(w, x)
    case "sigmoid":
      return sigmoid(w, x)
    case "tanh":
      return tanh(w, x)
    case "erf":
      return erf(w, x)
    case "log":
      return log(w, x)
    default: {
      const func = VectorMath64.unary(w.emission, op)
      return func === undefined ? undefined : w.f.call("v128", func, [x])
    }
  }
}

/** a to the power b, as C's pow. */
export const pow = (w: Writer, a: V128, b: V128): V128 => w.f.call("v128", VectorMath64.power(w.emission), [a, b])

/** Σ c[i] xⁱ by Horner's rule. */
export const polynomial = (w: Writer, x: V128, c: ReadonlyArray<number>): V128 =>
  c.slice(0, -1).reduceRight<V128>((total, one) => w.madd(total, x, w.splatF32(one)), w.splatF32(c.at(-1) ?? 0))

/** ln 2 in two parts: the first has few enough bits that its products with n are exact. */
const ln2High = 0.693145751953125
const ln2Low = 1.4286068203094173e-6
const exponential = [
  0.49999993451679986, 0.16666520689633213, 0.0416683873669606, 0.008368709842718538, 0.001381461298638366
]

/**
 * 2ⁿ in two factors, each within f32: so the product rounds once where it is subnormal, and overflows where it must. n + 254 is
 * in the low bits of `shifted`.
 */
const twoFactors = (w: Writer, shifted: V128): readonly [V128, V128] => {
  const bits = w.keep(shifted)
  const half = w.keep(i32x4.shr_u(bits, i32.const(1)))
  return [i32x4.shl(half, i32.const(23)), i32x4.shl(i32x4.sub(bits, half), i32.const(23))]
}

/** eˣ of a value that the caller has limited to [−105, 90] (or NaN). */
const expLimited = (w: Writer, value: V128): V128 => {
  const x = w.keep(value)
  // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits.
  const magic = w.splatF32(12582912 + 254)
  const shifted = w.keep(w.madd(x, w.splatF32(Math.LOG2E), magic))
  const n = w.keep(f32x4.sub(shifted, magic))
  const r = w.keep(w.nmadd(n, w.splatF32(ln2Low), w.nmadd(n, w.splatF32(ln2High), x)))
  const p = polynomial(w, r, [1, 1, ...exponential])
  const [first, second] = twoFactors(w, shifted)
  return f32x4.mul(f32x4.mul(p, first), second)
}

const exp = (w: Writer, x: V128): V128 =>
  // `pmin(x, c)` is c < x ? c : x: NaN stays.
  expLimited(w, f32x4.pmax(f32x4.pmin(x, w.splatF32(90)), w.splatF32(-105)))

/** e^−|x| / (1 + e^−|x|) below 0, 1 / (1 + e^−|x|) above. */
const sigmoid = (w: Writer, value: V128): V128 => {
  const x = w.keep(value)
  const away = v128.or(x, w.splatI32(-0x80000000))
  const e = w.keep(expLimited(w, f32x4.pmax(away, w.splatF32(-105))))
  const one = w.splatF32(1)
  const top = v128.bitselect(e, one, i32x4.shr_s(x, i32.const(31)))
  return f32x4.div(top, f32x4.add(one, e))
}

const tanhTop = [
  0.9999999932359994, 0.13083156221046244, 0.003103000531693322, 0.000011144245441758096, -2.018391486076516e-8,
  5.257749238663579e-11, -8.435961079082431e-14
]
const tanhBottom = [1, 0.464164831859353, 0.02449137801449129, 0.00025447498620291044]

/** Beyond 9.02 the value is 1 in f32. */
const tanh = (w: Writer, value: V128): V128 => rational(w, value, 9.02, tanhTop, tanhBottom)

const erfTop = [
  1.1283791073257547, 0.20080374609008367, 0.05068885153782976, 0.003736658530675786, 0.00014248931212005431,
  -0.000001955327801828295, 1.9814809731941202e-8
]
const erfBottom = [1, 0.5112892955680852, 0.11536073776400564, 0.014426678314488394, 0.0009638712694096819]

/** Beyond 3.93 the value is 1 in f32. */
const erf = (w: Writer, value: V128): V128 => rational(w, value, 3.93, erfTop, erfBottom)

/** x · P(x²) / Q(x²), x limited to ±edge, the result to ±1. */
const rational = (
  w: Writer,
  value: V128,
  edge: number,
  top: ReadonlyArray<number>,
  bottom: ReadonlyArray<number>
): V128 => {
  const x = w.keep(f32x4.pmax(f32x4.pmin(value, w.splatF32(edge)), w.splatF32(-edge)))
  const square = w.keep(f32x4.mul(x, x))
  const ratio = f32x4.div(f32x4.mul(x, polynomial(w, square, top)), polynomial(w, square, bottom))
  return f32x4.pmax(f32x4.pmin(ratio, w.splatF32(1)), w.splatF32(-1))
}

const logarithm = [
  0.33333312603908366, -0.25000009599631057, 0.20002118667679764, -0.16667995847006928, 0.14219552196769294,
  -0.12405588955492164, 0.1188816341461373, -0.11675651986112129, 0.06746638263302429
]

/** log x = n ln 2 + log(1 + f), 1 + f in [√½, √2). */
const log = (w: Writer, value: V128): V128 => {
  const x = w.keep(value)
  // Subnormal numbers are lifted by 2²³.
  const small = w.keep(f32x4.lt(x, w.splatF32(2 ** -126)))
  const lifted = w.keep(v128.bitselect(f32x4.mul(x, w.splatF32(2 ** 23)), x, small))
  // Counting from √½: the exponent steps where the significand passes √2.
  const root = 0x3f3504f3
  const offset = w.keep(i32x4.sub(lifted, w.splatI32(root)))
  const steps = w.keep(i32x4.shr_s(offset, i32.const(23)))
  const significand = i32x4.add(v128.and(offset, w.splatI32(0x7fffff)), w.splatI32(root))
  const n = w.keep(f32x4.sub(f32x4.convert_i32x4_s(steps), v128.and(small, w.splatF32(23))))
  const f = w.keep(f32x4.sub(significand, w.splatF32(1)))
  const square = w.keep(f32x4.mul(f, f))
  const series = f32x4.mul(f32x4.mul(square, f), polynomial(w, f, logarithm))
  const tail = w.madd(n, w.splatF32(ln2Low), w.nmadd(square, w.splatF32(0.5), series))
  const result = w.keep(w.madd(n, w.splatF32(ln2High), f32x4.add(tail, f)))
  // log 0 = −∞, log ∞ = ∞, NaN below 0 and for NaN.
  const infinite = f32x4.eq(x, w.splatF32(Infinity))
  const zero = f32x4.eq(x, w.splatF32(0))
  const valid = f32x4.ge(x, w.splatF32(0))
  const special = v128.bitselect(x, v128.bitselect(w.splatF32(-Infinity), result, zero), infinite)
  return v128.bitselect(special, w.splatF32(NaN), valid)
}
