// add(2, 3)  ⇒  5
//
// What is computed from constants alone is computed now, on the oracle, in one run a graph. Left alone: dequantize of a
// constant (the quantised weight is the point), random ops, loops, anything that the data sizes in an unknown way, and
// whatever would make the model bigger than it is.
import * as Builders from "@anneal/ir/Builder"
import * as Constants from "@anneal/ir/Constant"
import * as DTypes from "@anneal/ir/DType"
import type { Editor } from "@anneal/ir/Editor"
import * as Editors from "@anneal/ir/Editor"
import type { Graph, Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import type * as Tensor from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Driver from "./Driver.ts"
import * as Rewrite from "./Rewrite.ts"

const name = "foldConstants"

const Config = Schema.Struct({
  /** Bytes by which a folded constant may exceed what it was made from. */
  growth: Schema.Int,
  /** Elements times contracted depth above which a node is not folded. */
  work: Schema.Int
})
type Config = typeof Config.Type

/** Never folded: their result is wanted as a computation, or is none of constants alone. */
const kept = new Set(["dequantize", "randomUniform", "randomNormal", "if", "loop", "scan", "sizes", "readDims"])
/** Depth of a contraction is at most the elements of its second operand. */
const contractions = new Set(["matmul", "conv", "convTranspose", "linear", "attention"])

/** Work and bytes that one folding run may hold in memory at once. */
const largestElements = 2 ** 26

/** The nodes to fold of one graph, in order, and the results of them that others use. */
interface Plan {
  readonly nodes: ReadonlyArray<Node>
  readonly wanted: ReadonlyArray<Value>
}

/** Whether any node has constants alone for operands: without one, there is nothing to begin with. */
const mayFold = (graph: Graph): boolean =>
  graph.nodes.some(
    ({ inputs, op }) => !kept.has(op.name) && inputs.every((id) => id === null || graph.constants.has(id))
  )

/** Whether a node is to be folded whose operands are constants or folded. */
type Wanted = (node: Node, editor: Editor, folded: ReadonlySet<string>) => boolean

const plan = (graph: Graph, editor: Editor, isWanted: Wanted): Plan => {
  const folded = new Set<string>()
  const nodes: Array<Node> = []
  for (const node of graph.nodes) {
    if (!isWanted(node, editor, folded)) continue
    nodes.push(node)
    for (const output of node.outputs) folded.add(output.id)
  }
  const inside = new Set(nodes)
  const wanted = nodes.flatMap((node) =>
    node.outputs.filter(({ id }) => editor.isOutput(id) || editor.users(id).some((user) => !inside.has(user)))
  )
  return { nodes, wanted }
}

/** Whether it is computed from constants alone, in one way. */
const isConstant = (node: Node, editor: Editor, folded: ReadonlySet<string>): boolean =>
  !kept.has(node.op.name) &&
  Object.keys(node.graphs).length === 0 &&
  node.inputs.every((id) => id === null || folded.has(id) || editor.constant(id) !== undefined)

const isFoldable = (node: Node, editor: Editor, folded: ReadonlySet<string>, config: Config): boolean => {
  if (!isConstant(node, editor, folded)) return false
  // Sizes of binding ops are symbols here; what they are comes out when they run.
  if (node.op.binds === true)
    return node.inputs.some((id) => id !== null) && inputElements(node, editor) <= config.growth
  let elements = 0
  let bytes = 0
  for (const { type } of node.outputs) {
    const size = staticSize(type)
    if (size === undefined) return false
    elements += size
    bytes += DTypes.byteLength(type.dtype, size)
  }
  const depth = contractions.has(node.op.name) ? (staticSize(typeOf(editor, node.inputs[1])) ?? 1) : 1
  if (elements > largestElements || elements * Math.min(depth, 2 ** 20) > config.work) return false
  return bytes <= config.growth + replacedBytes(node, editor, folded)
}

const typeOf = (editor: Editor, id: string | null | undefined): Type.TensorType =>
  id === null || id === undefined ? Type.scalar("bool") : editor.type(id)

const staticSize = (type: Type.TensorType): number | undefined => {
  const shape = Type.staticShape(type)
  return shape?.reduce((product, extent) => product * extent, 1)
}

const inputElements = (node: Node, editor: Editor): number =>
  node.inputs.reduce((total, id) => total + (staticSize(typeOf(editor, id)) ?? Infinity), 0)

/** Bytes of operands that nobody else uses: they are in the model now and will not be. */
const replacedBytes = (node: Node, editor: Editor, folded: ReadonlySet<string>): number => {
  let total = 0
  for (const id of new Set(node.inputs)) {
    if (id === null || (!folded.has(id) && !editor.isOnlyUsedBy(id, node))) continue
    const type = editor.type(id)
    total += DTypes.byteLength(type.dtype, staticSize(type) ?? 0)
  }
  return total
}

/** The planned nodes as a graph of their own, without inputs. */
const extract = (graph: Graph, { nodes, wanted }: Plan): Graph => {
  const used = new Set(nodes.flatMap((node) => node.inputs))
  return {
    name: `${graph.name}/constants`,
    inputs: [],
    outputs: wanted.map(({ id }) => ({ name: id, id })),
    constants: new Map([...graph.constants].filter(([id]) => used.has(id))),
    nodes,
    constraints: [],
    aliases: []
  }
}

/** The graph with what `isWanted` chooses computed on the oracle; `idOf` names what comes of a value. */
const fold = (graph: Graph, isWanted: Wanted, idOf: (id: string) => string = () => "c") =>
  Effect.gen(function* () {
    const reader = Constants.makeReader()
    const oracle = yield* Oracle
    const results = new Map<Graph, ReadonlyMap<string, Tensor.Tensor>>()
    for (const inner of withNested(graph)) {
      if (!mayFold(inner)) continue
      const planned = plan(inner, Editors.open(inner), isWanted)
      if (planned.wanted.length === 0) continue
      const isolated = extract(inner, planned)
      const outputs = yield* oracle.run(isolated, [])
      const byId = planned.wanted.flatMap(({ id }, index) => {
        const tensor = outputs[index]
        return tensor === undefined ? [] : [[id, tensor] as const]
      })
      results.set(inner, new Map(byId))
    }
    if (results.size === 0) return { graph, replaced: new Map<string, string>(), changed: false }
    return Driver.everywhere(graph, reader, (editor, scope) => {
      const found = results.get(scope.graph)
      if (found === undefined) return
      for (const node of editor.nodes())
        if (node.outputs.some(({ id }) => found.has(id))) put(node, found, editor, scope, idOf)
    })
  })

/**
 * The graph with the chosen nodes folded that have constants for operands, whatever their size: for passes that made them.
 * `before` is the graph that the pass began with: no value of it gives its name to another one.
 */
export const folded = (graph: Graph, before: Graph, isChosen: (node: Node) => boolean) => {
  const names = Builders.makeNames([...valueIds(before), ...valueIds(graph)])
  return fold(
    graph,
    (node, editor, done) =>
      isChosen(node) &&
      node.op.binds !== true &&
      isConstant(node, editor, done) &&
      node.outputs.every(({ type }) => staticSize(type) !== undefined),
    (id) => names.value(`${id}.folded`)
  )
}

const valueIds = function* (graph: Graph): Generator<string> {
  for (const inner of withNested(graph)) {
    for (const { id } of inner.inputs) yield id
    yield* inner.constants.keys()
    for (const node of inner.nodes) for (const { id } of node.outputs) yield id
  }
}

export const foldConstants = Rewrite.computing<Config>({
  name,
  version: 1,
  claim: "exact",
  summary: "what is computed from constants alone ⇒ a constant",
  config: Config,
  defaults: { growth: 65_536, work: 2 ** 28 },
  run: (graph, config) => fold(graph, (node, editor, before) => isFoldable(node, editor, before, config))
})

const put = (
  node: Node,
  found: ReadonlyMap<string, Tensor.Tensor>,
  editor: Editor,
  scope: Driver.Scope,
  idOf: (id: string) => string
): void =>
  editor.replace(node, name, (b: Builders.Builder) =>
    node.outputs.map((output) => {
      const tensor = found.get(output.id)
      if (tensor === undefined) return undefined
      const value = b.constant(Constants.fromTensor(tensor), { id: idOf(output.id) })
      scope.bind(output.type, value.type)
      return value
    })
  )

const withNested = function* (graph: Graph): Generator<Graph> {
  yield graph
  for (const node of Graphs.allNodes(graph)) yield* Object.values(node.graphs)
}
