/**
 * ScalarLibrary: functions on one number that are too long to be written at each use: exact remainders, integer powers,
 * casts that wrap.
 */
import type { Emission } from "./Emission.ts"
import type { F64, I64 } from "./Instruction.ts"
import { f32, f64, i32, i64, select } from "./Instruction.ts"
import type { Func } from "./ModuleBuilder.ts"

const i64Parameter = (index: number) => ({ type: "i64", index }) as const
const f64Parameter = (index: number) => ({ type: "f64", index }) as const

/**
 * Remainder of f64, exact; `floored`: with the divisor's sign. By shift and subtract on the significands (as C's fmod),
 * with a short way for small quotients of f32 numbers.
 */
export const floatRemainder = (emission: Emission, floored: boolean): Func =>
  emission.shared(`f64.remainder.${floored ? "floor" : "truncate"}`, () => {
    const truncated = emission.shared("f64.remainder", () => makeRemainder(emission))
    return emission.module.func(`f64.remainder.${floored ? "floor" : "truncate"}`, ["f64", "f64"], ["f64"], (f) => {
      const [a, b] = [f.get(f64Parameter(0)), f.get(f64Parameter(1))]
      const rest = f.get(f.let(f.call("f64", truncated, [a, b])))
      if (!floored) return f.return(rest)
      const zero = f64.const(0)
      const differs = i32.ne(f64.lt(rest, zero), f64.lt(b, zero))
      f.return(select(i32.and(f64.ne(rest, zero), differs), f64.add(rest, b), rest))
    })
  })

const makeRemainder = (emission: Emission): Func =>
  emission.module.func("f64.remainder", ["f64", "f64"], ["f64"], (f) => {
    const [a, b] = [f.get(f64Parameter(0)), f.get(f64Parameter(1))]
    const size = f.get(f.let(f64.abs(a)))
    const by = f.get(f.let(f64.abs(b)))
    // NaN, an infinite dividend, a divisor of 0.
    f.if(i32.or(i32.eqz(f64.lt(size, f64.const(Infinity))), i32.eqz(f64.gt(by, f64.const(0)))), () =>
      f.return(f64.const(NaN))
    )
    f.if(f64.lt(size, by), () => f.return(a))
    const bits = (x: F64): I64 => i64.reinterpret_f64(x)
    const exponent = (x: F64) => i32.wrap_i64(i64.shr_u(bits(x), i64.const(52n)))
    const fraction = (x: F64): I64 => i64.and(bits(x), i64.const((1n << 52n) - 1n))
    // Subnormal numbers have no leading one and the exponent 1.
    const significand = (x: F64): I64 =>
      i64.or(fraction(x), i64.shl(i64.extend_i32_u(i32.ne(exponent(x), i32.const(0))), i64.const(52n)))
    const atLeast1 = (x: F64) => i32.add(exponent(x), i32.eqz(exponent(x)))
    const m = f.let(significand(size))
    const n = f.get(f.let(significand(by)))
    const e = f.let(i32.sub(atLeast1(size), atLeast1(by)))
    f.block((done) =>
      f.loop((again) => {
        f.if(i64.ge_u(f.get(m), n), () => f.set(m, i64.sub(f.get(m), n)))
        f.brIf(done, i32.eqz(f.get(e)))
        f.set(m, i64.shl(f.get(m), i64.const(1n)))
        f.set(e, i32.sub(f.get(e), i32.const(1)))
        f.br(again)
      })
    )
    // m · 2^(exponent of b − 1075): an exact product, as m < 2^53 and the result is below b.
    const low = f64.convert_i64_u(f.get(m))
    const unit = f64.reinterpret_i64(i64.shl(i64.extend_i32_u(atLeast1(by)), i64.const(52n)))
    // 2^(e − 1023) times 2^−52.
    f.return(f64.copysign(f64.mul(f64.mul(low, f64.const(2 ** -52)), unit), a))
  })

/** Powers of 64-bit integers, modulo 2⁶⁴; a negative exponent gives 0 but for the bases 1 and −1. */
export const integerPower = (emission: Emission, signedBase: boolean, signedExponent: boolean): Func => {
  const name = `i64.power.${signedBase ? "s" : "u"}${signedExponent ? "s" : "u"}`
  return emission.shared(name, () =>
    emission.module.func(name, ["i64", "i64"], ["i64"], (f) => {
      const [base, exponent] = [f.get(i64Parameter(0)), f.get(i64Parameter(1))]
      const [one, zero] = [i64.const(1n), i64.const(0n)]
      if (signedExponent)
        f.if(i64.lt_s(exponent, zero), () => {
          const minus = i64.const(-1n)
          f.if(i64.eq(base, one), () => f.return(one))
          if (signedBase) f.if(i64.eq(base, minus), () => f.return(select(i64.eqz(i64.and(exponent, one)), one, minus)))
          f.return(zero)
        })
      const result = f.let(one)
      const square = f.let(base)
      const left = f.let(exponent)
      f.block((done) =>
        f.loop((again) => {
          f.brIf(done, i64.eqz(f.get(left)))
          f.set(result, i64.mul(f.get(result), select(i64.eqz(i64.and(f.get(left), one)), one, f.get(square))))
          f.set(square, i64.mul(f.get(square), f.get(square)))
          f.set(left, i64.shr_u(f.get(left), one))
          f.br(again)
        })
      )
      f.return(f.get(result))
    })
  )
}

/** f64 to a 64-bit integer: truncated, modulo 2⁶⁴; 0 for NaN and infinities. */
export const wrappedInteger = (emission: Emission): Func =>
  emission.shared("f64.toInteger", () =>
    emission.module.func("f64.toInteger", ["f64"], ["i64"], (f) => {
      const x = f.get(f.let(f64.trunc(f.get(f64Parameter(0)))))
      const turns = f64.mul(f64.trunc(f64.mul(x, f64.const(2 ** -64))), f64.const(2 ** 64))
      const rest = f.get(f.let(f64.sub(x, turns)))
      const size = f.get(f.let(i64.trunc_sat_f64_u(f64.abs(rest))))
      f.return(select(f64.lt(rest, f64.const(0)), i64.sub(i64.const(0n), size), size))
    })
  )

/** f64 to f32, to odd: what is cut off leaves a trace in the last bit, so that a later rounding to fewer bits is right. */
export const demoteToOdd = (emission: Emission): Func =>
  emission.shared("f64.demoteToOdd", () =>
    emission.module.func("f64.demoteToOdd", ["f64"], ["f32"], (f) => {
      const x = f.get(f64Parameter(0))
      const near = f.get(f.let(f32.demote_f64(x)))
      const back = f.get(f.let(f64.promote_f32(near)))
      // Exact, NaN, or beyond f32 altogether.
      f.if(i32.or(f64.eq(back, x), f64.ne(x, x)), () => f.return(near))
      f.if(f64.eq(f64.abs(back), f64.const(Infinity)), () => f.return(near))
      const bits = i32.reinterpret_f32(near)
      const cut = i32.sub(bits, f64.gt(f64.abs(back), f64.abs(x)))
      f.return(f32.reinterpret_i32(i32.or(cut, i32.const(1))))
    })
  )

/** A 64-bit integer whose low 12 bits, where f64 could not keep them, are gathered in one: for a single rounding later. */
export const stickyInteger = (emission: Emission, unsigned: boolean): Func =>
  emission.shared(`i64.sticky.${unsigned ? "u" : "s"}`, () =>
    emission.module.func(`i64.sticky.${unsigned ? "u" : "s"}`, ["i64"], ["i64"], (f) => {
      const x = f.get(i64Parameter(0))
      const size = unsigned ? x : f.get(f.let(select(i64.lt_s(x, i64.const(0n)), i64.sub(i64.const(0n), x), x)))
      f.if(i64.lt_u(size, i64.const(1n << 53n)), () => f.return(x))
      const low = i64.and(size, i64.const(0xfffn))
      const trace = i64.shl(i64.extend_i32_u(i64.ne(low, i64.const(0n))), i64.const(12n))
      const kept = f.get(f.let(i64.or(i64.sub(size, low), trace)))
      if (unsigned) return f.return(kept)
      f.return(select(i64.lt_s(x, i64.const(0n)), i64.sub(i64.const(0n), kept), kept))
    })
  )
