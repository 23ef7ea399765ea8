// Whether a graph keeps the IR's rules: every value defined once and before its use, arities and types as inference
// says, unbacked symbols defined before they are used, aliases sound. Finds all problems, not the first.
import * as Dim from "./Dim.ts"
import { IrError } from "./Errors.ts"
import * as Graphs from "./Graph.ts"
import type { Graph, Node } from "./Graph.ts"
import { infer } from "./Infer.ts"
import * as Op from "./Op.ts"
import type { TensorType } from "./Type.ts"
import * as Type from "./Type.ts"

export interface Problem {
  /** The node, input or output that breaks a rule. */
  readonly at: string
  readonly detail: string
}

/** All problems; empty for a sound graph. */
export const verify = (graph: Graph): ReadonlyArray<Problem> => verifyWith(graph, new Set())

/** Throws the first few problems as one `IrError`. */
export const check = (graph: Graph, what: string): Graph => {
  const problems = verify(graph)
  if (problems.length === 0) return graph
  const listed = problems.slice(0, 5).map(({ at, detail }) => `${at}: ${detail}`)
  const more = problems.length > 5 ? [`and ${problems.length - 5} more`] : []
  throw new IrError({
    reason: "TypeMismatch",
    detail: `${what} broke the graph:\n  ${[...listed, ...more].join("\n  ")}`
  })
}

const verifyWith = (graph: Graph, outer: ReadonlySet<string>): ReadonlyArray<Problem> => {
  const problems: Array<Problem> = []
  const types = new Map<string, TensorType>()
  const symbols = new Set(outer)
  const define = (id: string, type: TensorType, at: string): void => {
    if (types.has(id)) problems.push({ at, detail: `%${id} is defined twice` })
    types.set(id, type)
  }
  for (const input of graph.inputs) {
    define(input.id, input.type, `input ${input.name}`)
    for (const name of Type.symbols(input.type)) symbols.add(name)
  }
  duplicates(graph.inputs.map(({ name }) => name)).forEach((name) =>
    problems.push({ at: `input ${name}`, detail: "two inputs have this name" })
  )
  duplicates(graph.outputs.map(({ name }) => name)).forEach((name) =>
    problems.push({ at: `output ${name}`, detail: "two outputs have this name" })
  )
  for (const [id, entry] of graph.constants) define(id, Graphs.constantType(entry), `constant %${id}`)
  for (const node of graph.nodes) {
    const at = Graphs.nodeName(node)
    const inputs = node.inputs.map((id) => {
      if (id === null) return undefined
      const type = types.get(id)
      if (type === undefined) problems.push({ at, detail: `%${id} is used before it is defined` })
      return type
    })
    for (const name of Op.attributeSymbols(node.attributes))
      if (Dim.isUnbackedName(name) && !symbols.has(name) && node.op.binds !== true)
        problems.push({ at, detail: `size ${name} is used before a node defines it` })
    for (const [name, inner] of Object.entries(node.graphs))
      for (const problem of verifyWith(inner, symbols))
        problems.push({ at: `${at}.${name}: ${problem.at}`, detail: problem.detail })
    if (inputs.every((type, position) => type !== undefined || node.inputs[position] === null))
      problems.push(...checkTypes(node, inputs, at))
    for (const output of node.outputs) {
      define(output.id, output.type, at)
      for (const name of Type.symbols(output.type)) {
        if (Dim.isUnbackedName(name) && !symbols.has(name) && node.op.binds !== true)
          problems.push({ at, detail: `size ${name} of a result is defined by no node` })
        symbols.add(name)
      }
    }
    for (const name of Op.attributeSymbols(node.attributes)) symbols.add(name)
  }
  for (const output of graph.outputs)
    if (!types.has(output.id)) problems.push({ at: `output ${output.name}`, detail: `%${output.id} is not defined` })
  problems.push(...checkAliases(graph, types))
  return problems
}

const duplicates = (names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names.filter((name, index) => names.indexOf(name) !== index)

/** Infers again and compares. Sizes that inference makes fresh are only compared by place. */
const checkTypes = (node: Node, inputs: ReadonlyArray<TensorType | undefined>, at: string): ReadonlyArray<Problem> => {
  let next = 0
  const fresh = (): Dim.Dim => Dim.unbacked(`u${1_000_000_000 + next++}`)
  try {
    const { types } = infer(node.op, inputs, node.attributes, node.graphs, fresh)
    if (types.length !== node.outputs.length)
      return [{ at, detail: `${node.op.name} has ${types.length} results, the node ${node.outputs.length}` }]
    return types.flatMap((type, position) => {
      const given = node.outputs[position]?.type
      if (given === undefined || Type.equal(type, given) !== false) return []
      return [{ at, detail: `result ${position} has type ${Type.format(given)}, inference says ${Type.format(type)}` }]
    })
  } catch (cause) {
    if (cause instanceof IrError) return [{ at, detail: cause.detail }]
    throw cause
  }
}

/** State may be overwritten in place: the old value must not be used after the new one is made. */
const checkAliases = (graph: Graph, types: ReadonlyMap<string, TensorType>): ReadonlyArray<Problem> =>
  graph.aliases.flatMap((alias): ReadonlyArray<Problem> => {
    const at = `alias ${alias.input} → ${alias.output}`
    const input = graph.inputs.find(({ name }) => name === alias.input)
    const output = graph.outputs.find(({ name }) => name === alias.output)
    if (input === undefined || output === undefined) return [{ at, detail: "no such input or output" }]
    const type = types.get(output.id)
    if (type !== undefined && type.dtype !== input.type.dtype) return [{ at, detail: "the dtypes differ" }]
    const made = graph.nodes.findIndex((node) => node.outputs.some(({ id }) => id === output.id))
    const late = graph.nodes.find((node, position) => position > made && made >= 0 && node.inputs.includes(input.id))
    return late === undefined
      ? []
      : [{ at, detail: `${Graphs.nodeName(late)} uses the old value after the new one is made` }]
  })
