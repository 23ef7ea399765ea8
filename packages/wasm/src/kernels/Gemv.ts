/**
 * Gemv: contractions with few rows whose operands both run along k: dot products of vectors along k.
 *
 *   out[m, n] = epilogue(Σ_k a[m, k] · b[n, k])
 *
 * b is read in place, row by row, as fast as memory gives it: nothing is packed, be it a constant that others read too (an
 * embedding that is a classifier's weight) or a value. Four columns' sums become one vector by adding across lanes.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Contraction, Region } from "@anneal/lower/Region"
import type { Emission, Features } from "../Emission.ts"
import type { I32, V128 } from "../Instruction.ts"
import { f32x4, i32, shuffle } from "../Instruction.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import type { Func, FunctionBuilder, Local } from "../ModuleBuilder.ts"
import { bytesPerCycle, callNanoseconds, epilogueCyclesOf, nanosecondsPerCycle, typicalSize } from "./GemmCost.ts"
import * as GemmEpilogue from "./GemmEpilogue.ts"
import { byteStride, viewsOf } from "./GemmProduct.ts"
import { unitLoop } from "./UnitLoop.ts"
import { unitSize, wantedUnits } from "./UnitSize.ts"
import type { Size } from "./GemmTile.ts"
import { advance, loadLanes, multiplyAdd, offsetBy, Registers, step, value, zeros } from "./GemmTile.ts"

/** Columns whose sums make a vector. */
const lane4 = 4
/** Rows and columns of a tile: eight sums cover the latency of an addition. */
const tileOf = (m: number): { readonly rows: number; readonly columns: number } =>
  m > 1 ? { rows: 2, columns: 4 } : { rows: 1, columns: 8 }

const evenLanes = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]
const oddLanes = [4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31]

/** Sums of neighbouring lanes: a₀ + a₁, a₂ + a₃, b₀ + b₁, b₂ + b₃. */
const pairs = (a: V128, b: V128): V128 => f32x4.add(shuffle(a, b, evenLanes), shuffle(a, b, oddLanes))

interface Operands {
  readonly a: Local<"i32">
  readonly b: Local<"i32">
  readonly aRow: Size
  readonly bRow: Size
  readonly k: Size
}

/** Dot products of `rows` rows of a with `count` rows of b, each row's in the lanes of a vector. */
const dots = (
  f: FunctionBuilder,
  features: Features,
  registers: Registers,
  { a, aRow, b, bRow, k }: Operands,
  rows: number,
  count: number
): ReadonlyArray<ReadonlyArray<Local<"v128">>> => {
  const sums = Array.from({ length: rows }, (_, row) =>
    Array.from({ length: count }, (__, column) => {
      const sum = registers.at(row * count + column)
      f.set(sum, zeros)
      return sum
    })
  )
  // Rows at known distances are reached from one pointer; what a load adds to it is not negative.
  const pointers = (first: Local<"i32">, stride: Size, many: number): ReadonlyArray<Local<"i32">> =>
    typeof stride === "number" && stride >= 0
      ? [f.let(f.get(first))]
      : Array.from({ length: many }, (_, index) => f.let(step(f, f.get(first), index, stride)))
  const as = pointers(a, aRow, rows)
  const bs = pointers(b, bRow, count)
  const at = (list: ReadonlyArray<Local<"i32">>, stride: Size, index: number): readonly [I32, number] => {
    const pointer = list.length === 1 ? list[0] : list[index]
    if (pointer === undefined) throw new RangeError(`there is no pointer ${index}`)
    return [f.get(pointer), typeof stride === "number" && stride >= 0 ? index * stride : 0]
  }
  const four = (offset: number, lanes: number): void => {
    const xs = Array.from({ length: rows }, (_, row) => {
      const [pointer, distance] = at(as, aRow, row)
      const local = registers.at(rows * count + row)
      f.set(local, loadLanes(pointer, lanes, distance + offset))
      return local
    })
    for (let column = 0; column < count; column++) {
      const [pointer, distance] = at(bs, bRow, column)
      const y = registers.at(rows * count + rows)
      f.set(y, loadLanes(pointer, lanes, distance + offset))
      xs.forEach((x, row) => {
        const sum = sums[row]?.[column]
        if (sum !== undefined) f.set(sum, multiplyAdd(features, f.get(x), f.get(y), f.get(sum)))
      })
    }
  }
  const move = (bytes: number): void => {
    for (const pointer of [...as, ...bs]) f.set(pointer, i32.add(f.get(pointer), i32.const(bytes)))
  }
  if (typeof k === "number") {
    const whole = Math.floor(k / 16)
    f.range(0, whole, 1, () => {
      for (let offset = 0; offset < 64; offset += 16) four(offset, 4)
      move(64)
    })
    for (let done = 0; done < k % 16; done += 4) four(done * 4, Math.min(4, (k % 16) - done))
  } else {
    const left = f.let(f.get(k))
    const loop = (size: number, lanes: number): void =>
      f.block((out) =>
        f.loop((again) => {
          f.brIf(out, i32.lt_s(f.get(left), i32.const(size)))
          for (let offset = 0; offset < size * 4; offset += 16) four(offset, lanes)
          move(size * 4)
          f.set(left, i32.sub(f.get(left), i32.const(size)))
          f.br(again)
        })
      )
    loop(16, 4)
    loop(4, 4)
    loop(1, 1)
  }
  return sums.map((row, index) => {
    const sum = (column: number): V128 => {
      const local = row[column]
      return local === undefined ? zeros : f.get(local)
    }
    const vectors = Math.ceil(count / lane4)
    return Array.from({ length: vectors }, (_, vector) => {
      const result = registers.at(rows * count + rows + 1 + index * vectors + vector)
      const first = vector * lane4
      const [low, high] = [f.let(pairs(sum(first), sum(first + 1))), f.let(pairs(sum(first + 2), sum(first + 3)))]
      f.set(result, pairs(f.get(low), f.get(high)))
      return result
    })
  })
}

interface Config {
  readonly rows: number
  /** Columns in a unit, a multiple of 8. */
  readonly columns: number
}

const unitsOf = ({ batch, n }: Contraction, { columns }: Config): Dim.Dim =>
  Dim.product([...batch, Dim.ceilDiv(n, columns)])

const emitGemv = (emission: Emission, name: string, region: Contraction, config: Config): Func => {
  const { a, b, batch, epilogue } = region
  const views = viewsOf(epilogue)
  const [mAxis, nAxis] = [batch.length, batch.length + 1]
  const parameters = 2 + views.length + 3
  const long = GemmEpilogue.needsMemory(epilogue, true)
  return unitLoop(emission, name, parameters, unitsOf(region, config), (f) => {
    const parameter = (index: number): Local<"i32"> => ({ type: "i32", index })
    const size = (dim: Dim.Dim): Size => (typeof dim === "number" ? dim : f.let(emission.dim(dim)))
    const strides = (axis: number) => ({
      a: size(byteStride(a, axis)),
      b: size(byteStride(b, axis)),
      views: views.map((view) => size(byteStride(view, axis)))
    })
    const outer = batch.map((extent, axis) => ({ extent: size(extent), axis, strides: strides(axis) }))
    const [down, across] = [strides(mAxis), views.map((view) => size(byteStride(view, nAxis)))]
    const bRow = size(byteStride(b, mAxis))
    const [m, n, k] = [size(region.m), size(region.n), size(region.k)]
    const code = GemmEpilogue.epilogueCode(f, emission, epilogue)
    const registers = new Registers(f)
    const memory = long ? parameter(parameters - 3) : undefined
    const blocks = size(Dim.ceilDiv(region.n, config.columns))
    return (unit) => {
      const rest = f.let(f.get(unit))
      const taken = (along: Size): Local<"i32"> | undefined => {
        if (along === 1) return undefined
        const index = f.let(i32.rem_u(f.get(rest), value(f, along)))
        f.set(rest, i32.div_u(f.get(rest), value(f, along)))
        return index
      }
      const block = taken(blocks)
      const [x, y] = [f.let(f.get(parameter(0))), f.let(f.get(parameter(1)))]
      const pointers = views.map((_, view) => f.let(f.get(parameter(2 + view))))
      const indices = new Map<number, I32>()
      for (const axis of [...outer].reverse()) {
        const index = taken(axis.extent)
        indices.set(axis.axis, index === undefined ? i32.const(0) : f.get(index))
        if (index === undefined) continue
        f.set(x, offsetBy(f, f.get(x), f.get(index), axis.strides.a))
        f.set(y, offsetBy(f, f.get(y), f.get(index), axis.strides.b))
        pointers.forEach((pointer, view) =>
          f.set(pointer, offsetBy(f, f.get(pointer), f.get(index), axis.strides.views[view] ?? 0))
        )
      }
      const column = f.let(block === undefined ? i32.const(0) : i32.mul(f.get(block), i32.const(config.columns)))
      if (block !== undefined) {
        f.set(y, offsetBy(f, f.get(y), f.get(column), bRow))
        pointers.forEach((pointer, view) =>
          f.set(pointer, offsetBy(f, f.get(pointer), f.get(column), across[view] ?? 0))
        )
      }
      const end = f.let(block === undefined ? value(f, n) : i32.add(f.get(column), i32.const(config.columns)))
      f.if(i32.gt_s(f.get(end), value(f, n)), () => f.set(end, value(f, n)))
      const rowsOf = (count: number): void => {
        const own = pointers.map((pointer, view) => (down.views[view] === 0 ? pointer : f.let(f.get(pointer))))
        const ax = f.let(f.get(x))
        const row = f.let(i32.const(0))
        const some = (rows: number): void => {
          const sums = dots(f, emission.features, registers, { a: ax, b: y, aRow: down.a, bRow, k }, rows, count)
          code.tile({
            sums,
            width: count,
            views: own,
            rowBytes: down.views,
            columnBytes: across,
            rowDomain: mAxis,
            columnDomain: nAxis,
            indices: new Map([...indices, [mAxis, f.get(row)], [nAxis, f.get(column)]]),
            memory
          })
        }
        const next = (rows: number): void => {
          advance(f, ax, rows, down.a)
          own.forEach((pointer, view) => advance(f, pointer, rows, down.views[view] ?? 0))
          f.set(row, i32.add(f.get(row), i32.const(rows)))
        }
        if (typeof m === "number") {
          const whole = Math.floor(m / config.rows)
          const left = m % config.rows
          f.range(0, whole, 1, () => {
            some(config.rows)
            if (whole > 1 || left > 0) next(config.rows)
          })
          if (left > 0) some(left)
        } else
          for (const rows of new Set([config.rows, 1]))
            f.block((out) =>
              f.loop((again) => {
                f.brIf(out, i32.gt_s(i32.add(f.get(row), i32.const(rows)), value(f, m)))
                some(rows)
                next(rows)
                f.br(again)
              })
            )
      }
      const wide = tileOf(config.rows).columns
      for (const count of new Set([wide, lane4, 1]))
        if (count === wide || !(typeof n === "number" && config.columns % wide === 0 && n % wide === 0))
          f.block((out) =>
            f.loop((again) => {
              f.brIf(out, i32.gt_s(i32.add(f.get(column), i32.const(count)), f.get(end)))
              rowsOf(count)
              f.set(column, i32.add(f.get(column), i32.const(count)))
              advance(f, y, count, bRow)
              pointers.forEach((pointer, view) => advance(f, pointer, count, across[view] ?? 0))
              f.br(again)
            })
          )
    }
  })
}

/** Rows above which packing b pays. */
const fewRows = 12

export const candidates = (region: Region, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  if (region.kind !== "contraction" || region.accumulate !== "f32") return []
  const { a, b, batch, epilogue, zero } = region
  const kAxis = batch.length + 1
  if (zero.a !== 0 || zero.b !== 0 || GemmEpilogue.refusal(epilogue) !== undefined) return []
  if (a.dtype !== "f32" || b.dtype !== "f32" || a.strides[kAxis] !== 1 || b.strides[kAxis] !== 1) return []
  const [m, n, k] = [region.m, region.n, region.k].map((dim) => typicalSize(dim, typical))
  if (m === undefined || n === undefined || k === undefined || m > fewRows) return []
  const outer = batch.reduce<number>((count, extent) => count * typicalSize(extent, typical), 1)
  const { columns, rows } = tileOf(m)
  const tiles = Math.ceil(m / rows) * (Math.floor(n / columns) + (n % lane4))
  const steps = Math.ceil(k / 4)
  const perTile =
    steps * Math.max((rows * columns) / (features.relaxed ? 2 : 1.6), (rows + columns) / 2, features.relaxed ? 4 : 7) +
    20 +
    ((rows * columns) / 4) * (6 + epilogueCyclesOf(epilogue, kAxis))
  const bytes = 4 * n * k
  const cycles = outer * Math.max(tiles * perTile, bytes / bytesPerCycle(bytes * outer))
  const perUnit = unitSize(n, Math.ceil(wantedUnits(cycles * nanosecondsPerCycle) / outer), 8)
  return [
    {
      name: "gemv-dot",
      config: { rows, columns: perUnit },
      cost: callNanoseconds + cycles * nanosecondsPerCycle,
      packed: [],
      scratch: GemmEpilogue.needsMemory(epilogue, true) ? rows * columns * 4 : 0,
      units: unitsOf(region, { rows, columns: perUnit }),
      emit: (emission, name) => emitGemv(emission, name, region, { rows, columns: perUnit })
    }
  ]
}
