import { assert, describe, it } from "@effect/vitest"
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type { Graph } from "@anneal/ir/Graph"
import * as Hash from "@anneal/ir/Digest"
import * as Op from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Tensors from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as Kernel from "@anneal/reference/Kernel"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { draws, f32, tensor, values } from "./OneNode.ts"

const [n, m] = [Dim.symbol("n"), Dim.symbol("m")]

/** softmax(x · w) and the positions of the positive elements of x. */
const model = (): Graph => {
  const b = Builder.make("model")
  const x = b.input("x", Type.make("f32", [n, 3]))
  const w = b.tensor(f32([3, 4], draws(12, 5)), { id: "w" })
  const logits = b.one(Ops.matmul, [x, w], {}, { ids: ["logits"] })
  b.output("y", b.one(Ops.softmax, [logits], { axis: -1 }, { ids: ["y"] }))
  const mask = b.one(Ops.greater, [x, b.tensor(f32([], [0]))], {}, { ids: ["mask"] })
  b.output("at", b.one(Ops.nonZero, [mask], {}, { ids: ["at"] }))
  return b.finish()
}

const oracle = Reference.make()

describe("run", () => {
  it.effect("binds symbols from the inputs, and from the data", () =>
    Effect.gen(function* () {
      const [y, at] = yield* oracle.run(model(), [f32([2, 3], [1, -1, 0, 0.5, 2, -3])])
      assert.deepStrictEqual(y?.shape, [2, 4])
      const sums = [0, 1].map((row) =>
        values(y)
          .slice(row * 4, row * 4 + 4)
          .reduce((a, b) => a + b, 0)
      )
      for (const sum of sums) assert.closeTo(sum, 1, 1e-6)
      assert.deepStrictEqual(at?.shape, [2, 3])
      assert.deepStrictEqual(values(at), [0, 1, 1, 0, 0, 1])
    })
  )

  it.effect("gives the same bits each time, and these", () =>
    Effect.gen(function* () {
      const inputs = [f32([8, 3], draws(24, 6))]
      const digest = (tensors: ReadonlyArray<Tensors.Tensor>): string =>
        Hash.sha256(Buffer.concat(tensors.map((result) => Tensors.toBytes(result))))
      const first = digest(yield* oracle.run(model(), inputs))
      const second = digest(yield* Reference.make().run(model(), inputs))
      assert.strictEqual(second, first)
      // All arithmetic is IEEE 754's and all functions are our own: any engine gives this digest.
      assert.strictEqual(first, "be55ab6927b4263da8a6a04c82b46a49c4a3e9e13cbd8030afdb6bccc1c7e4b2")
    })
  )

  it.effect("draws random tensors from the node's seed and the run's", () =>
    Effect.gen(function* () {
      const b = Builder.make("random")
      b.output("y", b.one(Ops.randomNormal, [], { shape: [4], dtype: "f32", seed: 7 }))
      const graph = b.finish()
      const run = (seed: number) => Effect.map(oracle.run(graph, [], { seed }), ([y]) => values(y))
      assert.deepStrictEqual(yield* run(0), yield* run(0))
      assert.notDeepEqual(yield* run(0), yield* run(1))
    })
  )

  it.effect("shows every value once it is known", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      yield* oracle.observe(
        model(),
        [f32([1, 3], [1, 2, 3])],
        (id, value) => void seen.push(`${id}[${value.shape.join()}]`)
      )
      assert.deepStrictEqual(seen, ["x[1,3]", "logits[1,4]", "y[1,4]", "mask[1,3]", "at[2,3]"])
    })
  )

  it.effect("gives bounds beside the results", () =>
    Effect.gen(function* () {
      const inputs = [f32([2, 3], draws(6, 9))]
      const { bounds, outputs } = yield* oracle.runWithBounds(model(), inputs)
      assert.deepStrictEqual(outputs.map(values), (yield* oracle.run(model(), inputs)).map(values))
      assert.strictEqual(bounds[0]?.length, 8)
      assert.isTrue(bounds[0]?.every((bound) => bound > 0 && bound < 1e-6))
      assert.isTrue(bounds[1]?.every((bound) => bound === 0))
    })
  )

  it.effect("runs a composite as its expansion, at each shape anew", () =>
    Effect.gen(function* () {
      const graph = model()
      for (const rows of [1, 3, 2]) {
        const [y] = yield* oracle.run(graph, [f32([rows, 3], draws(rows * 3, rows))])
        assert.deepStrictEqual(y?.shape, [rows, 4])
      }
    })
  )

  it.effect("names dims that are data, which later shapes use", () =>
    Effect.gen(function* () {
      const b = Builder.make("dims")
      const size = b.input("size", Type.make("i64", [1]))
      const u0 = b.names.unbacked()
      b.node(Ops.readDims, [size], { symbols: [u0] })
      b.output("y", b.one(Ops.iota, [], { size: Dim.add(u0, 1), dtype: "f32" }))
      const graph = b.finish()
      const [y] = yield* oracle.run(graph, [tensor("i64", [1], [3])])
      assert.deepStrictEqual(values(y), [0, 1, 2, 3])
      const error = yield* Effect.flip(oracle.run(graph, [tensor("i64", [1], [-1])]))
      assert.strictEqual(error.reason, "Kernel")
      assert.match(error.message, /readDims.*element 0 is -1/)
    })
  )
})

describe("failures", () => {
  it.effect("say which input is wrong", () =>
    Effect.gen(function* () {
      const wrong = yield* Effect.flip(oracle.run(model(), [f32([2, 4], draws(8))]))
      assert.strictEqual(wrong.reason, "WrongInput")
      assert.match(wrong.message, /input x: axis 1 is 4, expected 3/)
      const missing = yield* Effect.flip(oracle.run(model(), []))
      assert.match(missing.message, /input x is missing/)
      const dtype = yield* Effect.flip(oracle.run(model(), [tensor("f64", [1, 3], [1, 2, 3])]))
      assert.match(dtype.message, /input x is f64\[1, 3\], expected f32\[n, 3\]/)
    })
  )

  it.effect("name a constraint that does not hold", () =>
    Effect.gen(function* () {
      const b = Builder.make("constrained")
      const sum = b.one(Ops.add, [b.input("x", Type.make("f32", [n])), b.input("y", Type.make("f32", [m]))], {})
      b.output("z", sum)
      const error = yield* Effect.flip(oracle.run(b.finish(), [f32([2], [1, 2]), f32([3], [1, 2, 3])]))
      assert.strictEqual(error.reason, "Constraint")
      assert.match(error.message, /n = 2 is not m = 3/)
    })
  )

  it.effect("ask for the kernel of an op that has none", () =>
    Effect.gen(function* () {
      const graph = squareGraph()
      const error = yield* Effect.flip(oracle.run(graph, [f32([2], [2, 3])]))
      assert.strictEqual(error.reason, "NoKernel")
      assert.match(error.message, /op square has neither a kernel nor an expansion/)
    })
  )
})

const square = Op.define({
  name: "square",
  summary: "x²",
  attributes: Op.NoAttributes,
  operands: [{ name: "x" }],
  error: { kind: "elementwise", ulps: 0.5, slope: (_, [x = 0], [e = 0]) => 2 * (Math.abs(x) + e) },
  infer: ({ input }) => [input(0)]
})

const squareGraph = (): Graph => {
  const b = Builder.make("plug-in")
  b.output("y", b.one(square, [b.input("x", Type.make("f32", [2]))], {}))
  return b.finish()
}

const squareKernel = Kernel.define(square, (call) => {
  const x = call.input(0)
  return [
    f32(
      x.shape,
      values(x).map((value) => value * value)
    )
  ]
})

describe("the layer", () => {
  it.effect("takes a plug-in's kernel, whose rule gives its bounds", () =>
    Effect.gen(function* () {
      const { identity, run, runWithBounds } = yield* Oracle
      const [y] = yield* run(squareGraph(), [f32([2], [2, 3])])
      assert.deepStrictEqual(values(y), [4, 9])
      const { bounds } = yield* runWithBounds(squareGraph(), [f32([2], [2, 3])])
      assert.isTrue(bounds[0]?.every((bound) => bound > 0 && bound < 1e-6))
      assert.isUndefined(identity, "code without a version is never cached")
    }).pipe(Effect.provide(Reference.layer({ kernels: [squareKernel] })))
  )

  it("says who it is", () => {
    assert.deepStrictEqual(Reference.make().identity, {
      name: "reference",
      version: Reference.version,
      config: { accumulator: "oracle" }
    })
    assert.deepStrictEqual(Reference.make({ kernels: [squareKernel], kernelsVersion: "2" }).identity?.config, {
      accumulator: "oracle",
      kernels: ["square"],
      kernelsVersion: "2"
    })
  })

  it.effect("lets a kernel bring its own bounds, or says nothing of its floats", () =>
    Effect.gen(function* () {
      const own = Op.define({ ...square, name: "ownSquare", error: { kind: "run" } })
      const b = Builder.make("own")
      b.output("y", b.one(own, [b.input("x", Type.make("f32", [2]))], {}))
      const graph = b.finish()
      const squared = (x: Tensors.Tensor) =>
        f32(
          x.shape,
          values(x).map((value) => value * value)
        )
      const silent = Kernel.define(own, (call) => [squared(call.input(0))])
      const telling = Kernel.define(
        own,
        (call) => [squared(call.input(0))],
        (call) => [{ tensor: squared(call.input(0)), bound: Float64Array.of(0.25, 0.5) }]
      )
      const inputs = [f32([2], [2, 3])]
      const nothing = yield* Reference.make({ kernels: [silent] }).runWithBounds(graph, inputs)
      assert.deepStrictEqual([...(nothing.bounds[0] ?? [])], [Infinity, Infinity])
      const told = yield* Reference.make({ kernels: [telling] }).runWithBounds(graph, inputs)
      assert.deepStrictEqual([...(told.bounds[0] ?? [])], [0.25, 0.5])
    })
  )

  it.live("can be interrupted in the middle of a run", () =>
    Effect.gen(function* () {
      const b = Builder.make("endless")
      const body = Builder.make("body")
      body.input("i", Type.scalar("i64"))
      const go = body.input("condition", Type.scalar("bool"))
      body.output("go", body.one(Ops.not, [body.one(Ops.not, [go], {})], {}))
      body.output("x", body.one(Ops.neg, [body.input("x", Type.make("f32", [2]))], {}))
      const graphs = { body: body.finish() }
      const x = b.input("x", Type.make("f32", [2]))
      const [last] = b.node(Ops.loop, [undefined, undefined, x], { carried: 1 }, { graphs })
      assert.isDefined(last)
      if (last !== undefined) b.output("y", last)
      const fiber = yield* Effect.forkChild(oracle.run(b.finish(), [f32([2], [1, 2])]))
      yield* Effect.sleep("20 millis")
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
    })
  )
})
