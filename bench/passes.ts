// Time of every pass over a graph of 5,000 nodes, without validation. The issue's limit: 2 seconds for all of them.
//
//   node --conditions=@anneal/source bench/passes.ts [nodes]
import * as Builders from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type { Graph, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import * as All from "@anneal/passes/All"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"

const [batch, seq] = [Dim.symbol("batch"), Dim.symbol("seq")]
const [heads, dim] = [4, 8]
const width = heads * dim

/** Layers of a transformer as an exporter writes them, each followed by a residual block of convolutions. */
const build = (layers: number): Graph => {
  const b = Builders.make("mix")
  let seed = 0
  const node = b.one
  const weight = (...shape: ReadonlyArray<number>): Value => {
    const size = shape.reduce((product, extent) => product * extent, 1)
    seed++
    return b.tensor(
      Numbers.fromNumbers(
        "f32",
        shape,
        Array.from({ length: size }, (_, i) => (((i * 7 + seed) % 11) + 1) / 64)
      )
    )
  }
  const scalar = (value: number): Value => b.tensor(Numbers.scalar("f32", value))
  const mul = (x: Value, y: Value): Value => node(Ops.mul, [x, y], {})
  const add = (x: Value, y: Value): Value => node(Ops.add, [x, y], {})
  const mean = (x: Value): Value => node(Ops.reduceMean, [x], { axes: [2], keepDims: true })
  const layerNorm = (x: Value): Value => {
    const centred = node(Ops.sub, [x, mean(x)], {})
    const variance = mean(node(Ops.pow, [centred, scalar(2)], {}))
    const spread = node(Ops.sqrt, [add(variance, scalar(1e-5))], {})
    return add(mul(node(Ops.div, [centred, spread], {}), weight(width)), weight(width))
  }
  const linear = (x: Value, columns: number, rows = width): Value =>
    add(
      node(Ops.matmul, [x, node(Ops.transpose, [weight(columns, rows)], { permutation: [1, 0] })], {}),
      weight(columns)
    )
  const split = (x: Value): Value => {
    const apart = node(Ops.reshape, [x], { shape: [batch, seq, heads, dim] })
    return node(Ops.transpose, [apart], { permutation: [0, 2, 1, 3] })
  }
  const attention = (x: Value): Value => {
    const [q, k, v] = [split(linear(x, width)), split(linear(x, width)), split(linear(x, width))]
    const keys = node(Ops.transpose, [k], { permutation: [0, 1, 3, 2] })
    const scores = node(Ops.div, [node(Ops.matmul, [q, keys], {}), scalar(Math.sqrt(dim))], {})
    const mixed = node(Ops.matmul, [node(Ops.softmax, [scores], { axis: -1 }), v], {})
    const back = node(Ops.transpose, [mixed], { permutation: [0, 2, 1, 3] })
    return linear(node(Ops.reshape, [back], { shape: [batch, seq, width] }), width)
  }
  const gelu = (x: Value): Value => {
    const gate = add(node(Ops.erf, [node(Ops.div, [x, scalar(Math.SQRT2)], {})], {}), scalar(1))
    return mul(mul(x, gate), scalar(0.5))
  }
  const convolutions = (x: Value): Value => {
    const attributes = { strides: [1], padsBegin: [0], padsEnd: [0], dilations: [1], groups: 1 }
    const padded = node(Ops.pad, [x], { before: [0, 0, 1], after: [0, 0, 1], mode: "constant" })
    const inner = node(Ops.conv, [padded, weight(8, 8, 3)], attributes)
    const norm = node(Ops.batchNorm, [inner, weight(8), weight(8), weight(8), weight(8)], { epsilon: 1e-5 })
    return add(node(Ops.max, [norm, scalar(0)], {}), x)
  }
  let tokens = b.input("tokens", Type.make("f32", [batch, seq, width]))
  let image = b.input("image", Type.make("f32", [batch, 8, Dim.symbol("length")]))
  for (let layer = 0; layer < layers; layer++) {
    tokens = add(attention(layerNorm(tokens)), tokens)
    tokens = add(linear(gelu(linear(layerNorm(tokens), 2 * width)), width, 2 * width), tokens)
    image = convolutions(image)
  }
  b.output("tokens", tokens)
  b.output("image", image)
  return b.finish()
}

const program = Effect.gen(function* () {
  const wanted = Number(process.argv[2] ?? 5000)
  let graph = build(Math.ceil(wanted / Graphs.nodeCount(build(1))))
  console.log(`${Graphs.nodeCount(graph)} nodes`)
  let total = 0
  const before = process.threadCpuUsage()
  for (const { name, rewrite } of All.passes) {
    const start = performance.now()
    const edited = yield* rewrite(graph)
    const time = performance.now() - start
    total += time
    const left = Graphs.nodeCount(edited.graph)
    console.log(`${time.toFixed(1).padStart(8)} ms  ${name}${edited.changed ? `  (${left} nodes)` : ""}`)
    graph = edited.graph
  }
  const { system, user } = process.threadCpuUsage(before)
  console.log(
    `${((user + system) / 1000).toFixed(1).padStart(8)} ms  processor time of all, on a machine with other work`
  )
  console.log(`${total.toFixed(1).padStart(8)} ms  all, ${Graphs.nodeCount(graph)} nodes left`)
})

await Effect.runPromise(Effect.provide(program, Reference.layer()))
