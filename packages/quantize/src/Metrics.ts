// Metrics: how outputs and labels become one number, and evaluators made of them.
import * as Numbers from "@anneal/ir/Numbers"
import type * as Tensor from "@anneal/ir/Tensor"
import * as Evaluator from "@anneal/pipeline/Evaluator"
import type { Identity } from "@anneal/pipeline/Key"
import * as Progress from "@anneal/pipeline/Progress"
import { identityOf } from "@anneal/pipeline/Samples"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

type Outputs = Readonly<Record<string, Tensor.Tensor>>

/** Folds one sample at a time into a state, then the state into the value. */
export interface Metric<State, Label> {
  readonly name: string
  readonly version: number
  readonly higherIsBetter: boolean
  /** What a label must be, and how to say it. */
  readonly isLabel: (label: unknown) => label is Label
  readonly labels: string
  readonly empty: State
  readonly add: (state: State, outputs: Outputs, label: Label) => State
  readonly value: (state: State) => number
}

const first = (outputs: Outputs): Float64Array => {
  const tensor = Object.values(outputs)[0]
  return tensor === undefined ? new Float64Array(0) : Numbers.toNumbers(tensor)
}

/** Index of the greatest element of the first output; the first of equal ones. */
export const argMax = (outputs: Outputs): number => {
  const values = first(outputs)
  let best = 0
  for (let i = 1; i < values.length; i++) if ((values[i] ?? 0) > (values[best] ?? 0)) best = i
  return best
}

interface Counted {
  readonly right: number
  readonly count: number
}

/** Share of samples whose greatest score is the label (an integer). One sample a run. */
export const top1: Metric<Counted, number> = {
  name: "top-1",
  version: 1,
  higherIsBetter: true,
  isLabel: (label): label is number => Number.isInteger(label),
  labels: "the index of the right class",
  empty: { right: 0, count: 0 },
  add: ({ count, right }, outputs, label) => ({ right: right + (argMax(outputs) === label ? 1 : 0), count: count + 1 }),
  value: ({ count, right }) => (count === 0 ? 0 : right / count)
}

/** Mean absolute error of the first output against a tensor as label. */
export const meanError: Metric<{ readonly sum: number; readonly count: number }, Tensor.Tensor> = {
  name: "mean error",
  version: 1,
  higherIsBetter: false,
  isLabel: (label) => isTensor(label),
  labels: "a tensor of the first output's size",
  empty: { sum: 0, count: 0 },
  add: ({ count, sum }, outputs, label) => {
    const found = first(outputs)
    const expected = Numbers.toNumbers(label)
    let total = 0
    for (let i = 0; i < found.length; i++) total += Math.abs((found[i] ?? 0) - (expected[i] ?? 0))
    return { sum: sum + total, count: count + found.length }
  },
  value: ({ count, sum }) => (count === 0 ? 0 : sum / count)
}

const isTensor = (value: unknown): value is Tensor.Tensor =>
  typeof value === "object" && value !== null && "dtype" in value && "shape" in value && "data" in value

interface Confusion {
  readonly hits: number
  readonly wrong: number
  readonly missed: number
}

/**
 * F1 of a binary decision on each element of the first output: positive where it is above `threshold`; the label is an
 * array of booleans, an element an element.
 */
export const f1 = (threshold: number): Metric<Confusion, ReadonlyArray<boolean>> => ({
  name: `F1 at ${threshold}`,
  version: 1,
  higherIsBetter: true,
  isLabel: (label): label is ReadonlyArray<boolean> =>
    Array.isArray(label) && label.every((is) => typeof is === "boolean"),
  labels: "an array of booleans",
  empty: { hits: 0, wrong: 0, missed: 0 },
  add: (state, outputs, expected) => {
    let { hits, missed, wrong } = state
    for (const [position, value] of first(outputs).entries()) {
      const [said, is] = [value > threshold, expected[position] === true]
      if (said && is) hits++
      else if (said) wrong++
      else if (is) missed++
    }
    return { hits, wrong, missed }
  },
  value: ({ hits, missed, wrong }) => (hits === 0 ? 0 : (2 * hits) / (2 * hits + wrong + missed))
})

/** An evaluator over samples in memory; a metric of one's own is a value like `top1`. Its identity is the metric's and the data's; labels must be JSON. */
export const layer = <State, Label>(
  metric: Metric<State, Label>,
  samples: ReadonlyArray<Evaluator.LabelledSample>,
  identity: Identity | undefined = {
    name: metric.name,
    version: metric.version,
    config: [identityOf(samples.map(({ inputs }) => inputs)).config, JSON.stringify(samples.map(({ label }) => label))]
  }
): Layer.Layer<Evaluator.Evaluator> =>
  Layer.succeed(Evaluator.Evaluator, {
    name: metric.name,
    identity,
    count: samples.length,
    samples: Stream.fromIterable(samples),
    score: (runner) =>
      Effect.gen(function* () {
        let state = metric.empty
        for (const [position, { inputs, label }] of samples.entries()) {
          if (!metric.isLabel(label)) {
            const detail = `the label of sample ${position} is ${JSON.stringify(label)}, it must be ${metric.labels}`
            return yield* new Evaluator.EvaluationError({ evaluator: metric.name, detail })
          }
          state = metric.add(state, yield* runner(inputs), label)
          yield* Progress.step("evaluated", position + 1, samples.length)
        }
        const value = metric.value(state)
        return { metric: metric.name, value, higherIsBetter: metric.higherIsBetter, count: samples.length }
      })
  })
