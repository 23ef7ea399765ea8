/**
 * IntegerScheme: which arithmetic computes a product of 8-bit integers exactly, and how zero points are taken off.
 *
 * An operand is held as x' = x − offset, so that it fits the arithmetic; with zero points z,
 *
 *   Σ (a − za)(b − zb)  =  Σ a'b'  +  (oa − za) · Σ(b − zb)  +  (ob − zb) · Σ a'
 *
 * The middle term is one number a column, made when b is packed; the last is a sum over a's row, left out where ob = zb.
 *
 * What is exact:
 *
 * | operands                                        | arithmetic                                   |
 * | any 8 bits                                      | widened to 16 bits                           |
 * | one in a range of 128 integers                  | relaxed dot, added to 32 bits at once        |
 * | one in a range of 128 integers                  | relaxed dot, widened after each              |
 * | one in 128, the other's distance from 0 ≤ 64    | relaxed dot, two summed in 16 bits           |
 * | one in 128, the other's distance from 0 ≤ 32    | relaxed dot, four summed in 16 bits          |
 */
import type { DType } from "@anneal/ir/DType"
import type { OperandRanges, ZeroPoint } from "@anneal/lower/Region"
import type { IntegerArithmetic } from "./IntegerTile.ts"

export interface IntegerScheme {
  readonly arithmetic: IntegerArithmetic
  /** oa, ob above. */
  readonly offset: ZeroPoint
  readonly zero: ZeroPoint
}

export type Range = readonly [least: number, greatest: number]

/** What an 8-bit dtype holds; undefined for other dtypes. */
export const rangeOf = (dtype: DType): Range | undefined =>
  dtype === "i8"
    ? [-128, 127]
    : dtype === "u8"
      ? [0, 255]
      : dtype === "i4"
        ? [-8, 7]
        : dtype === "u4"
          ? [0, 15]
          : undefined

const within = (range: Range, known: Range | undefined): Range =>
  known === undefined ? range : [Math.max(range[0], known[0]), Math.min(range[1], known[1])]

/** The depth at which sums of products of bytes stay in 16 bits. */
const depthOf = (seven: number, other: number): number => {
  // Each lane sums two products.
  const fits = Math.floor(32767 / (2 * Math.max(1, seven) * Math.max(1, other)))
  return fits >= 4 ? 4 : fits >= 2 ? 2 : 1
}

/** An offset that brings the range into −128 … 127, 0 where it can be. */
const toSigned = ([least, greatest]: Range): number => (greatest <= 127 && least >= -128 ? 0 : 128)

const farthest = ([least, greatest]: Range, offset: number): number =>
  Math.max(Math.abs(least - offset), Math.abs(greatest - offset))

const isSeven = ([least, greatest]: Range): boolean => greatest - least <= 127

/** Every exact way, fastest first; none when an operand is not an integer of at most 8 bits. */
export const schemes = (
  dtypes: { readonly a: DType; readonly b: DType },
  zero: ZeroPoint,
  ranges: OperandRanges | undefined,
  relaxed: boolean
): ReadonlyArray<IntegerScheme> => {
  const [ofA, ofB] = [rangeOf(dtypes.a), rangeOf(dtypes.b)]
  if (ofA === undefined || ofB === undefined) return []
  const a = within(ofA, ranges?.a)
  const b = within(ofB, ranges?.b)
  const result: Array<IntegerScheme> = []
  const seven = (which: "a" | "b", offset: ZeroPoint, widest: number): void => {
    for (const depth of [0, widest]) result.push({ arithmetic: { kind: "seven", seven: which, depth }, offset, zero })
  }
  if (relaxed && isSeven(a)) {
    const offset = { a: a[0] >= 0 && a[1] <= 127 ? 0 : a[0], b: toSigned(b) }
    seven("a", offset, depthOf(a[1] - offset.a, farthest(b, offset.b)))
  }
  if (relaxed && isSeven(b)) {
    const offset = { a: toSigned(a), b: b[0] >= 0 && b[1] <= 127 ? 0 : b[0] }
    seven("b", offset, depthOf(b[1] - offset.b, farthest(a, offset.a)))
  }
  const sooner = ({ arithmetic }: IntegerScheme): number =>
    arithmetic.kind === "seven" ? (arithmetic.depth === 0 ? Infinity : arithmetic.depth) : 0
  result.sort((x, y) => (sooner(x) === sooner(y) ? 0 : sooner(y) - sooner(x)))
  result.push({ arithmetic: { kind: "widened", storedBytes: 2 }, offset: zero, zero })
  if (b[0] - zero.b >= -128 && b[1] - zero.b <= 127)
    result.push({ arithmetic: { kind: "widened", storedBytes: 1 }, offset: zero, zero })
  return result
}

/** Names the arithmetic in a tactic: `widened`, `widened-bytes`, `seven-a-add`, `seven-a`, `seven-b-2`. */
export const nameOf = (arithmetic: IntegerArithmetic): string =>
  arithmetic.kind === "widened"
    ? arithmetic.storedBytes === 2
      ? "widened"
      : "widened-bytes"
    : `seven-${arithmetic.seven}${arithmetic.depth === 0 ? "-add" : arithmetic.depth > 1 ? `-${arithmetic.depth}` : ""}`

/** Whether the sum of each row of a' is needed. */
export const needsRowSums = ({ offset, zero }: IntegerScheme): boolean => offset.b !== zero.b

/** Whether a column's term is not 0 for all columns. */
export const needsColumnTerms = ({ offset, zero }: IntegerScheme): boolean => offset.a !== zero.a
