// loop 0 times  ⇒  the initial values;   loop 3 times { x → f(x) }  ⇒  f(f(f(x)));   a carried value that never changes
// ⇒  a captured one
import type { Builder } from "@anneal/ir/Builder"
import type { Editor } from "@anneal/ir/Editor"
import type { Graph, Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import * as Schema from "effect/Schema"
import type { Local, Scope } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as Inline from "./Inline.ts"
import * as Rewrite from "./Rewrite.ts"
import * as ScalarConstant from "./ScalarConstant.ts"

const name = "simplifyLoop"

const Config = Schema.Struct({
  /** Loops of at most so many iterations are unrolled … */
  iterations: Schema.Int,
  /** … into at most so many nodes. */
  nodes: Schema.Int
})
type Config = typeof Config.Type
type Loop = Node<{ readonly carried: number }>

/** Whether the body goes on by itself for ever: its condition is the constant true, or the one that it was given. */
const alwaysGoesOn = (body: Graph, { reader }: Scope): boolean => {
  const [condition] = body.outputs
  if (condition === undefined) return false
  if (condition.id === body.inputs[1]?.id) return true
  const entry = body.constants.get(condition.id)
  if (entry === undefined || entry.constant.shape.length !== 0 || entry.constant.dtype !== "bool") return false
  return reader.read(entry.constant).data[0] === 1
}

/** How often the loop runs, when that is known. */
const tripsOf = (node: Loop, editor: Editor, scope: Scope): number | undefined => {
  const [count, condition] = node.inputs
  const starts = condition === null || condition === undefined ? 1 : ScalarConstant.read(editor, condition)
  const trips = count === null || count === undefined ? undefined : ScalarConstant.read(editor, count)
  if (starts === 0 || (trips !== undefined && trips <= 0)) return 0
  const body = node.graphs["body"]
  return starts === undefined || trips === undefined || body === undefined || !alwaysGoesOn(body, scope)
    ? undefined
    : trips
}

const bindAll = (node: Node, results: ReadonlyArray<Value>, scope: Scope): void => {
  for (const [position, output] of node.outputs.entries()) {
    const result = results[position]
    if (result !== undefined) scope.bind(output.type, result.type)
  }
}

/** No iteration: the carried values as they were given, and nothing scanned. */
const neverRuns = (node: Loop, editor: Editor, scope: Scope): boolean => {
  const body = node.graphs["body"]
  const { carried } = node.attributes
  const given = editor.inputs(node).slice(2, 2 + carried)
  const scanned = body === undefined ? [] : Inline.outputTypes(body).slice(1 + carried)
  const shapes = scanned.map(Type.staticShape)
  const initial = given.flatMap((value) => (value === undefined ? [] : [value]))
  if (body === undefined || initial.length !== carried || shapes.some((shape) => shape === undefined)) return false
  editor.replace(node, `${name}/never`, (b) => {
    const empty = scanned.map((type, position) =>
      b.tensor(Numbers.fromNumbers(type.dtype, [0, ...(shapes[position] ?? [])], []))
    )
    const results = [...initial, ...empty]
    bindAll(node, results, scope)
    return results
  })
  return true
}

const unroll = (node: Loop, trips: number, editor: Editor, scope: Scope): boolean => {
  const body = node.graphs["body"]
  const { carried } = node.attributes
  const operands = editor.inputs(node).slice(2)
  const given = operands.flatMap((value) => (value === undefined ? [] : [value]))
  if (body === undefined || given.length !== operands.length) return false
  // Sizes that each iteration finds out for itself would all get one name.
  for (const inner of Graphs.allNodes(body)) if (inner.op.binds === true) return false
  const changesShape = body.inputs.slice(2, 2 + carried).some((input, position) => {
    const type = Inline.outputTypes(body)[1 + position]
    return type === undefined || Type.equal(input.type, type) !== true
  })
  if (
    changesShape ||
    given.some((value, position) => Type.equal(value.type, body.inputs[2 + position]?.type ?? value.type) !== true)
  )
    return false
  const rewrite = `${name}/unroll`
  editor.replace(node, rewrite, (b) => {
    let state = given.slice(0, carried)
    const captured = given.slice(carried)
    const slices: Array<ReadonlyArray<Value>> = []
    for (let iteration = 0; iteration < trips; iteration++) {
      const [index, go] = [b.tensor(Numbers.scalar("i64", iteration)), b.tensor(Numbers.scalar("bool", 1))]
      const results = Inline.inline(b, body, [index, go, ...state, ...captured], scope, node, rewrite)
      state = results.slice(1, 1 + carried)
      slices.push(results.slice(1 + carried))
    }
    const results = [...state, ...stack(b, slices)]
    bindAll(node, results, scope)
    return results
  })
  return true
}

/** What each iteration gave, one after the other along a new first axis. */
const stack = (b: Builder, slices: ReadonlyArray<ReadonlyArray<Value>>): ReadonlyArray<Value> =>
  (slices[0] ?? []).map((_, position) => {
    const rows = slices.flatMap((results) => results.slice(position, position + 1))
    const apart = rows.map((row) => b.one(Ops.reshape, [row], { shape: [1, ...row.type.shape] }))
    return b.one(Ops.concat, apart, { axis: 0 })
  })

/** A carried value that the body hands on as it got it is captured. */
const invariantCarried = (node: Loop, editor: Editor, scope: Scope): boolean => {
  const body = node.graphs["body"]
  const { carried } = node.attributes
  if (body === undefined) return false
  const position = Array.from({ length: carried }, (_, index) => index).find(
    (index) => body.outputs[1 + index]?.id === body.inputs[2 + index]?.id
  )
  const operands = editor.inputs(node)
  const value = position === undefined ? undefined : operands[2 + position]
  const input = position === undefined ? undefined : body.inputs[2 + position]
  if (position === undefined || value === undefined || input === undefined) return false
  const without = <T>(list: ReadonlyArray<T>, index: number): ReadonlyArray<T> => list.filter((_, at) => at !== index)
  const next: Graph = {
    ...body,
    inputs: [...without(body.inputs, 2 + position), input],
    outputs: without(body.outputs, 1 + position)
  }
  editor.replace(node, `${name}/invariant`, (b) => {
    const given = [...without(operands, 2 + position), value]
    const results = b.node(Ops.loop, given, { carried: carried - 1 }, { graphs: { body: next } })
    const all = [...results.slice(0, position), value, ...results.slice(position)]
    bindAll(node, all, scope)
    return all
  })
  return true
}

const simplify = (config: Config): Local => ({
  ops: ["loop"],
  apply: (node, editor, scope) => {
    if (!Graphs.isOp(node, Ops.loop)) return false
    const trips = tripsOf(node, editor, scope)
    if (trips === 0) return neverRuns(node, editor, scope)
    const body = node.graphs["body"]
    const size = body === undefined ? Infinity : Graphs.nodeCount(body)
    if (trips !== undefined && trips <= config.iterations && trips * size <= config.nodes)
      if (unroll(node, trips, editor, scope)) return true
    return invariantCarried(node, editor, scope)
  }
})

export const simplifyLoop: Rewrite.Rewrite<Config> = Rewrite.plain({
  name,
  version: 1,
  claim: "exact",
  summary: "a loop of no or few iterations ⇒ its body so many times; an unchanging carried value ⇒ a captured one",
  config: Config,
  defaults: { iterations: 8, nodes: 256 },
  rewriting: (config) => Driver.settle([simplify(config)])
})
