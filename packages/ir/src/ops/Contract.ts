// Contractions: matrix products, convolution and its transpose.
import * as Schema from "effect/Schema"
import * as Dims from "../Dim.ts"
import type { Dim } from "../Dim.ts"
import { broadcast } from "../Infer.ts"
import * as Op from "../Op.ts"

/** `[…, m, k] × […, k, n] → […, m, n]`, batch axes broadcast. A vector operand is a row (left) or a column (right). */
export const matmul = Op.define({
  name: "matmul",
  summary: "matrix product, batched as numpy does",
  attributes: Op.NoAttributes,
  operands: [{ name: "a" }, { name: "b" }],
  error: { kind: "contraction" },
  infer: ({ constrain, fail, input }) => {
    const [a, b] = [input(0), input(1)]
    if (a.dtype !== b.dtype || a.dtype === "bool") fail("takes two operands of one numeric dtype")
    if (a.shape.length === 0 || b.shape.length === 0) fail("takes no scalars")
    const left = a.shape.length === 1 ? [1, ...a.shape] : a.shape
    const right = b.shape.length === 1 ? [...b.shape, 1] : b.shape
    constrain(left.at(-1) ?? 0, right.at(-2) ?? 0, "the contracted extents")
    const batch = broadcast([left.slice(0, -2), right.slice(0, -2)], constrain)
    const rows = a.shape.length === 1 ? [] : [left.at(-2) ?? 0]
    const columns = b.shape.length === 1 ? [] : [right.at(-1) ?? 0]
    return [{ dtype: a.dtype, shape: [...batch, ...rows, ...columns] }]
  }
})

const ConvAttributes = Schema.Struct({
  /** Step of the window, one a spatial axis. */
  strides: Op.Ints,
  /** Zeros before each spatial axis. */
  padsBegin: Op.Dims,
  /** Zeros after each spatial axis. */
  padsEnd: Op.Dims,
  dilations: Op.Ints,
  groups: Schema.Int
})

/** Extent of a convolution's result: ⌊(x + pads − dilation·(k − 1) − 1) / stride⌋ + 1. */
export const windowExtent = (
  extent: Dim,
  kernel: Dim,
  stride: number,
  before: Dim,
  after: Dim,
  dilation: number,
  ceil = false
): Dim => {
  const span = Dims.add(Dims.mul(Dims.sub(kernel, 1), dilation), 1)
  const room = Dims.sub(Dims.add(Dims.add(extent, before), after), span)
  const steps = ceil ? Dims.floorDiv(Dims.add(room, stride - 1), stride) : Dims.floorDiv(room, stride)
  return Dims.add(steps, 1)
}

const spatialArity = (rank: number, given: Readonly<Record<string, number>>, fail: (detail: string) => never): void => {
  for (const [name, length] of Object.entries(given))
    if (length !== rank) fail(`${name} has ${length} entries for ${rank} spatial axes`)
}

/** `x [batch, channels, …spatial]`, `w [out, channels/groups, …kernel]`, `bias [out]` → `[batch, out, …]`. */
export const conv = Op.define({
  name: "conv",
  summary: "convolution (cross-correlation), any number of spatial axes",
  attributes: ConvAttributes,
  operands: [{ name: "x" }, { name: "w" }, { name: "bias", optional: true }],
  error: { kind: "contraction" },
  infer: ({ attributes, constrain, fail, input, inputs }) => {
    const [x, w] = [input(0), input(1)]
    const rank = x.shape.length - 2
    if (rank < 1 || w.shape.length !== rank + 2) fail("x and w are [n, c, …] and [o, c/groups, …] of one rank")
    if (x.dtype !== w.dtype) fail("x and w have one dtype")
    const { dilations, groups, padsBegin, padsEnd, strides } = attributes
    const lengths = { strides: strides.length, padsBegin: padsBegin.length, padsEnd: padsEnd.length }
    spatialArity(rank, { ...lengths, dilations: dilations.length }, fail)
    if (groups < 1 || strides.some((s) => s < 1) || dilations.some((d) => d < 1)) fail("strides, dilations, groups ≥ 1")
    constrain(x.shape[1] ?? 0, Dims.mul(w.shape[1] ?? 0, groups), "channels of x and of w · groups")
    const out = w.shape[0] ?? 0
    if (typeof out === "number" && out % groups !== 0)
      fail(`${out} output channels do not divide into ${groups} groups`)
    const bias = inputs[2]
    if (bias !== undefined) {
      if (bias.shape.length !== 1 || bias.dtype !== x.dtype) fail("the bias is [o], of x's dtype")
      constrain(bias.shape[0] ?? 0, out, "bias and output channels")
    }
    const spatial = x.shape
      .slice(2)
      .map((extent, axis) =>
        windowExtent(
          extent,
          w.shape[axis + 2] ?? 1,
          strides[axis] ?? 1,
          padsBegin[axis] ?? 0,
          padsEnd[axis] ?? 0,
          dilations[axis] ?? 1
        )
      )
    return [{ dtype: x.dtype, shape: [x.shape[0] ?? 1, out, ...spatial] }]
  }
})

/** The gradient of `conv` with respect to x: `w [channels, out/groups, …kernel]`. */
export const convTranspose = Op.define({
  name: "convTranspose",
  summary: "transposed convolution",
  attributes: Schema.Struct({
    strides: Op.Ints,
    /** Cut from before each spatial axis of the full result. */
    padsBegin: Op.Dims,
    padsEnd: Op.Dims,
    dilations: Op.Ints,
    groups: Schema.Int,
    /** Added after each spatial axis. */
    outputPadding: Op.Ints
  }),
  operands: [{ name: "x" }, { name: "w" }, { name: "bias", optional: true }],
  error: { kind: "contraction" },
  infer: ({ attributes, constrain, fail, input, inputs }) => {
    const [x, w] = [input(0), input(1)]
    const rank = x.shape.length - 2
    if (rank < 1 || w.shape.length !== rank + 2) fail("x and w are [n, c, …] and [c, o/groups, …] of one rank")
    if (x.dtype !== w.dtype) fail("x and w have one dtype")
    const { dilations, groups, outputPadding, padsBegin, padsEnd, strides } = attributes
    const lengths = { strides: strides.length, padsBegin: padsBegin.length, padsEnd: padsEnd.length }
    spatialArity(rank, { ...lengths, dilations: dilations.length, outputPadding: outputPadding.length }, fail)
    constrain(x.shape[1] ?? 0, w.shape[0] ?? 0, "channels of x and of w")
    const out = Dims.mul(w.shape[1] ?? 0, groups)
    const bias = inputs[2]
    if (bias !== undefined) constrain(bias.shape[0] ?? 0, out, "bias and output channels")
    const spatial = x.shape.slice(2).map((extent, axis) => {
      const span = Dims.add(Dims.mul(Dims.sub(w.shape[axis + 2] ?? 1, 1), dilations[axis] ?? 1), 1)
      const full = Dims.add(Dims.mul(Dims.sub(extent, 1), strides[axis] ?? 1), span)
      const padded = Dims.add(full, outputPadding[axis] ?? 0)
      return Dims.sub(padded, Dims.add(padsBegin[axis] ?? 0, padsEnd[axis] ?? 0))
    })
    return [{ dtype: x.dtype, shape: [x.shape[0] ?? 1, out, ...spatial] }]
  }
})

export const all: ReadonlyArray<Op.OpDefinition> = [matmul, conv, convTranspose]
