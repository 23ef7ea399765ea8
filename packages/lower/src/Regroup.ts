/**
 * Regroup: a second look at groups that are made. A cheap value that one other group alone reads moves over to its reader,
 * when what it is made from is in memory anyway; loops over one domain that read the same values become one loop.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Node } from "@anneal/ir/Graph"
import * as Dear from "./Dear.ts"
import type { Fusing } from "./Fusing.ts"
import { bytes, MOST_MEMBERS, operandsOf, outputOf, sameAxes } from "./Fusing.ts"
import type { Group, Place } from "./Group.ts"
import * as Movement from "./Movement.ts"

// ---- over to the reader ---------------------------------------------------------------------------------------------

/**
 *   contraction {…, x, mul(x, x)}, rows {sum(x), sum(mul)}  ⇒  contraction {…, x}, rows {sum(x), mul(x, x), sum}
 */
export const sink = (fusing: Fusing): void => {
  for (const node of [...fusing.scope.flat.nodes].reverse()) {
    const work = fusing.scope.work.get(node)
    const root = outputOf(node)
    const group = fusing.groupOf(root)
    if (work?.kind !== "loop" || group === undefined || node === group.anchor || group.members.size < 2) continue
    if (fusing.leaves(root) || Dear.isDear(fusing.scope, node)) continue
    const readers = fusing.readers(root)
    const targets = new Set(readers.map((reader) => fusing.groupOf(outputOf(reader))))
    const [target] = targets
    if (targets.size !== 1 || target === undefined || target === group || target.kind !== "loop") continue
    const place = placeIn(fusing, node, readers, target)
    const refused = place === undefined ? "it has no place where it is read" : mayMove(fusing, node, group, target)
    const kind = target.inner === undefined ? "elementwise" : "rows"
    const [reader] = readers
    if (refused !== undefined || place === undefined || reader === undefined) continue
    if (!fusing.record(kind, root, outputOf(reader), undefined, "its reader computes it from what is in memory anyway"))
      continue
    fusing.part(node, group)
    fusing.join(node, target, place)
  }
}

/** The place that all readers of a value see it at. */
const placeIn = (fusing: Fusing, node: Node, readers: ReadonlyArray<Node>, target: Group): Place | undefined => {
  const { scope } = fusing
  const root = outputOf(node)
  for (const reader of readers) {
    const work = scope.work.get(reader)
    const own = target.places.get(outputOf(reader))
    if (own === undefined) continue
    const ids = operandsOf(reader).filter((id) => scope.resolve(id).root === root)
    for (const id of ids) {
      const { chain } = scope.resolve(id)
      const isElement = work?.kind === "reduce" || own.per === "element"
      const shape = work?.kind === "reduce" ? scope.typeOf(id).shape : (reader.outputs[0]?.type.shape ?? [])
      if (!isElement || !Movement.isBijective(chain) || !Movement.sameShape(scope.typeOf(id).shape, shape)) continue
      const at = work?.kind === "reduce" ? own.chain.slice(0, -1) : own.chain
      const place: Place = { per: "element", chain: [...at, ...Movement.reversed(chain)] }
      const made = new Map(target.places).set(root, place)
      if ([node, ...readers].every((one) => fusing.memberMisreads(one, made) === undefined)) return place
    }
  }
  return undefined
}

const mayMove = (fusing: Fusing, node: Node, group: Group, target: Group): string | undefined => {
  const { scope } = fusing
  if (target.prepared !== group.prepared) return "they are computed at different times"
  if (target.members.size >= MOST_MEMBERS) return `the group has ${MOST_MEMBERS} nodes`
  for (const id of operandsOf(node)) {
    const { root } = scope.resolve(id)
    if (scope.inline(root) !== undefined) continue
    if (fusing.groupOf(root) === group && !fusing.isStored(root, node)) return "what it reads would have to be stored"
  }
  const cyclic = fusing.operandGroups(node).some((other) => other !== target && fusing.needs(other, target))
  return cyclic ? "what it reads depends on its reader" : undefined
}

// ---- to the maker ---------------------------------------------------------------------------------------------------

/**
 * A loop that alone reads a value joins what makes the value: it need not be stored then.
 *
 *   conv {conv, quantize}, loop {dequantize, add, relu, quantize}  ⇒  conv {conv, quantize, dequantize, add, relu, quantize}
 */
export const rise = (fusing: Fusing): void => {
  for (const loop of fusing.groups.filter(({ kind }) => kind === "loop")) {
    if (loop.inner !== undefined) continue
    for (const { maker, reader, root } of privateReads(fusing, loop)) {
      const merged = mergeUp(fusing, loop, maker, reader, root)
      const kind = maker.kind === "anchored" ? "epilogue" : maker.inner === undefined ? "elementwise" : "rows"
      const refused = "refused" in merged ? merged.refused : undefined
      if (!fusing.record(kind, root, outputOf(reader), refused) || "refused" in merged) continue
      fusing.merge(loop, maker, { places: merged.places, inner: maker.inner })
      break
    }
  }
}

interface PrivateRead {
  readonly root: string
  readonly maker: Group
  readonly reader: Node
}

/** Values that a loop alone reads, latest maker first. */
const privateReads = (fusing: Fusing, loop: Group): ReadonlyArray<PrivateRead> => {
  const found = new Map<string, PrivateRead>()
  for (const reader of loop.members)
    for (const id of operandsOf(reader)) {
      const { root } = fusing.scope.resolve(id)
      const maker = fusing.groupOf(root)
      if (maker === undefined || maker === loop || fusing.scope.inline(root) !== undefined || fusing.leaves(root))
        continue
      if (maker.kind !== "loop" && maker.kind !== "anchored") continue
      if (fusing.readers(root).every((one) => loop.members.has(one) || maker.members.has(one)))
        found.set(root, { root, maker, reader })
    }
  return [...found.values()].sort((a, b) => b.maker.order - a.maker.order)
}

const mergeUp = (
  fusing: Fusing,
  loop: Group,
  maker: Group,
  reader: Node,
  root: string
): { readonly refused: string } | { readonly places: ReadonlyMap<string, Place> } => {
  const { scope } = fusing
  const [from, at] = [maker.places.get(root), loop.places.get(outputOf(reader))]
  const id = operandsOf(reader).find((one) => scope.resolve(one).root === root)
  if (from === undefined || at === undefined || id === undefined) return { refused: "it has no place" }
  if (maker.prepared !== loop.prepared) return { refused: "one depends on constants alone, the other does not" }
  if (from.per === "row") return { refused: "one has a value for each row, the other for each element" }
  if (maker.members.size + loop.members.size > MOST_MEMBERS) return { refused: `more than ${MOST_MEMBERS} nodes` }
  const { chain } = scope.resolve(id)
  const shape = reader.outputs[0]?.type.shape ?? []
  if (!Movement.isBijective(chain) || !Movement.sameShape(scope.typeOf(id).shape, shape))
    return { refused: "the shapes differ by more than a change of view" }
  if (fusing.needs(loop, maker, maker)) return { refused: "a third group lies between" }
  const prefix = [...from.chain, ...chain, ...Movement.reversed(at.chain)]
  const places = new Map(
    [...loop.places].map(([value, place]): readonly [string, Place] => [
      value,
      { per: place.per, chain: [...prefix, ...place.chain] }
    ])
  )
  const made = new Map([...maker.places, ...places])
  for (const member of [...maker.members, ...loop.members]) {
    const wrong = fusing.memberMisreads(member, made)
    if (wrong !== undefined) return { refused: wrong }
  }
  return { places }
}

// ---- side by side ---------------------------------------------------------------------------------------------------

/** Loops this small are merged even where they read nothing in common: what counts is the call. */
const SMALL = 4096

/** So many loops further on are looked at for what has nothing in common. */
const NEAR = 4

/** Loops over the same domain, neither of which needs the other, as one. */
export const sideBySide = (fusing: Fusing): void => {
  const loops = fusing.groups.filter(({ kind }) => kind === "loop")
  const reads = new Map(loops.map((group) => [group, rootsOf(fusing, group)]))
  const readers = new Map<string, Array<Group>>()
  for (const [group, roots] of reads)
    for (const root of roots) {
      const list = readers.get(root)
      if (list === undefined) readers.set(root, [group])
      else list.push(group)
    }
  const place = new Map(loops.map((group, position) => [group, position]))
  const gone = new Set<Group>()
  for (const [position, group] of loops.entries()) {
    const near = loops.slice(position + 1, position + 1 + NEAR)
    const related = [...(reads.get(group) ?? [])].flatMap((root) => readers.get(root) ?? [])
    const candidates = [...new Set([...related, ...near])]
      .filter((other) => (place.get(other) ?? 0) > position)
      .sort((a, b) => (place.get(a) ?? 0) - (place.get(b) ?? 0))
    for (const other of candidates) {
      if (gone.has(group) || gone.has(other)) continue
      const common = [...(reads.get(group) ?? [])].filter((root) => reads.get(other)?.has(root) === true)
      const refused = notTogether(fusing, group, other, common.length)
      if (refused === "unrelated") continue
      const saving = Dim.sum(common.map((root) => bytes(fusing.scope.typeOf(root))))
      const [a, b] = [firstOf(group), firstOf(other)]
      if (!fusing.record("horizontal", a, b, refused, "one pass over what both read", saving)) continue
      fusing.merge(other, group, { places: other.places, inner: group.inner })
      gone.add(other)
    }
  }
}

const firstOf = (group: Group): string => {
  const [first] = group.members
  return first === undefined ? "" : outputOf(first)
}

/** Roots that a group reads from memory. */
const rootsOf = (fusing: Fusing, group: Group): ReadonlySet<string> =>
  new Set(
    [...group.members]
      .flatMap((node) => operandsOf(node).map((id) => fusing.scope.resolve(id).root))
      .filter((root) => fusing.scope.inline(root) === undefined && fusing.groupOf(root) !== group)
  )

/** Why two loops stay apart; undefined: they may be one. Pairs that nobody would think of are `unrelated`. */
const notTogether = (fusing: Fusing, a: Group, b: Group, common: number): string | undefined => {
  if (!Movement.sameShape(a.domain, b.domain) || a.prepared !== b.prepared) return "unrelated"
  if ((a.inner === undefined) !== (b.inner === undefined)) return "unrelated"
  const size = Dim.product(a.domain)
  const isSmall = typeof size === "number" && size <= SMALL
  if (common === 0 && !isSmall) return "unrelated"
  if (a.inner !== undefined && b.inner !== undefined && !sameAxes(a.domain, a.inner, b.inner)) return "unrelated"
  if (fusing.needs(a, b) || fusing.needs(b, a)) return common === 0 ? "unrelated" : "one needs the other's results"
  return a.members.size + b.members.size > MOST_MEMBERS ? `more than ${MOST_MEMBERS} nodes` : undefined
}
