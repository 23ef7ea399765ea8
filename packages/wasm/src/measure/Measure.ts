/**
 * Measure: checks candidates of wasm, then times them, for tuners.
 *
 *   region, kernel ── module ── worker: red zones, two draws, units in pieces ── RegionOracle ── timed, or Rejected
 *
 * A candidate runs in a worker of its own: an endless loop is ended, a trap stays there. Results are held against the
 * region's definition within its bound at the borders of every axis and at points between; that each element was written,
 * and nothing else, is looked at everywhere.
 */
import type { Region } from "@anneal/lower/Region"
import type { MeasurerService, Prepared } from "@anneal/pipeline/Measurer"
import * as Measurer from "@anneal/pipeline/Measurer"
import type { Rejected } from "@anneal/pipeline/Measurer"
import { MeasurerError } from "@anneal/pipeline/Measurer"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as Tuners from "@anneal/pipeline/Tuner"
import type { Candidate, Choice } from "@anneal/pipeline/Tuner"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type { Features } from "../Emission.ts"
import type { Kernel } from "../Kernel.ts"
import * as Payloads from "../Payloads.ts"
import type { Drawn } from "./Draw.ts"
import * as Draw from "./Draw.ts"
import * as NodeOracle from "./NodeOracle.ts"
import type { Setup } from "./Placing.ts"
import * as Placing from "./Placing.ts"
import type { Answer, Call, Request } from "./Protocol.ts"
import type { Expected } from "./RegionOracle.ts"
import * as RegionOracle from "./RegionOracle.ts"
import { Runner } from "./Runner.ts"
import type { Subject } from "./Trial.ts"
import { Trial } from "./Trial.ts"
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
}

/** Copies for rotation take at most so many bytes. */
const rotationBytes = 24 * 2 ** 20
const mostCopies = 64

const isWhole = (region: Region): boolean => region.kind === "recurrent" || region.kind === "whole"

/** Units in three uneven pieces, the last first: what another thread may do. */
const inPieces = (call: Call, units: number): ReadonlyArray<Call> => {
  const [a, b] = [Math.floor(units / 3), Math.floor((3 * units) / 4)]
  return [
    [...call, b, units],
    [...call, 0, a],
    [...call, a, b]
  ]
}

/** What a region is examined with. */
interface Exam {
  readonly drawn: ReadonlyMap<string, Drawn>
  readonly expected: ReadonlyArray<Expected>
}

/** Exams kept; candidates of one region are checked one after another, or side by side. */
const keptExams = 16

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

/** A measurer for the regions of a build. Workers are kept and used again; all end with the scope. */
export const make = (options: Options): Effect.Effect<MeasurerService, never, Oracle | Scope.Scope> =>
  Effect.gen(function* () {
    const oracle = yield* Oracle
    const { deadline = 10_000, effort = 500_000, features, parallel = 1 } = options
    const idle: Array<Runner> = []
    const exams = new Map<string, Exam>()
    const all = new Set<Runner>()
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const worker of all) worker.end()
      })
    )
    const acquire = Effect.sync(() => {
      for (let worker = idle.pop(); worker !== undefined; worker = idle.pop()) if (!worker.ended) return worker
      const made = new Runner()
      all.add(made)
      return made
    })
    const release = (worker: Runner): Effect.Effect<void> =>
      Effect.sync(() => {
        if (worker.ended) all.delete(worker)
        else idle.push(worker)
      })
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
        const worker = yield* Effect.acquireRelease(acquire, release)
        const ask = (request: Request, limit = deadline): Effect.Effect<Answer, Rejected | MeasurerError> =>
          Effect.flatMap(worker.ask(request, request.kind === "load" ? startLimit : limit), (answer) => {
            if (answer === undefined) return Effect.fail(request.kind === "load" ? tooBusy() : late(limit))
            if (answer.kind === "trap") return Effect.fail(rejected("Trap", answer.detail, { kernel: wanted }))
            if (answer.kind === "refused") return Effect.fail(rejected("Refused", answer.detail, { kernel: wanted }))
            return Effect.succeed(answer)
          })
        // What is right does not depend on the candidate: known once for all of a region.
        const exam = (kind: Draw.Kind, seed: number): Effect.Effect<Exam, MeasurerError> =>
          Effect.gen(function* () {
            const amplification = amplificationOf(kernel)
            const key = `${choice.key} ${kind} ${amplification}`
            const known = exams.get(key)
            if (known !== undefined) return known
            const { program, region } = subject
            const random = Draw.generator(seed)
            const drawn = Draw.buffers(region, program, trial.size, kind, random)
            const elements = new Map([...drawn].map(([id, one]) => [id, one.elements]))
            const expected =
              RegionOracle.expectations(region, {
                buffers: elements,
                size: trial.size,
                effort,
                random,
                amplification
              }) ?? (yield* NodeOracle.expectations(subject, trial, drawn, oracle))
            const made: Exam = { drawn, expected }
            exams.set(key, made)
            const [oldest] = exams.keys()
            if (exams.size > keptExams && oldest !== undefined) exams.delete(oldest)
            return made
          })
        const examine = (kind: Draw.Kind, seed: number): Effect.Effect<void, Rejected | MeasurerError> =>
          Effect.gen(function* () {
            const { region } = subject
            const { drawn, expected } = yield* exam(kind, seed)
            const made = Placing.setup(trial, drawn, 1)
            const [call = []] = made.calls
            yield* ask(made.request)
            const whole = yield* ask({ kind: "check", calls: [[...call, 0, trial.units]] })
            if (whole.kind !== "checked") return
            const problem =
              Verdict.wrong(subject, trial, made, whole.memory, expected, kind) ??
              Verdict.unwritten(region, trial, made, whole.memory)
            if (problem !== undefined) return yield* problem
            if (trial.units < 2) return
            yield* ask(made.request)
            const pieces = yield* ask({ kind: "check", calls: inPieces(call, trial.units) })
            if (pieces.kind !== "checked") return
            const { address, bytes } = made.scratch
            for (const { memory } of [whole, pieces]) memory.fill(0, address, address + bytes)
            const at = Verdict.firstDifference(whole.memory, pieces.memory)
            if (at !== undefined)
              return yield* rejected("Wrong", "computed in pieces, its results are others", { address: at, draw: kind })
          })
        let timing: Setup | undefined
        const check = Effect.gen(function* () {
          yield* examine("random", 1)
          if (!isWhole(subject.region)) yield* examine("edges", 2)
        })
        // Copies for rotation are made when something is timed.
        const ready = Effect.gen(function* () {
          if (timing !== undefined) return timing
          const random = Draw.generator(3)
          const drawn = Draw.buffers(subject.region, subject.program, trial.size, "random", random)
          let bytes = trial.packed.reduce((sum, one) => sum + one.length, 0)
          for (const id of trial.buffers) bytes += trial.bufferBytes(id).bytes
          const copies = Math.max(1, Math.min(mostCopies, Math.floor(rotationBytes / Math.max(1, bytes))))
          const made = Placing.setup(trial, drawn, copies)
          yield* ask(made.request)
          timing = made
          return made
        })
        const prepared: Prepared = {
          check,
          run: ({ inputs, iterations }) =>
            Effect.gen(function* () {
              const { calls: places } = yield* ready
              const calls = places.map((call): Call => call.concat(0, trial.units))
              const limit = deadline + (iterations * (candidate.cost ?? 0) * 20) / 1e6
              const chosen = inputs === "warm" ? calls.slice(0, 1) : calls
              const answer = yield* ask({ kind: "time", calls: chosen, iterations }, limit)
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
