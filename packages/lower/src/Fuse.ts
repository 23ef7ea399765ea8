/**
 * Fuse: which nodes are computed by one region. Nodes are taken in order; each joins the group of an operand where that is
 * right and pays, or begins a group of its own; loops that feed a group are taken into it. Groups stay open; a group never
 * comes to depend on itself. Then groups that stand side by side are looked at again (`Regroup`).
 */
import type { Node } from "@anneal/ir/Graph"
import * as Anchor from "./Anchor.ts"
import * as Dear from "./Dear.ts"
import type { Merge } from "./Fusing.ts"
import { Fusing, MOST_MEMBERS, operandsOf, outputOf, sameAxes } from "./Fusing.ts"
import type { Group, Place } from "./Group.ts"
import * as Groups from "./Group.ts"
import * as Movement from "./Movement.ts"
import type { Shape } from "./Movement.ts"
import type { Fusion } from "./Program.ts"
import type { Read, Recipe } from "./Recipe.ts"
import type { Reduction } from "./Reduction.ts"
import * as Regroup from "./Regroup.ts"
import type { Scope, Work } from "./Scope.ts"

export interface Grouping {
  /** In the order in which they were begun. */
  readonly groups: ReadonlyArray<Group>
  /** The group that computes a root; undefined for inputs and constants. */
  readonly groupOf: (root: string) => Group | undefined
  readonly fusions: ReadonlyArray<Fusion>
}

type Elementwise = Extract<Work, { readonly kind: "loop" | "reduce" }>
type Attempt = { readonly place: Place; readonly inner?: ReadonlyArray<boolean> } | { readonly refused: string }

/** `isOff`: whether a fusion is switched off by its id. */
export const fuse = (scope: Scope, isOff: (id: string) => boolean): Grouping => {
  const fusing = new Fusing(scope, isOff)
  for (const node of scope.flat.nodes) {
    const work = scope.work.get(node)
    if (work !== undefined) placeNode(fusing, node, work)
  }
  Regroup.sink(fusing)
  Regroup.rise(fusing)
  Regroup.sideBySide(fusing)
  return { groups: fusing.groups, groupOf: fusing.groupOf, fusions: [...fusing.fusions.values()] }
}

const placeNode = (fusing: Fusing, node: Node, work: Work): void => {
  if (work.kind === "movement") return
  if (work.kind === "loop" || work.kind === "reduce") {
    // Floats of integers are made where they are read, not where the integers are.
    const isDequantize = node.op.name === "dequantize"
    const group = (isDequantize ? undefined : joinOne(fusing, node, work)) ?? beginLoop(fusing, node, work)
    const reads: ReadonlyArray<Read> =
      work.kind === "loop" ? work.recipe.reads : [{ id: node.inputs[0] ?? "", spread: (view) => view }]
    absorb(fusing, node, reads, group)
    return
  }
  if (work.kind === "contraction" || work.kind === "convolution" || work.kind === "window") {
    const { chain, domain } = Anchor.domainOf(node, fusing.scope)
    fusing.begin(node, "anchored", domain, [[outputOf(node), { per: "element", chain }]])
    return
  }
  const kind = work.kind === "concat" || work.kind === "pad" ? work.kind : "single"
  fusing.begin(node, kind, node.outputs[0]?.type.shape ?? [], [])
}

const beginLoop = (fusing: Fusing, node: Node, work: Elementwise): Group => {
  if (work.kind === "loop")
    return fusing.begin(node, "loop", work.recipe.shape, [[outputOf(node), { per: "element", chain: [] }]])
  const { shape } = fusing.scope.typeOf(node.inputs[0] ?? "")
  const inner = shape.map((_, axis) => work.reduction.axes.includes(axis))
  return fusing.begin(node, "loop", shape, [[outputOf(node), rowPlace(node, [], shape, work.reduction)]], inner)
}

const rowPlace = (node: Node, chain: Movement.Chain, shape: Shape, reduction: Reduction): Place => ({
  per: "row",
  chain: [...chain, Movement.reduce(shape, reduction.axes, node.outputs[0]?.type.shape ?? [])]
})

// ---- a node into the group of an operand ----------------------------------------------------------------------------

const kindOf = (group: Group, work: Elementwise): Fusion["kind"] =>
  group.kind === "anchored" ? "epilogue" : group.inner !== undefined || work.kind === "reduce" ? "rows" : "elementwise"

const joinOne = (fusing: Fusing, node: Node, work: Elementwise): Group | undefined => {
  // Later groups first: they depend on the earlier ones rather than the other way round.
  const candidates = [...fusing.operandGroups(node)].sort((a, b) => b.order - a.order)
  for (const group of candidates) {
    const producer = operandsOf(node)
      .map((id) => fusing.scope.resolve(id).root)
      .find((root) => fusing.groupOf(root) === group)
    if (producer === undefined) continue
    const attempt =
      general(fusing, node, group) ??
      (work.kind === "loop"
        ? attemptLoop(fusing, node, work.recipe, group)
        : attemptReduce(fusing, node, work.reduction, group))
    const refused = "refused" in attempt ? attempt.refused : undefined
    if (!fusing.record(kindOf(group, work), producer, outputOf(node), refused) || "refused" in attempt) continue
    if (attempt.inner !== undefined) group.inner = attempt.inner
    fusing.join(node, group, attempt.place)
    return group
  }
  return undefined
}

const general = (fusing: Fusing, node: Node, group: Group): Attempt | undefined => {
  if (group.kind !== "loop" && group.kind !== "anchored")
    return { refused: "the value is made by a kernel without an epilogue" }
  if (group.prepared !== fusing.isPrepared(node))
    return { refused: "one depends on constants alone, the other does not" }
  if (group.members.size >= MOST_MEMBERS) return { refused: `the group has ${MOST_MEMBERS} nodes` }
  if (fusing.operandGroups(node).some((other) => other !== group && fusing.needs(other, group)))
    return { refused: "another operand depends on the group" }
  return undefined
}

const attemptLoop = (fusing: Fusing, node: Node, recipe: Recipe, group: Group): Attempt => {
  const { scope } = fusing
  const candidates: Array<Place> = []
  for (const { id } of recipe.reads) {
    const { chain, root } = scope.resolve(id)
    const maker = fusing.groupOf(root) === group ? group.places.get(root) : undefined
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
    const wrong = isOneToOne(group, place, recipe.shape)
      ? fusing.misreads(recipe, place, group.places)
      : "it would be computed at several points"
    if (wrong === undefined) return { place }
    reason = wrong
  }
  return { refused: reason }
}

/** Whether each element (or row) of a value is made at one point (or row) of the domain. */
const isOneToOne = (group: Group, place: Place, shape: Shape): boolean => {
  const made = Groups.toDomain(place, Groups.probe(shape))
  if (made === undefined) return false
  return group.domain.every(
    (extent, axis) => extent === 1 || (place.per === "row" && group.inner?.[axis] === true) || made.strides[axis] !== 0
  )
}

const attemptReduce = (fusing: Fusing, node: Node, reduction: Reduction, group: Group): Attempt => {
  if (group.kind !== "loop") return { refused: "reductions after a contraction, convolution or window stay apart" }
  const [input = ""] = operandsOf(node)
  const { chain, root } = fusing.scope.resolve(input)
  const maker = group.places.get(root)
  const { shape } = fusing.scope.typeOf(input)
  if (maker === undefined || maker.per === "row" || !Movement.isBijective(chain))
    return { refused: "it reduces other elements than the group makes" }
  const place: Place = { per: "element", chain: [...maker.chain, ...chain] }
  const inner = Groups.axesOfDomain(group.domain, place, shape, reduction.axes)
  if (inner === undefined) return { refused: "the reduced axes are no axes of the group" }
  if (reduction.combine.startsWith("arg") && !isPlainAxis(place, shape, reduction, inner))
    return { refused: "the reduced axis is not one axis of the group" }
  if (!inner.includes(true)) return { refused: "nothing is reduced" }
  if (group.inner !== undefined && !sameAxes(group.domain, group.inner, inner))
    return { refused: "the group reduces other axes" }
  return { place: rowPlace(node, place.chain, shape, reduction), inner }
}

/** Whether the index along the reduced axis is the index along the one inner axis of the domain. */
const isPlainAxis = (place: Place, shape: Shape, { axes }: Reduction, inner: ReadonlyArray<boolean>): boolean => {
  const index = Groups.toDomain(place, Groups.indexView(shape, axes[0] ?? 0))
  if (index === undefined || index.offset !== 0) return false
  return inner.every((flag, axis) => !flag || index.strides[axis] === 1) && inner.filter((flag) => flag).length === 1
}

// ---- loops that feed a group into it --------------------------------------------------------------------------------

/** Takes loops that a new member reads into its group, where all their members find a place there. */
const absorb = (fusing: Fusing, node: Node, reads: ReadonlyArray<Read>, group: Group): void => {
  for (const read of reads) {
    const { root } = fusing.scope.resolve(read.id)
    const other = fusing.groupOf(root)
    if (other === undefined || other === group || fusing.scope.inline(root) !== undefined) continue
    if (other.kind !== "loop") continue
    const merged = attemptMerge(fusing, node, read, other, group)
    const kind =
      group.kind === "anchored"
        ? "epilogue"
        : other.inner === undefined && group.inner === undefined
          ? "elementwise"
          : "rows"
    const refused = "refused" in merged ? merged.refused : undefined
    if (!fusing.record(kind, root, outputOf(node), refused) || "refused" in merged) continue
    fusing.merge(other, group, merged)
  }
}

type MergeAttempt = { readonly refused: string } | Merge

const attemptMerge = (fusing: Fusing, node: Node, read: Read, other: Group, group: Group): MergeAttempt => {
  const { scope } = fusing
  const { chain, root } = scope.resolve(read.id)
  const maker = other.places.get(root)
  const reader = readerPlace(fusing, node, group)
  if (group.prepared !== other.prepared) return { refused: "one depends on constants alone, the other does not" }
  if (group.kind === "anchored" && other.inner !== undefined) return { refused: "an epilogue does not reduce" }
  if (group.members.size + other.members.size > MOST_MEMBERS) return { refused: `more than ${MOST_MEMBERS} nodes` }
  if (reader === undefined || maker === undefined || maker.per === "row" || reader.per === "row")
    return { refused: "one has a value for each row, the other for each element" }
  if (fusing.needs(group, other, other) || fusing.needs(other, group)) return { refused: "a third group lies between" }
  const shape =
    scope.work.get(node)?.kind === "loop" ? (node.outputs[0]?.type.shape ?? []) : scope.typeOf(read.id).shape
  const isSame = Movement.isBijective(chain) && Movement.sameShape(scope.typeOf(read.id).shape, shape)
  if (!isSame) {
    const refused = repeats(fusing, node, other, group)
    if (refused !== undefined) return { refused }
  }
  // From the group's domain to the reader, back to the maker, back to the other group's domain. What is read more than
  // once at different points is computed again at each.
  const there: Movement.Chain = isSame
    ? Movement.reversed(chain)
    : [repeated(shape, scope.typeOf(root).shape, (view) => spreadOf(read, chain, view))]
  const prefix = [...reader.chain, ...there, ...Movement.reversed(maker.chain)]
  const places = new Map(
    [...other.places].map(([value, place]): readonly [string, Place] => [
      value,
      { per: place.per, chain: [...prefix, ...place.chain] }
    ])
  )
  let { inner } = group
  if (other.inner !== undefined) {
    const axes = other.inner.flatMap((flag, axis) => (flag ? [axis] : []))
    const mapped = Groups.axesOfDomain(group.domain, { per: "element", chain: prefix }, other.domain, axes)
    if (mapped === undefined || (inner !== undefined && !sameAxes(group.domain, inner, mapped)))
      return { refused: "the groups reduce different axes" }
    inner = mapped
  }
  const made = new Map([...group.places, ...places])
  for (const member of [...group.members, ...other.members]) {
    const wrong = fusing.memberMisreads(member, made)
    if (wrong !== undefined) return { refused: wrong }
  }
  return { places, inner }
}

/** Where a member reads its operands: at its own place, a reduction at that of its elements. */
const readerPlace = (fusing: Fusing, node: Node, group: Group): Place | undefined => {
  const place = group.places.get(outputOf(node))
  if (place === undefined || fusing.scope.work.get(node)?.kind !== "reduce") return place
  return { per: "element", chain: place.chain.slice(0, -1) }
}

const spreadOf = (read: Read, chain: Movement.Chain, view: Parameters<Read["spread"]>[0]) => {
  const moved = Movement.apply(chain, view)
  return moved === undefined ? undefined : read.spread(moved)
}

/** Elements that are read at several points, or not at all: where they go cannot be said, only where they come from. */
const repeated = (from: Shape, to: Shape, spread: Read["spread"]): Movement.Movement => ({
  from,
  to,
  apply: () => undefined,
  invert: spread
})

/** Why a loop may not be computed again at each point where it is read; undefined: it may. */
const repeats = (fusing: Fusing, node: Node, other: Group, group: Group): string | undefined => {
  if (other.inner !== undefined) return "the shapes differ by more than a change of view"
  const members = [...other.members]
  if (members.length > 4 || members.some((member) => Dear.isDear(fusing.scope, member)))
    return "it is read at several points, and too dear to compute at each"
  const inside = (reader: Node): boolean => reader === node || other.members.has(reader) || group.members.has(reader)
  const isPrivate = [...other.places.keys()].every((root) => !fusing.leaves(root) && fusing.readers(root).every(inside))
  return isPrivate ? undefined : "it is read at several points, and by others too"
}
