/**
 * IntegerBlocking: sizes of tiles and units of 8-bit products, and how long they take.
 *
 * The tile shapes are those that were fastest in one process beside an fp32 tile (x86-64, 128-bit: fp32 6×8 58 GFLOP/s,
 * widened 3×12 104 GOP/s, relaxed dots 4×8 117, two summed 147, four summed 172, dots that add 6×8 231 with AVX-VNNI and 86
 * without; with V8's revectorizer 1.6 to 2 times that). See `bench/wasm/Ceiling.ts`.
 */
import type * as Dim from "@anneal/ir/Dim"
import * as Dims from "@anneal/ir/Dim"
import type { Features } from "../Emission.ts"
import type { TypicalSizes } from "../Kernel.ts"
import type { IntegerBlocking } from "./IntegerProduct.ts"
import type { IntegerArithmetic } from "./IntegerTile.ts"
import { rowElementBytes } from "./IntegerTile.ts"

/** What a size is expected to be. */
export const expected = (dim: Dim.Dim, typical: TypicalSizes): number =>
  typeof dim === "number" ? dim : Math.max(1, Dims.evaluate(dim, typical) ?? 64)

export interface Problem {
  /** Independent products, rows, columns and terms, as expected. */
  readonly matrices: number
  readonly rows: number
  readonly columns: number
  readonly terms: number
}

interface Shape {
  readonly rows: number
  readonly columns: number
}

const shapesOf = (arithmetic: IntegerArithmetic, wide: boolean): ReadonlyArray<Shape> => {
  if (arithmetic.kind === "widened")
    return wide
      ? [
          { rows: 5, columns: 16 },
          { rows: 3, columns: 24 },
          { rows: 5, columns: 8 }
        ]
      : [
          { rows: 3, columns: 12 },
          { rows: 5, columns: 8 },
          { rows: 2, columns: 16 }
        ]
  if (arithmetic.depth === 0)
    return wide
      ? [
          { rows: 6, columns: 16 },
          { rows: 6, columns: 8 }
        ]
      : [{ rows: 6, columns: 8 }]
  return wide
    ? [
        { rows: 4, columns: 16 },
        { rows: 4, columns: 8 }
      ]
    : [
        { rows: 4, columns: 8 },
        { rows: 2, columns: 16 }
      ]
}

/** Multiplications in a nanosecond. */
const rateOf = (arithmetic: IntegerArithmetic, wide: boolean): number => {
  const plain =
    arithmetic.kind === "widened"
      ? arithmetic.storedBytes === 1
        ? 45
        : 51
      : arithmetic.depth === 0
        ? 110
        : arithmetic.depth === 1
          ? 58
          : arithmetic.depth === 2
            ? 73
            : 85
  return wide ? 1.9 * plain : plain
}

/** Bytes of rows that stay near while panels go by: a share of a second-level cache. Each panel serves all of them. */
const nearBytes = 128 * 1024
const mostRows = 256

/** Units that several threads divide well. */
const enoughUnits = 8
const leastColumns = 128

/** Multiplications that are worth a unit of their own. */
const unitWork = 128 * 1024

const roundedUp = (value: number, to: number): number => Math.ceil(value / to) * to

/** Reasonable tiles and units, most promising first. */
export const blockings = (
  problem: Problem,
  arithmetic: IntegerArithmetic,
  features: Features
): ReadonlyArray<IntegerBlocking> => {
  const { columns, rows, terms } = problem
  const all = shapesOf(arithmetic, features.wide).map((shape) => {
    // One row has registers for more columns.
    const tile =
      rows === 1
        ? { rows: 1, columns: Math.min(roundedUp(columns, 4), features.wide ? 32 : 16) }
        : {
            rows: Math.min(shape.rows, Math.max(1, rows)),
            columns: Math.min(shape.columns, roundedUp(columns, 4))
          }
    const near = Math.max(1, Math.floor(nearBytes / Math.max(1, terms * rowElementBytes(arithmetic))))
    const unitRows = Math.min(
      roundedUp(rows, tile.rows),
      Math.max(tile.rows, Math.floor(Math.min(mostRows, near) / tile.rows) * tile.rows)
    )
    // Enough units for threads, none too small to be worth its rows' gathering.
    const blocks = problem.matrices * Math.ceil(rows / unitRows)
    const wanted = Math.ceil(columns / Math.ceil(enoughUnits / blocks))
    const least = Math.max(leastColumns, unitWork / Math.max(1, Math.min(unitRows, rows) * terms))
    const unitColumns = roundedUp(Math.min(columns, Math.max(wanted, least)), tile.columns)
    return { rows: tile.rows, columns: tile.columns, unitRows, unitColumns }
  })
  // Small problems make different shapes equal.
  return all.filter(
    (one, index) => all.findIndex(({ columns, rows }) => columns === one.columns && rows === one.rows) === index
  )
}

/** Nanoseconds. */
export const costOf = (
  problem: Problem,
  arithmetic: IntegerArithmetic,
  blocking: IntegerBlocking,
  features: Features,
  how: { readonly gathersRows: boolean; readonly gathersColumns: boolean; /** An element. */ readonly epilogue: number }
): number => {
  const { columns, matrices, rows, terms } = problem
  const panels = Math.ceil(columns / blocking.columns)
  const tiles = Math.ceil(rows / blocking.rows)
  const across = panels * blocking.columns
  // Rows of a smaller last tile cost nearly what full ones do.
  const work = (tiles * blocking.rows * across * terms) / rateOf(arithmetic, features.wide)
  const fill = blocking.rows * blocking.columns < 24 ? 1.25 : 1
  const perTile = tiles * panels * 6
  const epilogue = rows * columns * how.epilogue
  const gatherRows = how.gathersRows ? rows * (4 + (terms * rowElementBytes(arithmetic)) / 24) : 0
  const gatherColumns = how.gathersColumns ? columns * terms * 1.2 : 0
  return 60 + matrices * (work * fill + perTile + epilogue + gatherRows + gatherColumns)
}
