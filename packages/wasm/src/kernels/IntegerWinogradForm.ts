/**
 * IntegerWinogradForm: minimal filtering along one axis in integers, exact.
 *
 * The transforms of F(m, taps) have fractions. Each row of the inputs' transform is multiplied by its denominator, and the
 * weights' by what is missing to one common factor L, as far as 16 bits go (the outputs' transform has the rest): everything
 * is an integer, and the outputs are L times the convolution's. All sums are taken modulo 2³²; L = odd · 2^shift, so a product
 * with the odd part's inverse modulo 2³² and a shift give the convolution, as long as |result| · 2^shift < 2³¹.
 *
 * A filter in steps of s is s filters side by side, of every s-th tap on every s-th input (see `WinogradTransform`).
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
  /** Outputs of one tile, and inputs from one tile's first to the next one's. */
  readonly outputs: number
  readonly step: number
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
  step: 1,
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

/** Filters that move by one input. */
export const forms: ReadonlyArray<IntegerWinogradForm> = [
  {
    taps: 3,
    outputs: 4,
    step: 4,
    input: sixPoints,
    weights: [
      [6, 0, 0],
      [-4, -4, -4],
      [-4, 4, -4],
      [1, 2, 4],
      [1, -2, 4],
      [0, 0, 12]
    ],
    output: [
      [1, 1, 1, 1, 1, 0],
      [0, 1, -1, 2, -2, 0],
      [0, 1, 1, 4, 4, 0],
      [0, 1, -1, 8, -8, 2]
    ],
    factor: 24
  },
  {
    taps: 3,
    outputs: 2,
    step: 2,
    input: [
      [1, 0, -1, 0],
      [0, 1, 1, 0],
      [0, -1, 1, 0],
      [0, 1, 0, -1]
    ],
    weights: [
      [2, 0, 0],
      [1, 1, 1],
      [1, -1, 1],
      [0, 0, 2]
    ],
    output: [
      [1, 1, 1, 0],
      [0, 1, -1, -1]
    ],
    factor: 2
  },
  {
    taps: 5,
    outputs: 4,
    step: 4,
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
      [90, 0, 0, 0, 0],
      [-20, -20, -20, -20, -20],
      [-20, 20, -20, 20, -20],
      [1, 2, 4, 8, 16],
      [1, -2, 4, -8, 16],
      [16, 8, 4, 2, 1],
      [16, -8, 4, -2, 1],
      [0, 0, 0, 0, 90]
    ],
    output: [
      [1, 1, 1, 1, 1, 8, 8, 0],
      [0, 1, -1, 2, -2, 4, -4, 0],
      [0, 1, 1, 4, 4, 2, 2, 0],
      [0, 1, -1, 8, -8, 1, -1, 1]
    ],
    factor: 360
  },
  {
    taps: 5,
    outputs: 2,
    step: 2,
    input: sixPoints,
    weights: [
      [6, 0, 0, 0, 0],
      [-4, -4, -4, -4, -4],
      [-4, 4, -4, 4, -4],
      [1, 2, 4, 8, 16],
      [1, -2, 4, -8, 16],
      [0, 0, 0, 0, 24]
    ],
    output: [
      [1, 1, 1, 1, 1, 0],
      [0, 1, -1, 2, -2, 1]
    ],
    factor: 24
  },
  {
    taps: 2,
    outputs: 4,
    step: 4,
    input: [
      [2, -1, -2, 1, 0],
      [0, -2, -1, 1, 0],
      [0, 2, -3, 1, 0],
      [0, -1, 0, 1, 0],
      [0, 2, -1, -2, 1]
    ],
    weights: [
      [3, 0],
      [-3, -3],
      [-1, 1],
      [1, 2],
      [0, 6]
    ],
    output: [
      [1, 1, 1, 1, 0],
      [0, 1, -1, 2, 0],
      [0, 1, 1, 4, 0],
      [0, 1, -1, 8, 1]
    ],
    factor: 6
  },
  {
    taps: 2,
    outputs: 2,
    step: 2,
    input: [
      [-1, 1, 0],
      [0, 1, 0],
      [0, -1, 1]
    ],
    weights: [
      [-1, 0],
      [1, 1],
      [0, 1]
    ],
    output: [
      [1, 1, 0],
      [0, 1, 1]
    ],
    factor: 1
  }
]

const identity = (size: number): Matrix =>
  Array.from({ length: size }, (_, i) => Array.from({ length: size }, (__, j) => (i === j ? 1 : 0)))

/** A product for each output. */
const single = (outputs: number): IntegerWinogradForm => ({
  taps: 1,
  outputs,
  step: outputs,
  input: identity(outputs),
  weights: Array.from({ length: outputs }, () => [1]),
  output: identity(outputs),
  factor: 1
})

const spread = (matrix: Matrix, phase: number, stride: number, length: number): Matrix =>
  matrix.map((row) => {
    const wide = new Array<number>(length).fill(0)
    row.forEach((value, at) => (wide[phase + at * stride] = value))
    return wide
  })

/** The filters of every s-th tap, with weights that bring their factors to the greatest, which the others divide. */
const sideBySide = (outputs: number, taps: number, stride: number): IntegerWinogradForm | undefined => {
  const parts = Array.from({ length: stride }, (_, phase) => {
    const own = Math.ceil((taps - phase) / stride)
    return own === 1 ? single(outputs) : forms.find((form) => form.taps === own && form.outputs === outputs)
  })
  const all = parts.flatMap((part) => (part === undefined ? [] : [part]))
  const factor = Math.max(...all.map((part) => part.factor))
  if (all.length < stride || all.some((part) => factor % part.factor !== 0)) return undefined
  const reach = (outputs - 1) * stride + taps
  return {
    taps,
    outputs,
    step: outputs * stride,
    input: all.flatMap(({ input }, phase) => spread(input, phase, stride, reach)),
    weights: all.flatMap((part, phase) =>
      spread(part.weights, phase, stride, taps).map((row) => row.map((value) => (value * factor) / part.factor))
    ),
    output: Array.from({ length: outputs }, (_, i) => all.flatMap(({ output }) => output[i] ?? [])),
    factor
  }
}

/** Forms for so many taps in steps of so many inputs; none where no input would be used twice. */
export const formsFor = (taps: number, stride: number): ReadonlyArray<IntegerWinogradForm> => {
  if (stride === 1) return forms.filter((form) => form.taps === taps)
  if (stride >= taps) return []
  return [4, 2].flatMap((outputs) => sideBySide(outputs, taps, stride) ?? [])
}

/** Inputs of one tile. */
export const reachOf = ({ input }: IntegerWinogradForm): number => input[0]?.length ?? 1

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
