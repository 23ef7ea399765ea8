/**
 * Measure: checks candidates of wasm, then times them, for tuners.
 *
 *   region, kernel ── module ── worker: red zones, two draws, units one by one ── RegionOracle ── timed, or Rejected
 *
 * A candidate runs in a worker of its own: an endless loop is ended, a trap stays there. Results are held against the
 * region's definition within its bound at the borders of every axis and at points between; that each element was written,
 * and nothing else, is looked at everywhere.
 */
import type { Inputs, MeasurerService, Prepared } from "@anneal/pipeline/Measurer"
import * as Measurer from "@anneal/pipeline/Measurer"
import type { Rejected } from "@anneal/pipeline/Measurer"
import { MeasurerError } from "@anneal/pipeline/Measurer"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as Tuners from "@anneal/pipeline/Tuner"
import type { Candidate, Choice } from "@anneal/pipeline/Tuner"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type { Features } from "../Emission.ts"
import type { Kernel } from "../Kernel.ts"
import * as Payloads from "../Payloads.ts"
import type { Exam, FurtherExam, Paper } from "./Exams.ts"
import { Exams } from "./Exams.ts"
import * as Footprint from "./Footprint.ts"
import type { Setup } from "./Placing.ts"
import * as Placing from "./Placing.ts"
import type { Answer, Call, Check, Request, SizedCheck } from "./Protocol.ts"
import * as Recorded from "./Recorded.ts"
import * as Runners from "./Runners.ts"
import { SizeCoverage } from "./SizeCoverage.ts"
import type { Subject } from "./Trial.ts"
import { Trial } from "./Trial.ts"
import * as UnitOrder from "./UnitOrder.ts"
import * as Verdict from "./Verdict.ts"
import { rejected } from "./Verdict.ts"

export type { Subject } from "./Trial.ts"

export interface Options {
  readonly features: Features
  /** The region of a choice, by the choice's key. */
  readonly subject: (key: string) => Subject | undefined
  /** Checks side by side. Default 1. */
  readonly parallel?: number
  /** Milliseconds that a candidate may take for one check or one batch of runs beyond what it is expected to. Default 10,000. */
  readonly deadline?: number
  /** Multiplications or so that the definition may take for one draw of a region. Default 500,000. */
  readonly effort?: number
  /** What the model's values hold on the user's data: regions that read them are examined with that, too. Default: nothing. */
  readonly recorded?: Effect.Effect<Recorded.Recorded>
  /** Workers that others of the build use, too. Default: its own. */
  readonly runners?: Runners.Runners
}

/** Copies for rotation take at most so many bytes. */
const rotationBytes = 24 * 2 ** 20
const mostCopies = 64

/** The call for all units, and those for units one by one. */
const callsFor = (call: Call, units: number, { orders }: Exam): Pick<Check, "orders" | "whole"> => ({
  whole: [...call, 0, units],
  orders: (units < 2 ? [] : orders).map((order) =>
    UnitOrder.pieces(units, order).map((range): Call => call.concat(range))
  )
})

/** What a kernel says of itself in its configuration; 0: it adds up the products and nothing else. */
const amplificationOf = ({ config }: Kernel): number => {
  const said = Predicate.hasProperty(config, "amplification") ? config.amplification : 0
  return typeof said === "number" ? said : 0
}

/** Milliseconds for a worker to start and to compile: nothing of a candidate runs yet. */
const startLimit = 60_000
const tooBusy = (): MeasurerError =>
  new MeasurerError({
    detail: `a worker did not start in ${startLimit / 1000} s`,
    action: "leave this machine some time for it, or build without tuning"
  })

const late = (deadline: number): Rejected => rejected("Hang", `it did not end in ${deadline / 1000} s`, { deadline })

/** A measurer for the regions of a build. Workers of its own end with the scope. */
export const make = (options: Options): Effect.Effect<MeasurerService, never, Oracle | Scope.Scope> =>
  Effect.gen(function* () {
    const oracle = yield* Oracle
    const {
      deadline = 10_000,
      effort = 500_000,
      features,
      parallel = 1,
      recorded = Effect.succeed(Recorded.none)
    } = options
    const coverage = new SizeCoverage()
    const exams = new Exams({ oracle, effort, recorded })
    const runners = options.runners ?? (yield* Runners.make)
    const prepare = (
      choice: Choice,
      candidate: Candidate
    ): Effect.Effect<Prepared, Rejected | MeasurerError, Scope.Scope> =>
      Effect.gen(function* () {
        const subject = options.subject(choice.key)
        const wanted = Tuners.identify(candidate)
        const kernel = subject?.kernels.find((one) => Tuners.identify(one) === wanted)
        if (subject === undefined || kernel === undefined)
          return yield* rejected("Refused", `there is no ${wanted} for ${choice.node}`)
        const trial = yield* Effect.try({
          try: () => new Trial(subject, kernel, features),
          catch: (cause) =>
            rejected("Refused", `no code can be made: ${cause instanceof Error ? cause.message : String(cause)}`)
        })
        const worker = yield* runners.take
        const ask = (request: Request, limit = deadline): Effect.Effect<Answer, Rejected | MeasurerError> =>
          Effect.flatMap(worker.ask(request, request.kind === "load" ? startLimit : limit), (answer) => {
            if (answer === undefined) return Effect.fail(request.kind === "load" ? tooBusy() : late(limit))
            if (answer.kind === "trap") return Effect.fail(rejected("Trap", answer.detail, { kernel: wanted }))
            if (answer.kind === "refused") return Effect.fail(rejected("Refused", answer.detail, { kernel: wanted }))
            return Effect.succeed(answer)
          })
        const { module, symbols, units } = trial
        const load = ({ pages }: Setup) => ask({ kind: "load", module, symbols, pages })
        const paperOf = exams.of(choice.key, subject, amplificationOf(kernel))
        /** What is wrong with a candidate by one of its answers. */
        const problemOf = (made: Setup, outputs: Paper["outputs"], exam: Exam, one: Answer): Rejected | undefined =>
          one.kind === "checked"
            ? Verdict.of(subject, made, outputs, exam, one)
            : one.kind === "trap"
              ? rejected("Trap", one.detail, { kernel: wanted })
              : undefined
        const check = Effect.gen(function* () {
          // What a worker needs to start and to compile is there when what it is examined with is.
          const made = Placing.setup(trial, 1)
          const loading = yield* Effect.forkChild(load(made), { startImmediately: true })
          const paper = yield* paperOf
          yield* Fiber.join(loading)
          const [call = []] = made.calls
          const footprint = Placing.footprint(made, paper.outputs)
          const checks = paper.exams.map((exam) => ({
            ...callsFor(call, units, exam),
            pieces: made.pieces(exam.contents),
            fill: exam.fill,
            footprint
          }))
          const answer = yield* ask({ kind: "check", checks })
          for (const [place, one] of (answer.kind === "examined" ? answer.answers : []).entries()) {
            const exam = paper.exams[place]
            const problem = exam === undefined ? undefined : problemOf(made, paper.outputs, exam, one)
            if (problem !== undefined) return yield* problem
          }
          const sizes = coverage.choose(kernel, subject)
          if (sizes.length > 0) yield* checkSizes(yield* Effect.forEach(sizes, paper.at))
        })
        /** At other sizes than those that it is measured for: in one request, as there are many and each is small. */
        const checkSizes = (further: ReadonlyArray<FurtherExam>) =>
          Effect.gen(function* () {
            const setups = further.map(({ sizes }) => {
              const other = trial.at(sizes)
              return { other, made: Placing.setup(other, 1) }
            })
            const checks = setups.flatMap(({ made, other }, place): ReadonlyArray<SizedCheck> => {
              const one = further[place]
              if (one === undefined) return []
              const { exam, outputs } = one
              const [call = []] = made.calls
              return [
                {
                  symbols: other.symbols,
                  pages: made.pages,
                  pieces: made.pieces(exam.contents),
                  fill: exam.fill,
                  footprint: Placing.footprint(made, outputs),
                  ...callsFor(call, other.units, exam)
                }
              ]
            })
            const answer = yield* ask({ kind: "sizes", checks })
            for (const [place, one] of (answer.kind === "examined" ? answer.answers : []).entries()) {
              const [known, setup] = [further[place], setups[place]]
              if (known === undefined || setup === undefined) continue
              const problem = problemOf(setup.made, known.outputs, known.exam, one)
              if (problem !== undefined) return yield* Verdict.atSizes(problem, known.sizes)
            }
          })
        const setups = new Map<Inputs, ReadonlyArray<Call>>()
        let placed: Inputs | undefined
        // Copies for rotation are made when something is timed by them.
        const placedFor = (inputs: Inputs) =>
          Effect.gen(function* () {
            const known = setups.get(inputs)
            if (known !== undefined && placed === inputs) return known
            const paper = yield* paperOf
            let bytes = trial.packed.reduce((sum, one) => sum + one.length, 0)
            for (const id of trial.buffers) bytes += trial.bufferBytes(id).bytes
            const most = Math.max(1, Math.min(mostCopies, Math.floor(rotationBytes / Math.max(1, bytes))))
            const made = Placing.setup(trial, inputs === "warm" ? 1 : most)
            yield* load(made)
            const pieces = made.pieces(paper.exams[0]?.contents ?? new Map())
            yield* ask({ kind: "place", pieces, fill: Footprint.fills.tiny })
            const calls = made.calls.map((call): Call => call.concat(0, units))
            setups.set(inputs, calls)
            placed = inputs
            return calls
          })
        const prepared: Prepared = {
          check,
          run: ({ inputs, iterations }) =>
            Effect.gen(function* () {
              const calls = yield* placedFor(inputs)
              const limit = deadline + (iterations * (candidate.cost ?? 0) * 20) / 1e6
              const answer = yield* ask({ kind: "time", calls, iterations }, limit)
              return answer.kind === "timed" ? answer.nanoseconds : 1
            })
        }
        return prepared
      })
    return yield* Measurer.make({
      name: "wasm",
      identity: {
        name: "wasm",
        version: Payloads.generator,
        config: { features: [...Payloads.featureNames(features)] }
      },
      generator: `wasm@${Payloads.generator}`,
      features: [...Payloads.featureNames(features), ...(features.wide ? ["revectorize"] : [])],
      parallel,
      prepare
    })
  })
