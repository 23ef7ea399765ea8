/**
 * IntegerWinogradForm: minimal filtering of three taps in integers, exact.
 *
 * The transforms of F(4, 3) and F(2, 3) have fractions in the weights' part. Each of its rows is multiplied by its
 * denominator, and the outputs' part by what is missing to one common factor L (24 or 2): everything is an integer, and the
 * outputs are L² times the convolution's. All sums are taken modulo 2³²; L² = odd · 2^shift, so a product with the odd
 * part's inverse modulo 2³² and a shift give the convolution, as long as |result| · 2^shift < 2³¹.
 *
 * Source: Lavin and Gray, Fast algorithms for convolutional neural networks, 2015.
 */
import type { V128 } from "../Instruction.ts"
import { i16x8, i32, i32x4 } from "../Instruction.ts"
import type { Writer } from "../Writer.ts"

export interface IntegerWinogradForm {
  /** Outputs of one tile along an axis; inputs are two more. */
  readonly outputs: number
  /** The weights' transform, a row for each input. */
  readonly weights: ReadonlyArray<readonly [number, number, number]>
  /** The greatest sum of magnitudes of a row of the inputs' and of the weights' transform. */
  readonly inputGain: number
  readonly weightGain: number
  /** Of L²: the inverse of its odd part modulo 2³², and its power of two. */
  readonly inverse: number
  readonly shift: number
  /** Along one axis, of lanes of 16 bits. */
  readonly input: (w: Writer, x: ReadonlyArray<V128>) => ReadonlyArray<V128>
  /** Along one axis, of lanes of 32 bits. */
  readonly output: (w: Writer, x: ReadonlyArray<V128>) => ReadonlyArray<V128>
}

const at = (values: ReadonlyArray<V128>, index: number): V128 => {
  const value = values[index]
  if (value === undefined) throw new RangeError(`the tile has no line ${index}`)
  return value
}

const twice = (x: V128): V128 => i16x8.shl(x, i32.const(1))
const fourTimes = (x: V128): V128 => i16x8.shl(x, i32.const(2))
const shifted = (x: V128, by: number): V128 => i32x4.shl(x, i32.const(by))

/** L = 24: rows of the weights' transform times 4, 6, 6, 24, 24, 1. */
export const four: IntegerWinogradForm = {
  outputs: 4,
  weights: [
    [1, 0, 0],
    [-1, -1, -1],
    [-1, 1, -1],
    [1, 2, 4],
    [1, -2, 4],
    [0, 0, 1]
  ],
  inputGain: 10,
  weightGain: 7,
  // 9 · 954437177 = 1 + 2 · 2³²
  inverse: 954437177,
  shift: 6,
  input: (w, given) => {
    const [x0, x1, x2, x3, x4, x5] = [0, 1, 2, 3, 4, 5].map((index) => w.keep(at(given, index)))
    if (
      x0 === undefined ||
      x1 === undefined ||
      x2 === undefined ||
      x3 === undefined ||
      x4 === undefined ||
      x5 === undefined
    )
      throw new RangeError("six lines")
    const a = w.keep(i16x8.sub(x4, fourTimes(x2)))
    const b = w.keep(i16x8.sub(x3, fourTimes(x1)))
    const c = w.keep(i16x8.sub(x4, x2))
    const d = w.keep(twice(i16x8.sub(x3, x1)))
    return [
      i16x8.add(fourTimes(i16x8.sub(x0, x2)), c),
      i16x8.add(a, b),
      i16x8.sub(a, b),
      i16x8.add(c, d),
      i16x8.sub(c, d),
      i16x8.add(fourTimes(i16x8.sub(x1, x3)), i16x8.sub(x5, x3))
    ]
  },
  output: (w, x) => {
    // Rows times 6, 4, 4, 1, 1, 24.
    const p = w.keep(i32x4.add(at(x, 1), at(x, 2)))
    const q = w.keep(i32x4.sub(at(x, 1), at(x, 2)))
    const r = w.keep(i32x4.add(at(x, 3), at(x, 4)))
    const t = w.keep(shifted(i32x4.sub(at(x, 3), at(x, 4)), 1))
    const [first, last] = [w.keep(at(x, 0)), w.keep(at(x, 5))]
    const sixTimes = (value: V128): V128 => i32x4.add(shifted(value, 2), shifted(value, 1))
    return [
      i32x4.add(i32x4.add(sixTimes(first), shifted(p, 2)), r),
      i32x4.add(shifted(q, 2), t),
      shifted(i32x4.add(p, r), 2),
      shifted(i32x4.add(i32x4.add(q, t), sixTimes(last)), 2)
    ]
  }
}

/** L = 2: rows of the weights' transform times 1, 2, 2, 1. */
export const two: IntegerWinogradForm = {
  outputs: 2,
  weights: [
    [1, 0, 0],
    [1, 1, 1],
    [1, -1, 1],
    [0, 0, 1]
  ],
  inputGain: 2,
  weightGain: 3,
  inverse: 1,
  shift: 2,
  input: (w, given) => {
    const [x1, x2] = [w.keep(at(given, 1)), w.keep(at(given, 2))]
    return [i16x8.sub(at(given, 0), x2), i16x8.add(x1, x2), i16x8.sub(x2, x1), i16x8.sub(x1, at(given, 3))]
  },
  output: (w, x) => {
    // Rows times 2, 1, 1, 2.
    const [x1, x2] = [w.keep(at(x, 1)), w.keep(at(x, 2))]
    return [i32x4.add(shifted(at(x, 0), 1), i32x4.add(x1, x2)), i32x4.sub(i32x4.sub(x1, x2), shifted(at(x, 3), 1))]
  }
}
