/**
 * Plan: space and decisions to a program. Pure: the same space, decisions and fixed sizes give the same program.
 *
 *   Plan.plan(space, Decisions.none, { fixed: new Map([["batch", 1]]) })
 */
import type { Constant } from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Graph, Node } from "@anneal/ir/Graph"
import type { Candidate } from "@anneal/pipeline/Tuner"
import * as Type from "@anneal/ir/Type"
import type { Decisions } from "./Decisions.ts"
import * as Demand from "./Demand.ts"
import * as Emit from "./Emit.ts"
import * as Flatten from "./Flatten.ts"
import * as Fuse from "./Fuse.ts"
import type { Group } from "./Group.ts"
import * as Integer from "./Integer.ts"
import * as Layout from "./Layout.ts"
import * as Movement from "./Movement.ts"
import type { Shape } from "./Movement.ts"
import * as Nodes from "./Nodes.ts"
import * as OneHot from "./OneHot.ts"
import type { Buffer, Fusion, Program, Step } from "./Program.ts"
import type { Region } from "./Region.ts"
import * as Regions from "./Region.ts"
import type { Generator } from "./RegionKey.ts"
import * as RegionKey from "./RegionKey.ts"
import type { Rules } from "./Rules.ts"
import * as Scopes from "./Scope.ts"
import type { Space } from "./Space.ts"
import * as Storage from "./Storage.ts"
import * as Table from "./Table.ts"
import type { View } from "./View.ts"
import * as Views from "./View.ts"
import * as Widen from "./Widen.ts"

/** The tactic of a region that nobody has decided yet. */
export const undecided: Candidate = { name: "undecided", config: null }

export interface Options {
  /** Symbols that are numbers in this program. */
  readonly fixed?: ReadonlyMap<string, number>
  /** Whose code the tactics are for; without it no tactic is looked up. */
  readonly generator?: Generator
}

/** What is built up over all scopes of a program. */
interface Building {
  readonly rules: Rules
  readonly decisions: Decisions
  readonly generator: Generator | undefined
  readonly buffers: Map<string, Buffer>
  readonly prepare: Array<Step>
  readonly fusions: Array<Fusion>
  /** Of the graph itself, not of branches. */
  readonly values: Map<string, View>
}

type Place = View | { readonly host: string }

export const plan = (space: Space, decisions: Decisions, options: Options = {}): Program => {
  const fixed = options.fixed ?? new Map<string, number>()
  const graph = Flatten.substitute(space.graph, fixed)
  const building: Building = {
    rules: space.rules,
    decisions,
    generator: options.generator,
    buffers: new Map(),
    prepare: [],
    fusions: [],
    values: new Map()
  }
  const { buffers } = building
  const inputs = graph.inputs.map((input): View => {
    const id = `input ${input.name}`
    buffers.set(id, {
      id,
      dtype: input.type.dtype,
      size: Type.size(input.type),
      kind: "input",
      name: input.name
    })
    return Views.contiguous(id, input.type.dtype, input.type.shape)
  })
  const types = new Map<string, Type.TensorType>([
    ...graph.inputs.map(({ id, type }) => [id, type] as const),
    ...[...graph.constants].map(
      ([id, { constant }]) => [id, { dtype: constant.dtype, shape: constant.shape }] as const
    ),
    ...graph.nodes.flatMap(({ outputs }) => outputs.map(({ id, type }) => [id, type] as const))
  ])
  const targets = graph.outputs.map(({ id, name }): View | undefined => {
    const type = types.get(id)
    if (type === undefined || Flatten.hasUnbacked(type)) return undefined
    const buffer = `output ${name}`
    buffers.set(buffer, { id: buffer, dtype: type.dtype, size: Type.size(type), kind: "output", name })
    return Views.contiguous(buffer, type.dtype, type.shape)
  })
  const given = new Map(graph.inputs.map(({ id }, position) => [id, inputs[position]] as const))
  const { outputs, steps } = planScope(building, graph, "", places(given), targets)
  return {
    graph,
    fixed,
    symbols: [...new Set(graph.inputs.flatMap(({ type }) => Type.symbols(type)))].sort(),
    buffers,
    prepare: building.prepare,
    steps,
    fusions: building.fusions,
    values: building.values,
    inputs,
    outputs
  }
}

const places = (given: ReadonlyMap<string, Place | undefined>): ReadonlyMap<string, Place> =>
  new Map([...given].flatMap(([id, place]) => (place === undefined ? [] : [[id, place] as const])))

/** Groups so that each comes after what it needs; among those that may, the one whose last node comes first. */
const ordered = (groups: ReadonlyArray<Group>, nodes: ReadonlyArray<Node>): ReadonlyArray<Group> => {
  const position = new Map(nodes.map((node, index) => [node, index]))
  const lastOf = (group: Group): number => Math.max(...[...group.members].map((node) => position.get(node) ?? 0))
  const pending = new Map(groups.map((group) => [group, group.dependencies.size]))
  const users = new Map<Group, Array<Group>>()
  for (const group of groups)
    for (const dependency of group.dependencies) users.set(dependency, [...(users.get(dependency) ?? []), group])
  const ready = groups.filter((group) => group.dependencies.size === 0)
  const result: Array<Group> = []
  while (ready.length > 0) {
    ready.sort((a, b) => lastOf(b) - lastOf(a))
    const next = ready.pop()
    if (next === undefined) break
    result.push(next)
    for (const user of users.get(next) ?? []) {
      const left = (pending.get(user) ?? 0) - 1
      pending.set(user, left)
      if (left === 0) ready.push(user)
    }
  }
  if (result.length < groups.length) throw new RangeError("lowering: groups depend on each other; a defect of anneal")
  return result
}

const planScope = (
  building: Building,
  graph: Graph,
  prefix: string,
  given: ReadonlyMap<string, Place>,
  targets: ReadonlyArray<View | undefined>
): { readonly steps: ReadonlyArray<Step>; readonly outputs: ReadonlyArray<Place> } => {
  const { buffers, decisions, rules } = building
  const off = new Set(decisions.fusionsOff)
  const isOff = (id: string): boolean => off.has(`${prefix}${id}`)
  const record = (fusion: Fusion): void => void building.fusions.push({ ...fusion, id: `${prefix}${fusion.id}` })
  const decide = (fusion: Omit<Fusion, "taken">, refused: boolean): boolean => {
    const switchedOff = !refused && isOff(fusion.id)
    record({ ...fusion, taken: !refused && !switchedOff, reason: switchedOff ? "switched off" : fusion.reason })
    return !refused && !switchedOff
  }
  const wide = Widen.rewrite(Flatten.flatten(graph, Scopes.keeps(rules)), rules)
  const simple = Table.rewrite(OneHot.rewrite(wide, decide), decide)
  const less = Demand.rewrite(simple, Scopes.kindsOf(simple, rules), decide)
  const { flat, products } = Integer.rewrite(less, { kindOf: Scopes.kindsOf(less, rules), has: rules.has }, decide)
  const hosted = new Set([...given].flatMap(([id, place]) => ("host" in place ? [id] : [])))
  const constantOnly = new Set(
    [...given].flatMap(([id, place]) => {
      const kind = "host" in place ? undefined : buffers.get(place.buffer)?.kind
      return kind === "constant" || kind === "prepared" ? [id] : []
    })
  )
  const scope = Scopes.make(flat, rules, { hosted, constantOnly }, products)
  const grouping = Fuse.fuse(scope, isOff)
  const memory = Storage.inMemory(scope, grouping)
  const allocate = (id: string, dtype: DType, shape: Shape, prepared: boolean): View => {
    const buffer = `${prefix}${id}`
    buffers.set(buffer, {
      id: buffer,
      dtype,
      size: Dim.product(shape),
      kind: prepared ? "prepared" : "arena"
    })
    return Views.contiguous(buffer, dtype, shape)
  }
  const constantView = (root: string): View | undefined => {
    const constant: Constant | undefined = flat.constants.get(root)
    if (constant === undefined) return undefined
    const id = `${prefix}${root}`
    const size = Dim.product(constant.shape)
    if (!buffers.has(id)) buffers.set(id, { id, dtype: constant.dtype, size, kind: "constant", constant })
    return Views.contiguous(id, constant.dtype, constant.shape)
  }
  const steps: Array<Step> = []
  const preferred = Layout.make(scope, grouping)
  const inputs = new Map<string, View>()
  for (const [id, place] of given) {
    if ("host" in place) continue
    inputs.set(id, place)
    // An input in another order than the caller's is copied once, before anything reads it.
    const order = decisions.layouts[`${prefix}${id}`]
    const isInput = buffers.get(place.buffer)?.kind === "input"
    const layout = order === undefined ? preferred(id, () => undefined) : decided(id, place, order)
    if (layout === undefined || !isInput || Movement.sameView(layout, place)) continue
    const ordered = {
      ...allocate(`${id}.ordered`, place.dtype, place.shape, false),
      strides: layout.strides,
      offset: layout.offset
    }
    const region = Emit.copy(`${prefix}${id}.ordered`, [], place, ordered)
    const step: Step = { kind: "region", region, tactic: tacticOf(building, region) }
    if (!isEmpty(step)) steps.push(step)
    inputs.set(id, ordered)
  }
  const storage = Storage.assign(scope, grouping, memory, {
    targets,
    given: inputs,
    allocate: (root, prepared, layout) => {
      const { dtype, shape } = scope.typeOf(root)
      const whole = allocate(root, dtype, shape, prepared)
      return layout === undefined ? whole : { ...whole, strides: layout.strides, offset: layout.offset }
    },
    constant: constantView,
    isOff,
    layout: (root, placeOf) => {
      const order = decisions.layouts[`${prefix}${root}`]
      const { dtype, shape } = scope.typeOf(root)
      return order === undefined ? preferred(root, placeOf) : decided(root, { dtype, shape }, order)
    }
  })
  for (const fusion of grouping.fusions) record(memory.has(fusion.members[0] ?? "") ? readOnly(fusion) : fusion)
  for (const fusion of storage.fusions) record(fusion)
  const emitting: Emit.Emitting = {
    scope,
    grouping,
    storage,
    prefix,
    allocate,
    tactic: (region) => tacticOf(building, region),
    copied: (root, id, why, { dtype, shape }) =>
      record({
        id: `view ${id}`,
        kind: "view",
        members: [root, id],
        taken: false,
        reason: why,
        saving: Dim.mul(2 * DTypes.slotBytes(dtype), Dim.product(shape))
      }),
    emitStep: (step, prepared) => {
      if (!isEmpty(step)) (prepared ? building.prepare : steps).push(step)
    }
  }
  const emitter = Emit.make(emitting)
  const at: Nodes.At = { scope, storage, prefix, memory }
  for (const group of ordered(grouping.groups, flat.nodes)) {
    const { anchor } = group
    const work = anchor === undefined ? undefined : scope.work.get(anchor)
    if (group.kind === "loop" || group.kind === "anchored") Emit.group(emitting, emitter, group, memory)
    else if (work?.kind === "branch" && anchor !== undefined) steps.push(branch(building, anchor, prefix, emitter, at))
    else Nodes.emit(group, emitter, at)
  }
  if (prefix === "")
    for (const id of memory) {
      const view = emitter.storageOf(id)
      if (view !== undefined) building.values.set(id, view)
    }
  for (const position of storage.copies) {
    const [id, target] = [flat.outputs[position]?.id ?? "", targets[position]]
    if (target !== undefined)
      emitter.add(Emit.copy(`${prefix}${id}.output${position}`, [], emitter.viewOf(id), target), false)
  }
  const outputs = flat.outputs.map(({ id }, position): Place => targets[position] ?? { host: `${prefix}${id}` })
  return { steps, outputs }
}

/** Nothing that it writes has an element, whatever the sizes: there is nothing to do. */
const isEmpty = (step: Step): boolean => {
  if (step.kind !== "region") return false
  const { region } = step
  if (region.kind !== "rows") return Regions.writes(region).every((view) => view === null || view.shape.includes(0))
  // The sum of no elements is one.
  return region.outer.includes(0) || (region.inner.includes(0) && region.results.every(({ per }) => per === "element"))
}

/** A value that is written for others anyway: only reading it again is saved. */
const readOnly = (fusion: Fusion): Fusion =>
  fusion.kind === "horizontal" ? fusion : { ...fusion, saving: Dim.floorDiv(fusion.saving, 2) }

/** The layout that a decision asks for. Throws RangeError for an order of other axes. */
const decided = (id: string, { dtype, shape }: Type.TensorType, order: ReadonlyArray<number>): View => {
  const sorted = [...order].sort((a, b) => a - b)
  if (sorted.length !== shape.length || sorted.some((axis, position) => axis !== position))
    throw new RangeError(
      `the layout [${order.join()}] that was decided for %${id} is no order of its ${shape.length} axes; take it out of the decisions`
    )
  return Views.ordered("", dtype, shape, order)
}

const tacticOf = ({ buffers, decisions, generator }: Building, region: Region): Candidate => {
  const key = generator === undefined ? undefined : RegionKey.make(region, buffers, generator)
  return key === undefined ? undecided : (decisions.tactics[key] ?? undecided)
}

/** Both branches write where the node's results lie. */
const branch = (building: Building, node: Node, prefix: string, emitter: Emit.Emitter, at: Nodes.At): Step => {
  const [conditionId, ...captured] = node.inputs
  const used = node.outputs.map(({ id }) => at.memory.has(id))
  const side = (name: "then" | "else"): ReadonlyArray<Step> => {
    const whole = node.graphs[name]
    if (whole === undefined) return []
    const graph = { ...whole, outputs: whole.outputs.filter((_, position) => used[position]) }
    const given = new Map(
      graph.inputs.map(({ id }, position): readonly [string, Place | undefined] => {
        const outer = captured[position]
        return [id, outer === null || outer === undefined ? undefined : emitter.viewOf(outer)]
      })
    )
    const targets = node.outputs.flatMap(({ id }) => (at.memory.has(id) ? [emitter.storageOf(id)] : []))
    return planScope(building, graph, `${prefix}${node.outputs[0]?.id ?? "if"}.${name}/`, places(given), targets).steps
  }
  return {
    kind: "branch",
    node,
    condition: emitter.viewOf(conditionId ?? ""),
    whenTrue: side("then"),
    whenFalse: side("else")
  }
}
