/**
 * MainLoops: the sums of contractions, convolutions and windows at one point of their epilogue's domain, by definition.
 */
import type { Dim } from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Element } from "./Evaluate.ts"
import * as Evaluate from "./Evaluate.ts"
import type { Placed } from "./Interpret.ts"
import type { Contraction, Convolution, Window } from "./Region.ts"
import type { View } from "./View.ts"

export type Anchored = Contraction | Convolution | Window

export interface MainLoop {
  /** The epilogue's domain. */
  readonly shape: ReadonlyArray<number>
  /** `previous "accumulator"` at a point of it. */
  readonly sum: (point: ReadonlyArray<number>) => Element
}

type Place = (view: View) => Placed
type Size = (dim: Dim) => number

export const prepare = (region: Anchored, place: Place, size: Size): MainLoop => {
  switch (region.kind) {
    case "contraction":
      return contraction(region, place, size)
    case "convolution":
      return convolution(region, place, size)
    case "window":
      return window(region, place, size)
  }
}

const addressOf = ({ offset, strides }: Placed, point: ReadonlyArray<number>): number => {
  let at = offset
  for (const [axis, index] of point.entries()) at += index * (strides[axis] ?? 0)
  return at
}

const numberAt = (view: Placed, at: number): number => {
  const value = view.data[at]
  if (value === undefined) throw new RangeError(`element ${at} is outside a buffer of ${view.data.length}`)
  return Number(value)
}

/** A product more: floats in float64, integers as 32 bits wrap (a product of two is more than float64 holds). */
const added = (total: number, a: number, b: number, wraps: boolean): number =>
  wraps ? (total + Math.imul(a, b)) | 0 : total + a * b

const contraction = (region: Contraction, place: Place, size: Size): MainLoop => {
  const wraps = region.accumulate === "i32"
  const [a, b] = [place(region.a), place(region.b)]
  const shape = [...region.batch.map(size), size(region.m), size(region.n)]
  const rank = region.batch.length
  const depth = size(region.k)
  const [aStep, bStep] = [a.strides[rank + 1] ?? 0, b.strides[rank + 1] ?? 0]
  const { zero } = region
  return {
    shape,
    sum: (point) => {
      const batch = point.slice(0, rank)
      const left = addressOf(a, [...batch, point[rank] ?? 0])
      const right = addressOf(b, [...batch, point[rank + 1] ?? 0])
      let total = 0
      for (let k = 0; k < depth; k++)
        total = added(total, numberAt(a, left + k * aStep) - zero.a, numberAt(b, right + k * bStep) - zero.b, wraps)
      return Evaluate.convert(region.accumulate, total)
    }
  }
}

/** Every tap of a kernel, as positions. */
const tapsOf = (kernel: ReadonlyArray<number>): ReadonlyArray<ReadonlyArray<number>> =>
  kernel.reduce<ReadonlyArray<ReadonlyArray<number>>>(
    (taps, extent) => taps.flatMap((tap) => Array.from({ length: extent }, (_, index) => [...tap, index])),
    [[]]
  )

const convolution = (region: Convolution, place: Place, size: Size): MainLoop => {
  const wraps = region.accumulate === "i32"
  const [input, weight] = [place(region.input), place(region.weight)]
  const out = region.out.map(size)
  const before = region.padsBegin.map(size)
  const channels = input.shape[2] ?? 1
  const taps = tapsOf(weight.shape.slice(3))
  const spatial = input.shape.slice(3)
  const { dilations, strides, transposed, zero } = region
  const shape = [size(region.batch), region.groups, weight.shape[1] ?? 1, ...out]
  /** Where a tap reads for a result; undefined in the padding. */
  const source = (position: ReadonlyArray<number>, tap: ReadonlyArray<number>): ReadonlyArray<number> | undefined => {
    const found: Array<number> = []
    for (const [axis, at] of position.entries()) {
      const [stride, dilation, shift] = [strides[axis] ?? 1, dilations[axis] ?? 1, before[axis] ?? 0]
      const step = (tap[axis] ?? 0) * dilation
      const raw = transposed ? (at + shift - step) / stride : at * stride + step - shift
      if (!Number.isInteger(raw) || raw < 0 || raw >= (spatial[axis] ?? 1)) return undefined
      found.push(raw)
    }
    return found
  }
  return {
    shape,
    sum: (point) => {
      const [batch = 0, group = 0, channel = 0, ...position] = point
      let total = 0
      for (const tap of taps) {
        const from = source(position, tap)
        if (from === undefined) continue
        const x0 = addressOf(input, [batch, group, 0, ...from])
        const w0 = addressOf(weight, [group, channel, 0, ...tap])
        for (let c = 0; c < channels; c++)
          total = added(
            total,
            numberAt(input, x0 + c * (input.strides[2] ?? 0)) - zero.a,
            numberAt(weight, w0 + c * (weight.strides[2] ?? 0)) - zero.b,
            wraps
          )
      }
      return Evaluate.convert(region.accumulate, total)
    }
  }
}

const window = (region: Window, place: Place, size: Size): MainLoop => {
  const input = place(region.input)
  const out = region.out.map(size)
  const [before, after] = [region.padsBegin.map(size), region.padsEnd.map(size)]
  const spatial = input.shape.slice(2)
  const taps = tapsOf(region.kernel)
  const dtype = region.input.dtype
  const isMax = region.combine === "max"
  const least = DTypes.isFloat(dtype) ? (dtype === "f8e4m3" ? -448 : -Infinity) : undefined
  return {
    shape: [...input.shape.slice(0, 2), ...out],
    sum: (point) => {
      const [batch = 0, channel = 0, ...position] = point
      let best: Element | undefined
      let [total, inside, padded] = [0, 0, 0]
      for (const tap of taps) {
        const from = position.map(
          (at, axis) =>
            at * (region.strides[axis] ?? 1) + (tap[axis] ?? 0) * (region.dilations[axis] ?? 1) - (before[axis] ?? 0)
        )
        if (from.every((at, axis) => at < (spatial[axis] ?? 1) + (after[axis] ?? 0))) padded++
        if (!from.every((at, axis) => at >= 0 && at < (spatial[axis] ?? 1))) continue
        inside++
        const value = input.data[addressOf(input, [batch, channel, ...from])]
        if (value === undefined) throw new RangeError("a window leaves its buffer")
        total += Number(value)
        if (best === undefined || value > best || (value !== value && best === best)) best = value
      }
      if (isMax) return best ?? least ?? Evaluate.convert(dtype, DTypes.integerRange(dtype).min)
      return Evaluate.convert(dtype, total / (region.includePad ? padded : inside))
    }
  }
}
