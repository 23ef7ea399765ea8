/**
 * The child's side of the isolated kernels: one kernel, named, on device 0. Run by main.ts through `Isolated.run`.
 */
import * as Effect from "effect/Effect"
import * as Buffer from "@anneal/cuda/Buffer"
import * as Compiler from "@anneal/cuda/Compiler"
import * as Device from "@anneal/cuda/Device"
import * as Isolated from "@anneal/cuda/Isolated"
import * as Launch from "@anneal/cuda/Launch"
import * as Module from "@anneal/cuda/Module"
import * as Native from "@anneal/cuda/Native"
import * as Stream from "@anneal/cuda/Stream"
import { architecture, source } from "./kernels.ts"

const program = (name: string, stage: (name: string) => Promise<void>) =>
  Effect.gen(function* () {
    const device = yield* Device.Device
    const { image } = yield* Compiler.compile({
      source,
      name: "kernels.cu",
      architecture: architecture(device.info.computeCapability)
    })
    const module = yield* Module.load(image)
    const kernel = yield* Module.kernel(module, name)
    const stream = yield* Stream.make()
    const buffer = yield* Buffer.makeGuarded(4096)
    yield* Buffer.fill(buffer, stream, 0)
    const out = Launch.buffer(buffer)
    const list =
      { hang: [out], crash: [out, Launch.u32(1024)], fill: [out, Launch.u32(1024), Launch.u32(7)] }[name] ?? []
    yield* Effect.promise(() => stage(`kernel ${name}`))
    yield* Launch.run(kernel, stream, { grid: [1], block: [128], arguments: list })
    yield* Stream.wait(stream)
    const bytes = yield* Buffer.read(buffer, stream)
    return new Uint32Array(bytes.buffer)[0] ?? -1
  }).pipe(Effect.scoped, Effect.provide(Device.layerNative(0)), Effect.provide(Native.layer))

Isolated.serve((payload, stage) => Effect.runPromise(program(String(payload), stage)))
