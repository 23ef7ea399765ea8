// Spaces of choices with known times, for tests.
import type { Candidate, Choice } from "@anneal/pipeline/Tuner"
import * as Seeded from "@anneal/tune/Seeded"
import * as SimulatedMeasurer from "@anneal/tune/SimulatedMeasurer"

export interface Tile {
  readonly mr: number
  readonly nr: number
  readonly unroll: number
}

const tileOf = ({ config }: Candidate): Tile => {
  const { mr, nr, unroll } = Object.fromEntries(
    typeof config === "object" && config !== null ? Object.entries(config) : []
  )
  if (typeof mr !== "number" || typeof nr !== "number" || typeof unroll !== "number") throw new TypeError("no tile")
  return { mr, nr, unroll }
}

/** Nanoseconds: tiles that fit sixteen registers are fast, each choice likes another unrolling. */
export const timeOf = (choice: Choice, candidate: Candidate): number => {
  const { mr, nr, unroll } = tileOf(candidate)
  const registers = mr * nr + mr + nr
  const spill = registers > 24 ? 1 + 0.1 * (registers - 24) : 1
  const reuse = 1 / mr + 1 / nr
  const liked = 1 << Seeded.make(choice.key).below(3)
  const base = 5_000 * (1 + Seeded.make(choice.key, "size").below(8))
  return base * spill * (0.4 + reuse) * (1 + 0.05 * Math.abs(Math.log2(unroll / liked)))
}

/** What a target would predict: right in the main, 20 % off in detail. */
export const predict = (choice: Choice, candidate: Candidate): number =>
  timeOf(choice, candidate) * (0.9 + 0.2 * Seeded.make("prediction", JSON.stringify(candidate.config)).next())

export const tiles = (mrs: ReadonlyArray<number>, nrs: ReadonlyArray<number>, unrolls: ReadonlyArray<number>) =>
  mrs.flatMap((mr) =>
    nrs.flatMap((nr) => unrolls.map((unroll): Candidate => ({ name: "gemm", config: { mr, nr, unroll } })))
  )

/** Choices `k0`, `k1`, …, each with these candidates and their predicted costs. */
export const space = (count: number, candidates: ReadonlyArray<Candidate>): ReadonlyArray<Choice> =>
  Array.from({ length: count }, (_, i) => {
    const choice: Choice = { key: `k${i}`, node: `/layer${i}`, candidates }
    return {
      ...choice,
      candidates: candidates.map((candidate) => ({ ...candidate, cost: Math.round(predict(choice, candidate)) }))
    }
  })

export const simulate = (choice: Choice, candidate: Candidate): SimulatedMeasurer.Simulated => ({
  kernel: SimulatedMeasurer.right,
  time: timeOf(choice, candidate)
})

/** The least time that a choice's candidates have. */
export const bestTime = (choice: Choice): number =>
  Math.min(...choice.candidates.map((candidate) => timeOf(choice, candidate)))

/** The space of the tunings that are killed: 30 choices of 32 candidates. */
export const killed: ReadonlyArray<Choice> = space(30, tiles([1, 2, 4, 6], [1, 2, 4, 6], [1, 2]))

/** One candidate in ten of these is wrong. */
export const isFaulty = (choice: Choice, { config }: Candidate): boolean =>
  Seeded.make("faulty", choice.key, JSON.stringify(config)).next() < 0.1
