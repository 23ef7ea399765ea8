/**
 * Stages: the members of a rows group as stages: reductions, values of a row, and elements that several passes over the
 * row need and that are too dear to compute again.
 */
import type { Node } from "@anneal/ir/Graph"
import * as Dear from "./Dear.ts"
import type { Reader } from "./Emit.ts"
import type { Group, Place } from "./Group.ts"
import type { Result, Stage } from "./Region.ts"
import type { Scalar } from "./Scalar.ts"
import * as Scalars from "./Scalar.ts"
import type { Scope } from "./Scope.ts"
import type { View } from "./View.ts"

interface Written {
  readonly id: string
  readonly view: View
  readonly place: Place
}

export interface Made {
  readonly stages: ReadonlyArray<Stage>
  readonly results: ReadonlyArray<Result & { readonly per: "element" | "row" }>
}

const outputOf = (node: Node): string => node.outputs[0]?.id ?? ""

/** The passes over a row in which each element member is needed; a pass ends with reductions. */
const passesOf = (
  scope: Scope,
  group: Group,
  members: ReadonlyArray<Node>,
  stored: ReadonlySet<string>
): ReadonlyMap<string, ReadonlySet<number>> => {
  const operands = (node: Node): ReadonlyArray<string> =>
    node.inputs.flatMap((id) => {
      const root = id === null ? "" : scope.resolve(id).root
      return group.places.has(root) ? [root] : []
    })
  const isReduce = (node: Node): boolean => scope.work.get(node)?.kind === "reduce"
  // The pass in which a value can first be computed.
  const first = new Map<string, number>()
  for (const node of members) {
    const before = operands(node).map((root) => first.get(root) ?? 0)
    first.set(outputOf(node), Math.max(0, ...before) + (isReduce(node) ? 1 : 0))
  }
  const last = Math.max(0, ...first.values())
  const passes = new Map<string, Set<number>>()
  const need = (root: string, at: Iterable<number>): void => {
    const list = passes.get(root) ?? new Set()
    for (const pass of at) list.add(pass)
    passes.set(root, list)
  }
  for (const node of [...members].reverse()) {
    const id = outputOf(node)
    if (stored.has(id)) need(id, [last])
    const at = isReduce(node)
      ? [(first.get(id) ?? 1) - 1]
      : group.places.get(id)?.per === "row"
        ? []
        : (passes.get(id) ?? [])
    for (const root of operands(node)) if (group.places.get(root)?.per === "element") need(root, at)
  }
  return passes
}

export const make = (
  scope: Scope,
  group: Group,
  members: ReadonlyArray<Node>,
  read: Reader,
  written: ReadonlyArray<Written>
): Made => {
  const stages: Array<Stage> = []
  const passes = passesOf(scope, group, members, new Set(written.map(({ id }) => id)))
  const keep = (stage: Stage, dtype: Scalar["dtype"]): Scalar => {
    stages.push(stage)
    return Scalars.previous(stage.name, dtype)
  }
  for (const node of members) {
    const work = scope.work.get(node)
    const output = node.outputs[0]
    const place = output === undefined ? undefined : group.places.get(output.id)
    if (output === undefined || place === undefined) continue
    const { id } = output
    if (work?.kind === "reduce") {
      // The last movement of its place is the reduction: before it is the element's.
      const element: Place = { per: "element", chain: place.chain.slice(0, -1) }
      const { combine, dtype, finish, prepare } = work.reduction
      const value = prepare(read.element(node.inputs[0] ?? "", (view) => view, element))
      const total = keep({ kind: "reduce", name: `${id}.total`, combine, value, dtype }, dtype)
      const finished = finish(total)
      read.made.set(id, finished === total ? total : keep({ kind: "row", name: id, value: finished }, finished.dtype))
      continue
    }
    if (work?.kind !== "loop") continue
    const value = read.build(work.recipe, place)
    if (place.per === "row" && value.kind !== "previous" && value.kind !== "constant")
      read.made.set(id, keep({ kind: "row", name: id, value }, value.dtype))
    else if (place.per === "element" && (passes.get(id)?.size ?? 0) > 1 && Dear.isDearScalar(value))
      read.made.set(id, keep({ kind: "element", name: id, value }, value.dtype))
    else read.made.set(id, value)
  }
  const results = written.map(({ id, place, view }) => ({
    view,
    value: read.made.get(id) ?? Scalars.previous(id, view.dtype),
    per: place.per
  }))
  return { stages, results }
}
