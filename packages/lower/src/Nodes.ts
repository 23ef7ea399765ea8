/**
 * Nodes: steps of the nodes that are computed one by one: attention, recurrent layers, whole nodes, host steps; and the
 * copies and fills that concat and pad are.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Emitter } from "./Emit.ts"
import * as Emit from "./Emit.ts"
import type { Group } from "./Group.ts"
import * as Groups from "./Group.ts"
import * as Movement from "./Movement.ts"
import type { Shape } from "./Movement.ts"
import type { Attention, Recurrent } from "./Region.ts"
import * as Scalars from "./Scalar.ts"
import type { Scope } from "./Scope.ts"
import type { Storage } from "./Storage.ts"
import { partsOf } from "./Storage.ts"
import type { View } from "./View.ts"
import * as Views from "./View.ts"

export interface At {
  readonly scope: Scope
  readonly storage: Storage
  readonly prefix: string
  readonly memory: ReadonlySet<string>
}

const defect = (what: string): never => {
  throw new RangeError(`lowering: ${what}; this is a defect of anneal`)
}

const originsOf = (scope: Scope, node: Node): ReadonlyArray<Node> => [scope.flat.origin.get(node) ?? node]

const operandViews = (node: Node, emitter: Emitter): ReadonlyArray<View | null> =>
  node.inputs.map((id) => (id === null ? null : emitter.viewOf(id)))

const resultViews = (node: Node, emitter: Emitter, { memory }: At): ReadonlyArray<View | null> =>
  node.outputs.map(({ id }) => (memory.has(id) ? (emitter.storageOf(id) ?? null) : null))

// ---- attention ------------------------------------------------------------------------------------------------------

/** [batch, heads, …]: query heads as [key heads, group] where several share one. */
const attention = (node: Node, emitter: Emitter, at: At): Attention | undefined => {
  if (!Graphs.isOp(node, Ops.attention)) return undefined
  const { scope } = at
  const [query = "", key = "", value = ""] = node.inputs.map((id) => id ?? "")
  const result = node.outputs[0]
  if (result === undefined) return undefined
  const [batch = 1, heads = 1, queries = 1, dim = 1] = scope.typeOf(query).shape
  const [, keyHeads = 1, keys = 1] = scope.typeOf(key).shape
  const valueDim = scope.typeOf(value).shape[3] ?? 1
  const isGrouped = Dim.equal(heads, keyHeads) !== true
  const group = isGrouped ? Dim.floorDiv(heads, keyHeads) : 1
  const outer: Shape = isGrouped ? [batch, keyHeads, group] : [batch, heads]
  const own = (id: string, form: (view: View) => View | undefined): View =>
    form(emitter.viewOf(id)) ?? form(emitter.dense(id)) ?? defect(`%${id} has no form for attention`)
  const perQuery =
    (inner: Shape) =>
    (view: View): View | undefined =>
      isGrouped ? Views.reshape(view, [...outer, ...inner]) : view
  const perKey =
    (inner: Shape) =>
    (view: View): View | undefined => {
      const shared = Views.expand(view, [batch, keyHeads, ...inner])
      const apart = isGrouped ? Views.reshape(shared, [batch, keyHeads, 1, ...inner]) : shared
      return apart === undefined ? undefined : Views.expand(apart, [...outer, ...inner])
    }
  const mask = node.inputs[3]
  const overScores = (view: View): View | undefined =>
    perQuery([queries, keys])(Views.expand(view, [batch, heads, queries, keys]))
  const stored = emitter.storageOf(result.id) ?? defect(`%${result.id} has no place`)
  return {
    kind: "attention",
    id: `${at.prefix}${result.id}`,
    members: originsOf(scope, node),
    batch: outer,
    queries,
    keys,
    dim,
    valueDim,
    q: own(query, perQuery([queries, dim])),
    k: own(key, perKey([keys, dim])),
    v: own(value, perKey([keys, valueDim])),
    mask: mask === null || mask === undefined ? undefined : own(mask, overScores),
    scale: node.attributes.scale,
    causal: node.attributes.causal,
    result: perQuery([queries, valueDim])(stored) ?? defect(`%${result.id} cannot be written by heads`)
  }
}

// ---- recurrent layers -----------------------------------------------------------------------------------------------

const recurrent = (node: Node, emitter: Emitter, at: At): Recurrent | undefined => {
  const isLstm = Graphs.isOp(node, Ops.lstm)
  const isGru = Graphs.isOp(node, Ops.gru)
  if (!isLstm && !isGru && !Graphs.isOp(node, Ops.rnn)) return undefined
  const { activations, clip, direction, hidden } = node.attributes
  return {
    kind: "recurrent",
    id: `${at.prefix}${node.outputs[0]?.id ?? ""}`,
    members: originsOf(at.scope, node),
    cell: isLstm ? "lstm" : isGru ? "gru" : "rnn",
    hidden,
    direction,
    activations,
    clip,
    flags: {
      inputForget: Graphs.isOp(node, Ops.lstm) && node.attributes.inputForget,
      linearBeforeReset: Graphs.isOp(node, Ops.gru) && node.attributes.linearBeforeReset
    },
    operands: operandViews(node, emitter),
    results: resultViews(node, emitter, at)
  }
}

// ---- concat and pad -------------------------------------------------------------------------------------------------

const element = (id: string, at: At, emitter: Emitter): { readonly value: Scalars.Scalar; readonly view?: View } => {
  const { chain, root } = at.scope.resolve(id)
  const inline = at.scope.inline(root)
  if (inline?.kind === "constant") return { value: inline.value }
  const { dtype, shape } = at.scope.typeOf(root)
  const counted = inline?.kind === "iota" ? Movement.apply(chain, Groups.probe(shape)) : undefined
  if (counted !== undefined) return { value: Scalars.cast(Emit.affine(counted), dtype) }
  const view = emitter.viewOf(id)
  return { value: Scalars.load(0, view.dtype), view }
}

const write = (name: string, node: Node, id: string, to: View, at: At, emitter: Emitter, prepared: boolean): void => {
  const { value, view } = element(id, at, emitter)
  const members = originsOf(at.scope, node)
  if (view === undefined) emitter.add(Emit.fill(name, members, value, to), prepared)
  else emitter.add(Emit.copy(name, members, view, to), prepared)
}

const concat = (node: Node, group: Group, emitter: Emitter, at: At): void => {
  const result = node.outputs[0]
  const whole = emitter.storageOf(result?.id ?? "")
  if (result === undefined || whole === undefined) return
  for (const [position, id, part] of partsOf(node, whole, at.scope))
    if (!at.storage.isInPlace(node, position))
      write(`${at.prefix}${result.id}.part${position}`, node, id, part, at, emitter, group.prepared)
}

/** A range of an axis of a padded result, and the one that its elements come from. */
interface Border {
  readonly begin: Dim.Dim
  readonly size: Dim.Dim
  readonly from: Dim.Dim
  /** Step of the source along the axis: −1 reflected, 0 repeated, 1 in the same direction. */
  readonly step: number
}

const borders = (mode: string, before: Dim.Dim, extent: Dim.Dim, after: Dim.Dim): ReadonlyArray<Border> => {
  const end = Dim.add(before, extent)
  const first: Border = { begin: 0, size: before, from: before, step: 0 }
  const last: Border = { begin: end, size: after, from: Dim.sub(end, 1), step: 0 }
  if (mode === "reflect")
    return [
      { ...first, from: Dim.mul(2, before), step: -1 },
      { ...last, from: Dim.sub(end, 2), step: -1 }
    ]
  if (mode === "wrap")
    return [
      { ...first, from: extent, step: 1 },
      { ...last, from: before, step: 1 }
    ]
  return [first, last]
}

const pad = (node: Node, group: Group, emitter: Emitter, at: At): void => {
  const result = node.outputs[0]
  const whole = emitter.storageOf(result?.id ?? "")
  if (!Graphs.isOp(node, Ops.pad) || result === undefined || whole === undefined) return
  const { after, before, mode } = node.attributes
  const members = originsOf(at.scope, node)
  for (const [position, id, part] of partsOf(node, whole, at.scope))
    if (!at.storage.isInPlace(node, position))
      write(`${at.prefix}${result.id}.inside`, node, id, part, at, emitter, group.prepared)
  const [inputId = ""] = node.inputs.map((id) => id ?? "")
  const { dtype, shape } = at.scope.typeOf(inputId)
  const valueId = node.inputs[1]
  const constant =
    valueId === null || valueId === undefined
      ? { value: Scalars.dim(0, dtype === "i64" || dtype === "u64" ? dtype : dtype) }
      : element(valueId, at, emitter)
  // Axis by axis: earlier axes in full, later ones only inside, so that each element is written once.
  for (const [axis, extent] of shape.entries()) {
    const sides = borders(mode, before[axis] ?? 0, extent, after[axis] ?? 0)
    for (const [side, { begin, from, size, step }] of sides.entries()) {
      if (size === 0) continue
      const starts = shape.map((_, other): Dim.Dim =>
        other === axis ? begin : other < axis ? 0 : (before[other] ?? 0)
      )
      const sizes = shape.map((inside, other): Dim.Dim =>
        other === axis ? size : other < axis ? (whole.shape[other] ?? 1) : inside
      )
      const ones = shape.map(() => 1)
      const to = Views.slice(whole, starts, sizes, ones)
      const name = `${at.prefix}${result.id}.${side === 0 ? "before" : "after"}${axis}`
      if (mode !== "constant") {
        const source = Views.slice(
          whole,
          starts.map((start, other) => (other === axis ? from : start)),
          sizes,
          ones.map((one, other) => (other === axis ? step : one))
        )
        emitter.add(Emit.copy(name, members, source, to), group.prepared)
      } else if (constant.view === undefined) emitter.add(Emit.fill(name, members, constant.value, to), group.prepared)
      else emitter.add(Emit.copy(name, members, Views.expand(constant.view, to.shape), to), group.prepared)
    }
  }
}

// ---- dispatch -------------------------------------------------------------------------------------------------------

const host = (node: Node, why: string, emitter: Emitter, at: At): void => {
  const { memory, prefix, scope } = at
  emitter.step({
    kind: "host",
    node,
    why,
    operands: node.inputs.map((id) =>
      id === null ? null : scope.hosted.has(id) ? { host: `${prefix}${id}` } : emitter.viewOf(id)
    ),
    results: node.outputs.map(({ id }) => {
      const stored = memory.has(id) && !scope.hosted.has(id) ? emitter.storageOf(id) : undefined
      return stored ?? { host: `${prefix}${id}` }
    })
  })
}

/** The steps of a group of one node; branches are the planner's. */
export const emit = (group: Group, emitter: Emitter, at: At): void => {
  const node = group.anchor
  const work = node === undefined ? undefined : at.scope.work.get(node)
  if (node === undefined || work === undefined) return
  if (work.kind === "concat") return concat(node, group, emitter, at)
  if (work.kind === "pad") return pad(node, group, emitter, at)
  if (work.kind === "host") return host(node, work.why, emitter, at)
  const region = attention(node, emitter, at) ?? recurrent(node, emitter, at)
  emitter.add(
    work.kind !== "whole" && region !== undefined
      ? region
      : {
          kind: "whole",
          id: `${at.prefix}${node.outputs[0]?.id ?? ""}`,
          members: originsOf(at.scope, node),
          node,
          operands: operandViews(node, emitter),
          results: resultViews(node, emitter, at)
        },
    group.prepared
  )
}
