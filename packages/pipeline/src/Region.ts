/**
 * Regions: what a rewrite changed, cut out of the graphs before and after.
 *
 * A pass claims that values are equal: those with one id in both graphs, and those that its editor says took another's
 * place. A claimed pair whose producers are the same op on claimed inputs is equal by induction. Every other pair is an
 * output of a region: the nodes between it and the nearest claimed pairs upstream, which become the region's free
 * inputs. Claims are never trusted: each pair is either proven by induction or checked. See docs/validation.md.
 */
import type { Constant } from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import * as Hash from "@anneal/ir/Hash"
import * as IR from "@anneal/ir/Graph"
import * as Op from "@anneal/ir/Op"
import type { TensorType } from "@anneal/ir/Type"
import * as Type from "@anneal/ir/Type"

/** Value ids, before and after, that are claimed to be equal. */
export interface Pair {
  readonly before: string
  readonly after: string
}

export interface Rewrite {
  readonly before: IR.Graph
  readonly after: IR.Graph
  readonly replaced: ReadonlyMap<string, string>
  /** Digests of the constants that the pass read; the others hold for any bytes. */
  readonly reads: ReadonlySet<string>
}

/** The claims of a rewrite, with what it takes to look around in both graphs. */
export interface Claims extends Rewrite {
  readonly pairs: ReadonlyArray<Pair>
  /** Before → after. */
  readonly claimed: ReadonlyMap<string, string>
  /** After → all that are claimed equal to it. */
  readonly images: ReadonlyMap<string, ReadonlyArray<string>>
  readonly indexBefore: IR.Index
  readonly indexAfter: IR.Index
  /** Value ids in order of definition. A region is then cut in time that depends on the region alone. */
  readonly orderBefore: ReadonlyMap<string, number>
  readonly orderAfter: ReadonlyMap<string, number>
  /** Ids after. */
  readonly inputs: ReadonlySet<string>
}

const orderOf = (graph: IR.Graph) => new Map([...ids(graph)].map((id, position) => [id, position]))

const inOrder = (found: Iterable<string>, order: ReadonlyMap<string, number>) =>
  [...found].sort((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0))

const nodesInOrder = (nodes: Iterable<IR.Node>, order: ReadonlyMap<string, number>) => {
  const place = (node: IR.Node) => order.get(node.outputs[0]?.id ?? "") ?? 0
  return [...nodes].sort((a, b) => place(a) - place(b))
}

const ids = function* (graph: IR.Graph): Generator<string> {
  for (const { id } of graph.inputs) yield id
  yield* graph.constants.keys()
  for (const node of graph.nodes) for (const { id } of node.outputs) yield id
}

const contentKey = ({ digest, dtype, shape }: Constant): string => `${digest} ${dtype}[${shape.join()}]`

/** Whether one may stand for the other, whatever the pass claims: not where the user may give it other bytes, by name. */
const isSameConstant = (before: IR.ConstantEntry | undefined, after: IR.ConstantEntry | undefined): boolean =>
  before !== undefined &&
  after !== undefined &&
  before.name === undefined &&
  contentKey(before.constant) === contentKey(after.constant)

export const claimsOf = (rewrite: Rewrite): Claims => {
  const { after, before, replaced } = rewrite
  const alive = new Set(ids(after))
  const pairs: Array<Pair> = []
  const claimed = new Map<string, string>()
  const images = new Map<string, Array<string>>()
  const claim = (pair: Pair) => {
    if (claimed.get(pair.before) === pair.after) return
    pairs.push(pair)
    if (!claimed.has(pair.before)) claimed.set(pair.before, pair.after)
    images.set(pair.after, [...(images.get(pair.after) ?? []), pair.before])
  }
  for (const [position, { id }] of before.inputs.entries()) {
    const input = after.inputs[position]
    if (input !== undefined) claim({ before: id, after: input.id })
  }
  for (const id of ids(before)) {
    const now = replaced.get(id) ?? id
    if (alive.has(now)) claim({ before: id, after: now })
  }
  for (const [position, { id }] of before.outputs.entries()) {
    const output = after.outputs[position]
    if (output !== undefined) claim({ before: id, after: output.id })
  }
  // A constant that is gone is any that has its bytes, unless the user may give it others (refit goes by name).
  const byContent = new Map([...after.constants].map(([id, { constant }]) => [contentKey(constant), id]))
  for (const [id, { constant, name }] of before.constants) {
    const same = claimed.has(id) || name !== undefined ? undefined : byContent.get(contentKey(constant))
    if (same !== undefined) claim({ before: id, after: same })
  }
  return {
    ...rewrite,
    pairs,
    claimed,
    images,
    indexBefore: IR.index(before),
    indexAfter: IR.index(after),
    orderBefore: orderOf(before),
    orderAfter: orderOf(after),
    inputs: new Set(after.inputs.map(({ id }) => id))
  }
}

/** Sub-graphs that differ where everything around them is the same: to be compared on their own. */
export interface SubRewrite {
  readonly node: IR.Node
  readonly name: string
  readonly before: IR.Graph
  readonly after: IR.Graph
}

/** Whether a pair is equal by induction. `onSubGraph` hears of sub-graphs on which that still depends. */
export const isProven = (claims: Claims, pair: Pair, onSubGraph: (sub: SubRewrite) => void): boolean => {
  const { after, before, claimed, indexAfter, indexBefore } = claims
  const [old, now] = [indexBefore.producer(pair.before), indexAfter.producer(pair.after)]
  if (old === undefined || now === undefined) {
    if (old !== undefined || now !== undefined) return false
    const constants = [before.constants.get(pair.before), after.constants.get(pair.after)] as const
    if (constants[0] !== undefined && constants[1] !== undefined) {
      return contentKey(constants[0].constant) === contentKey(constants[1].constant)
    }
    const position = before.inputs.findIndex(({ id }) => id === pair.before)
    return position >= 0 && after.inputs[position]?.id === pair.after
  }
  const place = old.outputs.findIndex(({ id }) => id === pair.before)
  if (now.outputs[place]?.id !== pair.after || old.op.name !== now.op.name) return false
  if (Type.equal(indexBefore.type(pair.before), indexAfter.type(pair.after)) === false) return false
  if (old.inputs.length !== now.inputs.length) return false
  const wired = old.inputs.every((id, position) => {
    const other = now.inputs[position]
    if (id === null || other === null || other === undefined) return id === other
    return claimed.get(id) === other || isSameConstant(before.constants.get(id), after.constants.get(other))
  })
  if (!wired || !sameAttributes(old, now)) return false
  const names = Object.keys(old.graphs)
  if (names.join() !== Object.keys(now.graphs).join()) return false
  for (const name of names) {
    const [a, b] = [old.graphs[name], now.graphs[name]]
    if (a === undefined || b === undefined || a === b || Hash.content(a) === Hash.content(b)) continue
    onSubGraph({ node: old, name, before: a, after: b })
  }
  return true
}

const sameAttributes = (a: IR.Node, b: IR.Node) =>
  a.attributes === b.attributes || Op.attributesText(a.op, a.attributes) === Op.attributesText(b.op, b.attributes)

// ---- cutting --------------------------------------------------------------------------------------------------------

/** A region: two graphs on the same inputs, whose outputs should agree one by one. */
export interface Region {
  readonly pairs: ReadonlyArray<Pair>
  /** Inputs of both, in order: ids of the graph after. */
  readonly leaves: ReadonlyArray<string>
  readonly before: IR.Graph
  readonly after: IR.Graph
  /** For messages: the nodes before. */
  readonly nodes: ReadonlyArray<IR.Node>
}

interface Cone {
  readonly nodes: ReadonlySet<IR.Node>
  readonly leaves: ReadonlySet<string>
  readonly constants: ReadonlySet<string>
}

interface Cut {
  readonly index: IR.Index
  readonly constants: IR.Graph["constants"]
  /** The leaf that a value is, or undefined to go on upstream. */
  readonly leafOf: (id: string) => string | undefined
}

const definersCache = new WeakMap<IR.Graph, ReadonlyMap<string, string>>()

/** For each unbacked size, the first result of the node that defines it. */
const allDefiners = (graph: IR.Graph): ReadonlyMap<string, string> => {
  const known = definersCache.get(graph)
  if (known !== undefined) return known
  const found = new Map<string, string>()
  for (const { attributes, op, outputs } of graph.nodes) {
    const id = outputs[0]?.id
    if (op.binds !== true || id === undefined) continue
    const names = [...Op.attributeSymbols(attributes), ...outputs.flatMap(({ type }) => Type.symbols(type))]
    for (const name of names) if (Dim.isUnbackedName(name) && !found.has(name)) found.set(name, id)
  }
  definersCache.set(graph, found)
  return found
}

/** First results of the other nodes that define the unbacked sizes in a node's attributes. */
const definersOf = (node: IR.Node, { graph }: IR.Index): ReadonlyArray<string> => {
  if (node.op.binds === true) return []
  const open = Op.attributeSymbols(node.attributes).filter(Dim.isUnbackedName)
  return open.length === 0 ? open : open.flatMap((name) => allDefiners(graph).get(name) ?? [])
}

const coneOf = (starts: ReadonlyArray<string>, { constants, index, leafOf }: Cut): Cone => {
  const nodes = new Set<IR.Node>()
  const leaves = new Set<string>()
  const fixed = new Set<string>()
  const pending: Array<{ readonly id: string; readonly start: boolean }> = starts.map((id) => ({ id, start: true }))
  const seen = new Set<string>()
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { id, start } = next
    const leaf = start ? undefined : leafOf(id)
    if (leaf !== undefined) {
      leaves.add(leaf)
      continue
    }
    if (seen.has(id)) continue
    seen.add(id)
    const producer = index.producer(id)
    if (producer !== undefined) {
      nodes.add(producer)
      for (const input of producer.inputs) if (input !== null) pending.push({ id: input, start: false })
      // Sizes that the data decides are known where the node that decides them is there itself.
      for (const definer of definersOf(producer, index)) pending.push({ id: definer, start: true })
    } else if (constants.has(id)) fixed.add(id)
    else {
      const input = leafOf(id)
      if (input !== undefined) leaves.add(input)
    }
  }
  return { nodes, leaves, constants: fixed }
}

/** Constants that stay what they are: integers and truth values (shapes, indices), and what the pass read. */
const isFixed = (claims: Claims, id: string): boolean => {
  const entry = claims.after.constants.get(id)
  if (entry === undefined) return false
  const { digest, dtype } = entry.constant
  return claims.reads.has(digest) || !/^(f|bf)/.test(dtype)
}

/** Whether `of` is upstream of `id`, before. */
const isUpstream = (index: IR.Index, of: string, id: string): boolean => {
  const seen = new Set<string>()
  const pending = [id]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const input of index.producer(next)?.inputs ?? []) {
      if (input === of) return true
      if (input === null || seen.has(input)) continue
      seen.add(input)
      pending.push(input)
    }
  }
  return false
}

/**
 * The region of some pairs. `open` are leaves (ids after) to look behind: a rewrite may rest on how its inputs came
 * about (`relu(relu(x)) → relu(x)` needs to see one relu).
 */
export const regionOf = (claims: Claims, pairs: ReadonlyArray<Pair>, open: ReadonlySet<string>): Region => {
  const { after, before, claimed, images, indexAfter, indexBefore, inputs: isInput } = claims
  const proven = (id: string, of: string) => isProven(claims, { before: of, after: id }, () => {})
  const stops = (id: string) => isInput.has(id) || !(open.has(id) || isFixed(claims, id))
  const leafAfter = (id: string) => {
    const sources = images.get(id)
    if (sources === undefined || !stops(id)) return undefined
    // A constant that took another's place is not a free input: its bytes are what is claimed.
    if (after.constants.has(id) && !sources.every((source) => proven(id, source))) return undefined
    return id
  }
  const leafBefore = (id: string) => {
    const now = claimed.get(id)
    return now === undefined || leafAfter(now) === undefined ? undefined : now
  }
  const old = coneOf(
    pairs.map((pair) => pair.before),
    { index: indexBefore, constants: before.constants, leafOf: leafBefore }
  )
  // A value may take the place of one that was computed from it: then it is an input of the region as it stands.
  const asLeaf = (pair: Pair) =>
    (images.get(pair.after) ?? []).some((id) => id !== pair.before && isUpstream(indexBefore, id, pair.before)) &&
    leafAfter(pair.after) !== undefined
  const ends = pairs.filter((pair) => !asLeaf(pair)).map((pair) => pair.after)
  const now = coneOf(ends, { index: indexAfter, constants: after.constants, leafOf: leafAfter })
  const leaves = new Set([...old.leaves, ...now.leaves, ...pairs.filter(asLeaf).map((pair) => pair.after)])
  const ordered = inOrder(leaves, claims.orderAfter)
  const inputs = ordered.map((id, position): readonly [string, TensorType] => [`v${position}`, indexAfter.type(id)])
  return {
    pairs,
    leaves: ordered,
    nodes: nodesInOrder(old.nodes, claims.orderBefore),
    before: subGraph(
      before,
      claims.orderBefore,
      old,
      inputs,
      (id) => nameOf(ordered, leafBefore(id)),
      pairs.map((pair) => pair.before)
    ),
    after: subGraph(
      after,
      claims.orderAfter,
      now,
      inputs,
      (id) => nameOf(ordered, leaves.has(id) && (leafAfter(id) !== undefined || isInput.has(id)) ? id : undefined),
      pairs.map((pair) => pair.after),
      (id) => !ends.includes(id)
    )
  }
}

const nameOf = (leaves: ReadonlyArray<string>, leaf: string | undefined) => {
  const position = leaf === undefined ? -1 : leaves.indexOf(leaf)
  return position < 0 ? undefined : `v${position}`
}

const subGraph = (
  graph: IR.Graph,
  order: ReadonlyMap<string, number>,
  cone: Cone,
  inputs: ReadonlyArray<readonly [string, TensorType]>,
  leafOf: (id: string) => string | undefined,
  outputs: ReadonlyArray<string>,
  outputIsLeaf: (id: string) => boolean = () => false
): IR.Graph => {
  const made = new Set<string>(cone.constants)
  for (const node of cone.nodes) for (const { id } of node.outputs) made.add(id)
  const own = (id: string) => `n.${id}`
  const wire = (id: string) => leafOf(id) ?? own(id)
  return {
    name: graph.name,
    inputs: inputs.map(([id, type]) => ({ id, name: id, type })),
    constants: new Map(
      inOrder(cone.constants, order).flatMap((id) => {
        const entry = graph.constants.get(id)
        return entry === undefined ? [] : [[own(id), entry]]
      })
    ),
    nodes: nodesInOrder(cone.nodes, order).map(
      ({ attributes, graphs, inputs: operands, lineage, op, outputs: results }) => ({
        op,
        attributes,
        graphs,
        lineage,
        inputs: operands.map((id) => (id === null ? null : wire(id))),
        outputs: results.map(({ id, type }) => ({ id: own(id), type }))
      })
    ),
    outputs: outputs.map((id, position) => ({
      name: `r${position}`,
      id: made.has(id) && !outputIsLeaf(id) ? own(id) : wire(id)
    })),
    constraints: [],
    aliases: []
  }
}

/** Pairs that are not proven, grouped: pairs whose regions share a node are checked in one run. */
export const changedRegions = (
  claims: Claims,
  onSubGraph: (sub: SubRewrite) => void
): ReadonlyArray<ReadonlyArray<Pair>> => {
  const open = claims.pairs.filter((pair) => !isProven(claims, pair, onSubGraph))
  // Groups that turn out to touch are merged: the smaller into the larger.
  interface Group {
    readonly pairs: Array<Pair>
    readonly nodes: Set<string>
  }
  const groupOf = new Map<string, Group>()
  const groups = new Set<Group>()
  for (const pair of open) {
    const { after, before } = regionOf(claims, [pair], new Set())
    const nodes = [...namesOf(before, "b"), ...namesOf(after, "a")]
    let whole: Group = { pairs: [pair], nodes: new Set(nodes) }
    for (const touched of new Set(nodes.flatMap((name) => groupOf.get(name) ?? []))) {
      const [large, small] = touched.nodes.size < whole.nodes.size ? [whole, touched] : [touched, whole]
      large.pairs.push(...small.pairs)
      for (const name of small.nodes) {
        large.nodes.add(name)
        groupOf.set(name, large)
      }
      groups.delete(touched)
      whole = large
    }
    for (const name of whole.nodes) if (groupOf.get(name) !== whole) groupOf.set(name, whole)
    groups.add(whole)
  }
  return [...groups].map(({ pairs }) => pairs)
}

const namesOf = (graph: IR.Graph, side: string) => graph.nodes.map(({ outputs }) => `${side}.${outputs[0]?.id ?? ""}`)
