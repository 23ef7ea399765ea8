// The tuner over something real: workers that run, trap, hang and write astray, on the machine's own clock.
import { assert, describe, it } from "@effect/vitest"
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Event from "@anneal/tune/Event"
import * as ExhaustiveTuner from "@anneal/tune/ExhaustiveTuner"
import * as Journal from "@anneal/tune/Journal"
import * as Stability from "@anneal/tune/Stability"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as WorkerMeasurer from "./WorkerMeasurer.ts"

const candidate = (name: string, source: string): Tuner.Candidate => ({ name, config: { source } })
const candidates = [
  candidate("direct", "for (let i = 0; i < n; i++) y[i] = 2 * x[i] + 1"),
  // Many times more work for the same result.
  candidate(
    "wasteful",
    "for (let i = 0; i < n; i++) { let s = 0; for (let k = 0; k < 40; k++) s += x[i]; y[i] = s / 20 + 1 }"
  ),
  candidate("endless", "for (let i = 0; ; i++) { y[i % n] = 2 * x[i % n] + 1 }"),
  candidate("thrower", "if (x[1] > 0.5) throw new RangeError('unreachable')"),
  candidate("lane", "for (let i = 0; i < n; i++) if (i % 4 !== 3) y[i] = 2 * x[i] + 1"),
  candidate("stray", "for (let i = 0; i < n + 4; i++) y[i] = 2 * (x[i] ?? 0) + 1"),
  candidate("nan", "for (let i = 0; i < n; i++) y[i] = i === 5 ? NaN : 2 * x[i] + 1"),
  candidate("syntax", "for (")
]
const space: ReadonlyArray<Tuner.Choice> = [{ key: "k", node: "/scale", candidates }]

describe("a measurer of workers", () => {
  it.live("what hangs is ended, what is wrong is rejected, what is right is timed and compared", () => {
    const timed = new Set<string>()
    return Effect.gen(function* () {
      const tuner = yield* Tuner.Tuner
      const [decisions, events] = yield* Event.collect(tuner.decide(space))
      assert.deepStrictEqual(
        decisions.map((one) => one.candidate.name),
        ["direct"]
      )
      assert.deepStrictEqual([...timed].toSorted(), ["direct", "wasteful"])
      const reasons = events.flatMap((event) =>
        event._tag === "Rejected" ? [`${event.candidate.split(" ")[0] ?? ""} ${event.reason}`] : []
      )
      assert.deepStrictEqual(reasons.toSorted(), [
        "endless Hang",
        "lane Wrong",
        "nan NotFinite",
        "stray StrayWrite",
        "syntax Refused",
        "thrower Trap"
      ])
      const compared = yield* Stability.tuneTwice(space, () => Effect.succeed(decisions))
      assert.strictEqual(compared.ratio, 1)
      assert.isAbove(compared.choices[0]?.nanoseconds ?? 0, 0)
    }).pipe(
      Effect.provide(
        Layer.provideMerge(ExhaustiveTuner.layer(), [
          WorkerMeasurer.layer(({ name }) => timed.add(name)),
          Journal.layerMemory
        ])
      )
    )
  })
})
