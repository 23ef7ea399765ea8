/**
 * ConvStage: the part of a convolution's input that a unit reads, with its padding, as a copy in scratch memory. Axes keep
 * the order that they have in memory, so that runs stay runs.
 *
 *   channels last: [(rows − 1)·s + (kh − 1)·d + 1][w + pads][c]
 */
import * as Dim from "@anneal/ir/Dim"
import type { View } from "@anneal/lower/View"
import type { Emission } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { f32, i32, v128 } from "../Instruction.ts"
import type { FunctionBuilder, Local } from "../ModuleBuilder.ts"
import type { Size } from "./GemmTile.ts"
import { value, zeros } from "./GemmTile.ts"

export interface StagedAxis {
  /** Which axis of the input's view. */
  readonly axis: number
  /** Elements along it in the copy. */
  readonly extent: Dim.Dim
  /** Elements along it in the input. */
  readonly source: Dim.Dim
  /** Zeros before the input's first element. */
  readonly pad: Dim.Dim
  /** Bytes from one to the next, in the input and in the copy. */
  readonly from: Dim.Dim
  readonly to: Dim.Dim
}

/** The copy's axes, outermost first. `wanted`: axis, extent in the copy, padding. */
export const layOut = (
  input: View,
  wanted: ReadonlyArray<{ readonly axis: number; readonly extent: Dim.Dim; readonly pad: Dim.Dim }>
): ReadonlyArray<StagedAxis> => {
  const stride = (axis: number): Dim.Dim => input.strides[axis] ?? 0
  const order = wanted
    .map((one, place) => ({ ...one, place }))
    .sort((x, y) => {
      const [a, b] = [stride(x.axis), stride(y.axis)]
      // One element, or the same one again and again, lies nowhere: outside, so that what runs by 1 stays inside.
      if (a === 0 || b === 0) return (a === 0 ? 0 : 1) - (b === 0 ? 0 : 1) || x.place - y.place
      if (typeof a === "number" && typeof b === "number") return Math.abs(b) - Math.abs(a) || x.place - y.place
      return Dim.lessOrEqual(b, a) === true ? -1 : Dim.lessOrEqual(a, b) === true ? 1 : x.place - y.place
    })
  let bytes: Dim.Dim = 4
  return order
    .reverse()
    .map(({ axis, extent, pad }): StagedAxis => {
      const to = bytes
      bytes = Dim.mul(bytes, extent)
      return { axis, extent, pad, source: input.shape[axis] ?? 1, from: Dim.mul(stride(axis), 4), to }
    })
    .reverse()
}

export const stagedBytes = (axes: ReadonlyArray<StagedAxis>): Dim.Dim =>
  Dim.mul(4, Dim.product(axes.map(({ extent }) => extent)))

/** `bytes` bytes, a multiple of 4, from `to` on: zeros, or what lies at `from`. Moves both pointers behind them. */
const stretch = (f: FunctionBuilder, to: Local<"i32">, from: Local<"i32"> | undefined, bytes: I32 | number): void => {
  const end = f.get(f.let(i32.add(f.get(to), typeof bytes === "number" ? i32.const(bytes) : bytes)))
  const piece = (size: 64 | 16 | 4): void =>
    f.block((out) =>
      f.loop((again) => {
        f.brIf(out, i32.gt_u(i32.add(f.get(to), i32.const(size)), end))
        for (let at = 0; at < size; at += 16)
          f.do(
            size === 4
              ? f32.store(f.get(to), from === undefined ? f32.const(0) : f32.load(f.get(from)))
              : v128.store(f.get(to), from === undefined ? zeros : v128.load(f.get(from), at), at)
          )
        f.set(to, i32.add(f.get(to), i32.const(size)))
        if (from !== undefined) f.set(from, i32.add(f.get(from), i32.const(size)))
        f.br(again)
      })
    )
  if (typeof bytes !== "number" || bytes >= 64) piece(64)
  if (typeof bytes !== "number" || bytes % 64 >= 16) piece(16)
  if (typeof bytes !== "number" || bytes % 16 >= 4) piece(4)
}

interface Sized {
  readonly extent: Size
  readonly source: Size
  readonly pad: Size
  readonly from: Size
  readonly to: Size
  readonly padded: boolean
  /** The axis that units are blocks of: the copy begins at an index that is known only when it runs. */
  readonly blocked: boolean
}

const clamp = (f: FunctionBuilder, x: I32, low: I32, high: I32): I32 => {
  const local = f.let(x)
  f.if(i32.lt_s(f.get(local), low), () => f.set(local, low))
  f.if(i32.gt_s(f.get(local), high), () => f.set(local, high))
  return f.get(local)
}

/** The indices of the copy, low ≤ i < high, that the input has. */
const present = (f: FunctionBuilder, axis: Sized, begin: I32): readonly [I32 | number, I32 | number] => {
  const { blocked, extent, pad, source } = axis
  if (!blocked && typeof pad === "number" && typeof source === "number" && typeof extent === "number") {
    const low = Math.max(0, Math.min(pad, extent))
    return [low, Math.max(low, Math.min(source + pad, extent))]
  }
  const first = blocked ? f.get(f.let(i32.sub(value(f, pad), begin))) : value(f, pad)
  const all = value(f, extent)
  const low = clamp(f, first, i32.const(0), all)
  return [low, clamp(f, i32.add(first, value(f, source)), low, all)]
}

const asI32 = (x: I32 | number): I32 => (typeof x === "number" ? i32.const(x) : x)
const minus = (a: I32 | number, b: I32 | number): I32 | number =>
  typeof a === "number" && typeof b === "number" ? a - b : i32.sub(asI32(a), asI32(b))
const times = (a: I32 | number, size: Size, f: FunctionBuilder): I32 | number =>
  typeof a === "number" && typeof size === "number" ? a * size : i32.mul(asI32(a), value(f, size))

/** Copies axes from `level` on; `to` is moved behind what was written. */
const copy = (
  f: FunctionBuilder,
  axes: ReadonlyArray<Sized>,
  level: number,
  from: Local<"i32">,
  to: Local<"i32">,
  begin: I32
): void => {
  const axis = axes[level]
  if (axis === undefined) {
    f.do(f32.store(f.get(to), f32.load(f.get(from))))
    f.set(to, i32.add(f.get(to), i32.const(4)))
    return
  }
  const [low, high] = axis.padded || axis.blocked ? present(f, axis, begin) : [0, asSize(f, axis.extent)]
  if (low !== 0) stretch(f, to, undefined, times(low, axis.to, f))
  const source = f.let(f.get(from))
  // The copy begins at the input's index begin − pad; the first that is present is at low + begin − pad.
  const skipped = axis.blocked
    ? i32.add(asI32(low), i32.sub(begin, value(f, axis.pad)))
    : typeof low === "number" && typeof axis.pad === "number"
      ? low - axis.pad
      : i32.sub(asI32(low), value(f, axis.pad))
  if (skipped !== 0) f.set(source, i32.add(f.get(source), asI32(times(skipped, axis.from, f))))
  const inner = axes.slice(level + 1)
  const run = axis.from === axis.to && inner.every((one) => !one.padded && !one.blocked && one.from === one.to)
  const count = minus(high, low)
  if (run) stretch(f, to, source, times(count, axis.to, f))
  else
    f.range(0, count, 1, () => {
      copy(f, axes, level + 1, source, to, begin)
      f.set(source, i32.add(f.get(source), value(f, axis.from)))
    })
  const rest = minus(asSize(f, axis.extent), high)
  if (rest !== 0) stretch(f, to, undefined, times(rest, axis.to, f))
}

const asSize = (f: FunctionBuilder, size: Size): I32 | number => (typeof size === "number" ? size : f.get(size))

/**
 * Copies a unit's input to `to`. `from` is the address of the input's first element (of its batch and group); along the
 * blocked axis the copy begins at `begin − pad`.
 */
export const emitStage = (
  f: FunctionBuilder,
  emission: Emission,
  axes: ReadonlyArray<StagedAxis>,
  blocked: { readonly axis: number; readonly begin: I32 },
  from: I32,
  to: I32
): void => {
  const size = (dim: Dim.Dim): Size => (typeof dim === "number" ? dim : f.let(emission.dim(dim)))
  const sized = axes
    .filter(({ extent, pad, axis, source }) => !(extent === 1 && pad === 0 && source === 1) || axis === blocked.axis)
    .map((axis): Sized => ({
      extent: size(axis.extent),
      source: size(axis.source),
      pad: size(axis.pad),
      from: size(axis.from),
      to: size(axis.to),
      padded: !(axis.pad === 0 && Dim.equal(axis.source, axis.extent) === true),
      blocked: axis.axis === blocked.axis
    }))
  copy(f, sized, 0, f.let(from), f.let(to), f.get(f.let(blocked.begin)))
}
