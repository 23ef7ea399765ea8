// Faults planted in generated kernels of every family: each is found before the candidate is timed, by name. The same
// measurer takes the kernel that it was planted in.
import * as Builder from "@anneal/ir/Builder"
import * as Constants from "@anneal/ir/Constant"
import type { Graph } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import type { Buffer, Program } from "@anneal/lower/Program"
import type { Contraction, Convolution, Region } from "@anneal/lower/Region"
import * as Regions from "@anneal/lower/Region"
import * as Scalars from "@anneal/lower/Scalar"
import * as Views from "@anneal/lower/View"
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Reference from "@anneal/reference/Reference"
import * as Candidates from "@anneal/wasm/Candidates"
import * as Compile from "@anneal/wasm/Compile"
import { f32, f32x4, i32 } from "@anneal/wasm/Instruction"
import type { Kernel } from "@anneal/wasm/Kernel"
import * as Measure from "@anneal/wasm/measure/Measure"
import * as Target from "@anneal/wasm/Target"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cases from "../kernels/ContractionCases.ts"
import { convolution } from "../kernels/ConvolutionCases.ts"
import { requantised } from "../kernels/IntegerReference.ts"
import { programOf } from "../Program.ts"
import { reach } from "../RunKernel.ts"
import type { Fault } from "./PlantedFaults.ts"
import * as Plant from "./PlantedFaults.ts"
import { minus, plus } from "./PlantedFaults.ts"

const none = new Map<string, number>()

interface Family {
  readonly subject: Measure.Subject
  readonly kernel: Kernel
}

/** A program around a region by hand: `constants` are weights, other buffers what comes and goes. */
const around = (region: Region, constants: ReadonlyArray<string>): Program => {
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

const byHand = (region: Region, constants: ReadonlyArray<string>, name: string): Family => {
  const kernels = Candidates.candidates(region, none, Target.plain)
  const kernel = kernels.find((one) => one.name === name)
  if (kernel === undefined) throw new Error(`no ${name} among ${kernels.map((one) => one.name).join()}`)
  return { subject: { region, program: around(region, constants), typical: none, kernels }, kernel }
}

const planned = (graph: Graph, kind: Region["kind"]): Family => {
  const { offers, planned } = Compile.plan(graph, { flavours: [Target.plain] })
  const subject = [...Compile.subjects(planned, offers, Target.plain).values()].find((one) => one.region.kind === kind)
  const kernel = subject?.kernels[0]
  if (subject === undefined || kernel === undefined) throw new Error(`no ${kind}`)
  return { subject, kernel }
}

type Net = ReturnType<typeof Builder.make>
type Ref = ReturnType<Net["input"]>

const built = (shape: ReadonlyArray<number>, make: (b: Net, x: Ref) => Ref): Graph => {
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

const nameOf = (region: Region, wanted: string): string =>
  Candidates.candidates(region, none, Target.plain).find(({ name }) => name.startsWith(wanted))?.name ?? wanted

const families: Readonly<Record<string, () => Family>> = {
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

const convs = (change: (region: Convolution) => Region): Fault =>
  Plant.generatedFor((region) => (region.kind === "convolution" ? change(region) : region))
const products = (change: (region: Contraction) => Region): Fault =>
  Plant.generatedFor((region) => (region.kind === "contraction" ? change(region) : region))
const anyRegion = Plant.generatedFor

/** Another value in place of the first result's. */
const valued = (region: Region, change: (value: Scalars.Scalar) => Scalars.Scalar): Region => {
  switch (region.kind) {
    case "contraction":
    case "convolution":
    case "window": {
      const results = region.epilogue.results.map((one) => ({ ...one, value: change(one.value) }))
      return { ...region, epilogue: { ...region.epilogue, results } }
    }
    case "loop":
      return { ...region, results: region.results.map((one) => ({ ...one, value: change(one.value) })) }
    case "rows":
      return { ...region, results: region.results.map((one) => ({ ...one, value: change(one.value) })) }
    default:
      return region
  }
}

/** Every part that `change` knows is another. */
const parted = (change: (part: Scalars.Scalar) => Scalars.Scalar | undefined) => (value: Scalars.Scalar) => {
  const visit = (one: Scalars.Scalar): Scalars.Scalar => {
    const made = change(one)
    if (made !== undefined) return made
    switch (one.kind) {
      case "unary":
      case "cast":
        return { ...one, x: visit(one.x) }
      case "binary":
        return { ...one, a: visit(one.a), b: visit(one.b) }
      default:
        return one
    }
  }
  return visit(value)
}

const withoutClamp = parted((part) => (part.kind === "binary" && part.op === "max" ? part.a : undefined))
const withoutBias = parted((part) =>
  part.kind === "binary" && part.op === "add" && part.b.kind === "load" ? part.a : undefined
)
const last = <A>(items: ReadonlyArray<A>, change: (item: A) => A): ReadonlyArray<A> =>
  items.map((item, place) => (place === items.length - 1 ? change(item) : item))
const at = (args: ReadonlyArray<Expr>, place: number): Expr => {
  const found = args.at(place)
  if (found === undefined) throw new Error("there is no such argument")
  return found
}
type Expr = Parameters<typeof minus>[0]
/** Where the result lies: after the reads. */
const resultOf: Readonly<Record<string, number>> = {
  gemm: 3,
  conv: 3,
  depthwise: 3,
  winograd: 3,
  integer: 4,
  attention: 4,
  window: 1,
  loop: 1,
  rows: 1,
  whole: 1
}
const shifted = (place: number, bytes: number): Fault =>
  Plant.called((args) => args.map((arg, i) => (i === place ? plus(arg, bytes) : arg)))
const endless: Fault = Plant.beside("after", (f) => f.loop((again) => f.br(again)))
const poke = (place: number, offset: number): Fault =>
  Plant.beside("after", (f, args) => f.do(f32.store(at(args, place), f32.const(7), offset)))
const shuffled = (bytes: Uint8Array): Uint8Array =>
  Uint8Array.from(bytes.subarray(4).length > 0 ? [...bytes.subarray(4), ...bytes.subarray(0, 4)] : bytes)

const hangs = "it never ends"

const faults: ReadonlyArray<readonly [family: string, name: string, fault: Fault]> = [
  // What a kernel is called with, in every family.
  ...Object.keys(families).flatMap((family) => {
    const result = resultOf[family] ?? 1
    return [
      [family, "the last unit is left out", Plant.called((args) => last(args, (end) => minus(end, 1)))],
      [family, "an operand is overwritten", poke(0 + (family === "winograd" ? 2 : 0), 4)],
      [family, "results lie an element too far", shifted(result, 4)]
    ] as const
  }),
  // Products.
  ["gemm", "the bias is missing", products((region) => valued(region, withoutBias))],
  ["gemm", "the activation is missing", products((region) => valued(region, withoutClamp))],
  [
    "gemm",
    "the activation comes before the bias",
    products((region) =>
      valued(region, () =>
        Scalars.binary(
          "add",
          Scalars.binary("max", Scalars.previous("accumulator", "f32"), Scalars.constant("f32", 0)),
          Scalars.load(0, "f32")
        )
      )
    )
  ],
  ["gemm", "a step of the sum is left out", products((region) => ({ ...region, k: 28 }))],
  [
    "gemm",
    "rows of the left operand lie an element too far apart",
    products((region) => ({ ...region, a: { ...region.a, strides: [28, 1] } }))
  ],
  ["gemm", "columns at the edge are left out", products((region) => ({ ...region, n: 36 }))],
  ["gemm", "the panels are turned by an element", Plant.packing(shuffled)],
  ["gemm", "the last panel is empty", Plant.packing((bytes) => bytes.fill(0, bytes.length - 64))],
  ["gemm", "one sum is taken off instead of added", Plant.instead(f32x4.add, f32x4.sub, 0)],
  ["gemm", "one product is a sum", Plant.instead(f32x4.mul, f32x4.add, 0)],
  [
    "gemm",
    "a store is left out",
    Plant.stores(
      (place) => place === 1,
      () => []
    )
  ],
  [
    "gemm",
    "a store is done twice, the second time further on",
    Plant.beside("after", (f, args) => f.do(f32.store(at(args, 3), f32.load(at(args, 3)), 4)))
  ],
  [
    "gemm",
    "sums begin with what was there",
    Plant.beside("after", (f, args) => f.do(f32.store(at(args, 3), f32.add(f32.load(at(args, 3)), f32.const(1e-3)))))
  ],
  // Convolutions.
  ["conv", "the step is one", convs((region) => ({ ...region, strides: [2, 1] }))],
  ["conv", "the padding is on the other side", convs((region) => ({ ...region, padsBegin: [0, 0] }))],
  ["conv", "taps lie further apart", convs((region) => ({ ...region, dilations: [2, 1] }))],
  ["conv", "the bias is missing", convs((region) => valued(region, withoutBias))],
  ["conv", "the activation is missing", convs((region) => valued(region, withoutClamp))],
  [
    "conv",
    "the weight's taps are turned",
    Plant.packing((bytes) => new Uint8Array(new Float32Array(bytes.buffer).toReversed().buffer))
  ],
  ["conv", "the last row of results is left out", convs((region) => ({ ...region, out: [5, 5] }))],
  ["conv", "the panels are turned by an element", Plant.packing(shuffled)],
  ["depthwise", "the padding is on the other side", convs((region) => ({ ...region, padsBegin: [2, 0] }))],
  ["depthwise", "channels use the weights of the next", Plant.packing(shuffled)],
  ["depthwise", "the activation is missing", convs((region) => valued(region, withoutClamp))],
  [
    "winograd",
    "a transformed weight is off by one in a thousand",
    Plant.packing((bytes) => {
      const values = new Float32Array(bytes.buffer)
      values.set([(values[0] ?? 0) * 1.001 + 0.01], 0)
      return bytes
    })
  ],
  ["winograd", "one sum of the transform is taken off", Plant.instead(f32x4.add, f32x4.sub, 0)],
  ["winograd", "one difference of the transform is a sum", Plant.instead(f32x4.sub, f32x4.add, 0)],
  ["winograd", "the bias is missing", convs((region) => valued(region, withoutBias))],
  ["winograd", "it needs more scratch memory than it says", (kernel) => ({ ...kernel, scratch: 64 })],
  // Integers.
  ["integer", "the zero point is one too small", products((region) => ({ ...region, zero: { a: 116, b: 0 } }))],
  ["integer", "a step of the sum is left out", products((region) => ({ ...region, k: 44 }))],
  [
    "integer",
    "halves are rounded down",
    products((region) =>
      valued(
        region,
        parted((part) => (part.kind === "unary" && part.op === "round" ? { ...part, op: "floor" } : undefined))
      )
    )
  ],
  [
    "integer",
    "results wrap in place of being clamped",
    products((region) =>
      valued(region, (value) =>
        value.kind === "cast"
          ? Scalars.cast(
              Scalars.unary(
                "round",
                Scalars.binary(
                  "mul",
                  Scalars.cast(Scalars.previous("accumulator", "i32"), "f32"),
                  Scalars.load(0, "f32")
                )
              ),
              "u8",
              false
            )
          : value
      )
    )
  ],
  ["integer", "the scales of the next channels are used", shifted(2, 4)],
  ["integer", "the bias is missing", products((region) => valued(region, withoutBias))],
  // Rows, loops, attention, pools, whole nodes.
  [
    "rows",
    "the row's maximum is not taken off, infinities come",
    Plant.beside("after", (f, args) => f.do(f32.store(at(args, 1), f32.div(f32.const(0), f32.const(0)))))
  ],
  [
    "rows",
    "the last lane of a row is wrong",
    Plant.beside("after", (f, args) => f.do(f32.store(at(args, 1), f32.const(0.5), 4 * 42)))
  ],
  ["rows", "one sum is a difference", Plant.instead(f32x4.add, f32x4.sub, -1)],
  ["rows", "one product is a sum", Plant.instead(f32x4.mul, f32x4.add, -1)],
  ["loop", "one product is a sum", Plant.instead(f32x4.mul, f32x4.add, 0)],
  ["loop", "a minus is lost: zeros of the other sign and more", Plant.instead(f32x4.add, f32x4.max, 0)],
  ["loop", "an element is written behind the result", poke(1, 4 * 123)],
  [
    "loop",
    "operand and result are confused",
    Plant.called((args) => args.map((arg, i) => (i === 0 ? at(args, 1) : i === 1 ? at(args, 0) : arg)))
  ],
  [
    "attention",
    "the scale is missing",
    anyRegion((region) => (region.kind === "attention" ? { ...region, scale: 1 } : region))
  ],
  [
    "attention",
    "it hides later keys",
    anyRegion((region) => (region.kind === "attention" ? { ...region, causal: true } : region))
  ],
  [
    "attention",
    "the last key is left out",
    anyRegion((region) => (region.kind === "attention" ? { ...region, keys: 18 } : region))
  ],
  [
    "attention",
    "keys and values are confused",
    Plant.called((args) => args.map((arg, i) => (i === 1 ? at(args, 2) : arg)))
  ],
  [
    "window",
    "the mean in place of the maximum",
    anyRegion((region) => (region.kind === "window" ? { ...region, combine: "average" } : region))
  ],
  [
    "window",
    "the window is two wide",
    anyRegion((region) => (region.kind === "window" ? { ...region, kernel: [3, 2] } : region))
  ],
  [
    "window",
    "padding is on the other side",
    anyRegion((region) => (region.kind === "window" ? { ...region, padsBegin: [0, 0] } : region))
  ],
  // What stops, or does not.
  ["gemm", hangs, endless],
  [
    "conv",
    "it stops at the last unit",
    Plant.beside("after", (f, args) => f.if(i32.gt_s(at(args, -1), at(args, -2)), () => f.unreachable()))
  ],
  ["depthwise", "it reads far outside", Plant.called((args) => [i32.const(0x7fff0000), ...args.slice(1)])],
  [
    "integer",
    "it writes far outside",
    Plant.called((args) => args.map((arg, i) => (i === 4 ? i32.const(0x7fff0000) : arg)))
  ],
  [
    "rows",
    "only one in several calls is right",
    Plant.called((args) =>
      [...args.slice(0, -2), i32.const(0), at(args, -1)].map((arg, i) =>
        i === args.length - 1 ? i32.sub(arg, at(args, -2)) : arg
      )
    )
  ]
]

/** `effort`: for the definition, of each draw; a build that does not tune spends 30,000. */
const measured = ({ subject }: Family, candidate: Kernel, deadline = 20_000, effort = 500_000) =>
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
const patience = 120_000

describe("generated kernels", () => {
  for (const [name, make] of Object.entries(families))
    it.live(
      `are right: ${name}`,
      () =>
        Effect.gen(function* () {
          const family = make()
          expect(yield* measured(family, family.kernel)).toBeGreaterThanOrEqual(1)
        }),
      patience
    )
})

describe("planted faults", () => {
  it("are more than fifty, each of another name", () => {
    expect(new Set(faults.map(([family, name]) => `${family}: ${name}`)).size).toBe(faults.length)
    expect(faults.length).toBeGreaterThan(50)
  })
  for (const [family, name, fault] of faults)
    it.live(
      `are found in ${family}: ${name}`,
      () =>
        Effect.gen(function* () {
          const right = families[family]?.()
          if (right === undefined) return expect.fail("no such family")
          const planted = fault(right.kernel, right.subject.region, Target.plain)
          const error = yield* Effect.flip(measured(right, planted, name === hangs ? 1_000 : undefined))
          // Found by running it: not because no code could be made of it, and not because this machine is busy.
          const reasons = name === hangs ? ["Hang"] : ["Wrong", "NotFinite", "Trap", "StrayWrite"]
          expect(error._tag === "Rejected" && reasons.includes(error.reason), error.message).toBe(true)
        }),
      patience
    )
})

// Of results like these the definition is asked for few: what is wrong at an end of an axis, and nowhere else, is found all
// the same.
const largeRegion = Cases.contraction({ m: 203, n: 301, k: 997 })
const large = (): Family => {
  const kernels = Candidates.candidates(largeRegion, none, Target.plain)
  const kernel = kernels.find(({ packed }) => packed.length > 0 && packed.every(({ read }) => read === 1))
  if (kernel === undefined) throw new Error("no kernel packs the right operand")
  return { subject: { region: largeRegion, program: around(largeRegion, ["b"]), typical: none, kernels }, kernel }
}
const [rowsOfLarge, columnsOfLarge] = [203, 301]

/** Elements of the result from `first` on, `count` of them, `step` apart, are off by one in a hundred. */
const spoiled = (first: number, count: number, step: number): Fault =>
  Plant.beside("after", (f, args) =>
    f.if(i32.eq(at(args, -1), i32.const(unitsOfLarge())), () =>
      f.range(0, count, 1, (i) => {
        const place = plus(i32.add(at(args, 3), i32.mul(f.get(i), i32.const(4 * step))), 4 * first)
        f.do(f32.store(place, f32.add(f32.mul(f32.load(place), f32.const(1.01)), f32.const(0.01))))
      })
    )
  )
const unitsOfLarge = (): number => {
  const { units } = large().kernel
  if (typeof units !== "number") throw new Error("its units are not known")
  return units
}

const atTheEnd: ReadonlyArray<readonly [name: string, fault: () => Fault]> = [
  ["the last row", () => spoiled((rowsOfLarge - 1) * columnsOfLarge, columnsOfLarge, 1)],
  ["the last but one row", () => spoiled((rowsOfLarge - 2) * columnsOfLarge, columnsOfLarge, 1)],
  ["the last column", () => spoiled(columnsOfLarge - 1, rowsOfLarge, columnsOfLarge)],
  ["the column where the last vector begins", () => spoiled(columnsOfLarge - 5, rowsOfLarge, columnsOfLarge)],
  ["the first row", () => spoiled(0, columnsOfLarge, 1)],
  ["the last element", () => spoiled(rowsOfLarge * columnsOfLarge - 1, 1, 1)]
]

describe("faults at an end of a large result, with the least effort", () => {
  it.live(
    "are none in the kernel as it is",
    () =>
      Effect.gen(function* () {
        const family = large()
        expect(yield* measured(family, family.kernel, undefined, 30_000)).toBeGreaterThanOrEqual(1)
      }),
    patience
  )
  for (const [name, fault] of atTheEnd)
    it.live(
      `are found in ${name}`,
      () =>
        Effect.gen(function* () {
          const family = large()
          const planted = fault()(family.kernel, family.subject.region, Target.plain)
          const error = yield* Effect.flip(measured(family, planted, undefined, 30_000))
          expect(error).toMatchObject({ _tag: "Rejected", reason: "Wrong" })
          // Against the definition: not because pieces of its units give other results.
          expect(error.message).toContain("it should be")
        }),
      patience
    )
})
