/**
 * EvolutionaryTuner: for spaces that are too large to be measured whole. Crosses and changes the best measured candidates,
 * asks a cost model which of the children are worth measuring, measures those, learns, and goes on.
 *
 *   parents (fast) → children (nearest open candidates) → cost model → the best of them, and some at random → race
 *
 * The model learns from all choices of the build and all of the journal: a tile that was good for one region is tried
 * early in the next. Zheng et al., "Ansor", OSDI 2020, whose proposals are the model here, with a space given as a list.
 */
import type { Measurer } from "@anneal/pipeline/Measurer"
import type { Candidate, Tuner } from "@anneal/pipeline/Tuner"
import type * as Layer from "effect/Layer"
import * as CostModel from "./CostModel.ts"
import * as Features from "./Features.ts"
import type { Journal } from "./Journal.ts"
import * as MeasuringTuner from "./MeasuringTuner.ts"
import * as Seeded from "./Seeded.ts"
import type { Strategy, View } from "./Strategy.ts"

export interface Options extends MeasuringTuner.Options {
  readonly seed?: number
  /** Candidates of one choice that are measured at most. Default 64. */
  readonly trials?: number
}

/** Candidates proposed at once; a race takes as many of them as it is wide. */
const PROPOSED = 12
/** Of these, so many at random, for what the model does not know yet: one in four. */
const RANDOM = 3
/** Rows of the cost model that are other choices'. */
const FROM_OTHERS = 192
const CHILDREN = 96
const PARENTS = 6
/** A column of a child is of neither parent so often. */
const MUTATION = 0.15
/** Errors of the model by which the best open candidate must be slower than the best measured one, to stop. */
const HOPE = 2

interface Described {
  readonly candidate: Candidate
  readonly row: ReadonlyArray<number>
}

/**
 * What is known, as rows: speeds relative to the geometric mean of their choice, so that choices compare. All of this
 * choice; of others, the fastest and evenly between, as many as there is time to learn from.
 */
const learn = (own: View, all: ReadonlyArray<View>, names: ReadonlyArray<string>): CostModel.CostModel => {
  const rows: Array<ReadonlyArray<number>> = []
  const targets: Array<number> = []
  const others = all.filter(({ choice, measured }) => choice.key !== own.choice.key && measured.length > 1)
  for (const { choice, measured } of [own, ...others]) {
    const logs = measured.map(({ relative }) => Math.log(relative))
    const mean = logs.reduce((total, log) => total + log, 0) / Math.max(1, logs.length)
    const stride = choice === own.choice ? 1 : Math.ceil((measured.length * others.length) / FROM_OTHERS)
    for (const [i, { candidate }] of measured.entries()) {
      if (i % stride !== 0) continue
      rows.push(Features.row(Features.named(candidate), names))
      targets.push((logs[i] ?? 0) - mean)
    }
  }
  return CostModel.fit(rows, targets)
}

const scalesOf = (all: ReadonlyArray<Described>, width: number): ReadonlyArray<number> =>
  Array.from({ length: width }, (_, column) => {
    const values = all.map(({ row }) => row[column] ?? 0)
    return Math.max(...values) - Math.min(...values)
  })

const distance = (a: ReadonlyArray<number>, b: ReadonlyArray<number>, scales: ReadonlyArray<number>): number =>
  scales.reduce((total, scale, i) => (scale > 0 ? total + Math.abs((a[i] ?? 0) - (b[i] ?? 0)) / scale : total), 0)

/** Open candidates that are near to mixtures of fast ones. */
const breed = (
  parents: ReadonlyArray<Described>,
  open: ReadonlyArray<Described>,
  scales: ReadonlyArray<number>,
  random: Seeded.Seeded
): ReadonlyArray<Described> => {
  const children = new Set<Described>()
  if (parents.length === 0) return []
  for (let i = 0; i < CHILDREN; i++) {
    // The minimum of two draws: faster parents more often.
    const draw = () => parents[Math.min(random.below(parents.length), random.below(parents.length))]
    const [mother, father] = [draw(), draw()]
    const wish = scales.map((_, column) => {
      const from = random.next() < MUTATION ? open[random.below(open.length)] : random.next() < 0.5 ? mother : father
      return from?.row[column] ?? 0
    })
    let nearest: { readonly one: Described; readonly away: number } | undefined
    for (const one of open) {
      const away = distance(one.row, wish, scales)
      if (nearest === undefined || away < nearest.away) nearest = { one, away }
    }
    if (nearest !== undefined) children.add(nearest.one)
  }
  return [...children]
}

const propose = (view: View, all: ReadonlyArray<View>, seed: number, trials: number): ReadonlyArray<Candidate> => {
  const { choice, measured, open } = view
  const left = Math.min(PROPOSED, trials - measured.length)
  if (left <= 0 || open.length === 0) return []
  // A small space is measured whole; a few more than asked cost less than a model.
  if (open.length <= left) return open
  const random = Seeded.make(seed, choice.key, measured.length, open.length)
  const names = Features.columns(choice.candidates.map(Features.named))
  const describe = (candidate: Candidate): Described => ({
    candidate,
    row: Features.row(Features.named(candidate), names)
  })
  const described = open.map(describe)
  const known = all.some((one) => one.measured.length > 1)
  const model = learn(view, all, names)
  const byModel = (list: ReadonlyArray<Described>) =>
    known
      ? list
          .map((one) => ({ one, time: model.predict(one.row) }))
          .toSorted((a, b) => a.time - b.time)
          .map(({ one }) => one)
      : list
  const ranked = byModel(described)
  if (
    isHopeless(
      measured.map(({ candidate }) => describe(candidate)),
      ranked,
      model
    )
  )
    return []

  const parents = measured.slice(0, PARENTS).map(({ candidate }) => describe(candidate))
  const children = byModel(breed(parents, described, scalesOf(choice.candidates.map(describe), names.length), random))
  // Half from the children, half from the model's view of all that is open: neither is trusted alone.
  const good = Math.max(1, left - RANDOM)
  const chosen = new Set<Described>()
  const take = (list: ReadonlyArray<Described>, upTo: number) => {
    for (const one of list) if (chosen.size < upTo) chosen.add(one)
  }
  take(children, Math.ceil(good / 2))
  take(ranked, good)
  for (let tries = 0; chosen.size < left && tries < 10 * left; tries++) {
    const one = described[random.below(described.length)]
    if (one !== undefined) chosen.add(one)
  }
  take(ranked, left)
  return [...chosen].map(({ candidate }) => candidate)
}

/** Whether the model, as well as it is known to predict, sees nothing open that could be faster than what is measured. */
const isHopeless = (
  measured: ReadonlyArray<Described>,
  ranked: ReadonlyArray<Described>,
  model: CostModel.CostModel
): boolean => {
  const [next] = ranked
  if (next === undefined || measured.length < 2 * PROPOSED) return false
  const best = Math.min(...measured.map(({ row }) => model.predict(row)))
  return model.predict(next.row) - best > HOPE * model.error()
}

export const strategy = (options: Pick<Options, "seed" | "trials"> = {}): Strategy => {
  const { seed = 1, trials = 64 } = options
  return {
    identity: { name: "evolutionary", version: 1, config: { seed, trials } },
    propose: (view, all) => propose(view, all, seed, trials)
  }
}

export const layer = (options: Options = {}): Layer.Layer<Tuner, never, Measurer | Journal> =>
  MeasuringTuner.layer(strategy(options), options)
