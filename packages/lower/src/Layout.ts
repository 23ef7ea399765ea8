/**
 * Layout: how a value is laid out when nobody asks for a certain place. Convolutions and windows like channels last, on
 * both sides; what lies between them takes over the layout that it reads; everything else is row-major.
 *
 *   conv → relu → reshape [b, c·h·w] → linear: row-major after all, for the reshape has no strides channels last
 *   attention → transpose → reshape [b, s, heads·dim] → linear: in the order of the reshape, for the same reason
 *
 * A layout is a view over the value: axes in any order, dense.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Node } from "@anneal/ir/Graph"
import type { Grouping } from "./Fuse.ts"
import type { Group } from "./Group.ts"
import * as Groups from "./Group.ts"
import * as Movement from "./Movement.ts"
import type { Shape } from "./Movement.ts"
import type { Scope } from "./Scope.ts"
import type { View } from "./View.ts"
import * as Views from "./View.ts"

/** The layout that a root should have; undefined: row-major. `placeOf` says where other roots lie. */
export type Preference = (root: string, placeOf: (root: string) => View | undefined) => View | undefined

const ordered = (shape: Shape, order: ReadonlyArray<number>): View => Views.ordered("", "f32", shape, order)

/** [n, c, …spatial] ⇒ [0, 2, …, 1]. */
const channelsLast = (rank: number): ReadonlyArray<number> => [
  0,
  ...Array.from({ length: Math.max(0, rank - 2) }, (_, axis) => axis + 2),
  1
]

/** The domain of a convolution, [n, groups, channels of a group, …spatial], or of a window, [n, c, …spatial]. */
const anchorOrder = (kind: "convolution" | "window", rank: number): ReadonlyArray<number> =>
  kind === "window"
    ? channelsLast(rank)
    : [0, ...Array.from({ length: Math.max(0, rank - 3) }, (_, axis) => axis + 3), 1, 2]

export const make = (scope: Scope, grouping: Grouping): Preference => {
  /** Values that are views of a root and that somebody reads. */
  const aliases = new Map<string, Array<string>>()
  /** Images that convolutions and windows read, by root. */
  const images = new Map<string, Array<string>>()
  const note = (map: Map<string, Array<string>>, root: string, id: string): void => {
    const list = map.get(root)
    if (list === undefined) map.set(root, [id])
    else list.push(id)
  }
  const read = new Set(scope.flat.outputs.map(({ id }) => id))
  for (const node of scope.flat.nodes) {
    const kind = scope.work.get(node)?.kind
    if (kind === "movement") continue
    for (const id of node.inputs) if (id !== null) read.add(id)
    const [image] = node.inputs
    if ((kind === "convolution" || kind === "window") && image !== null && image !== undefined)
      note(images, scope.resolve(image).root, image)
  }
  for (const id of read) note(aliases, scope.resolve(id).root, id)

  /** Whether every view of the root that is read can be had of this layout. */
  const suits = (root: string, layout: View): boolean =>
    (aliases.get(root) ?? []).every((id) => Movement.apply(scope.resolve(id).chain, layout) !== undefined)

  const isLast = scope.rules.activations === "channelsLast"
  const imageLayout = (root: string): View | undefined => {
    if (!isLast) return undefined
    for (const id of images.get(root) ?? []) {
      const { chain } = scope.resolve(id)
      const { shape } = scope.typeOf(id)
      if (!Movement.isBijective(chain)) continue
      const layout = Movement.invert(chain, ordered(shape, channelsLast(shape.length)))
      if (layout !== undefined) return layout
    }
    return undefined
  }

  /** The layout in which one of the views that are read is row-major, if the others can be had of it too. */
  const readLayout = (root: string): View | undefined => {
    for (const id of aliases.get(root) ?? []) {
      const { chain } = scope.resolve(id)
      if (!Movement.isBijective(chain)) continue
      const layout = Movement.invert(chain, Groups.probe(scope.typeOf(id).shape))
      if (layout !== undefined && suits(root, layout)) return layout
    }
    return undefined
  }

  return (root, placeOf) => {
    const group = grouping.groupOf(root)
    if (group === undefined) return scope.rules.readsBoundary ? undefined : imageLayout(root)
    const wanted = imageLayout(root)
    // A convolution that reads it outweighs a copy for somebody else.
    if (wanted !== undefined) return wanted
    const made = isLast ? madeLayout(scope, group, root, placeOf) : undefined
    if (made !== undefined && suits(root, made)) return made
    return suits(root, Groups.probe(scope.typeOf(root).shape)) ? undefined : readLayout(root)
  }
}

/** What the group that makes a value likes to write. */
const madeLayout = (
  scope: Scope,
  group: Group,
  root: string,
  placeOf: (root: string) => View | undefined
): View | undefined => {
  const place = group.places.get(root)
  const kind = group.anchor === undefined ? undefined : scope.work.get(group.anchor)?.kind
  if (kind === "convolution" || kind === "window")
    return place === undefined
      ? undefined
      : Movement.apply(place.chain, ordered(group.domain, anchorOrder(kind, group.domain.length)))
  if (kind === "concat" && group.anchor !== undefined) return concatLayout(scope, group.anchor)
  if (group.kind !== "loop" || place === undefined || place.per === "row") return undefined
  for (const node of group.members) {
    const work = scope.work.get(node)
    const reader = group.places.get(node.outputs[0]?.id ?? "")
    if (work?.kind !== "loop" || reader?.per !== "element") continue
    for (const { id, spread } of work.recipe.reads) {
      const alias = scope.resolve(id)
      if (group.places.has(alias.root) || scope.inline(alias.root) !== undefined) continue
      const own = placeOf(alias.root)
      const moved = own === undefined ? undefined : Movement.apply(alias.chain, own)
      const spreadOut = moved === undefined ? undefined : spread(moved)
      const over = spreadOut === undefined ? undefined : Groups.toDomain(reader, spreadOut)
      const order = over === undefined ? undefined : orderOf(over)
      if (order !== undefined) return Movement.apply(place.chain, ordered(group.domain, order))
    }
  }
  return undefined
}

/** The order in which a view runs through its axes; undefined where it repeats, is row-major, or is not known. */
const orderOf = ({ shape, strides }: View): ReadonlyArray<number> | undefined => {
  const axes = shape.flatMap((extent, axis) => (extent === 1 ? [] : [axis]))
  if (axes.some((axis) => strides[axis] === 0)) return undefined
  let known = true
  const sorted = [...axes].sort((a, b) => {
    const [left, right] = [strides[a] ?? 0, strides[b] ?? 0]
    if (Dim.lessOrEqual(right, left) === true) return Dim.equal(left, right) === true ? a - b : -1
    if (Dim.lessOrEqual(left, right) === true) return 1
    known = false
    return a - b
  })
  if (!known || sorted.every((axis, position) => axis === axes[position])) return undefined
  // Axes of one element lie anywhere: first.
  return [...shape.flatMap((extent, axis) => (extent === 1 ? [axis] : [])), ...sorted]
}

/** Channels last when the parts come from convolutions as they are. */
const concatLayout = (scope: Scope, node: Node): View | undefined => {
  const shape = node.outputs[0]?.type.shape ?? []
  const images = node.inputs.every((id) => {
    if (id === null) return false
    const { chain, root } = scope.resolve(id)
    const producer = scope.producer(root)
    const kind = producer === undefined ? undefined : scope.work.get(producer)?.kind
    return chain.length === 0 && (kind === "convolution" || kind === "window")
  })
  return images && shape.length >= 3 ? ordered(shape, channelsLast(shape.length)) : undefined
}
