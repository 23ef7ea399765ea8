import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import * as Footprint from "@anneal/lower/Footprint"
import type { Program } from "@anneal/lower/Program"
import type { Contraction, Loop, Region } from "@anneal/lower/Region"
import * as Report from "@anneal/lower/Report"
import * as Scalar from "@anneal/lower/Scalar"
import * as View from "@anneal/lower/View"
import { describe, expect, it } from "vitest"

const b = Dim.symbol("b")
const builder = Builder.make("net")
const x = builder.input("x", Type.make("f32", [b, 4]))
const y = builder.one(Ops.exp, [x], {}, { lineage: { sources: ["/exp"], rewrites: [] }, ids: ["y"] })
builder.output("y", y)
const graph = builder.finish()

const view = (buffer: string) => View.contiguous(buffer, "f32", [b, 4])
const exp = Scalar.unary("exp", Scalar.load(0, "f32"))
const loop: Loop = {
  kind: "loop",
  id: "y",
  members: graph.nodes,
  domain: [b, 4],
  operands: [view("x")],
  // What is shared is computed once: e + e is two operations.
  results: [{ view: view("y"), value: Scalar.binary("add", exp, exp) }]
}

const contraction: Contraction = {
  kind: "contraction",
  id: "m",
  members: [],
  batch: [2],
  m: 8,
  n: 16,
  k: 32,
  a: View.contiguous("a", "f32", [2, 8, 32]),
  // One matrix for the whole batch.
  b: View.expand(View.contiguous("b", "f32", [1, 16, 32]), [2, 16, 32]),
  zero: { a: 0, b: 0 },
  accumulate: "f32",
  epilogue: {
    operands: [View.expand(View.contiguous("c", "f32", [1, 1, 16]), [2, 8, 16])],
    results: [
      {
        view: View.contiguous("o", "f32", [2, 8, 16]),
        value: Scalar.binary("add", Scalar.previous("accumulator", "f32"), Scalar.load(0, "f32"))
      }
    ]
  }
}

const program: Program = {
  graph,
  fixed: new Map(),
  symbols: ["b"],
  buffers: new Map([
    ["x", { id: "x", dtype: "f32", size: Dim.mul(b, 4), kind: "input", name: "x" }],
    ["y", { id: "y", dtype: "f32", size: Dim.mul(b, 4), kind: "output", name: "y" }]
  ]),
  prepare: [],
  steps: [
    { kind: "region", region: loop, tactic: { name: "loop", config: { unroll: 2 }, cost: 12 } },
    ...graph.nodes.map((node) => ({ kind: "host", node, why: "no kernel", operands: [], results: [] }) as const)
  ],
  fusions: [
    { id: "rows x y", kind: "rows", members: ["x", "y"], taken: false, reason: "it differs", saving: Dim.mul(b, 32) }
  ],
  inputs: [view("x")],
  outputs: [view("y")]
}

describe("Footprint", () => {
  it("counts operations of elements, and each element that is moved once", () => {
    const { bytes: moved, operations } = Footprint.of(loop)
    expect([operations, moved].map((dim) => Dim.evaluate(dim, new Map([["b", 3]])))).toEqual([24, 96])
    const bytes = 4 * (2 * 8 * 32 + 16 * 32 + 16 + 2 * 8 * 16)
    expect(Footprint.of(contraction)).toEqual({ operations: 2 * 8 * 16 * 65, bytes })
  })
})

describe("Report", () => {
  const choice = (region: Region) => ({
    key: `key of ${region.id}`,
    candidates: [
      { name: "loop", config: { unroll: 2 } },
      { name: "loop", config: { unroll: 4 } }
    ]
  })
  const report = Report.of(program, { typical: new Map([["b", 3]]), choice })

  it("names regions by the user's nodes, with what was decided among how many", () => {
    expect(report.regions).toEqual([
      {
        id: "y",
        kind: "loop",
        shape: "f32[b, 4]",
        members: [{ op: "exp", node: "/exp" }],
        prepared: false,
        key: "key of y",
        kernel: "loop",
        config: { unroll: 2 },
        offered: 2,
        predicted: 12,
        operations: Dim.mul(b, 8),
        bytes: Dim.mul(b, 32)
      }
    ])
    expect(report.hosts).toEqual([{ node: "/exp", op: "exp", why: "no kernel" }])
    expect(report.fusions[0]).toMatchObject({ members: ["%x", "/exp"], taken: false, reason: "it differs", saving: 96 })
  })

  it("is the same after it was written and read", () => {
    expect(Report.decode(Report.encode(report))).toEqual(report)
  })

  it("refuses what is no report", () => {
    expect(() => Report.decode(new TextEncoder().encode("{}"))).toThrow(/regions|fixed/)
  })
})
