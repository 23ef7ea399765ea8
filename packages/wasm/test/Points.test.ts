// For which sizes programs are made: batch 1 and any, profiles' optima and ranges, and what constraints say of the rest.
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type { Graph } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import * as Points from "@anneal/wasm/Points"
import { expect, it } from "@effect/vitest"

const graphOf = (...shapes: ReadonlyArray<ReadonlyArray<Dim.Dim>>): Graph => {
  const b = Builder.make("net")
  for (const [place, shape] of shapes.entries())
    b.output(`y${place}`, b.one(Ops.relu, [b.input(`x${place}`, Type.make("f32", shape))], {}))
  return b.finish()
}

const shown = (points: ReadonlyArray<Points.Point>) =>
  points.map(({ fixed, typical }) => [Object.fromEntries(fixed), Object.fromEntries(typical)])

const [batch, length, other] = [Dim.symbol("batch"), Dim.symbol("length"), Dim.symbol("other")]

it("a graph of known sizes has one point", () => {
  expect(shown(Points.points(graphOf([2, 3]), []))).toEqual([[{}, {}]])
})

it("without a profile: batch 1, and any", () => {
  expect(shown(Points.points(graphOf([batch, length]), []))).toEqual([
    [{ batch: 1 }, { length: 64 }],
    [{}, { batch: 4, length: 64 }]
  ])
})

it("a profile: its optimum, and its range; one value is a constant", () => {
  const dims = { batch: { min: 1, opt: 8, max: 16 }, length: { min: 5, opt: 5, max: 5 } }
  expect(shown(Points.points(graphOf([batch, length]), [{ name: "p", dims }]))).toEqual([
    [{ batch: 8, length: 5 }, {}],
    [{ length: 5 }, { batch: 8 }]
  ])
})

it("constraints decide other sizes", () => {
  const graph: Graph = {
    ...graphOf([batch, 3], [2, other, 4]),
    constraints: [{ left: other, right: Dim.mul(2, batch), what: "rows" }]
  }
  expect(shown(Points.points(graph, []))).toEqual([
    [{ batch: 1, other: 2 }, {}],
    [{}, { batch: 4, other: 8 }]
  ])
})

it("guesses are sizes that the constraints allow", () => {
  const frames = Dim.floorDiv(Dim.add(length, 64), 256)
  const graph: Graph = { ...graphOf([batch, length]), constraints: [{ left: frames, right: 2, what: "frames" }] }
  expect(shown(Points.points(graph, []))).toEqual([
    [{ batch: 1 }, { length: 512 }],
    [{}, { batch: 4, length: 512 }]
  ])
})

it("guesses are sizes at which every value has elements", () => {
  const frames = Dim.add(Dim.floorDiv(Dim.add(length, -512), 160), 1)
  const b = Builder.make("net")
  const x = b.input("x", Type.make("f32", [batch, length]))
  b.output("y", b.one(Ops.slice, [x], { starts: [0, 0], sizes: [batch, frames], steps: [1, 1] }))
  expect(shown(Points.points(b.finish(), []))).toEqual([
    [{ batch: 1 }, { length: 512 }],
    [{}, { batch: 4, length: 512 }]
  ])
})

it("guesses are positions that a table has, of what is past and what is new together", () => {
  const [past, tokens] = [Dim.symbol("past"), Dim.symbol("tokens")]
  const b = Builder.make("net")
  const table = b.tensor(Numbers.fromNumbers("f32", [40, 2], new Float32Array(80)), { name: "table" })
  const cache = b.input("cache", Type.make("f32", [2, past]))
  b.input("ids", Type.make("i64", [2, tokens]))
  const counted = b.one(Ops.iota, [], { size: tokens, dtype: "i64" })
  const offset = b.one(Ops.sizes, [], { values: [past], scalar: true })
  const places = b.one(Ops.reshape, [b.one(Ops.add, [counted, offset], {})], { shape: [1, tokens] })
  b.output("y", b.one(Ops.gather, [table, places], { axis: 0 }))
  b.output("kept", b.one(Ops.relu, [cache], {}))
  expect(shown(Points.points(b.finish(), []))).toEqual([[{}, { past: 16, tokens: 16 }]])
})

it("of positions that begin where an input says, only the count is known", () => {
  const b = Builder.make("net")
  const table = b.tensor(Numbers.fromNumbers("f32", [40, 2], new Float32Array(80)), { name: "table" })
  b.input("ids", Type.make("i64", [2, length]))
  const start = b.input("start", Type.make("i64", []))
  const places = b.one(Ops.add, [b.one(Ops.iota, [], { size: length, dtype: "i64" }), start], {})
  b.output("y", b.one(Ops.gather, [table, places], { axis: 0 }))
  expect(shown(Points.points(b.finish(), []))).toEqual([[{}, { length: 32 }]])
})

const counted = (b: Builder.Builder, size: Dim.Dim, shape: ReadonlyArray<Dim.Dim>) =>
  b.one(Ops.reshape, [b.one(Ops.iota, [], { size, dtype: "i64" })], { shape })

it("guesses are rows and columns that another input has: positions in several axes", () => {
  const b = Builder.make("mask")
  const [rows, columns] = [Dim.symbol("rows"), Dim.symbol("columns")]
  b.output("y", b.one(Ops.relu, [b.input("x", Type.make("f32", [batch, length]))], {}))
  const mask = b.input("mask", Type.make("bool", [rows, columns]))
  const shape = [batch, length, 1]
  const parts = [counted(b, batch, [batch, 1, 1]), counted(b, length, [1, length, 1])].map((part) =>
    b.one(Ops.expand, [part], { shape })
  )
  const places = b.one(Ops.concat, parts, { axis: 2 })
  b.output("kept", b.one(Ops.gatherNd, [mask, places], { batchDims: 0 }))
  for (const { fixed, typical } of Points.points(b.finish(), [])) {
    const at = (name: string): number => fixed.get(name) ?? typical.get(name) ?? 0
    expect([at("rows") >= at("batch"), at("columns") >= at("length")]).toEqual([true, true])
  }
})

it("guesses are positions in a mask that is one row: a row's number times a row's length, and a place", () => {
  const b = Builder.make("flat mask")
  const [rows, columns] = [Dim.symbol("rows"), Dim.symbol("columns")]
  b.output("y", b.one(Ops.relu, [b.input("x", Type.make("f32", [batch, length]))], {}))
  const mask = b.input("mask", Type.make("bool", [rows, columns]))
  const flat = b.one(Ops.reshape, [mask], { shape: [Dim.mul(rows, columns)] })
  const row = b.one(
    Ops.mul,
    [counted(b, batch, [batch, 1]), b.one(Ops.sizes, [], { values: [length], scalar: true })],
    {}
  )
  const place = b.one(Ops.add, [row, counted(b, length, [1, length])], {})
  b.output("kept", b.one(Ops.gather, [flat, place], { axis: 0 }))
  for (const { fixed, typical } of Points.points(b.finish(), [])) {
    const at = (name: string): number => fixed.get(name) ?? typical.get(name) ?? 0
    expect(at("rows") * at("columns")).toBeGreaterThanOrEqual(at("batch") * at("length"))
  }
})
