// Quantised graphs as others make them: nothing is left to the host, and results are the oracle's.
import type { Graph } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Text from "@anneal/ir/Text"
import * as Verify from "@anneal/ir/Verify"
import * as Reference from "@anneal/reference/Reference"
import * as Session from "@anneal/runtime/Session"
import * as Agreement from "@anneal/testing/Agreement"
import * as Graphs from "@anneal/testing/Graphs"
import * as Executor from "@anneal/wasm/Executor"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { engineOf } from "./Build.ts"

const parse = (body: string): Graph =>
  Verify.check(Text.parse(`graph "g" {\n${body}\n}`, { ops: Ops.table() }), "the test's text")

const spread = (count: number, least: number, greatest: number): string =>
  JSON.stringify(Array.from({ length: count }, (_, i) => least + ((i * 37) % (greatest - least + 1))))

/** As ONNX's DynamicQuantizeLinear, then ConvInteger and its scale. */
const dynamic = (groups: number, pads: string, out: string) => `
  input "x" %x : f32[1, 16, 9, 7]
  input "scale" %s : f32[]
  input "zero" %zu : u8[]
  constant %w : i32[16, ${16 / groups}, 3, 3] = ${spread((16 * 16 * 9) / groups, -127, 127)}
  constant %bias : f32[1, 16, 1, 1] = ${spread(16, -3, 5)}
  %q : u8[1, 16, 9, 7] = quantize(%x, %s, %zu) {"axis":0,"block":0,"to":"u8","saturate":true}
  %c : i32[1, 16, 9, 7] = cast(%q) {"to":"i32","saturate":true}
  %z : i32[] = cast(%zu) {"to":"i32","saturate":true}
  %d : i32[1, 16, 9, 7] = sub(%c, %z)
  %m : i32[1, 16, ${out}] = conv(%d, %w) {"strides":[1,1],${pads},"dilations":[1,1],"groups":${groups}}
  %f : f32[1, 16, ${out}] = cast(%m) {"to":"f32","saturate":true}
  %g : f32[1, 16, ${out}] = mul(%f, %s)
  %h : f32[1, 16, ${out}] = add(%g, %bias)
  %y : f32[1, 16, ${out}] = relu(%h)
  output "y" = %y`

const matrix = `
  input "x" %x : u8[5, 40]
  input "zero" %zu : u8[5, 1]
  input "scale" %s : f32[]
  constant %w : i32[40, 24] = ${spread(960, -100, 155)}
  %c : i32[5, 40] = cast(%x) {"to":"i32","saturate":true}
  %z : i32[5, 1] = cast(%zu) {"to":"i32","saturate":true}
  %d : i32[5, 40] = sub(%c, %z)
  %m : i32[5, 24] = matmul(%d, %w)
  %f : f32[5, 24] = cast(%m) {"to":"f32","saturate":true}
  %y : f32[5, 24] = mul(%f, %s)
  output "y" = %y`

const placed = (op: string, dtype: string, out: string, attributes: string) => `
  input "x" %x : f32[1, 8, 6, 5]
  constant %w : i8[8, 8, 2, 2] = ${spread(256, -128, 127)}
  constant %bias : f32[8] = ${spread(8, -3, 5)}
  constant %sx : f32[] = 0.0625
  constant %zx : ${dtype}[] = 120
  constant %sw : f32[] = 0.125
  %xq : ${dtype}[1, 8, 6, 5] = quantize(%x, %sx, %zx) {"axis":0,"block":0,"to":"${dtype}","saturate":true}
  %xd : f32[1, 8, 6, 5] = dequantize(%xq, %sx, %zx) {"axis":0,"block":0,"to":"f32"}
  %wd : f32[8, 8, 2, 2] = dequantize(%w, %sw) {"axis":0,"block":0,"to":"f32"}
  %y : f32[1, 8, ${out}] = ${op}(%xd, %wd, %bias) {"strides":[2,2],"padsBegin":[0,0],"padsEnd":[0,0],"dilations":[1,1],"groups":1${attributes}}
  output "y" = %y`

const cases: ReadonlyArray<readonly [name: string, body: string]> = [
  ["a convolution whose zero point the run decides", dynamic(1, `"padsBegin":[0,0],"padsEnd":[0,0]`, "7, 5")],
  ["the same, padded", dynamic(1, `"padsBegin":[1,1],"padsEnd":[1,1]`, "9, 7")],
  ["the same, depthwise", dynamic(16, `"padsBegin":[1,0],"padsEnd":[1,2]`, "9, 7")],
  ["a product with a zero point a row", matrix],
  [
    "a transposed convolution, which no kernel of integers takes",
    placed("convTranspose", "u8", "12, 10", `,"outputPadding":[0,0]`)
  ],
  ["activations of 16 bits", placed("conv", "u16", "3, 2", "")]
]

describe("quantised graphs", () => {
  it.effect.each(cases)("%s", ([, body]) =>
    Effect.gen(function* () {
      const graph = parse(body)
      const oracle = Reference.make({ accumulator: "contract" })
      for (const without of [[], ["relaxed-simd"]] as const) {
        const session = yield* Session.open(yield* engineOf(graph)).pipe(
          Effect.provide(Executor.layer({ without }).pipe(Layer.provide(Reference.layer())))
        )
        // Only what generated code computes from beginning to end can be bound.
        const shapes = Object.fromEntries(
          session.inputs.map(({ name }, i) => [name, Graphs.inputsOf(graph, 1)[i]?.shape ?? []])
        )
        yield* session.bind(shapes)
        for (const seed of [1, 2, 3]) {
          const inputs = Graphs.inputsOf(graph, seed)
          const expected = yield* oracle.runWithBounds(graph, inputs)
          const found = yield* session.run(
            Object.fromEntries(
              graph.inputs.flatMap(({ name }, i) => (inputs[i] === undefined ? [] : [[name, inputs[i]]]))
            )
          )
          const outputs = graph.outputs.flatMap(({ name }) => found[name] ?? [])
          const bounds = outputs.map(({ data }) => new Float64Array(data.length))
          assert.isUndefined(Agreement.firstDifference(expected, { outputs, bounds }))
        }
      }
    }).pipe(Effect.scoped)
  )
})
