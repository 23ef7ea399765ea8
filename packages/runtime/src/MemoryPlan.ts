/**
 * How much memory a graph needs: the weights, and the most that is alive at one time.
 *
 *   plan(graph, { batch: 8 })  ⇒  { weights: 316_000, peak: 1_048_576, at: "/conv1" }
 *
 * A value is alive from the node that makes it to the last that takes it; inputs and outputs belong to the caller and
 * count throughout. Elements take a slot each, as the tensors of `@anneal/ir` do.
 */
import * as Bind from "@anneal/ir/Bind"
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import * as Graphs from "@anneal/ir/Graph"
import type { Graph } from "@anneal/ir/Graph"
import * as Tensor from "@anneal/ir/Tensor"
import type { TensorType } from "@anneal/ir/Type"
import * as Type from "@anneal/ir/Type"
import type { Profile } from "@anneal/engine/Manifest"

export interface MemoryPlan {
  /** Bytes of constants, equal ones once. */
  readonly weights: number
  /** Bytes of values alive at the worst moment, inputs and outputs included. */
  readonly peak: number
  /** The node of that moment. */
  readonly at: string
  /** Values whose size these bindings do not decide; they are not in `peak`. */
  readonly unbounded: ReadonlyArray<string>
}

/** The plan for given extents of the symbols. */
export const plan = (graph: Graph, bindings: Bind.Bindings): MemoryPlan => {
  let weights = 0
  for (const { dtype, shape } of Graphs.allConstants(graph).values())
    weights += DTypes.slotBytes(dtype) * Tensor.size(shape)
  const unbounded: Array<string> = []
  const { at, peak } = peakOf(graph, bindings, unbounded)
  return { weights, peak, at, unbounded }
}

const peakOf = (
  graph: Graph,
  bindings: Bind.Bindings,
  unbounded: Array<string>
): { readonly peak: number; readonly at: string } => {
  const bytes = (id: string, type: TensorType): number => {
    const count = Dim.evaluate(Type.size(type), bindings)
    if (count === undefined) unbounded.push(`%${id} : ${Type.format(type)}`)
    return (count ?? 0) * DTypes.slotBytes(type.dtype)
  }
  const last = new Map<string, number>()
  for (const [place, node] of graph.nodes.entries()) for (const id of node.inputs) if (id !== null) last.set(id, place)
  for (const { id } of graph.outputs) last.set(id, graph.nodes.length)
  const alive = new Map<string, number>()
  let now = 0
  for (const input of graph.inputs) now += bytes(input.id, input.type)
  let worst = { peak: now, at: "the inputs" }
  for (const [place, node] of graph.nodes.entries()) {
    for (const { id, type } of node.outputs) {
      const size = bytes(id, type)
      alive.set(id, size)
      now += size
    }
    let inner = 0
    for (const sub of Object.values(node.graphs)) inner = Math.max(inner, peakOf(sub, bindings, unbounded).peak)
    if (now + inner > worst.peak) worst = { peak: now + inner, at: Graphs.nodeName(node) }
    const ended = [...node.inputs, ...node.outputs.map(({ id }) => id)].filter((id) => id !== null)
    for (const id of new Set(ended)) {
      const size = alive.get(id)
      if (size === undefined || (last.get(id) ?? place) > place) continue
      alive.delete(id)
      now -= size
    }
  }
  return worst
}

/** The extents at the top of a profile; a symbol without a limit is left open. */
export const largest = ({ dims }: Profile): Bind.Bindings =>
  new Map(Object.entries(dims).flatMap(([symbol, { max }]) => (max === null ? [] : [[symbol, max] as const])))
