/**
 * GemmEpilogue: what happens to the sums of a tile: the epilogue of a contraction or a convolution, on vectors of four
 * columns, on single elements where fewer are left.
 *
 *   relu(accumulator + bias[n])  ⇒  v128.store(out + …, max(add(sum, load bias), 0))
 *
 * Short epilogues take the sums from registers. Long ones (an error function) would drive them out: the tile goes to
 * scratch memory first and the epilogue is a loop over its rows.
 */
import * as Dim from "@anneal/ir/Dim"
import * as DType from "@anneal/ir/DType"
import type { Epilogue } from "@anneal/lower/Region"
import * as Scalars from "@anneal/lower/Scalar"
import type { Emission } from "../Emission.ts"
import type { F32, I32, V128 } from "../Instruction.ts"
import { f32, f32x4, i32, i32x4, i64, i64x2, select, v128 } from "../Instruction.ts"
import * as Lanes from "../Lanes.ts"
import type { FunctionBuilder, Local } from "../ModuleBuilder.ts"
import * as ScalarCode from "../ScalarCode.ts"
import { Writer } from "../Writer.ts"
import type { Size, Sums } from "./GemmTile.ts"
import { advance, loadLanes, offsetBy, step } from "./GemmTile.ts"

/** Where results lie. */
export interface EpiloguePlace {
  /** Columns of the tile: fewer than its vectors hold in the last panel, where it is known only when it runs a local. */
  readonly width: number | Local<"i32">
  /** Addresses of the tile's first element: operands, then results. */
  readonly views: ReadonlyArray<Local<"i32">>
  readonly rowBytes: ReadonlyArray<Size>
  readonly columnBytes: ReadonlyArray<Size>
  /** Axes of the domain along which the tile's rows and columns run; undefined where no one axis does. */
  readonly rowDomain: number | undefined
  readonly columnDomain: number | undefined
  /** Index of the tile's first element along each axis of the domain. */
  readonly indices: ReadonlyMap<number, I32>
}

export interface EpiloguePoint extends EpiloguePlace {
  readonly sums: Sums
  /** Scratch memory for the tile. */
  readonly memory: Local<"i32"> | undefined
}

/** Rows of sums that lie in memory one after another, `vectors` each. */
export interface RowsPoint extends EpiloguePlace {
  readonly from: Local<"i32">
  readonly vectors: number
  readonly count: number | I32
}

export interface EpilogueCode {
  readonly usesIndices: boolean
  readonly tile: (point: EpiloguePoint) => void
  readonly rows: (point: RowsPoint) => void
}

/** Where one evaluation stands: the first row and column from the tile's first element. */
interface Spot {
  readonly views: ReadonlyArray<Local<"i32">>
  readonly row: number
  readonly column: number | Local<"i32">
  readonly rowIndex: I32 | undefined
}

const cheap = new Set(["add", "sub", "mul", "min", "max", "neg", "abs"])

/** Rough number of instructions. */
export const weigh = (epilogue: Epilogue): number =>
  Scalars.parts(epilogue.results.map(({ value }) => value)).reduce((sum, part) => {
    switch (part.kind) {
      case "unary":
      case "binary":
        return sum + (cheap.has(part.op) && part.dtype === "f32" ? 1 : 12)
      case "cast":
        return sum + 8
      case "load":
        return sum + (part.indirect === undefined ? 1 : 12)
      default:
        return sum + 1
    }
  }, 0)

const isLong = (epilogue: Epilogue): boolean =>
  weigh(epilogue) > 14 || epilogue.results.some(({ view }) => view.dtype !== "f32")

export const usesIndices = (epilogue: Epilogue): boolean =>
  Scalars.parts(epilogue.results.map(({ value }) => value)).some(({ kind }) => kind === "index")

/**
 * Whether no two vectors of a result are stored side by side, by the bytes from column to column of each view. V8's revectorizer
 * begins at neighbouring stores: without any, the loop over k would keep its 128 bits.
 */
const isScattered = (epilogue: Epilogue, columnBytes: ReadonlyArray<unknown>): boolean =>
  gathers(epilogue) || columnBytes.slice(epilogue.operands.length).every((bytes) => bytes !== 4)

/** Whether tiles need scratch memory: on some hosts, at least. `columnBytes`: of each view, operands first. */
export const needsMemory = (
  epilogue: Epilogue,
  knownWidth: boolean,
  columnBytes: ReadonlyArray<unknown> = []
): boolean => !knownWidth || isLong(epilogue) || (columnBytes.length > 0 && isScattered(epilogue, columnBytes))

/** Elements that the data picks are read one by one. */
const gathers = (epilogue: Epilogue): boolean =>
  Scalars.parts(epilogue.results.map(({ value }) => value)).some(
    (part) => part.kind === "load" && part.indirect !== undefined
  )

/** Why no code can be made for an epilogue; undefined where it can. */
export const refusal = (epilogue: Epilogue): string | undefined =>
  epilogue.results.map(({ value }) => ScalarCode.refusal(value)).find((reason) => reason !== undefined)

const identity = [0, 1, 2, 3]

/** The epilogue's code in one function. */
export const epilogueCode = (f: FunctionBuilder, emission: Emission, epilogue: Epilogue): EpilogueCode => {
  const w = new Writer(f, emission)
  const values = epilogue.results.map(({ value }) => value)
  const operands = epilogue.operands.length
  const one = gathers(epilogue)

  const address = (
    point: EpiloguePlace,
    view: number,
    spot: Spot
  ): { readonly address: I32; readonly offset: number } => {
    const pointer = spot.views[view]
    if (pointer === undefined) throw new RangeError(`the epilogue has no view ${view}`)
    const down = point.rowBytes[view] ?? 0
    const across = point.columnBytes[view] ?? 0
    if (typeof down === "number" && typeof across === "number" && typeof spot.column === "number") {
      const offset = spot.row * down + spot.column * across
      if (offset >= 0) return { address: f.get(pointer), offset }
    }
    const at = step(f, f.get(pointer), spot.row, down)
    if (typeof spot.column === "number") return { address: step(f, at, spot.column, across), offset: 0 }
    return { address: offsetBy(f, at, f.get(spot.column), across), offset: 0 }
  }

  const index = (point: EpiloguePlace, axis: number, spot: Spot): I32 => {
    const begin = point.indices.get(axis) ?? i32.const(0)
    if (axis === point.columnDomain)
      return i32.add(begin, typeof spot.column === "number" ? i32.const(spot.column) : f.get(spot.column))
    if (axis === point.rowDomain) return i32.add(begin, spot.rowIndex ?? i32.const(spot.row))
    return begin
  }

  /** Columns from the spot on, four or the last `lanes`: the values that are to be stored. */
  const four = (point: EpiloguePlace, spot: Spot, sum: V128, lanes = 4): ReadonlyArray<Lanes.Lanes> => {
    const across = (view: number): Size => point.columnBytes[view] ?? 0
    return ScalarCode.vector(w, values, {
      previous: () => [sum],
      load: ({ dtype, operand }) => {
        const { address: at, offset } = address(point, operand, spot)
        const stride = across(operand)
        if (stride === 0) return Lanes.loadSplat(w, dtype, at, offset)
        if (lanes < 4) return [loadLanes(at, lanes, offset)]
        if (stride === DType.slotBytes(dtype)) return Lanes.load(w, dtype, at, offset)
        return Lanes.loadStrided(w, dtype, at, typeof stride === "number" ? stride : f.get(stride), offset)
      },
      index: (axis, dtype) => {
        const at = index(point, axis, spot)
        const first = Lanes.splat("i32", at)[0]
        const places =
          axis === point.columnDomain
            ? i32x4.add(first, v128.const(identity.flatMap((lane) => [lane, 0, 0, 0])))
            : first
        if (dtype === "i32") return [places]
        const kept = w.keep(places)
        return [i64x2.extend_low_i32x4_s(kept), i64x2.extend_high_i32x4_s(kept)]
      }
    })
  }

  /** Whether the last one to three columns can be read and written as part of a vector. */
  const endsInVector = (point: EpiloguePlace): boolean =>
    !one &&
    [...epilogue.operands, ...epilogue.results.map(({ view }) => view)].every(({ dtype }, view) => {
      const stride = point.columnBytes[view]
      return dtype === "f32" && (stride === 4 || (stride === 0 && view < operands))
    })

  const storeLanes = (point: EpiloguePlace, spot: Spot, made: ReadonlyArray<Lanes.Lanes>, lanes: number): void =>
    made.forEach(([value], result) => {
      const { address: at, offset } = address(point, operands + result, spot)
      const place = w.keep(at)
      if (lanes > 1) f.do(v128.store64_lane(place, value, 0, offset))
      if (lanes % 2 === 1) f.do(v128.store32_lane(place, value, lanes - 1, offset + (lanes - 1) * 4))
    })

  const storeFour = (point: EpiloguePlace, spot: Spot, result: number, made: ReadonlyArray<Lanes.Lanes>): void => {
    const value = made[result]
    const view = epilogue.results[result]?.view
    if (value === undefined || view === undefined) throw new RangeError(`the epilogue has no result ${result}`)
    const { address: at, offset } = address(point, operands + result, spot)
    const stride = point.columnBytes[operands + result] ?? 0
    f.do(
      stride === DType.slotBytes(view.dtype)
        ? Lanes.store(w, view.dtype, at, value, offset)
        : Lanes.storeStrided(w, view.dtype, at, typeof stride === "number" ? stride : f.get(stride), value, offset)
    )
  }

  /** One column. */
  const single = (point: EpiloguePlace, spot: Spot, sum: F32): void => {
    const made = ScalarCode.single(w, values, {
      previous: () => sum,
      load: (load, evaluate) => {
        const { address: at, offset } = address(point, load.operand, spot)
        const bytes = DType.slotBytes(load.dtype)
        const picked = (load.indirect ?? []).reduce((sofar, { extent, index: scalar, stride }) => {
          const raw = evaluate(scalar)
          const place = w.keep(scalar.dtype === "i64" ? i32.wrap_i64({ ...raw, type: "i64" }) : { ...raw, type: "i32" })
          const wrapped = select(i32.lt_s(place, i32.const(0)), i32.add(place, emission.dim(extent)), place)
          return i32.add(sofar, i32.mul(wrapped, emission.dim(Dim.mul(stride, bytes))))
        }, at)
        return Lanes.loadOne(w, load.dtype, picked, offset)
      },
      index: (axis, dtype) => {
        const at = index(point, axis, spot)
        return dtype === "i32" ? at : i64.extend_i32_s(at)
      }
    })
    epilogue.results.forEach(({ view }, result) => {
      const value = made[result]
      if (value === undefined) throw new RangeError(`the epilogue has no result ${result}`)
      const { address: at, offset } = address(point, operands + result, spot)
      f.do(Lanes.storeOne(w, view.dtype, at, value, offset))
    })
  }

  /**
   * One row of a tile whose width is known. Vectors go in pairs, both computed before either is stored: V8's revectorizer
   * joins neighbouring stores with nothing between them.
   */
  const row = (
    point: EpiloguePlace,
    width: number,
    spot: Omit<Spot, "column">,
    sum: (vector: number) => V128
  ): void => {
    const whole = one ? 0 : width - (width % 4)
    for (let column = 0; column < whole; column += 8) {
      const pair = [column, column + 4]
        .filter((at) => at < whole)
        .map((at) => {
          const here = { ...spot, column: at }
          return { here, made: four(point, here, w.keep(sum(at / 4))) }
        })
      values.forEach((_, result) => pair.forEach(({ here, made }) => storeFour(point, here, result, made)))
    }
    for (let column = whole; column < width; column += 4) {
      const kept = w.keep(sum(column / 4))
      const lanes = Math.min(4, width - column)
      if (endsInVector(point)) {
        const here = { ...spot, column }
        storeLanes(point, here, four(point, here, kept, lanes), lanes)
        continue
      }
      for (let lane = 0; lane < lanes; lane++)
        single(point, { ...spot, column: column + lane }, f32x4.extract_lane(kept, lane))
    }
  }

  /** A loop over rows in memory: four in a round where all is known and short. */
  const rows = (point: RowsPoint): void => {
    const { count, vectors, width } = point
    const from = f.let(f.get(point.from))
    const views = point.views.map((pointer, view) => (point.rowBytes[view] === 0 ? pointer : f.let(f.get(pointer))))
    const end = typeof count === "number" ? count : f.get(f.let(count))
    const fixed = typeof width === "number" && point.rowBytes.every((bytes) => typeof bytes === "number")
    const unroll = fixed && !isLong(epilogue) ? 4 : 1
    const round = (size: number, first: I32): void => {
      for (let r = 0; r < size; r++) {
        const spot = { views, row: r, rowIndex: r === 0 ? first : i32.add(first, i32.const(r)) }
        const at = r * vectors * 16
        if (typeof width === "number") row(point, width, spot, (vector) => v128.load(f.get(from), at + vector * 16))
        else
          f.range(0, f.get(width), 1, (column) =>
            single(point, { ...spot, column }, f32.load(i32.add(f.get(from), i32.shl(f.get(column), i32.const(2)))))
          )
      }
      f.set(from, i32.add(f.get(from), i32.const(size * vectors * 16)))
      views.forEach((pointer, view) => advance(f, pointer, size, point.rowBytes[view] ?? 0))
    }
    if (unroll === 1) return f.range(0, end, 1, (r) => round(1, f.get(r)))
    const whole = typeof end === "number" ? end - (end % unroll) : f.get(f.let(i32.and(end, i32.const(-unroll))))
    f.range(0, whole, unroll, (r) => round(unroll, f.get(r)))
    f.range(whole, end, 1, (r) => round(1, f.get(r)))
  }

  const fromMemory = (point: EpiloguePoint, memory: Local<"i32">): void => {
    const { sums } = point
    const vectors = sums[0]?.length ?? 0
    sums.forEach((vectorsOfRow, r) =>
      vectorsOfRow.forEach((sum, vector) => f.do(v128.store(f.get(memory), f.get(sum), (r * vectors + vector) * 16)))
    )
    rows({ ...point, from: memory, vectors, count: sums.length })
  }

  return {
    usesIndices: usesIndices(epilogue),
    rows,
    tile: (point) => {
      const { memory, sums, views, width } = point
      const apart = emission.features.wide && memory !== undefined && isScattered(epilogue, point.columnBytes)
      const viaMemory = isLong(epilogue) || apart
      if (typeof width === "number" && !viaMemory)
        sums.forEach((vectors, r) =>
          row(point, width, { views, row: r, rowIndex: undefined }, (vector) => {
            const sum = vectors[vector]
            if (sum === undefined) throw new RangeError(`the tile has no vector ${vector}`)
            return f.get(sum)
          })
        )
      else if (memory === undefined) throw new RangeError("the tile needs scratch memory")
      else fromMemory(point, memory)
    }
  }
}
