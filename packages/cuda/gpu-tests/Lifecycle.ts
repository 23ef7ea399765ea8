/**
 * Create, use, free, ten thousand times for each kind of handle; then a thousand launches that fail. Device and host memory
 * must come back to where they were.
 */
import { setImmediate } from "node:timers/promises"
import * as CudaErrors from "@anneal/cuda/CudaError"
import type { Driver, Handle, LaunchShape, Parameters } from "@anneal/cuda/Driver"

export interface Row {
  readonly kind: string
  readonly rounds: number
  readonly microseconds: number
  /** Free device memory before minus after. */
  readonly deviceBytes: number
  /** Resident memory after minus before. */
  readonly hostBytes: number
  /** Handles alive after minus before. */
  readonly handles: number
}

const shape = (threads: number): LaunchShape => ({
  grid: [1, 1, 1],
  block: [threads, 1, 1],
  cluster: [1, 1, 1],
  sharedBytes: 0,
  overlapsPrevious: false,
  cooperative: false
})

const fillParameters = (buffer: Handle, count: number): Parameters => {
  const block = new Uint8Array(16)
  new DataView(block.buffer).setUint32(8, count, true)
  return { block, buffers: [{ at: 0, buffer, offset: 0, bytes: count * 4, access: "write" }], maps: [] }
}

interface Kind {
  readonly name: string
  readonly round: () => Promise<void> | void
}

const live = (driver: Driver): number => Object.values(driver.statistics()).reduce((sum, count) => sum + count, 0)

/** What has been let go of is really gone: finalizers have run, garbage is collected. */
const settle = async (driver: Driver, stream: Handle): Promise<void> => {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.()
    await setImmediate()
  }
  await driver.waitStream(stream).done
}

export const run = async (
  driver: Driver,
  ordinal: number,
  context: Handle,
  image: Uint8Array,
  rounds: number
): Promise<ReadonlyArray<Row>> => {
  const stream = driver.createStream(context, 0)
  const other = driver.createStream(context, 0)
  const event = driver.createEvent(context, false)
  const buffer = driver.allocate(context, 4096, "")
  const host = await driver.allocatePinned(context, 4096)
  const module = await driver.loadModule(context, image, 0)
  const fill = driver.getFunction(module.handle, "fill")
  const launch = driver.prepareLaunch(fill.handle, shape(128), fillParameters(buffer, 1024))

  const captured = (): Handle => {
    driver.beginCapture(stream)
    driver.launch(launch, stream)
    driver.fill(stream, buffer, 0, 16, 7, 4)
    return driver.endCapture(stream).handle
  }

  const kinds: ReadonlyArray<Kind> = [
    {
      name: "device opening",
      round: async () => driver.closeContext(await driver.openContext(ordinal))
    },
    {
      name: "stream",
      round: async () => {
        const made = driver.createStream(context, 0)
        driver.launch(launch, made)
        await driver.waitStream(made).done
        driver.destroyStream(made)
      }
    },
    {
      name: "event",
      round: () => {
        const made = driver.createEvent(context, true)
        driver.recordEvent(made, stream)
        driver.waitEvent(other, made)
        driver.destroyEvent(made)
      }
    },
    {
      name: "wait",
      round: async () => {
        driver.launch(launch, stream)
        const wait = driver.waitStream(stream)
        if (!driver.cancelWait(wait.id)) await wait.done
      }
    },
    {
      name: "buffer",
      round: async () => {
        const made = driver.allocate(context, 1 << 20, "")
        driver.fill(stream, made, 0, 1024, 1, 4)
        await driver.settled(made).done
        driver.free(made)
      }
    },
    {
      name: "stream-ordered buffer",
      round: () => {
        const made = driver.allocateOn(stream, 1 << 20, 0, "")
        driver.fill(stream, made, 0, 1024, 1, 4)
        driver.free(made)
      }
    },
    {
      name: "pool",
      round: async () => {
        const pool = driver.createPool(context, 0, 0)
        const made = driver.allocateOn(stream, 4096, pool, "")
        driver.fill(stream, made, 0, 1024, 1, 4)
        driver.free(made)
        await driver.waitStream(stream).done
        driver.destroyPool(pool)
      }
    },
    {
      name: "guarded buffer",
      round: async () => {
        const made = driver.allocateGuarded(context, 5000, true, 16, "")
        driver.fill(stream, made, 0, 5000, 1, 1)
        await driver.settled(made).done
        driver.free(made)
      }
    },
    {
      name: "page-locked memory",
      round: async () => {
        const made = await driver.allocatePinned(context, 4096)
        new Uint32Array(made.buffer).fill(3)
        driver.copyToDevice(stream, buffer, 0, made.handle, 0, 4096)
        await driver.settled(made.handle).done
        driver.freePinned(made.handle)
      }
    },
    {
      name: "page-locked ArrayBuffer",
      round: async () => {
        const array = new ArrayBuffer(8192)
        const made = await driver.registerPinned(context, array)
        driver.copyToHost(stream, made, 0, buffer, 0, 4096)
        await driver.settled(made).done
        driver.freePinned(made)
      }
    },
    {
      name: "module and function",
      round: async () => {
        const made = await driver.loadModule(context, image, 0)
        const fn = driver.getFunction(made.handle, "fill")
        const once = driver.prepareLaunch(fn.handle, shape(128), fillParameters(buffer, 1024))
        driver.launch(once, stream)
        driver.destroyLaunch(once)
        driver.free(driver.getGlobal(made.handle, "table").handle)
        await driver.settled(made.handle).done
        driver.unloadModule(made.handle)
      }
    },
    {
      name: "launch",
      round: () => {
        const made = driver.prepareLaunch(fill.handle, shape(128), fillParameters(buffer, 512))
        driver.launch(made, stream)
        driver.destroyLaunch(made)
      }
    },
    {
      name: "graph",
      round: () => driver.destroyGraph(captured())
    },
    {
      name: "graph executable",
      round: async () => {
        const graph = captured()
        const executable = driver.instantiate(graph)
        driver.replay(executable, stream)
        driver.updateKernelNode(executable, 0, launch)
        driver.replay(executable, stream)
        await driver.settled(executable).done
        driver.destroyExecutable(executable)
        driver.destroyGraph(graph)
      }
    }
  ]

  const tooWide = driver.prepareLaunch(fill.handle, shape(2048), fillParameters(buffer, 1024))
  const failing: Kind = {
    name: "launch that fails",
    round: () => {
      try {
        driver.launch(tooWide, stream)
      } catch (error) {
        if (error instanceof CudaErrors.CudaError && error.code === "CUDA_ERROR_INVALID_VALUE") return
        throw error
      }
      throw new Error("a launch of 2,048 threads a block was accepted")
    }
  }

  const repeat = async (kind: Kind, count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const done = kind.round()
      if (done !== undefined) await done
      // Promises alone never let finalizers and input have their turn.
      if (i % 64 === 63) await setImmediate()
    }
  }
  const measure = async (kind: Kind, count: number): Promise<Row> => {
    // Caches of the driver and the engine fill once; what is looked for is growth.
    await repeat(kind, Math.ceil(count / 10))
    await settle(driver, stream)
    driver.trimPool(context, 0)
    const free = driver.memoryInfo(context).free
    const handles = live(driver)
    const resident = process.memoryUsage.rss()
    const start = process.hrtime.bigint()
    await repeat(kind, count)
    const nanoseconds = Number(process.hrtime.bigint() - start)
    await settle(driver, stream)
    driver.trimPool(context, 0)
    return {
      kind: kind.name,
      rounds: count,
      microseconds: nanoseconds / 1000 / count,
      deviceBytes: free - driver.memoryInfo(context).free,
      hostBytes: process.memoryUsage.rss() - resident,
      handles: live(driver) - handles
    }
  }

  const rows: Array<Row> = []
  for (const kind of kinds) rows.push(await measure(kind, rounds))
  rows.push(await measure(failing, Math.max(10, Math.floor(rounds / 10))))

  await driver.waitStream(stream).done
  await driver.waitStream(other).done
  for (const made of [launch, tooWide]) driver.destroyLaunch(made)
  driver.unloadModule(module.handle)
  driver.freePinned(host.handle)
  driver.free(buffer)
  driver.destroyEvent(event)
  driver.destroyStream(other)
  driver.destroyStream(stream)
  return rows
}
