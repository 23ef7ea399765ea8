/**
 * GemmBlocking: tile shapes for a product's sizes, and how much of it is one unit.
 */
import type { Features } from "../Emission.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import { sizesOf } from "./GemmCost.ts"
import type { Blocking, Product } from "./GemmProduct.ts"
import { evenly } from "./GemmProduct.ts"
import type { Tile } from "./GemmTile.ts"
import { registersOf } from "./GemmTile.ts"
import { unitSize, wantedUnits } from "./UnitSize.ts"

/** Tile shapes that fit the registers, by what they are good for: many rows, few rows, one row. */
const shapes: ReadonlyArray<readonly [rows: number, vectors: number]> = [
  [6, 2],
  [5, 2],
  [4, 2],
  [3, 3],
  [2, 5],
  [2, 4],
  [1, 8],
  [1, 4],
  [1, 2],
  [2, 2],
  [3, 2],
  [12, 1],
  [8, 1],
  [6, 1],
  [4, 1],
  [2, 1],
  [1, 1]
]
/** In pairs of vectors, as V8's revectorizer joins them. */
const wideShapes: ReadonlyArray<readonly [rows: number, vectors: number]> = [
  [6, 4],
  [5, 4],
  [4, 4],
  [3, 6],
  [2, 8],
  [1, 16],
  [1, 8],
  [12, 2],
  [8, 2],
  [4, 2]
]

/** Tiles for so many rows and columns: with as many phases as keep eight sums apart. */
export const tilesFor = (rows: number, columns: number, features: Features): ReadonlyArray<Tile> => {
  const limit = features.relaxed ? 15 : 14
  const make = ([r, v]: readonly [number, number], width: number): Tile => {
    const sums = (r * v) / width
    let phases = 1
    while (sums * phases < 6 && phases < 4) phases *= 2
    return { rows: r, vectors: v, phases }
  }
  const fits = (tile: Tile, width: number): boolean =>
    registersOf({ ...tile, vectors: tile.vectors / width }) <= limit &&
    tile.rows <= Math.max(1, rows) &&
    (tile.vectors - width) * 4 < columns
  return [
    ...(features.wide ? wideShapes.map((shape) => make(shape, 2)).filter((tile) => fits(tile, 2)) : []),
    ...shapes.map((shape) => make(shape, 1)).filter((tile) => fits(tile, 1))
  ]
}

/** Tiles that cut so many rows in the same way are one choice: the first stands for them. */
export const distinct = (tiles: ReadonlyArray<Tile>, rows: number): ReadonlyArray<Tile> => {
  const seen = new Set<string>()
  return tiles.filter(({ phases, rows: limit, vectors }) => {
    const cuts = evenly(rows, limit).map(({ count, size }) => `${count}x${size}`)
    const key = `${vectors} ${phases} ${cuts.join()}`
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

export interface Ranked {
  readonly tile: Tile
  readonly kernel: Kernel
}

/** So many of the cheapest, of each panel width one before a second of any. */
export const varied = (ranked: ReadonlyArray<Ranked>, count: number): ReadonlyArray<Kernel> => {
  const sorted = [...ranked].sort((x, y) => x.kernel.cost - y.kernel.cost)
  const widths = new Set<number>()
  const first = sorted.filter(({ tile }) => {
    const isNew = !widths.has(tile.vectors)
    widths.add(tile.vectors)
    return isNew
  })
  const rest = sorted.filter((one) => !first.includes(one))
  return [...first, ...rest].slice(0, count).map(({ kernel }) => kernel)
}

/** Of 128 bits, where it is good: for the size of units. */
const flopsPerNanosecond = 55

/**
 * Rows and panels of a unit: panels stay in the first cache, rows in the second; work for threads to share. `rowBytes`:
 * what one index of the first row axis takes of A, where it is not k and the other rows.
 */
export const blockingFor = (product: Product, tile: Tile, typical: TypicalSizes, rowBytes?: number): Blocking => {
  const { columns, k, outer, rows } = sizesOf(product, typical)
  const first = rows[0] ?? 1
  const inner = rows.slice(1).reduce((count, extent) => count * extent, 1)
  const single = rows.length === 1
  const across = Math.ceil(columns / (tile.vectors * 4))
  const flops = 2 * outer * first * inner * columns * k
  const wanted = wantedUnits(flops / flopsPerNanosecond)
  const cached = Math.max(1, Math.floor(400_000 / (rowBytes ?? 4 * k * inner)))
  // Each block of rows packs b again: they are few then, and columns are divided.
  const packs = product.right.kind === "panels" && product.right.from === "scratch"
  const share = Math.ceil((first * outer) / wanted)
  const perUnit = Math.max(1, packs ? Math.min(Math.max(256, share), first) : Math.min(cached, share, first))
  const floor = single ? Math.min(first, tile.rows * 4) : Math.max(1, Math.ceil(24 / inner))
  const atLeast = Math.max(perUnit, floor)
  const blockRows = unitSize(first, Math.max(1, Math.round(first / atLeast)), single ? tile.rows : 1)
  const units = outer * Math.ceil(first / blockRows)
  const panelBlocks = Math.min(across, Math.max(1, Math.ceil(wanted / units)))
  return { tile, rows: blockRows, panels: unitSize(across, panelBlocks) }
}
