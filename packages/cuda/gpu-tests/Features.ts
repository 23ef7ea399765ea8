/**
 * Each feature of the addon once on a device, its result checked on the host.
 */
import * as Effect from "effect/Effect"
import * as Buffer from "@anneal/cuda/Buffer"
import * as Compiler from "@anneal/cuda/Compiler"
import { Device } from "@anneal/cuda/Device"
import * as Event from "@anneal/cuda/Event"
import * as Graph from "@anneal/cuda/Graph"
import * as HostMemory from "@anneal/cuda/HostMemory"
import * as Launch from "@anneal/cuda/Launch"
import * as Module from "@anneal/cuda/Module"
import * as Pool from "@anneal/cuda/Pool"
import * as Stream from "@anneal/cuda/Stream"
import * as TensorMap from "@anneal/cuda/TensorMap"
import { architecture, source } from "./kernels.ts"

const words = (bytes: Uint8Array<ArrayBuffer>): Uint32Array => new Uint32Array(bytes.buffer)
const all = (values: Uint32Array, value: number): boolean => values.length > 0 && values.every((word) => word === value)

export const run = (image: Uint8Array) =>
  Effect.gen(function* () {
    const device = yield* Device
    const results: Array<readonly [string, boolean]> = []
    const stream = yield* Stream.make()
    const second = yield* Stream.make({ priority: -1 })
    const module = yield* Module.load(image)
    const fill = yield* Module.kernel(module, "fill")
    const buffer = yield* Buffer.make(4096)
    const filling = (value: number) =>
      Launch.make(fill, {
        grid: [4],
        block: [128],
        arguments: [Launch.buffer(buffer, { access: "write" }), Launch.u32(1024), Launch.u32(value)]
      })

    yield* Launch.submit(yield* filling(5), stream)
    results.push(["launch", all(words(yield* Buffer.read(buffer, stream)), 5)])
    results.push([
      `the kernel's layout: ${JSON.stringify(fill.parameters)}, ${fill.attributes.registers} registers`,
      fill.parameters?.length === 3 && fill.attributes.registers > 0
    ])

    const data = new ArrayBuffer(4096)
    new Uint32Array(data).fill(77)
    const pinned = yield* HostMemory.pin(data)
    yield* Buffer.upload(pinned, buffer, stream)
    results.push(["copy from a page-locked ArrayBuffer", all(words(yield* Buffer.read(buffer, stream)), 77)])
    yield* Buffer.writeSmall(buffer, stream, new Uint32Array([1, 2, 3]), 8)
    const written = words(yield* Buffer.read(buffer, stream))
    results.push(["a few bytes from a typed array", written[1] === 77 && written[2] === 1 && written[4] === 3])

    const pool = yield* Pool.make()
    const ordered = yield* Buffer.makeOn(stream, 4096, { pool })
    yield* Buffer.fill(ordered, stream, 9, { width: 4 })
    const event = yield* Event.make()
    yield* Stream.order(stream, second, event)
    yield* Buffer.copy(ordered, buffer, second)
    results.push(["pool, event between streams, copy on the device", all(words(yield* Buffer.read(buffer, second)), 9)])

    const graph = yield* Graph.capture(
      stream,
      Effect.flatMap(filling(21), (launch) => Launch.submit(launch, stream))
    )
    const step = yield* Graph.instantiate(graph)
    yield* Graph.replay(step, stream)
    results.push(["graph replay", all(words(yield* Buffer.read(buffer, stream)), 21)])
    yield* Graph.update(step, 0, yield* filling(22))
    yield* Graph.replay(step, stream)
    results.push(["graph node update", all(words(yield* Buffer.read(buffer, stream)), 22)])

    const guarded = yield* Buffer.makeGuarded(4096)
    yield* Launch.run(fill, stream, {
      grid: [4],
      block: [128],
      arguments: [Launch.buffer(guarded), Launch.u32(1024), Launch.u32(3)]
    })
    results.push(["memory between guard pages", all(words(yield* Buffer.read(guarded, stream)), 3)])

    const table = yield* Module.global(module, "table")
    yield* Buffer.fill(table, stream, 4, { width: 4 })
    results.push(["a module's global", table.bytes === 64 && all(words(yield* Buffer.read(table, stream)), 4)])

    if (device.info.attributes.clusterLaunch === 1) {
      const rank = yield* Module.kernel(module, "cluster_rank")
      yield* Launch.run(rank, stream, { grid: [16], block: [32], cluster: [4], arguments: [Launch.buffer(buffer)] })
      const ranks = words(yield* Buffer.read(buffer, stream)).slice(0, 16)
      results.push(["cluster launch", ranks.every((value, index) => value === index % 4)])

      const chained = yield* Module.kernel(module, "chained")
      yield* Buffer.fill(buffer, stream, 0)
      const step = yield* Launch.make(chained, {
        grid: [1],
        block: [32],
        overlapsPrevious: true,
        arguments: [Launch.buffer(buffer), Launch.u32(2)]
      })
      for (let i = 0; i < 50; i++) yield* Launch.submit(step, stream)
      results.push(["programmatic dependent launch", all(words(yield* Buffer.read(buffer, stream)).slice(0, 32), 100)])
    }
    if (device.info.attributes.tensorMaps === 1) {
      const matrix = yield* Buffer.make(64 * 32 * 4)
      yield* Buffer.write(
        matrix,
        stream,
        Float32Array.from({ length: 64 * 32 }, (_, index) => index)
      )
      const box = yield* Module.kernel(module, "tma_box")
      const map = TensorMap.tiled({ buffer: matrix, dtype: "f32", dims: [64, 32], strides: [256], box: [32, 8] })
      yield* Launch.run(box, stream, {
        grid: [1],
        block: [64],
        arguments: [Launch.tensorMap(map), Launch.buffer(buffer), Launch.i32(32), Launch.i32(16)]
      })
      const got = new Float32Array((yield* Buffer.read(buffer, stream, { bytes: 1024 })).buffer)
      results.push([
        "tensor map by value",
        got.every((value, i) => value === (16 + Math.floor(i / 32)) * 64 + 32 + (i % 32))
      ])
    }

    const target = architecture(device.info.computeCapability)
    const ptx = yield* Compiler.compile({ source, name: "kernels.cu", architecture: target.replace("sm_", "compute_") })
    const fromPtx = yield* Module.load(ptx.image)
    results.push(["PTX compiled by the driver", (yield* Module.kernel(fromPtx, "fill")).attributes.registers > 0])
    const linked = yield* Compiler.link(target, [{ name: "kernels.ptx", kind: "ptx", data: ptx.image }])
    const fromLinked = yield* Module.load(linked.image)
    results.push(["nvJitLink", (yield* Module.kernel(fromLinked, "fill")).attributes.registers > 0])

    const broken = yield* Compiler.compile({
      source: "this is not CUDA",
      name: "broken.cu",
      architecture: target
    }).pipe(Effect.flip)
    results.push([
      "a compiler's message",
      broken.reason._tag === "CompileFailed" && broken.reason.log.includes("error")
    ])
    const huge = yield* Effect.scoped(Buffer.make(2 ** 47)).pipe(Effect.flip)
    results.push([`out of memory: ${huge.message}`, huge.reason._tag === "OutOfMemory"])
    const notCode = yield* Effect.scoped(Module.load("not an image")).pipe(Effect.flip)
    results.push([`not a module: ${notCode.message.split("\n")[0]}`, notCode.code.startsWith("CUDA_ERROR_")])
    return results
  }).pipe(Effect.scoped)
