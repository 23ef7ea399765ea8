import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Buffer from "@anneal/cuda/Buffer"
import * as Compiler from "@anneal/cuda/Compiler"
import * as Device from "@anneal/cuda/Device"
import * as HostMemory from "@anneal/cuda/HostMemory"
import * as Launch from "@anneal/cuda/Launch"
import * as Module from "@anneal/cuda/Module"
import * as Native from "@anneal/cuda/Native"
import * as Stream from "@anneal/cuda/Stream"
import { image, standIn } from "./StandIn.ts"

const device = Device.layerNative(0).pipe(Layer.provideMerge(Native.layerWith(standIn ?? { paths: [] })))

describe("Native", () => {
  it.effect("says what to run when the addon is not built", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Native.load({ paths: ["/nowhere/anneal_cuda.node"] }))
      assert.strictEqual(error._tag, "NativeUnavailable")
      assert.include(error.message, "npm run build:native")
      assert.include(error.message, "/nowhere/anneal_cuda.node")
    })
  )

  it.effect("says why a file that is there does not load", () =>
    Effect.gen(function* () {
      const notAnAddon = fileURLToPath(new URL("../package.json", import.meta.url))
      const error = yield* Effect.flip(Native.load({ paths: [notAnAddon] }))
      assert.include(error.reason, "another addon")
      const layerError = yield* Effect.flip(Effect.provide(Native.Native, Native.layerWith({ paths: [notAnAddon] })))
      assert.strictEqual(layerError._tag, "NativeUnavailable")
    })
  )

  it("looks where ANNEAL_NATIVE says", () => {
    assert.deepStrictEqual(Native.addonPaths({ ANNEAL_NATIVE: "/a.node" }), ["/a.node"])
    assert.isTrue(Native.addonPaths({}).at(-1)?.endsWith("native/build/anneal_cuda.node"))
  })
})

describe.skipIf(standIn === undefined)("the addon", () => {
  it.live("reports a driver that is not there as Missing", () =>
    Effect.gen(function* () {
      const native = yield* Native.load({ ...standIn, environment: { ANNEAL_LIBCUDA: "libnowhere.so.1" } })
      const error = yield* Effect.flip(native.openDriver)
      assert.strictEqual(error.reason._tag, "Missing")
      assert.include(error.description, "libnowhere.so.1")
    })
  )

  it.live("reads back what a kernel wrote, through page-locked memory", () =>
    Effect.gen(function* () {
      const stream = yield* Stream.make()
      const buffer = yield* Buffer.make(4096)
      const fill = yield* Module.kernel(yield* Module.load(image), "fill")
      yield* Launch.run(fill, stream, {
        grid: [1],
        block: [128],
        arguments: [Launch.buffer(buffer), Launch.u32(1024), Launch.u32(0xdead)]
      })
      const words = new Uint32Array((yield* Buffer.read(buffer, stream)).buffer)
      assert.isTrue(words.every((word) => word === 0xdead))
      yield* Buffer.write(buffer, stream, Float32Array.of(1.5, -2), 8)
      const floats = new Float32Array((yield* Buffer.read(buffer, stream, { offset: 8, bytes: 8 })).buffer)
      assert.deepStrictEqual([...floats], [1.5, -2])
    }).pipe(Effect.scoped, Effect.provide(device))
  )

  it.live("copies from memory that JavaScript already had, without moving it", () =>
    Effect.gen(function* () {
      const stream = yield* Stream.make()
      const buffer = yield* Buffer.make(64)
      const data = new ArrayBuffer(64)
      const host = yield* HostMemory.pin(data)
      new Uint8Array(data).fill(7)
      assert.strictEqual(host.buffer, data)
      yield* Buffer.upload(host, buffer, stream)
      assert.isTrue((yield* Buffer.read(buffer, stream)).every((byte) => byte === 7))
    }).pipe(Effect.scoped, Effect.provide(device))
  )

  it.live("refuses to free under a kernel at work, and a wait can be given up", () =>
    Effect.gen(function* () {
      const stream = yield* Stream.make()
      const module = yield* Module.load(image)
      const buffer = yield* Buffer.make(64)
      const slow = yield* Launch.make(yield* Module.kernel(module, "slow"), { grid: [1], block: [1], arguments: [] })
      yield* Launch.submit(slow, stream)
      yield* Buffer.fill(buffer, stream, 1)
      assert.isFalse(yield* Stream.isIdle(stream))
      assert.throws(() => buffer.driver.free(buffer.handle), /may still be using/)
      yield* Stream.wait(stream)
      assert.isTrue(yield* Stream.isIdle(stream))

      const hang = yield* Launch.make(yield* Module.kernel(module, "slow"), { grid: [1], block: [1], arguments: [] })
      for (let i = 0; i < 3; i++) yield* Launch.submit(hang, stream)
      const wait = stream.driver.waitStream(stream.handle)
      assert.throws(() => stream.driver.destroyStream(stream.handle), /still has work|waiting/)
      const cancelled = stream.driver.cancelWait(wait.id)
      assert.strictEqual(yield* Effect.promise(() => wait.done), !cancelled)
      assert.isFalse(stream.driver.cancelWait(wait.id))
    }).pipe(Effect.scoped, Effect.provide(device))
  )

  it.live("waits without blocking the event loop, also for a kernel that never ends", () =>
    Effect.gen(function* () {
      const native = yield* Native.load(standIn)
      yield* native.openDriver
      const { driver } = native
      const context = yield* Effect.promise(() => driver.openContext(0))
      const module = yield* Effect.promise(() => driver.loadModule(context, new TextEncoder().encode(image), 0))
      const stream = driver.createStream(context, 0)
      const hang = {
        handle: driver.getFunction(module.handle, "hang").handle,
        none: { block: new Uint8Array(0), buffers: [], maps: [] }
      }
      const one = [1, 1, 1] as const
      const shape = { grid: one, block: one, cluster: one, sharedBytes: 0, overlapsPrevious: false, cooperative: false }
      driver.launch(driver.prepareLaunch(hang.handle, shape, hang.none), stream)
      const wait = driver.waitStream(stream)
      // Were the thread blocked, this would never come back.
      yield* Effect.sleep("30 millis")
      assert.isFalse(driver.streamIdle(stream))
      assert.throws(() => driver.unloadModule(module.handle), /may still be using/)
      assert.throws(() => driver.destroyStream(stream), /still has work/)
      assert.isTrue(driver.cancelWait(wait.id))
      assert.isFalse(yield* Effect.promise(() => wait.done))
    })
  )

  it.live("lets worker threads end with work under way", () =>
    Effect.promise(async () => {
      const entry = fileURLToPath(new URL("./addonWorker.ts", import.meta.url))
      const exits = [1, 2].map(async () => {
        const worker = new Worker(entry, { execArgv: ["--conditions=@anneal/source"] })
        const [message] = await once(worker, "message")
        assert.strictEqual(message, "ready")
        return worker.terminate()
      })
      assert.deepStrictEqual(await Promise.all(exits), [1, 1])
    })
  )

  it.live("compiles with NVRTC, and gives its messages", () =>
    Effect.gen(function* () {
      const request = { name: "a.cu", architecture: "sm_90a" }
      const compiled = yield* Compiler.compile({ ...request, source: "//! kernel fill 8 4 4\n", expressions: ["fill"] })
      assert.strictEqual(compiled.names.get("fill"), "fill")
      assert.deepStrictEqual((yield* Module.kernel(yield* Module.load(compiled.image), "fill")).parameters, [
        [0, 8],
        [8, 4],
        [12, 4]
      ])
      const error = yield* Effect.flip(Compiler.compile({ ...request, source: "#error no" }))
      assert.strictEqual(error.reason._tag, "CompileFailed")
      assert.include(error.message, "#error no")
    }).pipe(Effect.scoped, Effect.provide(device))
  )

  it.live("refuses handles that are not numbers of its own", () =>
    Effect.gen(function* () {
      const { driver } = yield* Device.Device
      for (const bad of [-1, 0.5, Number.NaN, 2 ** 60, Infinity]) assert.throws(() => driver.free(bad), /integer/)
      assert.throws(() => driver.launch(Number.NaN, 1), /integer/)
      assert.throws(() => driver.free(12345), /not alive/)
    }).pipe(Effect.provide(device))
  )
})
