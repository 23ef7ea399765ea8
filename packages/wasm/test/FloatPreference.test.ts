import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Text from "@anneal/ir/Text"
import * as Target from "@anneal/wasm/Target"
import { describe, expect, it } from "vitest"

/** What the target says of the last node of a graph. */
const reasonOf = (body: string): string | undefined => {
  const graph = Text.parse(`graph "g" {\n${body}\noutput "y" = %y\n}`, { ops: Ops.table() })
  const index = Graphs.index(graph)
  const node = graph.nodes.at(-1)
  if (node === undefined) throw new Error("no node")
  const types = node.inputs.map((id) => (id === null ? undefined : index.type(id)))
  return Target.make(Target.relaxed).prefersFloat?.(node, types)
}
const convolution = (groups: number, channels: number, taps = 3, stride = 1): string => {
  const out = Math.floor((8 - taps) / stride) + 1
  return `
  input "x" %x : f32[n, ${groups * channels}, 8, 8]
  input "w" %w : f32[8, ${channels}, ${taps}, ${taps}]
  %y : f32[n, 8, ${out}, ${out}] = conv(%x, %w) {"dilations":[1,1],"groups":${groups},"padsBegin":[0,0],"padsEnd":[0,0],"strides":[${stride},${stride}]}`
}
const product = (rows: number | string, terms: number, columns: number): string => `
  input "x" %x : f32[${rows}, ${terms}]
  input "w" %w : f32[${terms}, ${columns}]
  %y : f32[${rows}, ${columns}] = matmul(%x, %w)`

describe("FloatPreference", () => {
  it("is for depthwise filters and first layers", () => {
    expect(reasonOf(convolution(8, 1))).toMatch(/depthwise/)
    expect(reasonOf(convolution(1, 3))).toMatch(/3 channels/)
    expect(reasonOf(convolution(1, 1))).toMatch(/1 channel are/)
    expect(reasonOf(convolution(1, 4, 3, 2))).toBeUndefined()
    expect(reasonOf(convolution(2, 32))).toBeUndefined()
  })

  it("is for short sums, and for minimal filters of few channels", () => {
    expect(reasonOf(convolution(1, 16, 1))).toMatch(/16 terms/)
    expect(reasonOf(convolution(1, 32, 1))).toBeUndefined()
    expect(reasonOf(convolution(1, 8))).toMatch(/3×3 filters of 8/)
    expect(reasonOf(convolution(1, 8, 3, 2))).toBeUndefined()
    expect(reasonOf(convolution(1, 16))).toBeUndefined()
    expect(reasonOf(convolution(1, 16, 5))).toBeUndefined()
  })

  it("is for matrices of few weights, unless many rows share them", () => {
    expect(reasonOf(product("n", 64, 10))).toMatch(/640 weights/)
    expect(reasonOf(product("n", 64, 100))).toBeUndefined()
    expect(reasonOf(product(1024, 16, 16))).toBeUndefined()
  })
})
