// A mutable view of one graph while a pass rewrites it: producers, users, replacement. `finish` gives a new graph and
// what took whose place; the old graph is untouched, and nodes that nothing changed are the same objects in both.
//
// New nodes take the place of the node they were made for, so the order stays one in which values are defined before
// they are used. A value is replaced lazily: whoever used the old one is rewired on the way out.
import type { Builder, Names } from "./Builder.ts"
import * as Builders from "./Builder.ts"
import * as Constants from "./Constant.ts"
import * as Dim from "./Dim.ts"
import { refuse } from "./Errors.ts"
import * as Graphs from "./Graph.ts"
import type { ConstantEntry, Constraint, Graph, Node, Value } from "./Graph.ts"
import * as Op from "./Op.ts"
import type { Tensor } from "./Tensor.ts"
import type { TensorType } from "./Type.ts"
import * as Type from "./Type.ts"

export interface Edited {
  readonly graph: Graph
  /** Claimed equal: the value id before → the value id after that took its place. */
  readonly replaced: ReadonlyMap<string, string>
  /** Whether anything differs from the graph that went in. */
  readonly changed: boolean
}

export interface Editor {
  /** The live nodes, in order, as of now. */
  readonly nodes: () => ReadonlyArray<Node>
  readonly type: (id: string) => TensorType
  readonly value: (id: string) => Value
  /** The live node that makes a value; undefined for inputs and constants. */
  readonly producer: (id: string | null | undefined) => Node | undefined
  readonly constant: (id: string | null | undefined) => ConstantEntry | undefined
  /** The tensor of a constant value, read through the tracked reader; undefined for any other value. */
  readonly read: (id: string | null | undefined) => Tensor | undefined
  /** The live nodes that take a value; one entry a node. */
  readonly users: (id: string) => ReadonlyArray<Node>
  readonly isOutput: (id: string) => boolean
  /** Whether this node is the only user and the value does not leave the graph. */
  readonly isOnlyUsedBy: (id: string, node: Node) => boolean
  /** A node's inputs as values, replacements followed; undefined for one left out. */
  readonly inputs: (node: Node) => ReadonlyArray<Value | undefined>
  /**
   * Replaces a node: `make` builds the new values, in the node's place, one for each result (undefined: that result is
   * unused and goes). The lineage of new nodes is that of `from` (default: the node alone) plus `rewrite`.
   */
  readonly replace: (
    node: Node,
    rewrite: string,
    make: (builder: Builder) => ReadonlyArray<Value | undefined>,
    from?: ReadonlyArray<Node>
  ) => void
  /** Puts other sub-graphs into a node. */
  readonly setGraphs: (node: Node, graphs: Readonly<Record<string, Graph>>) => void
  /** Removes a node; its results must be unused. */
  readonly remove: (node: Node) => void
  /** Adds a constant. */
  readonly addConstant: (constant: Constants.Constant, name?: string) => Value
  readonly finish: () => Edited
}

interface Slot {
  nodes: Array<Node>
}

/** Opens a graph. `reader` notes which constants the pass reads; `names` keeps unbacked symbols apart across sub-graphs. */
export const open = (
  graph: Graph,
  reader: Constants.Reader = Constants.makeReader(),
  counter?: { next: number }
): Editor => {
  const slots: Array<Slot> = graph.nodes.map((node) => ({ nodes: [node] }))
  const slotOf = new Map<Node, Slot>()
  const types = new Map<string, TensorType>()
  const producers = new Map<string, Node>()
  const users = new Map<string, Set<Node>>()
  const constants = new Map(graph.constants)
  const constraints: Array<Constraint> = [...graph.constraints]
  const renamed = new Map<string, string>()
  const outputIds = new Set(graph.outputs.map(({ id }) => id))
  // Most passes leave most graphs alone: names are looked at when a new one is needed.
  let made: Names | undefined
  const named = (): Names =>
    (made ??= Builders.makeNames(valueIds(graph), counter ?? { next: firstFreeUnbacked(graph) }))
  const names: Names = { value: (wanted) => named().value(wanted), unbacked: () => named().unbacked() }
  let changed = false

  const resolve = (id: string): string => {
    let end = id
    for (let next = renamed.get(end); next !== undefined; next = renamed.get(end)) end = next
    // Shorten the path, so that long chains of rewrites stay cheap.
    for (let step = id; step !== end;) {
      const next = renamed.get(step) ?? end
      renamed.set(step, end)
      step = next
    }
    return end
  }
  const usersOf = (id: string): Set<Node> => {
    const found = users.get(id)
    if (found !== undefined) return found
    const empty = new Set<Node>()
    users.set(id, empty)
    return empty
  }
  const attach = (node: Node, slot: Slot): void => {
    slotOf.set(node, slot)
    for (const output of node.outputs) {
      types.set(output.id, output.type)
      producers.set(output.id, node)
    }
    for (const input of node.inputs) if (input !== null) usersOf(resolve(input)).add(node)
  }
  const detach = (node: Node): void => {
    slotOf.delete(node)
    for (const output of node.outputs) if (producers.get(output.id) === node) producers.delete(output.id)
    for (const input of node.inputs) if (input !== null) usersOf(resolve(input)).delete(node)
  }
  const type = (id: string): TensorType =>
    types.get(resolve(id)) ?? refuse("UnknownValue", `no value %${id} in graph ${graph.name}`)
  const isLive = (node: Node): boolean => slotOf.has(node)
  const slotFor = (node: Node): Slot =>
    slotOf.get(node) ?? refuse("UnknownValue", `${Graphs.nodeName(node)} is no longer in the graph`)
  const value = (id: string): Value => ({ id: resolve(id), type: type(id) })

  /** Makes `next` stand wherever `old` stood. */
  const rename = (old: string, next: string): void => {
    if (old === next) return
    renamed.set(old, next)
    const moved = usersOf(next)
    for (const user of usersOf(old)) moved.add(user)
    users.delete(old)
    if (outputIds.has(old)) outputIds.add(next)
  }

  for (const input of graph.inputs) types.set(input.id, input.type)
  for (const [id, entry] of graph.constants) types.set(id, Graphs.constantType(entry))
  for (const slot of slots) for (const node of slot.nodes) attach(node, slot)

  const addConstantAs = (id: string, entry: ConstantEntry): void => {
    constants.set(id, entry)
    types.set(id, Graphs.constantType(entry))
    changed = true
  }

  const replace: Editor["replace"] = (node, rewrite, make, from = [node]) => {
    const slot = slotFor(node)
    const position = slot.nodes.indexOf(node)
    const lineage = Graphs.mergeLineage(
      from.map((one) => one.lineage),
      rewrite
    )
    const made: Array<Node> = []
    const builder = Builders.over(
      {
        node: (next) => {
          made.push(next)
          attach(next, slot)
        },
        constant: addConstantAs,
        constraint: (constraint) => void constraints.push(constraint)
      },
      names,
      lineage
    )
    const results = make(builder)
    if (results.length !== node.outputs.length)
      refuse(
        "WrongArity",
        `${rewrite}: ${results.length} values for the ${node.outputs.length} results of ${Graphs.nodeName(node)}`
      )
    slot.nodes.splice(position, 1, ...made)
    detach(node)
    changed = true
    for (const [index, output] of node.outputs.entries()) {
      const result = results[index]
      if (result === undefined) {
        if (usersOf(output.id).size > 0 || outputIds.has(output.id))
          refuse(
            "UnknownValue",
            `${rewrite}: result ${index} of ${Graphs.nodeName(node)} is used, and nothing replaces it`
          )
        continue
      }
      if (Type.equal(result.type, output.type) === false)
        refuse(
          "TypeMismatch",
          `${rewrite}: ${Type.format(result.type)} cannot replace ${Type.format(output.type)} of ${Graphs.nodeName(node)}`
        )
      rename(output.id, resolve(result.id))
    }
  }

  const liveNodes = (): ReadonlyArray<Node> => {
    const live: Array<Node> = []
    for (const slot of slots) for (const node of slot.nodes) live.push(node)
    return live
  }

  const finish = (): Edited => {
    if (!changed) return { graph, replaced: new Map(), changed: false }
    const rewire = (node: Node): Node =>
      node.inputs.every((id) => id === null || resolve(id) === id)
        ? node
        : { ...node, inputs: node.inputs.map((id) => (id === null ? null : resolve(id))) }
    const nodes = liveNodes().map(rewire)
    const outputs = graph.outputs.map((output) => ({ name: output.name, id: resolve(output.id) }))
    const used = new Set<string>(outputs.map(({ id }) => id))
    for (const node of nodes) for (const id of node.inputs) if (id !== null) used.add(id)
    const kept = new Map([...constants].filter(([id]) => used.has(id)))
    const replaced = new Map([...renamed.keys()].sort().map((id) => [id, resolve(id)] as const))
    return {
      graph: { ...graph, nodes, outputs, constants: kept, constraints: distinct(constraints) },
      replaced,
      changed
    }
  }

  return {
    nodes: liveNodes,
    type,
    value,
    producer: (id) => (id === null || id === undefined ? undefined : producers.get(resolve(id))),
    constant: (id) => (id === null || id === undefined ? undefined : constants.get(resolve(id))),
    read: (id) => {
      const entry = id === null || id === undefined ? undefined : constants.get(resolve(id))
      return entry === undefined ? undefined : reader.read(entry.constant)
    },
    users: (id) => [...usersOf(resolve(id))].filter(isLive),
    isOutput: (id) => outputIds.has(resolve(id)),
    isOnlyUsedBy: (id, node) => {
      const found = [...usersOf(resolve(id))]
      return !outputIds.has(resolve(id)) && found.length === 1 && found[0] === node
    },
    inputs: (node) => node.inputs.map((id) => (id === null ? undefined : value(id))),
    replace,
    setGraphs: (node, graphs) => {
      const slot = slotFor(node)
      const next: Node = { ...node, graphs }
      slot.nodes.splice(slot.nodes.indexOf(node), 1, next)
      detach(node)
      attach(next, slot)
      changed = true
    },
    remove: (node) => {
      const slot = slotFor(node)
      for (const output of node.outputs)
        if (usersOf(output.id).size > 0 || outputIds.has(output.id))
          refuse("UnknownValue", `%${output.id} of ${Graphs.nodeName(node)} is still used`)
      slot.nodes.splice(slot.nodes.indexOf(node), 1)
      detach(node)
      changed = true
    },
    addConstant: (constant, name) => {
      const id = names.value("c")
      addConstantAs(id, name === undefined ? { constant } : { constant, name })
      return value(id)
    },
    finish
  }
}

const distinct = (constraints: ReadonlyArray<Constraint>): ReadonlyArray<Constraint> => {
  const seen = new Set<string>()
  return constraints.filter(({ left, right }) => {
    const key = `${Dim.format(left)} = ${Dim.format(right)}`
    return seen.has(key) ? false : seen.add(key)
  })
}

const valueIds = function* (graph: Graph): Generator<string> {
  for (const input of graph.inputs) yield input.id
  yield* graph.constants.keys()
  for (const node of graph.nodes) for (const output of node.outputs) yield output.id
}

/** The first number that no unbacked symbol of the graph, at any depth, has. */
export const firstFreeUnbacked = (graph: Graph): number => {
  let next = 0
  const note = (name: string): void => {
    if (Dim.isUnbackedName(name)) next = Math.max(next, Number(name.slice(1)) + 1)
  }
  for (const node of Graphs.allNodes(graph)) {
    for (const output of node.outputs) for (const name of Type.symbols(output.type)) note(name)
    for (const name of Op.attributeSymbols(node.attributes)) note(name)
  }
  return next
}
