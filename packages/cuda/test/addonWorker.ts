/** A worker thread that leaves a kernel running, a wait under way and memory allocated. See Native.test.ts. */
import { parentPort } from "node:worker_threads"
import * as Effect from "effect/Effect"
import * as Native from "@anneal/cuda/Native"
import { image, standIn } from "./StandIn.ts"

const native = await Effect.runPromise(Native.load(standIn))
await Effect.runPromise(native.openDriver)
const { driver } = native
const context = await driver.openContext(0)
const module = await driver.loadModule(context, new TextEncoder().encode(image), 0)
const stream = driver.createStream(context, 0)
const one = [1, 1, 1] as const
const shape = { grid: one, block: one, cluster: one, sharedBytes: 0, overlapsPrevious: false, cooperative: false }
const nothing = { block: new Uint8Array(0), buffers: [], maps: [] }
driver.launch(driver.prepareLaunch(driver.getFunction(module.handle, "hang").handle, shape, nothing), stream)
driver.allocate(context, 4096, "")
await driver.allocatePinned(context, 4096)
const wait = driver.waitStream(stream)
parentPort?.postMessage("ready", [])
await wait.done
