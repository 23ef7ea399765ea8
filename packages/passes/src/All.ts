// The built-in passes in their default order. The whole simplification of a model reads from here; adding one is: write
// the file, add the line, write its test.
//
// A name may stand more than once: what one pass uncovers, an earlier one may use. Switching a name off takes out all
// of its places.
import type { Edited } from "@anneal/ir/Editor"
import type { Graph as IrGraph } from "@anneal/ir/Graph"
import { Graph } from "@anneal/pipeline/Graph"
import { Oracle, type OracleError } from "@anneal/pipeline/Oracle"
import type * as Pass from "@anneal/pipeline/Pass"
import * as Pipeline from "@anneal/pipeline/Pipeline"
import type { StageFailure } from "@anneal/pipeline/Stage"
import type { ValidationError } from "@anneal/pipeline/Validate"
import * as Effect from "effect/Effect"
import { absorbBias } from "./AbsorbBias.ts"
import { absorbPad } from "./AbsorbPad.ts"
import { cancelReshapes } from "./CancelReshapes.ts"
import { cancelTransposes } from "./CancelTransposes.ts"
import { captureConstants } from "./CaptureConstants.ts"
import { combineConcatSlice } from "./CombineConcatSlice.ts"
import { delayActivation } from "./DelayActivation.ts"
import * as Driver from "./Driver.ts"
import { eliminateCommonSubexpressions } from "./EliminateCommonSubexpressions.ts"
import { eliminateDeadCode } from "./EliminateDeadCode.ts"
import { eliminateNoOps } from "./EliminateNoOps.ts"
import { foldBatchNorm } from "./FoldBatchNorm.ts"
import { foldConstants } from "./FoldConstants.ts"
import { foldEmbedding } from "./FoldEmbedding.ts"
import { foldIf } from "./FoldIf.ts"
import { foldShapes } from "./FoldShapes.ts"
import { formLinear } from "./FormLinear.ts"
import { mergeMatmuls } from "./MergeMatmuls.ts"
import { projectRecurrent } from "./ProjectRecurrent.ts"
import { recognizeAttention } from "./RecognizeAttention.ts"
import { recognizeGelu } from "./RecognizeGelu.ts"
import { recognizeLayerNorm } from "./RecognizeLayerNorm.ts"
import { recognizeRelu } from "./RecognizeRelu.ts"
import { recognizeRmsNorm } from "./RecognizeRmsNorm.ts"
import { recognizeRotaryEmbedding } from "./RecognizeRotaryEmbedding.ts"
import { recognizeSilu } from "./RecognizeSilu.ts"
import { recognizeSoftmax } from "./RecognizeSoftmax.ts"
import { simplifyAlgebra } from "./SimplifyAlgebra.ts"
import { simplifyLoop } from "./SimplifyLoop.ts"
import { trimRecurrent } from "./TrimRecurrent.ts"

/** A pass with its configuration hidden. */
export interface Listed {
  readonly name: string
  readonly version: number
  readonly claim: Pass.Claim
  readonly summary: string
  readonly rewrite: (graph: IrGraph) => Effect.Effect<Edited, OracleError, Oracle>
  readonly pass: () => Pass.Pass<Oracle, OracleError>
}

/** The default order. */
export const passes: ReadonlyArray<Listed> = [
  // What can be computed or decided now.
  eliminateDeadCode,
  foldShapes,
  captureConstants,
  foldConstants,
  foldIf,
  simplifyLoop,
  foldShapes,
  foldConstants,
  // One way to write each thing.
  eliminateNoOps,
  eliminateCommonSubexpressions,
  simplifyAlgebra,
  recognizeRelu,
  cancelTransposes,
  cancelReshapes,
  combineConcatSlice,
  // Whole ops out of their pieces.
  recognizeSoftmax,
  recognizeLayerNorm,
  recognizeRmsNorm,
  recognizeGelu,
  recognizeSilu,
  recognizeRotaryEmbedding,
  recognizeAttention,
  // Less to compute.
  delayActivation,
  trimRecurrent,
  // Arithmetic into the weights.
  foldBatchNorm,
  absorbPad,
  absorbBias,
  formLinear,
  mergeMatmuls,
  foldEmbedding,
  projectRecurrent,
  // What that left behind.
  cancelReshapes,
  combineConcatSlice,
  foldConstants,
  eliminateNoOps,
  eliminateCommonSubexpressions,
  eliminateDeadCode
]

/** Every name once, in order of first appearance: what can be switched off. */
export const names: ReadonlyArray<string> = [...new Set(passes.map(({ name }) => name))]

/** The list without some names; a name that no pass has is refused, with the ones there are. */
export const without = (
  disabled: ReadonlyArray<string>,
  list: ReadonlyArray<Listed> = passes
): ReadonlyArray<Listed> => {
  const unknown = disabled.filter((one) => !names.includes(one))
  if (unknown.length > 0) throw new RangeError(`no pass is called ${unknown.join(", ")}; there are ${names.join(", ")}`)
  return list.filter(({ name }) => !disabled.includes(name))
}

/** What a pipeline of passes may fail with. */
export type Failure = OracleError | Pass.PassError | ValidationError | StageFailure

/** A pipeline that takes a graph and an oracle through the passes, each a step of it: listed, keyed, checked. */
export const pipeline = (
  list: ReadonlyArray<Listed> = passes
): Pipeline.Pipeline<Graph | Oracle, Graph | Oracle, Failure, never> => through(Pipeline.on(Graph, Oracle), list)

/** The passes as further steps of a pipeline that has come to a graph and knows the oracle. */
export const through = <In, E, R>(
  start: Pipeline.Pipeline<In, Graph | Oracle, E, R>,
  list: ReadonlyArray<Listed> = passes
): Pipeline.Pipeline<In, Graph | Oracle, E | Failure, R> =>
  list.reduce<Pipeline.Pipeline<In, Graph | Oracle, E | Failure, R>>((built, { pass }) => built.through(pass()), start)

/** All rewrites one after the other, unchecked: for benchmarks and tests. */
export const rewriteAll = (
  graph: IrGraph,
  list: ReadonlyArray<Listed> = passes
): Effect.Effect<Edited, OracleError, Oracle> =>
  Effect.gen(function* () {
    let edited: Edited = { graph, replaced: new Map(), changed: false }
    for (const { rewrite } of list) edited = Driver.after(edited, yield* rewrite(edited.graph))
    return edited
  })
