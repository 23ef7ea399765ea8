// What users bring: a plug-in with an op, its kernel and a pass; a pipeline of their own. In processes of their own,
// since Node loads their files.
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { fileURLToPath } from "node:url"
import { child } from "./Command.ts"
import * as OnnxFile from "./OnnxFile.ts"
import * as Numbers from "@anneal/ir/Numbers"
import * as Npy from "@anneal/runtime/Npy"

const packages = fileURLToPath(new URL("../..", import.meta.url))

/** An operator `Twice` of the domain `me`, the op that it becomes, the op's kernel. */
const plugin = `
import * as Op from "${packages}/ir/src/Op.ts"
import * as Kernel from "${packages}/reference/src/Kernel.ts"
import * as Numbers from "${packages}/ir/src/Numbers.ts"
import * as Plugin from "${packages}/anneal/src/Plugin.ts"
const twice = Op.define({
  name: "twice",
  summary: "2x",
  attributes: Op.NoAttributes,
  operands: [{ name: "x" }],
  infer: ({ input }) => [input(0)],
  error: { kind: "elementwise", ulps: 0, slope: () => 2 }
})
const kernel = Kernel.define(twice, ({ input }) => {
  const x = input(0)
  return [Numbers.fromNumbers(x.dtype, x.shape, Numbers.toNumbers(x).map((value) => 2 * value))]
})
const operator = { name: "Twice", domain: "me", since: [1], translate: (c) => c.e.unary(twice, c.input(0)) }
export default Plugin.make({ name: "@me/twice", version: "1.0.0", ops: [twice], kernels: [kernel], operators: [operator] })
`

/** The plug-in with a kernel for the op's nodes that multiplies by `factor`. */
const withCode = (factor: string): string =>
  `
import * as Dim from "${packages}/ir/src/Dim.ts"
import { f32, i32 } from "${packages}/wasm/src/Instruction.ts"
${plugin.replace(
  "kernels: [kernel]",
  "kernels: [kernel], wasm: { claims: (node) => node.op === twice, candidates: (region) => code(region) }"
)}
const code = (region) => region.kind !== "whole" || region.node.op !== twice ? [] : [{
  name: "doubling",
  config: {},
  cost: 1,
  packed: [],
  scratch: 0,
  units: Dim.product(region.operands[0].shape),
  emit: (emission, name) =>
    emission.module.func(name, ["i32", "i32", "i32", "i32", "i32"], [], (f) => {
      const parameter = (index) => f.get({ type: "i32", index })
      const at = (base, i) => i32.add(base, i32.shl(f.get(i), i32.const(2)))
      f.range(parameter(3), parameter(4), 1, (i) =>
        f.do(f32.store(at(parameter(1), i), f32.mul(f32.load(at(parameter(0), i)), f32.const(${factor}))))
      )
    })
}]
`

const pipeline = `
import { Graph } from "${packages}/pipeline/src/Graph.ts"
import * as Pipeline from "${packages}/pipeline/src/Pipeline.ts"
import { eliminateNoOps } from "${packages}/passes/src/EliminateNoOps.ts"
export default Pipeline.on(Graph).through(eliminateNoOps.pass())
`

const calibrating = `
import { Graph } from "${packages}/pipeline/src/Graph.ts"
import * as Pipeline from "${packages}/pipeline/src/Pipeline.ts"
import * as Calibrate from "${packages}/quantize/src/Calibrate.ts"
export default Pipeline.on(Graph).through(Calibrate.calibrate({ limit: null }))
`

const workplace = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const folder = yield* files.makeTempDirectoryScoped()
  yield* files.writeFile(`${folder}/net.onnx`, OnnxFile.encode(OnnxFile.small))
  const build = (...args: ReadonlyArray<string>) =>
    child(["build", `${folder}/net.onnx`, "-o", `${folder}/net.engine`, "--cache", `${folder}/cache`, ...args])
  return { files, folder, build }
})

describe("what users bring", () => {
  it.live("a pipeline of one pass runs that pass", () =>
    Effect.gen(function* () {
      const { build, files, folder } = yield* workplace
      yield* files.writeFileString(`${folder}/pipeline.ts`, pipeline)
      const built = yield* build("--pipeline", `${folder}/pipeline.ts`)
      assert.strictEqual(built.code, 0, built.err)
      const inspected = yield* child(["inspect", `${folder}/net.engine`, "--json"])
      const { stages, variants } = JSON.parse(inspected.out)
      assert.deepStrictEqual(
        stages.map(({ stage }: { readonly stage: string }) => stage),
        ["eliminateNoOps@1"]
      )
      assert.deepStrictEqual(variants[0].ops, { add: 1, matmul: 1, relu: 1 })
      yield* files.writeFileString(`${folder}/wrong.ts`, "export default 1")
      const wrong = yield* build("--pipeline", `${folder}/wrong.ts`)
      assert.deepStrictEqual([wrong.code, /must be a pipeline/.test(wrong.err)], [2, true])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("a pipeline that asks for samples says which option gives them", () =>
    Effect.gen(function* () {
      const { build, files, folder } = yield* workplace
      yield* files.writeFileString(`${folder}/pipeline.ts`, calibrating)
      const refused = yield* build("--pipeline", `${folder}/pipeline.ts`)
      assert.strictEqual(refused.code, 2, refused.err)
      assert.match(refused.err, /the pipeline asks for @anneal\/pipeline\/Samples: give --calibrate/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("a plug-in's operator, op and kernel take a model from import to a run", () =>
    Effect.gen(function* () {
      const { build, files, folder } = yield* workplace
      const nodes = [{ op: "Twice", domain: "me", name: "/t", inputs: ["x"], outputs: ["y"] }]
      const model = { ...OnnxFile.small, outputs: { y: ["batch", 3] }, weights: [], nodes }
      yield* files.writeFile(`${folder}/net.onnx`, OnnxFile.encode(model))
      yield* files.writeFileString(`${folder}/plugin.ts`, plugin)
      assert.strictEqual((yield* build()).code, 3)
      const built = yield* build("--plugin", `${folder}/plugin.ts`)
      assert.strictEqual(built.code, 0, built.err)
      yield* files.writeFile(`${folder}/x.npy`, Npy.encode(Numbers.fromNumbers("f32", [1, 3], [1, 2, 3])))
      const run = (...args: ReadonlyArray<string>) =>
        child(["run", `${folder}/net.engine`, "--input", `x=${folder}/x.npy`, ...args])
      const ran = yield* run("--plugin", `${folder}/plugin.ts`)
      assert.match(ran.out, /y: f32\[1, 3\] = 2, 4, 6/)
      // The op runs on the host, between stretches of code: that it is not known shows when it is its turn.
      const without = yield* run()
      assert.deepStrictEqual([without.code, /Name the plug-in that brings this op/.test(without.err)], [1, true])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("a plug-in's kernel is checked, then is the engine's code: nobody needs the plug-in to run it", () =>
    Effect.gen(function* () {
      const { build, files, folder } = yield* workplace
      const nodes = [{ op: "Twice", domain: "me", name: "/t", inputs: ["x"], outputs: ["y"] }]
      const model = { ...OnnxFile.small, outputs: { y: ["batch", 3] }, weights: [], nodes }
      yield* files.writeFile(`${folder}/net.onnx`, OnnxFile.encode(model))
      yield* files.writeFileString(`${folder}/plugin.ts`, withCode("2"))
      const built = yield* build("--plugin", `${folder}/plugin.ts`, "--lock", `${folder}/net.lock.json`)
      assert.strictEqual(built.code, 0, built.err)
      const lock = yield* files.readFileString(`${folder}/net.lock.json`)
      assert.include(lock, "@me/twice@1.0.0/doubling")
      yield* files.writeFile(`${folder}/x.npy`, Npy.encode(Numbers.fromNumbers("f32", [2, 3], [1, 2, 3, 4, 5, 6])))
      const ran = yield* child(["run", `${folder}/net.engine`, "--input", `x=${folder}/x.npy`])
      assert.match(ran.out, /y: f32\[2, 3\] = 2, 4, 6, 8, 10, 12/, ran.err)

      // One that is wrong is found before it is in an engine. Another version: what was found of the first says nothing of it.
      yield* files.writeFileString(`${folder}/wrong.ts`, withCode("3").replace("1.0.0", "1.0.1"))
      const wrong = yield* build("--plugin", `${folder}/wrong.ts`)
      assert.notStrictEqual(wrong.code, 0)
      assert.match(wrong.err, /no kernel is right: @me\/twice@1\.0\.1\/doubling/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
