/**
 * How fast an engine is: latency and throughput of one caller, the first inference, memory, and where the time goes.
 *
 *   const measured = yield* Bench.measure(session, graph, inputs, { duration: 3000 })
 *
 * Runs follow each other without a pause; percentiles are by nearest rank, over all runs after the warm-up.
 */
import * as Bind from "@anneal/ir/Bind"
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Graph } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Tensor from "@anneal/ir/Tensor"
import * as Reports from "@anneal/lower/Report"
import type { MemoryUse, StepTime } from "@anneal/runtime/Executor"
import * as Profiles from "@anneal/runtime/Profiles"
import type { ExecutionError, InputError, MemoryError } from "@anneal/runtime/RuntimeError"
import type { Session, Tensors } from "@anneal/runtime/Session"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Regions from "./Regions.ts"

export interface Options {
  /** Milliseconds of each measurement. Default 3000. */
  readonly duration?: number
  /** Milliseconds that are not counted. Default 500. */
  readonly warmUp?: number
  /** Runs that are measured at least. Default 10. */
  readonly atLeast?: number
  readonly seed?: number
}

/** Milliseconds. */
export interface Latency {
  readonly runs: number
  readonly mean: number
  readonly least: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly most: number
}

/** A region's part of a run. */
export interface RegionTime {
  readonly id: string
  readonly node: string
  readonly kernel: string
  /** What the engine says of the region; absent where it says nothing. */
  readonly region: Reports.RegionEntry | null
  readonly nanoseconds: number
  /** Of the sum of all regions, 0 … 1. */
  readonly share: number
  /** 10⁹ operations a second; null where they are not known. */
  readonly gflops: number | null
  /** 10⁹ bytes a second, each element counted once. */
  readonly gigabytes: number | null
}

export interface Profile {
  /** Heaviest first. */
  readonly regions: ReadonlyArray<RegionTime>
  /** Nanoseconds of all regions, one after the other on one thread. */
  readonly sum: number
}

export interface Measured {
  /** One caller, `session.run`. */
  readonly run: Latency
  /** The same through `session.bind`: inputs lie where the target reads them. Null where the session cannot be bound. */
  readonly bound: Latency | null
  /** Inferences a second, the better of the two. */
  readonly throughput: number
  /** Null where the target does not say. */
  readonly memory: MemoryUse | null
  /** Bytes of the process. */
  readonly process: number
  /** Null where the target has no steps. */
  readonly profile: Profile | null
}

/** The value at a share of the sorted times, by nearest rank. */
export const percentile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? NaN

export const latency = (times: ReadonlyArray<number>): Latency => {
  const sorted = times.toSorted((a, b) => a - b)
  return {
    runs: times.length,
    mean: times.reduce((sum, time) => sum + time, 0) / times.length,
    least: percentile(sorted, 0),
    p50: percentile(sorted, 0.5),
    p90: percentile(sorted, 0.9),
    p99: percentile(sorted, 0.99),
    most: percentile(sorted, 1)
  }
}

// ---- inputs -----------------------------------------------------------------------------------------------------------

/** Shapes of all inputs, and the symbols that nobody gave a value: they are 1, or the best of the first profile. */
export interface Sizes {
  readonly shapes: ReadonlyMap<string, ReadonlyArray<number>>
  readonly chosen: ReadonlyMap<string, number>
}

/** Completes shapes: what is not given is the best of the first profile, else 1. Throws `BindError`. */
export const sizes = (graph: Graph, profiles: Session["profiles"], given: Profiles.Shapes = new Map()): Sizes => {
  const bindings = new Map(Profiles.bindShapes(graph, given))
  const chosen = new Map<string, number>()
  for (const symbol of Profiles.symbolsOf(graph)) {
    if (bindings.has(symbol)) continue
    const best = profiles[0]?.dims[symbol]?.opt ?? 1
    bindings.set(symbol, best)
    chosen.set(symbol, best)
  }
  const shapes = new Map(
    graph.inputs.map(({ name, type }) => [name, type.shape.map((dim) => Dim.evaluate(dim, bindings) ?? 1)] as const)
  )
  // A size may be a function of several symbols: the whole must hold together.
  Bind.bind(
    graph,
    graph.inputs.map(({ name }) => shapes.get(name))
  )
  return { shapes, chosen }
}

/** Numbers in [0, 1): xorshift (Marsaglia 2003), the same for a seed on every machine. */
const random = (seed: number): (() => number) => {
  let state = (seed ^ 0x9e3779b9) | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

/** Inputs to measure with: floats in [-1, 1), integers and booleans 0 or 1, which are valid as indices almost everywhere. */
export const inputs = (graph: Graph, shapes: Sizes["shapes"], seed = 1): Tensors => {
  const next = random(seed)
  return Object.fromEntries(
    graph.inputs.map(({ name, type: { dtype } }) => {
      const shape = shapes.get(name) ?? []
      const draw = DTypes.isFloat(dtype) ? () => 2 * next() - 1 : () => Math.floor(2 * next())
      return [name, Numbers.fromNumbers(dtype, shape, Array.from({ length: Tensor.size(shape) }, draw))]
    })
  )
}

// ---- measuring --------------------------------------------------------------------------------------------------------

/** Milliseconds of each run until so much time has passed, and at least so many runs. */
const timed = <E>(run: Effect.Effect<unknown, E>, duration: number, atLeast: number) =>
  Effect.gen(function* () {
    const times: Array<number> = []
    let now = performance.now()
    const until = now + duration
    while (now < until || times.length < atLeast) {
      yield* run
      const end = performance.now()
      times.push(end - now)
      now = end
    }
    return times
  })

/** The same for a plain function, in slices, so that an interruption is heard. */
const timedNow = (run: () => void, duration: number, atLeast: number) =>
  Effect.gen(function* () {
    const times: Array<number> = []
    let now = performance.now()
    const until = now + duration
    while (now < until || times.length < atLeast) {
      const slice = Math.min(until, now + 20)
      do {
        run()
        const end = performance.now()
        times.push(end - now)
        now = end
      } while (now < slice)
      yield* Effect.yieldNow
      now = performance.now()
    }
    return times
  })

const copyTo = (data: DTypes.TypedArray, given: DTypes.TypedArray): void => {
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    if (given instanceof BigInt64Array || given instanceof BigUint64Array) data.set(given)
  } else if (!(given instanceof BigInt64Array || given instanceof BigUint64Array)) data.set(given)
}

/** Latency through the bound form; null where there is none. */
const measureBound = (session: Session, given: Tensors, duration: number, warmUp: number, atLeast: number) =>
  Effect.gen(function* () {
    const shapes = Object.fromEntries(Object.entries(given).map(([name, { shape }]) => [name, shape]))
    const made = yield* Effect.result(session.bind(shapes))
    if (Result.isFailure(made)) return null
    const { inputs: ports, run } = made.success
    for (const { data, name } of ports) {
      const tensor = given[name]
      if (tensor !== undefined) copyTo(data, tensor.data)
    }
    yield* timedNow(run, warmUp, 1)
    return latency(yield* timedNow(run, duration, atLeast))
  })

/** Steps with what the engine says of their regions. `bindings`: the sizes that they ran at. */
export const profile = (
  steps: ReadonlyArray<StepTime>,
  regions: ReadonlyArray<Reports.RegionEntry>,
  bindings: Bind.Bindings
): Profile => {
  const known = new Map(regions.map((region) => [region.id, region]))
  const sum = steps.reduce((total, { nanoseconds }) => total + nanoseconds, 0)
  const rate = (amount: Dim.Dim | undefined, nanoseconds: number): number | null => {
    const count = amount === undefined ? undefined : Dim.evaluate(amount, bindings)
    return count === undefined || nanoseconds <= 0 ? null : count / nanoseconds
  }
  const rows = steps.map(({ id, kernel, nanoseconds, node }): RegionTime => {
    const region = known.get(id) ?? null
    return {
      id,
      node,
      kernel,
      region,
      nanoseconds,
      share: sum === 0 ? 0 : nanoseconds / sum,
      gflops: rate(region?.operations, nanoseconds),
      gigabytes: rate(region?.bytes, nanoseconds)
    }
  })
  return { regions: rows.toSorted((a, b) => b.nanoseconds - a.nanoseconds), sum }
}

/** `graph`: the session's. */
export const measure = (
  session: Session,
  graph: Graph,
  given: Tensors,
  { atLeast = 10, duration = 3000, seed = 0, warmUp = 500 }: Options = {}
): Effect.Effect<Measured, InputError | MemoryError | ExecutionError> =>
  Effect.gen(function* () {
    const once = session.run(given, { seed })
    yield* timed(once, warmUp, 1)
    const run = latency(yield* timed(once, duration, atLeast))
    const bound = yield* measureBound(session, given, duration, warmUp, atLeast)
    const found = yield* session.profile(given, { milliseconds: duration, seed })
    const use = session.memoryUse()
    const shapes = new Map(Object.entries(given).map(([name, { shape }]) => [name, shape] as const))
    return {
      run,
      bound,
      throughput: 1000 / Math.min(run.mean, bound?.mean ?? Infinity),
      memory: use ?? null,
      process: process.memoryUsage.rss(),
      profile:
        found === undefined
          ? null
          : profile(
              found.steps,
              Regions.at(session.engine, session.variant, found.fixed)?.regions ?? [],
              Profiles.bindShapes(graph, shapes)
            )
    }
  })
