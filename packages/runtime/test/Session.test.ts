import * as Engine from "@anneal/engine/Engine"
import * as Manifest from "@anneal/engine/Manifest"
import * as Safetensors from "@anneal/engine/Safetensors"
import * as Builder from "@anneal/ir/Builder"
import * as Constant from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import type { Graph } from "@anneal/ir/Graph"
import * as Hash from "@anneal/ir/Hash"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Tensor from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"
import { Executors, type ExecutorService } from "@anneal/runtime/Executor"
import * as MemoryPlan from "@anneal/runtime/MemoryPlan"
import * as Profiles from "@anneal/runtime/Profiles"
import { ExecutionError } from "@anneal/runtime/RuntimeError"
import * as Session from "@anneal/runtime/Session"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** y = x + h + gain, and the next h is y: a state of one row. */
const model = (): Graph => {
  const b = Builder.make("running sum")
  const row = Type.make("f32", [Dim.symbol("batch"), 2])
  const x = b.input("x", row)
  const h = b.input("h", row)
  const gain = b.tensor(Numbers.fromNumbers("f32", [2], [0.5, 1]), { name: "gain" })
  const sum = b.one(Ops.add, [b.one(Ops.add, [x, h], {}), gain], {})
  b.output("y", sum)
  b.output("next", b.one(Ops.relu, [sum], {}))
  b.alias({ input: "h", output: "next" })
  return b.finish()
}

/** Runs graphs of additions and relus; enough for these tests. */
const adder = (target: string, seen: Array<Graph> = []): ExecutorService => ({
  target,
  features: ["fast"],
  prepare: ({ engine, graph }) =>
    Effect.sync(() => {
      seen.push(graph)
      return {
        target,
        run: (inputs) =>
          Effect.suspend(() => {
            const values = new Map(graph.inputs.map(({ id }, index) => [id, inputs[index]?.data]))
            for (const [id, { constant }] of graph.constants) values.set(id, Constant.load(constant).data)
            for (const node of graph.nodes) {
              const [a, b] = node.inputs.map((id) => values.get(id ?? ""))
              const [output] = node.outputs
              if (a === undefined || output === undefined || (node.op !== Ops.add && node.op !== Ops.relu))
                return Effect.fail(new ExecutionError({ engine: engine.file, target, detail: `no ${node.op.name}` }))
              const at = (list: typeof b, i: number) => Number(list?.[i % (list.length || 1)] ?? 0)
              values.set(
                output.id,
                Float32Array.from({ length: a.length }, (_, i) =>
                  node.op === Ops.relu ? Math.max(0, at(a, i)) : at(a, i) + at(b, i)
                )
              )
            }
            return Effect.succeed(
              graph.outputs.map(({ id }) => {
                const data = values.get(id) ?? new Float32Array()
                return Tensor.make("f32", [data.length / 2, 2], data)
              })
            )
          })
      }
    })
})

const pack = (graph: Graph, options: { readonly features?: ReadonlyArray<string>; readonly strip?: boolean } = {}) =>
  Engine.parse(
    Safetensors.toBytes(
      Engine.assemble({
        about: Manifest.aboutModel(graph.name, Hash.content(graph)),
        source: graph,
        strip: options.strip ?? false,
        variants: [
          {
            name: "only",
            target: "adder",
            features: options.features ?? [],
            graph,
            profiles: [
              { name: "one", dims: { batch: { min: 1, opt: 1, max: 1 } } },
              { name: "many", dims: { batch: { min: 4, opt: 4, max: 8 } } }
            ]
          }
        ]
      })
    ),
    "sum.engine"
  )

const adders = Layer.succeed(Executors, [adder("adder")])
const rows = (...values: ReadonlyArray<number>) => Numbers.fromNumbers("f32", [values.length / 2, 2], values)

describe("a session", () => {
  it.effect("runs by the user's names", () =>
    Effect.gen(function* () {
      const session = yield* Session.open(pack(model()))
      assert.strictEqual(session.target, "adder")
      const { next, y } = yield* session.run({ x: rows(1, -5), h: rows(10, 1) })
      assert.deepStrictEqual(y?.data, Float32Array.of(11.5, -3))
      assert.deepStrictEqual(next?.data, Float32Array.of(11.5, 0))
    }).pipe(Effect.provide(adders))
  )

  it.effect("refuses wrong inputs, all at once", () =>
    Effect.gen(function* () {
      const session = yield* Session.open(pack(model()))
      const reasons = (inputs: Session.Tensors) =>
        Effect.map(Effect.flip(session.run(inputs)), (error) => {
          if (error._tag !== "InputError") return assert.fail(error.message)
          return error.problems.map(({ input, reason }) => `${input} ${reason}`)
        })
      const integers = Numbers.fromNumbers("i32", [1, 2], [1, 2])
      assert.deepStrictEqual(yield* reasons({ x: integers, z: integers }), ["x DType", "h Missing", "z Unknown"])
      assert.deepStrictEqual(yield* reasons({ x: Numbers.fromNumbers("f32", [2], [1, 2]), h: rows(1, 2) }), ["x Rank"])
      const wide = Numbers.fromNumbers("f32", [1, 3], [1, 2, 3])
      assert.deepStrictEqual(yield* reasons({ x: wide, h: rows(1, 2) }), ["x Shape"])
      assert.deepStrictEqual(yield* reasons({ x: rows(1, 2, 3, 4), h: rows(1, 2) }), ["h Shape"])
    }).pipe(Effect.provide(adders))
  )

  it.effect("refuses shapes outside every profile and lists the profiles", () =>
    Effect.gen(function* () {
      const session = yield* Session.open(pack(model()))
      const two = rows(1, 2, 3, 4)
      const error = yield* Effect.flip(session.run({ x: two, h: two }))
      assert.include(error.message, "batch = 2 is in no profile: one: batch 1; many: batch 4…8 (opt 4)")
    }).pipe(Effect.provide(adders))
  )

  it.effect("carries state from run to run, from zeros or from given values", () =>
    Effect.gen(function* () {
      const session = yield* Session.open(pack(model()))
      const state = Session.makeState()
      yield* session.run({ x: rows(1, 1) }, { state })
      const { y } = yield* session.run({ x: rows(1, 1) }, { state })
      assert.deepStrictEqual(y?.data, Float32Array.of(3, 4))
      assert.deepStrictEqual(state.values()["h"]?.data, Float32Array.of(3, 4))
      state.reset({ h: rows(100, 100) })
      const again = yield* session.run({ x: rows(0, 0) }, { state })
      assert.deepStrictEqual(again["y"]?.data, Float32Array.of(100.5, 101))
    }).pipe(Effect.provide(adders))
  )

  it.effect("makes runs that share a state wait for each other", () =>
    Effect.gen(function* () {
      const session = yield* Session.open(pack(model()))
      const state = Session.makeState()
      const runs = Array.from({ length: 20 }, () => session.run({ x: rows(1, 0) }, { state }))
      yield* Effect.all(runs, { concurrency: "unbounded" })
      assert.deepStrictEqual(state.values()["h"]?.data, Float32Array.of(30, 20))
    }).pipe(Effect.provide(adders))
  )

  it.effect("shares the weights with other sessions of one engine", () =>
    Effect.gen(function* () {
      const graphs: Array<Graph> = []
      const engine = pack(model())
      const twice = Effect.all([Session.open(engine), Session.open(engine)])
      yield* Effect.provide(twice, Layer.succeed(Executors, [adder("adder", graphs)]))
      const buffers = graphs.flatMap(({ constants }) =>
        [...constants.values()].map((one) => one.constant.bytes().buffer)
      )
      assert.strictEqual(buffers.length, 2)
      assert.strictEqual(buffers[0], buffers[1])
    })
  )

  it.effect("is refused where no target runs it, with both lists", () =>
    Effect.gen(function* () {
      const open = (engine: Engine.Engine) => Effect.flip(Session.open(engine))
      const other = Layer.succeed(Executors, [adder("other")])
      const wrong = yield* Effect.provide(open(pack(model())), other)
      assert.include(wrong.message, "is built for only (adder); this process offers other+fast")
      const lacking = yield* Effect.provide(open(pack(model(), { features: ["sm_90a"] })), adders)
      assert.strictEqual(lacking._tag, "TargetError")
      yield* Effect.provide(Session.open(pack(model(), { features: ["fast"] })), adders)
    })
  )

  it.effect("is refused without its weights, before the first run", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Session.open(pack(model(), { strip: true })))
      assert.include(error.message, "left out")
    }).pipe(Effect.provide(adders))
  )

  it.effect("keeps a memory limit, with figures", () =>
    Effect.gen(function* () {
      const engine = pack(model())
      // Batch 8: four rows of x, h, two sums and the result of relu, of which at most four are alive; the weights are 8 bytes.
      const error = yield* Effect.flip(Session.open(engine, { memoryLimit: 8 + 4 * 64 - 1 }))
      if (error._tag !== "MemoryError") return assert.fail(error.message)
      assert.deepStrictEqual([error.weights, error.peak, error.limit], [8, 256, 263])
      assert.include(error.message, "profile many: batch 4…8")
      yield* Session.open(engine, { memoryLimit: 8 + 4 * 64 })
    }).pipe(Effect.provide(adders))
  )
})

describe("the memory plan", () => {
  const chain = (length: number): Graph => {
    const b = Builder.make("chain")
    let value = b.input("x", Type.make("f32", [Dim.symbol("n")]))
    for (let i = 0; i < length; i++) value = b.one(Ops.relu, [value], {})
    b.output("y", value)
    return b.finish()
  }

  it("frees what is not used any more", () => {
    const short = MemoryPlan.plan(chain(3), new Map([["n", 10]]))
    assert.deepStrictEqual([short.weights, short.peak, short.unbounded], [0, 120, []])
    assert.strictEqual(MemoryPlan.plan(chain(50), new Map([["n", 10]])).peak, 120)
  })

  it("lists what the shapes do not decide", () => {
    assert.deepStrictEqual(MemoryPlan.plan(chain(1), new Map()).unbounded, ["%x : f32[n]", "%relu : f32[n]"])
  })
})

describe("profiles", () => {
  const shapes = (...entries: ReadonlyArray<readonly [string, ReadonlyArray<number>]>): Profiles.Shapes =>
    new Map(entries)

  it("are made of least, best and greatest shapes", () => {
    const profile = Profiles.profileOf(model(), "p", {
      min: shapes(["x", [1, 2]]),
      opt: shapes(["x", [4, 2]]),
      max: shapes(["h", [8, 2]])
    })
    assert.deepStrictEqual(profile.dims, { batch: { min: 1, opt: 4, max: 8 } })
  })

  it("refuse contradictions, unknown inputs and an order that does not hold", () => {
    const make = (min: Profiles.Shapes, max: Profiles.Shapes) => () => Profiles.profileOf(model(), "p", { min, max })
    assert.throws(make(shapes(["q", [1]]), shapes()), /no input q \(inputs: x, h\)/)
    assert.throws(make(shapes(["x", [1, 3]]), shapes()), /axis 1 is 3, expected 2/)
    assert.throws(make(shapes(["x", [1, 2]], ["h", [2, 2]]), shapes()), /axis 0 is 2, expected batch = 1/)
    assert.throws(make(shapes(["x", [4, 2]]), shapes(["x", [2, 2]])), /batch: 4 ≤ 2 ≤ 2 does not hold/)
  })
})
