/**
 * ConvolutionCases: convolutions of every kind for the tests of their kernels, and the check that each candidate passes.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Convolution } from "@anneal/lower/Region"
import * as Scalar from "@anneal/lower/Scalar"
import * as View from "@anneal/lower/View"
import type { Features } from "@anneal/wasm/Emission"
import type { Kernel, TypicalSizes } from "@anneal/wasm/Kernel"
import { expect } from "vitest"
import * as Random from "../Random.ts"
import { plain, prepare, relaxed, type Symbols, wide } from "../RunKernel.ts"
import { errorShare, expected, fill } from "./ProductDefinition.ts"

export interface Case {
  readonly batch?: Dim.Dim
  readonly groups?: number
  /** Channels of all groups. */
  readonly channels: number
  readonly outChannels: number
  readonly size: ReadonlyArray<Dim.Dim>
  readonly kernel: ReadonlyArray<number>
  readonly strides?: ReadonlyArray<number>
  readonly dilations?: ReadonlyArray<number>
  readonly pads?: ReadonlyArray<number>
  readonly padsEnd?: ReadonlyArray<number>
  /** Which axes of input and output lie innermost. */
  readonly input?: "channelsFirst" | "channelsLast"
  readonly output?: "channelsFirst" | "channelsLast"
  readonly transposed?: boolean
  /** For transposed ones. */
  readonly outputPadding?: ReadonlyArray<number>
  readonly epilogue?: (out: View.View, bias: View.View) => Convolution["epilogue"]
}

const outOf = (one: Case, size: Dim.Dim, axis: number): Dim.Dim => {
  const [stride, dilation, kernel] = [one.strides?.[axis] ?? 1, one.dilations?.[axis] ?? 1, one.kernel[axis] ?? 1]
  const pads = (one.pads?.[axis] ?? 0) + (one.padsEnd?.[axis] ?? one.pads?.[axis] ?? 0)
  const reach = dilation * (kernel - 1) + 1
  if (one.transposed === true)
    return Dim.sum([Dim.mul(Dim.sub(size, 1), stride), reach, -pads, one.outputPadding?.[axis] ?? 0])
  return Dim.add(Dim.floorDiv(Dim.sum([size, pads, -reach]), stride), 1)
}

const image = (
  buffer: string,
  batch: Dim.Dim,
  groups: number,
  channels: number,
  size: ReadonlyArray<Dim.Dim>,
  lies: "channelsFirst" | "channelsLast"
): View.View => {
  const shape = [batch, groups, channels, ...size]
  const space = size.map((_, axis) => 3 + axis)
  const order = lies === "channelsFirst" ? [0, 1, 2, ...space] : [0, ...space, 1, 2]
  const view = View.ordered(buffer, "f32", shape, order)
  // As regions come: axes of one element have no stride.
  return { ...view, strides: view.strides.map((stride, axis) => (shape[axis] === 1 ? 0 : stride)) }
}

export const convolution = (one: Case): Convolution => {
  const { batch = 1, groups = 1, kernel, size } = one
  const [inner, outer] = [one.channels / groups, one.outChannels / groups]
  const out = size.map((extent, axis) => outOf(one, extent, axis))
  const result = image("out", batch, groups, outer, out, one.output ?? "channelsLast")
  const bias: View.View = {
    buffer: "bias",
    dtype: "f32",
    shape: result.shape,
    offset: 0,
    strides: [0, outer, 1, ...out.map(() => 0)]
  }
  const sum = Scalar.binary("add", Scalar.previous("accumulator", "f32"), Scalar.load(0, "f32"))
  return {
    kind: "convolution",
    id: "x",
    members: [],
    batch,
    groups,
    input: image("in", batch, groups, inner, size, one.input ?? "channelsLast"),
    weight: View.contiguous("w", "f32", [groups, outer, inner, ...kernel]),
    out,
    strides: one.strides ?? size.map(() => 1),
    dilations: one.dilations ?? size.map(() => 1),
    padsBegin: one.pads ?? size.map(() => 0),
    padsEnd: one.padsEnd ?? one.pads ?? size.map(() => 0),
    transposed: one.transposed ?? false,
    zero: { a: 0, b: 0 },
    accumulate: "f32",
    epilogue: one.epilogue?.(result, bias) ?? {
      operands: [bias],
      results: [{ view: result, value: Scalar.binary("max", sum, Scalar.constant("f32", 0)) }]
    }
  }
}

/** Adds what the result's buffer held, in place, and writes a second result. */
export const residual = (out: View.View, bias: View.View): Convolution["epilogue"] => {
  const sum = Scalar.binary("add", Scalar.previous("accumulator", "f32"), Scalar.load(1, "f32"))
  return {
    operands: [bias, out],
    results: [
      { view: out, value: Scalar.binary("add", sum, Scalar.load(0, "f32")) },
      { view: { ...out, buffer: "second" }, value: Scalar.unary("tanh", sum) }
    ]
  }
}

export type Candidates = (region: Convolution, typical: TypicalSizes, features: Features) => ReadonlyArray<Kernel>

/**
 * Each candidate in each mode against float64; units one by one, last first, must give the same bits, and nothing but
 * results and scratch memory may be written. How many candidates there were. `factor`: how much more than a sum's bound
 * the error may be.
 */
export const check = (
  candidates: Candidates,
  one: Case,
  symbols: Symbols = new Map(),
  typical: Symbols = symbols,
  factor: (kernel: Kernel) => number = () => 1
): number => {
  const region = convolution(one)
  const buffers = fill(region, symbols, Random.signed(5))
  const want = expected(region, symbols, buffers)
  const steps = one.kernel.reduce((count, extent) => count * extent, one.channels / (one.groups ?? 1))
  const modes: ReadonlyArray<Features> = [plain, relaxed, wide]
  let count = 0
  for (const features of modes)
    for (const kernel of candidates(region, typical, features)) {
      const label = `${kernel.name} ${JSON.stringify(kernel.config)} ${JSON.stringify(features)}`
      const running = prepare(region, kernel, features, buffers, symbols)
      running.run(0, running.units)
      running.check()
      const whole = running.results()
      expect(errorShare(whole, want, steps, factor(kernel)), label).toBeLessThanOrEqual(1)
      running.reset()
      for (let unit = running.units - 1; unit >= 0; unit--) running.run(unit, unit + 1)
      running.check()
      expect(running.results(), label).toEqual(whole)
      count++
    }
  return count
}
