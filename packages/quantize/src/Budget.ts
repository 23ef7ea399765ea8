// The accuracy budget: which products may be quantised so that the whole evaluation set loses no more than allowed.
//
// Everything is quantised first. When that loses too much, products are ranked by the noise that each makes alone (a few
// samples), and the fewest worst ones that restore the budget stay float: found by bisection, one run of the full set a
// step. When one product alone is still too much, the error lists who spent what.
import * as Graph from "@anneal/ir/Graph"
import type * as Tensor from "@anneal/ir/Tensor"
import * as Artefact from "@anneal/pipeline/Artefact"
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import { Evaluator, type EvaluatorService, type Score } from "@anneal/pipeline/Evaluator"
import { Graph as GraphTag } from "@anneal/pipeline/Graph"
import * as Inference from "@anneal/pipeline/Inference"
import type { InferenceService } from "@anneal/pipeline/Inference"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as Progress from "@anneal/pipeline/Progress"
import { Ranges } from "@anneal/pipeline/Ranges"
import { Samples } from "@anneal/pipeline/Samples"
import * as Stage from "@anneal/pipeline/Stage"
import { Target } from "@anneal/pipeline/Target"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Calibrate from "./Calibrate.ts"
import * as FreezeWeights from "./FreezeWeights.ts"
import * as InsertQuantization from "./InsertQuantization.ts"
import * as Placement from "./Placement.ts"
import * as Precision from "./Precision.ts"
import * as Saturation from "./Saturation.ts"
import * as Sensitivity from "./Sensitivity.ts"

const Spender = Schema.Struct({
  node: Schema.String,
  /** Noise power over signal power of its result, quantised alone. */
  noise: Schema.Finite
})

/** The budget cannot be met. */
export class BudgetExceeded extends Schema.TaggedError<BudgetExceeded>()("BudgetExceeded", {
  metric: Schema.String,
  before: Schema.Finite,
  /** With as little quantised as the search tried. */
  best: Schema.Finite,
  quantized: Schema.Finite,
  maxDrop: Schema.Finite,
  spenders: Schema.Array(Spender)
}) {
  override get message(): string {
    const list = this.spenders.map(({ node, noise }) => `  ${Precision.column(noise)}  ${node}`)
    return [
      `The accuracy budget cannot be met: ${this.metric} is ${this.before} before, ${this.quantized} quantised, ` +
        `${this.best} at best; a loss of ${this.maxDrop} is allowed.`,
      `Who spends it, worst first (signal to noise of each product quantised alone):`,
      ...list,
      `Allow more (--max-drop), calibrate on more representative samples, or try another calibrator.`
    ].join("\n")
  }
}

/** How much worse `after` is than `before`: positive is a loss, whichever direction is better. */
export const drop = (before: Score, after: Score): number =>
  before.higherIsBetter ? before.value - after.value : after.value - before.value

/** The score of a graph on the evaluator's whole set. */
export const evaluate = (graph: Graph.Graph, evaluator: EvaluatorService, inference: InferenceService) =>
  evaluator.score((sample) =>
    Effect.gen(function* () {
      const outputs = yield* inference.run(graph, yield* Calibrate.inputsOf(graph, sample))
      const named = graph.outputs.flatMap(({ name }, position): ReadonlyArray<readonly [string, Tensor.Tensor]> => {
        const tensor = outputs[position]
        return tensor === undefined ? [] : [[name, tensor]]
      })
      return Object.fromEntries(named)
    })
  )

/**
 * A k in [low, high] for which `holds(k)` and, as far as was tried, no smaller one: the least when a larger k never
 * breaks what a smaller one keeps. Undefined when it does not hold for `high`, or there is none.
 */
const leastThat = <E>(low: number, high: number, holds: (k: number) => Effect.Effect<boolean, E>) =>
  Effect.gen(function* () {
    if (high < low || !(yield* holds(high))) return undefined
    let [fails, works] = [low - 1, high]
    while (works - fails > 1) {
      const middle = Math.floor((fails + works) / 2)
      if (yield* holds(middle)) works = middle
      else fails = middle
    }
    return works
  })

/** A product, what it is called by, and the noise that it makes alone. */
interface Ranked {
  readonly node: Graph.Node
  readonly id: string
  readonly noise: number
}

/** Worst first; equal noise in the graph's order, so that the choice is the same every time. */
const rank = (products: ReadonlyArray<Graph.Node>, noise: ReadonlyMap<string, number>): ReadonlyArray<Ranked> =>
  products
    .map((node) => {
      const id = node.outputs[0]?.id ?? ""
      return { node, id, noise: noise.get(id) ?? 0 }
    })
    .toSorted((a, b) => b.noise - a.noise)

export const fitBudget = Stage.make({
  name: "fitBudget",
  version: 3,
  config: Schema.Struct({
    /** Greatest loss allowed, in units of the metric. */
    maxDrop: Schema.Finite,
    bits: Schema.Literals([4, 8]),
    /** Products that stay float whatever happens: op names, value ids or sources. */
    keep: Schema.Array(Schema.String),
    /** Weights use all their bits, though the target would be faster with fewer. */
    fullRange: Schema.optionalKey(Schema.Boolean),
    /** Samples that rank the products. */
    rankingSamples: Schema.Int
  }),
  needs: [GraphTag, Ranges, Samples, Evaluator, Oracle, Target],
  may: [Inference.Inference],
  output: Precision.Precision,
  retry: Calibrate.sampleRetry,
  run: Effect.fnUntraced(function* ({ bits, fullRange, keep, maxDrop, rankingSamples }) {
    const [graph, ranges, samples] = [yield* GraphTag, yield* Ranges, yield* Samples]
    const [evaluator, oracle, target] = [yield* Evaluator, yield* Oracle, yield* Target]
    const inference = yield* Inference.current
    const schemes = InsertQuantization.chooseSchemes(target.quantization, bits, fullRange)
    if (schemes === undefined) return yield* new InsertQuantization.NoScheme({ target: target.name, bits })
    const unmeasured = Placement.unmeasured(graph, ranges.of, new Set(keep))
    const open = new Set([...keep, ...Placement.namesOf(unmeasured)])
    const preferring = Placement.preferringFloat(graph, target, open)
    const always = new Set([...open, ...Placement.namesOf(preferring.keys())])
    const optionsKeeping = (more: Iterable<string>): InsertQuantization.Options => ({
      ranges: ranges.of,
      schemes,
      keep: new Set([...always, ...Placement.namesOf(more)])
    })
    const before = yield* evaluate(graph, evaluator, inference)
    const first = yield* Stream.runCollect(Stream.take(samples.stream, rankingSamples))
    const noise = yield* Sensitivity.measure(graph, optionsKeeping([]), first, oracle, inference)
    const ranked = rank(Placement.place(graph, always).products, noise)
    /** The full set's score with the k worst products float. */
    const scores = new Map<number, Score>()
    const reverted = (k: number): ReadonlyArray<string> => ranked.slice(0, k).map(({ id }) => id)
    const lossAt = (k: number) =>
      Effect.gen(function* () {
        const { changed, graph: quantized } = InsertQuantization.insert(graph, optionsKeeping(reverted(k)), "fitBudget")
        const score = changed
          ? yield* evaluate(yield* FreezeWeights.freeze(quantized, oracle), evaluator, inference)
          : before
        scores.set(k, score)
        yield* Progress.step("precisions evaluated", scores.size)
        return drop(before, score)
      })
    // A score is a sum of many: what is lost in adding it up is no loss of accuracy.
    const holds = (k: number) => Effect.map(lossAt(k), (loss) => loss <= maxDrop + 1e-12)
    // One product at least must be quantised: a float engine is not what was asked for.
    const count = (yield* holds(0)) ? 0 : yield* leastThat(1, ranked.length - 1, holds)
    if (count === undefined) {
      const best = [...scores.values()].toSorted((a, b) => drop(before, a) - drop(before, b))[0]
      return yield* new BudgetExceeded({
        metric: before.metric,
        before: before.value,
        best: best?.value ?? before.value,
        quantized: scores.get(0)?.value ?? before.value,
        maxDrop,
        spenders: ranked.map((one) => ({ node: Graph.nodeName(one.node), noise: one.noise }))
      })
    }
    const after = scores.get(count) ?? before
    yield* Saturation.warn(graph, ranges.of, samples, evaluator, inference)
    yield* Diagnostic.report({
      severity: "info",
      code: "accuracy-budget",
      message: `${before.metric} ${before.value} → ${after.value}, ${ranked.length - count} of ${ranked.length} products quantised`
    })
    const kept = new Set(reverted(count))
    const choose = (node: Graph.Node): Precision.Choice => {
      const id = node.outputs[0]?.id ?? ""
      const float = (reason: string): Precision.Choice => ({
        node: Graph.nodeName(node),
        precision: "float",
        noise: noise.get(id) ?? 0,
        reason
      })
      if (kept.has(id)) return float("reverted to meet the budget")
      if (unmeasured.has(id)) return float("no range was measured")
      const preference = preferring.get(id)
      if (preference !== undefined) return float(`faster on floats: ${preference}`)
      if (Placement.isNamed(node, always)) return float("kept on request")
      if (!ranked.some((one) => one.id === id)) return float("not a float product")
      return { ...float(""), precision: bits === 8 ? "int8" : "int4" }
    }
    return {
      decidedOn: yield* Artefact.digestOf(GraphTag, graph),
      products: Object.fromEntries(
        graph.nodes.filter(Placement.isProduct).map((node) => [node.outputs[0]?.id ?? "", choose(node)] as const)
      ),
      before,
      after,
      maxDrop
    }
  })
})
