/**
 * Fusing: groups while they are made: who belongs to which, who needs whose results, and the questions that every rule asks
 * before it puts nodes together.
 */
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Node } from "@anneal/ir/Graph"
import * as Op from "@anneal/ir/Op"
import type { TensorType } from "@anneal/ir/Type"
import * as Type from "@anneal/ir/Type"
import type { Group, GroupKind, Place } from "./Group.ts"
import * as Groups from "./Group.ts"
import * as Movement from "./Movement.ts"
import type { Shape } from "./Movement.ts"
import type { Fusion, FusionKind } from "./Program.ts"
import type { Recipe } from "./Recipe.ts"
import type { Scope } from "./Scope.ts"

/** A group stops growing here: more operands than any kernel has registers for. */
export const MOST_MEMBERS = 64

export const bytes = ({ dtype, shape }: TensorType): Dim.Dim => Dim.mul(Dim.product(shape), DTypes.slotBytes(dtype))

/** Ids of values that a node reads, each once. */
export const operandsOf = (node: Node): ReadonlyArray<string> =>
  [...new Set(node.inputs)].flatMap((id) => (id === null ? [] : [id]))

export const outputOf = (node: Node): string => node.outputs[0]?.id ?? ""

/** Sizes that the data decides, in a node's results and attributes. */
const unbackedIn = (node: Node): ReadonlyArray<string> =>
  [...node.outputs.flatMap(({ type }) => Type.symbols(type)), ...Op.attributeSymbols(node.attributes)].filter(
    Dim.isUnbackedName
  )

/** Another group's members with their places in this one. */
export interface Merge {
  readonly places: ReadonlyMap<string, Place>
  readonly inner: ReadonlyArray<boolean> | undefined
}

/** Places of the values of a group, or of a group as it would be. */
export type Places = ReadonlyMap<string, Place>

/** Which groups each group needs, at any distance: a bit for each. */
class Ancestry {
  private readonly words: number
  private readonly bits = new Map<Group, Uint32Array>()

  constructor(most: number) {
    this.words = (most >> 5) + 1
  }

  has(group: Group, other: Group): boolean {
    const word = this.of(group)[other.order >> 5] ?? 0
    return ((word >>> (other.order & 31)) & 1) === 1
  }

  /** After a group has got dependencies: what they need, it needs, and so does who needs it. */
  update(group: Group, groups: ReadonlyArray<Group>): void {
    const own = this.of(group)
    let changed = false
    for (const dependency of group.dependencies) changed = this.include(own, dependency) || changed
    if (changed) for (const other of groups) if (this.has(other, group)) this.include(this.of(other), group)
  }

  /** After a group has become part of another. */
  replace(gone: Group, group: Group, groups: ReadonlyArray<Group>): void {
    const own = this.of(group)
    for (const [word, more] of this.of(gone).entries()) own[word] = (own[word] ?? 0) | more
    for (const both of [gone, group]) own[both.order >> 5] = (own[both.order >> 5] ?? 0) & ~(1 << (both.order & 31))
    for (const other of groups)
      if (other !== group && (this.has(other, gone) || this.has(other, group))) this.include(this.of(other), group)
    this.bits.delete(gone)
  }

  private of(group: Group): Uint32Array {
    const known = this.bits.get(group)
    if (known !== undefined) return known
    const made = new Uint32Array(this.words)
    this.bits.set(group, made)
    return made
  }

  /** Adds a group and what it needs; says whether that is anything new. */
  private include(into: Uint32Array, group: Group): boolean {
    let changed = false
    const add = (word: number, more: number): void => {
      const before = into[word] ?? 0
      if ((before | more) >>> 0 === before) return
      into[word] = before | more
      changed = true
    }
    for (const [word, more] of this.of(group).entries()) add(word, more)
    add(group.order >> 5, 1 << (group.order & 31))
    return changed
  }
}

export class Fusing {
  readonly groups: Array<Group> = []
  /** By id: a pair that is looked at again is one fusion, taken if it is taken once. */
  readonly fusions = new Map<string, Fusion>()
  readonly scope: Scope
  private readonly isOff: (id: string) => boolean
  private readonly byRoot = new Map<string, Group>()
  private readonly readersOf = new Map<string, Array<Node>>()
  private readonly leaving: ReadonlySet<string>
  private readonly ancestry: Ancestry
  /** The first node that mentions each size that the data decides. */
  private readonly binders = new Map<string, Node>()
  private begun = 0

  constructor(scope: Scope, isOff: (id: string) => boolean) {
    this.scope = scope
    this.isOff = isOff
    this.ancestry = new Ancestry(scope.flat.nodes.length)
    this.leaving = new Set(scope.flat.outputs.map(({ id }) => scope.resolve(id).root))
    for (const node of scope.flat.nodes) {
      for (const symbol of unbackedIn(node)) if (!this.binders.has(symbol)) this.binders.set(symbol, node)
      if (scope.work.get(node)?.kind === "movement") continue
      for (const root of new Set(operandsOf(node).map((id) => scope.resolve(id).root))) {
        const list = this.readersOf.get(root)
        if (list === undefined) this.readersOf.set(root, [node])
        else list.push(node)
      }
    }
  }

  groupOf = (root: string): Group | undefined => this.byRoot.get(root)

  /** Nodes that read a root or a view of it. */
  readers = (root: string): ReadonlyArray<Node> => this.readersOf.get(root) ?? []

  leaves = (root: string): boolean => this.leaving.has(root)

  /** Whether a value is in memory whatever its own group does: somebody of another group reads it. */
  isStored(root: string, except?: Node): boolean {
    const group = this.groupOf(root)
    if (group === undefined || this.leaves(root)) return true
    return this.readers(root).some((node) => node !== except && this.groupOf(outputOf(node)) !== group)
  }

  /** Whether a group needs the results of another, directly (unless it is excepted) or through others. */
  needs(group: Group, other: Group, except?: Group): boolean {
    if (group === other) return false
    if (except === undefined) return this.ancestry.has(group, other)
    return [...group.dependencies].some((next) => next !== except && (next === other || this.ancestry.has(next, other)))
  }

  /** The groups whose results a node reads from memory or from registers. */
  operandGroups(node: Node): ReadonlyArray<Group> {
    const found = new Set<Group>()
    for (const id of operandsOf(node)) {
      const { root } = this.scope.resolve(id)
      const group = this.scope.inline(root) === undefined ? this.groupOf(root) : undefined
      if (group !== undefined) found.add(group)
    }
    // A size that the data decides comes from the node that decided it, whether or not its result is read.
    for (const symbol of unbackedIn(node)) {
      const binder = this.binders.get(symbol)
      const group = binder === undefined || binder === node ? undefined : this.groupOf(outputOf(binder))
      if (group !== undefined) found.add(group)
    }
    return [...found]
  }

  isPrepared = (node: Node): boolean => this.scope.constantOnly.has(outputOf(node))

  begin(
    node: Node,
    kind: GroupKind,
    domain: Shape,
    places: ReadonlyArray<readonly [string, Place]>,
    inner?: ReadonlyArray<boolean>
  ): Group {
    const group: Group = {
      order: this.begun++,
      kind,
      anchor: kind === "loop" ? undefined : node,
      domain,
      inner,
      members: new Set([node]),
      places: new Map(places),
      prepared: this.isPrepared(node),
      dependencies: new Set(this.operandGroups(node))
    }
    this.groups.push(group)
    this.ancestry.update(group, this.groups)
    for (const { id } of node.outputs) this.byRoot.set(id, group)
    return group
  }

  join(node: Node, group: Group, place: Place): void {
    group.members.add(node)
    group.places.set(outputOf(node), shortened(place))
    this.byRoot.set(outputOf(node), group)
    for (const other of this.operandGroups(node)) if (other !== group) group.dependencies.add(other)
    this.ancestry.update(group, this.groups)
  }

  /** Takes a node out of its group, for another one to take it. */
  part(node: Node, group: Group): void {
    group.members.delete(node)
    group.places.delete(outputOf(node))
    this.byRoot.delete(outputOf(node))
  }

  merge(other: Group, group: Group, { inner, places }: Merge): void {
    group.inner = inner
    for (const [value, place] of places) group.places.set(value, shortened(place))
    for (const member of other.members) group.members.add(member)
    for (const value of other.places.keys()) this.byRoot.set(value, group)
    for (const dependency of other.dependencies) if (dependency !== group) group.dependencies.add(dependency)
    group.dependencies.delete(other)
    for (const one of this.groups) if (one !== group && one.dependencies.delete(other)) one.dependencies.add(group)
    this.groups.splice(this.groups.indexOf(other), 1)
    this.ancestry.replace(other, group, this.groups)
  }

  /** Notes a fusion; gives whether it is made. */
  record(
    kind: FusionKind,
    producer: string,
    consumer: string,
    refused: string | undefined,
    why = "the value stays in registers",
    saving: Dim.Dim = Dim.mul(2, bytes(this.scope.typeOf(producer)))
  ): boolean {
    const id = `${kind} ${producer} ${consumer}`
    const off = refused === undefined && this.isOff(id)
    const taken = refused === undefined && !off
    if (this.fusions.get(id)?.taken !== true)
      this.fusions.set(id, {
        id,
        kind,
        members: [producer, consumer],
        taken,
        reason: off ? "switched off" : (refused ?? why),
        saving
      })
    return taken
  }

  /**
   * Whether a node at this place reads right what the group makes (`made`), and whether the rest can be read at all: why
   * not, if not.
   */
  misreads(recipe: Recipe, place: Place, made: Places): string | undefined {
    const { scope } = this
    const isMade = (root: string): boolean => made.has(root) && scope.inline(root) === undefined
    for (const { id, spread } of recipe.displaced) {
      if (isMade(scope.resolve(id).root)) return "it reads the value at places that the data decides"
      const read = Groups.readProbe(scope, id, spread)
      if (read === undefined || Groups.toDomain(place, read) === undefined)
        return "the gathered value cannot be read along the group's axes"
    }
    for (const { id, spread } of recipe.reads) {
      const { root } = scope.resolve(id)
      const maker = isMade(root) ? made.get(root) : undefined
      if (maker !== undefined) {
        if (!Groups.readsInPlace(scope, id, spread, place, maker))
          return "it reads other elements of the value at a point than the one made there"
        continue
      }
      const read = Groups.readProbe(scope, id, spread)
      if (read === undefined || Groups.toDomain(place, read) === undefined)
        return "another operand cannot be read along the group's axes"
    }
    const isStuck = recipe.indices.some(
      (axis) => Groups.toDomain(place, Groups.indexView(recipe.shape, axis)) === undefined
    )
    return isStuck ? "its indices are no linear function of the group's" : undefined
  }

  /** `misreads` of any member of a group whose values have these places. */
  memberMisreads(node: Node, made: Places): string | undefined {
    const work = this.scope.work.get(node)
    const place = made.get(outputOf(node))
    if (place === undefined) return "a member has no place"
    if (work?.kind === "loop") return this.misreads(work.recipe, place, made)
    if (work?.kind !== "reduce") {
      const isMade = operandsOf(node).some((id) => made.has(this.scope.resolve(id).root))
      return isMade ? "the main loop reads it from memory" : undefined
    }
    // Its elements are at its place before the reduction.
    const element: Place = { per: "element", chain: place.chain.slice(0, -1) }
    const id = node.inputs[0] ?? ""
    const elements: Recipe = {
      shape: this.scope.typeOf(id).shape,
      reads: [{ id, spread: (view) => view }],
      displaced: [],
      indices: [],
      build: (point) => point.read(0)
    }
    return this.misreads(elements, element, made)
  }
}

const shortened = ({ chain, per }: Place): Place => ({ per, chain: Movement.shortened(chain) })

/** Axes of one element belong to either side. */
export const sameAxes = (domain: Shape, a: ReadonlyArray<boolean>, b: ReadonlyArray<boolean>): boolean =>
  domain.every((extent, axis) => extent === 1 || a[axis] === b[axis])
