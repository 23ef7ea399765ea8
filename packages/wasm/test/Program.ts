// A program written by hand for the tests of what is around kernels: y = (x + w)·2 in two steps, with kernels of one lane.
import * as Builder from "@anneal/ir/Builder"
import * as Constants from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import type { Program } from "@anneal/lower/Program"
import type { Region } from "@anneal/lower/Region"
import * as View from "@anneal/lower/View"
import type { Kernel } from "@anneal/wasm/Kernel"
import { f32, i32 } from "@anneal/wasm/Instruction"

export const graphOf = (n: Dim.Dim) => {
  const b = Builder.make("two")
  const x = b.input("x", Type.make("f32", [n]))
  const w = b.tensor(Numbers.fromNumbers("f32", [1], [3]), { id: "w", name: "w" })
  const sum = b.one(Ops.add, [x, w], {}, { lineage: { sources: ["/sum"], rewrites: [] } })
  b.output("y", b.one(Ops.add, [sum, sum], {}, { lineage: { sources: ["/double"], rewrites: [] } }))
  return b.finish()
}

/** The program; `n` may be a symbol. */
export const programOf = (n: Dim.Dim): Program => {
  const graph = graphOf(n)
  const whole = (id: string) => View.contiguous(id, "f32", [n])
  const w = View.expand(View.contiguous("w", "f32", [1]), [n])
  const loop = (id: string, reads: ReadonlyArray<View.View>, place: number): Region => ({
    kind: "loop",
    id,
    members: graph.nodes.slice(place, place + 1),
    domain: [n],
    operands: reads,
    results: []
  })
  const write = (region: Region, buffer: string): Region =>
    region.kind === "loop"
      ? {
          ...region,
          results: [
            {
              view: whole(buffer),
              value: {
                kind: "binary",
                op: "add",
                dtype: "f32",
                a: { kind: "load", operand: 0, dtype: "f32" },
                b: { kind: "load", operand: 1, dtype: "f32" }
              }
            }
          ]
        }
      : region
  const tactic = { name: "adding", config: {} }
  return {
    graph,
    fixed: new Map(),
    symbols: typeof n === "number" ? [] : Dim.symbols(n),
    buffers: new Map([
      ["x", { id: "x", dtype: "f32", size: n, kind: "input", name: "x" }],
      [
        "w",
        {
          id: "w",
          dtype: "f32",
          size: 1,
          kind: "constant",
          constant: Constants.fromTensor(Numbers.fromNumbers("f32", [1], [3]))
        }
      ],
      ["t", { id: "t", dtype: "f32", size: n, kind: "arena" }],
      ["y", { id: "y", dtype: "f32", size: n, kind: "output", name: "y" }]
    ]),
    prepare: [],
    fusions: [],
    steps: [
      { kind: "region", region: write(loop("t", [whole("x"), w], 0), "t"), tactic },
      { kind: "region", region: write(loop("y", [whole("t"), whole("t")], 1), "y"), tactic }
    ],
    inputs: [whole("x")],
    outputs: [whole("y")]
  }
}

/** Adds two operands, an element at a time. `trap`: stops instead. */
export const adding = (region: Region, options: { readonly trap?: boolean } = {}): Kernel => {
  if (region.kind !== "loop") throw new Error("a loop was expected")
  const [a, b] = region.operands
  const n = region.domain[0] ?? 1
  return {
    name: options.trap === true ? "trapping" : "adding",
    config: {},
    cost: 1,
    packed: [],
    scratch: 0,
    units: n,
    emit: (emission, name) =>
      emission.module.func(name, ["i32", "i32", "i32", "i32", "i32", "i32"], [], (f, [x, y, to, , begin, end]) => {
        if (x === undefined || y === undefined || to === undefined || begin === undefined || end === undefined) return
        if (options.trap === true) f.unreachable()
        const at = (local: typeof x, i: typeof x, view: typeof a) =>
          i32.add(
            f.get({ type: "i32", index: local.index }),
            i32.mul(
              f.get({ type: "i32", index: i.index }),
              emission.dim(Dim.mul(view === undefined ? 1 : (view.strides[0] ?? 0), 4))
            )
          )
        f.range(f.get({ type: "i32", index: begin.index }), f.get({ type: "i32", index: end.index }), 1, (i) =>
          f.do(f32.store(at(to, i, undefined), f32.add(f32.load(at(x, i, a)), f32.load(at(y, i, b)))))
        )
      })
  }
}
