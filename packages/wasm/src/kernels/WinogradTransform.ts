/**
 * WinogradTransform: minimal filtering F(m, r): m outputs of a filter of r taps by m + r − 1 products.
 *
 *   y = Aᵀ [ (G g) ⊙ (Bᵀ d) ]
 *
 * The matrices are made from interpolation points (Toom–Cook), 0 and pairs ±p, and infinity. Rounding errors grow with
 * the points' powers: `amplification` says by how much at worst. A filter that moves by s inputs is s filters that move by
 * one, of every s-th tap on every s-th input, whose outputs are added up:
 *
 *   three taps in steps of 2  =  F(m, 2) of taps 0 and 2 on the even inputs  +  tap 1 on the odd ones
 *
 * Sources: S. Winograd, Arithmetic Complexity of Computations, 1980; A. Lavin, S. Gray, Fast Algorithms for Convolutional
 * Neural Networks, 2015.
 */
import type { Features } from "../Emission.ts"
import type { V128 } from "../Instruction.ts"
import { f32x4, v128 } from "../Instruction.ts"
import type { FunctionBuilder, Local } from "../ModuleBuilder.ts"
import { multiplyAdd } from "./GemmTile.ts"

export type Matrix = ReadonlyArray<ReadonlyArray<number>>

export interface Filtering {
  /** Outputs of a tile. */
  readonly m: number
  /** Taps. */
  readonly r: number
  /** Products of a tile: m + r − 1 where the filter moves by one. */
  readonly size: number
  /** Inputs of a tile, and from one tile's first to the next one's. */
  readonly reach: number
  readonly step: number
  /** [m][size], [size][r], [size][reach]. */
  readonly output: Matrix
  readonly filter: Matrix
  readonly input: Matrix
}

/**
 * Pairs of opposite points, so that transforms share half of their sums; all of few bits, so that the matrices are exact.
 * For five finite points, ±5/8 and ±5/4 lose a quarter of what ±1 and ±2 lose (measured on F(4 × 4, 3 × 3)).
 */
const pointsFor = (count: number): ReadonlyArray<number> =>
  count === 5 ? [0, 0.625, -0.625, 1.25, -1.25] : [0, 1, -1, 2, -2, 0.5, -0.5].slice(0, count)

/** Coefficients of Π (x − root), lowest power first. */
const polynomial = (roots: ReadonlyArray<number>): ReadonlyArray<number> =>
  roots.reduce<ReadonlyArray<number>>(
    (coefficients, root) =>
      Array.from(
        { length: coefficients.length + 1 },
        (_, power) => (coefficients[power - 1] ?? 0) - root * (coefficients[power] ?? 0)
      ),
    [1]
  )

const identity = (size: number): Matrix =>
  Array.from({ length: size }, (_, i) => Array.from({ length: size }, (__, j) => (i === j ? 1 : 0)))

/** The filters of every s-th tap, side by side: their inputs lie s apart, their outputs are added. */
const polyphase = (m: number, r: number, stride: number): Filtering => {
  const phases = Array.from({ length: Math.min(stride, r) }, (_, phase) => ({
    phase,
    part: filtering(m, Math.ceil((r - phase) / stride))
  }))
  const reach = (m - 1) * stride + r
  const spread = (row: ReadonlyArray<number>, phase: number, length: number): ReadonlyArray<number> => {
    const wide = new Array<number>(length).fill(0)
    row.forEach((x, at) => (wide[phase + at * stride] = x))
    return wide
  }
  return {
    m,
    r,
    size: phases.reduce((count, { part }) => count + part.size, 0),
    reach,
    step: m * stride,
    output: Array.from({ length: m }, (_, i) => phases.flatMap(({ part }) => part.output[i] ?? [])),
    filter: phases.flatMap(({ part, phase }) => part.filter.map((row) => spread(row, phase, r))),
    input: phases.flatMap(({ part, phase }) => part.input.map((row) => spread(row, phase, reach)))
  }
}

/** F(m, r) of a filter that moves by `stride` inputs from output to output. */
export const filtering = (m: number, r: number, stride = 1): Filtering => {
  if (stride > 1) return polyphase(m, r, stride)
  const size = m + r - 1
  const inputs = { size, reach: size, step: m }
  // One output is the sum itself; one tap is a product for each.
  if (m === 1)
    return { m, r, ...inputs, output: [new Array<number>(r).fill(1)], filter: identity(r), input: identity(r) }
  if (r === 1) {
    const taps = Array.from({ length: m }, () => [1])
    return { m, r, ...inputs, output: identity(m), filter: taps, input: identity(m) }
  }
  const finite = pointsFor(size - 1)
  if (finite.length < size - 1) throw new RangeError(`there are no points for F(${m}, ${r})`)
  const others = (j: number): ReadonlyArray<number> => finite.filter((_, index) => index !== j)
  const last = size - 1
  return {
    m,
    r,
    ...inputs,
    output: Array.from({ length: m }, (_, i) =>
      Array.from({ length: size }, (__, j) => (j < last ? (finite[j] ?? 0) ** i : i === m - 1 ? 1 : 0))
    ),
    filter: Array.from({ length: size }, (_, j) => {
      const point = finite[j] ?? 0
      const norm = others(j).reduce((product, other) => product * (point - other), 1)
      return Array.from({ length: r }, (__, k) => (j < last ? point ** k / norm : k === r - 1 ? 1 : 0))
    }),
    input: Array.from({ length: size }, (_, j) => {
      const coefficients = polynomial(j < last ? others(j) : finite)
      return Array.from({ length: size }, (__, i) => coefficients[i] ?? 0)
    })
  }
}

/** Worst growth of a rounding error against the direct sum, for one axis. */
export const amplification = ({ filter, input, output, r }: Filtering): number => {
  const sum = (row: ReadonlyArray<number> | undefined): number =>
    (row ?? []).reduce((total, x) => total + Math.abs(x), 0)
  const rows = output.map((row) => row.reduce((total, a, j) => total + Math.abs(a) * sum(filter[j]) * sum(input[j]), 0))
  return Math.max(...rows) / r
}

// ---- code -----------------------------------------------------------------------------------------------------------

interface Term {
  readonly factor: number
  readonly x: V128
}

/** Σ factor · x; undefined where there is no term. */
const combine = (f: FunctionBuilder, features: Features, terms: ReadonlyArray<Term>): Local<"v128"> | undefined => {
  // What needs no product comes first.
  const ordered = [...terms].sort(
    (a, b) => Number(Math.abs(a.factor) !== 1) - Number(Math.abs(b.factor) !== 1) || b.factor - a.factor
  )
  const [first, ...rest] = ordered
  if (first === undefined) return undefined
  const constant = (value: number): V128 => f.constant(splatConstant(value))
  let sum =
    first.factor === 1 ? first.x : first.factor === -1 ? f32x4.neg(first.x) : f32x4.mul(first.x, constant(first.factor))
  for (const { factor, x } of rest)
    sum =
      factor === 1
        ? f32x4.add(sum, x)
        : factor === -1
          ? f32x4.sub(sum, x)
          : multiplyAdd(features, x, constant(factor), sum)
  return f.let(sum)
}

const splatConstant = (value: number): V128 => {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < 16; at += 4) view.setFloat32(at, value, true)
  return v128.const([...bytes])
}

/** Columns j < k whose entries differ in sign at most. */
const columnPair = (matrix: Matrix, j: number): number | undefined => {
  const width = matrix[0]?.length ?? 0
  for (let k = j + 1; k < width; k++) {
    const same = matrix.every((row) => Math.abs(row[j] ?? 0) === Math.abs(row[k] ?? 0))
    const varied = matrix.some((row) => row[j] !== row[k]) && matrix.some((row) => row[j] === row[k] && row[j] !== 0)
    if (same && varied) return k
  }
  return undefined
}

const rowPair = (matrix: Matrix, i: number): number | undefined => {
  const row = matrix[i] ?? []
  for (let k = i + 1; k < matrix.length; k++) {
    const other = matrix[k] ?? []
    if (!row.every((x, j) => Math.abs(x) === Math.abs(other[j] ?? 0))) continue
    if (row.some((x, j) => x !== 0 && x === other[j]) && row.some((x, j) => x !== other[j])) return k
  }
  return undefined
}

/** matrix · inputs, sums that rows or columns share computed once. */
export const transform = (
  f: FunctionBuilder,
  features: Features,
  matrix: Matrix,
  inputs: ReadonlyArray<V128>
): ReadonlyArray<V128> => {
  if (matrix.length === 1 && matrix[0]?.length === 1 && matrix[0][0] === 1) return inputs
  const zero = (): V128 => f.constant(splatConstant(0))
  const at = (j: number): V128 => inputs[j] ?? zero()
  const paired = new Map<number, { readonly sum: V128; readonly difference: V128; readonly other: number }>()
  const taken = new Set<number>()
  const width = matrix[0]?.length ?? 0
  for (let j = 0; j < width; j++) {
    if (taken.has(j)) continue
    const other = columnPair(matrix, j)
    if (other === undefined || taken.has(other)) continue
    taken.add(j)
    taken.add(other)
    const [sum, difference] = [f.let(f32x4.add(at(j), at(other))), f.let(f32x4.sub(at(j), at(other)))]
    paired.set(j, { sum: f.get(sum), difference: f.get(difference), other })
  }
  const termsOf = (row: ReadonlyArray<number>): ReadonlyArray<Term> =>
    row.flatMap((factor, j): ReadonlyArray<Term> => {
      if (factor === 0) return []
      const pair = paired.get(j)
      if (pair !== undefined) return [{ factor, x: factor === row[pair.other] ? pair.sum : pair.difference }]
      return taken.has(j) ? [] : [{ factor, x: at(j) }]
    })
  const results = new Map<number, V128>()
  if (paired.size === 0)
    matrix.forEach((row, i) => {
      if (results.has(i)) return
      const k = rowPair(matrix, i)
      if (k === undefined || results.has(k)) return
      const other = matrix[k] ?? []
      const common = combine(f, features, termsOf(row.map((x, j) => (x === other[j] ? x : 0))))
      const opposed = combine(f, features, termsOf(row.map((x, j) => (x === other[j] ? 0 : x))))
      if (common === undefined || opposed === undefined) return
      results.set(i, f.get(f.let(f32x4.add(f.get(common), f.get(opposed)))))
      results.set(k, f.get(f.let(f32x4.sub(f.get(common), f.get(opposed)))))
    })
  return matrix.map((row, i) => {
    const known = results.get(i)
    if (known !== undefined) return known
    const made = combine(f, features, termsOf(row))
    return made === undefined ? zero() : f.get(made)
  })
}

/** Rough number of instructions of a transform. */
export const transformCost = (matrix: Matrix): number => {
  const terms = matrix.reduce((count, row) => count + row.filter((x) => x !== 0).length, 0)
  return matrix.length === 1 ? 0 : terms * 0.62
}
