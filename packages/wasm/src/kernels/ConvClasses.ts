/**
 * ConvClasses: a convolution that falls apart into plain ones: each computes every s-th output along the spatial axes, from some of
 * the taps, with the best kernel for it.
 *
 *   out[s · q + p] for each p  ⇒  parts: a kernel, and how far its addresses are from the whole's
 */
import * as Dim from "@anneal/ir/Dim"
import * as Tensor from "@anneal/ir/Tensor"
import type { Convolution } from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import type { Emission } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { i32, select } from "../Instruction.ts"
import type { Kernel, Packed } from "../Kernel.ts"
import type { Func, FunctionBuilder, Local } from "../ModuleBuilder.ts"
import { toFloat32 } from "./GemmPack.ts"
import { byteStride, viewsOf } from "./GemmProduct.ts"

/** The first of the spatial axes of views and weights. */
export const firstSpatial = 3

/** A view of every s-th element along the spatial axes. Where it begins is added to addresses. */
export const strided = (view: View, shape: ReadonlyArray<Dim.Dim>, strides: ReadonlyArray<number>): View => ({
  ...view,
  shape: [...view.shape.slice(0, firstSpatial), ...shape],
  strides: view.strides.map((stride, axis) =>
    Dim.mul(stride, axis < firstSpatial ? 1 : (strides[axis - firstSpatial] ?? 1))
  )
})

/** Bytes from a view's first element to the one at such a place along the spatial axes. */
export const shiftOf = (view: View, place: ReadonlyArray<number>): Dim.Dim =>
  Dim.sum(place.map((index, axis) => Dim.mul(byteStride(view, firstSpatial + axis), index)))

/** Taps of a part along each axis, in its order; none: its sum is 0. */
export type Taps = ReadonlyArray<ReadonlyArray<number>>

/** The weights of a part: its taps in its order, zeros where it has none. */
const pick = (elements: Tensor.Tensor, taps: Taps): Tensor.Tensor => {
  const source = toFloat32(elements)
  const kernel = elements.shape.slice(firstSpatial)
  const filters = Tensor.size(elements.shape.slice(0, firstSpatial))
  const all = Tensor.size(kernel)
  const strides = Tensor.strides(kernel)
  const offsets = taps.reduce<ReadonlyArray<number | undefined>>(
    (sofar, own, axis) =>
      sofar.flatMap((offset) =>
        own.length === 0
          ? [undefined]
          : own.map((tap) => (offset === undefined ? undefined : offset + tap * (strides[axis] ?? 0)))
      ),
    [0]
  )
  const data = new Float32Array(filters * offsets.length)
  for (let filter = 0; filter < filters; filter++)
    offsets.forEach((offset, place) => {
      if (offset !== undefined) data[filter * offsets.length + place] = source[filter * all + offset] ?? 0
    })
  const shape = [...elements.shape.slice(0, firstSpatial), ...taps.map((own) => Math.max(1, own.length))]
  return Tensor.make("f32", shape, data)
}

/** A kernel's packed constants, made of some of the taps. */
export const packedOf = (packed: Packed, taps: Taps): Packed => ({
  ...packed,
  layout: `taps ${taps.map((own) => own.join(".")).join("/")} ${packed.layout}`,
  pack: (elements) => packed.pack(pick(elements, taps))
})

/** What one of the kernels computes, and where: bytes from the whole's input and from each of its epilogue's views. */
export interface Part {
  readonly kernel: number
  readonly input: Dim.Dim
  readonly views: ReadonlyArray<Dim.Dim>
}

/** The kernel's function: hands each part its share of the units. */
export const emitParts = (
  emission: Emission,
  name: string,
  region: Convolution,
  kernels: ReadonlyArray<Kernel>,
  parts: ReadonlyArray<Part>
): Func => {
  const views = viewsOf(region.epilogue)
  const functions = kernels.map((kernel, index) => kernel.emit(emission, `${name}.${index}`))
  const packs = kernels.map(({ packed }) => packed.length)
  const count = 2 + views.length + packs.reduce((sum, one) => sum + one, 0) + 3
  return emission.module.func(name, new Array<"i32">(count).fill("i32"), [], (f) => {
    const parameter = (index: number): Local<"i32"> => ({ type: "i32", index })
    const [begin, end] = [parameter(count - 2), parameter(count - 1)]
    const moved = (base: Local<"i32">, bytes: Dim.Dim): I32 =>
      bytes === 0 ? f.get(base) : i32.add(f.get(base), emission.dim(bytes))
    const first = f.let(i32.const(0))
    for (const part of parts) {
      const [func, kernel] = [functions[part.kernel], kernels[part.kernel]]
      if (func === undefined || kernel === undefined) throw new RangeError(`there is no kernel ${part.kernel}`)
      const firstPack = packs.slice(0, part.kernel).reduce((sum, one) => sum + one, 2 + views.length)
      const units = f.get(f.let(emission.dim(kernel.units)))
      const from = atLeastZero(f, i32.sub(f.get(begin), f.get(first)))
      const left = f.get(f.let(i32.sub(f.get(end), f.get(first))))
      const to = f.let(select(i32.lt_s(left, units), left, units))
      f.if(i32.lt_s(from, f.get(to)), () =>
        f.run(func, [
          moved(parameter(0), part.input),
          f.get(parameter(1)),
          ...part.views.map((bytes, view) => moved(parameter(2 + view), bytes)),
          ...kernel.packed.map((_, pack) => f.get(parameter(firstPack + pack))),
          f.get(parameter(count - 3)),
          from,
          f.get(to)
        ])
      )
      f.set(first, i32.add(f.get(first), units))
    }
  })
}

const atLeastZero = (f: FunctionBuilder, x: I32): I32 => {
  const kept = f.get(f.let(x))
  return f.get(f.let(select(i32.gt_s(kept, i32.const(0)), kept, i32.const(0))))
}
