/**
 * IntegerEpilogue: what happens to a tile of i32 sums that lies in scratch memory: the terms of zero points are added, then
 * the region's epilogue is computed, four columns at a time, and stored.
 *
 *   requantise(cast(accumulator) · scale[n] + bias[n])
 */
import * as Dim from "@anneal/ir/Dim"
import * as DType from "@anneal/ir/DType"
import type { Epilogue } from "@anneal/lower/Region"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import type { View } from "@anneal/lower/View"
import type { Emission } from "../Emission.ts"
import type { Expr, I32, V128 } from "../Instruction.ts"
import { i32, i32x4, i64, i64x2, v128 } from "../Instruction.ts"
import * as Lanes from "../Lanes.ts"
import type { FunctionBuilder, Local } from "../ModuleBuilder.ts"
import * as ScalarCode from "../ScalarCode.ts"
import { Writer } from "../Writer.ts"

export const viewsOf = (epilogue: Epilogue): ReadonlyArray<View> => [
  ...epilogue.operands,
  ...epilogue.results.map(({ view }) => view)
]

/** Bytes from one element to the next along an axis. */
export const byteStride = (view: View, axis: number): Dim.Dim =>
  Dim.mul(view.strides[axis] ?? 0, DType.slotBytes(view.dtype))

const partsOf = (epilogue: Epilogue): ReadonlyArray<Scalar> => Scalars.parts(epilogue.results.map(({ value }) => value))

/** Whether code can be made for it here. */
export const isSupported = (epilogue: Epilogue): boolean =>
  epilogue.results.every(({ value }) => ScalarCode.refusal(value) === undefined) &&
  partsOf(epilogue).every((part) => part.kind !== "load" || part.indirect === undefined)

/** Whether it asks where it is in its domain: axes can't be joined then. */
export const usesIndices = (epilogue: Epilogue): boolean => partsOf(epilogue).some(({ kind }) => kind === "index")

/** Nanoseconds an element, roughly. */
export const costOf = (epilogue: Epilogue): number => {
  const [four, slow] = [0.25, 12]
  const simple = new Set(["add", "sub", "mul", "min", "max", "round", "abs", "neg", "less", "greater", "equal"])
  const parts = partsOf(epilogue).reduce(
    (sum, part) => sum + ((part.kind === "unary" || part.kind === "binary") && !simple.has(part.op) ? slow : 1),
    0
  )
  return (0.7 + 0.3 * parts) * four
}

export interface IntegerTilePoint {
  /** i32 sums, [rows][columns], `rowBytes` apart. */
  readonly sums: Local<"i32">
  readonly rowBytes: number
  /** Rows of the tile that count. */
  readonly rows: I32
  /** Columns of the tile that count. */
  readonly columns: number | Local<"i32">
  /** One i32 a column, beginning at the tile's first; undefined for none. */
  readonly columnTerms: Local<"i32"> | undefined
  /** One i32 a row, beginning at the tile's first; undefined for none. */
  readonly rowTerms: Local<"i32"> | undefined
  /** Addresses of the tile's first element in each view: operands, then results. Not changed. */
  readonly views: ReadonlyArray<Local<"i32">>
  /** Bytes in each view from row to row and from column to column. */
  readonly rowSteps: ReadonlyArray<Dim.Dim>
  readonly columnSteps: ReadonlyArray<Dim.Dim>
  /** The axes of the domain along which rows and columns run; undefined where no one axis does. */
  readonly rowAxis: number | undefined
  readonly columnAxis: number
  /** Indices of the tile's first element. */
  readonly index: (axis: number) => I32
}

/** Writes the loops over the tile. */
export const emitEpilogue = (
  f: FunctionBuilder,
  emission: Emission,
  epilogue: Epilogue,
  point: IntegerTilePoint
): void => {
  const w = new Writer(f, emission)
  const operands = epilogue.operands.length
  const views = point.views.map((local) => f.let(f.get(local)))
  const sums = f.let(f.get(point.sums))
  const rowTerms = point.rowTerms === undefined ? undefined : f.let(f.get(point.rowTerms))
  const size = (dim: Dim.Dim): number | I32 => (typeof dim === "number" ? dim : f.get(f.let(emission.dim(dim))))
  const asI32 = (value: number | I32): I32 => (typeof value === "number" ? i32.const(value) : value)
  const rowSteps = point.rowSteps.map(size)
  const columnSteps = point.columnSteps.map(size)
  const known = f.let(i32.const(0))
  const isStored = epilogue.results.every(({ view }) => Lanes.isBytes(view.dtype))

  const row = (index: Local<"i32">): void => {
    const rowTerm = rowTerms === undefined ? undefined : f.let(v128.load32_splat(f.get(rowTerms)))
    /** Address of a view's element at a column. */
    const at = (view: number, column: number | Local<"i32">): { readonly address: I32; readonly offset: number } => {
      const pointer = views[view]
      const step = columnSteps[view] ?? 0
      if (pointer === undefined) throw new RangeError(`the epilogue has no view ${view}`)
      if (step === 0) return { address: f.get(pointer), offset: 0 }
      if (typeof column === "number" && typeof step === "number" && step >= 0)
        return { address: f.get(pointer), offset: column * step }
      const index = typeof column === "number" ? i32.const(column) : f.get(column)
      return { address: i32.add(f.get(pointer), i32.mul(index, asI32(step))), offset: 0 }
    }
    const inTile = (base: Local<"i32">, column: number | Local<"i32">): readonly [I32, number] =>
      typeof column === "number"
        ? [f.get(base), column * 4]
        : [i32.add(f.get(base), i32.shl(f.get(column), i32.const(2))), 0]
    const indexOf = (axis: number, column: number | Local<"i32">): I32 => {
      const first = point.index(axis)
      if (axis === point.columnAxis)
        return i32.add(first, typeof column === "number" ? i32.const(column) : f.get(column))
      return axis === point.rowAxis ? i32.add(first, f.get(index)) : first
    }

    /** The results at four columns. */
    const computed = (column: number | Local<"i32">): ReadonlyArray<Lanes.Lanes> => {
      let sum: V128 = v128.load(...inTile(sums, column))
      if (point.columnTerms !== undefined) sum = i32x4.add(sum, v128.load(...inTile(point.columnTerms, column)))
      if (rowTerm !== undefined) sum = i32x4.add(sum, f.get(rowTerm))
      const kept = w.keep(sum)
      return ScalarCode.vector(
        w,
        epilogue.results.map(({ value }) => value),
        {
          load: ({ dtype, operand }) => {
            const { address, offset } = at(operand, column)
            const step = columnSteps[operand] ?? 0
            if (step === 0) return Lanes.loadSplat(w, dtype, address, offset)
            return step === DType.slotBytes(dtype)
              ? Lanes.load(w, dtype, address, offset)
              : Lanes.loadStrided(w, dtype, address, step, offset)
          },
          previous: () => [kept],
          index: (axis, dtype) => {
            const first = indexOf(axis, column)
            const ramp = axis === point.columnAxis ? [0, 1, 2, 3] : [0, 0, 0, 0]
            const four = i32x4.add(i32x4.splat(first), v128.const(ramp.flatMap((lane) => [lane, 0, 0, 0])))
            if (dtype === "i32") return [four]
            const wide = w.keep(four)
            return [i64x2.extend_low_i32x4_s(wide), i64x2.extend_high_i32x4_s(wide)]
          }
        },
        { stored: isStored }
      )
    }

    /** Results at one, two or four times four columns. */
    const vectors = (columns: ReadonlyArray<number | Local<"i32">>): void => {
      const all = columns.map(computed)
      const [first = 0] = columns
      for (const [r, { view }] of epilogue.results.entries()) {
        const step = columnSteps[operands + r] ?? 0
        const values = all.flatMap((results) => (results[r] === undefined ? [] : [results[r]]))
        if (isStored && step === 1) {
          const { address, offset } = at(operands + r, first)
          f.do(
            Lanes.storeBytes(
              w,
              address,
              values.map(([lanes]) => lanes),
              offset
            )
          )
          continue
        }
        for (const [place, value] of values.entries()) {
          const { address, offset } = at(operands + r, columns[place] ?? first)
          f.do(
            step === DType.slotBytes(view.dtype)
              ? Lanes.store(w, view.dtype, address, value, offset)
              : Lanes.storeStrided(w, view.dtype, address, step, value, offset)
          )
        }
      }
    }

    const single = (column: number | Local<"i32">): void => {
      let sum: I32 = i32.load(...inTile(sums, column))
      if (point.columnTerms !== undefined) sum = i32.add(sum, i32.load(...inTile(point.columnTerms, column)))
      if (rowTerm !== undefined) sum = i32.add(sum, i32x4.extract_lane(f.get(rowTerm), 0))
      const kept = w.keep(sum)
      const values = ScalarCode.single(
        w,
        epilogue.results.map(({ value }) => value),
        {
          load: ({ dtype, operand }): Expr => {
            const { address, offset } = at(operand, column)
            return Lanes.loadOne(w, dtype, address, offset)
          },
          previous: () => kept,
          index: (axis, dtype) => (dtype === "i32" ? indexOf(axis, column) : i64.extend_i32_s(indexOf(axis, column)))
        }
      )
      for (const [r, { view }] of epilogue.results.entries()) {
        const value = values[r]
        if (value === undefined) continue
        const { address, offset } = at(operands + r, column)
        f.do(Lanes.storeOne(w, view.dtype, address, value, offset))
      }
    }

    const { columns } = point
    if (typeof columns === "number") {
      const whole = columns - (columns % 4)
      // Bytes are stored together; other results as soon as they are there.
      const widths = isStored ? [16, 8, 4] : [4]
      for (let column = 0; column < whole;) {
        const width = widths.find((one) => column + one <= whole) ?? 4
        const begin = column
        vectors(Array.from({ length: width / 4 }, (_, v) => begin + 4 * v))
        column += width
      }
      // What is left is not written twice: results may be operands.
      if (columns > whole) f.range(whole, columns, 1, (column) => single(column))
      return
    }
    const column = f.let(i32.const(0))
    f.block((out) =>
      f.loop((again) => {
        f.brIf(out, i32.gt_s(i32.add(f.get(column), i32.const(4)), f.get(columns)))
        vectors([column])
        f.set(column, i32.add(f.get(column), i32.const(4)))
        f.br(again)
      })
    )
    f.range(f.get(column), f.get(columns), 1, (rest) => single(rest))
  }

  f.loop((again) => {
    row(known)
    f.set(sums, i32.add(f.get(sums), i32.const(point.rowBytes)))
    if (rowTerms !== undefined) f.set(rowTerms, i32.add(f.get(rowTerms), i32.const(4)))
    views.forEach((local, view) => {
      const step = rowSteps[view] ?? 0
      if (step !== 0) f.set(local, i32.add(f.get(local), asI32(step)))
    })
    f.brIf(again, i32.lt_s(f.tee(known, i32.add(f.get(known), i32.const(1))), point.rows))
  })
}
