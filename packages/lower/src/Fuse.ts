/**
 * Fuse: which nodes are computed by one region. Nodes are taken in order; each joins the group of an operand where that is
 * right and pays, or begins a group of its own. Groups stay open; a group never comes to depend on itself.
 */
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Node } from "@anneal/ir/Graph"
import type { TensorType } from "@anneal/ir/Type"
import * as Anchor from "./Anchor.ts"
import type { Group, GroupKind, Place } from "./Group.ts"
import * as Groups from "./Group.ts"
import * as Movement from "./Movement.ts"
import type { Shape } from "./Movement.ts"
import type { Fusion, FusionKind } from "./Program.ts"
import type { Recipe } from "./Recipe.ts"
import type { Reduction } from "./Reduction.ts"
import type { Scope, Work } from "./Scope.ts"

export interface Grouping {
  /** In the order in which they were begun. */
  readonly groups: ReadonlyArray<Group>
  /** The group that computes a root; undefined for inputs and constants. */
  readonly groupOf: (root: string) => Group | undefined
  readonly fusions: ReadonlyArray<Fusion>
}

/** A group stops growing here: more operands than any kernel has registers for. */
const MOST_MEMBERS = 64

const bytes = ({ dtype, shape }: TensorType): Dim.Dim => Dim.mul(Dim.product(shape), DTypes.slotBytes(dtype))

/** Ids of values that a node reads, each once. */
const operandsOf = (node: Node): ReadonlyArray<string> =>
  [...new Set(node.inputs)].flatMap((id) => (id === null ? [] : [id]))

const outputOf = (node: Node): string => node.outputs[0]?.id ?? ""

type Attempt = { readonly place: Place; readonly inner?: ReadonlyArray<boolean> } | { readonly refused: string }

/** `isOff`: whether a fusion is switched off by its id. */
export const fuse = (scope: Scope, isOff: (id: string) => boolean): Grouping => {
  const groups: Array<Group> = []
  const byRoot = new Map<string, Group>()
  const fusions: Array<Fusion> = []

  const groupOf = (root: string): Group | undefined => byRoot.get(root)
  /** Whether a group needs the results of another, directly or through others. */
  const needs = (group: Group, other: Group, except?: Group): boolean => {
    const seen = new Set<Group>()
    const visit = (one: Group): boolean => {
      if (one === other) return true
      if (seen.has(one)) return false
      seen.add(one)
      return [...one.dependencies].some((next) => !(one === group && next === except) && visit(next))
    }
    return group !== other && visit(group)
  }
  const operandGroups = (node: Node): ReadonlyArray<Group> => [
    ...new Set(
      operandsOf(node).flatMap((id) => {
        const { root } = scope.resolve(id)
        const group = scope.inline(root) === undefined ? groupOf(root) : undefined
        return group === undefined ? [] : [group]
      })
    )
  ]
  const isPrepared = (node: Node): boolean => scope.constantOnly.has(outputOf(node))

  const begin = (
    node: Node,
    kind: GroupKind,
    domain: Shape,
    places: ReadonlyArray<readonly [string, Place]>,
    inner?: ReadonlyArray<boolean>
  ): Group => {
    const group: Group = {
      order: groups.length,
      kind,
      anchor: kind === "loop" ? undefined : node,
      domain,
      inner,
      members: new Set([node]),
      places: new Map(places),
      prepared: isPrepared(node),
      dependencies: new Set(operandGroups(node))
    }
    groups.push(group)
    for (const { id } of node.outputs) byRoot.set(id, group)
    return group
  }
  const join = (node: Node, group: Group, place: Place): void => {
    group.members.add(node)
    group.places.set(outputOf(node), place)
    byRoot.set(outputOf(node), group)
    for (const other of operandGroups(node)) if (other !== group) group.dependencies.add(other)
  }

  const record = (kind: FusionKind, producer: string, consumer: string, refused: string | undefined): boolean => {
    const id = `${kind} ${producer} ${consumer}`
    const off = refused === undefined && isOff(id)
    fusions.push({
      id,
      kind,
      members: [producer, consumer],
      taken: refused === undefined && !off,
      reason: off ? "switched off" : (refused ?? "the value stays in registers"),
      saving: Dim.mul(2, bytes(scope.typeOf(producer)))
    })
    return refused === undefined && !off
  }

  /** Whether a node with this place reads right what the group makes, and whether the rest can be read at all. */
  const readsRight = (recipe: Recipe, group: Group, place: Place): string | undefined => {
    for (const { id, spread } of recipe.displaced) {
      if (groupOf(scope.resolve(id).root) === group) return "it reads the value at places that the data decides"
      const read = Groups.readProbe(scope, id, spread)
      if (read === undefined || Groups.toDomain(place, read) === undefined)
        return "the gathered value cannot be read along the group's axes"
    }
    for (const { id, spread } of recipe.reads) {
      const { root } = scope.resolve(id)
      const maker = groupOf(root) === group && scope.inline(root) === undefined ? group.places.get(root) : undefined
      if (maker !== undefined) {
        if (!Groups.readsInPlace(scope, id, spread, place, maker))
          return "it reads other elements of the value at a point than the one made there"
        continue
      }
      const read = Groups.readProbe(scope, id, spread)
      if (read === undefined || Groups.toDomain(place, read) === undefined)
        return "another operand cannot be read along the group's axes"
    }
    for (const axis of recipe.indices)
      if (Groups.toDomain(place, Groups.indexView(recipe.shape, axis)) === undefined)
        return "its indices are no linear function of the group's"
    return undefined
  }

  const general = (node: Node, group: Group): string | undefined => {
    if (group.kind !== "loop" && group.kind !== "anchored") return "the value is made by a kernel without an epilogue"
    if (group.prepared !== isPrepared(node)) return "one depends on constants alone, the other does not"
    if (group.members.size >= MOST_MEMBERS) return `the group has ${MOST_MEMBERS} nodes`
    if (operandGroups(node).some((other) => other !== group && needs(other, group)))
      return "another operand depends on the group"
    return undefined
  }

  const attemptLoop = (node: Node, recipe: Recipe, group: Group): Attempt => {
    const refused = general(node, group)
    if (refused !== undefined) return { refused }
    const candidates: Array<Place> = []
    for (const { id } of recipe.reads) {
      const { chain, root } = scope.resolve(id)
      const maker = groupOf(root) === group ? group.places.get(root) : undefined
      if (maker === undefined || !Movement.isBijective(chain)) continue
      if (Movement.sameShape(scope.typeOf(id).shape, recipe.shape))
        candidates.push({ per: maker.per, chain: [...maker.chain, ...chain] })
    }
    if (group.inner !== undefined) {
      for (const [id, place] of group.places)
        if (place.per === "element" && Movement.sameShape(scope.typeOf(id).shape, recipe.shape)) candidates.push(place)
      if (Movement.sameShape(group.domain, recipe.shape)) candidates.push({ per: "element", chain: [] })
    }
    let reason = "the shapes differ by more than a change of view"
    for (const place of candidates) {
      const wrong = readsRight(recipe, group, place)
      if (wrong === undefined) return { place }
      reason = wrong
    }
    return { refused: reason }
  }

  const attemptReduce = (node: Node, reduction: Reduction, group: Group): Attempt => {
    const refused = general(node, group)
    if (refused !== undefined) return { refused }
    if (group.kind !== "loop") return { refused: "reductions after a contraction, convolution or window stay apart" }
    const [input = ""] = operandsOf(node)
    const { chain, root } = scope.resolve(input)
    const maker = group.places.get(root)
    const type = scope.typeOf(input)
    if (maker === undefined || maker.per === "row" || !Movement.isBijective(chain))
      return { refused: "it reduces other elements than the group makes" }
    const place: Place = { per: "element", chain: [...maker.chain, ...chain] }
    const inner = Groups.axesOfDomain(group.domain, place, type.shape, reduction.axes)
    if (inner === undefined) return { refused: "the reduced axes are no axes of the group" }
    const count = inner.filter((flag) => flag).length
    if (reduction.combine.startsWith("arg") && !isPlainAxis(group, place, type.shape, reduction, inner))
      return { refused: "the reduced axis is not one axis of the group" }
    if (count === 0) return { refused: "nothing is reduced" }
    if (group.inner !== undefined && !sameAxes(group.domain, group.inner, inner))
      return { refused: "the group reduces other axes" }
    return { place: rowPlace(node, place.chain, type.shape, reduction), inner }
  }

  /** Takes another loop into the group that a node has just joined, where all its members find a place there. */
  const absorb = (node: Node, recipe: Recipe, group: Group): void => {
    for (const { id } of recipe.reads) {
      const { root } = scope.resolve(id)
      const other = groupOf(root)
      if (other === undefined || other === group || scope.inline(root) !== undefined) continue
      const merged = attemptMerge(node, id, other, group)
      const kind = group.kind === "anchored" ? "epilogue" : other.inner === undefined ? "elementwise" : "rows"
      const refused = "refused" in merged ? merged.refused : undefined
      if (!record(kind, root, outputOf(node), refused) || "refused" in merged) continue
      group.inner = merged.inner
      for (const [value, place] of merged.places) group.places.set(value, place)
      for (const member of other.members) group.members.add(member)
      for (const value of other.places.keys()) byRoot.set(value, group)
      for (const dependency of other.dependencies) if (dependency !== group) group.dependencies.add(dependency)
      group.dependencies.delete(other)
      for (const one of groups) if (one !== group && one.dependencies.delete(other)) one.dependencies.add(group)
      groups.splice(groups.indexOf(other), 1)
    }
  }

  const attemptMerge = (
    node: Node,
    id: string,
    other: Group,
    group: Group
  ):
    | { readonly refused: string }
    | { readonly places: ReadonlyMap<string, Place>; readonly inner: ReadonlyArray<boolean> | undefined } => {
    const { chain, root } = scope.resolve(id)
    const reader = group.places.get(outputOf(node))
    const maker = other.places.get(root)
    if (other.kind !== "loop" || group.prepared !== other.prepared) return { refused: "each has a kernel of its own" }
    if (group.kind === "anchored" && other.inner !== undefined) return { refused: "an epilogue does not reduce" }
    if (group.members.size + other.members.size > MOST_MEMBERS) return { refused: `more than ${MOST_MEMBERS} nodes` }
    if (reader === undefined || maker === undefined || maker.per === "row" || reader.per === "row")
      return { refused: "a row is no element" }
    if (!Movement.isBijective(chain) || !Movement.sameShape(scope.typeOf(id).shape, scope.typeOf(outputOf(node)).shape))
      return { refused: "the shapes differ by more than a change of view" }
    if (needs(group, other, other) || needs(other, group)) return { refused: "a third group lies between" }
    // From the group's domain to the reader, back to the maker, back to the other group's domain.
    const prefix = [...reader.chain, ...Movement.reversed(chain), ...Movement.reversed(maker.chain)]
    const places = new Map(
      [...other.places].map(([value, place]): readonly [string, Place] => [
        value,
        { per: place.per, chain: [...prefix, ...place.chain] }
      ])
    )
    let inner = group.inner
    if (other.inner !== undefined) {
      const axes = other.inner.flatMap((flag, axis) => (flag ? [axis] : []))
      const mapped = Groups.axesOfDomain(group.domain, { per: "element", chain: prefix }, other.domain, axes)
      if (mapped === undefined || (inner !== undefined && !sameAxes(group.domain, inner, mapped)))
        return { refused: "the groups reduce different axes" }
      inner = mapped
    }
    for (const member of other.members) {
      const work = scope.work.get(member)
      const place = places.get(outputOf(member))
      if (place === undefined) return { refused: "a member has no place" }
      const wrong = work?.kind === "loop" ? readsRightThere(work.recipe, other, group, places, place) : undefined
      if (wrong !== undefined) return { refused: wrong }
    }
    return { places, inner }
  }

  /** What `readsRight` asks, of a member of another group at its new place. */
  const readsRightThere = (
    recipe: Recipe,
    other: Group,
    group: Group,
    places: ReadonlyMap<string, Place>,
    place: Place
  ): string | undefined => {
    const merged: Group = { ...group, places: new Map([...group.places, ...places]) }
    for (const { id, spread } of [...recipe.reads, ...recipe.displaced]) {
      const { root } = scope.resolve(id)
      const maker = groupOf(root)
      if ((maker === other || maker === group) && scope.inline(root) === undefined) {
        const made = merged.places.get(root)
        const displaced = recipe.displaced.some((read) => read.id === id)
        if (displaced || made === undefined || !Groups.readsInPlace(scope, id, spread, place, made))
          return "it reads other elements of the value at a point than the one made there"
        continue
      }
      const read = Groups.readProbe(scope, id, spread)
      if (read === undefined || Groups.toDomain(place, read) === undefined)
        return "another operand cannot be read along the group's axes"
    }
    const stuck = recipe.indices.some(
      (axis) => Groups.toDomain(place, Groups.indexView(recipe.shape, axis)) === undefined
    )
    return stuck ? "its indices are no linear function of the group's" : undefined
  }

  const placeNode = (node: Node, work: Work): void => {
    if (work.kind === "movement") return
    if (work.kind === "loop" || work.kind === "reduce") {
      if (!joinOne(node, work)) beginLoop(node, work)
      return
    }
    if (work.kind === "contraction" || work.kind === "convolution" || work.kind === "window") {
      const { chain, domain } = Anchor.domainOf(node, scope)
      begin(node, "anchored", domain, [[outputOf(node), { per: "element", chain }]])
      return
    }
    const kind = work.kind === "concat" || work.kind === "pad" ? work.kind : "single"
    begin(node, kind, node.outputs[0]?.type.shape ?? [], [])
  }

  const joinOne = (node: Node, work: Extract<Work, { readonly kind: "loop" | "reduce" }>): boolean => {
    // Later groups first: they depend on the earlier ones rather than the other way round.
    const candidates = [...operandGroups(node)].sort((a, b) => b.order - a.order)
    for (const group of candidates) {
      const producer = operandsOf(node)
        .map((id) => scope.resolve(id).root)
        .find((root) => groupOf(root) === group)
      if (producer === undefined) continue
      const attempt =
        work.kind === "loop" ? attemptLoop(node, work.recipe, group) : attemptReduce(node, work.reduction, group)
      const kind =
        group.kind === "anchored"
          ? "epilogue"
          : group.inner !== undefined || work.kind === "reduce"
            ? "rows"
            : "elementwise"
      const refused = "refused" in attempt ? attempt.refused : undefined
      if (!record(kind, producer, outputOf(node), refused) || "refused" in attempt) continue
      if (attempt.inner !== undefined) group.inner = attempt.inner
      join(node, group, attempt.place)
      if (work.kind === "loop") absorb(node, work.recipe, group)
      return true
    }
    return false
  }

  const beginLoop = (node: Node, work: Extract<Work, { readonly kind: "loop" | "reduce" }>): void => {
    if (work.kind === "loop") {
      begin(node, "loop", work.recipe.shape, [[outputOf(node), { per: "element", chain: [] }]])
      return
    }
    const [input = ""] = operandsOf(node)
    const { shape } = scope.typeOf(input)
    const inner = shape.map((_, axis) => work.reduction.axes.includes(axis))
    begin(node, "loop", shape, [[outputOf(node), rowPlace(node, [], shape, work.reduction)]], inner)
  }

  for (const node of scope.flat.nodes) {
    const work = scope.work.get(node)
    if (work !== undefined) placeNode(node, work)
  }
  return { groups, groupOf, fusions }
}

/** Axes of one element belong to either side. */
const sameAxes = (domain: Shape, a: ReadonlyArray<boolean>, b: ReadonlyArray<boolean>): boolean =>
  domain.every((extent, axis) => extent === 1 || a[axis] === b[axis])

const rowPlace = (node: Node, chain: Movement.Chain, shape: Shape, reduction: Reduction): Place => ({
  per: "row",
  chain: [...chain, Movement.reduce(shape, reduction.axes, node.outputs[0]?.type.shape ?? [])]
})

/** Whether the index along the reduced axis is the index along the one inner axis of the domain. */
const isPlainAxis = (
  group: Group,
  place: Place,
  shape: Shape,
  { axes }: Reduction,
  inner: ReadonlyArray<boolean>
): boolean => {
  const [axis = 0] = axes
  const index = Groups.toDomain(place, Groups.indexView(shape, axis))
  if (index === undefined || index.offset !== 0) return false
  return inner.every((flag, at) => !flag || index.strides[at] === 1) && inner.filter((flag) => flag).length === 1
}
