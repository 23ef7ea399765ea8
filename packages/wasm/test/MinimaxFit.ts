/**
 * MinimaxFit: where the coefficients in `VectorMath.ts` come from. Run it to print them:
 *
 *   node --conditions=@anneal/source packages/wasm/test/MinimaxFit.ts
 *
 * Least squares in float64 at Chebyshev points, with weights that grow where the error is largest (C. L. Lawson, 1961), so that
 * the greatest error falls to the minimax one; rational functions by linearising with the last denominator
 * (C. Sanathanan, J. Koerner, 1963).
 */
import * as Functions from "@anneal/ir/Math"

/** Solves min ‖A·c − t‖ by Householder reflections; rows of A are given with their right-hand side last. */
const leastSquares = (rows: ReadonlyArray<Float64Array>, columns: number): Array<number> => {
  const a = rows.map((row) => row.slice())
  const at = (i: number, j: number): number => a[i]?.[j] ?? 0
  for (let k = 0; k < columns; k++) {
    let norm = 0
    for (let i = k; i < a.length; i++) norm += at(i, k) ** 2
    const alpha = at(k, k) > 0 ? -Math.sqrt(norm) : Math.sqrt(norm)
    const v = a.map((_, i) => (i < k ? 0 : i === k ? at(k, k) - alpha : at(i, k)))
    const size = v.reduce((total, x) => total + x * x, 0)
    if (size === 0) continue
    for (let j = k; j <= columns; j++) {
      let dot = 0
      for (let i = k; i < a.length; i++) dot += (v[i] ?? 0) * at(i, j)
      const scale = (2 * dot) / size
      for (let i = k; i < a.length; i++) {
        const row = a[i]
        if (row !== undefined) row[j] = at(i, j) - scale * (v[i] ?? 0)
      }
    }
  }
  const c = new Array<number>(columns).fill(0)
  for (let k = columns - 1; k >= 0; k--) {
    let rest = at(k, columns)
    for (let j = k + 1; j < columns; j++) rest -= at(k, j) * (c[j] ?? 0)
    c[k] = rest / at(k, k)
  }
  return c
}

export interface Problem {
  readonly from: number
  readonly to: number
  readonly target: (x: number) => number
  /** What the error is measured in, at x. */
  readonly unit: (x: number) => number
  /** Powers of x in the numerator and, without its constant 1, in the denominator. */
  readonly powers: ReadonlyArray<number>
  readonly denominator?: ReadonlyArray<number>
  /** What is known already of the target, left out of the fit. */
  readonly known?: (x: number) => number
  /** Multiplies the fitted part. */
  readonly factor?: (x: number) => number
}

export interface Fit {
  readonly numerator: ReadonlyArray<number>
  readonly denominator: ReadonlyArray<number>
  /** Greatest error in the unit. */
  readonly error: number
}

export const fit = (problem: Problem, rounds = 200): Fit => {
  const { denominator: below = [], factor = () => 1, from, known = () => 0, powers, target, to, unit } = problem
  const points = Array.from({ length: 600 }, (_, i) => {
    const angle = (Math.PI * (i + 0.5)) / 600
    return (from + to) / 2 + ((to - from) / 2) * Math.cos(angle)
  })
  const weights = points.map(() => 1)
  let last = points.map(() => 1)
  let best: Fit = { numerator: [], denominator: [], error: Infinity }
  for (let round = 0; round < rounds; round++) {
    const columns = powers.length + below.length
    const rows = points.map((x, i) => {
      const wanted = target(x) - known(x)
      const scale = Math.sqrt(weights[i] ?? 0) / (unit(x) * (last[i] ?? 1))
      const row = new Float64Array(columns + 1)
      powers.forEach((power, j) => (row[j] = scale * factor(x) * x ** power))
      below.forEach((power, j) => (row[powers.length + j] = -scale * wanted * x ** power))
      row[columns] = scale * wanted
      return row
    })
    const c = leastSquares(rows, columns)
    const numerator = c.slice(0, powers.length)
    const denominator = c.slice(powers.length)
    const value = (x: number): readonly [number, number] => {
      const top = powers.reduce((total, power, j) => total + (numerator[j] ?? 0) * x ** power, 0)
      const bottom = below.reduce((total, power, j) => total + (denominator[j] ?? 0) * x ** power, 1)
      return [(factor(x) * top) / bottom, bottom]
    }
    last = points.map((x) => value(x)[1])
    const errors = points.map((x) => Math.abs((value(x)[0] + known(x) - target(x)) / unit(x)))
    const error = Math.max(...errors)
    if (error < best.error) best = { numerator, denominator, error }
    const mean = errors.reduce((total, e, i) => total + e * (weights[i] ?? 0), 0)
    errors.forEach((e, i) => (weights[i] = Math.max(1e-12, ((weights[i] ?? 0) * e) / mean)))
  }
  return best
}

const half = Math.LN2 / 2
const even = (count: number, first = 0): ReadonlyArray<number> => Array.from({ length: count }, (_, i) => first + 2 * i)
const each = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, i) => i)

/** The fits, by the name of the constants in `VectorMath.ts`. Units: relative, but for cosine. */
export const problems: { readonly [name: string]: Problem } = {
  // eʳ = 1 + r + r²·p(r)
  exponential: {
    from: -half,
    to: half,
    target: Math.exp,
    unit: Math.exp,
    known: (x) => 1 + x,
    factor: (x) => x * x,
    powers: each(5)
  },
  exponential64: {
    from: -half,
    to: half,
    target: Math.expm1,
    unit: (x) => Math.abs(x) + 1e-3,
    known: (x) => x,
    factor: (x) => x * x,
    powers: each(7)
  },
  // 2ʳ = 1 + r·q(r), of recurrent gates: the error is measured in 2ʳ − 1
  gate: {
    from: -0.5,
    to: 0.5,
    target: (x) => Math.expm1(x * Math.LN2),
    unit: (x) => Math.abs(Math.expm1(x * Math.LN2)) + 1e-9,
    factor: (x) => x,
    powers: each(6)
  },
  // log(1 + f) = f − f²/2 + f³·p(f)
  logarithm: {
    from: Math.SQRT1_2 - 1,
    to: Math.SQRT2 - 1,
    target: Math.log1p,
    unit: (x) => Math.abs(Math.log1p(x)) + 1e-6,
    known: (x) => x - (x * x) / 2,
    factor: (x) => x * x * x,
    powers: each(9)
  },
  // log((1 + s)/(1 − s)) = 2s + s³·p(s²)
  logarithm64: {
    from: 1e-4,
    to: 0.1716,
    target: (x) => 2 * Math.atanh(x),
    unit: (x) => x,
    known: (x) => 2 * x,
    factor: (x) => x * x * x,
    powers: even(6)
  },
  // tanh x = x + x³·p(x²) below 0.6
  tanh: {
    from: 1e-3,
    to: 0.6,
    target: Math.tanh,
    unit: Math.tanh,
    known: (x) => x,
    factor: (x) => x * x * x,
    powers: even(5)
  },
  // erf x = x + x·p(x²) below 0.92
  erfSmall: {
    from: 1e-3,
    to: 0.92,
    target: Functions.erf,
    unit: Functions.erf,
    known: (x) => x,
    factor: (x) => x,
    powers: even(6)
  },
  // erf x = 1 − e^p(x) from 0.92 on
  erfLarge: {
    from: 0.92,
    to: 3.93,
    target: (x) => Math.log(1 - Functions.erf(x)),
    unit: (x) => 1 / (1 - Functions.erf(x)),
    powers: each(7)
  },
  sine64: {
    from: 1e-4,
    to: Math.PI / 4,
    target: Math.sin,
    unit: (x) => x,
    known: (x) => x,
    factor: (x) => x * x * x,
    powers: even(5)
  },
  cosine64: {
    from: 1e-4,
    to: Math.PI / 4,
    target: Math.cos,
    unit: () => 1,
    known: (x) => 1 - (x * x) / 2,
    factor: (x) => x ** 4,
    powers: even(5)
  },
  // atan x, x in [0, 1]
  arctangent64: {
    from: 1e-3,
    to: 1,
    target: Math.atan,
    unit: Math.atan,
    known: (x) => x,
    factor: (x) => x * x * x,
    powers: even(12)
  }
}

if (import.meta.main)
  for (const [name, problem] of Object.entries(problems)) {
    const { denominator, error, numerator } = fit(problem)
    console.log(name, error.toExponential(2), "2^" + Math.log2(error).toFixed(1))
    console.log("  ", numerator.join(", "))
    if (denominator.length > 0) console.log("  / 1,", denominator.join(", "))
  }
