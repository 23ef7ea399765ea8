// Built-in ops keep the laws; each op that breaks one is caught by that law.
import { assert, describe, it } from "@effect/vitest"
import * as Numbers from "@anneal/ir/Numbers"
import * as Op from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Tensor from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"
import * as Kernel from "@anneal/reference/Kernel"
import * as OpLaws from "@anneal/testing/OpLaws"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const f32 = (...shape: ReadonlyArray<number>): Type.TensorType => Type.make("f32", shape)

/** x², with whatever a test changes. */
const square = (changes: Partial<Op.OpDefinition<{}>> = {}): Op.OpDefinition<{}> =>
  Op.define({
    name: "square",
    summary: "x · x",
    attributes: Op.NoAttributes,
    operands: [{ name: "x" }],
    error: { kind: "elementwise", ulps: 0.5, slope: (_, [x = 0], [error = 0]) => 2 * Math.abs(x) + error },
    infer: ({ input }) => [input(0)],
    ...changes
  })
const kernelOf = (op: Op.OpDefinition<{}>, f: (x: number) => number = (x) => x * x) =>
  Kernel.define(op, (call) => [
    Numbers.fromNumbers(call.input(0).dtype, call.input(0).shape, Numbers.toNumbers(call.input(0)).map(f))
  ])
const cases: ReadonlyArray<OpLaws.Case<{}>> = [
  { operands: [f32(2, 3)], attributes: {} },
  { operands: [f32()], attributes: {} }
]
const laws = (op: Op.OpDefinition<{}>, kernel: Kernel.Entry = kernelOf(op)) =>
  Effect.map(Effect.flip(OpLaws.check(op, { cases, kernels: [kernel] })), (error) => {
    return error.breaches.map(({ law }) => law)
  })

describe("OpLaws", () => {
  it.live("an op of a plug-in keeps them", () =>
    Effect.gen(function* () {
      const op = square()
      const report = yield* OpLaws.check(op, { cases, kernels: [kernelOf(op)] })
      assert.deepStrictEqual(report, { cases: 2, bounded: 1 })
    })
  )

  it.live("so do built-in ones of every kind", () =>
    Effect.gen(function* () {
      yield* OpLaws.check(Ops.exp, { cases })
      yield* OpLaws.check(Ops.div, { cases: [{ operands: [f32(2, 3), f32(3)], attributes: {} }] })
      yield* OpLaws.check(Ops.add, {
        cases: [
          { operands: [f32(2, 3), f32(3)], attributes: {} },
          { operands: [Type.make("i32", [4]), Type.make("i32", [4])], attributes: {} }
        ]
      })
      yield* OpLaws.check(Ops.matmul, { cases: [{ operands: [f32(2, 3), f32(3, 4)], attributes: {} }] })
      yield* OpLaws.check(Ops.softmax, { cases: [{ operands: [f32(2, 5)], attributes: { axis: 1 } }] })
      yield* OpLaws.check(Ops.layerNorm, {
        cases: [{ operands: [f32(2, 4), f32(4), undefined], attributes: { axis: 1, epsilon: 1e-3 } }]
      })
      yield* OpLaws.check(Ops.reduceMax, {
        cases: [{ operands: [f32(2, 3)], attributes: { axes: [1], keepDims: false } }]
      })
      yield* OpLaws.check(Ops.argMax, {
        cases: [{ operands: [f32(2, 3)], attributes: { axis: 1, keepDims: true, select: "first" } }]
      })
      yield* OpLaws.check(Ops.gather, {
        cases: [{ operands: [f32(4, 2), Type.make("i64", [3])], attributes: { axis: 0 } }]
      })
      const window = { strides: [1], padsBegin: [1], padsEnd: [1], dilations: [1] }
      yield* OpLaws.check(Ops.conv, {
        cases: [{ operands: [f32(1, 2, 5), f32(4, 1, 3), f32(4)], attributes: { ...window, groups: 2 } }]
      })
    })
  )

  it.live("a slope that is too small, or forgotten, is caught", () =>
    Effect.gen(function* () {
      const small = square({ error: { kind: "elementwise", ulps: 0.5, slope: (_, [x = 0]) => Math.abs(x) } })
      assert.deepStrictEqual(yield* laws(small), ["error bound"])
      const none = square({ error: { kind: "elementwise", ulps: 0.5, slope: () => 0 } })
      assert.deepStrictEqual(yield* laws(none), ["error bound"])
      const silent = square({ error: { kind: "elementwise", ulps: 0.5, slope: () => Infinity } })
      assert.deepStrictEqual(yield* laws(silent), ["error bound"])
    })
  )

  it.live("a kernel of another type, of chance, or that writes into its operand is caught", () =>
    Effect.gen(function* () {
      const op = square()
      const f64 = Kernel.define(op, (call) => [
        Numbers.fromNumbers("f64", call.input(0).shape, Numbers.toNumbers(call.input(0)))
      ])
      assert.include(yield* laws(op, f64), "kernel")
      let calls = 0
      assert.include(
        yield* laws(
          op,
          kernelOf(op, (x) => x * x + calls++)
        ),
        "kernel"
      )
      const writing = Kernel.define(op, (call) => {
        const { data, dtype, shape } = call.input(0)
        const result = Tensor.make(dtype, shape, data.slice())
        data[0] = 7
        return [result]
      })
      assert.include(yield* laws(op, writing), "kernel")
      assert.deepStrictEqual(yield* laws(op, kernelOf(square({ name: "another" }))), ["kernel"])
    })
  )

  it.live("an expansion of another type is caught", () =>
    Effect.gen(function* () {
      const op = square({
        error: { kind: "expansion" },
        expand: (b, [x]) => [b.one(Ops.cast, [x], { to: "f64", saturate: false })]
      })
      assert.include(yield* laws(op), "expansion")
    })
  )

  it.live("inference that throws, refuses a valid case, or changes its mind is caught", () =>
    Effect.gen(function* () {
      const throwing = square({
        infer: ({ input }) => {
          if (input(0).shape.length === 3) throw new TypeError("no third axis")
          return [input(0)]
        }
      })
      assert.deepStrictEqual(yield* laws(throwing), ["inference"])
      assert.deepStrictEqual(yield* laws(square({ infer: ({ fail }) => fail("takes nothing") })), ["inference"])
      let calls = 0
      const fickle = square({ infer: ({ input }) => [Type.make(calls++ % 2 === 0 ? "f32" : "f64", input(0).shape)] })
      assert.include(yield* laws(fickle), "inference")
      assert.include(yield* laws(square({ domain: () => ({ kind: "range", min: 1, max: 0 }) })), "domain")
    })
  )

  it.live("attributes that do not come back, and a false claim to commute, are caught", () =>
    Effect.gen(function* () {
      const op = Op.define({
        name: "shift",
        summary: "x + by",
        attributes: Schema.Struct({ by: Schema.Int }),
        operands: [{ name: "x" }],
        error: { kind: "elementwise", ulps: 0.5, slope: () => 1 },
        infer: ({ input }) => [input(0)]
      })
      const kernel = Kernel.define(op, (call) => [call.input(0)])
      const wrong = yield* Effect.flip(
        OpLaws.check(op, { cases: [{ operands: [f32(2)], attributes: { by: 0.5 } }], kernels: [kernel] })
      )
      assert.include(wrong.message, "attributes")
      const minus = { ...Ops.sub, name: "minus", commutative: true }
      const subtract = Kernel.define(minus, (call) => {
        const [a, b] = [Numbers.toNumbers(call.input(0)), Numbers.toNumbers(call.input(1))]
        return [
          Numbers.fromNumbers(
            call.input(0).dtype,
            call.input(0).shape,
            a.map((x, i) => x - (b[i] ?? 0))
          )
        ]
      })
      const error = yield* Effect.flip(
        OpLaws.check(minus, { cases: [{ operands: [f32(3), f32(3)], attributes: {} }], kernels: [subtract] })
      )
      assert.include(error.message, "commutative: swapped operands")
    })
  )

  it.live("without cases there is nothing to believe", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(OpLaws.check(square(), { cases: [] }))
      assert.include(error.message, "give cases")
    })
  )
})
