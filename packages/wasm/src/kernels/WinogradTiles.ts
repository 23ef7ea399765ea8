/**
 * WinogradTiles: the three steps of a convolution by minimal filtering, for the tiles of one unit: transforms of the input,
 * products, transforms of the output with the epilogue.
 *
 * Scratch memory: transformed input [tile][place][channel], products of one panel [tile][place][NR], a half-transformed tile.
 */
import type { Convolution } from "@anneal/lower/Region"
import type { Features } from "../Emission.ts"
import type { I32, V128 } from "../Instruction.ts"
import { i32, v128 } from "../Instruction.ts"
import type { FunctionBuilder, Local } from "../ModuleBuilder.ts"
import type { StagedAxis } from "./ConvStage.ts"
import { layOut } from "./ConvStage.ts"
import type * as GemmEpilogue from "./GemmEpilogue.ts"
import { evenly } from "./GemmProduct.ts"
import type { Registers, Size, Tile } from "./GemmTile.ts"
import { advance, emitTile, value } from "./GemmTile.ts"
import type { Filtering, Matrix } from "./WinogradTransform.ts"
import { transform } from "./WinogradTransform.ts"

const [channelAxis, firstSpatial] = [2, 3]

/** One of the two axes that tiles run along; `axis` is undefined for one that is not there. */
export interface TileAxis {
  readonly axis: number | undefined
  readonly out: number
  readonly source: number
  readonly pad: number
  readonly filter: Filtering
  readonly tiles: number
}

export interface Shape {
  readonly region: Convolution
  readonly y: TileAxis
  readonly x: TileAxis
  readonly channels: number
  readonly outChannels: number
  /** Products of a tile. */
  readonly places: number
  readonly tile: Tile
  /** Rows of tiles in a unit; tiles along x where there is no y. */
  readonly rows: number
  /** Panels of output channels in a unit. */
  readonly panels: number
}

export const nrOf = ({ tile }: Shape): number => tile.vectors * 4
export const panelsOf = (shape: Shape): number => Math.ceil(shape.outChannels / nrOf(shape))
/** Units are blocks along y, or along x where there is no y. */
export const isBlockedAlongX = ({ y }: Shape): boolean => y.axis === undefined
export const tileRows = (shape: Shape): number => (isBlockedAlongX(shape) ? 1 : shape.rows)
export const tileColumns = (shape: Shape): number => (isBlockedAlongX(shape) ? shape.rows : shape.x.tiles)
export const tilesOf = (shape: Shape): number => tileRows(shape) * tileColumns(shape)
export const blocksOf = (shape: Shape): number =>
  Math.ceil((isBlockedAlongX(shape) ? shape.x.tiles : shape.y.tiles) / shape.rows)
/** Units that share their input tiles: each does some of the panels. */
export const partsOf = (shape: Shape): number => Math.ceil(panelsOf(shape) / shape.panels)

/** Bytes from one tile to the next; not a multiple of a page, whose lines would share a place in the cache. */
const apart = (bytes: number): number => (bytes % 1024 === 0 ? bytes + 64 : bytes)
/**
 * Where transformed input lies: bytes from tile to tile and from place to place. Few channels: a tile's places side by side,
 * as they are written. Many: a place's tiles side by side, as the products read them.
 */
export const inputBytes = (shape: Shape): { readonly tile: number; readonly place: number; readonly all: number } => {
  const { channels, places } = shape
  const row = channels * 4
  if (row < 512) {
    const tile = apart(places * row)
    return { tile, place: row, all: tilesOf(shape) * tile }
  }
  const tile = apart(row)
  const place = apart(tilesOf(shape) * tile)
  return { tile, place, all: places * place }
}
export const productTileBytes = (shape: Shape): number => apart(shape.places * nrOf(shape) * 4)

/** Input that a unit reads along an axis. */
const reach = ({ filter }: TileAxis, tiles: number): number => (tiles - 1) * filter.step + filter.reach

/** The copy of a unit's input; undefined where all that tiles read is there. */
export const copyOf = (shape: Shape): ReadonlyArray<StagedAxis> | undefined => {
  const { region, x, y } = shape
  const rest = (axis: TileAxis): boolean => axis.pad !== 0 || reach(axis, axis.tiles) > axis.source
  // The last block may have fewer tiles than the others.
  const blocked = isBlockedAlongX(shape) ? x : y
  if (!rest(x) && !rest(y) && blocked.tiles % shape.rows === 0) return undefined
  return layOut(region.input, [
    ...(y.axis === undefined ? [] : [{ axis: firstSpatial + y.axis, extent: reach(y, tileRows(shape)), pad: y.pad }]),
    { axis: firstSpatial + (x.axis ?? 0), extent: reach(x, tileColumns(shape)), pad: x.pad },
    { axis: channelAxis, extent: shape.channels, pad: 0 }
  ])
}

// ---- code -----------------------------------------------------------------------------------------------------------

export interface Context {
  readonly f: FunctionBuilder
  readonly features: Features
  readonly shape: Shape
  /** Vectors of channels that are transformed side by side. */
  readonly group: number
  /** Scratch: the transformed input, the products of a panel, a half-transformed tile. */
  readonly input: Local<"i32">
  readonly products: Local<"i32">
  readonly half: Local<"i32">
}

/** Where a tile's elements are, in bytes. */
interface TileBytes {
  readonly row: number
  readonly column: number
}

/**
 * matrixY · tile · matrixXᵀ for a group of vectors; `done` takes the rows of what comes out one after the other, in a loop.
 * The half-transformed tile goes through memory: it does not fit the registers.
 */
const both = (
  context: Context,
  along: { readonly y: Matrix; readonly x: Matrix },
  group: number,
  from: Local<"i32">,
  bytes: TileBytes,
  done: (values: ReadonlyArray<ReadonlyArray<V128>>) => void
): void => {
  const { f, features, half } = context
  const width = along.x[0]?.length ?? 1
  const height = along.y[0]?.length ?? 1
  const rows = along.y.length
  /** One line of the tile, transformed: [place][vector]. */
  const line = (
    matrix: Matrix,
    pointer: Local<"i32">,
    count: number,
    step: number
  ): ReadonlyArray<ReadonlyArray<V128>> => {
    const vectors = Array.from({ length: group }, (_, vector) =>
      transform(
        f,
        features,
        matrix,
        Array.from({ length: count }, (__, place) =>
          f.get(f.let(v128.load(f.get(pointer), place * step + vector * 16)))
        )
      )
    )
    return matrix.map((_, place) =>
      vectors.map((made) => {
        const one = made[place]
        if (one === undefined) throw new RangeError(`the transform has no place ${place}`)
        return one
      })
    )
  }
  if (height === 1) return done(line(along.x, from, width, bytes.column))
  const [column, to] = [f.let(f.get(from)), f.let(f.get(half))]
  f.range(0, width, 1, () => {
    line(along.y, column, height, bytes.row).forEach((vectors, row) =>
      vectors.forEach((made, vector) => f.do(v128.store(f.get(to), made, (row * width * group + vector) * 16)))
    )
    f.set(column, i32.add(f.get(column), i32.const(bytes.column)))
    f.set(to, i32.add(f.get(to), i32.const(group * 16)))
  })
  const row = f.let(f.get(half))
  f.range(0, rows, 1, () => {
    done(line(along.x, row, width, group * 16))
    f.set(row, i32.add(f.get(row), i32.const(width * group * 16)))
  })
}

export interface InputStrides {
  readonly y: number
  readonly x: number
}

/** Bᵀ d B of all tiles of a unit. */
export const inputTransforms = (
  context: Context,
  from: Local<"i32">,
  strides: InputStrides,
  rows: Size,
  columns: Size
): void => {
  const { f, group, shape } = context
  const { channels, x, y } = shape
  const vectors = channels / 4
  const into = inputBytes(shape)
  const to = f.let(f.get(context.input))
  const line = f.let(f.get(from))
  f.range(0, value(f, rows), 1, () => {
    const tile = f.let(f.get(line))
    f.range(0, value(f, columns), 1, () => {
      const [source, target] = [f.let(f.get(tile)), f.let(f.get(to))]
      const some = (count: number): void => {
        const place = f.let(f.get(target))
        const bytes = { row: strides.y, column: strides.x }
        both(context, { y: y.filter.input, x: x.filter.input }, count, source, bytes, (values) => {
          values.forEach((made, column) =>
            made.forEach((vector, index) => f.do(v128.store(f.get(place), vector, column * into.place + index * 16)))
          )
          f.set(place, i32.add(f.get(place), i32.const(x.filter.size * into.place)))
        })
      }
      const whole = Math.floor(vectors / group)
      f.range(0, whole, 1, () => {
        some(group)
        if (whole > 1 || vectors % group > 0) {
          f.set(source, i32.add(f.get(source), i32.const(group * 16)))
          f.set(target, i32.add(f.get(target), i32.const(group * 16)))
        }
      })
      if (vectors % group > 0) some(vectors % group)
      f.set(tile, i32.add(f.get(tile), i32.const(x.filter.step * strides.x)))
      f.set(to, i32.add(f.get(to), i32.const(into.tile)))
    })
    f.set(line, i32.add(f.get(line), i32.const(y.filter.step * strides.y)))
  })
}

/** The products of one panel, place by place. */
export const panelProducts = (context: Context, registers: Registers, weights: Local<"i32">, tiles: Size): void => {
  const { f, features, shape } = context
  const { channels, places, tile } = shape
  const input = inputBytes(shape)
  const nr = nrOf(shape)
  const [a, b, c] = [f.let(f.get(context.input)), f.let(f.get(weights)), f.let(f.get(context.products))]
  f.range(0, places, 1, () => {
    const [row, result] = [f.let(f.get(a)), f.let(f.get(c))]
    const some = (rows: number): void => {
      const sums = emitTile(
        f,
        features,
        registers,
        { ...tile, rows },
        { step: nr * 4, lastLanes: 4 },
        {
          a: row,
          rowBytes: input.tile,
          b,
          reduction: [{ extent: channels, a: 4 }]
        }
      )
      sums.forEach((vectors, r) =>
        vectors.forEach((sum, v) => f.do(v128.store(f.get(result), f.get(sum), r * productTileBytes(shape) + v * 16)))
      )
      f.set(row, i32.add(f.get(row), i32.const(rows * input.tile)))
      f.set(result, i32.add(f.get(result), i32.const(rows * productTileBytes(shape))))
    }
    if (typeof tiles === "number")
      for (const { count, size } of evenly(tiles, tile.rows)) f.range(0, count, 1, () => some(size))
    else {
      const left = f.let(f.get(tiles))
      const loop = (rows: number): void =>
        f.block((out) =>
          f.loop((again) => {
            f.brIf(out, i32.lt_s(f.get(left), i32.const(rows)))
            some(rows)
            f.set(left, i32.sub(f.get(left), i32.const(rows)))
            f.br(again)
          })
        )
      loop(tile.rows)
      if (tile.rows > 3) loop(2)
      if (tile.rows > 1) loop(1)
    }
    f.set(a, i32.add(f.get(a), i32.const(input.place)))
    f.set(b, i32.add(f.get(b), i32.const(channels * nr * 4)))
    f.set(c, i32.add(f.get(c), i32.const(nr * 4)))
  })
}

export interface OutputPlace {
  /** The unit's first output row and column. */
  readonly row: I32
  readonly column: I32
  readonly views: ReadonlyArray<Local<"i32">>
  readonly viewBytes: ReadonlyArray<{ readonly y: Size; readonly x: Size; readonly channel: Size }>
  readonly indices: ReadonlyMap<number, I32>
  readonly channel: I32
}

/** Aᵀ … A and the epilogue for one panel of channels, of which `width` are there. */
export const outputTransforms = (
  context: Context,
  epilogue: GemmEpilogue.EpilogueCode,
  memory: Local<"i32"> | undefined,
  place: OutputPlace,
  width: number,
  rows: Size,
  columns: Size
): void => {
  const { f, group, shape } = context
  const { x, y } = shape
  const nr = nrOf(shape)
  const bytes = (view: number, axis: "y" | "x" | "channel"): Size => place.viewBytes[view]?.[axis] ?? 0
  const copied = (pointers: ReadonlyArray<Local<"i32">>): ReadonlyArray<Local<"i32">> =>
    pointers.map((pointer) => f.let(f.get(pointer)))
  const from = f.let(f.get(context.products))
  const line = copied(place.views)
  const rowIndex = f.let(place.row)

  /** A group of channels of one tile; `channel`: the first, from the panel's. */
  const some = (
    source: Local<"i32">,
    tile: ReadonlyArray<Local<"i32">>,
    columnIndex: Local<"i32">,
    channel: I32,
    lanes: number
  ): void => {
    const pointers = copied(tile)
    const row = f.let(f.get(rowIndex))
    const pixels = (sums: ReadonlyArray<ReadonlyArray<V128>>): void =>
      epilogue.tile({
        sums: sums.map((vectors) => vectors.map((sum) => f.let(sum))),
        width: lanes,
        views: pointers,
        rowBytes: tile.map((_, view) => bytes(view, "x")),
        columnBytes: tile.map((_, view) => bytes(view, "channel")),
        rowDomain: x.axis === undefined ? undefined : firstSpatial + x.axis,
        columnDomain: channelAxis,
        indices: new Map([
          ...place.indices,
          ...(y.axis === undefined ? [] : [[firstSpatial + y.axis, f.get(row)] as const]),
          ...(x.axis === undefined ? [] : [[firstSpatial + x.axis, f.get(columnIndex)] as const]),
          [channelAxis, i32.add(place.channel, channel)]
        ]),
        memory
      })
    const tileBytes = { row: x.filter.size * nr * 4, column: nr * 4 }
    const vectors = Math.ceil(lanes / 4)
    both(context, { y: y.filter.output, x: x.filter.output }, vectors, source, tileBytes, (values) => {
      const all = (): void => {
        if (x.out % x.filter.m === 0) return pixels(values)
        // The last tile reaches over the output's end.
        const kept = values.map((made) => made.map((vector) => f.get(f.let(vector))))
        f.if(
          i32.le_s(i32.add(f.get(columnIndex), i32.const(x.filter.m)), i32.const(x.out)),
          () => pixels(kept),
          () => pixels(kept.slice(0, x.out % x.filter.m))
        )
      }
      if (y.out % y.filter.m === 0) all()
      else f.if(i32.lt_s(f.get(row), i32.const(y.out)), all)
      pointers.forEach((pointer, view) => advance(f, pointer, 1, bytes(view, "y")))
      f.set(row, i32.add(f.get(row), i32.const(1)))
    })
  }

  f.range(0, value(f, rows), 1, () => {
    const tile = copied(line)
    const columnIndex = f.let(place.column)
    f.range(0, value(f, columns), 1, () => {
      const source = f.let(f.get(from))
      const own = copied(tile)
      const whole = Math.floor(width / (group * 4))
      const rest = width % (group * 4)
      f.range(0, whole, 1, (index) => {
        some(source, own, columnIndex, i32.mul(f.get(index), i32.const(group * 4)), group * 4)
        if (whole === 1 && rest === 0) return
        f.set(source, i32.add(f.get(source), i32.const(group * 16)))
        own.forEach((pointer, view) => advance(f, pointer, group * 4, bytes(view, "channel")))
      })
      if (rest > 0) some(source, own, columnIndex, i32.const(whole * group * 4), rest)
      f.set(from, i32.add(f.get(from), i32.const(productTileBytes(shape))))
      tile.forEach((pointer, view) => advance(f, pointer, x.filter.m, bytes(view, "x")))
      f.set(columnIndex, i32.add(f.get(columnIndex), i32.const(x.filter.m)))
    })
    line.forEach((pointer, view) => advance(f, pointer, y.filter.m, bytes(view, "y")))
    f.set(rowIndex, i32.add(f.get(rowIndex), i32.const(y.filter.m)))
  })
}
