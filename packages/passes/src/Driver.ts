// Runs one rewrite over a graph and all graphs nested in it: the inner ones first, with one supply of unbacked symbols.
// What the rewrite left without users goes, and sizes that it found out are put in everywhere.
import type { Reader } from "@anneal/ir/Constant"
import type * as Dim from "@anneal/ir/Dim"
import type { Edited, Editor } from "@anneal/ir/Editor"
import * as Editors from "@anneal/ir/Editor"
import type { Constraint, Graph, Node } from "@anneal/ir/Graph"
import * as Op from "@anneal/ir/Op"
import * as P from "@anneal/ir/Pattern"
import type { TensorType } from "@anneal/ir/Type"
import * as Type from "@anneal/ir/Type"
import * as Symbols from "./Symbols.ts"

/** What a rewrite may do beside editing. */
export interface Scope {
  /** The graph as it came in. */
  readonly graph: Graph
  readonly reader: Reader
  /** Unbacked sizes in `before` are the sizes in the same place of `after`. */
  readonly bind: (before: TensorType, after: TensorType) => void
  readonly bindSize: (name: string, size: Dim.Dim) => void
  /** Notes an equality that binding must check. */
  readonly constrain: (constraint: Constraint) => void
}

/** Rewrites one graph in place. */
export interface Rewriting {
  (editor: Editor, scope: Scope): void
  /** Ops that it looks for: a graph without any is passed over. Default: it looks at everything. */
  readonly ops?: ReadonlySet<string>
  /** One of these must be there as well. */
  readonly needs?: ReadonlySet<string> | undefined
}

/** Numbers of new unbacked symbols; the first free one is looked for when it is needed. */
const countUnbacked = (graph: Graph): { next: number } => {
  let next: number | undefined
  return {
    get next() {
      next ??= Editors.firstFreeUnbacked(graph)
      return next
    },
    set next(value: number) {
      next = value
    }
  }
}

/**
 * Applies a rewrite to a graph and to every graph nested in it. `replaced` speaks of the outermost graph: ids of
 * sub-graphs are names of their own.
 */
export const everywhere = (graph: Graph, reader: Reader, rewriting: Rewriting): Edited => {
  const counter = countUnbacked(graph)
  const sizes = new Map<string, Dim.Dim>()
  const bindSize = (name: string, size: Dim.Dim): void => {
    if (!sizes.has(name) && Symbols.unbackedName(size) !== name) sizes.set(name, size)
  }
  const visit = (inner: Graph): Edited => {
    if (passesOver(inner, rewriting)) return { graph: inner, replaced: new Map(), changed: false }
    let changed = false
    const editor = noticing(Editors.open(inner, reader, counter), () => (changed = true))
    const constraints: Array<Constraint> = []
    for (const node of inner.nodes) {
      if (node.op.graphs === undefined) continue
      const edited = Object.entries(node.graphs).map(([name, sub]) => [name, visit(sub)] as const)
      if (edited.some(([, one]) => one.changed))
        editor.setGraphs(node, Object.fromEntries(edited.map(([name, { graph: next }]) => [name, next])))
    }
    rewriting(editor, {
      graph: inner,
      reader,
      bindSize,
      bind: (before, after) => {
        for (const [axis, dim] of before.shape.entries()) {
          const name = Symbols.unbackedName(dim)
          const size = after.shape[axis]
          if (name !== undefined && size !== undefined) bindSize(name, size)
        }
      },
      constrain: (constraint) => void constraints.push(constraint)
    })
    if (!changed) return { graph: inner, replaced: new Map(), changed }
    sweep(editor)
    const edited = editor.finish()
    const whole = { ...edited.graph, constraints: [...edited.graph.constraints, ...constraints] }
    return { graph: whole, replaced: alive(edited.replaced, whole), changed }
  }
  const edited = visit(graph)
  if (sizes.size === 0) return edited
  return { ...edited, graph: Symbols.substitute(edited.graph, Symbols.resolve(sizes)), changed: true }
}

const passesOver = (graph: Graph, { needs, ops }: Rewriting): boolean => {
  if (ops === undefined || graph.nodes.some(({ op }) => op.graphs !== undefined)) return false
  const has = (wanted: ReadonlySet<string>): boolean => graph.nodes.some(({ op }) => wanted.has(op.name))
  return !has(ops) || (needs !== undefined && !has(needs))
}

/** The editor, telling of each change. */
const noticing = (editor: Editor, changed: () => void): Editor => ({
  ...editor,
  replace: (...given) => {
    changed()
    editor.replace(...given)
  },
  setGraphs: (...given) => {
    changed()
    editor.setGraphs(...given)
  },
  remove: (node) => {
    changed()
    editor.remove(node)
  }
})

/** What still is in the graph. A name of what is gone may be given again, by a later edit. */
const alive = (replaced: ReadonlyMap<string, string>, graph: Graph): ReadonlyMap<string, string> => {
  const ids = new Set([...graph.inputs.map(({ id }) => id), ...graph.constants.keys()])
  for (const node of graph.nodes) for (const { id } of node.outputs) ids.add(id)
  return new Map([...replaced].filter(([, next]) => ids.has(next)))
}

/** Two edits, one after the other, as one. */
export const after = (first: Edited, second: Edited): Edited => ({
  graph: second.graph,
  replaced: alive(
    new Map([
      ...[...first.replaced].map(([id, next]) => [id, second.replaced.get(next) ?? next] as const),
      ...[...second.replaced].filter(([id]) => !first.replaced.has(id))
    ]),
    second.graph
  ),
  changed: first.changed || second.changed
})

// ---- removing what nobody uses --------------------------------------------------------------------------------------

/** Removes nodes whose results are unused, except those that define sizes which used ones mention. */
export const sweep = (editor: Editor): number => {
  const nodes = editor.nodes()
  const definers = new Map<string, Node>()
  for (const node of nodes)
    if (node.op.binds === true) for (const name of symbolsOf(node)) if (!definers.has(name)) definers.set(name, node)
  const live = new Set<Node>()
  const waiting: Array<Node> = []
  const mark = (node: Node | undefined): void => {
    if (node === undefined || live.has(node)) return
    live.add(node)
    waiting.push(node)
  }
  for (const node of nodes) if (node.outputs.some(({ id }) => editor.isOutput(id))) mark(node)
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    for (const id of node.inputs) mark(editor.producer(id))
    if (definers.size === 0) continue
    for (const name of symbolsOf(node)) mark(definers.get(name))
    for (const inner of Object.values(node.graphs)) for (const name of graphSymbols(inner)) mark(definers.get(name))
  }
  let removed = 0
  for (const node of nodes.toReversed()) {
    if (live.has(node)) continue
    editor.remove(node)
    removed++
  }
  return removed
}

const symbolsOf = (node: Node): ReadonlyArray<string> => [
  ...node.outputs.flatMap(({ type }) => Type.symbols(type)),
  ...Op.attributeSymbols(node.attributes)
]

const graphSymbols = function* (graph: Graph): Generator<string> {
  for (const input of graph.inputs) yield* Type.symbols(input.type)
  for (const node of graph.nodes) {
    yield* symbolsOf(node)
    for (const inner of Object.values(node.graphs)) yield* graphSymbols(inner)
  }
}

// ---- local rewrites until none applies ------------------------------------------------------------------------------

/** A rewrite of single nodes, tried on nodes of the named ops. `apply` gives whether it fired. */
export interface Local {
  readonly ops: ReadonlyArray<string>
  readonly apply: (node: Node, editor: Editor, scope: Scope) => boolean
}

/** A pattern rule as a local rewrite of `pass`. */
export const fromRule = (pass: string, rule: P.Rule): Local => ({
  ops: roots(rule.pattern),
  apply: (node, editor) => P.applyRules([rule], node, editor, pass)
})

const roots = (pattern: P.Pattern): ReadonlyArray<string> => {
  if (pattern.kind === "op") return [pattern.op.name]
  return pattern.kind === "oneOf" ? pattern.patterns.flatMap(roots) : []
}

/** Removes nodes that lost their users, and what only they used. Those that define sizes are left to `sweep`. */
const prune = (editor: Editor, touched: Array<Node>): void => {
  const isLive = (node: Node): boolean => editor.producer(node.outputs[0]?.id) === node
  const isUsed = (node: Node): boolean =>
    node.op.binds === true || node.outputs.some(({ id }) => editor.isOutput(id) || editor.users(id).length > 0)
  for (let node = touched.pop(); node !== undefined; node = touched.pop()) {
    const live = isLive(node)
    if (live && isUsed(node)) continue
    if (live) editor.remove(node)
    for (const id of node.inputs) {
      const producer = editor.producer(id)
      if (producer !== undefined && !isUsed(producer)) touched.push(producer)
    }
  }
}

/**
 * Tries local rewrites on every node until none fires, at most `rounds` times over the graph. `needs`: ops of which one
 * must be there for any to fire.
 */
export const settle = (
  locals: ReadonlyArray<Local>,
  { needs, rounds = 12 }: { readonly needs?: ReadonlyArray<string>; readonly rounds?: number } = {}
): Rewriting => {
  const byOp = new Map<string, Array<Local>>()
  for (const local of locals)
    for (const op of local.ops) {
      const list = byOp.get(op)
      if (list === undefined) byOp.set(op, [local])
      else list.push(local)
    }
  const rewriting = (given: Editor, scope: Scope): void => {
    const touched: Array<Node> = []
    const editor: Editor = {
      ...given,
      replace: (node, rewrite, make, from) => {
        given.replace(node, rewrite, make, from)
        touched.push(node, ...(from ?? []))
      }
    }
    for (let round = 0; round < rounds; round++) {
      let fired = false
      for (const node of editor.nodes()) {
        const candidates = byOp.get(node.op.name)
        if (candidates === undefined || editor.producer(node.outputs[0]?.id) !== node) continue
        if (candidates.some((local) => local.apply(node, editor, scope))) fired = true
      }
      if (!fired) return
      // What lost its users must not look like a user of its operands in the next round.
      prune(editor, touched)
    }
  }
  return Object.assign(rewriting, {
    ops: new Set(byOp.keys()),
    needs: needs === undefined ? undefined : new Set(needs)
  })
}

/** Rules of one pass, settled. */
export const rules = (pass: string, list: ReadonlyArray<P.Rule>, needs?: ReadonlyArray<string>): Rewriting =>
  settle(
    list.map((rule) => fromRule(pass, rule)),
    needs === undefined ? {} : { needs }
  )

/** A value's live users are these nodes and no others, and it does not leave the graph. */
export const isUsedOnlyBy = (editor: Editor, id: string, nodes: ReadonlySet<Node>): boolean =>
  !editor.isOutput(id) && editor.users(id).every((user) => nodes.has(user))
