// FaultFamilies: a right kernel of each family to plant faults in, and the check that a build makes of it.
import * as Builder from "@anneal/ir/Builder"
import * as Constants from "@anneal/ir/Constant"
import type { Graph } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import type { Buffer, Program } from "@anneal/lower/Program"
import type { Contraction, Region } from "@anneal/lower/Region"
import * as Regions from "@anneal/lower/Region"
import * as Scalars from "@anneal/lower/Scalar"
import * as Views from "@anneal/lower/View"
import type { Rejected } from "@anneal/pipeline/Measurer"
import type * as Tuner from "@anneal/pipeline/Tuner"
import * as Reference from "@anneal/reference/Reference"
import * as Candidates from "@anneal/wasm/Candidates"
import * as Compile from "@anneal/wasm/Compile"
import type { Kernel } from "@anneal/wasm/Kernel"
import * as Measure from "@anneal/wasm/measure/Measure"
import * as Target from "@anneal/wasm/Target"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cases from "../kernels/ContractionCases.ts"
import { convolution } from "../kernels/ConvolutionCases.ts"
import { requantised } from "../kernels/IntegerReference.ts"
import { programOf } from "../Program.ts"
import { reach } from "../RunKernel.ts"
import type { Fault } from "./PlantedFaults.ts"

export const none = new Map<string, number>()

/** A kernel that is right, and the region that it is for. */
export interface Family {
  readonly subject: Measure.Subject
  readonly kernel: Kernel
}

/** A program around a region by hand: `constants` are weights, other buffers what comes and goes. */
export const around = (region: Region, constants: ReadonlyArray<string>): Program => {
  const views = [...Regions.reads(region), ...Regions.writes(region)].flatMap((view) => (view === null ? [] : [view]))
  const buffers = views.map((view): readonly [string, Buffer] => {
    const size = Math.max(...views.map((one) => (one.buffer === view.buffer ? reach(one, none) : 0)))
    const values = Array.from({ length: size }, (_, i) => ((i * 37) % 61) - 30)
    const float = view.dtype === "f32"
    const tensor = Numbers.fromNumbers(view.dtype, [size], float ? values.map((value) => value / 16) : values)
    return [
      view.buffer,
      constants.includes(view.buffer)
        ? { id: view.buffer, dtype: view.dtype, size, kind: "constant", constant: Constants.fromTensor(tensor) }
        : { id: view.buffer, dtype: view.dtype, size, kind: "arena" }
    ]
  })
  return { ...programOf(1), buffers: new Map(buffers) }
}

export const byHand = (region: Region, constants: ReadonlyArray<string>, name: string): Family => {
  const kernels = Candidates.candidates(region, none, Target.plain)
  const kernel = kernels.find((one) => one.name === name)
  if (kernel === undefined) throw new Error(`no ${name} among ${kernels.map((one) => one.name).join()}`)
  return { subject: { region, program: around(region, constants), typical: none, kernels }, kernel }
}

export const planned = (graph: Graph, kind: Region["kind"]): Family => {
  const { offers, planned } = Compile.plan(graph, { flavours: [Target.plain] })
  const subject = [...Compile.subjects(planned, offers, Target.plain).values()].find((one) => one.region.kind === kind)
  const kernel = subject?.kernels[0]
  if (subject === undefined || kernel === undefined) throw new Error(`no ${kind}`)
  return { subject, kernel }
}

type Net = ReturnType<typeof Builder.make>
type Ref = ReturnType<Net["input"]>

export const built = (shape: ReadonlyArray<number>, make: (b: Net, x: Ref) => Ref): Graph => {
  const b = Builder.make("net")
  b.output("y", make(b, b.input("x", Type.make("f32", shape))))
  return b.finish()
}

const gemmRegion = Cases.contraction({ m: 13, n: 37, k: 29 })
const convRegion = convolution({
  channels: 5,
  outChannels: 19,
  size: [11, 9],
  kernel: [3, 3],
  strides: [2, 2],
  pads: [1, 1]
})
const depthRegion = convolution({
  channels: 21,
  outChannels: 21,
  groups: 21,
  size: [10, 13],
  kernel: [3, 3],
  pads: [1, 1]
})
const winogradRegion = convolution({ channels: 8, outChannels: 12, size: [14, 15], kernel: [3, 3], pads: [1, 1] })
const integerDomain = [11, 21]
const integerRegion: Contraction = {
  kind: "contraction",
  id: "y",
  members: [],
  batch: [],
  m: 11,
  n: 21,
  k: 45,
  a: Views.contiguous("a", "u8", [11, 45]),
  b: Views.contiguous("b", "i8", [21, 45]),
  zero: { a: 117, b: 0 },
  accumulate: "i32",
  epilogue: {
    operands: [
      Views.expand(Views.contiguous("scale", "f32", [21]), integerDomain),
      Views.expand(Views.contiguous("bias", "f32", [21]), integerDomain)
    ],
    results: [{ view: Views.contiguous("y", "u8", integerDomain), value: requantised }]
  }
}
const attentionRegion: Region = {
  kind: "attention",
  id: "y",
  members: [],
  batch: [2],
  queries: 7,
  keys: 19,
  dim: 12,
  valueDim: 10,
  q: Views.contiguous("q", "f32", [2, 7, 12]),
  k: Views.contiguous("k", "f32", [2, 19, 12]),
  v: Views.contiguous("v", "f32", [2, 19, 10]),
  mask: undefined,
  scale: 0.3,
  causal: false,
  result: Views.contiguous("y", "f32", [2, 7, 10])
}
const windowRegion: Region = {
  kind: "window",
  id: "y",
  members: [],
  combine: "max",
  includePad: false,
  input: Views.contiguous("x", "f32", [1, 9, 11, 13]),
  out: [6, 7],
  kernel: [3, 3],
  strides: [2, 2],
  dilations: [1, 1],
  padsBegin: [1, 1],
  padsEnd: [1, 1],
  epilogue: {
    operands: [],
    results: [{ view: Views.contiguous("y", "f32", [1, 9, 6, 7]), value: Scalars.previous("accumulator", "f32") }]
  }
}

export const nameOf = (region: Region, wanted: string): string =>
  Candidates.candidates(region, none, Target.plain).find(({ name }) => name.startsWith(wanted))?.name ?? wanted

/** By what they are called in the names of tests. */
export const families: Readonly<Record<string, () => Family>> = {
  gemm: () => byHand(gemmRegion, ["b"], nameOf(gemmRegion, "gemm-packed")),
  conv: () => byHand(convRegion, ["w"], nameOf(convRegion, "conv-gemm")),
  depthwise: () => byHand(depthRegion, ["w"], "conv-depthwise"),
  winograd: () => byHand(winogradRegion, ["w"], nameOf(winogradRegion, "conv-winograd")),
  integer: () => byHand(integerRegion, ["b"], nameOf(integerRegion, "integer")),
  attention: () => byHand(attentionRegion, [], nameOf(attentionRegion, "attention")),
  window: () => byHand(windowRegion, [], nameOf(windowRegion, "window")),
  loop: () =>
    planned(
      built([3, 41], (b, x) => b.one(Ops.add, [b.one(Ops.mul, [x, x], {}), x], {})),
      "loop"
    ),
  rows: () =>
    planned(
      built([5, 43], (b, x) => b.one(Ops.softmax, [x], { axis: 1 })),
      "rows"
    ),
  whole: () =>
    planned(
      built([4, 33], (b, x) => b.one(Ops.cumulativeSum, [x], { axis: 1, exclusive: false, reverse: false })),
      "whole"
    )
}

/** `effort`: for the definition, of each draw; a build that does not tune spends 30,000. */
export const measured = ({ subject }: Family, candidate: Kernel, deadline = 20_000, effort = 500_000) =>
  Effect.gen(function* () {
    const measurer = yield* Measure.make({
      features: Target.plain,
      deadline,
      effort,
      subject: () => ({ ...subject, kernels: [candidate] })
    })
    const one: Tuner.Candidate = { name: candidate.name, config: candidate.config, cost: 100 }
    const checked = yield* measurer.check({ key: "k", node: "/node", candidates: [one] }, one)
    return yield* checked.run({ iterations: 3, inputs: "warm" })
  }).pipe(Effect.scoped, Effect.provide(Reference.layer()))

/** Milliseconds for one of them, on a busy machine. */
export const patience = 120_000

/** Reasons of what was found by running a kernel: not because no code could be made of it. */
export const found: ReadonlyArray<Rejected["reason"]> = ["Wrong", "NotFinite", "Trap", "StrayWrite"]

/** One fault: where, what it is called, what it is, and what must be said of it where that is not plain. */
export type Planted = readonly [family: string, name: string, fault: Fault, says?: string]

/** A test for each fault: it is found before the candidate is timed. */
export const tests = (
  planted: ReadonlyArray<Planted>,
  makers: Readonly<Record<string, () => Family>> = families,
  reasons: ReadonlyArray<Rejected["reason"]> = found,
  deadline?: number
): void => {
  for (const [family, name, fault, says = ""] of planted)
    it.live(
      `are found in ${family}: ${name}`,
      () =>
        Effect.gen(function* () {
          const right = makers[family]?.()
          if (right === undefined) return expect.fail("no such family")
          const spoiled = fault(right.kernel, right.subject.region, Target.plain)
          const error = yield* Effect.flip(measured(right, spoiled, deadline))
          expect(error._tag === "Rejected" && reasons.includes(error.reason), error.message).toBe(true)
          expect(error.message).toContain(says)
        }),
      patience
    )
}

/** A test for each family: what the faults are planted in is right. */
export const areRight = (makers: Readonly<Record<string, () => Family>> = families): void => {
  for (const [name, make] of Object.entries(makers))
    it.live(
      `are right: ${name}`,
      () =>
        Effect.gen(function* () {
          const family = make()
          expect(yield* measured(family, family.kernel)).toBeGreaterThanOrEqual(1)
        }),
      patience
    )
}
