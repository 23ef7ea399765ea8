/**
 * Stability: whether two tunings of one space gave engines that are equally fast: the decisions of both, timed against each
 * other, and the time of all of them together.
 */
import * as Measurer from "@anneal/pipeline/Measurer"
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Worker } from "node:worker_threads"
import * as Protocol from "./Protocol.ts"
import * as Space from "./Space.ts"
import type { Timing } from "./Timing.ts"
import * as Yardstick from "./Yardstick.ts"

export interface Compared {
  readonly key: string
  readonly node: string
  /** What was decided, as text. */
  readonly a: string
  readonly b: string
  /** Time of b's decision by that of a's; 1 where they are the same. */
  readonly ratio: number
  /** Median nanoseconds of a's decision, and how many regions it decides. */
  readonly nanoseconds: number
  readonly regions: number
}

export interface Comparison {
  /** Time of all of b's regions by that of a's. */
  readonly ratio: number
  readonly choices: ReadonlyArray<Compared>
}

const settings: Protocol.Settings = { ...Protocol.full, rounds: { least: 15, most: 30 }, hopeless: Infinity }

/** Times decisions of one choice, in their order. */
const times = (
  choice: Tuner.Choice,
  candidates: ReadonlyArray<Tuner.Candidate>
): Effect.Effect<ReadonlyArray<Timing>, Measurer.Rejected | Measurer.MeasurerError, Measurer.Measurer> =>
  Effect.gen(function* () {
    const measurer = yield* Measurer.Measurer
    const checked = yield* Effect.forEach(candidates, (candidate) => measurer.check(choice, candidate))
    const yardstick = measurer.yardstick ?? Yardstick.spin
    const outcomes = yield* measurer.alone(Protocol.race(checked, { settings, yardstick, deadline: Infinity }))
    const timings: Array<Timing> = []
    for (const outcome of outcomes) {
      if (outcome._tag === "Rejected") return yield* outcome.rejected
      // Without a deadline nothing is skipped.
      if (outcome._tag === "Timed") timings.push(outcome.timing)
    }
    return timings
  }).pipe(Effect.scoped)

/** Compares two decisions of one space. Fails where a decided candidate is wrong. */
export const compare = (
  space: ReadonlyArray<Tuner.Choice>,
  a: ReadonlyArray<Tuner.Decision>,
  b: ReadonlyArray<Tuner.Decision>
): Effect.Effect<Comparison, Measurer.Rejected | Measurer.MeasurerError, Measurer.Measurer> =>
  Effect.gen(function* () {
    const counts = Map.groupBy(space, ({ key }) => key)
    const left = new Map(a.map(({ key, candidate }) => [key, candidate]))
    const right = new Map(b.map(({ key, candidate }) => [key, candidate]))
    const choices: Array<Compared> = []
    for (const { choice } of Space.group(space).groups) {
      const { key, node } = choice
      const [first, second] = [left.get(key), right.get(key)]
      if (first === undefined || second === undefined) continue
      const [one, two] = [Tuner.identify(first), Tuner.identify(second)]
      const [timeA, timeB] = yield* times(choice, one === two ? [first] : [first, second])
      if (timeA === undefined) continue
      const ratio = timeB === undefined ? 1 : timeB.relative / timeA.relative
      const regions = counts.get(key)?.length ?? 1
      choices.push({ key, node, a: one, b: two, ratio, nanoseconds: timeA.median, regions })
    }
    const total = (ratioOf: (one: Compared) => number) =>
      choices.reduce((sum, one) => sum + one.regions * one.nanoseconds * ratioOf(one), 0)
    return { ratio: choices.length === 0 ? 1 : total(({ ratio }) => ratio) / total(() => 1), choices }
  })

const SPIN = `
const cells = new Float64Array(1 << 21)
let value = 1
for (let i = 0; ; i = (i + 9) & (cells.length - 1)) { value = value * 0.999 + cells[i]; cells[i] = value }
`

/** A busy neighbour: threads that calculate and read and write 16 MiB each, until the scope closes. */
export const neighbour = (threads: number): Effect.Effect<void, never, Scope.Scope> =>
  Effect.forEach(
    Array.from({ length: threads }),
    () =>
      Effect.acquireRelease(
        Effect.sync(() => new Worker(SPIN, { eval: true })),
        (worker) => Effect.promise(() => worker.terminate())
      ),
    { discard: true }
  )

/**
 * Tunes twice, alone and beside a busy neighbour, and compares in quiet. `decide`: one tuning from nothing, on a journal
 * of its own.
 */
export const tuneTwice = <E, R>(
  space: ReadonlyArray<Tuner.Choice>,
  decide: (space: ReadonlyArray<Tuner.Choice>) => Effect.Effect<ReadonlyArray<Tuner.Decision>, E, R>,
  threads = 1
): Effect.Effect<Comparison, E | Measurer.Rejected | Measurer.MeasurerError, R | Measurer.Measurer> =>
  Effect.gen(function* () {
    const alone = yield* decide(space)
    const beside = yield* Effect.scoped(Effect.andThen(neighbour(threads), decide(space)))
    return yield* compare(space, alone, beside)
  })
