/**
 * What a launch and a replay cost the JavaScript thread: microseconds per call, in batches that the stream's queue can hold.
 */
import * as Effect from "effect/Effect"
import * as Buffer from "@anneal/cuda/Buffer"
import * as Event from "@anneal/cuda/Event"
import * as Graph from "@anneal/cuda/Graph"
import * as Launch from "@anneal/cuda/Launch"
import * as Module from "@anneal/cuda/Module"
import * as Stream from "@anneal/cuda/Stream"

export interface Cost {
  readonly what: string
  readonly median: number
  readonly p10: number
  readonly p90: number
}

const batches = 60

export const run = (image: Uint8Array) =>
  Effect.gen(function* () {
    const stream = yield* Stream.make()
    const module = yield* Module.load(image)
    const empty = yield* Module.kernel(module, "empty")
    const fill = yield* Module.kernel(module, "fill")
    const buffer = yield* Buffer.make(4096)
    const nothing = yield* Launch.make(empty, { grid: [1], block: [32], arguments: [] })
    const small = yield* Launch.make(fill, {
      grid: [1],
      block: [128],
      arguments: [Launch.buffer(buffer, { access: "write" }), Launch.u32(1024), Launch.u32(7)]
    })
    const graphOf = (count: number) =>
      Effect.flatMap(
        Graph.capture(
          stream,
          Effect.sync(() => {
            for (let i = 0; i < count; i++) Launch.submitNow(nothing, stream)
          })
        ),
        Graph.instantiate
      )
    const one = yield* graphOf(1)
    const twenty = yield* graphOf(20)
    const resolved = yield* Graph.resolve(small, stream)

    const costs: Array<Cost> = []
    const measure = (what: string, calls: number, batch: Effect.Effect<void>) =>
      Effect.gen(function* () {
        const times: Array<number> = []
        for (let i = 0; i < batches + 10; i++) {
          const start = process.hrtime.bigint()
          yield* batch
          const spent = Number(process.hrtime.bigint() - start) / 1000 / calls
          yield* Stream.wait(stream)
          if (i >= 10) times.push(spent)
        }
        times.sort((a, b) => a - b)
        const at = (part: number): number => times[Math.floor((times.length - 1) * part)] ?? Number.NaN
        costs.push({ what, median: at(0.5), p10: at(0.1), p90: at(0.9) })
      })
    const times = (count: number, call: () => void): Effect.Effect<void> =>
      Effect.sync(() => {
        for (let i = 0; i < count; i++) call()
      })
    yield* measure(
      "launch without arguments",
      400,
      times(400, () => Launch.submitNow(nothing, stream))
    )
    yield* measure(
      "launch with three arguments",
      400,
      times(400, () => Launch.submitNow(small, stream))
    )
    yield* measure(
      "launch as an Effect",
      400,
      Effect.orDie(Effect.forEach(Array.from({ length: 400 }), () => Launch.submit(small, stream), { discard: true }))
    )
    yield* measure(
      "launch with three arguments, resolved",
      100,
      times(100, () => Graph.replayNow(resolved, stream))
    )
    yield* measure(
      "replay of a graph of 1 kernel",
      100,
      times(100, () => Graph.replayNow(one, stream))
    )
    yield* measure(
      "replay of a graph of 20 kernels",
      50,
      times(50, () => Graph.replayNow(twenty, stream))
    )
    yield* measure(
      "replay and wait for it",
      20,
      Effect.orDie(
        Effect.forEach(
          Array.from({ length: 20 }),
          () => Effect.andThen(Graph.replay(one, stream), Stream.wait(stream)),
          { discard: true }
        )
      )
    )
    // On the device: what a node and a launch take when the stream is full.
    const nodes = yield* Event.time(
      stream,
      times(50, () => Graph.replayNow(twenty, stream))
    )
    costs.push({ what: "device time of a graph node", median: nodes, p10: nodes, p90: nodes })
    return costs
  }).pipe(Effect.scoped)
