import { assert, describe, it } from "@effect/vitest"
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type { Graph } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import { f32, graphOf, runAll, runCells, tensor, values } from "../OneNode.ts"

const vector = Type.make("f32", [2])
const flag = Type.scalar("bool")
const counter = Type.scalar("i64")

const unaryGraph = (name: string, op: typeof Ops.neg): Graph => {
  const b = Builder.make(name)
  b.output("y", b.one(op, [b.input("x", vector)], {}))
  return b.finish()
}

describe("if", () => {
  const [yes = "", no = ""] = Ops.branch.graphs ?? []
  const graphs = Object.fromEntries([
    [yes, unaryGraph("yes", Ops.neg)],
    [no, unaryGraph("no", Ops.abs)]
  ])
  it("runs one branch", () => {
    const x = f32([2], [1, -2])
    assert.deepStrictEqual(values(runAll(Ops.branch, [tensor("bool", [], [1]), x], {}, graphs)[0]), [-1, 2])
    assert.deepStrictEqual(values(runAll(Ops.branch, [tensor("bool", [], [0]), x], {}, graphs)[0]), [1, 2])
  })
  it("is undecided where its condition is", () => {
    const inputs = [tensor("bool", [], [1]), f32([2], [1, -2])]
    const graph = graphOf(Ops.branch, inputs, {}, graphs)
    const bounds = [Float64Array.of(1), undefined]
    const cells = inputs.map((input, i) => ({ tensor: input, bound: bounds[i] }))
    assert.deepStrictEqual([...(runCells(graph, cells, "oracle")[0]?.bound ?? [])], [Infinity, Infinity])
  })
})

/** Doubles what it carries while the count is below three; scans the carried value. */
const doubling = (): Graph => {
  const b = Builder.make("body")
  const iteration = b.input("i", counter)
  b.input("condition", flag)
  const x = b.input("x", vector)
  const next = b.one(Ops.add, [x, x], {})
  b.output("go", b.one(Ops.less, [iteration, b.tensor(Numbers.scalar("i64", 2))], {}))
  b.output("x", next)
  b.output("seen", next)
  return b.finish()
}

describe("loop", () => {
  const x = f32([2], [1, 10])
  it("stops by its condition, or by the number of trips", () => {
    const free = runAll(Ops.loop, [undefined, undefined, x], { carried: 1 }, { body: doubling() })
    assert.deepStrictEqual(free.map(values), [
      [8, 80],
      [2, 20, 4, 40, 8, 80]
    ])
    assert.deepStrictEqual(free[1]?.shape, [3, 2])
    const once = runAll(Ops.loop, [tensor("i64", [], [1]), undefined, x], { carried: 1 }, { body: doubling() })
    assert.deepStrictEqual(once.map(values), [
      [2, 20],
      [2, 20]
    ])
  })
  it("may run not at all", () => {
    const none = runAll(Ops.loop, [undefined, tensor("bool", [], [0]), x], { carried: 1 }, { body: doubling() })
    assert.deepStrictEqual(none.map(values), [[1, 10], []])
    assert.deepStrictEqual(none[1]?.shape, [0, 2])
  })
  it("carries bounds from trip to trip", () => {
    const graph = graphOf(Ops.loop, [undefined, undefined, x], { carried: 1 }, { body: doubling() })
    const [last] = runCells(graph, [{ tensor: x, bound: Float64Array.of(0.5, 0) }], "oracle")
    assert.isAtLeast(last?.bound?.[0] ?? 0, 4)
    assert.isAtMost(last?.bound?.[0] ?? 0, 4.001)
    assert.isAtMost(last?.bound?.[1] ?? 1, 1e-4)
  })
  it("lets a carried value grow, whose size is a symbol of the body's own", () => {
    const b = Builder.make("body")
    b.input("i", counter)
    const go = b.input("condition", flag)
    const list = b.input("list", Type.make("f32", [Dim.symbol("length")]))
    b.output("go", b.one(Ops.not, [b.one(Ops.not, [go], {})], {}))
    b.output("list", b.one(Ops.concat, [list, b.tensor(f32([1], [7]))], { axis: 0 }))
    const [grown] = runAll(
      Ops.loop,
      [tensor("i64", [], [3]), undefined, f32([1], [1])],
      { carried: 1 },
      { body: b.finish() }
    )
    assert.deepStrictEqual(values(grown), [1, 7, 7, 7])
  })
})

describe("scan", () => {
  it("takes slices forwards or backwards, and stacks along any axis", () => {
    const b = Builder.make("body")
    const total = b.one(Ops.add, [b.input("total", vector), b.input("x", vector)], {})
    b.output("total", total)
    b.output("seen", b.one(Ops.neg, [total], {}))
    const body = b.finish()
    const rows = f32([3, 2], [1, 2, 3, 4, 5, 6])
    const scan = (inputReverse: boolean, outputAxis: number, outputReverse: boolean) =>
      runAll(
        Ops.scan,
        [f32([2], [0, 0]), rows],
        {
          carried: 1,
          scanned: 1,
          inputAxes: [0],
          inputReverse: [inputReverse],
          outputAxes: [outputAxis],
          outputReverse: [outputReverse]
        },
        { body }
      ).map(values)
    assert.deepStrictEqual(scan(false, 0, false), [
      [9, 12],
      [-1, -2, -4, -6, -9, -12]
    ])
    assert.deepStrictEqual(scan(true, 1, false)[1], [-5, -8, -9, -6, -10, -12])
    assert.deepStrictEqual(scan(false, -1, true)[1], [-9, -4, -1, -12, -6, -2])
  })
})
