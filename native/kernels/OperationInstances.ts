/** The instances of what is neither a product nor attention: top-k and sampling, rotary embedding, transposes, gathers, depthwise. */
import type { Instance } from "./Instance.ts"
import { epilogue } from "./ProductInstances.ts"

const make = (
  name: string,
  template: string,
  entry: string,
  defines: Readonly<Record<string, string | number>>
): Instance => ({ name, template, entry, architecture: "90a", defines })

const depthwise = (filter: number, stride: number, width: number): Instance =>
  make(`depthwise-f16-f${filter}-s${stride}-w${width}-relu`, "DepthwiseSm75", "depthwise", {
    FILTER: filter,
    STRIDE: stride,
    OUT_W: width,
    ...epilogue("relu")
  })

const gather = (type: string, index: string): Instance =>
  make(`gather-${type}-${index}`, "GatherRowsSm75", "gather_rows", {
    T: type,
    INDEX: index,
    INPUTS: "TABLE(0, word) TABLE(1, position) COLUMN(2, bias)",
    EXPRESSION: "word + position + bias"
  })

/** Compiled for every architecture, tested on sm_90. */
export const operations: ReadonlyArray<Instance> = [
  make("topk-f16", "TopKSm75", "top_k", { ELEMENT: "f16" }),
  make("topk-bf16-sample", "TopKSm75", "top_k", { ELEMENT: "bf16", SAMPLE: 1 }),
  make("topk-float-sample", "TopKSm75", "top_k", { ELEMENT: "float", SAMPLE: 1 }),
  make("rotary-f16", "RotarySm75", "rotary", { T: "f16" }),
  make("rotary-bf16-interleaved", "RotarySm75", "rotary", { T: "bf16", INTERLEAVED: 1 }),
  make("rotary-f16-s8", "RotarySm75", "rotary", { T: "f16", KV: "s8" }),
  make("transpose-2", "TransposeSm75", "transpose", { BYTES: 2 }),
  make("transpose-4", "TransposeSm75", "transpose", { BYTES: 4 }),
  gather("f16", "s64"),
  gather("bf16", "s32"),
  depthwise(3, 1, 4),
  depthwise(3, 2, 4),
  depthwise(5, 1, 4),
  depthwise(5, 1, 8),
  depthwise(7, 1, 2),
  depthwise(7, 1, 4),
  depthwise(7, 1, 8)
]

/** What needs sm_89's conversions. */
export const narrowOperations: ReadonlyArray<Instance> = [
  make("rotary-f16-e4m3", "RotarySm75", "rotary", { T: "f16", KV: "e4m3" })
]
