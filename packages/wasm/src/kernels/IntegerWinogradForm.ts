/**
 * IntegerWinogradForm: minimal filtering along one axis in integers, exact.
 *
 * The transforms of F(m, taps) have fractions. Each row of the inputs' and of the weights' transform is multiplied by its
 * denominator, and the outputs' transform by what is missing to one common factor L: everything is an integer, and the
 * outputs are L times the convolution's. All sums are taken modulo 2³²; L = odd · 2^shift, so a product with the odd part's
 * inverse modulo 2³² and a shift give the convolution, as long as |result| · 2^shift < 2³¹.
 *
 * Sources: Lavin and Gray, Fast algorithms for convolutional neural networks, 2015; Cook–Toom with the points 0, ±1, ±2,
 * ±1/2, ∞.
 */
import type { V128 } from "../Instruction.ts"
import { i16x8, i32, i32x4, v128 } from "../Instruction.ts"
import type { Writer } from "../Writer.ts"

type Matrix = ReadonlyArray<ReadonlyArray<number>>

export interface IntegerWinogradForm {
  readonly taps: number
  /** Outputs of one tile. */
  readonly outputs: number
  /** A row for each point; of as many columns as a tile has inputs, taps, and points. */
  readonly input: Matrix
  readonly weights: Matrix
  readonly output: Matrix
  /** L. */
  readonly factor: number
}

/** One tap: nothing to transform. */
export const one: IntegerWinogradForm = {
  taps: 1,
  outputs: 1,
  input: [[1]],
  weights: [[1]],
  output: [[1]],
  factor: 1
}

const sixPoints: Matrix = [
  [4, 0, -5, 0, 1, 0],
  [0, -4, -4, 1, 1, 0],
  [0, 4, -4, -1, 1, 0],
  [0, -2, -1, 2, 1, 0],
  [0, 2, -1, -2, 1, 0],
  [0, 4, 0, -5, 0, 1]
]

export const forms: ReadonlyArray<IntegerWinogradForm> = [
  {
    taps: 3,
    outputs: 4,
    input: sixPoints,
    weights: [
      [1, 0, 0],
      [-1, -1, -1],
      [-1, 1, -1],
      [1, 2, 4],
      [1, -2, 4],
      [0, 0, 1]
    ],
    output: [
      [6, 4, 4, 1, 1, 0],
      [0, 4, -4, 2, -2, 0],
      [0, 4, 4, 4, 4, 0],
      [0, 4, -4, 8, -8, 24]
    ],
    factor: 24
  },
  {
    taps: 3,
    outputs: 2,
    input: [
      [1, 0, -1, 0],
      [0, 1, 1, 0],
      [0, -1, 1, 0],
      [0, 1, 0, -1]
    ],
    weights: [
      [1, 0, 0],
      [1, 1, 1],
      [1, -1, 1],
      [0, 0, 1]
    ],
    output: [
      [2, 1, 1, 0],
      [0, 1, -1, -2]
    ],
    factor: 2
  },
  {
    taps: 5,
    outputs: 4,
    input: [
      [4, 0, -21, 0, 21, 0, -4, 0],
      [0, 4, 4, -17, -17, 4, 4, 0],
      [0, -4, 4, 17, -17, -4, 4, 0],
      [0, 2, 1, -10, -5, 8, 4, 0],
      [0, -2, 1, 10, -5, -8, 4, 0],
      [0, 4, 8, -5, -10, 1, 2, 0],
      [0, -4, 8, 5, -10, -1, 2, 0],
      [0, -4, 0, 21, 0, -21, 0, 4]
    ],
    weights: [
      [1, 0, 0, 0, 0],
      [-1, -1, -1, -1, -1],
      [-1, 1, -1, 1, -1],
      [1, 2, 4, 8, 16],
      [1, -2, 4, -8, 16],
      [16, 8, 4, 2, 1],
      [16, -8, 4, -2, 1],
      [0, 0, 0, 0, 1]
    ],
    output: [
      [90, 20, 20, 1, 1, 8, 8, 0],
      [0, 20, -20, 2, -2, 4, -4, 0],
      [0, 20, 20, 4, 4, 2, 2, 0],
      [0, 20, -20, 8, -8, 1, -1, 90]
    ],
    factor: 360
  },
  {
    taps: 5,
    outputs: 2,
    input: sixPoints,
    weights: [
      [1, 0, 0, 0, 0],
      [-1, -1, -1, -1, -1],
      [-1, 1, -1, 1, -1],
      [1, 2, 4, 8, 16],
      [1, -2, 4, -8, 16],
      [0, 0, 0, 0, 1]
    ],
    output: [
      [6, 4, 4, 1, 1, 0],
      [0, 4, -4, 2, -2, 24]
    ],
    factor: 24
  }
]

export const pointsOf = ({ input }: IntegerWinogradForm): number => input.length

/** The greatest sum of magnitudes of a row: by how much a transform may grow what it is given. */
export const gain = (matrix: Matrix): number =>
  Math.max(...matrix.map((row) => row.reduce((sum, value) => sum + Math.abs(value), 0)))

/** How a product of factors L is taken off: multiplied by `inverse` modulo 2³², then shifted. */
export const removal = (factor: number): { readonly inverse: number; readonly shift: number } => {
  let [odd, shift] = [factor, 0]
  while (odd % 2 === 0) {
    odd /= 2
    shift++
  }
  // Newton's iteration doubles the number of right bits: odd is its own inverse modulo 8.
  let inverse = BigInt(odd)
  for (let bits = 3; bits < 32; bits *= 2) inverse = BigInt.asIntN(32, inverse * (2n - BigInt(odd) * inverse))
  return { inverse: Number(BigInt.asIntN(32, inverse)), shift }
}

/** Arithmetic of the lanes that are transformed. */
interface Lanes {
  readonly add: (a: V128, b: V128) => V128
  readonly sub: (a: V128, b: V128) => V128
  readonly times: (w: Writer, x: V128, by: number) => V128
}

const isPower = (value: number): boolean => (value & (value - 1)) === 0

const words: Lanes = {
  add: i16x8.add,
  sub: i16x8.sub,
  times: (w, x, by) =>
    isPower(by)
      ? i16x8.shl(x, i32.const(Math.log2(by)))
      : i16x8.mul(x, w.f.constant(v128.const(Array.from({ length: 8 }, () => [by & 0xff, by >> 8]).flat())))
}

const doubleWords: Lanes = {
  add: i32x4.add,
  sub: i32x4.sub,
  times: (w, x, by) => (isPower(by) ? i32x4.shl(x, i32.const(Math.log2(by))) : i32x4.mul(x, w.splatI32(by)))
}

interface Term {
  readonly by: number
  readonly x: V128
}

/** Σ by · x, terms of one magnitude added before they are multiplied; undefined where there are none. */
const sumOf = (w: Writer, lanes: Lanes, terms: ReadonlyArray<Term>): V128 | undefined => {
  const magnitudes = [...new Set(terms.map(({ by }) => Math.abs(by)))].filter((size) => size > 0)
  let total: V128 | undefined
  for (const size of magnitudes) {
    const own = terms.filter(({ by }) => Math.abs(by) === size)
    const [plus, minus] = [own.filter(({ by }) => by > 0), own.filter(({ by }) => by < 0)]
    const added = plus
      .map(({ x }) => x)
      .reduce<V128 | undefined>((a, b) => (a === undefined ? b : lanes.add(a, b)), undefined)
    const taken = minus
      .map(({ x }) => x)
      .reduce<V128 | undefined>((a, b) => (a === undefined ? b : lanes.add(a, b)), undefined)
    const scaled = (x: V128): V128 => (size === 1 ? x : lanes.times(w, x, size))
    if (added === undefined && taken !== undefined)
      total = total === undefined ? lanes.sub(w.splatI32(0), scaled(taken)) : lanes.sub(total, scaled(taken))
    else if (added !== undefined) {
      const part = scaled(taken === undefined ? added : lanes.sub(added, taken))
      total = total === undefined ? part : lanes.add(total, part)
    }
  }
  return total
}

const zero = (w: Writer): V128 => w.splatI32(0)

/** A row and the next that differ in the sign of the odd columns only (the points ±p). */
const mirrored = (row: ReadonlyArray<number>, next: ReadonlyArray<number> | undefined): boolean =>
  next !== undefined &&
  row.some((value, j) => j % 2 === 1 && value !== 0) &&
  row.every((value, j) => (next[j] ?? 0) === (j % 2 === 0 ? value : -value) || (value === 0 && next[j] === 0))

/** `matrix` · x along one axis of 16-bit lanes: the inputs' transform. */
export const transformInput = (w: Writer, matrix: Matrix, given: ReadonlyArray<V128>): ReadonlyArray<V128> => {
  const x = given.map((value) => w.keep(value))
  const terms = (row: ReadonlyArray<number>, keep: (j: number) => boolean): ReadonlyArray<Term> =>
    row.flatMap((by, j) => {
      const value = x[j]
      return by === 0 || value === undefined || !keep(j) ? [] : [{ by, x: value }]
    })
  const result: Array<V128> = []
  for (let i = 0; i < matrix.length; i++) {
    const row = matrix[i] ?? []
    if (!mirrored(row, matrix[i + 1])) {
      result.push(
        sumOf(
          w,
          words,
          terms(row, () => true)
        ) ?? zero(w)
      )
      continue
    }
    const even = w.keep(
      sumOf(
        w,
        words,
        terms(row, (j) => j % 2 === 0)
      ) ?? zero(w)
    )
    const odd = w.keep(
      sumOf(
        w,
        words,
        terms(row, (j) => j % 2 === 1)
      ) ?? zero(w)
    )
    result.push(words.add(even, odd), words.sub(even, odd))
    i++
  }
  return result
}

/** `matrix` · x along one axis of 32-bit lanes: the outputs' transform. Columns of ±p are added and subtracted once. */
export const transformOutput = (w: Writer, matrix: Matrix, given: ReadonlyArray<V128>): ReadonlyArray<V128> => {
  const x = given.map((value) => w.keep(value))
  const terms: Array<Array<Term>> = matrix.map(() => [])
  for (let j = 0; j < x.length; j++) {
    const [value, next] = [x[j], x[j + 1]]
    if (value === undefined) continue
    const paired =
      next !== undefined &&
      matrix.some((row) => row[j] !== 0) &&
      matrix.every((row) => (row[j] ?? 0) !== 0 && Math.abs(row[j] ?? 0) === Math.abs(row[j + 1] ?? 0))
    if (!paired || next === undefined) {
      matrix.forEach((row, k) => terms[k]?.push({ by: row[j] ?? 0, x: value }))
      continue
    }
    const [sum, difference] = [w.keep(i32x4.add(value, next)), w.keep(i32x4.sub(value, next))]
    matrix.forEach((row, k) => terms[k]?.push({ by: row[j] ?? 0, x: row[j] === row[j + 1] ? sum : difference }))
    j++
  }
  return terms.map((row) => sumOf(w, doubleWords, row) ?? zero(w))
}
