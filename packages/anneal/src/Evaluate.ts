/**
 * Evaluation as a stage: a graph's score on the evaluator's whole set, kept in the store, so that a second build of the
 * same model on the same data measures nothing again.
 */
import * as Artefact from "@anneal/pipeline/Artefact"
import { Evaluator, Score } from "@anneal/pipeline/Evaluator"
import { Graph } from "@anneal/pipeline/Graph"
import * as Inference from "@anneal/pipeline/Inference"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as Pipeline from "@anneal/pipeline/Pipeline"
import * as Stage from "@anneal/pipeline/Stage"
import * as Budget from "@anneal/quantize/Budget"
import type * as IR from "@anneal/ir/Graph"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** How good a graph is. */
export class Scored extends Artefact.make<Scored>()("anneal/Scored", Artefact.json(Score)) {}

export const evaluate = Stage.make({
  name: "evaluate",
  version: 1,
  config: Schema.Struct({}),
  needs: [Graph, Evaluator, Oracle],
  may: [Inference.Inference],
  output: Scored,
  run: Effect.fnUntraced(function* () {
    const [graph, evaluator, inference] = [yield* Graph, yield* Evaluator, yield* Inference.current]
    return yield* Budget.evaluate(graph, evaluator, inference)
  })
})

const pipeline = Pipeline.on(Graph, Evaluator, Oracle).through(evaluate({}))

/** The score of a graph, from the store where it is known. */
export const score = (graph: IR.Graph) =>
  pipeline.build().pipe(
    Effect.map(({ known }) => Pipeline.get(known, Scored)),
    Effect.provideService(Graph, graph)
  )
