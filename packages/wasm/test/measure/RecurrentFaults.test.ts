// Faults planted in kernels of recurrent layers: each is found before the candidate is timed. Also with sizes that are known only
// when it runs: at those that it is measured for.
import * as Builder from "@anneal/ir/Builder"
import type { Dim } from "@anneal/ir/Dim"
import * as Dims from "@anneal/ir/Dim"
import type { Graph } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { Activation } from "@anneal/ir/ops/Recurrent"
import * as Type from "@anneal/ir/Type"
import type { Recurrent, Region } from "@anneal/lower/Region"
import * as Reference from "@anneal/reference/Reference"
import * as Compile from "@anneal/wasm/Compile"
import { f32, f32x4, i32 } from "@anneal/wasm/Instruction"
import type { Kernel } from "@anneal/wasm/Kernel"
import * as Measure from "@anneal/wasm/measure/Measure"
import * as Target from "@anneal/wasm/Target"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Fault } from "./PlantedFaults.ts"
import * as Plant from "./PlantedFaults.ts"
import { minus, plus } from "./PlantedFaults.ts"

const sigmoid: Activation = { name: "sigmoid", alpha: 0, beta: 0 }
const tanh: Activation = { name: "tanh", alpha: 0, beta: 0 }

interface Sizes {
  readonly length: Dim
  readonly batch: Dim
  readonly hidden: number
  /** Of each step; without, x is what the inputs give to the gates. */
  readonly features?: number
}

const gatesOf = { lstm: 4, gru: 3 } as const

/** A layer of both directions with weights that are constants. */
const layer = (cell: "lstm" | "gru", { batch, features, hidden, length }: Sizes): Graph => {
  const b = Builder.make("layer")
  const rows = gatesOf[cell] * hidden
  const float = (shape: ReadonlyArray<Dim>) => Type.make("f32", shape)
  const constant = (shape: ReadonlyArray<number>) => {
    const size = shape.reduce((product, extent) => product * extent, 1)
    return b.tensor(
      Numbers.fromNumbers(
        "f32",
        shape,
        Array.from({ length: size }, (_, i) => (((i * 37) % 61) - 30) / 40)
      )
    )
  }
  const state = (name: string) => b.input(name, float([2, batch, hidden]))
  const operands = [
    b.input("x", float([length, batch, features ?? 2 * rows])),
    features === undefined ? undefined : constant([2, rows, features]),
    constant([2, rows, hidden]),
    constant([2, 2 * rows]),
    undefined,
    state("h0")
  ]
  const shared = { hidden, direction: "bidirectional", clip: null } as const
  const results =
    cell === "lstm"
      ? b.node(Ops.lstm, [...operands, state("c0")], {
          ...shared,
          activations: [sigmoid, tanh, tanh, sigmoid, tanh, tanh],
          inputForget: false
        })
      : b.node(Ops.gru, operands, {
          ...shared,
          activations: [sigmoid, tanh, sigmoid, tanh],
          linearBeforeReset: false
        })
  for (const [i, result] of results.entries()) b.output(`y${i}`, result)
  return b.finish()
}

interface Family {
  readonly subject: Measure.Subject
  readonly kernel: Kernel
}

const family = (graph: Graph): Family => {
  const { offers, planned } = Compile.plan(graph, { flavours: [Target.plain] })
  const subjects = [...Compile.subjects(planned, offers, Target.plain).values()]
  const subject = subjects.find(({ region }) => region.kind === "recurrent")
  const kernel = subject?.kernels.find(({ name }) => name === "recurrent-packed")
  if (subject === undefined || kernel === undefined) throw new Error("no packed recurrent layer")
  return { subject, kernel }
}

const open: Sizes = { length: Dims.symbol("length"), batch: Dims.symbol("batch"), hidden: 8 }
const families: Readonly<Record<string, () => Family>> = {
  // One sequence: whole vectors of units, and units that end within one.
  lstm: () => family(layer("lstm", { length: 6, batch: 1, hidden: 12 })),
  "lstm with inputs": () => family(layer("lstm", { length: 5, batch: 3, hidden: 9, features: 7 })),
  gru: () => family(layer("gru", { length: 5, batch: 2, hidden: 8, features: 6 })),
  "lstm of any size": () => family(layer("lstm", open))
}

const layers = (change: (region: Recurrent) => Region): Fault =>
  Plant.generatedFor((region) => (region.kind === "recurrent" ? change(region) : region))
const operands = (change: (region: Recurrent) => Recurrent["operands"]): Fault =>
  layers((region) => ({ ...region, operands: change(region) }))

type Argument = Parameters<typeof minus>[0]
const at = (args: ReadonlyArray<Argument>, place: number): Argument => {
  const found = args.at(place)
  if (found === undefined) throw new Error("there is no such argument")
  return found
}
const replaced = (place: number, change: (arg: Argument, args: ReadonlyArray<Argument>) => Argument): Fault =>
  Plant.called((args) =>
    args.map((arg, i) => (i === (place < 0 ? args.length + place : place) ? change(arg, args) : arg))
  )

/** Positions among the arguments: eight operands of an LSTM, then its results. */
const [hiddenAt, cellAt, outputAt] = [5, 6, 8]

/** Done with the last piece of the units. */
const finally_ = (what: Parameters<typeof Plant.beside>[1]): Fault =>
  Plant.beside("after", (f, args) => f.if(i32.eq(at(args, -1), i32.const(2)), () => what(f, args)))

const faults: ReadonlyArray<readonly [family: string, name: string, fault: Fault]> = [
  ...Object.keys(families).flatMap((one) => {
    const isGru = one === "gru"
    return [
      [one, "the second direction is left out", replaced(-1, (end) => minus(end, 1))],
      [one, "the first direction runs backwards only", layers((region) => ({ ...region, direction: "reverse" }))],
      [one, "outputs lie an element too far", replaced(isGru ? 6 : outputAt, (address) => plus(address, 4))],
      [one, "states as they begin are read an element too far", replaced(hiddenAt, (address) => plus(address, 4))],
      [one, "the panels are turned by an element", Plant.packing((bytes) => bytes.copyWithin(0, 4))],
      [one, "the last panel is empty", Plant.packing((bytes) => bytes.fill(0, bytes.length - 16))],
      [one, "sums are differences", Plant.instead(f32x4.add, f32x4.sub, -1)],
      [one, "a quotient is a product", Plant.instead(f32x4.div, f32x4.mul, 0)],
      [
        one,
        "the activations are those of other gates",
        layers((region) => ({ ...region, activations: region.activations.map((_, i) => (i === 1 ? sigmoid : tanh)) }))
      ],
      [
        one,
        "the states as they begin are zeros",
        operands(({ operands: given }) => given.map((view, i) => (i === hiddenAt ? null : view)))
      ],
      [
        one,
        "every other store is left out",
        Plant.stores(
          (place) => place % 2 === 1,
          () => []
        )
      ]
    ] as const
  }),
  ["lstm", "the cell state as it begins is that of the outputs", replaced(cellAt, (_, args) => at(args, hiddenAt))],
  [
    "lstm with inputs",
    "the bias is missing",
    operands(({ operands: given }) => given.map((view, i) => (i === 3 ? null : view)))
  ],
  [
    "lstm with inputs",
    "the last feature is left out",
    operands(({ operands: given }) =>
      given.map((view, i) =>
        view === null || i > 1 ? view : { ...view, shape: view.shape.map((extent, axis) => (axis === 2 ? 6 : extent)) }
      )
    )
  ],
  [
    "lstm with inputs",
    "the input and forget gates are coupled",
    layers((region) => ({ ...region, flags: { ...region.flags, inputForget: true } }))
  ],
  [
    "gru",
    "the reset comes after the product",
    layers((region) => ({ ...region, flags: { ...region.flags, linearBeforeReset: true } }))
  ],
  ["lstm", "gates are clipped", layers((region) => ({ ...region, clip: 0.05 }))],
  [
    "lstm with inputs",
    "the last unit keeps the state before",
    finally_((f, args) => f.do(f32.store(plus(at(args, outputAt), 4 * 8), f32.load(plus(at(args, hiddenAt), 4 * 8)))))
  ],
  [
    "lstm with inputs",
    "sequences of a batch are confused",
    operands(({ operands: given }) =>
      given.map((view, i) =>
        view === null || i !== 0
          ? view
          : { ...view, strides: view.strides.map((stride, axis) => (axis === 1 ? 0 : stride)) }
      )
    )
  ],
  [
    "lstm with inputs",
    "a length is ignored: the last step is left out",
    layers((region) => ({
      ...region,
      operands: region.operands.map((view, i) => (view === null || i !== 0 ? view : { ...view, shape: [4, 3, 7] })),
      results: region.results.map((view, i) => (view === null || i !== 0 ? view : { ...view, shape: [4, 2, 3, 9] }))
    }))
  ],
  ["lstm", "it reads far outside", replaced(0, () => i32.const(0x7fff0000))],
  ["lstm", "it writes far outside", replaced(outputAt, () => i32.const(0x7fff0000))]
]

/** The first output is off, where a symbol has this size. */
const offAt =
  (symbol: string, size: number): Fault =>
  (kernel) => ({
    ...kernel,
    emit: (emission, name) => {
      const inner = kernel.emit(emission, `${name} inner`)
      return emission.module.func(name, inner.params, [], (f, params) => {
        const args = params.map(({ index }): Argument => f.get({ type: "i32", index }))
        f.run(inner, args)
        const isThere = i32.eq(emission.dim(Dims.symbol(symbol)), i32.const(size))
        f.if(i32.and(isThere, i32.eq(at(args, -1), i32.const(2))), () =>
          f.do(f32.store(at(args, outputAt), f32.add(f32.load(at(args, outputAt)), f32.const(0.01))))
        )
      })
    }
  })

const measured = ({ subject }: Family, candidate: Kernel) =>
  Effect.gen(function* () {
    const measurer = yield* Measure.make({
      features: Target.plain,
      deadline: 20_000,
      effort: 500_000,
      subject: () => ({ ...subject, kernels: [candidate] })
    })
    const one = { name: candidate.name, config: candidate.config, cost: 100 }
    const checked = yield* measurer.check({ key: "k", node: "/node", candidates: [one] }, one)
    return yield* checked.run({ iterations: 3, inputs: "warm" })
  }).pipe(Effect.scoped, Effect.provide(Reference.layer()))

/** Milliseconds for one of them, on a busy machine. */
const patience = 120_000

describe("kernels of recurrent layers", () => {
  for (const [name, make] of Object.entries(families))
    it.live(
      `are right: ${name}`,
      () =>
        Effect.gen(function* () {
          const right = make()
          expect(yield* measured(right, right.kernel)).toBeGreaterThanOrEqual(1)
        }),
      patience
    )
})

const isFound = (right: Family, fault: Fault) =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(measured(right, fault(right.kernel, right.subject.region, Target.plain)))
    // Found by running it: not because no code could be made of it, and not because this machine is busy.
    const reasons = ["Wrong", "NotFinite", "Trap", "StrayWrite"]
    expect(error._tag === "Rejected" && reasons.includes(error.reason), error.message).toBe(true)
  })

describe("faults planted in recurrent layers", () => {
  it("have names of their own", () => {
    expect(new Set(faults.map(([one, name]) => `${one}: ${name}`)).size).toBe(faults.length)
  })
  for (const [one, name, fault] of faults)
    it.live(
      `are found in ${one}: ${name}`,
      () => {
        const make = families[one]
        return make === undefined ? Effect.die(new Error("no such family")) : isFound(make(), fault)
      },
      patience
    )
  it.live(
    "are found where they show at one size alone, of those that are left open",
    () =>
      Effect.gen(function* () {
        const right = families["lstm of any size"]?.()
        const open = right?.subject.program.symbols ?? []
        expect(open.length).toBeGreaterThan(0)
        if (right === undefined) return
        for (const symbol of open) yield* isFound(right, offAt(symbol, right.subject.typical.get(symbol) ?? 0))
      }),
    patience
  )
})
