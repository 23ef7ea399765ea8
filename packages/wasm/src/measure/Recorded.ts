/**
 * Recorded: what the values of a model hold when it runs on the user's own data: contents that kernels are examined with
 * beside random ones and edges.
 */
import type { TypedArray } from "@anneal/ir/DType"
import type { Graph } from "@anneal/ir/Graph"
import type { Tensor } from "@anneal/ir/Tensor"
import type { Buffer } from "@anneal/lower/Program"
import type { InferenceService } from "@anneal/pipeline/Inference"
import type { OracleError } from "@anneal/pipeline/Oracle"
import type { Sample } from "@anneal/pipeline/Samples"
import * as Effect from "effect/Effect"

/** By id of the value; inputs by name, too. The first elements of each: enough to be what the data are like. */
export type Recorded = ReadonlyMap<string, TypedArray>

export const none: Recorded = new Map()

/** Elements of a value that are kept: a prime, so that a repetition lies at another distance from any power of two. */
const most = 65_521

const inputKey = (name: string): string => `input ${name}`

/** What a buffer holds; undefined: nobody recorded it. Any layout of a value's elements will do. */
export const contentsOf = (recorded: Recorded, { id, kind, name }: Buffer): TypedArray | undefined =>
  recorded.get(kind === "input" && name !== undefined ? inputKey(name) : id)

/** Runs a graph on a sample, and keeps a part of each value. */
export const record = (
  graph: Graph,
  sample: Sample,
  inference: InferenceService
): Effect.Effect<Recorded, OracleError> =>
  Effect.suspend(() => {
    const found = new Map<string, TypedArray>()
    const keep = (key: string, { data }: Tensor): void => {
      if (data.length > 0) found.set(key, data.slice(0, most))
    }
    const inputs = graph.inputs.flatMap(({ name }) => sample[name] ?? [])
    for (const [place, { name }] of graph.inputs.entries()) {
      const tensor = inputs[place]
      if (tensor !== undefined) keep(inputKey(name), tensor)
    }
    return Effect.as(inference.observe(graph, inputs, keep), found)
  })
