/**
 * LoopTranspose: loops whose operands lie the other way round than the result: 4 × 4 elements of 32 bits are read along the operand's
 * axis, turned by shuffles, and go on along the result's.
 *
 *   result[…, b, a]: operand neighbours are along b, result neighbours along a
 *
 *        a a+1 a+2 a+3                 b b+1 b+2 b+3
 *   b    ·  ·   ·   ·    ⇐ shuffles  a  ·  ·   ·   ·     four loads along b
 *   b+1  ·  ·   ·   ·               a+1 ·  ·   ·   ·
 *
 * What is left over of either axis goes element by element.
 */
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import type { Loop } from "@anneal/lower/Region"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import type { Emission } from "../Emission.ts"
import type { I32, V128 } from "../Instruction.ts"
import { i32, select, shuffle, v128 } from "../Instruction.ts"
import * as Lanes from "../Lanes.ts"
import type { Func } from "../ModuleBuilder.ts"
import * as ScalarCode from "../ScalarCode.ts"
import { Writer } from "../Writer.ts"
import type { Axis } from "./LoopAxes.ts"
import * as LoopCost from "./LoopCost.ts"
import * as LoopNest from "./LoopNest.ts"
import * as LoopPoint from "./LoopPoint.ts"
import { bytesOf, plus, type Size, sizeCode, sizeHere, times } from "./LoopPoint.ts"

export interface TransposeShape {
  readonly region: Loop
  /** The axis along which results lie one after another, and the one along which turned operands do. */
  readonly a: Axis
  readonly b: Axis
  /** All other axes, then `b`: a unit has some rows of it. */
  readonly nest: LoopNest.Nest
  readonly turned: ReadonlySet<number>
}

const is32 = (dtype: DType): boolean => dtype === "f32" || dtype === "i32" || dtype === "u32"

/** Rows of `b` that are gone through together, four at a time: a cache line of the operand. */
const band = 16

/** The bands as an axis of the nest: no axis of a domain has this number. */
const bandSource = -1

const operandsOf = (values: ReadonlyArray<Scalar>): ReadonlyArray<Extract<Scalar, { readonly kind: "load" }>> =>
  Scalars.parts(values).flatMap((part) => (part.kind === "load" ? [part] : []))

/** The shape, where the loop has operands that lie across. `axes`: as for a loop, the result's neighbours last. */
export const shapeOf = (
  region: Loop,
  axes: ReadonlyArray<Axis>,
  typical: ReadonlyMap<string, number>
): TransposeShape | undefined => {
  const a = axes.at(-1)
  const place = region.operands.length
  if (a === undefined || region.results.some((_, result) => a.strides[place + result] !== 1)) return undefined
  const loads = operandsOf(region.results.map(({ value }) => value))
  if (loads.some(({ indirect }) => indirect !== undefined)) return undefined
  const across = loads.flatMap(({ operand }) => {
    const stride = a.strides[operand]
    return stride === 0 || stride === 1 ? [] : [operand]
  })
  const turned = new Set(across)
  if (turned.size === 0 || across.some((operand) => !is32(region.operands[operand]?.dtype ?? "f64"))) return undefined
  const b = axes.slice(0, -1).find(({ strides }) => across.every((operand) => strides[operand] === 1))
  if (b === undefined) return undefined
  const size = (dim: Dim.Dim): number => Dim.evaluate(dim, typical) ?? 1
  if (size(a.extent) < 4 || size(b.extent) < 4) return undefined
  const others = axes.filter((axis) => axis !== a && axis !== b)
  const bands: Axis = {
    extent: Dim.ceilDiv(b.extent, band),
    strides: b.strides.map((stride) => Dim.mul(stride, band)),
    source: bandSource
  }
  const one: Axis = { extent: 1, strides: [], source: undefined }
  return { region, a, b, turned, nest: LoopNest.make([...others, bands, one], typical) }
}

/** Nanoseconds. */
export const cost = (
  { a, b, nest, region, turned }: TransposeShape,
  typical: ReadonlyMap<string, number>,
  relaxed: boolean
): number => {
  const size = (dim: Dim.Dim): number => Dim.evaluate(dim, typical) ?? 1
  const others = nest.outer.slice(0, -1).reduce((total, { extent }) => total * size(extent), 1)
  const [across, along] = [size(a.extent), size(b.extent)]
  const work = LoopCost.workOf(
    region.results.map(({ value }) => value),
    relaxed
  )
  const singles = across * along - Math.floor(across / 4) * Math.floor(along / 4) * 16
  const vectors = (across * along - singles) / 4
  return others * ((vectors * (work + 5 * turned.size + 2) + singles * (work + 4)) * LoopCost.instruction + 20) + 20
}

/** Four vectors along one axis as four along the other. */
const turn = (w: Writer, rows: readonly [V128, V128, V128, V128]): ReadonlyArray<V128> => {
  const low = [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23]
  const high = [8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31]
  const firsts = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]
  const seconds = [8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31]
  const [r0, r1, r2, r3] = rows
  const [low01, low23] = [w.keep(shuffle(r0, r1, low)), w.keep(shuffle(r2, r3, low))]
  const [high01, high23] = [w.keep(shuffle(r0, r1, high)), w.keep(shuffle(r2, r3, high))]
  return [
    shuffle(low01, low23, firsts),
    shuffle(low01, low23, seconds),
    shuffle(high01, high23, firsts),
    shuffle(high01, high23, seconds)
  ].map((one) => w.keep(one))
}

export const emit = (shape: TransposeShape, emission: Emission, name: string): Func => {
  const { nest, region } = shape
  const views = [...region.operands, ...region.results.map(({ view }) => view)]
  const params = [...views, "scratch", "begin", "end"].map(() => "i32" as const)
  return emission.module.func(name, params, [], (f) => {
    const w = new Writer(f, emission)
    const parameter = (position: number): I32 => f.get({ type: "i32", index: position })
    LoopNest.write(
      w,
      nest,
      views.map((_, position) => parameter(position)),
      views.map(({ dtype }) => bytesOf(dtype)),
      parameter(views.length + 1),
      parameter(views.length + 2),
      ({ addresses, index }) => writeBand(w, shape, addresses, index(bandSource) ?? i32.const(0), index)
    )
  })
}

const writeBand = (
  w: Writer,
  { a, b, region, turned }: TransposeShape,
  addresses: ReadonlyArray<I32>,
  bandIndex: I32,
  outerIndex: (axis: number) => I32 | undefined
): void => {
  const { f } = w
  const { operands, results } = region
  const values = results.map(({ value }) => LoopPoint.unrounded(value))
  const dtypes = [...operands, ...results.map(({ view }) => view)].map(({ dtype }) => dtype)
  const stride = (axis: Axis, view: number): Size => sizeHere(w, axis.strides[view] ?? 0)
  const step = (axis: Axis, view: number, elements: Size): Size =>
    times(elements, times(stride(axis, view), bytesOf(dtypes[view] ?? "f32")))
  const firstB = w.keep(i32.mul(bandIndex, i32.const(band)))
  const left = w.keep(i32.sub(sizeCode(sizeHere(w, b.extent)), firstB))
  const countB = w.keep(select(i32.lt_s(left, i32.const(band)), left, i32.const(band)))
  const countA = sizeHere(w, a.extent)
  const wholeA = typeof countA === "number" ? countA - (countA % 4) : w.keep(i32.and(countA, i32.const(-4)))
  const wholeB = w.keep(i32.and(countB, i32.const(-4)))

  const point = (here: ReadonlyArray<I32>, atA: I32, atB: I32): LoopPoint.Point => ({
    w,
    pointer: (operand) => ({
      dtype: dtypes[operand] ?? "f32",
      address: here[operand] ?? i32.const(0),
      stride: stride(a, operand)
    }),
    index: (axis) => {
      if (axis === a.source) return { at: atA, along: true }
      return { at: axis === b.source ? atB : (outerIndex(axis) ?? i32.const(0)), along: false }
    },
    previous: (name) => {
      throw new Error(`a loop has no ${name}`)
    }
  })
  const block = (here: ReadonlyArray<I32>, atA: I32, atB: I32): void => {
    const tiles = new Map<number, ReadonlyArray<V128>>()
    for (const operand of turned) {
      const from = here[operand] ?? i32.const(0)
      const row = (i: number): V128 => {
        const away = step(a, operand, i)
        return w.keep(typeof away === "number" && away >= 0 ? v128.load(from, away) : v128.load(plus(from, away)))
      }
      tiles.set(operand, turn(w, [row(0), row(1), row(2), row(3)]))
    }
    for (let k = 0; k < 4; k++) {
      const there = here.map((address, view) => {
        const away = step(b, view, k)
        return turned.has(view) || away === 0 ? address : w.keep(plus(address, away))
      })
      const plain = LoopPoint.vector(point(there, atA, k === 0 ? atB : w.keep(i32.add(atB, i32.const(k)))), 0)
      const made = ScalarCode.vector(w, values, {
        ...plain,
        load: (load, evaluate) => {
          const tile = tiles.get(load.operand)?.[k]
          return tile === undefined ? plain.load(load, evaluate) : [tile]
        }
      })
      made.forEach((value, result) => {
        const place = operands.length + result
        f.do(Lanes.store(w, dtypes[place] ?? "f32", there[place] ?? i32.const(0), value))
      })
    }
  }
  const one = (here: ReadonlyArray<I32>, atA: I32, atB: I32): void => {
    const made = ScalarCode.single(w, values, LoopPoint.single(point(here, atA, atB), 0))
    made.forEach((value, result) => {
      const place = operands.length + result
      f.do(Lanes.storeOne(w, dtypes[place] ?? "f32", here[place] ?? i32.const(0), value))
    })
  }
  const moved = (here: ReadonlyArray<I32>, axis: Axis, by: I32): ReadonlyArray<I32> =>
    here.map((address, view) => {
      const away = step(axis, view, by)
      return away === 0 ? address : w.keep(plus(address, away))
    })
  const singles = (from: I32, to: Size, here: ReadonlyArray<I32>, atB: I32): void =>
    f.range(from, to, 1, (i) => one(moved(here, a, f.get(i)), f.get(i), atB))

  f.range(0, wholeB, 4, (j) => {
    const atB = w.keep(i32.add(firstB, f.get(j)))
    const here = moved(addresses, b, f.get(j))
    f.range(0, wholeA, 4, (i) => block(moved(here, a, f.get(i)), f.get(i), atB))
  })
  if (typeof countA !== "number" || countA % 4 !== 0)
    f.range(0, wholeB, 1, (j) =>
      singles(sizeCode(wholeA), countA, moved(addresses, b, f.get(j)), w.keep(i32.add(firstB, f.get(j))))
    )
  f.range(wholeB, countB, 1, (j) =>
    singles(i32.const(0), countA, moved(addresses, b, f.get(j)), w.keep(i32.add(firstB, f.get(j))))
  )
}
