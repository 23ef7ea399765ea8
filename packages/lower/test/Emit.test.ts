// Counting is an expression, not memory: where a reader needs memory after all, it is written out.
import * as Builder from "@anneal/ir/Builder"
import * as Constants from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import type { Graph, Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import { assert, describe, it } from "@effect/vitest"
import { difference, planned } from "./Agreement.ts"

const graphOf = (make: (b: Builder.Builder, n: Dim.Dim, x: Value) => Value): Graph => {
  const b = Builder.make("counting")
  const n = Dim.symbol("n")
  const x = b.input("x", { dtype: "i64", shape: [n] })
  b.output("y", make(b, n, x))
  return b.finish()
}

const agrees = (make: Parameters<typeof graphOf>[0]) => {
  const graph = graphOf(make)
  const inputs = [Numbers.fromNumbers("i64", [6], [10, 20, 30, 40, 50, 60])]
  assert.isUndefined(difference(graph, inputs))
  assert.isUndefined(difference(graph, inputs, { fixed: new Map([["n", 6]]) }))
}

describe("copies of constants", () => {
  it("are made in each run where sizes decide what they hold", () => {
    const product = (b: Builder.Builder, n: Dim.Dim, x: Value): Value => {
      const constant = b.constant(Constants.fromTensor(Numbers.fromNumbers("i64", [2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8])))
      const wide = b.one(Ops.expand, [b.one(Ops.reshape, [constant], { shape: [1, 2, 2, 2] })], { shape: [n, 2, 2, 2] })
      const table = b.one(Ops.reshape, [wide], { shape: [Dim.mul(n, 2), 2, 2] })
      const rows = b.one(Ops.concat, [x, x, x, x], { axis: 0 })
      return b.one(Ops.matmul, [b.one(Ops.reshape, [rows], { shape: [Dim.mul(n, 2), 1, 2] }), table], {})
    }
    agrees(product)
    assert.deepStrictEqual(planned(graphOf(product)).prepare, [])
  })
})

const counted = (b: Builder.Builder, n: Dim.Dim): Value => b.one(Ops.iota, [], { size: n, dtype: "i64" })
const columns = (b: Builder.Builder, n: Dim.Dim, x: Value): Value => {
  const rows = b.one(Ops.reshape, [x], { shape: [Dim.floorDiv(n, 3), 3] })
  return b.one(Ops.transpose, [rows], { permutation: [1, 0] })
}

describe("counting", () => {
  it("is a part of a concat, moved or not", () => {
    agrees((b, n, x) => b.one(Ops.concat, [counted(b, n), x], { axis: 0 }))
    agrees((b, n, x) => {
      const column = (value: Value): Value => b.one(Ops.reshape, [value], { shape: [n, 1] })
      return b.one(Ops.concat, [column(counted(b, n)), column(x)], { axis: 1 })
    })
    agrees((b, n, x) => b.one(Ops.concat, [columns(b, n, counted(b, n)), columns(b, n, x)], { axis: 0 }))
  })

  it("is padded", () => {
    agrees((b, n, x) => {
      const padded = b.one(Ops.pad, [counted(b, n), undefined], { before: [2], after: [1], mode: "constant" })
      const sum = b.one(Ops.reduceSum, [padded], { axes: [0], keepDims: true })
      return b.one(Ops.add, [x, sum], {})
    })
  })

  it("is read where strides cannot say how it was moved", () => {
    const turned = (b: Builder.Builder, n: Dim.Dim): Value =>
      b.one(Ops.reshape, [columns(b, n, counted(b, n))], { shape: [n] })
    agrees((b, n, x) => b.one(Ops.add, [turned(b, n), x], {}))
    agrees((b, n, x) => b.one(Ops.concat, [turned(b, n), x], { axis: 0 }))
    agrees((b, n, x) => b.one(Ops.reduceMax, [b.one(Ops.mul, [turned(b, n), x], {})], { axes: [0], keepDims: true }))
  })
})
