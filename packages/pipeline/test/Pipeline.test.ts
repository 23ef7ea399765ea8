import { assert, describe, it } from "@effect/vitest"
import * as Builder from "@anneal/ir/Builder"
import * as Constants from "@anneal/ir/Constant"
import * as Editor from "@anneal/ir/Editor"
import * as IR from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Artefact from "@anneal/pipeline/Artefact"
import * as Calibrator from "@anneal/pipeline/Calibrator"
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import { Graph } from "@anneal/pipeline/Graph"
import * as Ledger from "@anneal/pipeline/Ledger"
import * as Pass from "@anneal/pipeline/Pass"
import * as Pipeline from "@anneal/pipeline/Pipeline"
import * as Progress from "@anneal/pipeline/Progress"
import { Ranges } from "@anneal/pipeline/Ranges"
import * as Samples from "@anneal/pipeline/Samples"
import * as Stage from "@anneal/pipeline/Stage"
import * as Store from "@anneal/pipeline/Store"
import * as Validation from "@anneal/pipeline/Validation"
import { Variants } from "@anneal/pipeline/Variants"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as TestOracle from "./TestOracle.ts"

const none = Schema.Struct({})
const f32 = (values: ReadonlyArray<number>) => Numbers.fromNumbers("f32", [values.length], values)

/** y = relu((x + bias) * scale), with the weights given. */
const model = (bias: ReadonlyArray<number>, scale: ReadonlyArray<number>): IR.Graph => {
  const b = Builder.make("model")
  const x = b.input("x", { dtype: "f32", shape: [2] })
  const sum = b.one(Ops.add, [x, b.tensor(f32(bias), { id: "bias" })], {}, { ids: ["sum"] })
  const product = b.one(Ops.mul, [sum, b.tensor(f32(scale), { id: "scale" })], {}, { ids: ["product"] })
  b.output("y", b.one(Ops.relu, [product], {}, { ids: ["y"] }))
  return b.finish()
}

const given = (graph: IR.Graph) => Layer.succeed(Graph, graph)

/** Doubles `relu`: right. Reads no weight. */
const reluTwice = Pass.make({
  name: "reluTwice",
  version: 1,
  claims: "exact",
  config: none,
  transports: [Ranges],
  run: (graph) => {
    const editor = Editor.open(graph)
    const node = editor.producer(graph.outputs[0]?.id)
    if (node !== undefined) {
      editor.replace(node, "reluTwice", (b) => [b.one(Ops.relu, [b.one(Ops.relu, editor.inputs(node), {})], {})])
    }
    return editor.finish()
  }
})

/** Puts the negated scale into the graph, twice negated: reads `scale`. */
const negateScale = Pass.make({
  name: "negateScale",
  version: 1,
  claims: "exact",
  config: none,
  run: (graph) => {
    const editor = Editor.open(graph)
    const scale = editor.read("scale")
    const node = editor.producer("product")
    if (scale !== undefined && node !== undefined) {
      editor.replace(node, "negateScale", (b) => {
        const [sum] = editor.inputs(node)
        const negative = b.tensor(f32([...Numbers.toNumbers(scale)].map((value) => -value)))
        return [b.one(Ops.neg, [b.one(Ops.mul, [sum, negative], {})], {})]
      })
    }
    return editor.finish()
  }
})

/** Loses the bias: wrong. */
const loseBias = Pass.make({
  name: "loseBias",
  version: 1,
  claims: "reassociating",
  config: none,
  run: (graph) => {
    const editor = Editor.open(graph)
    const node = editor.producer("sum")
    if (node !== undefined) editor.replace(node, "loseBias", () => [editor.inputs(node)[0]])
    return editor.finish()
  }
})

const tags = (events: ReadonlyArray<Progress.Event>, of: ReadonlyArray<string>) =>
  events.filter(({ _tag }) => of.includes(_tag)).map(({ _tag, stage }) => `${stage} ${_tag}`)

const looks = ["Hit", "Miss", "Uncached"]

const build = <Out, E, R>(pipeline: Pipeline.Pipeline<Graph, Out, E, R>, graph: IR.Graph) =>
  Progress.collect(Effect.provide(pipeline.build(), given(graph)))

const passes = Pipeline.on(Graph).through(reluTwice({})).through(negateScale({}))

const scale = (graph: IR.Graph) =>
  [...graph.constants.values()].map(({ constant }) => Array.from(Numbers.toNumbers(Constants.load(constant))))

describe("Pipeline", () => {
  it.effect("a second build runs no stage and gives the same", () =>
    Effect.gen(function* () {
      const [first, events] = yield* build(passes, model([1, 2], [3, 4]))
      assert.deepStrictEqual(tags(events, looks), ["reluTwice@1 Miss", "negateScale@1 Miss"])
      const [second, again] = yield* build(passes, model([1, 2], [3, 4]))
      assert.deepStrictEqual(tags(again, [...looks, "Start"]), ["reluTwice@1 Hit", "negateScale@1 Hit"])
      assert.deepStrictEqual(second.ledger, first.ledger)
      const [a, b] = [Pipeline.get(first.known, Graph), Pipeline.get(second.known, Graph)]
      assert.strictEqual(yield* Artefact.digestOf(Graph, a), yield* Artefact.digestOf(Graph, b))
      assert.deepStrictEqual(scale(b), [
        [1, 2],
        [-3, -4]
      ])
    }).pipe(Effect.provide([Store.layerMemory, TestOracle.layer]))
  )

  it.effect("after a weight changes, only what read it runs again, and gets the new weight", () =>
    Effect.gen(function* () {
      yield* build(passes, model([1, 2], [3, 4]))
      const [bias, biasEvents] = yield* build(passes, model([5, 6], [3, 4]))
      assert.deepStrictEqual(tags(biasEvents, looks), ["reluTwice@1 Hit", "negateScale@1 Hit"])
      assert.deepStrictEqual(scale(Pipeline.get(bias.known, Graph)), [
        [5, 6],
        [-3, -4]
      ])
      const [changed, scaleEvents] = yield* build(passes, model([1, 2], [7, 8]))
      assert.deepStrictEqual(tags(scaleEvents, looks), ["reluTwice@1 Hit", "negateScale@1 Miss"])
      assert.deepStrictEqual(scale(Pipeline.get(changed.known, Graph)), [
        [1, 2],
        [-7, -8]
      ])
    }).pipe(Effect.provide([Store.layerMemory, TestOracle.layer]))
  )

  it.effect("a weight that equals one that a pass made is no reason to mistake one for the other", () =>
    Effect.gen(function* () {
      // The pass makes [1, 1], which is also the bias of the first model, and reads nothing.
      const ones = Pass.make({
        name: "ones",
        version: 1,
        claims: "exact",
        config: none,
        run: (graph) => {
          const editor = Editor.open(graph)
          const node = editor.producer("y")
          if (node !== undefined) {
            editor.replace(node, "ones", (b) => [
              b.one(Ops.mul, [b.one(Ops.relu, editor.inputs(node), {}), b.tensor(f32([1, 1]))], {})
            ])
          }
          return editor.finish()
        }
      })
      const pipeline = Pipeline.on(Graph).through(ones({}))
      yield* build(pipeline, model([1, 1], [3, 4]))
      const [{ known }] = yield* build(pipeline, model([9, 9], [3, 4]))
      assert.deepStrictEqual(scale(Pipeline.get(known, Graph)), [
        [9, 9],
        [3, 4],
        [1, 1]
      ])
    }).pipe(Effect.provide([Store.layerMemory, TestOracle.layer]))
  )

  it.effect("a wrong rewrite stops the build, naming pass and node; or is left out", () =>
    Effect.gen(function* () {
      const pipeline = Pipeline.on(Graph).through(loseBias({})).through(reluTwice({}))
      const error = yield* Effect.flip(build(pipeline, model([1, 2], [3, 4])))
      assert.strictEqual(error._tag, "ValidationError")
      assert.include(error.message, "Pass loseBias changes results at add %sum")
      const skip = Effect.provide(build(pipeline, model([1, 2], [3, 4])), Validation.layer({ onFailure: "skip" }))
      const [{ known, ledger }] = yield* skip
      assert.deepStrictEqual(
        ledger.map(({ changed }) => changed),
        [false, true]
      )
      assert.deepStrictEqual(
        ledger[0]?.diagnostics.map(({ code }) => code),
        ["wrong-rewrite"]
      )
      assert.deepStrictEqual(
        Pipeline.get(known, Graph).nodes.map(({ op }) => op.name),
        ["add", "mul", "relu", "relu"]
      )
      const off = Effect.provide(build(pipeline, model([1, 2], [3, 4])), Validation.layerOff)
      assert.deepStrictEqual(
        Pipeline.get((yield* off)[0].known, Graph).nodes.map(({ op }) => op.name),
        ["mul", "relu", "relu"]
      )
    }).pipe(Effect.provide([Store.layerMemory, TestOracle.layer]))
  )

  it.effect("without an oracle, the ledger says that nothing was checked", () =>
    Effect.gen(function* () {
      const [{ ledger }] = yield* build(Pipeline.on(Graph).through(loseBias({})), model([1, 2], [3, 4]))
      assert.deepStrictEqual(
        ledger[0]?.diagnostics.map(({ code }) => code),
        ["not-validated"]
      )
    })
  )

  it.effect("explain runs nothing: keys, hits, and what waits for what", () =>
    Effect.gen(function* () {
      const explain = Effect.provide(passes.explain(), given(model([1, 2], [3, 4])))
      assert.deepStrictEqual(
        (yield* explain).map(({ reason, status }) => [status, reason]),
        [
          ["miss", undefined],
          ["waits", "waits for @anneal/pipeline/Graph"]
        ]
      )
      yield* build(passes, model([1, 2], [3, 4]))
      assert.deepStrictEqual(
        (yield* explain).map(({ status }) => status),
        ["hit", "hit"]
      )
    }).pipe(Effect.provide([Store.layerMemory, TestOracle.layer]))
  )

  it.effect("branches run side by side; what they share is made once", () =>
    Effect.gen(function* () {
      const a = Pipeline.on(Graph).through(reluTwice({})).through(negateScale({}))
      const b = Pipeline.on(Graph).through(reluTwice({}))
      const pipeline = Pipeline.on(Graph).through(Pipeline.branch({ a, b }))
      const [{ known, ledger }, events] = yield* build(pipeline, model([1, 2], [3, 4]))
      assert.strictEqual(
        events.filter(({ _tag, stage }) => _tag === "Start" && stage.endsWith("reluTwice@1")).length,
        1
      )
      assert.deepStrictEqual(
        ledger.map(({ stage }) => stage),
        ["a/reluTwice@1", "a/negateScale@1", "b/reluTwice@1"]
      )
      assert.deepStrictEqual(Object.keys(Pipeline.get(known, Variants)), ["a", "b"])
    }).pipe(Effect.provide([Store.layerMemory, TestOracle.layer]))
  )

  it.effect("composes as plain layers, and stale ranges are refused there too", () =>
    Effect.gen(function* () {
      const source = given(model([1, 2], [3, 4]))
      const graph = yield* Effect.provide(Graph, reluTwice({}).layer.pipe(Layer.provide(source)))
      assert.deepStrictEqual(
        graph.nodes.map(({ op }) => op.name),
        ["add", "mul", "relu", "relu"]
      )
      const ranges = Layer.succeed(Ranges, { measuredOn: "another", of: {} })
      const user = Stage.make({
        name: "user",
        version: 1,
        config: none,
        needs: [Graph, Ranges],
        output: Ranges,
        run: () => Ranges
      })
      const error = yield* Effect.flip(Effect.provide(Ranges, user({}).layer.pipe(Layer.provide([source, ranges]))))
      assert.strictEqual(error._tag, "StaleArtefact")
    }).pipe(Effect.provide(TestOracle.layer))
  )

  it.effect("transported ranges follow the values", () =>
    Effect.gen(function* () {
      const source = model([1, 2], [3, 4])
      const measure = Stage.make({
        name: "measure",
        version: 1,
        config: none,
        needs: [Graph],
        output: Ranges,
        run: () =>
          Effect.flatMap(Graph, (graph) =>
            Effect.map(Effect.orDie(Artefact.digestOf(Graph, graph)), (measuredOn) => ({
              measuredOn,
              of: { sum: { min: 0, max: 1 }, y: { min: 0, max: 2 } }
            }))
          )
      })
      const pipeline = Pipeline.on(Graph).through(measure({})).through(reluTwice({}))
      for (const expected of [
        ["Miss", "Miss"],
        ["Hit", "Hit"]
      ]) {
        const [{ known }, events] = yield* build(pipeline, source)
        assert.deepStrictEqual(
          events.filter(({ _tag }) => looks.includes(_tag)).map(({ _tag }) => _tag),
          expected
        )
        const [graph, ranges] = [Pipeline.get(known, Graph), Pipeline.get(known, Ranges)]
        assert.strictEqual(ranges.measuredOn, yield* Artefact.digestOf(Graph, graph))
        assert.deepStrictEqual(ranges.of, { [graph.outputs[0]?.id ?? ""]: { min: 0, max: 2 }, sum: { min: 0, max: 1 } })
      }
    }).pipe(Effect.provide([Store.layerMemory, TestOracle.layer]))
  )
})

class Count extends Artefact.make<Count>()("test/Count", Artefact.json(Schema.Finite)) {}

const calibrator = (name: string) =>
  Layer.succeed(
    Calibrator.Calibrator,
    Calibrator.make<number>({
      name,
      identity: { name, version: 1, config: {} },
      calibration: { empty: 0, observe: (n) => n + 1, merge: (a, b) => a + b, finish: (n) => ({ min: 0, max: n }) }
    })
  )
const sample = (value: number) => ({ x: f32([value, value]) })

describe("Stage", () => {
  const runs = { count: 0 }
  const count = Stage.make({
    name: "count",
    version: 1,
    config: Schema.Struct({ samples: Schema.Int }),
    needs: [Calibrator.Calibrator, Samples.Samples],
    output: Count,
    retry: Schedule.exponential("1 second").pipe(Schedule.upTo({ times: 3 })),
    run: ({ samples }) =>
      Effect.gen(function* () {
        runs.count++
        const all = yield* Samples.take(samples)
        yield* Progress.step("samples", all.length, samples)
        return all.length
      })
  })
  const get = (samples: Layer.Layer<Samples.Samples>, name = "minMax") =>
    Progress.collect(
      Effect.provide(Count, count({ samples: 2 }).layer.pipe(Layer.provide([calibrator(name), samples])))
    )

  it.effect("two calibrators, or one on other samples, never share an entry", () =>
    Effect.gen(function* () {
      const cases = [
        [get(Samples.layerArray([sample(1)])), "Miss"],
        [get(Samples.layerArray([sample(1)])), "Hit"],
        [get(Samples.layerArray([sample(2)])), "Miss"],
        [get(Samples.layerArray([sample(1)]), "entropy"), "Miss"]
      ] as const
      for (const [effect, expected] of cases) {
        const [, events] = yield* effect
        assert.deepStrictEqual(tags(events, looks), [`count@1 ${expected}`])
      }
    }).pipe(Effect.provide(Store.layerMemory))
  )

  it.effect("a service without identity is used, uncached, with the reason", () =>
    Effect.gen(function* () {
      const camera = Layer.succeed(Samples.Samples, { count: 1, stream: Stream.fromIterable([sample(1)]) })
      for (let round = 0; round < 2; round++) {
        const [, events] = yield* get(camera)
        const found = events.find(({ _tag }) => _tag === "Uncached")
        assert.strictEqual(found?._tag === "Uncached" ? found.reason : "", "@anneal/pipeline/Samples has no identity")
      }
    }).pipe(Effect.provide(Store.layerMemory))
  )

  it.effect("a source that drops out is tried again; another error is not", () =>
    Effect.gen(function* () {
      let drops = 2
      const flaky = (retryable: boolean) =>
        Samples.layerStream(
          Stream.suspend(() =>
            drops-- > 0
              ? Stream.fail(new Samples.SampleError({ detail: "the line dropped", retryable }))
              : Stream.fromIterable([sample(1)])
          )
        )
      const fiber = yield* Effect.forkChild(get(flaky(true)))
      yield* TestClock.adjust("1 minute")
      const [value, events] = yield* Fiber.join(fiber)
      assert.strictEqual(value, 1)
      assert.deepStrictEqual(
        events.flatMap((event) => (event._tag === "Retry" ? [event.attempt] : [])),
        [1, 2]
      )
      assert.strictEqual(events.find(({ _tag }) => _tag === "End")?.at, 3000)
      drops = 1
      const before = runs.count
      const error = yield* Effect.flip(get(flaky(false)))
      assert.strictEqual(error._tag, "SampleError")
      assert.strictEqual(runs.count, before + 1)
    })
  )

  it.effect("equal keys wait for the first", () =>
    Effect.gen(function* () {
      const started = { count: 0 }
      const release = yield* Deferred.make<void>()
      const slow = Stage.make({
        name: "slow",
        version: 1,
        config: none,
        needs: [],
        output: Count,
        run: () =>
          Effect.andThen(
            Effect.sync(() => ++started.count),
            Effect.as(Deferred.await(release), 7)
          )
      })
      const fibers = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(Effect.provide(Count, slow({}).layer)))
      yield* TestClock.adjust("1 second")
      // The first one goes away: the next takes its place.
      if (fibers[0] !== undefined) yield* Fiber.interrupt(fibers[0])
      yield* Deferred.succeed(release, undefined)
      const values = yield* Effect.forEach(fibers.slice(1), Fiber.join)
      assert.deepStrictEqual(values, [7, 7])
      assert.strictEqual(started.count, 2)
    }).pipe(Effect.provide(Store.layerMemory))
  )

  it.effect("interruption is prompt, told, and finished stages stay", () =>
    Effect.gen(function* () {
      const hang = Stage.make({
        name: "hang",
        version: 1,
        config: none,
        needs: [Count],
        output: Ranges,
        run: () => Effect.never
      })
      const one = Stage.make({
        name: "one",
        version: 1,
        config: none,
        needs: [],
        output: Count,
        run: () => Effect.succeed(1)
      })
      const pipeline = Pipeline.on().through(one({})).through(hang({}))
      const hub = yield* Progress.collect(
        Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(pipeline.build())
          yield* TestClock.adjust("5 seconds")
          yield* Fiber.interrupt(fiber)
          return yield* Fiber.await(fiber)
        })
      )
      assert.isTrue(Exit.isFailure(hub[0]))
      assert.deepStrictEqual(tags(hub[1], ["End", "Interrupted"]), ["one@1 End", "hang@1 Interrupted"])
      assert.deepStrictEqual(
        (yield* pipeline.explain()).map(({ status }) => status),
        ["hit", "miss"]
      )
    }).pipe(Effect.provide(Store.layerMemory))
  )

  it.effect("a store that is full costs the cache, not the build", () =>
    Effect.gen(function* () {
      const full = new Store.StoreError({ reason: "Full", operation: "write", path: "somewhere", detail: "" })
      const store = Object.assign(Store.makeMemory(), { setEntry: () => Effect.fail(full) })
      const one = Stage.make({
        name: "one",
        version: 1,
        config: none,
        needs: [],
        output: Count,
        run: () => Effect.succeed(1)
      })
      const [value, reports] = yield* Diagnostic.collect(
        Effect.map(
          Progress.collect(Effect.provide(Count, one({}).layer)),
          ([count, events]) => [count, events] as const
        )
      ).pipe(Effect.provideService(Store.Store, store))
      assert.strictEqual(value[0], 1)
      assert.deepStrictEqual(
        value[1].flatMap((event) => (event._tag === "Finding" ? [event.diagnostic.code] : [])),
        ["store-full"]
      )
      assert.deepStrictEqual(reports, [])
    })
  )

  it.effect("findings of a cached stage are told again", () =>
    Effect.gen(function* () {
      const warns = Stage.make({
        name: "warns",
        version: 1,
        config: none,
        needs: [],
        output: Count,
        run: () => Effect.as(Diagnostic.report({ severity: "warning", code: "few-samples", message: "only 3" }), 1)
      })
      const built = Ledger.collect(Effect.provide(Count, warns({}).layer))
      const [first, second] = [(yield* built)[1], (yield* built)[1]]
      assert.deepStrictEqual(
        first[0]?.diagnostics.map(({ code }) => code),
        ["few-samples"]
      )
      assert.deepStrictEqual(second, first)
      assert.isTrue(Option.isSome(Option.fromUndefinedOr(first[0]?.key)))
    }).pipe(Effect.provide(Store.layerMemory))
  )
})
