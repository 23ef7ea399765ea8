// Engines with code: locks, frozen builds, tuning, fusions, and what inspect says of them.
import * as Lock from "@anneal/tune/Lock"
import * as LockFile from "@anneal/tune/LockFile"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { child, command } from "./Command.ts"
import * as OnnxFile from "./OnnxFile.ts"

const workplace = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const folder = yield* files.makeTempDirectoryScoped()
  yield* files.writeFile(`${folder}/net.onnx`, OnnxFile.encode(OnnxFile.small))
  const lock = `${folder}/net.lock`
  const build = (engine: string, ...args: ReadonlyArray<string>) =>
    command("build", `${folder}/net.onnx`, "-o", `${folder}/${engine}`, "--cache", `${folder}/cache`, ...args)
  return { build, files, folder, lock }
})

interface Program {
  readonly regions: ReadonlyArray<{ readonly kernel: string; readonly why: string; readonly members: unknown }>
  readonly fusions: ReadonlyArray<{ readonly id: string; readonly taken: boolean; readonly reason: string }>
}
const programsIn = (out: string): ReadonlyArray<Program> => {
  const json: { readonly programs: ReadonlyArray<Program> } = JSON.parse(out)
  return json.programs
}

/** The rest of a lock is rewrites that were found right. */
const kernelsOf = (decisions: ReadonlyArray<Lock.LockEntry>) =>
  decisions.filter(({ key }) => !key.startsWith("rewrite "))

describe("anneal build with a lock", () => {
  it.live("writes what it decided, and a frozen build gives the same engine without deciding", () =>
    Effect.gen(function* () {
      const { build, files, folder, lock } = yield* workplace
      const first = yield* build("a.engine", "--lock", lock)
      assert.strictEqual(first.code, 0, first.err)
      assert.match(first.out, /^\d+ decisions: /m)
      const { decisions, generator, target } = yield* LockFile.read(lock)
      assert.isAbove(decisions.length, 0)
      assert.strictEqual(target, "wasm")
      assert.match(generator, /^wasm@\d+$/)
      assert.isTrue(decisions.every(({ nodes }) => nodes.length > 0))
      const text = yield* files.readFileString(lock)
      yield* files.makeDirectory(`${folder}/elsewhere`)
      const frozen = yield* build("elsewhere/b.engine", "--lock", lock, "--frozen", "--no-use-cache")
      assert.strictEqual(frozen.code, 0, frozen.err)
      const kernels = kernelsOf(decisions)
      assert.isAbove(kernels.length, 0)
      assert.include(frozen.out, `${kernels.length} decisions: ${kernels.length} locked`)
      assert.isAbove(decisions.length, kernels.length)
      assert.deepStrictEqual(
        yield* files.readFile(`${folder}/elsewhere/b.engine`),
        yield* files.readFile(`${folder}/a.engine`)
      )
      assert.strictEqual(yield* files.readFileString(lock), text)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("refuses a frozen build with all that the lock does not settle, or when it was edited", () =>
    Effect.gen(function* () {
      const { build, files, folder, lock } = yield* workplace
      yield* build("a.engine", "--lock", lock)
      const whole = yield* LockFile.read(lock)
      yield* LockFile.write(lock, Lock.make(whole, []))
      const missing = yield* build("b.engine", "--lock", lock, "--frozen", "--json")
      assert.strictEqual(missing.code, 8, missing.out)
      const report: {
        readonly error: { readonly tag: string; readonly misses: ReadonlyArray<{ readonly reason: string }> }
      } = JSON.parse(missing.out)
      assert.strictEqual(report.error.tag, "LockMiss")
      assert.deepStrictEqual(
        report.error.misses.map(({ reason }) => reason),
        kernelsOf(whole.decisions).map(() => "Absent")
      )
      yield* LockFile.write(lock, Lock.make({ ...whole, generator: "wasm@0" }, whole.decisions))
      const other = yield* build("b.engine", "--lock", lock, "--frozen")
      assert.strictEqual(other.code, 8, other.out)
      assert.match(other.err, /generator wasm@0, not wasm@\d+/)
      // Without --frozen it is decided anew, and said so.
      const options = ["-o", `${folder}/b.engine`, "--cache", `${folder}/cache`, "--lock", lock]
      const anew = yield* child(["build", `${folder}/net.onnx`, ...options])
      assert.strictEqual(anew.code, 0, anew.err)
      assert.match(anew.err, /none of its decisions is used/)
      assert.deepStrictEqual(yield* LockFile.read(lock), whole)
      const text = yield* files.readFileString(lock)
      yield* files.writeFileString(lock, text.replace('"candidate": "', '"candidate": "x'))
      const edited = yield* build("b.engine", "--lock", lock, "--frozen")
      assert.strictEqual(edited.code, 8, edited.out)
      assert.match(edited.err, /it was edited/)
      assert.isFalse(yield* files.exists(`${folder}/c.engine`))
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("keeps what a lock says of other models", () =>
    Effect.gen(function* () {
      const { build, lock } = yield* workplace
      yield* build("a.engine", "--lock", lock)
      const own = yield* LockFile.read(lock)
      const foreign: Lock.LockEntry = {
        key: "0 of another model",
        nodes: ["/fc"],
        candidate: "gemm",
        config: { mr: 4 }
      }
      yield* LockFile.write(lock, Lock.make(own, [...own.decisions, foreign]))
      const again = yield* build("b.engine", "--lock", lock)
      assert.include(again.out, `${kernelsOf(own.decisions).length} locked`)
      assert.deepStrictEqual((yield* LockFile.read(lock)).decisions, [foreign, ...own.decisions])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("refuses options that contradict each other", () =>
    Effect.gen(function* () {
      const { build, lock } = yield* workplace
      for (const [options, message] of [
        [["--frozen"], /give it with --lock FILE/],
        [["--frozen", "--lock", lock], /there is no lock .*net\.lock; build once without --frozen/],
        [["--frozen", "--lock", lock, "--tune", "quick"], /leave --tune quick away/],
        [["--tune-budget", "2 minutes"], /give --tune quick or full/],
        [["--tune", "quick", "--tune-budget", "long"], /expected a duration/],
        [["--target", "reference", "--lock", lock], /has nothing to tune or to lock/],
        [["--target", "reference", "--fusion-off", "a b"], /nothing to tune, to lock or to fuse/]
      ] as const) {
        const refused = yield* build("net.engine", ...options)
        assert.strictEqual(refused.code, 2, refused.out + refused.err)
        assert.match(refused.err, message)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})

describe("kernels that nobody measured", () => {
  it.live("are held against their regions before the engine is written, once for each cache", () =>
    Effect.gen(function* () {
      const { build } = yield* workplace
      const first = yield* build("a.engine")
      const [, decided = "", checked = "none"] = /^(\d+) decisions: .*; (\d+) kernels checked$/m.exec(first.out) ?? []
      assert.strictEqual(checked, decided, first.out)
      assert.notMatch((yield* build("b.engine")).out, /kernels checked/)
      assert.match((yield* build("c.engine", "--no-use-cache")).out, /kernels checked/)
      assert.notMatch((yield* build("d.engine", "--no-use-cache", "--no-validate")).out, /kernels checked/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})

describe("anneal build --tune", () => {
  it.live(
    "measures, keeps what it measured beside the lock, and explains decisions by it",
    () =>
      Effect.gen(function* () {
        const { build, files, folder, lock } = yield* workplace
        const tuned = yield* build("net.engine", "--lock", lock, "--tune", "quick", "--tune-budget", "30 s")
        assert.strictEqual(tuned.code, 0, tuned.err)
        assert.match(tuned.out, /; [1-9]\d* candidates timed/)
        const lines = (yield* files.readFileString(`${lock}.journal`)).trim().split("\n")
        const inspected = yield* command("inspect", `${folder}/net.engine`, "--journal", lock)
        assert.match(inspected.out, /timed/)
        // The journal is not needed again: everything is locked.
        const again = yield* build("again.engine", "--lock", lock, "--tune", "quick")
        assert.match(again.out, /decisions: \d+ locked$/m)
        assert.strictEqual((yield* files.readFileString(`${lock}.journal`)).trim().split("\n").length, lines.length)
        assert.deepStrictEqual(
          yield* files.readFile(`${folder}/again.engine`),
          yield* files.readFile(`${folder}/net.engine`)
        )
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    120_000
  )

  it.live("takes a tuner of the user's own", () =>
    Effect.gen(function* () {
      const { build, files, folder, lock } = yield* workplace
      // The predicted slowest: nobody else would decide so.
      yield* files.writeFileString(
        `${folder}/last.ts`,
        `import { Tuner } from "@anneal/pipeline/Tuner"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
const decide = (space) => Effect.succeed(space.map(({ key, candidates }) => ({ key, candidate: candidates.at(-1) })))
export default Layer.succeed(Tuner, { name: "last", identity: { name: "last", version: 1, config: {} }, decide })
`
      )
      yield* files.symlink(new URL("../../../node_modules", import.meta.url).pathname, `${folder}/node_modules`)
      const built = yield* build("net.engine", "--lock", lock, "--tuner", `${folder}/last.ts`)
      assert.strictEqual(built.code, 0, built.err)
      yield* build("predicted.engine", "--lock", `${folder}/predicted.lock`)
      const differs = yield* command("lock", "diff", `${folder}/predicted.lock`, lock)
      assert.strictEqual(differs.code, 1, differs.out)
      const no = yield* build("net.engine", "--tuner", `${folder}/last.ts`, "--tune", "quick")
      assert.strictEqual(no.code, 2)
      assert.match(no.err, /leave --tune and --frozen away/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})

describe("anneal inspect of an engine with code", () => {
  it.live("shows regions, why, fusions and memory; and a fusion can be switched off by its id", () =>
    Effect.gen(function* () {
      const { build, files, folder } = yield* workplace
      const engine = `${folder}/net.engine`
      yield* build("net.engine")
      const text = yield* command("inspect", engine)
      assert.match(text.out, /^program for .*: \d+ regions, ~?[\d.]+ \S+ on one thread \(.*\), \d+ nodes on the host$/m)
      assert.match(text.out, /^ {2}fusions: \d+ made, \d+ refused$/m)
      assert.match(text.out, /predicted to be the fastest of \d+|the only kernel/)
      assert.match(text.out, /memory: planned when the sizes are known|of the lower bound/)
      const [program] = programsIn((yield* command("inspect", engine, "--json")).out)
      assert.isAbove(program?.regions.length ?? 0, 0)
      const made = program?.fusions.find(({ taken }) => taken)
      assert.isDefined(made)
      const id = made?.id ?? ""
      const listed = yield* command("inspect", engine, "--fusions")
      assert.include(listed.out, `[${id}]`)
      const lock = `${folder}/off.lock`
      const off = yield* build("off.engine", "--fusion-off", id, "--lock", lock)
      assert.strictEqual(off.code, 0, off.err)
      const [without] = programsIn((yield* command("inspect", `${folder}/off.engine`, "--json")).out)
      const refused = without?.fusions.find((fusion) => fusion.id === id)
      assert.deepStrictEqual([refused?.taken, refused?.reason], [false, "switched off"])
      assert.isAbove(without?.regions.length ?? 0, program?.regions.length ?? Infinity)
      // What is off is in the lock: it need not be said again.
      const again = yield* build("again.engine", "--lock", lock, "--frozen")
      assert.strictEqual(again.code, 0, again.err)
      assert.deepStrictEqual(
        yield* files.readFile(`${folder}/again.engine`),
        yield* files.readFile(`${folder}/off.engine`)
      )
      const brief = yield* command("inspect", engine, "--brief")
      assert.notMatch(brief.out, /^program for/m)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
