// Indices that a region computes: what is drawn for its operands keeps them inside what they index, so that kernels of such
// regions are checked, and found right.
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import * as Reference from "@anneal/reference/Reference"
import * as Compile from "@anneal/wasm/Compile"
import * as IndexRanges from "@anneal/wasm/measure/IndexRanges"
import * as Validation from "@anneal/wasm/measure/Validation"
import { expect, it } from "@effect/vitest"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import * as Effect from "effect/Effect"
import * as Heuristic from "../Heuristic.ts"

const rows = 34
const time = Dim.symbol("time")

const net = (make: (b: Builder.Builder, table: Value, ids: Value) => Value) => {
  const b = Builder.make("net")
  const table = b.tensor(Numbers.fromNumbers("f32", [rows, 4], new Float32Array(rows * 4).fill(1)), { name: "table" })
  b.output("y", make(b, table, b.input("ids", Type.make("i64", [2, time]))))
  return b.finish()
}

const number = (b: Builder.Builder, value: number) => b.tensor(Numbers.scalar("i64", value))

/** The kernels that were decided, all of them checked. */
const kernels = (graph: ReturnType<typeof net>) =>
  Effect.gen(function* () {
    const validate = yield* Validation.make()
    const { decisions } = yield* Compile.compile(graph, { validate }).pipe(Effect.provide(Heuristic.layer))
    return decisions.map(({ candidate }) => candidate.name)
  }).pipe(Effect.scoped, Effect.provide(Reference.layer()))

const cases: Readonly<Record<string, Parameters<typeof net>[0]>> = {
  "an offset": (b, table, ids) => b.one(Ops.gather, [table, b.one(Ops.add, [ids, number(b, 2)], {})], { axis: 0 }),
  "a factor and an offset": (b, table, ids) => {
    const doubled = b.one(Ops.mul, [ids, number(b, 2)], {})
    return b.one(Ops.gather, [table, b.one(Ops.add, [doubled, number(b, 1)], {})], { axis: 0 })
  },
  "positions by a mask": (b, table, mask) => {
    const counted = b.one(Ops.cumulativeSum, [mask], { axis: 1, exclusive: false, reverse: false })
    const masked = b.one(Ops.sub, [b.one(Ops.mul, [counted, mask], {}), number(b, 1)], {})
    return b.one(Ops.gather, [table, b.one(Ops.add, [masked, number(b, 2)], {})], { axis: 0 })
  },
  "a path down a tree, in one region": (b, table, ids) => {
    const column = b.one(Ops.slice, [b.one(Ops.gather, [table, ids], { axis: 0 })], {
      starts: [0, 0, 0],
      sizes: [2, time, 1],
      steps: [1, 1, 1]
    })
    const right = b.one(Ops.cast, [b.one(Ops.greater, [column, b.tensor(Numbers.scalar("f32", 0.5))], {})], {
      to: "i64",
      saturate: true
    })
    const flat = b.one(Ops.reshape, [right], { shape: [2, time] })
    const next = b.one(Ops.add, [b.one(Ops.mul, [ids, number(b, 2)], {}), flat], {})
    return b.one(Ops.reduceSum, [b.one(Ops.gather, [table, next], { axis: 0 })], { axes: [2], keepDims: false })
  },
  "rows and columns side by side": (b, table, ids) => {
    const part = b.one(Ops.reshape, [ids], { shape: [2, time, 1] })
    return b.one(Ops.gatherNd, [table, b.one(Ops.concat, [part, part], { axis: 2 })], { batchDims: 0 })
  },
  "a scatter": (b, _table, ids) => {
    const x = b.one(Ops.expand, [b.tensor(Numbers.scalar("f32", 0))], { shape: [2, time] })
    const some = b.one(Ops.cast, [ids], { to: "f32", saturate: true })
    return b.one(Ops.scatterElements, [x, ids, some], { axis: 1, reduction: "none" })
  }
}

for (const [title, make] of Object.entries(cases))
  it.live(`kernels are checked on indices that fit: ${title}`, () =>
    Effect.gen(function* () {
      expect((yield* kernels(net(make))).length).toBeGreaterThan(0)
    })
  )

it("the greatest operand is found that keeps an index inside", () => {
  const ids = Scalars.load(1, "i64")
  const index: Scalar = {
    kind: "binary",
    op: "add",
    dtype: "i64",
    a: { kind: "binary", op: "mul", dtype: "i64", a: ids, b: Scalars.constant("i64", 2n) },
    b: Scalars.constant("i64", 1n)
  }
  const value: Scalar = { kind: "load", dtype: "f32", operand: 0, indirect: [{ index, extent: rows, stride: 4 }] }
  const view = { buffer: "y", dtype: "f32" as const, shape: [2, 5, 4], offset: 0, strides: [20, 4, 1] }
  const region = {
    kind: "loop" as const,
    id: "y",
    members: [],
    domain: [2, 5, 4],
    operands: [],
    results: [{ view, value }]
  }
  const size = (dim: Dim.Dim): number => Dim.evaluate(dim, new Map()) ?? NaN
  expect([...IndexRanges.of(region, [value], 0, size)]).toEqual([[1, { least: 0, greatest: 16 }]])
})
