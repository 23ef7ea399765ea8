/** A small classifier and its data: two products, three classes, inputs from seeds. */
import type * as Graph from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import type { LabelledSample } from "@anneal/pipeline/Evaluator"
import type { Sample } from "@anneal/pipeline/Samples"
import { normal } from "./Distributions.ts"
import { parse } from "./Text.ts"

/** y = relu(x·a)·b; the label of a sample is the class that the float model gives. */
export const model: Graph.Graph = parse(`
  input "x" %x : f32[1, 3]
  constant %a : f32[3, 4] = [1, -0.5, 0.25, 0.75, -1, 0.5, 0.5, -0.25, 0.125, 1, -0.75, 0.5]
  constant %b : f32[4, 3] = [0.5, -1, 0.25, 1, 0.75, -0.5, -0.25, 0.5, 1, 0.125, -0.75, 0.5]
  %h : f32[1, 4] = matmul(%x, %a) from "first"
  %r : f32[1, 4] = relu(%h)
  %y : f32[1, 3] = matmul(%r, %b) from "second"
  output "y" = %y`)

export const sampleOf = (values: ReadonlyArray<number>): Sample => ({
  x: Numbers.fromNumbers("f32", [1, values.length], values)
})

/** `scale` stretches the inputs. */
export const samples = (count: number, seed = 1, scale = 1): ReadonlyArray<Sample> =>
  Array.from({ length: count }, (_, index) => sampleOf(normal(3, seed * 1000 + index).map((x) => x * scale)))

export const labelled = (count: number, seed: number, scale = 1): ReadonlyArray<LabelledSample> =>
  samples(count, seed, scale).map((inputs, index) => ({ inputs, label: index % 3 }))
