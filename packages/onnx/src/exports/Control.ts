// Control flow as ONNX operators: what a sub-graph takes from outside it refers to by the outer name.
import * as Ops from "@anneal/ir/Ops"
import type { Export, ExportContext } from "../Exporter.ts"
import { define } from "../Exporter.ts"

const body = (c: ExportContext, name: string, own: number, captured: ReadonlyArray<string>) => ({
  graph: c.subgraph(c.graphs[name] ?? c.fail(`the sub-graph "${name}" is missing`), own, captured)
})

const directions = (reverse: ReadonlyArray<boolean>): ReadonlyArray<number> => reverse.map((way) => (way ? 1 : 0))

export const all: ReadonlyArray<Export> = [
  define(Ops.branch, (c) => {
    const [condition = "", ...captured] = c.inputs
    c.result(
      "If",
      [condition],
      { then_branch: body(c, "then", 0, captured), else_branch: body(c, "else", 0, captured) },
      c.outputs.length
    )
  }),
  define(Ops.loop, (c, { carried }) => {
    const own = carried + 2
    c.result("Loop", c.inputs.slice(0, own), { body: body(c, "body", own, c.inputs.slice(own)) }, c.outputs.length)
  }),
  define(Ops.scan, (c, attributes) => {
    const own = attributes.carried + attributes.scanned
    c.result(
      "Scan",
      c.inputs.slice(0, own),
      {
        body: body(c, "body", own, c.inputs.slice(own)),
        num_scan_inputs: attributes.scanned,
        scan_input_axes: attributes.inputAxes,
        scan_input_directions: directions(attributes.inputReverse),
        scan_output_axes: attributes.outputAxes,
        scan_output_directions: directions(attributes.outputReverse)
      },
      c.outputs.length
    )
  })
]
