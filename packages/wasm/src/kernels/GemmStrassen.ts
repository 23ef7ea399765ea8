/**
 * GemmStrassen: large products with seven products of halves instead of eight: Strassen's algorithm in Winograd's form, one
 * level, in the registers of one tile.
 *
 *   S₁ = A₂₁ + A₂₂   S₂ = S₁ − A₁₁   S₃ = A₁₁ − A₂₁   S₄ = A₁₂ − S₂        once a unit, in scratch memory
 *   T₁ = B₁₂ − B₁₁   T₂ = B₂₂ − T₁   T₃ = B₂₂ − B₁₂   T₄ = B₂₁ − T₂        once a panel and unit, in scratch memory
 *
 *   C₁₁ = A₁₁B₁₁ + A₁₂B₂₁          U₂ = A₁₁B₁₁ + S₂T₂         U₃ = U₂ + S₃T₃
 *   C₂₁ = U₃ + A₂₂T₄               C₂₂ = U₃ + S₁T₁            C₁₂ = U₂ + S₁T₁ + S₄B₂₂
 *
 * The products of a panel follow one another: each has its own panel of b in the first cache, and goes on with sums that the
 * last ones left in memory. b is packed as for other kernels, and is in the engine once.
 *
 * Error: |C − Ĉ| ≤ 9 · γ(2k + 6) · k · max|A| · max|B|: of norms, not of each result's own terms, and an infinity reaches all
 * four quarters. It is offered for constants only, whose values are known to be finite: products of two activations are
 * left to others.
 *
 * Source: Winograd 1971; Higham, Accuracy and Stability of Numerical Algorithms, ch. 23.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Emission, Features } from "../Emission.ts"
import type { V128 } from "../Instruction.ts"
import { f32x4, i32, v128 } from "../Instruction.ts"
import type { Kernel, Packed, TypicalSizes } from "../Kernel.ts"
import type { Func, FunctionBuilder, Local } from "../ModuleBuilder.ts"
import { costOf, cyclesOfStep, nanosecondsPerCycle } from "./GemmCost.ts"
import * as GemmEpilogue from "./GemmEpilogue.ts"
import type { Product } from "./GemmProduct.ts"
import { tileScratch, viewsOf } from "./GemmProduct.ts"
import type { Sums, Tile } from "./GemmTile.ts"
import { emitTile, Registers } from "./GemmTile.ts"
import { unitLoop } from "./UnitLoop.ts"

/** By how much roundings of the greatest operand grow: C₂₂ is A₁₁B₁₁ + S₂T₂ + S₃T₃ + S₁T₁, 1 + 9 + 4 + 4 products of halves. */
const amplification = 9

/** Halves below these leave too little to save: sums of b are for all rows, a product's begin and end for all of k. */
const leastHalf = { rows: 48, k: 96, columns: 64 } as const
/** Rows of sums of A, seven operands together, that stay in the second cache. */
const cachedBytes = 700_000

interface Shape {
  readonly product: Product
  readonly tile: Tile
  /** Half of the rows, of k, and of the panels. */
  readonly rows: number
  readonly k: number
  readonly panels: number
  /** Bytes from row to row of A, and of each view of the epilogue. */
  readonly rowBytes: number
  readonly viewRows: ReadonlyArray<number>
  readonly viewColumns: ReadonlyArray<number>
  /** Of the upper half, in one unit. */
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

/** Undefined where the product is none that can be halved: sizes, strides, an epilogue that asks where it is. */
const shapeOf = (product: Product, features: Features): Shape | undefined => {
  const { columns, epilogue, outer, reduction, rows } = product
  const [axis] = rows
  const [along] = reduction
  if (outer.length > 0 || rows.length !== 1 || reduction.length !== 1) return undefined
  if (axis === undefined || along === undefined || along.a !== 4 || GemmEpilogue.usesIndices(epilogue)) return undefined
  const sizes = numbers([axis.extent, along.extent, columns.extent, axis.a])
  const [viewRows, viewColumns] = [numbers(axis.views), numbers(columns.views)]
  if (sizes === undefined || viewRows === undefined || viewColumns === undefined) return undefined
  const [m = 0, k = 0, n = 0, rowBytes = 0] = sizes
  const tile = tileOf(features)
  const nr = tile.vectors * 4
  if (m % 2 !== 0 || k % 16 !== 0 || n % (2 * nr) !== 0) return undefined
  if (m < 2 * leastHalf.rows || k < 2 * leastHalf.k || n < 2 * leastHalf.columns) return undefined
  const [half, panels] = [m / 2, n / 2 / nr]
  const atMost = Math.max(4 * tile.rows, Math.floor(cachedBytes / (7 * (k / 2) * 4)))
  const unitRows = Math.ceil(half / Math.ceil(half / atMost) / tile.rows) * tile.rows
  // Units enough for some threads; each makes the sums of A again, for eight panels at least, or else for half of them.
  const blocks = Math.ceil(half / unitRows)
  const most = Math.max(Math.ceil(panels / 8), blocks === 1 ? 2 : 1)
  const unitPanels = Math.ceil(panels / Math.min(Math.ceil(4 / blocks), most))
  return { product, tile, rows: half, k: k / 2, panels, rowBytes, viewRows, viewColumns, unitRows, unitPanels }
}

const unitsOf = ({ panels, rows, unitPanels, unitRows }: Shape): number =>
  Math.ceil(rows / unitRows) * Math.ceil(panels / unitPanels)

/** Scratch memory, in bytes from its begin: sums of A, sums of b, two columns of tiles, the epilogue's tile. */
const scratchOf = ({ k, product, tile, unitPanels, unitRows }: Shape) => {
  const left = unitRows * k * 4
  const right = k * tile.vectors * 16
  const sums = unitRows * tile.vectors * 16
  const [b, first, second, memory] = [
    4 * left,
    4 * left + 4 * right,
    4 * left + 4 * right + sums,
    4 * left + 4 * right + 2 * sums
  ]
  return {
    left,
    right,
    b,
    first,
    second,
    memory,
    bytes: memory + tileScratch(product, { tile, rows: unitRows, panels: unitPanels })
  }
}

/** Where a panel's products begin, and the rows of each. */
interface Panel {
  readonly a: Local<"i32">
  readonly rows: Local<"i32">
  readonly views: ReadonlyArray<Local<"i32">>
}

/** The sums of a tile, with pointers to what is held of it and to its upper left results. */
interface Ending {
  readonly sums: Sums
  readonly held: Local<"i32">
  readonly views: ReadonlyArray<Local<"i32">>
}

/** Four sums of four quarters, vector by vector, two at a time: what V8's revectorizer joins. */
const combine = (
  f: FunctionBuilder,
  vectors: number,
  from: ReadonlyArray<Local<"i32">>,
  to: Local<"i32">,
  apart: number,
  sums: (quarters: ReadonlyArray<V128>) => ReadonlyArray<V128>,
  keep: (value: V128) => V128
): void => {
  const bytes = 32
  f.range(0, vectors / 2, 1, () => {
    const made = [0, 16].map((offset) => sums(from.map((pointer) => keep(v128.load(f.get(pointer), offset)))).map(keep))
    for (let sum = 0; sum < 4; sum++)
      made.forEach((four, vector) => {
        const value = four[sum]
        if (value !== undefined) f.do(v128.store(f.get(to), value, sum * apart + vector * 16))
      })
    for (const pointer of [...from, to]) f.set(pointer, i32.add(f.get(pointer), i32.const(bytes)))
  })
}

const emitStrassen = (emission: Emission, name: string, shape: Shape, left: 0 | 1): Func => {
  const { k, panels, product, rowBytes, rows, tile, unitPanels, unitRows, viewColumns, viewRows } = shape
  const views = viewsOf(product.epilogue)
  const count = 2 + views.length + 1 + 3
  const nr = tile.vectors * 4
  const layout = scratchOf(shape)
  const panelBytes = 2 * k * nr * 4
  const panelBlocks = Math.ceil(panels / unitPanels)
  const parameter = (index: number): Local<"i32"> => ({ type: "i32", index })
  return unitLoop(emission, name, count, unitsOf(shape), (f) => {
    const registers = new Registers(f)
    const epilogue = GemmEpilogue.epilogueCode(f, emission, product.epilogue)
    const scratch = parameter(count - 3)
    const past = (pointer: Local<"i32">, bytes: number): Local<"i32"> =>
      f.let(i32.add(f.get(pointer), i32.const(bytes)))
    const forward = (pointer: Local<"i32">, bytes: number): void =>
      f.set(pointer, i32.add(f.get(pointer), i32.const(bytes)))
    const keep = (value: V128): V128 => f.get(f.let(value))
    const memory = past(scratch, layout.memory)

    const t = past(scratch, layout.b)
    const under = rows * rowBytes
    /** Where the operands of a panel's products begin, and bytes from row to row of the left ones. */
    const lefts = {
      a11: [0, rowBytes],
      a12: [k * 4, rowBytes],
      a22: [under + k * 4, rowBytes],
      s1: [0, k * 4],
      s2: [layout.left, k * 4],
      s3: [2 * layout.left, k * 4],
      s4: [3 * layout.left, k * 4]
    } as const
    const place = (row: number, vector: number): number => (row * tile.vectors + vector) * 16

    /** One of the seven products, of one panel and the unit's rows: its sums begin with what is held and go where `end` says. */
    const multiply = (
      x: keyof typeof lefts,
      b: Local<"i32">,
      at: Panel,
      initial: number | undefined,
      end: (tile: Ending) => void
    ): void => {
      const [bytes, step] = lefts[x]
      const a = past(x.startsWith("a") ? at.a : scratch, bytes)
      const held = past(scratch, layout.first)
      const pointers = at.views.map((pointer) => f.let(f.get(pointer)))
      const down = f.let(f.get(at.rows))
      const one = (size: number): void => {
        const operands = { a, rowBytes: step, b, reduction: [{ extent: k, a: 4 }] }
        const before = (tileAt: number) => (row: number, vector: number) =>
          v128.load(f.get(held), tileAt + place(row, vector))
        const panel = { step: nr * 4, lastLanes: 4 }
        const sums = emitTile(
          f,
          emission.features,
          registers,
          { ...tile, rows: size },
          panel,
          initial === undefined ? operands : { ...operands, initial: before(initial) }
        )
        end({ sums, held, views: pointers })
        forward(a, size * step)
        forward(held, place(size, 0))
        pointers.forEach((pointer, view) => forward(pointer, size * (viewRows[view] ?? 0)))
      }
      f.block((out) =>
        f.loop((again) => {
          f.brIf(out, i32.lt_s(f.get(down), i32.const(tile.rows)))
          one(tile.rows)
          forward(down, -tile.rows)
          f.br(again)
        })
      )
      const last = rows % tile.rows
      if (last > 0) f.if(i32.gt_s(f.get(down), i32.const(0)), () => one(last))
    }

    const hold = ({ held, sums }: Ending, tileAt: number): void =>
      sums.forEach((vectors, row) =>
        vectors.forEach((sum, vector) => f.do(v128.store(f.get(held), f.get(sum), tileAt + place(row, vector))))
      )
    const finish = ({ sums, views: pointers }: Ending, lower: 0 | 1, right: 0 | 1): void =>
      epilogue.tile({
        sums,
        width: nr,
        views: pointers.map((pointer, view) => {
          const bytes = lower * rows * (viewRows[view] ?? 0) + right * panels * nr * (viewColumns[view] ?? 0)
          return bytes === 0 ? pointer : past(pointer, bytes)
        }),
        rowBytes: viewRows,
        rowDomain: undefined,
        columnBytes: viewColumns,
        columnDomain: product.columns.domain,
        indices: new Map(),
        memory
      })

    /** The four quarters of a panel, for the unit's rows. Each product has its panel of b in the first cache. */
    const quarters = (b: Local<"i32">, at: Panel): void => {
      const [first, second] = [0, layout.second - layout.first]
      const half = k * nr * 4
      const b22 = past(b, panels * panelBytes + half)
      multiply("a11", b, at, undefined, (tile) => hold(tile, first))
      multiply("a12", past(b, half), at, first, (tile) => finish(tile, 0, 0))
      multiply("s2", past(t, layout.right), at, first, (tile) => hold(tile, first))
      multiply("s3", past(t, 2 * layout.right), at, first, (tile) => hold(tile, second))
      multiply("a22", past(t, 3 * layout.right), at, second, (tile) => finish(tile, 1, 0))
      multiply("s1", t, at, undefined, (tile) => {
        const { held, sums } = tile
        const before = (tileAt: number, row: number, vector: number): V128 =>
          v128.load(f.get(held), tileAt + place(row, vector))
        sums.forEach((vectors, row) => {
          const made = vectors.map((sum, vector) => keep(f32x4.add(f.get(sum), before(first, row, vector))))
          made.forEach((sum, vector) => f.do(v128.store(f.get(held), sum, first + place(row, vector))))
        })
        sums.forEach((vectors, row) =>
          vectors.forEach((sum, vector) => f.set(sum, f32x4.add(f.get(sum), before(second, row, vector))))
        )
        finish(tile, 1, 1)
      })
      multiply("s4", b22, at, first, (tile) => finish(tile, 0, 1))
    }

    return (unit) => {
      const panelBlock = f.let(i32.rem_u(f.get(unit), i32.const(panelBlocks)))
      const row = f.let(i32.mul(i32.div_u(f.get(unit), i32.const(panelBlocks)), i32.const(unitRows)))
      const here = f.let(i32.sub(i32.const(rows), f.get(row)))
      f.if(i32.gt_s(f.get(here), i32.const(unitRows)), () => f.set(here, i32.const(unitRows)))
      const a = f.let(i32.add(f.get(parameter(left)), i32.mul(f.get(row), i32.const(rowBytes))))

      // S, row by row.
      const source = f.let(f.get(a))
      const target = f.let(f.get(scratch))
      f.range(0, f.get(here), 1, () => {
        const from = [0, k * 4, rows * rowBytes, rows * rowBytes + k * 4].map((bytes) => past(source, bytes))
        const to = f.let(f.get(target))
        combine(
          f,
          k / 4,
          from,
          to,
          layout.left,
          ([a11, a12, a21, a22]) => {
            if (a11 === undefined || a12 === undefined || a21 === undefined || a22 === undefined) return []
            const s1 = keep(f32x4.add(a21, a22))
            const s2 = keep(f32x4.sub(s1, a11))
            return [s1, s2, f32x4.sub(a11, a21), f32x4.sub(a12, s2)]
          },
          keep
        )
        forward(source, rowBytes)
        forward(target, k * 4)
      })

      const first = f.let(i32.mul(f.get(panelBlock), i32.const(unitPanels)))
      const end = f.let(i32.add(f.get(first), i32.const(unitPanels)))
      f.if(i32.gt_s(f.get(end), i32.const(panels)), () => f.set(end, i32.const(panels)))
      const b = f.let(i32.add(f.get(parameter(2 + views.length)), i32.mul(f.get(first), i32.const(panelBytes))))
      const results = views.map((_, view) =>
        f.let(
          i32.add(
            i32.add(f.get(parameter(2 + view)), i32.mul(f.get(row), i32.const(viewRows[view] ?? 0))),
            i32.mul(f.get(first), i32.const(nr * (viewColumns[view] ?? 0)))
          )
        )
      )
      f.range(f.get(first), f.get(end), 1, () => {
        const half = k * nr * 4
        const from = [0, half, panels * panelBytes, panels * panelBytes + half].map((bytes) => past(b, bytes))
        combine(
          f,
          k * tile.vectors,
          from,
          past(scratch, layout.b),
          layout.right,
          ([b11, b21, b12, b22]) => {
            if (b11 === undefined || b12 === undefined || b21 === undefined || b22 === undefined) return []
            const t1 = keep(f32x4.sub(b12, b11))
            const t2 = keep(f32x4.sub(b22, t1))
            return [t1, t2, f32x4.sub(b22, b12), f32x4.sub(b21, t2)]
          },
          keep
        )
        quarters(b, { a, rows: here, views: results })
        forward(b, panelBytes)
        results.forEach((pointer, view) => forward(pointer, nr * (viewColumns[view] ?? 0)))
      })
    }
  })
}

/** The kernel for a product with a packed constant; undefined where it is not for it. */
export const kernelOf = (
  product: Product,
  packed: (tile: Tile) => Packed | undefined,
  left: 0 | 1,
  typical: TypicalSizes,
  features: Features
): Kernel | undefined => {
  const shape = shapeOf(product, features)
  const panels = packed(tileOf(features))
  if (shape === undefined || panels === undefined) return undefined
  const { k, rows, tile, unitPanels, unitRows } = shape
  const direct = costOf(product, { tile, rows: unitRows, panels: unitPanels }, typical, features)
  // One product of eight is saved; sums of A and b are made in each unit, and tiles go to memory four times.
  const tiles = Math.ceil(rows / tile.rows) * shape.panels
  // Paired vectors are nearer to what memory gives: half of it was seen (1024³ lost 5 %, 96×512×512 won 18 %).
  const saved = tiles * k * cyclesOfStep(tile, features) * (features.wide ? 0.5 : 1)
  const width = features.wide ? 2 : 1
  const left4 = unitsOf(shape) * unitRows * (k / 4) * 9
  const right4 = Math.ceil(rows / unitRows) * shape.panels * k * tile.vectors * 9
  const around = tiles * (120 + tile.rows * tile.vectors * 12)
  return {
    name: left === 0 ? "gemm-strassen" : "gemm-strassen-turned",
    config: { mr: tile.rows, nr: tile.vectors * 4, rows: unitRows, panels: unitPanels, amplification },
    cost: direct + ((left4 + right4) / width + around - saved) * nanosecondsPerCycle,
    packed: [panels],
    scratch: scratchOf(shape).bytes,
    units: unitsOf(shape),
    emit: (emission, name) => emitStrassen(emission, name, shape, left)
  }
}
