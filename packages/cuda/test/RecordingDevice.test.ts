import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import * as Buffer from "@anneal/cuda/Buffer"
import type { CudaError } from "@anneal/cuda/CudaError"
import type { Device } from "@anneal/cuda/Device"
import * as Event from "@anneal/cuda/Event"
import * as Graph from "@anneal/cuda/Graph"
import * as HostMemory from "@anneal/cuda/HostMemory"
import * as Launch from "@anneal/cuda/Launch"
import * as Module from "@anneal/cuda/Module"
import * as RecordingDevice from "@anneal/cuda/RecordingDevice"
import * as Stream from "@anneal/cuda/Stream"
import { kernels } from "./StandIn.ts"

const recorded = <A, E>(
  effect: Effect.Effect<A, E, Device | RecordingDevice.Recorder | Scope>,
  options: RecordingDevice.Options = {}
) => Effect.scoped(effect).pipe(Effect.provide(RecordingDevice.layer(options)))

const hazard = <A, R>(effect: Effect.Effect<A, CudaError, R>) =>
  Effect.map(Effect.flip(effect), (error) => (error.reason._tag === "Hazard" ? error.reason.kind : error.reason._tag))

const copying = Effect.gen(function* () {
  const module = yield* Module.load("image")
  const copy = yield* Module.kernel(module, "copy")
  const submit = (stream: Stream.Stream, from: Launch.Argument, to: Launch.Argument) =>
    Launch.run(copy, stream, { grid: [4], block: [128], arguments: [from, to] })
  return { submit }
})

describe("RecordingDevice", () => {
  it.effect("logs what happened, in order", () =>
    recorded(
      Effect.gen(function* () {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const stream = yield* Stream.make()
            const x = yield* Buffer.make(256, { label: "x" })
            const { submit } = yield* copying
            yield* Buffer.fill(x, stream, 1, { width: 4, count: 32 })
            yield* submit(
              stream,
              Launch.buffer(x, { bytes: 128, access: "read" }),
              Launch.buffer(x, { offset: 128, access: "write" })
            )
            const graph = yield* Graph.capture(stream, Buffer.fill(x, stream, 2))
            yield* Graph.replay(yield* Graph.instantiate(graph), stream)
          })
        )
        const recorder = yield* RecordingDevice.Recorder
        const text = RecordingDevice.toText(yield* recorder.log).replace(
          /\b([sb]?)\d+(?= |:|$)/gm,
          (whole, kind: string) => (kind === "" ? whole : kind)
        )
        assert.deepStrictEqual(text.replace(/(module|graph|replay) \d+/g, "$1").split("\n"), [
          'allocate b 256 "x"',
          "load module of 5 bytes",
          "s: fill b [0, 128) with 1",
          "s: launch copy grid 4×1×1 block 128×1×1",
          "s: fill b [0, 256) with 2",
          "graph of 1 nodes",
          "s: replay (1 nodes)",
          'free b 256 "x"'
        ])
        assert.deepStrictEqual(yield* recorder.alive, [])
        assert.strictEqual(yield* recorder.peakBytes(), 256)
      })
    )
  )

  it.effect("finds two streams that touch the same bytes in no certain order", () =>
    recorded(
      Effect.gen(function* () {
        const [a, b] = [yield* Stream.make(), yield* Stream.make()]
        const x = yield* Buffer.make(256, { label: "x" })
        const y = yield* Buffer.make(256)
        yield* Buffer.fill(x, a, 1)
        const error = yield* Effect.flip(Buffer.copy(x, y, b))
        assert.include(error.message, 'bytes 0 to 256 of buffer "x": nothing orders it after "fill device memory"')
        // Other bytes, an event, or a wait on the host make it right.
        yield* Buffer.fill(y, b, 1)
        yield* Stream.order(a, b, yield* Event.make())
        yield* Buffer.copy(x, y, b)
        assert.strictEqual(yield* hazard(Buffer.fill(y, a, 2)), "race")
        yield* Stream.wait(b)
        yield* Buffer.fill(y, a, 2)
      })
    )
  )

  it.effect("finds a race inside a graph, and a stream that the capture forgot", () =>
    recorded(
      Effect.gen(function* () {
        const [a, b] = [yield* Stream.make(), yield* Stream.make()]
        const x = yield* Buffer.make(256)
        const [fork, join] = [yield* Event.make(), yield* Event.make()]
        const race = Graph.capture(
          a,
          Effect.gen(function* () {
            yield* Stream.order(a, b, fork)
            yield* Buffer.fill(x, b, 1)
            yield* Buffer.fill(x, a, 2)
          })
        )
        assert.strictEqual(yield* hazard(race), "race")
        const joined = (end: Effect.Effect<void, CudaError>) =>
          Graph.capture(
            a,
            Effect.gen(function* () {
              yield* Stream.order(a, b, fork)
              yield* Buffer.fill(x, b, 1)
              yield* end
            })
          )
        assert.strictEqual((yield* Effect.flip(joined(Effect.void))).code, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED")
        assert.strictEqual((yield* joined(Stream.order(b, a, join))).nodes, 1)
      })
    )
  )

  it.effect("finds a read of bytes that nothing has written", () =>
    recorded(
      Effect.gen(function* () {
        const stream = yield* Stream.make()
        const { submit } = yield* copying
        const x = yield* Buffer.make(256, { label: "x" })
        const y = yield* Buffer.make(256)
        yield* Buffer.fill(x, stream, 0, { count: 128 })
        const whole = submit(stream, Launch.buffer(x, { access: "read" }), Launch.buffer(y, { access: "write" }))
        const error = yield* Effect.flip(whole)
        assert.include(error.message, 'reads bytes 128 to 256 of buffer "x", which nothing has written')
        yield* Buffer.fill(x, stream, 0, { offset: 128 })
        yield* whole
        // What the kernel wrote counts as written.
        yield* Buffer.read(y, stream)
      })
    )
  )

  it.effect("finds arguments that overlap in part, and lets in-place work be", () =>
    recorded(
      Effect.gen(function* () {
        const stream = yield* Stream.make()
        const { submit } = yield* copying
        const x = yield* Buffer.make(256)
        yield* Buffer.fill(x, stream, 0)
        const part = (offset: number, access: "read" | "write") => Launch.buffer(x, { offset, bytes: 128, access })
        assert.strictEqual(yield* hazard(submit(stream, part(0, "read"), part(64, "write"))), "overlap")
        yield* submit(stream, part(0, "read"), part(0, "write"))
        yield* submit(stream, part(0, "read"), part(64, "read"))
      })
    )
  )

  it.effect("refuses to free what the device may still use, and release waits for it", () =>
    recorded(
      Effect.gen(function* () {
        const stream = yield* Stream.make()
        yield* Effect.scoped(
          Effect.gen(function* () {
            const x = yield* Buffer.make(256)
            yield* Buffer.fill(x, stream, 1)
            assert.throws(() => x.driver.free(x.handle), /may still be using this buffer/)
          })
        )
        const recorder = yield* RecordingDevice.Recorder
        assert.strictEqual((yield* recorder.log).at(-1)?._tag, "Free")
      })
    )
  )

  it.effect("orders a stream-ordered free after other streams' use", () =>
    recorded(
      Effect.gen(function* () {
        const [a, b] = [yield* Stream.make(), yield* Stream.make()]
        const event = yield* Event.make()
        yield* Effect.scoped(
          Effect.gen(function* () {
            const x = yield* Buffer.makeOn(a, 256)
            assert.strictEqual(yield* hazard(Buffer.fill(x, b, 1)), "race")
            yield* Stream.order(a, b, event)
            yield* Buffer.fill(x, b, 1)
          })
        )
        const recorder = yield* RecordingDevice.Recorder
        assert.strictEqual((yield* recorder.log).at(-1)?._tag, "Free")
      })
    )
  )

  it.effect("keeps the device's limits for launches and clusters", () =>
    recorded(
      Effect.gen(function* () {
        const stream = yield* Stream.make()
        const module = yield* Module.load("image")
        const small = yield* Module.kernel(module, "slow")
        const large = yield* Module.kernel(module, "slow", { maxSharedBytes: 200_000, largeClusters: true })
        const launched = (kernel: Module.Kernel, options: Partial<Launch.Options>) =>
          Effect.match(Launch.run(kernel, stream, { grid: [16], block: [32], arguments: [], ...options }), {
            onSuccess: () => "ok",
            onFailure: (error) => error.description
          })
        assert.include(yield* launched(small, { sharedBytes: 49_153 }), "49152 bytes of dynamic shared memory")
        assert.strictEqual(yield* launched(large, { sharedBytes: 200_000 }), "ok")
        assert.include(yield* launched(small, { cluster: [16] }), "more than 8 blocks")
        assert.strictEqual(yield* launched(large, { cluster: [16] }), "ok")
        assert.include(yield* launched(small, { cluster: [3] }), "not a multiple of the cluster")
        const beyond = yield* Effect.flip(Module.kernel(module, "slow", { maxSharedBytes: 300_000 }))
        assert.strictEqual(beyond.code, "CUDA_ERROR_INVALID_VALUE")
      }),
      { kernels }
    )
  )

  it.effect("says when a plan needs more memory than there is", () =>
    recorded(
      Effect.gen(function* () {
        yield* Buffer.make(600)
        const error = yield* Effect.flip(Buffer.make(500))
        assert.strictEqual(error.reason._tag, "OutOfMemory")
        assert.include(error.message, "400 of 1000 bytes are free")
      }),
      { devices: [{ ...RecordingDevice.h100, totalBytes: 1000 }] }
    )
  )

  it.effect("refuses copies from page-locked memory that was transferred away", () =>
    recorded(
      Effect.gen(function* () {
        const stream = yield* Stream.make()
        const x = yield* Buffer.make(64)
        const array = new ArrayBuffer(64)
        const host = yield* HostMemory.pin(array)
        yield* Buffer.upload(host, x, stream)
        array.transfer()
        const error = yield* Effect.flip(Buffer.upload(host, x, stream, { bytes: 8 }))
        assert.strictEqual(error.reason._tag, "NotAlive")
      })
    )
  )
})
