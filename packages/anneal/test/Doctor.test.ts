import * as Doctor from "anneal/Doctor"
import * as WebAssemblyFeatures from "anneal/WebAssemblyFeatures"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { existsSync } from "node:fs"

describe("doctor", () => {
  it.effect("says what this machine has, and the reason for what it lacks", () =>
    Effect.gen(function* () {
      const report = yield* Doctor.examine("/nonexistent/cache")
      assert.strictEqual(report.node.version, process.version)
      assert.isTrue(report.node.enough)
      assert.isAtLeast(report.cpu.threads, 1)
      if (process.platform === "linux") {
        const loaded = existsSync("/proc/driver/nvidia/version")
        if (!loaded) assert.isFalse(report.cuda.driver)
        if (!loaded) assert.match(report.cuda.reason, /no NVIDIA driver|kernel module is not loaded/)
      }
      assert.include(Doctor.format(report), report.cuda.driver ? "✓ driver" : `✗ ${report.cuda.reason}`)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("finds whether a cache folder that is not there yet can be made", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const folder = yield* files.makeTempDirectoryScoped()
      const { cache } = yield* Doctor.examine(`${folder}/a/b`)
      assert.deepStrictEqual([cache.directory, cache.writable], [`${folder}/a/b`, true])
      assert.isAbove(cache.freeBytes ?? 0, 0)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("runs generated code, and says what it reaches", () =>
    Effect.gen(function* () {
      const report = yield* Doctor.examine("/nonexistent/cache")
      assert.include(
        report.wasmSpeed.map(({ code }) => code),
        "simd128"
      )
      for (const { gflops } of report.wasmSpeed) assert.isAbove(gflops, 0)
      assert.isTrue(report.targets.find(({ name }) => name === "wasm")?.available)
      assert.match(Doctor.format(report), /f32 product on one thread: .*without/)
      const poor = Doctor.format({ ...report, wide: false, wasmSpeed: [{ code: "simd128", gflops: 30 }] })
      assert.match(poor, /30 without; relaxed-simd is not there/)
      assert.match(poor, /--wide needs Node 24/)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it("finds WebAssembly features by modules that only they accept", () => {
    const found = new Map(WebAssemblyFeatures.features().map(({ name, supported }) => [name, supported]))
    // Every Node that runs these sources has these three.
    for (const name of ["simd128", "threads", "bulk-memory"]) assert.isTrue(found.get(name), name)
  })
})
