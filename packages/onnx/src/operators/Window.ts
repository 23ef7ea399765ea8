// The window of convolutions and pools: kernel, strides, dilations and padding, `auto_pad` resolved.
import * as Dim from "@anneal/ir/Dim"
import type { Context } from "../Operator.ts"

export interface Window {
  readonly kernel: ReadonlyArray<number>
  readonly strides: ReadonlyArray<number>
  readonly dilations: ReadonlyArray<number>
  readonly padsBegin: ReadonlyArray<Dim.Dim>
  readonly padsEnd: ReadonlyArray<Dim.Dim>
}

/** For spatial extents; `kernel` when it is not an attribute but a weight's shape. */
export const of = (c: Context, extents: ReadonlyArray<Dim.Dim>, kernelOf?: ReadonlyArray<Dim.Dim>): Window => {
  const given = c.attribute.ints("kernel_shape") ?? kernelOf ?? c.fail('the attribute "kernel_shape" is missing')
  const kernel = given.map((extent) =>
    Dim.isStatic(extent) ? extent : c.unsupported("a kernel whose extent is not known before it runs")
  )
  const ones = kernel.map(() => 1)
  const strides = c.attribute.ints("strides") ?? ones
  const dilations = c.attribute.ints("dilations") ?? ones
  const pads = c.attribute.ints("pads") ?? [...ones, ...ones].map(() => 0)
  const mode = c.attribute.string("auto_pad", "NOTSET")
  if (pads.length !== 2 * kernel.length) return c.fail(`${pads.length} pads for ${kernel.length} spatial axes`)
  const explicit = {
    kernel,
    strides,
    dilations,
    padsBegin: pads.slice(0, kernel.length),
    padsEnd: pads.slice(kernel.length)
  }
  if (mode === "NOTSET" || mode === "") return explicit
  const none = ones.map(() => 0)
  if (mode === "VALID") return { ...explicit, padsBegin: none, padsEnd: none }
  if (mode !== "SAME_UPPER" && mode !== "SAME_LOWER") return c.fail(`auto_pad "${mode}" is not known`)
  // The result has ⌈extent / stride⌉ steps; an odd pad goes to the end (UPPER) or the start (LOWER).
  const totals = extents.map((extent, axis) => {
    const [stride, span] = [strides[axis] ?? 1, ((kernel[axis] ?? 1) - 1) * (dilations[axis] ?? 1) + 1]
    const needed = Dim.sub(Dim.add(Dim.mul(Dim.sub(Dim.ceilDiv(extent, stride), 1), stride), span), extent)
    return Dim.isNonNegative(needed) === true ? needed : Dim.max(needed, 0)
  })
  const less = totals.map((total) => Dim.floorDiv(total, 2))
  const more = totals.map((total, axis) => Dim.sub(total, less[axis] ?? 0))
  return mode === "SAME_UPPER"
    ? { ...explicit, padsBegin: less, padsEnd: more }
    : { ...explicit, padsBegin: more, padsEnd: less }
}
