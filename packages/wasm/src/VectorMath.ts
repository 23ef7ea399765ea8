/**
 * VectorMath: elementary functions of four f32 at once, within about 2 ulp over the whole range, with IEEE 754's values at zeros,
 * infinities, NaN and subnormal numbers.
 *
 *   exp x = 2ⁿ · eʳ, n = round(x / ln 2)          tanh |x| = 1 − 2/(e^2|x| + 1)
 *
 * What networks spend time in (exp, sigmoid, tanh, erf, log) is written inline in f32; the others are functions of the module that
 * compute in float64 (`VectorMath64.ts`). Coefficients: `test/MinimaxFit.ts`. They hold with a fused multiply-add and without.
 */
import type { Elementary } from "@anneal/lower/ScalarOp"
import type { V128 } from "./Instruction.ts"
import { f32x4, i32, i32x4, v128 } from "./Instruction.ts"
import * as VectorMath64 from "./VectorMath64.ts"
import type { Writer } from "./Writer.ts"

/** The function of four f32. */
export const unary = (w: Writer, op: Elementary, x: V128): V128 => {
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
    default:
      return w.f.call("v128", VectorMath64.unary(w.emission, op), [x])
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
/** Of e^−r: the odd powers change their sign. */
const alternating = exponential.map((c, power) => (power % 2 === 0 ? c : -c))

/**
 * 2ⁿ in two factors, each within f32: so the product rounds once where it is subnormal, and overflows where it must. n + 254 is
 * in the low bits of `shifted`.
 */
const twoFactors = (w: Writer, shifted: V128): readonly [V128, V128] => {
  const bits = w.keep(shifted)
  const half = w.keep(i32x4.shr_u(bits, i32.const(1)))
  return [i32x4.shl(half, i32.const(23)), i32x4.shl(i32x4.sub(bits, half), i32.const(23))]
}

/** eʳ. Where nothing fuses, 1 is added last, to the sum of the small terms: that rounds less. */
const expNear0 = (w: Writer, r: V128): V128 => {
  const one = w.splatF32(1)
  const p = polynomial(w, r, exponential)
  return w.emission.features.relaxed
    ? w.madd(r, w.madd(r, p, one), one)
    : f32x4.add(one, f32x4.add(f32x4.mul(f32x4.mul(r, r), p), r))
}

/** eˣ of a value that the caller has limited to [−105, 90] (or NaN). */
const expLimited = (w: Writer, value: V128): V128 => {
  const x = w.keep(value)
  // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits.
  const magic = w.splatF32(12582912 + 254)
  const shifted = w.keep(w.madd(x, w.splatF32(Math.LOG2E), magic))
  const n = w.keep(f32x4.sub(shifted, magic))
  const r = w.keep(w.nmadd(n, w.splatF32(ln2Low), w.nmadd(n, w.splatF32(ln2High), x)))
  const p = expNear0(w, r)
  const [first, second] = twoFactors(w, shifted)
  return f32x4.mul(f32x4.mul(p, first), second)
}

const exp = (w: Writer, x: V128): V128 =>
  // `pmin(x, c)` is c < x ? c : x: NaN stays.
  expLimited(w, f32x4.pmax(f32x4.pmin(x, w.splatF32(90)), w.splatF32(-105)))

/**
 * 1 / (1 + e^−x), with e^−x = 2ⁿ · eʳ and a = 2^−⌊n/2⌋, b = 2^⌈n/2⌉: a / (a + b eʳ), where nothing overflows and the division
 * rounds what is subnormal; a + b is exact wherever the smaller one counts, and r comes to it in one sum.
 */
const sigmoid = (w: Writer, value: V128): V128 => {
  // `pmin(x, c)` is c < x ? c : x: NaN stays.
  const x = w.keep(f32x4.pmax(f32x4.pmin(value, w.splatF32(104)), w.splatF32(-104)))
  const magic = w.splatF32(12582912 + 254)
  const shifted = w.keep(w.nmadd(x, w.splatF32(Math.LOG2E), magic))
  const n = w.keep(f32x4.sub(magic, shifted))
  // −r: the signs of n and x are as they come.
  const r = w.keep(w.nmadd(n, w.splatF32(ln2Low), w.nmadd(n, w.splatF32(ln2High), x)))
  const q = w.nmadd(r, polynomial(w, r, alternating), w.splatF32(1))
  const half = w.keep(i32x4.shr_u(shifted, i32.const(1)))
  const a = w.keep(i32x4.shl(i32x4.sub(w.splatI32(254), half), i32.const(23)))
  const b = w.keep(i32x4.shl(i32x4.sub(shifted, half), i32.const(23)))
  return f32x4.div(a, w.nmadd(f32x4.mul(b, r), q, f32x4.add(a, b)))
}

/** The value of `size`, with the sign of `x`. */
const withSign = (w: Writer, size: V128, x: V128): V128 => v128.or(size, v128.and(x, w.splatI32(-0x80000000)))

/** eˣ of a value within ±80 (or NaN): 2ⁿ is one factor. */
const expNormal = (w: Writer, value: V128): V128 => {
  const x = w.keep(value)
  const magic = w.splatF32(12582912 + 127)
  const shifted = w.keep(w.madd(x, w.splatF32(Math.LOG2E), magic))
  const n = w.keep(f32x4.sub(shifted, magic))
  const r = w.keep(w.nmadd(n, w.splatF32(ln2Low), w.nmadd(n, w.splatF32(ln2High), x)))
  return f32x4.mul(expNear0(w, r), i32x4.shl(shifted, i32.const(23)))
}

const tanhSmall = [
  -0.3333329800220656, 0.13331924128976258, -0.05378383045706579, 0.020795972227400247, -0.005895158695266457
]

/** Below 0.6 by a polynomial, else 1 − 2/(e^2|x| + 1); beyond 9.02 that is 1 in f32. */
const tanh = (w: Writer, value: V128): V128 => {
  const x = w.keep(value)
  const size = w.keep(f32x4.abs(x))
  const square = w.keep(f32x4.mul(x, x))
  const small = w.madd(f32x4.mul(size, square), polynomial(w, square, tanhSmall), size)
  const limited = w.keep(f32x4.pmin(size, w.splatF32(9.1)))
  const e = expNormal(w, f32x4.add(limited, limited))
  const one = w.splatF32(1)
  const large = f32x4.sub(one, f32x4.div(w.splatF32(2), f32x4.add(e, one)))
  return withSign(w, v128.bitselect(small, large, f32x4.lt(size, w.splatF32(0.6))), x)
}

const erfSmall = [
  0.12837914997748506, -0.3761249649595057, 0.11281846185752172, -0.026767726202935216, 0.004994837692424322,
  -0.0005999437413281968
]
const erfLarge = [
  -0.00020701541067032442, -1.1276273702843111, -0.6372658065344825, -0.1038563237578235, 0.022189750778065093,
  -0.003033685465790434, 0.00019494600300936228
]

/** Below 0.92 by a polynomial, else 1 − e^p(|x|); beyond 3.93 that is 1 in f32. */
const erf = (w: Writer, value: V128): V128 => {
  const x = w.keep(value)
  const size = w.keep(f32x4.abs(x))
  const square = w.keep(f32x4.mul(x, x))
  const small = w.madd(size, polynomial(w, square, erfSmall), size)
  const limited = w.keep(f32x4.pmin(size, w.splatF32(3.95)))
  const large = f32x4.sub(w.splatF32(1), expNormal(w, polynomial(w, limited, erfLarge)))
  return withSign(w, v128.bitselect(small, large, f32x4.lt(size, w.splatF32(0.92))), x)
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
