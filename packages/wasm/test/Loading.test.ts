// Engines that are run from their file: what is used is checked when it is read, and a weight is in memory once.
import * as Engine from "@anneal/engine/Engine"
import * as EngineFile from "@anneal/engine/EngineFile"
import * as Manifest from "@anneal/engine/Manifest"
import * as Safetensors from "@anneal/engine/Safetensors"
import * as Builder from "@anneal/ir/Builder"
import type { Graph } from "@anneal/ir/Graph"
import * as Hash from "@anneal/ir/Hash"
import * as Ops from "@anneal/ir/Ops"
import * as Tensor from "@anneal/ir/Tensor"
import * as Reference from "@anneal/reference/Reference"
import * as Session from "@anneal/runtime/Session"
import * as Compile from "@anneal/wasm/Compile"
import * as Executor from "@anneal/wasm/Executor"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Heuristic from "./Heuristic.ts"

const [rows, columns] = [64, 256]

/** x[16, 64] · w[64, 256]: the kernel reads w in panels. */
const product = (scale: number): Graph => {
  const b = Builder.make("product")
  const x = b.input("x", { dtype: "f32", shape: [16, rows] })
  const data = Float32Array.from({ length: rows * columns }, (_, i) => scale * ((i % 13) - 6))
  const w = b.tensor({ dtype: "f32", shape: [rows, columns], data }, { name: "w" })
  b.output("y", b.one(Ops.matmul, [x, w], {}))
  return b.finish()
}

const layoutOf = (graph: Graph) =>
  Effect.map(Effect.provide(Compile.compile(graph), Heuristic.layer), ({ payload }) =>
    Engine.assemble({
      about: Manifest.aboutModel(graph.name, Hash.content(graph)),
      source: graph,
      variants: [
        {
          name: "wasm",
          target: "wasm",
          features: ["simd128"],
          graph,
          profiles: [{ name: "any", dims: {} }],
          payload
        }
      ]
    })
  )

const layer = Layer.mergeAll(Executor.layer().pipe(Layer.provide(Reference.layer())), NodeServices.layer)

const x = {
  x: { dtype: "f32", shape: [16, rows], data: new Float32Array(16 * rows).fill(1) }
} satisfies Session.Tensors

const workplace = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const folder = yield* files.makeTempDirectoryScoped()
  const path = `${folder}/product.engine`
  yield* EngineFile.write(path, yield* layoutOf(product(1)))
  return { files, path }
})

describe("an engine in its file", () => {
  it.live("has a weight in memory once, in the form that is read", () =>
    Effect.gen(function* () {
      const { path } = yield* workplace
      const session = yield* Session.load(path)
      const { y } = yield* session.run(x)
      const expected = Array.from({ length: columns }, (_, column) => {
        let sum = 0
        for (let row = 0; row < rows; row++) sum += ((row * columns + column) % 13) - 6
        return sum
      })
      expect([...(y?.data ?? [])].slice(0, columns)).toEqual(expected)
      expect(session.memoryUse()?.weights).toBe(4 * rows * columns)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("is refused when a weight was altered, before anything is run", () =>
    Effect.gen(function* () {
      const { files, path } = yield* workplace
      const bytes = yield* files.readFile(path)
      const { entries } = Safetensors.parseHeader(bytes, bytes.length, path)
      const weight = entries.find(({ name }) => name === "w")
      const at = (weight?.begin ?? 0) + 1001
      bytes[at] = (bytes[at] ?? 0) ^ 1
      yield* files.writeFile(path, bytes)
      const error = yield* Effect.flip(Session.load(path))
      expect(error._tag).toBe("ExecutionError")
      expect(error.message).toMatch(/section w, bytes .*: their SHA-256 is/)
      const early = yield* Effect.flip(Session.load(path, { verify: "all" }))
      expect(early).toMatchObject({ _tag: "EngineError", reason: "Altered" })
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live(
    "with a bit flipped anywhere is refused by a typed error, or gives the same bits: what is read is checked",
    () =>
      Effect.gen(function* () {
        const { files, path } = yield* workplace
        const whole = yield* files.readFile(path)
        const { entries } = Safetensors.parseHeader(whole, whole.length, path)
        const right = yield* Effect.flatMap(Session.load(path), (session) => session.run(x))
        // Each section at its ends and in its middle, code among them, and the header.
        const places = entries.flatMap(({ begin, end, name }) =>
          end > begin ? [begin, (begin + end) >> 1, end - 1].map((at) => ({ at, name })) : []
        )
        const header = [0, 7, 8, 9, 100, 1000].map((at) => ({ at, name: "header" }))
        const refused = new Set<string>()
        for (const { at, name } of [...header, ...places]) {
          const bytes = Uint8Array.from(whole)
          bytes[at] = (bytes[at] ?? 0) ^ 4
          yield* files.writeFile(path, bytes)
          const tried = yield* Effect.result(
            Effect.scoped(Effect.flatMap(Session.load(path), (session) => session.run(x)))
          )
          if (Result.isSuccess(tried)) expect(tried.success, `byte ${at} of ${name}`).toEqual(right)
          else {
            expect(["EngineError", "ExecutionError"], `byte ${at} of ${name}`).toContain(tried.failure._tag)
            refused.add(name)
          }
          const early = yield* Effect.flip(Effect.scoped(Session.load(path, { verify: "all" })))
          expect(early._tag, `byte ${at} of ${name}`).toBe("EngineError")
        }
        // What a load reads: the index, a program, and the module that this host takes. Not the reports, nor what pads.
        const parts = ["header", "w", "anneal/index/", "anneal/program/", "anneal/module/", "anneal/seal"]
        expect(parts.filter((part) => ![...refused].some((name) => name.startsWith(part)))).toEqual([])
      }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("cut anywhere is refused before anything is run", () =>
    Effect.gen(function* () {
      const { files, path } = yield* workplace
      const whole = yield* files.readFile(path)
      const { entries } = Safetensors.parseHeader(whole, whole.length, path)
      const lengths = [0, 1, 7, 8, 100, whole.length - 1, ...entries.flatMap(({ begin, end }) => [begin, end - 1])]
      for (const length of lengths) {
        yield* files.writeFile(path, whole.subarray(0, length))
        const error = yield* Effect.flip(Effect.scoped(Session.load(path)))
        expect(error._tag, `${length} bytes`).toBe("EngineError")
      }
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("stays what it was when another takes its path", () =>
    Effect.gen(function* () {
      const { path } = yield* workplace
      const session = yield* Session.load(path)
      const before = yield* session.run(x)
      yield* EngineFile.write(path, yield* layoutOf(product(2)))
      const again = yield* Session.open(session.engine)
      expect(yield* again.run(x)).toEqual(before)
      const { y } = yield* (yield* Session.load(path)).run(x)
      expect(y?.data[0]).toBe(2 * Number(before["y"]?.data[0]))
      expect(Tensor.size(y?.shape ?? [])).toBe(16 * columns)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )
})
