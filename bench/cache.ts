// What the store saves: a build, the same again, and again after one weight has changed.
//
//   node --conditions=@anneal/source bench/cache.ts MODEL.onnx
//
// Bounds: the second build runs no pass and takes under a tenth of the first.
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Constant from "@anneal/ir/Constant"
import type * as IR from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Import from "@anneal/onnx/Import"
import * as All from "@anneal/passes/All"
import { Graph } from "@anneal/pipeline/Graph"
import * as Progress from "@anneal/pipeline/Progress"
import * as Store from "@anneal/pipeline/Store"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** The graph with one element of its last float weight moved; undefined when all weights are in sub-graphs. */
const changed = (graph: IR.Graph): IR.Graph | undefined => {
  const [id, entry] = [...graph.constants].findLast(([, { constant }]) => constant.dtype === "f32") ?? []
  if (id === undefined || entry === undefined) return undefined
  const values = Numbers.toNumbers(Constant.load(entry.constant))
  values[0] = (values[0] ?? 0) + 1
  const constant = Constant.fromTensor(Numbers.fromNumbers("f32", entry.constant.shape, values))
  return { ...graph, constants: new Map(graph.constants).set(id, { ...entry, constant }) }
}

const directory = mkdtempSync(join(tmpdir(), "anneal-cache-"))
const services = Layer.mergeAll(Reference.layer(), Store.layerFileSystem({ directory, maxBytes: 2 ** 32 })).pipe(
  Layer.provideMerge(NodeServices.layer)
)

const build = (what: string, graph: IR.Graph) =>
  Effect.gen(function* () {
    const start = performance.now()
    const [, events] = yield* Progress.collect(Effect.provideService(All.pipeline().build(), Graph, graph))
    const took = performance.now() - start
    const ran = events.filter(({ _tag }) => _tag === "Start").length
    const hits = events.filter(({ _tag }) => _tag === "Hit").length
    console.log(`${what.padEnd(24)} ${took.toFixed(0).padStart(7)} ms, ${ran} stages run, ${hits} from the store`)
    return took
  })

const program = Effect.gen(function* () {
  const graph = yield* Import.importModel(process.argv[2] ?? "")
  const first = yield* build("first build", graph)
  const second = yield* build("the same again", graph)
  const other = changed(graph)
  if (other !== undefined) yield* build("after one weight changed", other)
  console.log(`second / first: ${(second / first).toFixed(3)}`)
})
try {
  await Effect.runPromise(Effect.provide(program, services))
} finally {
  rmSync(directory, { recursive: true })
}
