/**
 * Validation: the kernels that were decided, held against their regions' definitions before an engine is written. One that
 * is wrong gives way to the next that is right, and is reported; where none is right the build fails.
 *
 * Random and edge draws, as before a timing, with less effort: a build that does not tune takes seconds.
 */
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import type { MeasurerService } from "@anneal/pipeline/Measurer"
import type { Oracle } from "@anneal/pipeline/Oracle"
import type { Candidate, Choice, Decision } from "@anneal/pipeline/Tuner"
import * as Tuners from "@anneal/pipeline/Tuner"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Features } from "../Emission.ts"
import * as Measure from "./Measure.ts"
import type { Recorded } from "./Recorded.ts"
import type { Runners } from "./Runners.ts"
import type { Subject } from "./Trial.ts"

/** What is decided, and how the regions of the decisions are found. */
export interface Decided {
  readonly features: Features
  readonly choices: ReadonlyMap<string, Choice>
  readonly subject: (key: string) => Subject | undefined
  readonly decisions: ReadonlyArray<Decision>
}

/** The decisions, with right kernels in place of wrong ones. */
export type Validate = (decided: Decided) => Effect.Effect<ReadonlyArray<Decision>, Tuners.TunerError>

export interface Options {
  /** Multiplications or so for the definition, for one draw of a region. Default 30,000. */
  readonly effort?: number
  /** Checks side by side. Default 1. */
  readonly parallel?: number
  /** What the model's values hold on the user's data. */
  readonly recorded?: Effect.Effect<Recorded>
  /** Workers that others of the build use, too. Default: its own. */
  readonly runners?: Runners
}

/** The first candidate that is right: the decided one, then the others by what is predicted. */
const settle = (
  measurer: MeasurerService,
  choice: Choice,
  decision: Decision
): Effect.Effect<Decision, Tuners.Problem> =>
  Effect.gen(function* () {
    const wanted = Tuners.identify(decision.candidate)
    const others = choice.candidates.filter((one) => Tuners.identify(one) !== wanted).toSorted(Tuners.byPrediction)
    const why: Array<string> = []
    for (const candidate of [decision.candidate, ...others]) {
      const checked = yield* Effect.result(Effect.scoped(measurer.check(choice, candidate)))
      if (checked._tag === "Success") {
        if (why.length > 0) yield* report(choice, candidate, why)
        return { key: decision.key, candidate }
      }
      if (checked.failure._tag === "MeasurerError")
        return yield* Effect.fail({
          reason: "Measurer" as const,
          key: choice.key,
          node: choice.node,
          detail: checked.failure.message
        })
      why.push(`${Tuners.identify(candidate)}: ${checked.failure.message}`)
    }
    return yield* Effect.fail({
      reason: "AllRejected" as const,
      key: choice.key,
      node: choice.node,
      detail: `no kernel is right: ${why.join("; ")}`
    })
  })

const report = ({ node }: Choice, candidate: Candidate, why: ReadonlyArray<string>) =>
  Diagnostic.report({
    severity: "warning",
    code: "kernel-rejected",
    message: `${node}: ${why.join("; ")}`,
    action: `${Tuners.identify(candidate)} is used in its place; please report this`
  })

/** A validation for one build; its workers end with the scope. */
export const make = (options: Options = {}): Effect.Effect<Validate, never, Oracle | Scope.Scope> =>
  Effect.map(
    Effect.context<Oracle | Scope.Scope>(),
    (context): Validate =>
      ({ choices, decisions, features, subject }) =>
        Effect.gen(function* () {
          const measurer = yield* Measure.make({ effort: 30_000, ...options, features, subject })
          const { parallel = 1 } = options
          const problems: Array<Tuners.Problem> = []
          const settled = yield* Effect.forEach(
            decisions,
            (decision) => {
              const choice = choices.get(decision.key)
              if (choice === undefined) return Effect.succeed(decision)
              return Effect.catch(settle(measurer, choice, decision), (problem) => {
                problems.push(problem)
                return Effect.succeed(decision)
              })
            },
            { concurrency: parallel }
          )
          if (problems.length > 0) return yield* new Tuners.TunerError({ problems })
          return settled
        }).pipe(Effect.provideContext(context))
  )
