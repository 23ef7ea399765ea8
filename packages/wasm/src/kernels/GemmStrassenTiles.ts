/**
 * GemmStrassenTiles: the functions that Strassen's algorithm (`GemmStrassen.ts`) is made of: sums of quarters, and products of a
 * column of tiles with one panel of b, whose sums begin with what is held and stay held or become results.
 *
 * Arguments that are called `moves` are −1 for a column that goes on with the tiles, 0 for one tile of zeros.
 */
import type { Emission } from "../Emission.ts"
import type { I32, V128 } from "../Instruction.ts"
import { f32, f32x4, i32, v128 } from "../Instruction.ts"
import type { Func, FunctionBuilder, Local } from "../ModuleBuilder.ts"
import * as GemmEpilogue from "./GemmEpilogue.ts"
import { viewsOf } from "./GemmProduct.ts"
import type { Shape } from "./GemmStrassenShape.ts"
import { lefts, rights } from "./GemmStrassenShape.ts"
import type { Sums as TileSums } from "./GemmTile.ts"
import { emitTile, Registers, zeros } from "./GemmTile.ts"

export const parameter = (index: number): Local<"i32"> => ({ type: "i32", index })
export const ints = (count: number): ReadonlyArray<"i32"> => new Array<"i32">(count).fill("i32")
export const past = (f: FunctionBuilder, pointer: Local<"i32">, bytes: number | I32): Local<"i32"> =>
  f.let(i32.add(f.get(pointer), typeof bytes === "number" ? i32.const(bytes) : bytes))
export const least = (f: FunctionBuilder, value: I32, limit: I32): Local<"i32"> => {
  const local = f.let(value)
  f.if(i32.gt_s(f.get(local), limit), () => f.set(local, limit))
  return local
}
export const forward = (f: FunctionBuilder, pointer: Local<"i32">, bytes: number): void =>
  f.set(pointer, i32.add(f.get(pointer), i32.const(bytes)))

type Quarters = readonly [V128, V128, V128, V128]
interface Sums {
  readonly name: string
  /** What is stored of four vectors, in order. */
  readonly of: (quarters: Quarters, keep: (value: V128) => V128) => ReadonlyArray<V128>
  /** Places of sums that together are finite only where all that is read and made is. */
  readonly telling: ReadonlyArray<number>
}

export const sumsOfA: Sums = {
  name: "a",
  of: ([a11, a12, a21, a22], keep) => {
    const s1 = keep(f32x4.add(a21, a22))
    const s2 = keep(f32x4.sub(s1, a11))
    return [a11, a12, a22, s1, s2, f32x4.sub(a11, a21), f32x4.sub(a12, s2)]
  },
  telling: [lefts.s3, lefts.s4]
}

export const sumsOfB: Sums = {
  name: "b",
  of: ([b11, b21, b12, b22], keep) => {
    const t1 = keep(f32x4.sub(b12, b11))
    const t2 = keep(f32x4.sub(b22, t1))
    return [t1, t2, f32x4.sub(b22, b12), f32x4.sub(b21, t2)]
  },
  telling: [rights.t3, rights.t4]
}

/**
 * `(quarter, quarter, quarter, quarter, to, apart, pairs) ⇒ whether any sum is no number, or beyond 2⁶⁰`: pairs of vectors, that V8's
 * revectorizer joins.
 */
export const sumsOf = (emission: Emission, { name, of, telling }: Sums): Func =>
  emission.shared(`strassen.sums.${name}`, () =>
    emission.module.func(`strassen.sums.${name}`, ints(7), ["i32"], (f) => {
      const [from, to] = [[0, 1, 2, 3].map(parameter), parameter(4)]
      const apart = parameter(5)
      const keep = (value: V128): V128 => f.get(f.let(value))
      const found = [0, 1].map(() => f.let(zeros))
      f.range(0, f.get(parameter(6)), 1, () => {
        const made = [0, 16].map((offset) => {
          const quarters = from.map((pointer) => keep(v128.load(f.get(pointer), offset)))
          const [q0 = zeros, q1 = zeros, q2 = zeros, q3 = zeros] = quarters
          return of([q0, q1, q2, q3], keep).map(keep)
        })
        const target = f.let(f.get(to))
        for (let sum = 0; sum < (made[0]?.length ?? 0); sum++) {
          made.forEach((values, vector) => {
            const value = values[sum]
            if (value !== undefined) f.do(v128.store(f.get(target), value, vector * 16))
          })
          f.set(target, i32.add(f.get(target), f.get(apart)))
        }
        // Zero times what is finite is zero: anything else stays.
        for (const place of telling)
          made.forEach((values, vector) => {
            const [value, sofar] = [values[place], found[vector]]
            if (value === undefined || sofar === undefined) return
            const lifted = f32x4.mul(value, f32x4.splat(f32.const(2 ** 68)))
            f.set(sofar, f32x4.add(f.get(sofar), f32x4.mul(lifted, zeros)))
          })
        for (const pointer of [...from, to]) forward(f, pointer, 32)
      })
      const [one = zeros, other = zeros] = found.map((local) => f.get(local))
      const all = f.let(f32x4.add(one, other))
      f.return(v128.any_true(f32x4.ne(f.get(all), f.get(all))))
    })
  )

/** Columns of tiles in memory, with what a step of tiles moves them by: 0 for zeros, that are one tile. */
interface Column {
  readonly at: Local<"i32">
  readonly moved: Local<"i32">
}

/** Products of a column of tiles with one panel of b; `end` takes the sums of each tile. */
const columnOfTiles = (
  f: FunctionBuilder,
  emission: Emission,
  { k, madeBytes, tile }: Shape,
  operands: {
    readonly a: Local<"i32">
    readonly b: Local<"i32">
    readonly from: Column
    readonly to: Local<"i32">
    readonly tiles: Local<"i32">
  },
  end: (sums: TileSums, place: (row: number, vector: number) => number) => void
): void => {
  const { a, b, from, tiles, to } = operands
  const place = (row: number, vector: number): number => (row * tile.vectors + vector) * 16
  const registers = new Registers(f)
  f.range(0, f.get(tiles), 1, () => {
    const sums = emitTile(
      f,
      emission.features,
      registers,
      tile,
      { step: tile.vectors * 16, lastLanes: 4 },
      {
        a,
        rowBytes: madeBytes,
        b,
        reduction: [{ extent: k, a: 4 }],
        initial: (row, vector) => v128.load(f.get(from.at), place(row, vector))
      }
    )
    storeTile(f, sums, to, place)
    end(sums, place)
    forward(f, a, tile.rows * madeBytes)
    forward(f, to, tile.rows * tile.vectors * 16)
    f.set(from.at, i32.add(f.get(from.at), f.get(from.moved)))
  })
}

type Place = (row: number, vector: number) => number

const storeTile = (f: FunctionBuilder, sums: TileSums, to: Local<"i32">, place: Place): void =>
  sums.forEach((vectors, row) =>
    vectors.forEach((sum, vector) => f.do(v128.store(f.get(to), f.get(sum), place(row, vector))))
  )

const addTile = (f: FunctionBuilder, sums: TileSums, column: Column, place: Place): void => {
  sums.forEach((vectors, row) =>
    vectors.forEach((sum, vector) => f.set(sum, f32x4.add(f.get(sum), v128.load(f.get(column.at), place(row, vector)))))
  )
  f.set(column.at, i32.add(f.get(column.at), f.get(column.moved)))
}

/** A column from two parameters: where it is, and −1 where it goes on, 0 where it does not. */
const columnAt = (f: FunctionBuilder, { tile }: Shape, index: number): Column => ({
  at: parameter(index),
  moved: f.let(i32.and(f.get(parameter(index + 1)), i32.const(tile.rows * tile.vectors * 16)))
})

const keyOf = ({ k, madeBytes, tile }: Shape): string => `${tile.rows}x${tile.vectors} k=${k} ${madeBytes}`

/** `(a, b, from, moves, to, tiles)`: sums begin with what is at `from`, and go to `to`. */
export const productOf = (emission: Emission, shape: Shape): Func => {
  const name = `strassen.product ${keyOf(shape)}`
  return emission.shared(name, () =>
    emission.module.func(name, ints(6), [], (f) =>
      columnOfTiles(
        f,
        emission,
        shape,
        { a: parameter(0), b: parameter(1), from: columnAt(f, shape, 2), to: parameter(4), tiles: parameter(5) },
        () => undefined
      )
    )
  )
}

/** `(a, b, from, moves, to, tiles, plus, moves, outer, moves, outerTo)`: sums with what is at `plus` and `outer` go to `outerTo`, too. */
export const heldOf = (emission: Emission, shape: Shape): Func => {
  const { tile } = shape
  const name = `strassen.held ${keyOf(shape)}`
  return emission.shared(name, () =>
    emission.module.func(name, ints(11), [], (f) => {
      const [plus, outer, outerTo] = [columnAt(f, shape, 6), columnAt(f, shape, 8), parameter(10)]
      columnOfTiles(
        f,
        emission,
        shape,
        { a: parameter(0), b: parameter(1), from: columnAt(f, shape, 2), to: parameter(4), tiles: parameter(5) },
        (sums, place) => {
          addTile(f, sums, plus, place)
          addTile(f, sums, outer, place)
          storeTile(f, sums, outerTo, place)
          forward(f, outerTo, tile.rows * tile.vectors * 16)
        }
      )
    })
  )
}

/**
 * The same, `(…, outerTo, outerPlus, moves, memory, rows, views…)`, and then results: the epilogue of the sums with what is at
 * `outerPlus`, of so many rows. Long epilogues, and that of the last rows, read their sums from memory.
 */
export const resultsOf = (emission: Emission, name: string, shape: Shape): Func => {
  const { levels, product, tile, viewColumns, viewRows } = shape
  const views = viewsOf(product.epilogue).map((_, view) => parameter(15 + view))
  const bytes = tile.rows * tile.vectors * 16
  const apart = GemmEpilogue.needsMemory(product.epilogue, true, viewColumns)
  return emission.module.func(`${name}.results`, ints(15 + views.length), [], (f) => {
    const [plus, outer, outerPlus] = [columnAt(f, shape, 6), columnAt(f, shape, 8), columnAt(f, shape, 11)]
    const [outerTo, memory, rows] = [parameter(10), parameter(13), parameter(14)]
    const epilogue = GemmEpilogue.epilogueCode(f, emission, product.epilogue)
    const column = f.let(f.get(memory))
    const at = {
      width: tile.vectors * 4,
      views,
      rowBytes: viewRows,
      rowDomain: undefined,
      columnBytes: viewColumns,
      columnDomain: product.columns.domain,
      indices: new Map<number, I32>()
    }
    const rest = (): void => epilogue.rows({ ...at, from: memory, vectors: tile.vectors, count: f.get(rows) })
    columnOfTiles(
      f,
      emission,
      shape,
      { a: parameter(0), b: parameter(1), from: columnAt(f, shape, 2), to: parameter(4), tiles: parameter(5) },
      (sums, place) => {
        addTile(f, sums, plus, place)
        if (levels === 2) {
          addTile(f, sums, outer, place)
          storeTile(f, sums, outerTo, place)
          forward(f, outerTo, bytes)
          addTile(f, sums, outerPlus, place)
        }
        if (apart) {
          storeTile(f, sums, column, place)
          forward(f, column, bytes)
        } else
          f.if(
            i32.ge_s(f.get(rows), i32.const(tile.rows)),
            () => {
              epilogue.tile({ ...at, sums, memory: undefined })
              forward(f, rows, -tile.rows)
              views.forEach((pointer, view) => forward(f, pointer, tile.rows * (viewRows[view] ?? 0)))
            },
            () =>
              f.if(i32.gt_s(f.get(rows), i32.const(0)), () => {
                storeTile(f, sums, column, place)
                rest()
                f.set(rows, i32.const(0))
              })
          )
      }
    )
    if (apart) rest()
  })
}
