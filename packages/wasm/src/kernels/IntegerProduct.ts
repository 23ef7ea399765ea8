/**
 * IntegerProduct: what 8-bit contractions and convolutions have in common.
 *
 *   unit (outer axes, a block of rows, a block of columns):
 *     rows → scratch, offsets taken off, padded to whole steps      (left out where they can be read in place)
 *     for each panel of columns, for each tile of rows: IntegerTile, then IntegerEpilogue
 */
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import type { Epilogue } from "@anneal/lower/Region"
import type { Emission } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { i32, memoryFill, select } from "../Instruction.ts"
import type { Func, FunctionBuilder, Local } from "../ModuleBuilder.ts"
import { emitEpilogue } from "./IntegerEpilogue.ts"
import type { PanelShape } from "./IntegerPanels.ts"
import { panelBytes, panelsOf, termsOffset } from "./IntegerPanels.ts"
import type { RowFormat } from "./IntegerRows.ts"
import { rowSum } from "./IntegerRows.ts"
import type { IntegerScheme } from "./IntegerScheme.ts"
import { nameOf, needsColumnTerms, needsRowSums } from "./IntegerScheme.ts"
import type { TileShape } from "./IntegerTile.ts"
import { columnStepBytes, rowElementBytes, stepOf, tileFunction } from "./IntegerTile.ts"

export interface IntegerAxis {
  readonly extent: Dim.Dim
  /** Bytes in `a` from one to the next. */
  readonly a: Dim.Dim
  /** Matrices of b (packed), or bytes in b, from one to the next. */
  readonly b: Dim.Dim
  /** Bytes in each view of the epilogue, operands then results. */
  readonly views: ReadonlyArray<Dim.Dim>
  /** The axis of the epilogue's domain; undefined for joined ones. */
  readonly domain: number | undefined
}

/** Where rows of `a` come from: code that writes one row, in the scheme's form, for each row of a block. */
export type RowSource =
  /** Row by row in memory, in the form that the tile reads. */
  | { readonly kind: "direct"; readonly rowBytes: number }
  | { readonly kind: "gathered"; readonly emit: (point: GatherPoint) => void }

export interface GatherPoint {
  readonly f: FunctionBuilder
  readonly emission: Emission
  readonly format: RowFormat
  /** The address of `a` at the unit's outer axes. */
  readonly a: Local<"i32">
  /** Indices along the outer axes, in their order. */
  readonly outer: ReadonlyArray<I32>
  /** The first row and how many there are. */
  readonly row: Local<"i32">
  readonly rows: Local<"i32">
  /** Where rows go, `rowBytes` apart. */
  readonly target: Local<"i32">
  readonly rowBytes: I32
}

export type ColumnSource =
  | { readonly kind: "packed"; readonly panels: PanelShape }
  /** Packed for each unit, at run time: bytes from column to column and from term to term. */
  | { readonly kind: "gathered"; readonly dtype: DType; readonly column: Dim.Dim; readonly term: Dim.Dim }

export interface IntegerProduct {
  readonly outer: ReadonlyArray<IntegerAxis>
  readonly rows: IntegerAxis
  readonly columns: Pick<IntegerAxis, "extent" | "views"> & { readonly domain: number }
  readonly k: Dim.Dim
  readonly scheme: IntegerScheme
  readonly format: RowFormat
  readonly rowSource: RowSource
  readonly columnSource: ColumnSource
  readonly epilogue: Epilogue
}

export interface IntegerBlocking {
  /** A tile. */
  readonly rows: number
  readonly columns: number
  /** A unit: a multiple of a tile's, each. */
  readonly unitRows: number
  readonly unitColumns: number
}

const unroll = 4

const padded = (dim: Dim.Dim, to: number): Dim.Dim => Dim.mul(Dim.ceilDiv(dim, to), to)

/** Bytes of a gathered row. */
const rowBytesOf = ({ k, scheme }: IntegerProduct): Dim.Dim =>
  Dim.max(16, padded(Dim.mul(k, rowElementBytes(scheme.arithmetic)), 16))

const rowBlocks = (product: IntegerProduct, blocking: IntegerBlocking): Dim.Dim =>
  Dim.ceilDiv(product.rows.extent, blocking.unitRows)
const columnBlocks = (product: IntegerProduct, blocking: IntegerBlocking): Dim.Dim =>
  Dim.ceilDiv(product.columns.extent, blocking.unitColumns)

export const unitsOf = (product: IntegerProduct, blocking: IntegerBlocking): Dim.Dim =>
  Dim.product([
    ...product.outer.map(({ extent }) => extent),
    rowBlocks(product, blocking),
    columnBlocks(product, blocking)
  ])

/** Bytes of scratch memory: rows, their sums, a tile, and panels that are made at run time. */
interface Scratch {
  readonly sums: Dim.Dim
  readonly tile: Dim.Dim
  readonly panels: Dim.Dim
  readonly total: Dim.Dim
}

const panelBytesAtRunTime = (product: IntegerProduct, columns: number): Dim.Dim =>
  Dim.mul(
    Dim.ceilDiv(product.k, stepOf(product.scheme.arithmetic)),
    columns * columnStepBytes(product.scheme.arithmetic)
  )

const scratchParts = (product: IntegerProduct, blocking: IntegerBlocking): Scratch => {
  const gathered = product.rowSource.kind === "gathered"
  const sums = gathered ? Dim.mul(rowBytesOf(product), blocking.unitRows) : 0
  const tile = Dim.add(sums, needsRowSums(product.scheme) ? padded(blocking.unitRows * 4, 16) : 0)
  const panels = Dim.add(tile, blocking.rows * blocking.columns * 4)
  const made =
    product.columnSource.kind === "gathered"
      ? Dim.mul(panelBytesAtRunTime(product, blocking.columns), blocking.unitColumns / blocking.columns)
      : 0
  return { sums, tile, panels, total: Dim.add(panels, made) }
}

export const scratchOf = (product: IntegerProduct, blocking: IntegerBlocking): Dim.Dim =>
  scratchParts(product, blocking).total

/** Rows of tiles that occur, most first. */
const tileRows = (product: IntegerProduct, blocking: IntegerBlocking): ReadonlyArray<number> => {
  const { extent } = product.rows
  if (typeof extent !== "number") return Array.from({ length: blocking.rows }, (_, i) => blocking.rows - i)
  const rest = extent % blocking.rows
  return [...(extent >= blocking.rows ? [blocking.rows] : []), ...(rest > 0 ? [rest] : [])]
}

/** Writes the kernel's function: addresses of a, b, the epilogue's views, the packed constant, scratch, begin and end. */
export const emitProduct = (
  emission: Emission,
  name: string,
  product: IntegerProduct,
  blocking: IntegerBlocking
): Func => {
  const { columnSource, epilogue, rowSource, scheme } = product
  const { arithmetic } = scheme
  const views = epilogue.operands.length + epilogue.results.length
  const isPacked = columnSource.kind === "packed"
  const count = 2 + views + (isPacked ? 1 : 0) + 3
  const rowBytes = rowSource.kind === "direct" ? rowSource.rowBytes : rowBytesOf(product)
  const steps = Dim.ceilDiv(product.k, stepOf(arithmetic))
  const fixed = typeof rowBytes === "number" && typeof steps === "number" ? { rowBytes, steps } : undefined
  const tiles = new Map(
    tileRows(product, blocking).map((rows) => {
      const shape: TileShape = { rows, columns: blocking.columns, arithmetic, unroll }
      const text = `integer-tile ${rows}x${blocking.columns} ${nameOf(arithmetic)} ${fixed === undefined ? "" : `${fixed.rowBytes} ${fixed.steps}`}`
      return [rows, emission.shared(text, () => tileFunction(emission.module, text, shape, fixed))] as const
    })
  )
  const parts = scratchParts(product, blocking)

  return emission.module.func(name, new Array<"i32">(count).fill("i32"), [], (f) => {
    const parameter = (index: number): Local<"i32"> => ({ type: "i32", index })
    const hoisted = (dim: Dim.Dim): I32 => emission.hoisted(f, dim)
    const scratch = parameter(count - 3)
    const at = (dim: Dim.Dim): Local<"i32"> => f.let(i32.add(f.get(scratch), emission.dim(dim)))
    const sums = at(parts.sums)
    const tile = at(parts.tile)
    const made = at(parts.panels)
    const rowStep = hoisted(rowBytes)
    const extents = {
      rows: hoisted(product.rows.extent),
      columns: hoisted(product.columns.extent),
      rowBlocks: hoisted(rowBlocks(product, blocking)),
      columnBlocks: hoisted(columnBlocks(product, blocking)),
      outer: product.outer.map(({ extent }) => hoisted(extent))
    }
    const onePanel =
      columnSource.kind === "packed"
        ? i32.const(panelBytes(columnSource.panels))
        : hoisted(panelBytesAtRunTime(product, blocking.columns))

    if (rowSource.kind === "gathered")
      // The ends of rows stay 0: what is gathered does not reach there.
      f.range(0, blocking.unitRows, 1, (row) =>
        f.do(
          memoryFill(
            i32.sub(i32.add(f.get(scratch), i32.mul(i32.add(f.get(row), i32.const(1)), rowStep)), i32.const(16)),
            i32.const(0),
            i32.const(16)
          )
        )
      )

    f.range(f.get(parameter(count - 2)), f.get(parameter(count - 1)), 1, (unit) => {
      const rest = f.let(f.get(unit))
      const taken = (extent: Dim.Dim, size: I32): I32 => {
        if (extent === 1) return i32.const(0)
        const index = f.let(i32.rem_u(f.get(rest), size))
        f.set(rest, i32.div_u(f.get(rest), size))
        return f.get(index)
      }
      const columnBlock = taken(columnBlocks(product, blocking), extents.columnBlocks)
      const rowBlock = taken(rowBlocks(product, blocking), extents.rowBlocks)
      const outer = product.outer
        .map((axis, place) => ({ axis, place }))
        .reverse()
        .map(({ axis, place }) => taken(axis.extent, extents.outer[place] ?? i32.const(1)))
        .reverse()
      const moved = (first: I32, steps: ReadonlyArray<readonly [I32, Dim.Dim]>): I32 =>
        steps.reduce(
          (address, [index, step]) => (step === 0 ? address : i32.add(address, i32.mul(index, emission.dim(step)))),
          first
        )
      const alongOuter = (step: (axis: IntegerAxis) => Dim.Dim): ReadonlyArray<readonly [I32, Dim.Dim]> =>
        product.outer.map((axis, place) => [outer[place] ?? i32.const(0), step(axis)] as const)
      const a = f.let(
        moved(
          f.get(parameter(0)),
          alongOuter((axis) => axis.a)
        )
      )
      const firstRow = f.let(i32.mul(rowBlock, i32.const(blocking.unitRows)))
      const rows = f.let(least(i32.const(blocking.unitRows), i32.sub(extents.rows, f.get(firstRow))))
      const firstColumn = f.let(i32.mul(columnBlock, i32.const(blocking.unitColumns)))
      const columns = f.let(least(i32.const(blocking.unitColumns), i32.sub(extents.columns, f.get(firstColumn))))
      const pointers = Array.from({ length: views }, (_, view) =>
        f.let(
          moved(f.get(parameter(2 + view)), [
            ...alongOuter((axis) => axis.views[view] ?? 0),
            [f.get(firstRow), product.rows.views[view] ?? 0],
            [f.get(firstColumn), product.columns.views[view] ?? 0]
          ])
        )
      )

      // Rows.
      const left = f.let(f.get(scratch))
      if (rowSource.kind === "direct") f.set(left, i32.add(f.get(a), i32.mul(f.get(firstRow), rowStep)))
      else {
        const { format } = product
        rowSource.emit({ f, emission, format, a, outer, row: firstRow, rows, target: left, rowBytes: rowStep })
      }
      if (needsRowSums(scheme) && typeof rowBytes === "number")
        f.range(0, f.get(rows), 1, (row) => {
          const start = f.let(i32.add(f.get(left), i32.mul(f.get(row), rowStep)))
          const unsigned = arithmetic.kind === "seven" && arithmetic.seven === "a"
          const term = i32.mul(rowSum(f, unsigned, start, rowBytes), i32.const(scheme.offset.b - scheme.zero.b))
          f.do(i32.store(i32.add(f.get(sums), i32.shl(f.get(row), i32.const(2))), term))
        })

      // Columns.
      const panel = f.let(f.get(made))
      const terms = f.local("i32")
      if (columnSource.kind === "packed") {
        const base = f.get(parameter(2 + views))
        const shape = columnSource.panels
        const matrix = moved(
          i32.const(0),
          alongOuter((axis) => axis.b)
        )
        const first = f.let(
          i32.add(i32.mul(matrix, i32.const(panelsOf(shape))), i32.div_u(f.get(firstColumn), i32.const(shape.columns)))
        )
        f.set(panel, i32.add(base, i32.mul(f.get(first), onePanel)))
        f.set(
          terms,
          i32.add(i32.add(base, i32.const(termsOffset(shape))), i32.mul(f.get(first), i32.const(shape.columns * 4)))
        )
      } else {
        const b = f.let(
          moved(
            f.get(parameter(1)),
            alongOuter((axis) => axis.b)
          )
        )
        gatherPanels(f, emission, product, columnSource, blocking, { b, firstColumn, columns, panel, onePanel })
      }

      const tileLoop = (column: Local<"i32">, width: number | Local<"i32">): void => {
        const place = pointers.map((pointer, view) =>
          f.let(moved(f.get(pointer), [[f.get(column), product.columns.views[view] ?? 0]]))
        )
        const row = f.let(i32.const(0))
        const source = f.let(f.get(left))
        f.loop((again) => {
          const here = f.let(least(i32.const(blocking.rows), i32.sub(f.get(rows), f.get(row))))
          const sizes = fixed === undefined ? [rowStep, emission.dim(steps)] : []
          const call = (func: Func): void => f.run(func, [f.get(source), f.get(panel), f.get(tile), ...sizes])
          const each = [...tiles]
          const choose = (index: number): void => {
            const entry = each[index]
            if (entry === undefined) return
            if (index === each.length - 1) return call(entry[1])
            f.if(
              i32.eq(f.get(here), i32.const(entry[0])),
              () => call(entry[1]),
              () => choose(index + 1)
            )
          }
          choose(0)
          const rowTerms = needsRowSums(scheme)
            ? f.let(i32.add(f.get(sums), i32.shl(f.get(row), i32.const(2))))
            : undefined
          emitEpilogue(f, emission, epilogue, {
            sums: tile,
            rowBytes: blocking.columns * 4,
            rows: f.get(here),
            columns: width,
            columnTerms: needsColumnTerms(scheme) ? terms : undefined,
            rowTerms,
            views: place,
            rowSteps: product.rows.views,
            columnSteps: product.columns.views,
            rowAxis: product.rows.domain,
            columnAxis: product.columns.domain,
            index: (axis) => {
              if (axis === product.columns.domain) return i32.add(f.get(firstColumn), f.get(column))
              if (axis === product.rows.domain) return i32.add(f.get(firstRow), f.get(row))
              const found = product.outer.findIndex(({ domain }) => domain === axis)
              return outer[found] ?? i32.const(0)
            }
          })
          place.forEach((pointer, view) => {
            const step = product.rows.views[view] ?? 0
            if (step !== 0) f.set(pointer, i32.add(f.get(pointer), i32.mul(f.get(here), emission.dim(step))))
          })
          f.set(source, i32.add(f.get(source), i32.mul(f.get(here), rowStep)))
          f.brIf(again, i32.lt_s(f.tee(row, i32.add(f.get(row), f.get(here))), f.get(rows)))
        })
      }
      f.range(0, f.get(columns), blocking.columns, (column) => {
        const { extent } = product.columns
        if (typeof extent === "number") {
          const tail = extent % blocking.columns
          if (tail === 0) tileLoop(column, blocking.columns)
          else if (extent < blocking.columns) tileLoop(column, tail)
          else
            f.if(
              i32.lt_s(i32.sub(f.get(columns), f.get(column)), i32.const(blocking.columns)),
              () => tileLoop(column, tail),
              () => tileLoop(column, blocking.columns)
            )
        } else tileLoop(column, f.let(least(i32.const(blocking.columns), i32.sub(f.get(columns), f.get(column)))))
        f.set(panel, i32.add(f.get(panel), onePanel))
        if (isPacked) f.set(terms, i32.add(f.get(terms), i32.const(blocking.columns * 4)))
      })
    })
  })
}

const least = (a: I32, b: I32): I32 => select(i32.lt_s(a, b), a, b)

/** Panels of the unit's columns, widened, the zero point taken off. */
const gatherPanels = (
  f: FunctionBuilder,
  emission: Emission,
  product: IntegerProduct,
  source: Extract<ColumnSource, { readonly kind: "gathered" }>,
  blocking: IntegerBlocking,
  place: {
    readonly b: Local<"i32">
    readonly firstColumn: Local<"i32">
    readonly columns: Local<"i32">
    readonly panel: Local<"i32">
    readonly onePanel: I32
  }
): void => {
  const nr = blocking.columns
  const k = emission.hoisted(f, product.k)
  const [column, term] = [emission.hoisted(f, source.column), emission.hoisted(f, source.term)]
  const unsigned = source.dtype === "u8" || source.dtype === "u4"
  const panels = i32.div_s(i32.add(f.get(place.columns), i32.const(nr - 1)), i32.const(nr))
  f.do(memoryFill(f.get(place.panel), i32.const(0), i32.mul(panels, place.onePanel)))
  f.range(0, f.get(place.columns), 1, (index) => {
    const from = f.let(i32.add(f.get(place.b), i32.mul(i32.add(f.get(place.firstColumn), f.get(index)), column)))
    const lane = i32.rem_u(f.get(index), i32.const(nr))
    const to = f.let(
      i32.add(
        i32.add(f.get(place.panel), i32.mul(i32.div_u(f.get(index), i32.const(nr)), place.onePanel)),
        i32.shl(lane, i32.const(2))
      )
    )
    const element = (address: I32): I32 => {
      const value = unsigned ? i32.load8_u(address) : i32.load8_s(address)
      return product.scheme.zero.b === 0 ? value : i32.sub(value, i32.const(product.scheme.zero.b))
    }
    const pairs = f.let(i32.shr_u(k, i32.const(1)))
    f.range(0, f.get(pairs), 1, () => {
      f.do(i32.store16(f.get(to), element(f.get(from))))
      f.do(i32.store16(f.get(to), element(i32.add(f.get(from), term)), 2))
      f.set(from, i32.add(f.get(from), i32.shl(term, i32.const(1))))
      f.set(to, i32.add(f.get(to), i32.const(nr * 4)))
    })
    f.if(i32.and(k, i32.const(1)), () => f.do(i32.store16(f.get(to), element(f.get(from)))))
  })
}
