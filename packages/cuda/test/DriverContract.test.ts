/**
 * What every driver keeps, said once and run on both: the recording device, and the native addon over the stand-in driver.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Scope } from "effect/Scope"
import * as Buffer from "@anneal/cuda/Buffer"
import type { CudaError } from "@anneal/cuda/CudaError"
import * as Device from "@anneal/cuda/Device"
import * as Event from "@anneal/cuda/Event"
import * as Graph from "@anneal/cuda/Graph"
import * as HostMemory from "@anneal/cuda/HostMemory"
import * as Launch from "@anneal/cuda/Launch"
import * as Module from "@anneal/cuda/Module"
import * as Native from "@anneal/cuda/Native"
import * as Pool from "@anneal/cuda/Pool"
import * as RecordingDevice from "@anneal/cuda/RecordingDevice"
import * as Stream from "@anneal/cuda/Stream"
import { image, kernels, standIn } from "./StandIn.ts"

const twoDevices = [RecordingDevice.h100, { ...RecordingDevice.h100, ordinal: 1 }]
const recording: Layer.Layer<Device.Device, unknown> = RecordingDevice.layer({ kernels, devices: twoDevices })
const native: Layer.Layer<Device.Device, unknown> = Device.layerNative(0).pipe(
  Layer.provide(Native.layerWith(standIn ?? { paths: [] }))
)

const reasonOf = <A, R>(effect: Effect.Effect<A, CudaError, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason._tag)

const setUp = Effect.gen(function* () {
  const stream = yield* Stream.make()
  const module = yield* Module.load(image)
  const fill = yield* Module.kernel(module, "fill")
  const buffer = yield* Buffer.make(4096, { label: "x" })
  const filling = (value: number, target = buffer) =>
    Launch.make(fill, {
      grid: [1],
      block: [128],
      arguments: [Launch.buffer(target, { access: "write" }), Launch.u32(target.bytes / 4), Launch.u32(value)]
    })
  return { stream, module, fill, buffer, filling, driver: stream.driver }
})

for (const [name, layer, available] of [
  ["recording device", recording, true],
  ["addon over the stand-in driver", native, standIn !== undefined]
] as const) {
  const run = <A, E>(effect: Effect.Effect<A, E, Device.Device | Scope>) =>
    Effect.scoped(effect).pipe(Effect.provide(layer))

  describe.skipIf(!available)(name, () => {
    it.live("gives everything back", () =>
      run(
        Effect.gen(function* () {
          const before = yield* Device.memory
          const alive = yield* Device.statistics
          yield* Effect.scoped(
            Effect.gen(function* () {
              const { stream, filling, buffer } = yield* setUp
              yield* Launch.submit(yield* filling(3), stream)
              const pool = yield* Pool.make()
              const ordered = yield* Buffer.makeOn(stream, 1024, { pool })
              yield* Buffer.fill(ordered, stream, 1)
              const guarded = yield* Buffer.makeGuarded(100)
              yield* Buffer.fill(guarded, stream, 1)
              const host = yield* HostMemory.make(4096)
              yield* Buffer.download(buffer, host, stream)
              const graph = yield* Graph.capture(stream, Buffer.fill(buffer, stream, 2))
              yield* Graph.replay(yield* Graph.instantiate(graph), stream)
              assert.isBelow((yield* Device.memory).free, before.free)
            })
          )
          // Page-locked memory goes when the engine has let go of its array.
          yield* Effect.sleep("20 millis")
          assert.deepStrictEqual((yield* Device.statistics)["buffer"] ?? 0, alive["buffer"] ?? 0)
          for (const [kind, count] of Object.entries(yield* Device.statistics))
            assert.strictEqual(count, alive[kind] ?? 0, kind)
        })
      )
    )

    it.live("refuses use after free, and a second free", () =>
      run(
        Effect.gen(function* () {
          const { stream, filling, driver, buffer } = yield* setUp
          const launch = yield* filling(1)
          const lost = yield* Effect.scoped(Buffer.make(64))
          assert.strictEqual(yield* reasonOf(Buffer.fill(lost, stream, 1)), "NotAlive")
          assert.throws(() => driver.free(lost.handle), /not alive/)
          const other = yield* Effect.scoped(Effect.map(Buffer.make(4096), (made) => made))
          assert.strictEqual(
            yield* reasonOf(Launch.update(launch, [Launch.buffer(other), Launch.u32(1), Launch.u32(1)])),
            "NotAlive"
          )
          // A handle of another kind is no better.
          assert.throws(() => driver.free(stream.handle), /expected a buffer, got a stream/)
          assert.throws(() => driver.launch(buffer.handle, stream.handle), /expected a launch/)
        })
      )
    )

    it.live("refuses to launch or replay with a buffer that has gone", () =>
      run(
        Effect.gen(function* () {
          const { stream, filling } = yield* setUp
          const scope = yield* Scope
          const launch = yield* Effect.scoped(
            Effect.gen(function* () {
              const short = yield* Buffer.make(256)
              return yield* filling(1, short).pipe(Effect.provideService(Scope, scope))
            })
          )
          assert.strictEqual(yield* reasonOf(Launch.submit(launch, stream)), "NotAlive")
          const step = yield* Effect.scoped(
            Effect.gen(function* () {
              const short = yield* Buffer.make(256)
              const graph = yield* Graph.capture(stream, Buffer.fill(short, stream, 1)).pipe(
                Effect.provideService(Scope, scope)
              )
              return yield* Graph.instantiate(graph).pipe(Effect.provideService(Scope, scope))
            })
          )
          assert.strictEqual(yield* reasonOf(Graph.replay(step, stream)), "NotAlive")
        })
      )
    )

    it.live("refuses ranges past the end", () =>
      run(
        Effect.gen(function* () {
          const { stream, buffer, fill } = yield* setUp
          const host = yield* HostMemory.make(64)
          assert.strictEqual(yield* reasonOf(Buffer.fill(buffer, stream, 0, { offset: 4000, count: 97 })), "OutOfRange")
          assert.strictEqual(yield* reasonOf(Buffer.upload(host, buffer, stream, { toOffset: 4064 })), "OutOfRange")
          assert.strictEqual(yield* reasonOf(Buffer.upload(host, buffer, stream, { bytes: 65 })), "OutOfRange")
          assert.strictEqual(
            yield* reasonOf(Buffer.copy(buffer, buffer, stream, { bytes: 64, toOffset: 32 })),
            "OutOfRange"
          )
          const beyond = [Launch.buffer(buffer, { offset: 4, bytes: 4096 }), Launch.u32(1), Launch.u32(1)]
          assert.strictEqual(
            yield* reasonOf(Launch.run(fill, stream, { grid: [1], block: [1], arguments: beyond })),
            "OutOfRange"
          )
        })
      )
    )

    it.live("refuses objects of two devices in one call", () =>
      run(
        Effect.gen(function* () {
          const { stream, buffer, driver } = yield* setUp
          const second = yield* Device.open(driver, 1)
          const there = yield* Effect.provideService(Buffer.make(64), Device.Device, second)
          const streamThere = yield* Effect.provideService(Stream.make(), Device.Device, second)
          const event = yield* Event.make()
          assert.strictEqual(yield* reasonOf(Buffer.fill(there, stream, 1)), "WrongDevice")
          assert.strictEqual(yield* reasonOf(Buffer.copy(there, buffer, stream)), "WrongDevice")
          assert.strictEqual(yield* reasonOf(Event.record(event, streamThere)), "WrongDevice")
        })
      )
    )

    it.live("refuses to take away what others depend on", () =>
      run(
        Effect.gen(function* () {
          const { stream, driver, filling } = yield* setUp
          const { context } = yield* Device.Device
          assert.throws(() => driver.closeContext(context), /live object/)
          const ordered = yield* Buffer.makeOn(stream, 64)
          yield* Buffer.fill(ordered, stream, 0)
          yield* Stream.wait(stream)
          assert.throws(() => driver.destroyStream(stream.handle), /live object/)
          const graph = yield* Graph.capture(
            stream,
            Effect.flatMap(filling(1), (launch) => Launch.submit(launch, stream))
          )
          yield* Graph.instantiate(graph)
          assert.throws(() => driver.destroyGraph(graph.handle), /live object/)
        })
      )
    )

    it.live("refuses wrong arguments of a kernel", () =>
      run(
        Effect.gen(function* () {
          const { stream, fill, buffer, module } = yield* setUp
          const launched = (list: ReadonlyArray<Launch.Argument>) =>
            Launch.run(fill, stream, { grid: [1], block: [1], arguments: list })
          assert.strictEqual(yield* reasonOf(launched([Launch.buffer(buffer)])), "BadArgument")
          assert.strictEqual(
            yield* reasonOf(launched([Launch.buffer(buffer), Launch.u64(1n), Launch.u32(1)])),
            "BadArgument"
          )
          const missing = yield* Effect.flip(Module.kernel(module, "nothing"))
          assert.strictEqual(missing.code, "CUDA_ERROR_NOT_FOUND")
          assert.include(missing.message, "find the kernel nothing")
        })
      )
    )

    it.live("says what was launched when the driver refuses it", () =>
      run(
        Effect.gen(function* () {
          const { stream, fill, buffer } = yield* setUp
          const list = [Launch.buffer(buffer), Launch.u32(1), Launch.u32(1)]
          const error = yield* Effect.flip(Launch.run(fill, stream, { grid: [2], block: [2048], arguments: list }))
          assert.strictEqual(error.code, "CUDA_ERROR_INVALID_VALUE")
          assert.strictEqual(error.reason._tag, "Refused")
          assert.match(error.doing, /kernel fill \(grid 2.1.1, block 2048.1.1/)
          const shared = yield* Effect.flip(
            Launch.run(fill, stream, { grid: [1], block: [1], sharedBytes: 50_000, arguments: list })
          )
          assert.strictEqual(shared.code, "CUDA_ERROR_INVALID_VALUE")
        })
      )
    )

    it.live("says when memory is exhausted", () =>
      run(
        Effect.gen(function* () {
          const error = yield* Effect.flip(Effect.scoped(Buffer.make(2 ** 40)))
          assert.strictEqual(error.reason._tag, "OutOfMemory")
          assert.include(error.doing, String(2 ** 40))
          assert.strictEqual(yield* reasonOf(Effect.scoped(Buffer.make(0))), "BadArgument")
        })
      )
    )

    it.live("captures, replays, updates a node; a failed capture leaves the stream usable", () =>
      run(
        Effect.gen(function* () {
          const { stream, filling, buffer } = yield* setUp
          const graph = yield* Graph.capture(
            stream,
            Effect.gen(function* () {
              yield* Launch.submit(yield* filling(1), stream)
              yield* Buffer.fill(buffer, stream, 9, { count: 4 })
            })
          )
          assert.strictEqual(graph.nodes, 2)
          assert.deepStrictEqual(graph.kernels, [{ name: "fill", updatable: true }])
          const step = yield* Graph.instantiate(graph)
          yield* Graph.replay(step, stream)
          yield* Graph.update(step, 0, yield* filling(5))
          yield* Graph.replay(step, stream)
          assert.strictEqual(yield* reasonOf(Graph.update(step, 1, yield* filling(5))), "OutOfRange")
          const failed = yield* Effect.flip(Graph.capture(stream, Effect.fail("no" as const)))
          assert.strictEqual(failed, "no")
          assert.strictEqual(
            yield* reasonOf(Graph.capture(stream, Effect.scoped(Buffer.makeOn(stream, 64)))),
            "StillInUse"
          )
          yield* Buffer.fill(buffer, stream, 1)
          yield* Stream.wait(stream)
        })
      )
    )

    it.live("empties a typed array whose memory is gone", () =>
      run(
        Effect.gen(function* () {
          const view = yield* Effect.scoped(Effect.map(HostMemory.make(64), (host) => new Uint8Array(host.buffer)))
          assert.strictEqual(view.byteLength, 0)
          const mine = new ArrayBuffer(64)
          yield* Effect.scoped(HostMemory.pin(mine))
          assert.strictEqual(mine.byteLength, 64)
          const twice = yield* Effect.flip(Effect.scoped(Effect.andThen(HostMemory.pin(mine), HostMemory.pin(mine))))
          assert.strictEqual(twice.code, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED")
        })
      )
    )
  })
}
