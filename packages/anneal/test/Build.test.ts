import * as Engine from "@anneal/engine/Engine"
import * as Numbers from "@anneal/ir/Numbers"
import * as Npy from "@anneal/runtime/Npy"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { command } from "./Command.ts"
import * as OnnxFile from "./OnnxFile.ts"

/** A folder with the small model, a case of it, and a cache of its own. */
const workplace = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const folder = yield* files.makeTempDirectoryScoped()
  yield* files.writeFile(`${folder}/net.onnx`, OnnxFile.encode(OnnxFile.small))
  yield* files.makeDirectory(`${folder}/golden/one`, { recursive: true })
  const x = Numbers.fromNumbers("f32", [2, 3], [1, 2, 3, -1, 0, 4])
  const y = Numbers.fromNumbers("f32", [2, 2], [0, 4.25, 0, 2.5])
  yield* files.writeFile(`${folder}/golden/one/in_x.npy`, Npy.encode(x))
  yield* files.writeFile(`${folder}/golden/one/out_y.npy`, Npy.encode(y))
  const build = (...args: ReadonlyArray<string>) =>
    command("build", `${folder}/net.onnx`, "-o", `${folder}/net.engine`, "--cache", `${folder}/cache`, ...args)
  return { files, folder, build }
})

const json = (text: string): Record<string, unknown> => {
  const value: unknown = JSON.parse(text)
  return typeof value === "object" && value !== null ? { ...value } : assert.fail(`not an object: ${text}`)
}

describe("anneal build, run, compare, inspect", () => {
  it.live("refuses what it could not write before it does any work", () =>
    Effect.gen(function* () {
      const { build, files, folder } = yield* workplace
      for (const [output, message] of [
        [`${folder}/absent/net.engine`, /cannot be written: there is no folder .*absent/],
        [`${folder}/net.onnx/net.engine`, /cannot be written: there is no folder/],
        [`${folder}/golden`, /golden is a folder; name a file to write/]
      ] as const) {
        const refused = yield* command("build", `${folder}/net.onnx`, "-o", output, "--cache", `${folder}/cache`)
        assert.strictEqual(refused.code, 2, refused.out)
        assert.match(refused.err, message)
      }
      const saving = yield* build("--save-onnx", `${folder}/absent/net.onnx`)
      assert.strictEqual(saving.code, 2, saving.out)
      assert.match(saving.err, /there is no folder/)
      assert.deepStrictEqual((yield* files.readDirectory(folder)).sort(), ["golden", "net.onnx"])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("says that a model is a folder, and what of a plug-in is missing in a line", () =>
    Effect.gen(function* () {
      const { build, folder } = yield* workplace
      const refused = yield* command("build", `${folder}/golden`, "-o", `${folder}/net.engine`)
      assert.strictEqual(refused.code, 2)
      assert.match(refused.err, /golden is a folder; name a file in it/)
      const absent = yield* build("--plugin", "no-such-plugin")
      assert.strictEqual(absent.code, 2)
      assert.match(absent.err, /cannot be loaded: Cannot find module 'no-such-plugin'$/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("takes a model to an engine that gives the known outputs", () =>
    Effect.gen(function* () {
      const { build, folder } = yield* workplace
      const built = yield* build()
      assert.deepStrictEqual([built.code, built.err], [0, ""], built.out)
      assert.include(built.out, "next: anneal inspect")
      const compared = yield* command("compare", `${folder}/net.engine`, "--cases", `${folder}/golden`)
      assert.strictEqual(compared.code, 0, compared.out + compared.err)
      assert.include(compared.out, "all 1 comparisons agree")
      const both = yield* command(
        "compare",
        `${folder}/net.onnx`,
        `${folder}/net.engine`,
        "--cases",
        `${folder}/golden`,
        "--per-layer"
      )
      assert.strictEqual(both.code, 0, both.out + both.err)
      assert.match(both.out, /all \d+ values that both have agree/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("writes the outputs of a run", () =>
    Effect.gen(function* () {
      const { build, files, folder } = yield* workplace
      yield* build()
      const x = `x=${folder}/golden/one/in_x.npy`
      const ran = yield* command("run", `${folder}/net.engine`, "--input", x, "--output", `${folder}/out`)
      assert.strictEqual(ran.code, 0, ran.err)
      const y = Npy.parse(yield* files.readFile(`${folder}/out/out_y.npy`))
      assert.deepStrictEqual(y.data, Float32Array.of(0, 4.25, 0, 2.5))
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("builds the same bytes twice, with and without the cache", () =>
    Effect.gen(function* () {
      const { build, files, folder } = yield* workplace
      const bytes = () => files.readFile(`${folder}/net.engine`)
      yield* build()
      const first = yield* bytes()
      const cached = yield* build("--json")
      assert.deepStrictEqual(yield* bytes(), first)
      const { cache } = json(cached.out)
      assert.isTrue(typeof cache === "object" && cache !== null && "hits" in cache && "stages" in cache)
      assert.deepStrictEqual(cache, { hits: Object(cache).stages, stages: Object(cache).stages })
      yield* build("--no-use-cache")
      assert.deepStrictEqual(yield* bytes(), first)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("switches passes off by name, and names the passes when one is unknown", () =>
    Effect.gen(function* () {
      const { build, files, folder } = yield* workplace
      const ops = Effect.gen(function* () {
        const engine = Engine.parse(yield* files.readFile(`${folder}/net.engine`))
        return engine.graph().nodes.map(({ op }) => op.name)
      })
      yield* build()
      assert.deepStrictEqual(yield* ops, ["linear", "relu"])
      yield* build("--disable", "formLinear")
      assert.deepStrictEqual(yield* ops, ["matmul", "add", "relu"])
      const unknown = yield* build("--disable", "nonsense")
      assert.strictEqual(unknown.code, 2)
      assert.match(unknown.err, /no such pass; the passes are .*foldConstants/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("keeps profiles, and refuses shapes outside them", () =>
    Effect.gen(function* () {
      const { build, folder } = yield* workplace
      const built = yield* build("--min-shapes", "x:4x3", "--max-shapes", "x:8x3")
      assert.strictEqual(built.code, 0, built.err)
      const refused = yield* command("compare", `${folder}/net.engine`, "--cases", `${folder}/golden`)
      assert.strictEqual(refused.code, 6)
      assert.match(refused.err, /batch = 2 is in no profile: profile 0: batch 4…8/)
      const wrong = yield* build("--min-shapes", "z:4x3")
      assert.strictEqual(wrong.code, 6)
      assert.match(wrong.err, /least shapes of profile 0: .*no input z/)
      const unfit = yield* build("--min-shapes", "x:4x3", "--max-shapes", "x:8x4")
      assert.strictEqual(unfit.code, 6)
      assert.match(unfit.err, /greatest shapes of profile 0: .*axis 1 is 4, expected 3/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("keeps a memory limit with figures", () =>
    Effect.gen(function* () {
      const { build } = yield* workplace
      const refused = yield* build("--max-shapes", "x:1000x3", "--mem-limit", "10k")
      assert.strictEqual(refused.code, 7)
      assert.match(refused.err, /needs \d+ bytes for profile 0.*the limit is 10240/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("takes the licence and the origin from the model, and strips weights", () =>
    Effect.gen(function* () {
      const { build, files, folder } = yield* workplace
      yield* build("--strip-weights")
      const engine = Engine.parse(yield* files.readFile(`${folder}/net.engine`))
      assert.strictEqual(engine.manifest.model.provenance.licence, "MIT")
      assert.isTrue(engine.manifest.sections.some(({ name, stripped }) => name === "w" && stripped === true))
      const refused = yield* command("compare", `${folder}/net.engine`, "--cases", `${folder}/golden`)
      assert.strictEqual(refused.code, 5)
      assert.match(refused.err, /left out/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("reports all unsupported operators, exit code 3, and writes nothing", () =>
    Effect.gen(function* () {
      const { build, files, folder } = yield* workplace
      const nodes = [
        { op: "NoSuchOp", name: "/a", inputs: ["x"], outputs: ["p"] },
        { op: "NorThis", name: "/b", inputs: ["x"], outputs: ["y"] }
      ]
      yield* files.writeFile(`${folder}/net.onnx`, OnnxFile.encode({ ...OnnxFile.small, nodes }))
      const refused = yield* build()
      assert.strictEqual(refused.code, 3)
      assert.match(refused.err, /\/a: NoSuchOp/)
      assert.match(refused.err, /\/b: NorThis/)
      assert.isFalse(yield* files.exists(`${folder}/net.engine`))
      const asJson = json((yield* build("--json")).out)
      assert.deepStrictEqual([asJson["ok"], asJson["exitCode"]], [false, 3])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("says no to a damaged engine, wrong usage and wrong outputs by exit code", () =>
    Effect.gen(function* () {
      const { build, files, folder } = yield* workplace
      yield* build()
      const path = `${folder}/net.engine`
      const bytes = yield* files.readFile(path)
      yield* files.writeFile(`${folder}/cut.engine`, bytes.subarray(0, bytes.length - 1))
      assert.strictEqual((yield* command("inspect", `${folder}/cut.engine`)).code, 5)
      assert.strictEqual((yield* command("inspect", `${folder}/absent.engine`)).code, 2)
      assert.strictEqual((yield* command("build", "--nonsense")).code, 2)
      assert.strictEqual((yield* build("--int8")).code, 2)
      assert.strictEqual((yield* command("--help")).code, 0)
      const wrong = Numbers.fromNumbers("f32", [2, 2], [0, 4.25, 0, 2.75])
      yield* files.writeFile(`${folder}/golden/one/out_y.npy`, Npy.encode(wrong))
      const compared = yield* command("compare", path, "--cases", `${folder}/golden`)
      assert.strictEqual(compared.code, 1)
      assert.match(compared.out, /✗ one y: A against known: 1 of 4 elements differ/)
      assert.strictEqual(compared.err, "1 of 1 comparisons are out of tolerance")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("saves the optimised graph as ONNX, which builds and runs again", () =>
    Effect.gen(function* () {
      const { build, folder } = yield* workplace
      const built = yield* build("--save-onnx", `${folder}/optimised.onnx`)
      assert.strictEqual(built.code, 0, built.err)
      const compared = yield* command("compare", `${folder}/optimised.onnx`, "--cases", `${folder}/golden`)
      assert.strictEqual(compared.code, 0, compared.out + compared.err)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("binds state that comes back", () =>
    Effect.gen(function* () {
      const { build } = yield* workplace
      const refused = yield* build("--state", "x=z")
      assert.strictEqual(refused.code, 2)
      assert.match(refused.err, /the inputs are x, the outputs y/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
