// Kernels are held against the definition on the user's data, too: one that is wrong there alone is found.
import * as Builder from "@anneal/ir/Builder"
import type { Graph } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as Reference from "@anneal/reference/Reference"
import * as Compile from "@anneal/wasm/Compile"
import { f32 } from "@anneal/wasm/Instruction"
import type { I32 } from "@anneal/wasm/Instruction"
import type { Kernel } from "@anneal/wasm/Kernel"
import * as Measure from "@anneal/wasm/measure/Measure"
import * as Recorded from "@anneal/wasm/measure/Recorded"
import * as Target from "@anneal/wasm/Target"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Plant from "./PlantedFaults.ts"

const n = 41

const graph = (): Graph => {
  const b = Builder.make("net")
  const x = b.input("x", Type.make("f32", [n]))
  b.output("y", b.one(Ops.mul, [x, x], {}))
  return b.finish()
}

/** Neither random nor edge values hold this one. */
const rare = 617

/** The first result is wrong where the first operand is this very value. */
const wrongAtRare = Plant.beside("after", (f, [x, y]) => {
  const [from, to]: ReadonlyArray<I32 | undefined> = [x, y]
  if (from === undefined || to === undefined) throw new Error("there are two buffers")
  f.if(f32.eq(f32.load(from), f32.const(rare)), () => f.do(f32.store(to, f32.const(1))))
})

const measured = (recorded: Effect.Effect<Recorded.Recorded>, spoil: (kernel: Kernel) => Kernel) =>
  Effect.gen(function* () {
    const { offers, planned } = Compile.plan(graph(), { flavours: [Target.plain] })
    const [subject] = Compile.subjects(planned, offers, Target.plain).values()
    const [kernel] = subject?.kernels ?? []
    if (subject === undefined || kernel === undefined) return expect.fail("nothing computes it")
    const planted = spoil(kernel)
    const measurer = yield* Measure.make({
      features: Target.plain,
      recorded,
      subject: () => ({ ...subject, kernels: [planted] })
    })
    const one = { name: planted.name, config: planted.config, cost: 1 }
    yield* measurer.check({ key: "k", node: "/node", candidates: [one] }, one)
  }).pipe(Effect.scoped, Effect.provide(Reference.layer()))

const recorded = Effect.gen(function* () {
  const oracle = yield* Oracle
  const x = Numbers.fromNumbers("f32", [n], new Float64Array(n).fill(rare))
  return yield* Effect.orDie(Recorded.record(graph(), { x }, oracle))
}).pipe(Effect.provide(Reference.layer()))

it.effect("a part of each value is kept, inputs by their names", () =>
  Effect.gen(function* () {
    const found = yield* recorded
    expect([...(found.get("input x") ?? [])].slice(0, 2)).toEqual([rare, rare])
    expect([...found.values()].some((data) => data[0] === rare * rare)).toBe(true)
  })
)

it.live("a kernel that is wrong on the user's data alone is found", () =>
  Effect.gen(function* () {
    const spoil = (kernel: Kernel) => {
      const [region] = Compile.plan(graph(), { flavours: [Target.plain] }).planned.flatMap(({ program }) =>
        Compile.regionsOf(program)
      )
      if (region === undefined) throw new Error("a region was expected")
      return wrongAtRare(kernel, region, Target.plain)
    }
    yield* measured(recorded, (kernel) => kernel)
    yield* measured(Effect.succeed(Recorded.none), spoil)
    const error = yield* Effect.flip(measured(recorded, spoil))
    expect(error).toMatchObject({ _tag: "Rejected", reason: "Wrong", evidence: { draw: "calibration" } })
  })
)
