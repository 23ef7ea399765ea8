// Patterns over the producers of a value, and rules made of a pattern and a replacement.
//
// P.op(Ops.add, [P.op(Ops.matmul, [P.any("x"), P.constant("w")], { as: "product" }), P.constant("bias")])
//
// matches `add(matmul(x, w), bias)`, and `add(bias, matmul(x, w))` too, since add commutes. Inner nodes must have no
// other user, unless `shared` allows it: a rewrite that duplicates work is no gain.
import type { Editor } from "./Editor.ts"
import { refuse } from "./Errors.ts"
import type { Node, Value } from "./Graph.ts"
import type { Builder } from "./Builder.ts"
import type { Attributes, OpDefinition } from "./Op.ts"

export type Pattern =
  | { readonly kind: "any"; readonly name: string }
  | { readonly kind: "constant"; readonly name: string }
  | {
      readonly kind: "op"
      readonly op: OpDefinition
      readonly operands: ReadonlyArray<Pattern | undefined>
      readonly as: string | undefined
      readonly shared: boolean
      readonly where: (node: Node, editor: Editor) => boolean
    }
  | { readonly kind: "oneOf"; readonly patterns: ReadonlyArray<Pattern> }

/** Any value. The same name twice must be the same value. */
export const any = (name: string): Pattern => ({ kind: "any", name })
/** A constant. */
export const constant = (name: string): Pattern => ({ kind: "constant", name })
export const oneOf = (...patterns: ReadonlyArray<Pattern>): Pattern => ({ kind: "oneOf", patterns })

export interface OpPatternOptions<A extends Attributes> {
  /** Captures the node. */
  readonly as?: string
  /** Other users than the pattern are allowed. */
  readonly shared?: boolean
  readonly where?: (attributes: A, node: Node<A>, editor: Editor) => boolean
}

/** The first result of a node of `op`. Operands beyond the list must be left out; `undefined` asks for a left-out one. */
export const op = <A extends Attributes>(
  definition: OpDefinition<A>,
  operands: ReadonlyArray<Pattern | undefined>,
  options: OpPatternOptions<A> = {}
): Pattern => ({
  kind: "op",
  op: definition,
  operands,
  as: options.as,
  shared: options.shared ?? false,
  // The pattern is tried only on nodes of `definition`, whose attributes are A.
  where: (node, editor) => options.where?.(node.attributes as A, node as Node<A>, editor) ?? true
})

/** What a match found. */
export interface Captures {
  /** The value captured under a name; refuses an unknown name. */
  readonly value: (name: string) => Value
  readonly node: (name: string) => Node
  readonly has: (name: string) => boolean
  /** All nodes of the match, the root first. */
  readonly nodes: ReadonlyArray<Node>
}

interface State {
  readonly values: ReadonlyMap<string, string>
  readonly named: ReadonlyMap<string, Node>
  readonly nodes: ReadonlyArray<Node>
}

/** Matches `pattern` with `node` as its root. */
export const match = (pattern: Pattern, node: Node, editor: Editor): Captures | undefined => {
  const state = matchNode(pattern, node, editor, { values: new Map(), named: new Map(), nodes: [] })
  if (state === undefined) return undefined
  return {
    value: (name) =>
      editor.value(state.values.get(name) ?? refuse("UnknownValue", `the pattern captures no value "${name}"`)),
    node: (name) => state.named.get(name) ?? refuse("UnknownValue", `the pattern captures no node "${name}"`),
    has: (name) => state.values.has(name) || state.named.has(name),
    nodes: state.nodes
  }
}

const matchValue = (
  pattern: Pattern,
  id: string | undefined,
  user: Node,
  editor: Editor,
  state: State
): State | undefined => {
  if (pattern.kind === "oneOf") {
    for (const choice of pattern.patterns) {
      const found = matchValue(choice, id, user, editor, state)
      if (found !== undefined) return found
    }
    return undefined
  }
  if (id === undefined) return undefined
  if (pattern.kind === "op") {
    const producer = editor.producer(id)
    if (producer === undefined || producer.outputs[0]?.id !== id) return undefined
    if (!pattern.shared && !editor.isOnlyUsedBy(id, user)) return undefined
    return matchNode(pattern, producer, editor, state)
  }
  if (pattern.kind === "constant" && editor.constant(id) === undefined) return undefined
  const before = state.values.get(pattern.name)
  if (before !== undefined) return before === id ? state : undefined
  return { ...state, values: new Map(state.values).set(pattern.name, id) }
}

const matchNode = (pattern: Pattern, node: Node, editor: Editor, state: State): State | undefined => {
  if (pattern.kind === "oneOf") {
    for (const choice of pattern.patterns) {
      const found = matchNode(choice, node, editor, state)
      if (found !== undefined) return found
    }
    return undefined
  }
  if (pattern.kind !== "op" || node.op.name !== pattern.op.name) return undefined
  if (node.inputs.length > pattern.operands.length || !pattern.where(node, editor)) return undefined
  const own: State = {
    ...state,
    nodes: [...state.nodes, node],
    named: pattern.as === undefined ? state.named : new Map(state.named).set(pattern.as, node)
  }
  const inputs = editor.inputs(node)
  const orders =
    node.op.commutative === true
      ? [
          [0, 1],
          [1, 0]
        ]
      : [pattern.operands.map((_, index) => index)]
  for (const order of orders) {
    let next: State | undefined = own
    for (const [position, operand] of pattern.operands.entries()) {
      const id = inputs[order[position] ?? position]?.id
      if (operand === undefined) next = id === undefined ? next : undefined
      else next = matchValue(operand, id, node, editor, next)
      if (next === undefined) break
    }
    if (next !== undefined) return next
  }
  return undefined
}

/** A rewrite of one pattern. `replace` gives undefined to leave a match alone. */
export interface Rule {
  readonly name: string
  readonly pattern: Pattern
  /**
   * Builds the replacement of the root's first result, or gives a value that is there already. Called before anything
   * is changed, so returning undefined changes nothing provided that it built nothing.
   */
  readonly replace: (captures: Captures, editor: Editor) => ((builder: Builder) => Value) | undefined
}

export const rule = (
  name: string,
  pattern: Pattern,
  replace: (captures: Captures, editor: Editor) => ((builder: Builder) => Value) | undefined
): Rule => ({ name, pattern, replace })

/** Tries the rules on one node, in order; true when one fired. */
export const applyRules = (rules: ReadonlyArray<Rule>, node: Node, editor: Editor, pass: string): boolean => {
  for (const { name, pattern, replace } of rules) {
    if (node.outputs.length !== 1) continue
    const captures = match(pattern, node, editor)
    const build = captures === undefined ? undefined : replace(captures, editor)
    if (captures === undefined || build === undefined) continue
    editor.replace(node, name === pass ? pass : `${pass}/${name}`, (builder) => [build(builder)], captures.nodes)
    return true
  }
  return false
}

/**
 * Applies rules to every node until none fires. `rounds` bounds rules that feed each other. Gives how often rules fired.
 */
export const rewriteAll = (rules: ReadonlyArray<Rule>, editor: Editor, pass: string, rounds = 20): number => {
  let total = 0
  for (let round = 0; round < rounds; round++) {
    let fired = 0
    for (const node of editor.nodes())
      if (editor.producer(node.outputs[0]?.id) === node && applyRules(rules, node, editor, pass)) fired++
    total += fired
    if (fired === 0) break
  }
  return total
}
