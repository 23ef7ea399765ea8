// Sizes that kernels are examined at: a program can run at them, and the profile allows them.
import * as Builder from "@anneal/ir/Builder"
import * as Dims from "@anneal/ir/Dim"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import * as ExamSizes from "@anneal/wasm/ExamSizes"
import * as Points from "@anneal/wasm/Points"
import { expect, it } from "@effect/vitest"

const [m, n] = [Dims.symbol("m"), Dims.symbol("n")]

const graph = () => {
  const b = Builder.make("net")
  const x = b.input("x", Type.make("f32", [m, n]))
  b.output("y", b.one(Ops.reshape, [x], { shape: [m, 2, Dims.floorDiv(n, 2)] }))
  return b.finish()
}

const open = {
  fixed: new Map<string, number>(),
  typical: new Map([
    ["m", 4],
    ["n", 64]
  ])
}

it("are none where nothing is free", () => {
  expect(ExamSizes.of(graph(), { fixed: open.typical, typical: new Map() })).toEqual([])
})

it("keep to what the graph asks of them", () => {
  const even = graph()
  const constrained = {
    ...even,
    constraints: [{ left: n, right: Dims.mul(2, Dims.floorDiv(n, 2)), what: "it is halved" }]
  }
  const sizes = ExamSizes.of(constrained, open)
  expect(sizes.length).toBeGreaterThan(8)
  expect(sizes.filter((one) => (one.get("n") ?? 0) % 2 === 1)).toEqual([])
})

it("keep to the profile, and come to its end", () => {
  const ranges = new Map([
    ["m", { min: 2, max: 9 }],
    ["n", { min: 32, max: 200 }]
  ])
  const sizes = ExamSizes.of(graph(), { ...open, ranges })
  const values = (symbol: string) => sizes.map((one) => one.get(symbol) ?? 0)
  expect([Math.min(...values("m")), Math.max(...values("m"))]).toEqual([2, 9])
  expect([Math.min(...values("n")), Math.max(...values("n"))]).toEqual([32, 200])
})

it("of several profiles are what any of them allows", () => {
  const profile = (min: number, max: number) => ({
    name: `${min}`,
    dims: { m: { min: 1, opt: 1, max: 1 }, n: { min, opt: min + 1, max } }
  })
  const points = Points.points(graph(), [profile(8, 16), profile(64, 80)])
  const free = points.find(({ typical }) => typical.size > 0)
  expect(free?.ranges?.get("n")).toEqual({ min: 8, max: 80 })
})
