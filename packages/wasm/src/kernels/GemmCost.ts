/**
 * GemmCost: predicted time of products of register tiles, from what limits them: the two FMA units, the two load ports,
 * the latency of chains of sums, the levels of memory that b comes from.
 *
 * Constants: Zen 4 at 3.7 GHz, 128-bit vectors; only the order of candidates matters.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Epilogue } from "@anneal/lower/Region"
import type { Features } from "../Emission.ts"
import type { TypicalSizes } from "../Kernel.ts"
import { weigh } from "./GemmEpilogue.ts"
import type { Blocking, Product } from "./GemmProduct.ts"
import { blocksOf, evenly, panelBlocksOf, viewsOf } from "./GemmProduct.ts"
import type { Tile } from "./GemmTile.ts"

export const nanosecondsPerCycle = 0.27
/** Calling a kernel. */
export const callNanoseconds = 15

/** The size that candidates are ranked for. */
export const typicalSize = (dim: Dim.Dim, typical: TypicalSizes): number =>
  typeof dim === "number" ? dim : Math.max(1, Dim.evaluate(dim, typical) ?? 64)

/** Cycles of one k of a tile. */
export const cyclesOfStep = ({ phases, rows, vectors }: Tile, features: Features): number => {
  const wide = features.wide && vectors % 2 === 0 ? vectors / 2 : vectors
  const sums = rows * wide
  const arithmetic = features.relaxed ? sums / 2 : sums * 0.6
  const latency = (features.relaxed ? 4 : 7) / phases
  // Eight sums just cover the latency: each delay shows. Twelve hide it.
  const slack = sums * phases >= 12 ? 0.15 : sums * phases >= 10 ? 0.3 : 0.4
  return Math.max(arithmetic, (rows + wide) / 2 + 0.2, latency) + slack
}

/** Bytes a cycle that a stream of that many bytes, read again and again, comes at. */
export const bytesPerCycle = (bytes: number): number =>
  bytes < 24_000 ? 48 : bytes < 700_000 ? 20 : bytes < 20e6 ? 8 : 4

/** Cycles of an epilogue for one vector that runs along an axis of its domain. */
export const epilogueCyclesOf = (epilogue: Epilogue, axis: number): number => {
  const scattered = viewsOf(epilogue).filter((view) => view.strides[axis] !== 0 && view.strides[axis] !== 1).length
  const weight = weigh(epilogue)
  return 1 + weight * 0.6 + scattered * 6 + (weight > 14 ? 3 : 0)
}

export interface ProductSizes {
  readonly outer: number
  readonly rows: ReadonlyArray<number>
  readonly columns: number
  readonly k: number
}

export const sizesOf = (product: Product, typical: TypicalSizes): ProductSizes => ({
  outer: product.outer.reduce((count, { extent }) => count * typicalSize(extent, typical), 1),
  rows: product.rows.map(({ extent }) => typicalSize(extent, typical)),
  columns: typicalSize(product.columns.extent, typical),
  k: product.reduction.reduce((count, { extent }) => count * typicalSize(extent, typical), 1)
})

/** Tiles along the last row axis, as sizes and counts. */
const tilesOf = (
  rows: number,
  known: boolean,
  limit: number
): ReadonlyArray<{ readonly size: number; readonly count: number }> => {
  if (known) return evenly(rows, limit)
  const cuts = [{ size: limit, count: Math.floor(rows / limit) }]
  let rest = rows % limit
  for (let size = 4; size >= 1; size /= 2)
    if (rest >= size && size < limit) {
      cuts.push({ size, count: Math.floor(rest / size) })
      rest %= size
    }
  return cuts
}

/** Predicted nanoseconds of a product without what stages add. */
export const costOf = (product: Product, blocking: Blocking, typical: TypicalSizes, features: Features): number => {
  const { columns, k, outer, rows } = sizesOf(product, typical)
  const { tile } = blocking
  const nr = tile.vectors * 4
  const last = rows.at(-1) ?? 1
  const lastAxis = product.rows.at(-1)
  const known = typeof lastAxis?.extent === "number" && (product.rows.length > 1 || last <= blocking.rows)
  const inner = rows.slice(0, -1).reduce((count, extent) => count * extent, 1)
  const perVector = epilogueCyclesOf(product.epilogue, product.columns.domain ?? 0)
  const panel = (vectors: number): number => {
    let cycles = 0
    for (const { count, size } of tilesOf(last, known, tile.rows)) {
      const shape = { ...tile, rows: size, vectors }
      const depth = product.reduction.length > 1 ? k / typicalSize(product.reduction.at(-1)?.extent ?? 1, typical) : 1
      // The loop's start and its end: sums are set, phases added, pointers moved, one branch guessed wrong now and then.
      const around =
        10 + Math.min(k / 4, 8) + size * vectors * (perVector + tile.phases - 1) + Math.min(depth, k / 8) * 3
      cycles += count * (k * cyclesOfStep(shape, features) + around)
    }
    return cycles * inner
  }
  const full = Math.floor(columns / nr)
  const tail = columns - full * nr
  let cycles = full * panel(tile.vectors)
  if (tail > 0) cycles += panel(Math.ceil(tail / 4)) + (tail % 4) * last * inner * perVector
  // b comes once for each block of rows, from as far as it lies.
  const blocks = typicalSize(blocksOf(product, blocking), typical)
  const bytes = 4 * k * columns
  const panelBytes = 4 * k * nr
  const stream = (blocks * bytes) / bytesPerCycle(bytes * outer)
  const tilesPerPanel = Math.max(1, (inner * last) / tile.rows / blocks)
  const again = panelBytes > 24_000 ? (blocks * (tilesPerPanel - 1) * bytes) / 40 : 0
  const units = outer * blocks * typicalSize(panelBlocksOf(product, blocking), typical)
  const total =
    outer * Math.max(cycles + again * 0.3, stream * 1.0) + Math.min(outer * stream, outer * cycles) * 0.1 + units * 25
  return callNanoseconds + total * nanosecondsPerCycle
}
