/**
 * The first layer that differs. The values of one graph, by the oracle, are held against those of another as its target
 * computes them: every value that is in memory between two regions of generated code, or all of them where the graph is
 * run as it is.
 *
 * Values go by their ids, which rewrites keep for what they leave alone; what has another id by lineage: the value of the
 * last of the user's nodes that a node came from, if its shape is the same.
 */
import * as DTypes from "@anneal/ir/DType"
import * as Graphs from "@anneal/ir/Graph"
import type { Graph } from "@anneal/ir/Graph"
import type { Tensor } from "@anneal/ir/Tensor"
import { size } from "@anneal/ir/Tensor"
import { Oracle, type OracleError } from "@anneal/pipeline/Oracle"
import type { ExecutionError, InputError } from "@anneal/runtime/RuntimeError"
import type { Session, Tensors } from "@anneal/runtime/Session"
import * as Effect from "effect/Effect"
import type { Agreement, Tolerance } from "./Compare.ts"
import * as Compare from "./Compare.ts"

export interface Layer {
  readonly value: string
  /** The node in the second graph, by its path in the user's model. */
  readonly node: string
  /** The kernel that made it; absent where the graph was run by the oracle. */
  readonly kernel?: string
  readonly agreement: Agreement
}

export interface Layers {
  /** Values that both have. */
  readonly compared: number
  /** Those out of tolerance, in order; the first is where to look. */
  readonly differing: ReadonlyArray<Layer>
}

/** A graph with what runs it: the session's target, or the oracle where that cannot show its values. */
export interface Watched {
  readonly graph: Graph
  readonly session: Session
}

const inOrder = (graph: Graph, inputs: Tensors): ReadonlyArray<Tensor> =>
  graph.inputs.flatMap(({ name }) => inputs[name] ?? [])

/** Shows the values as the session's target computes them. */
const observe = (
  { graph, session }: Watched,
  inputs: Tensors,
  onValue: (id: string, tensor: Tensor, kernel: string | undefined) => void
): Effect.Effect<void, OracleError | ExecutionError | InputError, Oracle> =>
  Effect.gen(function* () {
    if (yield* session.observe(inputs, onValue)) return
    const oracle = yield* Oracle
    yield* oracle.observe(graph, inOrder(graph, inputs), (id, tensor) => onValue(id, tensor, undefined))
  })

/**
 * The part of a value that another one of its name has: generated code leaves out what lies at the end of its axes and nobody
 * reads. Undefined where the other is no part of it.
 */
const partOf = (value: Tensor, { shape }: Tensor): Tensor | undefined => {
  if (shape.length !== value.shape.length || shape.some((extent, axis) => extent > (value.shape[axis] ?? 0)))
    return undefined
  if (shape.join() === value.shape.join()) return value
  const data = DTypes.allocate(value.dtype, size(shape))
  for (let at = 0; at < data.length; at++) {
    let [rest, from, stride] = [at, 0, 1]
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const extent = shape[axis] ?? 1
      from += (rest % extent) * stride
      rest = Math.floor(rest / extent)
      stride *= value.shape[axis] ?? 1
    }
    data[at] = value.data[from] ?? 0
  }
  return { dtype: value.dtype, shape, data }
}

const sameShape = (a: Tensor, b: Tensor): boolean => a.shape.join() === b.shape.join()

/** Values by the path of the node that makes them; a node with several sources goes by the last. */
const byLineage = (graph: Graph): ReadonlyMap<string, string> => {
  const found = new Map<string, string>()
  for (const { lineage, outputs } of graph.nodes) {
    const [source, value] = [lineage.sources.at(-1), outputs[0]?.id]
    // Of several nodes of one source the last has its result.
    if (source !== undefined && value !== undefined && outputs.length === 1) found.set(source, value)
  }
  return found
}

/** Runs both. `inputs` are by the user's names and have been checked. */
export const compare = (
  a: Graph,
  b: Watched,
  inputs: Tensors,
  tolerance: Tolerance
): Effect.Effect<Layers, OracleError | ExecutionError | InputError, Oracle> =>
  Effect.gen(function* () {
    const oracle = yield* Oracle
    const made = new Set(a.nodes.flatMap(({ outputs }) => outputs.map(({ id }) => id)))
    const nodes = new Map(b.graph.nodes.flatMap((node) => node.outputs.map(({ id }) => [id, node] as const)))
    const sources = byLineage(a)
    const names = new Map<string, string>()
    for (const [source, value] of byLineage(b.graph)) {
      const other = sources.get(source)
      if (other !== undefined && !made.has(value)) names.set(value, other)
    }
    const wanted = new Set([...nodes.keys(), ...names.values()])
    const expected = new Map<string, Tensor>()
    yield* oracle.observe(a, inOrder(a, inputs), (id, tensor) => {
      if (wanted.has(id)) expected.set(id, tensor)
    })
    const differing: Array<Layer> = []
    let compared = 0
    yield* observe(b, inputs, (id, tensor, kernel) => {
      const node = nodes.get(id)
      const other = made.has(id) ? id : names.get(id)
      const value = other === undefined ? undefined : expected.get(other)
      if (node === undefined || value === undefined) return
      // By lineage alone, a value of another shape is another value.
      if (other !== id && !sameShape(tensor, value)) return
      compared++
      const agreement = Compare.compare(tensor, partOf(value, tensor) ?? value, tolerance)
      if (agreement.agree) return
      const by = kernel === undefined ? {} : { kernel }
      differing.push({ value: id, node: Graphs.nodeName(node), ...by, agreement })
    })
    return { compared, differing }
  })
