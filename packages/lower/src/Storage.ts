/**
 * Storage: where in which buffer each value lies that has to be in memory. A value that leaves is computed where the
 * caller wants it, a part of a concat (or the inside of a pad) where it belongs; the others get a buffer of their own.
 */
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Grouping } from "./Fuse.ts"
import type { Group } from "./Group.ts"
import * as Groups from "./Group.ts"
import type { Preference } from "./Layout.ts"
import * as Movement from "./Movement.ts"
import type { Fusion } from "./Program.ts"
import type { Scope } from "./Scope.ts"
import * as View from "./View.ts"

export interface Storage {
  /** The place of a root; undefined for values that stay in registers, inline ones and those of the host. */
  readonly of: (root: string) => View.View | undefined
  /** Outputs, by position, that have to be copied to where they are wanted. */
  readonly copies: ReadonlyArray<number>
  /** Whether an operand of a concat or pad lies in its place already. */
  readonly isInPlace: (node: Node, position: number) => boolean
  readonly fusions: ReadonlyArray<Fusion>
}

export interface Wanted {
  /** For each output of the scope, the view that it has to be in; undefined: anywhere. */
  readonly targets: ReadonlyArray<View.View | undefined>
  /** Where values from outside lie: inputs. */
  readonly given: ReadonlyMap<string, View.View>
  /** A new buffer for a root; row-major where no layout is given. */
  readonly allocate: (root: string, prepared: boolean, layout?: View.View) => View.View
  /** Where a constant lies. */
  readonly constant: (root: string) => View.View | undefined
  readonly isOff: (id: string) => boolean
  /** The layout of a root, if any but row-major. */
  readonly layout: Preference
}

/** Roots that somebody reads from memory. */
export const inMemory = (scope: Scope, grouping: Grouping): ReadonlySet<string> => {
  const found = new Set<string>()
  for (const node of scope.flat.nodes) {
    const work = scope.work.get(node)
    if (work === undefined || work.kind === "movement") continue
    const group = grouping.groupOf(node.outputs[0]?.id ?? "")
    const displaced = work.kind === "loop" ? work.recipe.displaced.map(({ id }) => id) : []
    for (const [position, id] of node.inputs.entries()) {
      if (id === null || scope.hosted.has(id)) continue
      const { root } = scope.resolve(id)
      const isRead = work.kind === "loop" || work.kind === "reduce" || work.kind === "concat" || work.kind === "pad"
      const isBias = work.kind === "convolution" && position === 2
      const mayInline = (isRead || isBias) && !displaced.includes(id)
      if (mayInline && scope.inline(root) !== undefined) continue
      if (isRead && group !== undefined && grouping.groupOf(root) === group) continue
      found.add(root)
    }
  }
  for (const { id } of scope.flat.outputs) if (!scope.hosted.has(id)) found.add(scope.resolve(id).root)
  return found
}

export const assign = (scope: Scope, grouping: Grouping, memory: ReadonlySet<string>, wanted: Wanted): Storage => {
  const places = new Map<string, View.View>(wanted.given)
  const copies: Array<number> = []
  const inPlace = new Map<Node, Set<number>>()
  const fusions: Array<Fusion> = []

  const mayWrite = (group: Group, root: string, view: View.View | undefined): view is View.View => {
    if (view === undefined) return false
    const place = group.places.get(root)
    if (place !== undefined) return Groups.toDomain(place, view) !== undefined
    const work = group.anchor === undefined ? undefined : scope.work.get(group.anchor)
    return work?.kind === "host" || work?.kind === "whole" ? View.isContiguous(view) : true
  }
  /** Gives a root the place that makes `id` lie at `view`; says why not. */
  const claim = (id: string, view: View.View, prepared: boolean): string | undefined => {
    const { chain, root } = scope.resolve(id)
    const group = grouping.groupOf(root)
    if (group === undefined || scope.inline(root) !== undefined) return "it is an input or a constant"
    if (group.prepared !== prepared) return "it is computed once, at another time"
    if (places.has(root)) return "it lies somewhere else already"
    if (!Movement.isBijective(chain)) return "elements are lost or repeated on the way"
    const own = Movement.invert(chain, view)
    if (!mayWrite(group, root, own)) return "its kernel cannot write there"
    places.set(root, own)
    return undefined
  }
  const settle = (root: string): View.View | undefined => {
    const known = places.get(root) ?? wanted.constant(root)
    if (known !== undefined) return known
    const group = grouping.groupOf(root)
    if (group === undefined) return undefined
    const liked = wanted.layout(root, settle)
    const chain = group.places.get(root)?.chain
    const rowMajor = Groups.probe(scope.typeOf(root).shape)
    // Row-major cannot always be said over the group's domain; the domain's own order can.
    const own = chain === undefined ? undefined : Movement.apply(chain, Groups.probe(group.domain))
    const layout = [liked, rowMajor, own].find((one) => mayWrite(group, root, one))
    const place = wanted.allocate(root, group.prepared, layout === rowMajor ? undefined : layout)
    places.set(root, place)
    return place
  }
  const putInside = (node: Node, position: number, id: string, view: View.View, prepared: boolean): void => {
    const refused = claim(id, view, prepared)
    const name = `inPlace ${id} ${node.outputs[0]?.id ?? ""} ${position}`
    const off = refused === undefined && wanted.isOff(name)
    if (off) places.delete(scope.resolve(id).root)
    const { dtype, shape } = scope.typeOf(id)
    fusions.push({
      id: name,
      kind: "inPlace",
      members: [id, node.outputs[0]?.id ?? ""],
      taken: refused === undefined && !off,
      reason: off ? "switched off" : (refused ?? "it is written where it belongs"),
      saving: Dim.mul(2 * DTypes.slotBytes(dtype), Dim.product(shape))
    })
    if (refused !== undefined || off) return
    const list = inPlace.get(node) ?? new Set()
    list.add(position)
    inPlace.set(node, list)
  }

  for (const [position, { id }] of scope.flat.outputs.entries()) {
    const target = wanted.targets[position]
    if (target === undefined || scope.hosted.has(id)) continue
    if (claim(id, target, false) !== undefined) copies.push(position)
  }
  for (const node of [...scope.flat.nodes].reverse()) {
    const work = scope.work.get(node)
    const root = node.outputs[0]?.id ?? ""
    const group = grouping.groupOf(root)
    if ((work?.kind !== "concat" && work?.kind !== "pad") || group === undefined) continue
    const whole = settle(root)
    if (whole === undefined) continue
    for (const [position, id, part] of partsOf(node, whole, scope)) putInside(node, position, id, part, group.prepared)
  }
  for (const root of memory) settle(root)
  return {
    of: (root) => places.get(root) ?? wanted.constant(root),
    copies,
    isInPlace: (node, position) => inPlace.get(node)?.has(position) ?? false,
    fusions
  }
}

/** The operands of a concat or pad with the part of its result that each is: position, id, view. */
export const partsOf = (
  node: Node,
  whole: View.View,
  scope: Scope
): ReadonlyArray<readonly [number, string, View.View]> => {
  const ones = whole.shape.map(() => 1)
  if (Graphs.isOp(node, Ops.pad)) {
    const [id] = node.inputs
    if (id === undefined || id === null) return []
    return [[0, id, View.slice(whole, node.attributes.before, scope.typeOf(id).shape, ones)]]
  }
  if (!Graphs.isOp(node, Ops.concat)) return []
  const axis = node.attributes.axis < 0 ? node.attributes.axis + whole.shape.length : node.attributes.axis
  let begin: Dim.Dim = 0
  return node.inputs.flatMap((id, position): ReadonlyArray<readonly [number, string, View.View]> => {
    if (id === null) return []
    const { shape } = scope.typeOf(id)
    const starts = shape.map((_, other): Dim.Dim => (other === axis ? begin : 0))
    begin = Dim.add(begin, shape[axis] ?? 0)
    return [[position, id, View.slice(whole, starts, shape, ones)]]
  })
}
