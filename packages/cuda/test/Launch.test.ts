import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Buffer from "@anneal/cuda/Buffer"
import * as Launch from "@anneal/cuda/Launch"
import * as RecordingDevice from "@anneal/cuda/RecordingDevice"
import * as TensorMap from "@anneal/cuda/TensorMap"

const withBuffer = (check: (buffer: Buffer.Buffer) => void) =>
  Effect.scoped(Effect.map(Buffer.make(4096), check)).pipe(Effect.provide(RecordingDevice.layer()))

const unknownLayout = { name: "k", parameters: undefined }

describe("Launch.pack", () => {
  it.effect("places arguments by natural alignment where the layout is not known", () =>
    withBuffer((buffer) => {
      const packed = Launch.pack(unknownLayout, [
        Launch.u32(1),
        Launch.buffer(buffer),
        Launch.f32(0.5),
        Launch.i64(-1n)
      ])
      assert.strictEqual(packed.block.byteLength, 32)
      const view = new DataView(packed.block.buffer)
      assert.strictEqual(view.getUint32(0, true), 1)
      assert.strictEqual(view.getFloat32(16, true), 0.5)
      assert.strictEqual(view.getBigInt64(24, true), -1n)
      assert.deepStrictEqual(packed.buffers, [
        { at: 8, buffer: buffer.handle, offset: 0, bytes: 4096, access: "readWrite" }
      ])
    })
  )

  it.effect("follows the kernel's own layout where it is", () =>
    withBuffer((buffer) => {
      const map = TensorMap.tiled({ buffer, dtype: "f16", dims: [32, 16], strides: [64], box: [32, 8], swizzle: "64B" })
      const kernel = {
        name: "k",
        parameters: [
          [0, 4],
          [128, 128],
          [256, 8]
        ] as const
      }
      const packed = Launch.pack(kernel, [Launch.i32(-3), Launch.tensorMap(map), Launch.buffer(buffer, { offset: 96 })])
      assert.strictEqual(packed.block.byteLength, 264)
      assert.deepStrictEqual(
        packed.buffers.map(({ at, offset, bytes }) => [at, offset, bytes]),
        [[256, 96, 4000]]
      )
      const placed = packed.maps[0]
      assert.deepStrictEqual([placed?.at, placed?.dtype, placed?.swizzle, placed?.rank], [128, 6, 2, 2])
      assert.strictEqual(placed?.bytes, 32 * 2 + 15 * 64)
    })
  )

  for (const [what, list, words] of [
    ["too few arguments", [Launch.u32(1)], "takes 2 arguments, got 1"],
    ["an argument of another size", [Launch.u32(1), Launch.f64(1)], "argument 1 has 4 bytes in the kernel, 8"]
  ] as const)
    it(`refuses ${what}`, () => {
      const kernel = {
        name: "k",
        parameters: [
          [0, 4],
          [4, 4]
        ] as const
      }
      assert.throws(() => Launch.pack(kernel, list), words)
    })
})
