/**
 * GemmProduct: what a contraction and an implicit-GEMM convolution have in common, as loops over one register tile.
 *
 *   unit (outer axes, a block of the first row axis, a block of panels)
 *     panel of NR columns
 *       row axes, the last one in tiles of MR rows
 *         tile: Σ_k A · panel, then the epilogue
 *
 * Everything that is known is a constant in the code; what is not is a size in a local.
 */
import * as Dim from "@anneal/ir/Dim"
import * as DType from "@anneal/ir/DType"
import type { Epilogue } from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import type { Emission } from "../Emission.ts"
import type { Func, FunctionBuilder, Local } from "../ModuleBuilder.ts"
import { i32 } from "../Instruction.ts"
import type { I32 } from "../Instruction.ts"
import type { EpilogueCode } from "./GemmEpilogue.ts"
import { epilogueCode, needsMemory } from "./GemmEpilogue.ts"
import type { Reduction, Size, Tile } from "./GemmTile.ts"
import { unitLoop } from "./UnitLoop.ts"
import { advance, emitTile, offsetBy, Registers, value } from "./GemmTile.ts"

/** Strides are in bytes. */
export interface Axis {
  readonly extent: Dim.Dim
  readonly a: Dim.Dim
  readonly b: Dim.Dim
  /** One for each view of the epilogue: operands, then results. */
  readonly views: ReadonlyArray<Dim.Dim>
  /** The axis of the epilogue's domain; undefined for axes that were joined. */
  readonly domain: number | undefined
}

export type Right =
  /** Panels [n / NR][k][NR], padded. Its address is the packed constant's, or where `stage` put it. */
  | { readonly kind: "panels"; readonly from: "packed" | "scratch" }
  /** In place: columns lie side by side, `step` bytes from one k to the next. */
  | { readonly kind: "rows"; readonly step: Dim.Dim }

export interface Product {
  /** Axes that units are divided along. */
  readonly outer: ReadonlyArray<Axis>
  /** The first is divided in blocks, the last in tiles; b does not move along them. At least one. */
  readonly rows: ReadonlyArray<Axis>
  readonly columns: Pick<Axis, "extent" | "views" | "domain">
  /** Outermost first. b's panels follow this order. */
  readonly reduction: ReadonlyArray<{ readonly extent: Dim.Dim; readonly a: Dim.Dim }>
  readonly right: Right
  readonly epilogue: Epilogue
}

export interface Blocking {
  readonly tile: Tile
  /** Of the first row axis, in one unit. */
  readonly rows: number
  /** Panels in one unit. */
  readonly panels: number
}

/** Where a unit stands, for code that prepares its operands in scratch memory. */
export interface UnitPoint {
  /**
   * Addresses of A and b where the unit begins: outer axes and blocks of rows are applied, and the block of panels unless
   * the stage makes them.
   */
  readonly a: Local<"i32">
  readonly b: Local<"i32">
  readonly scratch: Local<"i32">
  /** The first index along the first row axis, and how many there are. */
  readonly row: I32
  readonly rows: Size
  /** The first column, and how many there are. */
  readonly column: I32
  readonly columns: Size
}

/** Code that a unit runs first; it may set `a` or `b` to what it made. Strides of the product are those of what it makes. */
export type Stage = (f: FunctionBuilder, emission: Emission, point: UnitPoint) => void

export const viewsOf = (epilogue: Epilogue): ReadonlyArray<View> => [
  ...epilogue.operands,
  ...epilogue.results.map(({ view }) => view)
]

/** Bytes from one element to the next along an axis. */
export const byteStride = (view: View, axis: number): Dim.Dim =>
  Dim.mul(view.strides[axis] ?? 0, DType.slotBytes(view.dtype))

const sameDim = (a: Dim.Dim, b: Dim.Dim): boolean => Dim.equal(a, b) === true

const continues = (outer: Axis, inner: Axis): boolean =>
  outer.domain !== undefined &&
  sameDim(outer.a, Dim.mul(inner.a, inner.extent)) &&
  sameDim(outer.b, Dim.mul(inner.b, inner.extent)) &&
  outer.views.every((stride, view) => sameDim(stride, Dim.mul(inner.views[view] ?? 0, inner.extent)))

/** Row axes with neighbours joined where memory allows; axes of extent 1 left out, all but one. */
export const joinedRows = (axes: ReadonlyArray<Axis>): ReadonlyArray<Axis> => {
  const result: Array<Axis> = []
  for (const axis of axes) {
    if (axis.extent === 1) continue
    const last = result.at(-1)
    if (last !== undefined && continues({ ...last, domain: 0 }, axis))
      result[result.length - 1] = { ...axis, extent: Dim.mul(last.extent, axis.extent), domain: undefined }
    else result.push(axis)
  }
  const [first] = axes
  return result.length > 0 || first === undefined ? result : [first]
}

/** Rows cut into tiles of at most `limit` whose sizes differ by one at most: 20 in four of 5, not 6, 6, 6, 2. */
export const evenly = (
  rows: number,
  limit: number
): ReadonlyArray<{ readonly size: number; readonly count: number }> => {
  if (rows <= 0) return []
  const tiles = Math.ceil(rows / limit)
  const size = Math.ceil(rows / tiles)
  const smaller = tiles * size - rows
  return [
    { size, count: tiles - smaller },
    { size: size - 1, count: smaller }
  ].filter(({ count }) => count > 0)
}

export const blocksOf = (product: Product, blocking: Blocking): Dim.Dim =>
  Dim.ceilDiv(product.rows[0]?.extent ?? 1, blocking.rows)

export const panelBlocksOf = (product: Product, blocking: Blocking): Dim.Dim =>
  Dim.ceilDiv(product.columns.extent, blocking.panels * blocking.tile.vectors * 4)

export const unitsOf = (product: Product, blocking: Blocking): Dim.Dim =>
  Dim.product([
    ...product.outer.map(({ extent }) => extent),
    blocksOf(product, blocking),
    panelBlocksOf(product, blocking)
  ])

interface SizedAxis {
  readonly extent: Size
  readonly a: Size
  readonly b: Size
  readonly views: ReadonlyArray<Size>
  readonly domain: number | undefined
}

/** Pointers at one place of the loops. */
interface Place {
  readonly a: Local<"i32">
  readonly views: ReadonlyArray<Local<"i32">>
  /** Index along each axis of the domain, as far as it is known there. */
  readonly indices: ReadonlyMap<number, I32>
}

interface Context {
  readonly f: FunctionBuilder
  readonly emission: Emission
  readonly tile: Tile
  readonly registers: Registers
  readonly reduction: ReadonlyArray<Reduction>
  readonly rows: ReadonlyArray<SizedAxis>
  readonly columns: SizedAxis
  readonly panelStep: Size
  readonly inPlace: boolean
  readonly epilogue: EpilogueCode
  readonly scratchTile: Local<"i32"> | undefined
  /** Rows of the tile that ends the last block (0: none), where that is known. */
  readonly lastTile: number | undefined
}

/** How many columns of a panel there are: all, fewer, or known only when it runs. */
type Width = number | Local<"i32">

const oneTile = (context: Context, rows: number, width: Width, b: Local<"i32">, place: Place): void => {
  const { columns, emission, epilogue, f, registers } = context
  const axis = context.rows.at(-1)
  if (axis === undefined) throw new RangeError("a product has a row axis")
  const vectors = typeof width === "number" ? Math.ceil(width / 4) : context.tile.vectors
  const tile = { ...context.tile, rows, vectors }
  const lastLanes = context.inPlace && typeof width === "number" && width % 4 !== 0 ? width % 4 : 4
  const sums = emitTile(
    f,
    emission.features,
    registers,
    tile,
    { step: context.panelStep, lastLanes },
    { a: place.a, rowBytes: axis.a, b, reduction: context.reduction }
  )
  epilogue.tile({
    sums,
    width,
    views: place.views,
    rowBytes: axis.views,
    rowDomain: axis.domain,
    columnBytes: columns.views,
    columnDomain: columns.domain,
    indices: place.indices,
    memory: context.scratchTile
  })
}

const moved = (f: FunctionBuilder, place: Place, rows: number, axis: SizedAxis): void => {
  advance(f, place.a, rows, axis.a)
  place.views.forEach((pointer, view) => advance(f, pointer, rows, axis.views[view] ?? 0))
}

/** Pointers of their own where the axis moves them. */
const copied = (f: FunctionBuilder, place: Place, axis: SizedAxis): Place => ({
  ...place,
  a: axis.a === 0 ? place.a : f.let(f.get(place.a)),
  views: place.views.map((pointer, view) => (axis.views[view] === 0 ? pointer : f.let(f.get(pointer))))
})

const withIndex = (place: Place, domain: number | undefined, index: I32): Place =>
  domain === undefined ? place : { ...place, indices: new Map([...place.indices, [domain, index]]) }

/** The last row axis, in tiles. `first` is the index where it begins. */
const tiles = (
  context: Context,
  count: Size,
  first: I32 | undefined,
  width: Width,
  b: Local<"i32">,
  outer: Place
): void => {
  const { f, tile } = context
  const axis = context.rows.at(-1)
  if (axis === undefined) throw new RangeError("a product has a row axis")
  const indexed = axis.domain !== undefined && context.epilogue.usesIndices
  const index = indexed ? f.let(first ?? i32.const(0)) : undefined
  const body = (rows: number, place: Place, last: boolean): void => {
    const here = index === undefined ? place : withIndex(place, axis.domain, f.get(index))
    oneTile(context, rows, width, b, here)
    if (last) return
    moved(f, place, rows, axis)
    if (index !== undefined) advance(f, index, rows, 1)
  }
  if (typeof count === "number") {
    const cuts = evenly(count, tile.rows)
    const single = cuts.length === 1 && cuts[0]?.count === 1
    const place = single ? outer : copied(f, outer, axis)
    cuts.forEach(({ count: times, size }, cut) =>
      f.range(0, times, 1, () => body(size, place, times === 1 && cut === cuts.length - 1))
    )
    return
  }
  const place = copied(f, outer, axis)
  const left = f.let(f.get(count))
  const take = (rows: number): void => f.set(left, i32.sub(f.get(left), i32.const(rows)))
  const whole = (): void =>
    f.block((out) =>
      f.loop((again) => {
        f.brIf(out, i32.lt_s(f.get(left), i32.const(tile.rows)))
        body(tile.rows, place, false)
        take(tile.rows)
        f.br(again)
      })
    )
  if (context.lastTile !== undefined) {
    const rows = context.lastTile
    whole()
    if (rows > 0) f.if(i32.gt_s(f.get(left), i32.const(0)), () => body(rows, place, true))
    return
  }
  if (tile.rows === 1) return f.range(0, f.get(left), 1, () => body(1, place, false))
  whole()
  let rest = 1
  while (rest * 2 < tile.rows) rest *= 2
  for (; rest > 1; rest /= 2) {
    const rows = rest
    f.if(i32.ge_s(f.get(left), i32.const(rows)), () => {
      body(rows, place, false)
      take(rows)
    })
  }
  f.if(i32.gt_s(f.get(left), i32.const(0)), () => body(1, place, true))
}

const rowAxes = (
  context: Context,
  level: number,
  count: Size,
  first: I32 | undefined,
  width: Width,
  b: Local<"i32">,
  outer: Place
): void => {
  const { f } = context
  const axis = context.rows[level]
  if (axis === undefined) throw new RangeError("a product has a row axis")
  if (level === context.rows.length - 1) return tiles(context, count, first, width, b, outer)
  const place = copied(f, outer, axis)
  f.range(0, typeof count === "number" ? count : f.get(count), 1, (i) => {
    const index = first === undefined ? f.get(i) : i32.add(first, f.get(i))
    const inner = context.rows[level + 1]?.extent ?? 1
    rowAxes(context, level + 1, inner, undefined, width, b, withIndex(place, axis.domain, index))
    moved(f, place, 1, axis)
  })
}

const panelLoop = (context: Context, blocking: Blocking, point: UnitPoint, panelBytes: Size, outer: Place): void => {
  const { columns, f, tile } = context
  const nr = tile.vectors * 4
  const b = f.let(f.get(point.b))
  const place: Place = { ...outer, views: outer.views.map((pointer) => f.let(f.get(pointer))) }
  const column = f.let(point.column)
  const whole = (width: Width): void => {
    const here = withIndex(place, columns.domain, f.get(column))
    // Tiles run along the first axis too where it is the only one.
    rowAxes(context, 0, point.rows, context.epilogue.usesIndices ? point.row : undefined, width, b, here)
  }
  const next = (): void => {
    f.set(b, i32.add(f.get(b), value(f, panelBytes)))
    place.views.forEach((pointer, view) => advance(f, pointer, nr, columns.views[view] ?? 0))
    f.set(column, i32.add(f.get(column), i32.const(nr)))
  }
  if (typeof columns.extent === "number") {
    const extent = columns.extent
    const full = Math.floor(extent / nr)
    const tail = extent % nr
    const single = Math.ceil(extent / nr) <= blocking.panels
    if (single) {
      f.range(0, full, 1, () => {
        whole(nr)
        if (full > 1 || tail > 0) next()
      })
      if (tail > 0) whole(tail)
      return
    }
    const end = f.let(i32.add(point.column, i32.const(blocking.panels * nr)))
    const last = full * nr
    const stop = f.let(i32.const(last))
    f.if(i32.lt_s(f.get(end), f.get(stop)), () => f.set(stop, f.get(end)))
    f.range(f.get(column), f.get(stop), nr, () => {
      whole(nr)
      next()
    })
    if (tail > 0) f.if(i32.gt_s(f.get(end), i32.const(last)), () => whole(tail))
    return
  }
  const left = f.let(value(f, point.columns))
  f.block((out) =>
    f.loop((again) => {
      f.brIf(out, i32.lt_s(f.get(left), i32.const(nr)))
      whole(nr)
      next()
      f.set(left, i32.sub(f.get(left), i32.const(nr)))
      f.br(again)
    })
  )
  f.if(i32.gt_s(f.get(left), i32.const(0)), () => whole(left))
}

export interface ProductCode {
  readonly product: Product
  /** Which of the region's two operands is A: 0, or 1 for a product that was turned round. */
  readonly left: 0 | 1
  readonly blocking: Blocking
  /** Constants that the kernel has packed. */
  readonly packed: number
  readonly stage?: Stage
  /** The stage makes a copy of A for the unit's rows: `a` is not moved to them. */
  readonly stagesRows?: boolean
  /** Bytes of scratch memory that the stage takes; the tile in memory comes after them. */
  readonly staged: Dim.Dim
}

/** Scratch bytes for tiles that leave the registers; 0 where none does. */
export const tileScratch = (product: Product, blocking: Blocking): number =>
  needsMemory(product.epilogue, typeof product.columns.extent === "number", product.columns.views)
    ? blocking.tile.rows * blocking.tile.vectors * 16
    : 0

/** The kernel's function: addresses of a, b, the epilogue's views, packed constants, scratch, begin and end of units. */
export const emitProduct = (emission: Emission, name: string, code: ProductCode): Func => {
  const { blocking, packed, product } = code
  const views = viewsOf(product.epilogue)
  const count = 2 + views.length + packed + 3
  return unitLoop(emission, name, count, unitsOf(product, blocking), (f) => {
    const parameter = (index: number): Local<"i32"> => ({ type: "i32", index })
    const size = (dim: Dim.Dim): Size => (typeof dim === "number" ? dim : f.let(emission.dim(dim)))
    const sized = (axis: Axis): SizedAxis => ({
      extent: size(axis.extent),
      a: size(axis.a),
      b: size(axis.b),
      views: axis.views.map(size),
      domain: axis.domain
    })
    const scratch = parameter(count - 3)
    const outer = product.outer.map(sized)
    const rows = product.rows.map(sized)
    const [firstRows] = rows
    if (firstRows === undefined) throw new RangeError("a product has a row axis")
    const columns = sized({ ...product.columns, a: 0, b: 0 })
    const { tile } = blocking
    const nr = tile.vectors * 4
    const k = Dim.product(product.reduction.map(({ extent }) => extent))
    const panelStep: Size = product.right.kind === "panels" ? nr * 4 : size(product.right.step)
    const panelBytes: Size = product.right.kind === "panels" ? size(Dim.mul(k, nr * 4)) : nr * 4
    const rowBlocks = size(blocksOf(product, blocking))
    const panelBlocks = size(panelBlocksOf(product, blocking))
    const memory = tileScratch(product, blocking)
    const context: Context = {
      f,
      emission,
      tile,
      registers: new Registers(f),
      reduction: product.reduction.map(({ a, extent }) => ({ a: size(a), extent: size(extent) })),
      rows,
      columns,
      panelStep,
      inPlace: product.right.kind === "rows",
      epilogue: epilogueCode(f, emission, product.epilogue),
      lastTile:
        rows.length === 1 && typeof firstRows.extent === "number" && blocking.rows % tile.rows === 0
          ? firstRows.extent % tile.rows
          : undefined,
      scratchTile: memory > 0 ? f.let(i32.add(f.get(scratch), emission.dim(code.staged))) : undefined
    }
    const right = product.right.kind === "panels" && product.right.from === "packed" ? 2 + views.length : 1 - code.left
    return (unit) => {
      const rest = f.let(f.get(unit))
      /** The index along an axis of units, inner axes first; undefined along an axis that is not divided. */
      const taken = (along: Size): Local<"i32"> | undefined => {
        if (along === 1) return undefined
        const index = f.let(i32.rem_u(f.get(rest), value(f, along)))
        f.set(rest, i32.div_u(f.get(rest), value(f, along)))
        return index
      }
      const panelBlock = taken(panelBlocks)
      const rowBlock = taken(rowBlocks)
      const indices = [...outer].reverse().map((axis) => ({ axis, index: taken(axis.extent) }))
      const a = f.let(f.get(parameter(code.left)))
      const b = f.let(f.get(parameter(right)))
      const pointers = views.map((_, view) => f.let(f.get(parameter(2 + view))))
      const known = new Map<number, I32>()
      const shift = (axis: SizedAxis, index: I32, moveA = true): void => {
        if (moveA) f.set(a, offsetBy(f, f.get(a), index, axis.a))
        f.set(b, offsetBy(f, f.get(b), index, axis.b))
        pointers.forEach((pointer, view) => f.set(pointer, offsetBy(f, f.get(pointer), index, axis.views[view] ?? 0)))
      }
      for (const { axis, index } of indices) {
        if (axis.domain !== undefined) known.set(axis.domain, index === undefined ? i32.const(0) : f.get(index))
        if (index !== undefined) shift(axis, f.get(index))
      }
      const row =
        rowBlock === undefined ? i32.const(0) : f.get(f.let(i32.mul(f.get(rowBlock), i32.const(blocking.rows))))
      if (rowBlock !== undefined) shift(firstRows, row, code.stagesRows !== true)
      const blockRows = ((): Size => {
        const { extent } = firstRows
        if (rowBlock === undefined) return extent
        if (typeof extent === "number" && extent % blocking.rows === 0) return blocking.rows
        const left = f.let(i32.sub(value(f, extent), row))
        f.if(i32.gt_s(f.get(left), i32.const(blocking.rows)), () => f.set(left, i32.const(blocking.rows)))
        return left
      })()
      const perUnit = blocking.panels * nr
      const column =
        panelBlock === undefined ? i32.const(0) : f.get(f.let(i32.mul(f.get(panelBlock), i32.const(perUnit))))
      if (panelBlock !== undefined) {
        if (!(product.right.kind === "panels" && product.right.from === "scratch"))
          f.set(b, offsetBy(f, f.get(b), i32.mul(f.get(panelBlock), i32.const(blocking.panels)), panelBytes))
        pointers.forEach((pointer, view) =>
          f.set(pointer, offsetBy(f, f.get(pointer), column, columns.views[view] ?? 0))
        )
      }
      const unitColumns = ((): Size => {
        const { extent } = columns
        if (panelBlock === undefined) return extent
        if (typeof extent === "number" && extent % perUnit === 0) return perUnit
        const left = f.let(i32.sub(value(f, extent), column))
        f.if(i32.gt_s(f.get(left), i32.const(perUnit)), () => f.set(left, i32.const(perUnit)))
        return left
      })()
      const point: UnitPoint = { a, b, scratch, row, rows: blockRows, column, columns: unitColumns }
      code.stage?.(f, emission, point)
      panelLoop(context, blocking, point, panelBytes, { a, views: pointers, indices: known })
    }
  })
}
