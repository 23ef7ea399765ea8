/** A launch that is submitted again and again becomes a graph of one node: results, new arguments, other streams and releases stay as they were. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Buffer from "@anneal/cuda/Buffer"
import * as Device from "@anneal/cuda/Device"
import * as Graph from "@anneal/cuda/Graph"
import * as Launch from "@anneal/cuda/Launch"
import * as Layer from "effect/Layer"
import * as Module from "@anneal/cuda/Module"
import * as Native from "@anneal/cuda/Native"
import * as Stream from "@anneal/cuda/Stream"
import { image, standIn } from "./StandIn.ts"

const layer = Device.layerNative(0).pipe(Layer.provideMerge(Native.layerWith(standIn ?? {})))

const words = (bytes: Uint8Array<ArrayBuffer>): ReadonlyArray<number> => [...new Uint32Array(bytes.buffer)]

describe.skipIf(standIn === undefined)("a repeated launch", () => {
  it.effect("fills with its newest arguments, on every stream, captured or not, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const once = Effect.gen(function* () {
        const stream = yield* Stream.make()
        const other = yield* Stream.make()
        const buffer = yield* Buffer.make(16)
        const fill = yield* Module.kernel(yield* Module.load(image), "fill")
        const filling = (value: number) => [
          Launch.buffer(buffer, { access: "write" }),
          Launch.u32(4),
          Launch.u32(value)
        ]
        const launch = yield* Launch.make(fill, { grid: [1], block: [4], arguments: filling(1) })
        const check = (value: number) =>
          Effect.gen(function* () {
            assert.deepStrictEqual(words(yield* Buffer.read(buffer, stream)), [value, value, value, value])
            yield* Buffer.fill(buffer, stream, 0)
            yield* Stream.wait(stream)
          })
        for (let i = 0; i < 30; i++) {
          Launch.submitNow(launch, stream)
          yield* check(1)
        }
        yield* Launch.update(launch, filling(2))
        for (let i = 0; i < 30; i++) {
          Launch.submitNow(launch, stream)
          yield* check(2)
        }
        Launch.submitNow(launch, other)
        yield* Stream.wait(other)
        yield* check(2)
        const executable = yield* Effect.flatMap(
          Graph.capture(
            stream,
            Effect.sync(() => Launch.submitNow(launch, stream))
          ),
          Graph.instantiate
        )
        assert.deepStrictEqual(
          executable.kernels.map((kernel) => kernel.name),
          ["fill"]
        )
        yield* Graph.replay(executable, stream)
        yield* check(2)
      }).pipe(Effect.scoped)
      yield* once // waits keep an event for the next
      const before = yield* Device.memory
      yield* once
      assert.deepStrictEqual(yield* Device.memory, before)
    }).pipe(Effect.provide(layer))
  )
})
