// Plans of generated graphs and of real models compute what the graphs say, with and without fusions, at free and at fixed
// sizes, and are sound.
import * as Bind from "@anneal/ir/Bind"
import * as Numbers from "@anneal/ir/Numbers"
import * as Check from "@anneal/lower/Check"
import * as Decisions from "@anneal/lower/Decisions"
import * as Interpret from "@anneal/lower/Interpret"
import * as Graphs from "@anneal/testing/Graphs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { difference, planned, runNode } from "./Agreement.ts"
import * as Models from "./SharedModels.ts"

const seeds = Array.from({ length: 120 }, (_, index) => index + 1)

describe("plans of generated graphs", () => {
  it("agree with the oracle, sizes free", () => {
    for (const seed of seeds) {
      const graph = Graphs.generate(seed)
      assert.isUndefined(difference(graph, Graphs.inputsOf(graph, seed)), `seed ${seed}`)
    }
  })

  it("agree with the oracle, sizes fixed", () => {
    for (const seed of seeds) {
      const graph = Graphs.generate(seed + 1000)
      const inputs = Graphs.inputsOf(graph, seed)
      const shapes = inputs.map(({ shape }) => shape)
      assert.isUndefined(difference(graph, inputs, { fixed: Bind.bind(graph, shapes) }), `seed ${seed + 1000}`)
    }
  })

  it("agree with the oracle with every fusion switched off, and then take none", () => {
    for (const seed of seeds.slice(0, 60)) {
      const graph = Graphs.generate(seed + 2000)
      const fusionsOff: Array<string> = []
      // What is switched off can bring up other fusions to refuse.
      for (let round = 0; round < 50; round++) {
        const { fusions } = planned(graph, { decisions: { ...Decisions.none, fusionsOff } })
        const taken = fusions.filter((fusion) => fusion.taken)
        if (taken.length === 0) break
        fusionsOff.push(...taken.map(({ id }) => id))
      }
      const decisions = { ...Decisions.none, fusionsOff }
      assert.deepStrictEqual(
        planned(graph, { decisions }).fusions.filter(({ taken }) => taken),
        [],
        `seed ${seed + 2000}`
      )
      assert.isUndefined(difference(graph, Graphs.inputsOf(graph, seed), { decisions }), `seed ${seed + 2000}`)
    }
  })

  it("are the same each time", () => {
    for (const seed of seeds.slice(0, 30)) {
      const [a, b] = [planned(Graphs.generate(seed)), planned(Graphs.generate(seed))]
      assert.deepStrictEqual(
        a.fusions.map(({ id, reason, taken }) => ({ id, reason, taken })),
        b.fusions.map(({ id, reason, taken }) => ({ id, reason, taken }))
      )
      assert.deepStrictEqual([...a.buffers.keys()], [...b.buffers.keys()])
      const ids = a.fusions.map(({ id }) => id)
      assert.strictEqual(new Set(ids).size, ids.length, `seed ${seed}: an id is there twice`)
    }
  })
})

describe.skipIf(!Models.exist)("plans of the models (skipped where ../shared/models is absent)", () => {
  for (const name of Models.names)
    it.live(
      `${name}: sound at the sizes of a golden case, nothing on the host`,
      () =>
        Effect.gen(function* () {
          const graph = yield* Models.optimised(name)
          const [golden] = Models.goldens(name, graph)
          const shapes = golden?.inputs.map(({ shape }) => shape) ?? []
          const program = planned(graph, { fixed: Bind.bind(graph, shapes) })
          assert.deepStrictEqual(Check.check(program, new Map()), [])
          assert.isFalse(program.steps.some(({ kind }) => kind === "host"))
          assert.deepStrictEqual(program.symbols, [])
        }),
      120_000
    )

  // The larger ones take minutes to interpret: their regions are met in the smaller ones and in generated graphs.
  for (const name of ["mnist-8", "resnet8-cifar10", "silero-vad-v6", "nnsplit-en", "stories260k"])
    it.live(
      `${name}: a golden case`,
      () =>
        Effect.gen(function* () {
          const graph = yield* Models.optimised(name)
          const golden = Models.goldens(name, graph).find((one) => one.name !== "batch8")
          assert.isDefined(golden)
          if (golden === undefined) return
          const shapes = golden.inputs.map(({ shape }) => shape)
          for (const fixed of [new Map<string, number>(), Bind.bind(graph, shapes)]) {
            const outputs = Interpret.run(planned(graph, { fixed }), golden.inputs, runNode)
            for (const [position, expected] of golden.outputs.entries()) {
              if (expected === undefined) continue
              const found = outputs[position]
              const [xs, ys] = [Numbers.toNumbers(expected), found === undefined ? [] : Numbers.toNumbers(found)]
              for (const [at, x] of xs.entries())
                assert.isAtMost(
                  Math.abs((ys[at] ?? NaN) - x),
                  1e-4 + 1e-3 * Math.abs(x),
                  `output ${position}, element ${at}`
                )
            }
          }
        }),
      120_000
    )
})
