/**
 * RecurrentGate: sigmoid and tanh of four gates as quotients, so that a product of two takes one division.
 *
 *   σ(x) = 1 / (1 + 2^(−x log₂e))        tanh x = m / (m + 2),  m = 2^(2x log₂e) − 1
 *
 * With k x = n + r, n an integer and |r| ≤ ½: 2^(k x) − 1 = 2ⁿ r q(r) + (2ⁿ − 1), where nothing cancels at 0. Within 2⁻²³, and
 * in units in the last place, where the host fuses, 3.2 (tanh) and 8 (σ above −20; where it rounds twice, 1.3 |x| more); |tanh| ≤ 1
 * and 0 < σ ≤ 1 always; NaN stays NaN. Elsewhere these functions are those of `VectorMath.ts`, within 2 ulp: here
 * a row of products was added up before, which rounds more.
 */
import type { V128 } from "../Instruction.ts"
import { f32x4, i32, i32x4 } from "../Instruction.ts"
import type { Writer } from "../Writer.ts"

/** `top` / `bottom`; nothing stands for 1. */
export interface Quotient {
  readonly top?: V128
  readonly bottom?: V128
}

/** q(r) = (2ʳ − 1) / r; `test/MinimaxFit.ts`. */
const exponential = [
  0.6931471879266771, 0.2402264979485049, 0.055503574336876894, 0.009618237512389645, 0.0013390735456872895,
  0.0001540350677579686
]

/** A function of a gate's input. */
export interface Gate {
  readonly name: "sigmoid" | "tanh"
  readonly x: V128
}

/**
 * 2^(k x), where x is limited so that 2ⁿ is a normal number. Beyond ±87 it would be none for σ, which is 1 there, or under 2⁻¹²⁵;
 * beyond ±9.1, tanh is ±1 in f32.
 */
const scales = {
  sigmoid: { k: -Math.LOG2E, limit: 87 },
  tanh: { k: 2 * Math.LOG2E, limit: 9.1 }
} as const

/** Gates side by side, operation by operation: a constant is loaded once for all of them, and none waits for itself. */
export const quotients = (w: Writer, gates: ReadonlyArray<Gate>): ReadonlyArray<Quotient> => {
  const [one, two] = [w.splatF32(1), w.splatF32(2)]
  // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits.
  const magic = w.splatF32(12582912 + 127)
  const begun = gates
    .map(({ name, x }) => {
      const { k, limit } = scales[name]
      // `pmin(x, c)` is c < x ? c : x: NaN stays.
      return { k: w.splatF32(k), x: w.keep(f32x4.pmax(f32x4.pmin(x, w.splatF32(limit)), w.splatF32(-limit))) }
    })
    .map(({ k, x }) => ({ k, x, shifted: w.keep(w.madd(x, k, magic)) }))
    .map(({ k, shifted, x }) => ({ shifted, r: w.keep(w.madd(x, k, f32x4.sub(magic, shifted))) }))
  const last = w.splatF32(exponential.at(-1) ?? 0)
  const polynomials = exponential.slice(0, -1).reduceRight<ReadonlyArray<V128>>(
    (totals, c) => totals.map((total, i) => w.keep(w.madd(total, begun[i]?.r ?? total, w.splatF32(c)))),
    begun.map(() => last)
  )
  return gates.map(({ name }, i): Quotient => {
    const [q, { r, shifted } = { r: one, shifted: one }] = [polynomials[i] ?? one, begun[i]]
    const scale = i32x4.shl(shifted, i32.const(23))
    if (name === "sigmoid") return { bottom: w.keep(w.madd(w.madd(q, r, one), scale, one)) }
    const power = w.keep(scale)
    const less = w.keep(w.madd(f32x4.mul(power, r), q, f32x4.sub(power, one)))
    return { top: less, bottom: w.keep(f32x4.add(less, two)) }
  })
}

const alone = (w: Writer, gate: Gate): Quotient => quotients(w, [gate])[0] ?? {}

export const sigmoid = (w: Writer, x: V128): Quotient => alone(w, { name: "sigmoid", x })
export const tanh = (w: Writer, x: V128): Quotient => alone(w, { name: "tanh", x })

const product = (a: V128 | undefined, b: V128 | undefined): V128 | undefined =>
  a === undefined ? b : b === undefined ? a : f32x4.mul(a, b)

export const times = (a: Quotient, b: Quotient): Quotient => {
  const [top, bottom] = [product(a.top, b.top), product(a.bottom, b.bottom)]
  return { ...(top === undefined ? {} : { top }), ...(bottom === undefined ? {} : { bottom }) }
}

export const value = (w: Writer, { bottom, top }: Quotient): V128 =>
  bottom === undefined ? (top ?? w.splatF32(1)) : f32x4.div(top ?? w.splatF32(1), bottom)
