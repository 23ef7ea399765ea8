// Speed of the oracle's contractions on one core, in GFLOP/s (a multiplication and an addition are two). Floats are
// computed in float64 and rounded once; what counts is the whole node, conversions included.
//
//   node --conditions=@anneal/source bench/reference.ts
import * as Builder from "@anneal/ir/Builder"
import type { Graph } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"

interface Case {
  readonly name: string
  readonly graph: Graph
  readonly inputs: ReadonlyArray<Tensor>
  readonly operations: number
}

const filled = (shape: ReadonlyArray<number>): Tensor => {
  const count = shape.reduce((product, extent) => product * extent, 1)
  return Numbers.fromNumbers(
    "f32",
    shape,
    Float64Array.from({ length: count }, (_, i) => ((i * 7919) % 1009) / 1009 - 0.5)
  )
}

const matmul = (n: number): Case => {
  const builder = Builder.make("matmul")
  const inputs = [filled([n, n]), filled([n, n])]
  const [a, b] = inputs.map((input, i) => builder.input(`x${i}`, input))
  builder.output("y", builder.one(Ops.matmul, [a, b], {}))
  return { name: `matmul ${n}³`, graph: builder.finish(), inputs, operations: 2 * n ** 3 }
}

const conv = (channels: number, extent: number, groups: number): Case => {
  const builder = Builder.make("conv")
  const inputs = [filled([1, channels, extent, extent]), filled([channels, channels / groups, 3, 3])]
  const [x, w] = inputs.map((input, i) => builder.input(`x${i}`, input))
  const attributes = { strides: [1, 1], padsBegin: [1, 1], padsEnd: [1, 1], dilations: [1, 1], groups }
  builder.output("y", builder.one(Ops.conv, [x, w], attributes))
  return {
    name: `conv 3×3, ${extent}×${extent}×${channels}, ${groups} group${groups === 1 ? "" : "s"}`,
    graph: builder.finish(),
    inputs,
    operations: (2 * channels * channels * 9 * extent * extent) / groups
  }
}

const oracle = Reference.make()
const cases = [matmul(256), matmul(512), conv(64, 56, 1), conv(64, 56, 64)]
const rounds = 5

for (const { graph, inputs, name, operations } of cases) {
  const times: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    const start = performance.now()
    await Effect.runPromise(oracle.run(graph, inputs))
    times.push(performance.now() - start)
  }
  const best = Math.min(...times)
  console.log(
    `${name.padEnd(36)} ${best.toFixed(1).padStart(8)} ms ${(operations / best / 1e6).toFixed(2).padStart(6)} GFLOP/s`
  )
}
