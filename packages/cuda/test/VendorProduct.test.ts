/** cuBLASLt's products over the stand-in library: every algorithm's result, and what is refused; and on the recording device. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Buffer from "@anneal/cuda/Buffer"
import * as Device from "@anneal/cuda/Device"
import * as Native from "@anneal/cuda/Native"
import * as RecordingDevice from "@anneal/cuda/RecordingDevice"
import * as Stream from "@anneal/cuda/Stream"
import * as VendorProduct from "@anneal/cuda/VendorProduct"
import * as Products from "../gpu-tests/Products.ts"
import { driverPath, standIn } from "./StandIn.ts"

const layerWith = (library: string) =>
  Device.layerNative(0).pipe(
    Layer.provideMerge(
      Native.layerWith({
        ...standIn,
        environment: { ...standIn?.environment, ANNEAL_CUBLASLT: library }
      })
    )
  )

const problem: VendorProduct.Problem = {
  m: 4,
  n: 4,
  k: 8,
  batch: 1,
  input: "float",
  output: "float",
  strides: { a: 8, b: 8, d: 4 },
  epilogue: "none",
  fastAccumulation: false,
  mostWorkspaceBytes: 0
}

describe.skipIf(standIn === undefined)("VendorProduct", () => {
  // First: a library that has been opened stays open.
  it.effect("says where the library was looked for when it is not there", () =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(VendorProduct.make(problem))
      assert.strictEqual(failure.reason._tag, "Missing")
      assert.include(failure.description, "/nowhere/libcublasLt.so")
    }).pipe(Effect.scoped, Effect.provide(layerWith("/nowhere/libcublasLt.so")))
  )

  it.effect("runs every algorithm that the library names", () =>
    Effect.gen(function* () {
      const results = yield* Products.run
      assert.deepStrictEqual(results, [
        ["cuBLASLt, epilogue none: 2 algorithms", true],
        ["cuBLASLt, epilogue bias and relu: 2 algorithms", true]
      ])
      const alive = yield* Device.statistics
      assert.strictEqual(alive["product"], 0)
    }).pipe(Effect.provide(layerWith(driverPath)))
  )

  it.effect("leaves out algorithms that want more workspace than there is", () =>
    Effect.gen(function* () {
      const product = yield* VendorProduct.make(problem)
      assert.deepStrictEqual(product.workspaceBytes, [0])
    }).pipe(Effect.scoped, Effect.provide(layerWith(driverPath)))
  )

  it.effect("refuses buffers that are too short, unknown algorithms, types and strides that cannot be", () =>
    Effect.gen(function* () {
      const stream = yield* Stream.make()
      const product = yield* VendorProduct.make(problem)
      const long = { buffer: yield* Buffer.make(4096) }
      const short = { buffer: yield* Buffer.make(16) }
      const failures = [
        yield* Effect.flip(VendorProduct.submit(product, 0, stream, { a: long, b: long, d: short })),
        yield* Effect.flip(VendorProduct.submit(product, 7, stream, { a: long, b: long, d: long })),
        yield* Effect.flip(VendorProduct.make({ ...problem, input: "s8", output: "s32" })),
        yield* Effect.flip(VendorProduct.make({ ...problem, strides: { a: 4, b: 8, d: 4 } }))
      ]
      assert.deepStrictEqual(
        failures.map((failure) => failure.code),
        ["ANNEAL_OUT_OF_RANGE", "ANNEAL_OUT_OF_RANGE", "CUBLAS_STATUS_NOT_SUPPORTED", "ANNEAL_BAD_ARGUMENT"]
      )
    }).pipe(Effect.scoped, Effect.provide(layerWith(driverPath)))
  )
})

describe("VendorProduct on the recording device", () => {
  const operands = Effect.gen(function* () {
    const stream = yield* Stream.make()
    const a = yield* Buffer.make(128)
    const b = yield* Buffer.make(128)
    const d = yield* Buffer.make(64)
    const workspace = yield* Buffer.make(256)
    return { stream, a, b, d, workspace }
  })

  it.effect("is logged, and orders what it touches", () =>
    Effect.gen(function* () {
      const { stream, a, b, d, workspace } = yield* operands
      const product = yield* VendorProduct.make({ ...problem, mostWorkspaceBytes: 256 })
      assert.deepStrictEqual(product.workspaceBytes, [0, 256])
      yield* Buffer.writeSmall(a, stream, new Float32Array(32))
      const unwritten = yield* Effect.flip(
        VendorProduct.submit(product, 0, stream, { a: { buffer: a }, b: { buffer: b }, d: { buffer: d } })
      )
      assert.include(unwritten.description, "which nothing has written")
      yield* Buffer.writeSmall(b, stream, new Float32Array(32))
      yield* VendorProduct.submit(product, 1, stream, {
        a: { buffer: a },
        b: { buffer: b },
        d: { buffer: d },
        workspace: { buffer: workspace }
      })
      const other = yield* Stream.make()
      const race = yield* Effect.flip(
        VendorProduct.submit(product, 0, other, { a: { buffer: a }, b: { buffer: b }, d: { buffer: d } })
      )
      assert.strictEqual(race.code, "ANNEAL_HAZARD")
      const { log } = yield* RecordingDevice.Recorder
      const lines = RecordingDevice.toText(yield* log)
      assert.include(lines, `s${stream.handle}: submit product ${product.handle} algorithm 1`)
    }).pipe(Effect.scoped, Effect.provide(RecordingDevice.layer()))
  )

  it.effect("refuses short buffers, operands that overlap in part, unknown algorithms and rows that overlap", () =>
    Effect.gen(function* () {
      const { stream, a, b, d } = yield* operands
      const product = yield* VendorProduct.make(problem)
      const good = { a: { buffer: a }, b: { buffer: b }, d: { buffer: d } }
      const failures = [
        yield* Effect.flip(VendorProduct.submit(product, 0, stream, { ...good, a: { buffer: d } })),
        yield* Effect.flip(VendorProduct.submit(product, 0, stream, { ...good, d: { buffer: a, offset: 64 } })),
        yield* Effect.flip(VendorProduct.submit(product, 1, stream, good)),
        yield* Effect.flip(VendorProduct.make({ ...problem, strides: { a: 4, b: 8, d: 4 } }))
      ]
      assert.deepStrictEqual(
        failures.map((failure) => failure.code),
        ["ANNEAL_OUT_OF_RANGE", "ANNEAL_HAZARD", "ANNEAL_OUT_OF_RANGE", "ANNEAL_BAD_ARGUMENT"]
      )
    }).pipe(Effect.scoped, Effect.provide(RecordingDevice.layer()))
  )
})
