// One conformance case: imported, run by the oracle, compared.
//
// Cases give shapes and axes as inputs of the graph. Where such an input decides the graph itself, the case is imported
// again with its small integer inputs as constants, which the table counts apart.
import * as DTypes from "@anneal/ir/DType"
import type { Graph } from "@anneal/ir/Graph"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Import from "@anneal/onnx/Import"
import { OnnxError } from "@anneal/onnx/OnnxError"
import * as TensorData from "@anneal/onnx/TensorData"
import { OracleError, type OracleService } from "@anneal/pipeline/Oracle"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Case, DataSet, Value } from "./Cases.ts"
import { difference } from "./Compare.ts"

export interface Outcome {
  /** Undefined when the case passes. */
  readonly failure:
    | { readonly kind: "type" | "operator" | "import" | "run" | "mismatch"; readonly detail: string }
    | undefined
  /** Whether it took inputs as constants. */
  readonly pinned: boolean
}

const failed = (kind: NonNullable<Outcome["failure"]>["kind"], detail: string, pinned = false): Outcome => ({
  failure: { kind, detail },
  pinned
})

/** Tensors of a value; a sequence's are its elements. Undefined for what the IR cannot hold. */
const tensorsOf = (value: Value): ReadonlyArray<Tensor> | undefined => {
  if (value.kind === "none") return []
  if (value.kind === "tensor") {
    const tensor = TensorData.toTensor(value.tensor)
    return tensor === undefined ? undefined : [tensor]
  }
  if (value.kind !== "sequence") return undefined
  const items = value.values.map(tensorsOf)
  return items.every((item) => item !== undefined) ? items.flat() : undefined
}

type Inputs = ReadonlyMap<string, Tensor>

/** The tensors that go in, by the names that the graph gives them, and what import must know of the rest. */
interface Given {
  readonly inputs: Inputs
  readonly sequences: Record<string, ReadonlyArray<ReadonlyArray<number>>>
  readonly absent: Array<string>
}

const givenOf = (given: Case, set: DataSet): Given | string => {
  const inputs = new Map<string, Tensor>()
  const sequences: Given["sequences"] = {}
  const absent: Array<string> = []
  for (const [index, info] of (given.model.graph?.input ?? []).entries()) {
    const value = set.inputs[index]
    if (value === undefined) continue
    if (value.kind === "none") {
      absent.push(info.name)
      continue
    }
    const tensors = tensorsOf(value)
    if (tensors === undefined) return `input ${info.name} is of a type that the IR does not have`
    const isSequence = value.kind === "sequence"
    if (isSequence) sequences[info.name] = tensors.map(({ shape }) => shape)
    for (const [item, tensor] of tensors.entries()) inputs.set(isSequence ? `${info.name}[${item}]` : info.name, tensor)
  }
  return { inputs, sequences, absent }
}

/** Small inputs that can decide a graph: shapes, axes, pads, scales. */
const deciding = (inputs: Inputs): Record<string, Tensor> =>
  Object.fromEntries(
    [...inputs].filter(
      ([name, { data, dtype, shape }]) =>
        !name.endsWith("]") && shape.length <= 1 && data.length <= 16 && !DTypes.isNarrowFloat(dtype)
    )
  )

const graphOf = (given: Case, { absent, inputs, sequences }: Given, constants: Record<string, Tensor>): Graph => {
  const options = { absent, constants, sequences }
  try {
    return Import.toGraph(given.model, options)
  } catch (cause) {
    if (!(cause instanceof OnnxError) || cause.reason._tag !== "InputShapes") throw cause
    const shapes = Object.fromEntries(cause.reason.inputs.map((name) => [name, inputs.get(name)?.shape ?? []]))
    return Import.toGraph(given.model, { ...options, shapes })
  }
}

const explain = (error: OnnxError, pinned: boolean): Outcome => {
  const { reason } = error
  if (reason._tag === "UnsupportedTypes") return failed("type", reason.uses.map((use) => use.type).join(", "), pinned)
  if (reason._tag === "UnsupportedOperators") {
    const [first] = reason.operators
    return failed("operator", `${first?.operator}${first?.detail === "" ? "" : `: ${first?.detail}`}`, pinned)
  }
  return failed("import", error.message, pinned)
}

/** What happens to a graph between import and run. */
export type Change = (graph: Graph) => Graph

const attempt = (oracle: OracleService, given: Case, set: DataSet, pinned: boolean, change: Change): Outcome => {
  const values = givenOf(given, set)
  if (typeof values === "string") return failed("type", values)
  const { inputs } = values
  const constants = pinned ? deciding(inputs) : {}
  try {
    const graph = change(graphOf(given, values, constants))
    const run = Effect.runSync(
      Effect.result(
        oracle.run(
          graph,
          graph.inputs.flatMap(({ name }) => inputs.get(name) ?? [])
        )
      )
    )
    if (Result.isFailure(run)) return failed("run", run.failure.message, pinned)
    const expected = set.outputs.map(tensorsOf)
    const found = run.success
    if (expected.some((value) => value === undefined))
      return failed("type", "an output that the IR does not have", pinned)
    const wanted = expected.flatMap((value) => value ?? [])
    if (wanted.length !== found.length)
      return failed("mismatch", `${found.length} results, expected ${wanted.length}`, pinned)
    for (const [index, tensor] of wanted.entries()) {
      const actual = found[index]
      const detail = actual === undefined ? "it is missing" : difference(actual, tensor)
      if (detail !== undefined) return failed("mismatch", `output ${index}: ${detail}`, pinned)
    }
    return { failure: undefined, pinned }
  } catch (cause) {
    if (cause instanceof OnnxError) return explain(cause, pinned)
    if (cause instanceof OracleError) return failed("run", cause.message, pinned)
    throw cause
  }
}

/** The outcome of a case: of its first data set that fails, or of all. */
export const runCase = (oracle: OracleService, given: Case, change: Change = (graph) => graph): Outcome => {
  let outcome: Outcome = { failure: undefined, pinned: false }
  for (const set of given.dataSets) {
    outcome = attempt(oracle, given, set, false, change)
    if (outcome.failure !== undefined && outcome.failure.kind !== "type") {
      const again = attempt(oracle, given, set, true, change)
      outcome = again.failure === undefined ? again : outcome
    }
    if (outcome.failure !== undefined) return outcome
  }
  return outcome
}
