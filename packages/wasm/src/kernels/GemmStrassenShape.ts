/**
 * GemmStrassenShape: how a product is divided for Strassen's algorithm (`GemmStrassen.ts`): parts, units, the seven steps, and
 * what lies where in scratch memory.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Features } from "../Emission.ts"
import type { Packed, TypicalSizes } from "../Kernel.ts"
import { typicalSize } from "./GemmCost.ts"
import * as GemmEpilogue from "./GemmEpilogue.ts"
import type { Product } from "./GemmProduct.ts"
import type { Tile } from "./GemmTile.ts"

export type Levels = 1 | 2

/**
 * By how much roundings of the greatest operand grow: with one level C₂₂ is A₁₁B₁₁ + S₂T₂ + S₃T₃ + S₁T₁, 1 + 9 + 4 + 4 products
 * of halves; each level multiplies by 18 / 4.
 */
export const amplification = { 1: 9, 2: 41 } as const

/** Parts below these leave too little to save: sums of b are for all rows, a product's begin and end for all of k. */
const leastPart = { rows: 32, k: 64, columns: 64 } as const
/**
 * With operands drawn from a normal distribution the worst of 512² results is off by some 1.7e-4 with one level and k = 512, and with
 * two and k = 256; two levels at k = 512 give 3e-4 and more, which results near zero do not bear.
 */
const greatestK = { 1: Number.POSITIVE_INFINITY, 2: 256 } as const
/** Bytes of left operands that are made at once: in the second cache, or, read once a panel, in the third. */
const cachedBytes = { 1: 1_000_000, 2: 3_500_000 } as const

/** How b is read: in panels that were packed, or from where it lies, `n` and `k` bytes apart. */
export type Right =
  | { readonly kind: "packed"; readonly of: (tile: Tile) => Packed }
  | { readonly kind: "in-place"; readonly n: number; readonly k: number }

export interface Shape {
  readonly product: Product
  readonly right: Right
  readonly levels: Levels
  readonly tile: Tile
  readonly m: Dim.Dim
  /** Rows, k and columns are in so many parts. */
  readonly parts: number
  /** Rows of a part, rounded up; k of a part, and panels. */
  readonly rows: Dim.Dim
  readonly k: number
  readonly panels: number
  /** Bytes from row to row of A and of what is made of it, and of each view of the epilogue. */
  readonly rowBytes: number
  readonly madeBytes: number
  readonly viewRows: ReadonlyArray<number>
  readonly viewColumns: ReadonlyArray<number>
  /** Of one part, in one unit: whole tiles. */
  readonly unitRows: number
  readonly unitPanels: number
}

const numbers = (dims: ReadonlyArray<Dim.Dim>): ReadonlyArray<number> | undefined => {
  const known = dims.filter((dim) => typeof dim === "number")
  return known.length === dims.length && known.every((stride) => stride >= 0) ? known : undefined
}

const tileOf = (features: Features): Tile => ({
  rows: features.relaxed ? 6 : 5,
  vectors: features.wide ? 4 : 2,
  phases: 1
})

/** Undefined where the product is none that can be divided: sizes, strides, an epilogue that asks where it is. */
export const shapeOf = (
  product: Product,
  right: Right,
  levels: Levels,
  typical: TypicalSizes,
  features: Features
): Shape | undefined => {
  const { columns, epilogue, outer, reduction, rows } = product
  const [axis] = rows
  const [along] = reduction
  if (outer.length > 0 || rows.length !== 1 || reduction.length !== 1) return undefined
  if (axis === undefined || along === undefined || along.a !== 4 || GemmEpilogue.usesIndices(epilogue)) return undefined
  const sizes = numbers([along.extent, columns.extent, axis.a])
  const [viewRows, viewColumns] = [numbers(axis.views), numbers(columns.views)]
  if (sizes === undefined || viewRows === undefined || viewColumns === undefined) return undefined
  const [allK = 0, n = 0, rowBytes = 0] = sizes
  const parts = 2 ** levels
  const m = Math.ceil(typicalSize(axis.extent, typical) / parts)
  const k = allK / parts
  const tile = tileOf(features)
  const nr = tile.vectors * 4
  if (allK > greatestK[levels] || k % 8 !== 0 || n % (parts * nr) !== 0) return undefined
  if (m < leastPart.rows || k < leastPart.k || n < parts * leastPart.columns) return undefined
  const panels = n / parts / nr
  // A multiple of 1 KiB would put all rows of a tile in the same few sets of the first cache.
  const madeBytes = k * 4 + ((k * 4) % 1024 === 0 ? 64 : 0)
  const atMost = Math.max(4 * tile.rows, Math.floor(cachedBytes[levels] / (7 ** levels * madeBytes)))
  const blocks = Math.ceil(m / atMost)
  return {
    product,
    right,
    levels,
    tile,
    m: axis.extent,
    parts,
    rows: Dim.ceilDiv(axis.extent, parts),
    k,
    panels,
    rowBytes,
    madeBytes,
    viewRows,
    viewColumns,
    unitRows: Math.ceil(m / blocks / tile.rows) * tile.rows,
    // Units enough for some threads, of eight panels at least.
    unitPanels: Math.ceil(panels / Math.max(1, Math.min(Math.ceil(4 / blocks), Math.floor((panels * parts) / 8))))
  }
}

export const unitsOf = ({ panels, rows, unitPanels, unitRows }: Shape): Dim.Dim =>
  Dim.mul(Dim.ceilDiv(rows, unitRows), Math.ceil(panels / unitPanels))

/** What of A is made, in this order. */
export const lefts = { a11: 0, a12: 1, a22: 2, s1: 3, s2: 4, s3: 5, s4: 6 } as const
/** Right operands: sums, and quarters as they are, by the half of k and of the columns. */
export const rights = {
  t1: 0,
  t2: 1,
  t3: 2,
  t4: 3,
  b11: [0, 0],
  b21: [1, 0],
  b22: [1, 1]
} as const

export type Held = 0 | 1 | 2
/** One of the seven products: its sums begin with what is held, stay held, or, with what else is held, are a quarter of C. */
interface Step {
  readonly x: keyof typeof lefts
  readonly y: keyof typeof rights
  readonly from?: Held
  readonly to?: Held
  readonly result?: { readonly lower: 0 | 1; readonly right: 0 | 1; readonly plus?: Held }
}
export const steps: ReadonlyArray<Step> = [
  { x: "a11", y: "b11", to: 0 },
  { x: "a12", y: "b21", from: 0, result: { lower: 0, right: 0 } },
  { x: "s2", y: "t2", from: 0, to: 0 },
  { x: "s3", y: "t3", from: 0, to: 1 },
  { x: "a22", y: "t4", from: 1, result: { lower: 1, right: 0 } },
  { x: "s1", y: "t1", to: 2, result: { lower: 1, right: 1, plus: 1 } },
  { x: "s4", y: "b22", from: 0, result: { lower: 0, right: 1, plus: 2 } }
]

/** Scratch memory, in bytes from its begin. */
export const scratchOf = ({ k, levels, madeBytes, parts, right, tile, unitRows }: Shape) => {
  const row = tile.vectors * 16
  const a = unitRows * madeBytes
  const b = k * row
  const column = unitRows * row
  let top = 0
  const place = (bytes: number): number => {
    const at = top
    top += Math.ceil(bytes / 64) * 64
    return at
  }
  return {
    a,
    b,
    column,
    lefts: place(7 ** levels * a),
    /** Rows of what the first of two levels makes of A. */
    outerLefts: place(levels === 2 ? 2 * 7 * 2 * k * 4 : 0),
    /** b's panels, where they are not packed. */
    panels: place(right.kind === "packed" ? 0 : parts * parts * b),
    outerRights: place(levels === 2 ? 4 * 4 * b : 0),
    rights: place(4 * b),
    held: place(3 * column),
    outerHeld: place(levels === 2 ? 3 * 4 * column : 0),
    memory: place(column),
    junk: place(column),
    outerJunk: place(levels === 2 ? 4 * column : 0),
    zeros: place(Math.max(parts * k * 4, tile.rows * row)),
    get bytes() {
      return top
    }
  }
}
