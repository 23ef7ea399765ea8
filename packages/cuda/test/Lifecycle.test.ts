import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Device from "@anneal/cuda/Device"
import * as Native from "@anneal/cuda/Native"
import * as RecordingDevice from "@anneal/cuda/RecordingDevice"
import * as Lifecycle from "../gpu-tests/Lifecycle.ts"
import { image, kernels, standIn } from "./StandIn.ts"

const devices = [
  [
    "addon over the stand-in driver",
    Device.layerNative(0).pipe(Layer.provide(Native.layerWith(standIn ?? { paths: [] }))),
    standIn !== undefined
  ],
  ["recording device", RecordingDevice.layer({ kernels, checkUninitialised: false }), true]
] as const

describe("create, use, free", () => {
  for (const [name, layer, available] of devices)
    it.live.skipIf(!available)(`${name}: nothing is left of any kind of handle`, () =>
      Effect.gen(function* () {
        const { driver, context } = yield* Device.Device
        const rows = yield* Effect.promise(() =>
          Lifecycle.run(driver, 0, context, new TextEncoder().encode(image), 100)
        )
        assert.strictEqual(rows.length, 15)
        for (const row of rows) {
          assert.strictEqual(row.handles, 0, row.kind)
          assert.strictEqual(row.deviceBytes, 0, row.kind)
        }
      }).pipe(Effect.provide(layer))
    )
})
