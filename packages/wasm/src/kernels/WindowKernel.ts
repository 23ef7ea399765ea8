/**
 * WindowKernel: pooling with padding, four results at a time: neighbours along the channels (channels last) or along the last
 * spatial axis.
 *
 * Taps outside of the data are left out by the bounds of the loops over taps; windows that lie inside altogether take a path in which
 * all taps are written out. Along the last spatial axis, results whose windows cross an edge are computed one by one.
 */
import type { DType } from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Window } from "@anneal/lower/Region"
import type { Emission } from "../Emission.ts"
import type { Expr, I32 } from "../Instruction.ts"
import { i32, select } from "../Instruction.ts"
import * as Lanes from "../Lanes.ts"
import type { Func } from "../ModuleBuilder.ts"
import * as ScalarCode from "../ScalarCode.ts"
import * as SingleOps from "../SingleOps.ts"
import * as VectorOps from "../VectorOps.ts"
import { Writer } from "../Writer.ts"
import type { Axis } from "./LoopAxes.ts"
import * as LoopNest from "./LoopNest.ts"
import * as LoopPoint from "./LoopPoint.ts"
import { bytesOf, plus, type Size, sizeCode, sizeHere, times } from "./LoopPoint.ts"
import * as RowsCombine from "./RowsCombine.ts"
import type { Reduce } from "./RowsPlan.ts"

export interface WindowShape {
  readonly region: Window
  /** The axis of the epilogue's domain that lanes go along: 1 (channels) or the last. */
  readonly along: number
  /** All axes of the domain, `along` last; strides of the input's window begins, the operands, the results. */
  readonly axes: ReadonlyArray<Axis>
  readonly nest: LoopNest.Nest
  /** Vectors of channels that are in work at a time. */
  readonly unroll: number
  /** Dtype of the accumulator. */
  readonly accumulate: DType
}

/** Taps that are written out one after another. */
const writtenOut = 32

/** The taps [low, high) of a window along one axis that lie in the data, and how many lie in data and padding. */
interface Taps {
  readonly low: Size
  readonly high: Size
  readonly padded: Size
}

const least = (a: I32, b: I32): I32 => select(i32.lt_s(a, b), a, b)
const greatest = (a: I32, b: I32): I32 => select(i32.gt_s(a, b), a, b)

export const emit = (shape: WindowShape, emission: Emission, name: string): Func => {
  const { nest, region } = shape
  const { operands, results } = region.epilogue
  const views = [region.input, ...operands, ...results.map(({ view }) => view)]
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
      (row) => new RowWriter(w, shape, row).write()
    )
  })
}

class RowWriter {
  readonly #w: Writer
  readonly #shape: WindowShape
  readonly #row: LoopNest.Row
  readonly #stage: Reduce

  constructor(w: Writer, shape: WindowShape, row: LoopNest.Row) {
    this.#w = w
    this.#shape = shape
    this.#row = row
    this.#stage = {
      kind: "reduce",
      name: "accumulator",
      combine: shape.region.combine === "max" ? "max" : "sum",
      value: { kind: "constant", dtype: shape.accumulate, value: 0 },
      dtype: shape.accumulate
    }
  }

  write(): void {
    if (this.#shape.along === 1) this.#channels()
    else this.#lastAxis()
  }

  // ---- along the channels -------------------------------------------------------------------------------------------

  #channels(): void {
    const { f } = this.#w
    const { unroll } = this.#shape
    const count = this.#w.keep(sizeCode(this.#row.count))
    const taps = this.#spatial().map((axis) => this.#tapsAt(axis, this.#indexOf(axis)))
    const position = f.let(i32.const(0))
    const index = (): I32 => plus(f.get(position), this.#row.from)
    const going = (inside: boolean): void => {
      const bounds = inside ? taps.map((_, axis) => this.#allTaps(axis)) : taps
      const rounds = (vectors: number): void =>
        f.block((out) =>
          f.loop((again) => {
            const next = i32.add(f.get(position), i32.const(4 * vectors))
            f.brIf(out, i32.gt_s(next, count))
            this.#vectors(f.get(position), bounds, vectors, index())
            f.set(position, i32.add(f.get(position), i32.const(4 * vectors)))
            f.br(again)
          })
        )
      rounds(unroll)
      if (unroll > 1) rounds(1)
    }
    if (this.#tapCount() <= writtenOut)
      f.if(
        this.#isInside(taps),
        () => going(true),
        () => going(false)
      )
    else going(false)
    f.block((out) =>
      f.loop((again) => {
        f.brIf(out, i32.ge_s(f.get(position), count))
        this.#single(f.get(position), taps, index())
        f.set(position, i32.add(f.get(position), i32.const(1)))
        f.br(again)
      })
    )
  }

  // ---- along the last spatial axis ----------------------------------------------------------------------------------

  #lastAxis(): void {
    const w = this.#w
    const { f } = w
    const { region } = this.#shape
    const spatial = this.#spatial()
    const last = spatial.length - 1
    const others = spatial.slice(0, -1).map((axis) => this.#tapsAt(axis, this.#indexOf(axis)))
    const begin = w.keep(sizeCode(this.#row.from))
    const end = w.keep(i32.add(begin, sizeCode(this.#row.count)))
    // Results of [first, stop) have all their taps of this axis in the data.
    const [stride, kernel, dilation] = this.#windowAt(last)
    const before = region.padsBegin[last] ?? 0
    const extent = region.input.shape[last + 2] ?? 1
    const span = (kernel - 1) * dilation + 1
    const inside = Dim.add(Dim.floorDiv(Dim.sub(Dim.add(extent, before), span), stride), 1)
    const first = w.keep(least(end, greatest(begin, sizeCode(sizeHere(w, Dim.ceilDiv(before, stride))))))
    const stop = w.keep(least(end, greatest(first, sizeCode(sizeHere(w, inside)))))
    const at = f.let(begin)
    const here = (): I32 => i32.sub(f.get(at), begin)
    const edge = (limit: I32): void =>
      f.block((out) =>
        f.loop((again) => {
          f.brIf(out, i32.ge_s(f.get(at), limit))
          this.#single(here(), [...others, this.#tapsAt(last, f.get(at))], f.get(at))
          f.set(at, i32.add(f.get(at), i32.const(1)))
          f.br(again)
        })
      )
    edge(first)
    const going = (bounds: ReadonlyArray<Taps>): void =>
      f.block((out) =>
        f.loop((again) => {
          f.brIf(out, i32.gt_s(i32.add(f.get(at), i32.const(4)), stop))
          this.#vectors(here(), [...bounds, this.#allTaps(last)], 1, f.get(at))
          f.set(at, i32.add(f.get(at), i32.const(4)))
          f.br(again)
        })
      )
    const all = others.map((_, axis) => this.#allTaps(axis))
    if (others.length > 0 && this.#tapCount() <= writtenOut)
      f.if(
        this.#isInside(others),
        () => going(all),
        () => going(others)
      )
    else going(others)
    edge(end)
  }

  // ---- bounds -------------------------------------------------------------------------------------------------------

  #spatial(): ReadonlyArray<number> {
    return this.#shape.region.kernel.map((_, axis) => axis)
  }

  #windowAt(axis: number): readonly [stride: number, kernel: number, dilation: number] {
    const { dilations, kernel, strides } = this.#shape.region
    return [strides[axis] ?? 1, kernel[axis] ?? 1, dilations[axis] ?? 1]
  }

  #tapCount(): number {
    return this.#shape.region.kernel.reduce((total, extent) => total * extent, 1)
  }

  /** The present index of a spatial axis; 0 where the axis has extent 1. */
  #indexOf(axis: number): I32 {
    return this.#row.index(axis + 2) ?? i32.const(0)
  }

  #allTaps(axis: number): Taps {
    const [, kernel] = this.#windowAt(axis)
    return { low: 0, high: kernel, padded: kernel }
  }

  #tapsAt(axis: number, index: I32): Taps {
    const w = this.#w
    const { input, padsBegin, padsEnd } = this.#shape.region
    const [stride, kernel, dilation] = this.#windowAt(axis)
    const start = w.keep(i32.sub(i32.mul(index, i32.const(stride)), sizeCode(sizeHere(w, padsBegin[axis] ?? 0))))
    const size = input.shape[axis + 2] ?? 1
    const up = (x: I32): I32 =>
      dilation === 1 ? x : i32.div_s(i32.add(x, i32.const(dilation - 1)), i32.const(dilation))
    const zero = i32.const(0)
    const taps = (limit: Dim.Dim): I32 => {
      const room = w.keep(i32.sub(sizeCode(sizeHere(w, limit)), start))
      return greatest(zero, w.keep(least(i32.const(kernel), w.keep(up(room)))))
    }
    return {
      low: w.keep(least(i32.const(kernel), w.keep(greatest(zero, w.keep(up(i32.sub(zero, start))))))),
      high: w.keep(taps(size)),
      padded: w.keep(taps(Dim.add(size, padsEnd[axis] ?? 0)))
    }
  }

  #isInside(taps: ReadonlyArray<Taps>): I32 {
    return taps.reduce<I32>((all, { high, low }, axis) => {
      const [, kernel] = this.#windowAt(axis)
      return i32.and(all, i32.and(i32.eqz(sizeCode(low)), i32.eq(sizeCode(high), i32.const(kernel))))
    }, i32.const(1))
  }

  // ---- one result, or four ------------------------------------------------------------------------------------------

  /** Elements from one lane to the next, of the input. */
  #inputStride(): Size {
    return sizeHere(this.#w, this.#shape.nest.inner.strides[0] ?? 0)
  }

  /** Address of tap [0, …, 0] of a window `offset` results on: it may lie before the data. */
  #windowStart(offset: I32): I32 {
    const w = this.#w
    const { input, padsBegin } = this.#shape.region
    const bytes = bytesOf(input.dtype)
    const moved = plus(this.#row.addresses[0] ?? i32.const(0), times(offset, times(this.#inputStride(), bytes)))
    const pad = Dim.sum(padsBegin.map((before, axis) => Dim.mul(before, input.strides[axis + 2] ?? 0)))
    return w.keep(plus(moved, sizeHere(w, Dim.neg(Dim.mul(pad, bytes)))))
  }

  /** Goes through the taps: `body` with the address of each and bytes to add. */
  #eachTap(from: I32, taps: ReadonlyArray<Taps>, body: (address: I32, offset: number) => void): void {
    const w = this.#w
    const { input } = this.#shape.region
    const bytes = bytesOf(input.dtype)
    const steps = taps.map((_, axis) => {
      const [, , dilation] = this.#windowAt(axis)
      return sizeHere(w, Dim.mul(input.strides[axis + 2] ?? 0, dilation * bytes))
    })
    const walk = (axis: number, address: I32, offset: number): void => {
      const here = taps[axis]
      const step = steps[axis] ?? 0
      if (here === undefined) return body(address, offset)
      const { high, low } = here
      if (low === 0 && typeof high === "number" && this.#tapCount() <= writtenOut) {
        for (let tap = 0; tap < high; tap++)
          if (typeof step === "number" && step >= 0) walk(axis + 1, address, offset + tap * step)
          else walk(axis + 1, w.keep(plus(address, times(step, tap))), offset)
        return
      }
      w.f.range(sizeCode(low), high, 1, (tap) =>
        walk(axis + 1, w.keep(plus(address, times(w.f.get(tap), step))), offset)
      )
    }
    walk(0, from, 0)
  }

  /** What a sum is divided by, as the accumulator's dtype. */
  #divisor(taps: ReadonlyArray<Taps>): Expr {
    const w = this.#w
    const { accumulate, region } = this.#shape
    const counts = taps.map(({ high, low, padded }): Size => {
      if (region.includePad) return padded
      return typeof high === "number" && low === 0 ? high : i32.sub(sizeCode(high), sizeCode(low))
    })
    const count = counts.reduce((total, one) => times(total, one), 1)
    return w.keep(SingleOps.cast(w, "i32", accumulate, sizeCode(count), true))
  }

  #point(offset: I32, index: I32): LoopPoint.Point {
    const { nest, region } = this.#shape
    const { operands } = region.epilogue
    return {
      w: this.#w,
      pointer: (operand) => {
        const dtype = operands[operand]?.dtype ?? "f32"
        const stride = sizeHere(this.#w, nest.inner.strides[operand + 1] ?? 0)
        const start = this.#row.addresses[operand + 1] ?? i32.const(0)
        return { dtype, stride, address: plus(start, times(offset, times(stride, bytesOf(dtype)))) }
      },
      index: (axis) =>
        axis === nest.inner.source
          ? { at: index, along: true }
          : { at: this.#row.index(axis) ?? i32.const(0), along: false },
      previous: (name) => {
        throw new Error(`a window has no ${name}`)
      }
    }
  }

  /** `offset`: results from the row's first; `index`: the index along the axis. */
  #vectors(offset: I32, taps: ReadonlyArray<Taps>, count: number, index: I32): void {
    const w = this.#w
    const { accumulate, nest, region } = this.#shape
    const { input } = region
    const { results } = region.epilogue
    const stride = this.#inputStride()
    const bytes = bytesOf(input.dtype)
    const accumulators = Array.from({ length: count }, () => new RowsCombine.VectorAccumulator(w, this.#stage))
    for (const one of accumulators) one.reset()
    this.#eachTap(this.#windowStart(offset), taps, (address, away) =>
      accumulators.forEach((accumulator, vector) => {
        const on = times(stride, 4 * vector * bytes)
        const [from, fixed] = typeof on === "number" && on >= 0 ? [address, away + on] : [plus(address, on), away]
        const value =
          stride === 1
            ? Lanes.load(w, input.dtype, from, fixed)
            : Lanes.loadStrided(w, input.dtype, from, times(stride, bytes), fixed)
        accumulator.add(VectorOps.cast(w, input.dtype, accumulate, value, true))
      })
    )
    const values = results.map(({ value }) => LoopPoint.unrounded(value))
    const point = this.#point(offset, index)
    const divisor = region.combine === "average" ? Lanes.splat(accumulate, this.#divisor(taps)) : undefined
    accumulators.forEach((accumulator, vector) => {
      const total = accumulator.lanes()
      const zero = { kind: "constant", dtype: accumulate, value: 0 } as const
      const made =
        divisor === undefined ? total : VectorOps.binary(w, "div", accumulate, total, divisor, undefined, [zero, zero])
      const lanes = Lanes.map(made, (part) => w.keep(part))
      const environment = LoopPoint.vector({ ...point, lanes: () => lanes }, 4 * vector)
      ScalarCode.vector(w, values, environment).forEach((value, result) => {
        const dtype = results[result]?.view.dtype ?? "f32"
        const place = 1 + region.epilogue.operands.length + result
        const step = sizeHere(w, nest.inner.strides[place] ?? 0)
        const start = this.#row.addresses[place] ?? i32.const(0)
        const first = plus(start, times(i32.add(offset, i32.const(4 * vector)), times(step, bytesOf(dtype))))
        w.f.do(
          step === 1
            ? Lanes.store(w, dtype, first, value)
            : Lanes.storeStrided(w, dtype, first, times(step, bytesOf(dtype)), value)
        )
      })
    })
  }

  #single(offset: I32, taps: ReadonlyArray<Taps>, index: I32): void {
    const w = this.#w
    const { accumulate, nest, region } = this.#shape
    const { input } = region
    const { results } = region.epilogue
    const accumulator = new RowsCombine.SingleAccumulator(w, this.#stage)
    accumulator.reset()
    this.#eachTap(this.#windowStart(offset), taps, (address, away) =>
      accumulator.add(SingleOps.cast(w, input.dtype, accumulate, Lanes.loadOne(w, input.dtype, address, away), true))
    )
    const total = accumulator.one()
    const made =
      region.combine === "average"
        ? SingleOps.binary(w, "div", accumulate, total, this.#divisor(taps), undefined)
        : total
    const element = w.keep(made)
    const environment = LoopPoint.single({ ...this.#point(offset, index), previous: () => element }, 0)
    ScalarCode.single(
      w,
      results.map(({ value }) => LoopPoint.unrounded(value)),
      environment
    ).forEach((value, result) => {
      const dtype = results[result]?.view.dtype ?? "f32"
      const place = 1 + region.epilogue.operands.length + result
      const step = sizeHere(w, nest.inner.strides[place] ?? 0)
      const start = this.#row.addresses[place] ?? i32.const(0)
      w.f.do(Lanes.storeOne(w, dtype, plus(start, times(offset, times(step, bytesOf(dtype)))), value))
    })
  }
}
