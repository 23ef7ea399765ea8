/**
 * Scope: one graph (or branch of one) looked at once: which values are other views of which, what kind of work each node
 * is on this target, what depends on constants alone, what has to run on the host and why.
 */
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Op from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import type { TensorType } from "@anneal/ir/Type"
import * as Flatten from "./Flatten.ts"
import type { Flat } from "./Flatten.ts"
import type { Product } from "./Integer.ts"
import * as Movement from "./Movement.ts"
import * as Recipe from "./Recipe.ts"
import * as Reduction from "./Reduction.ts"
import type { Rules } from "./Rules.ts"
import type { Scalar } from "./Scalar.ts"
import * as Scalars from "./Scalar.ts"
import * as Widen from "./Widen.ts"

/** The work that a primitive node is. */
export type Work =
  | { readonly kind: "movement" }
  | { readonly kind: "loop"; readonly recipe: Recipe.Recipe }
  | { readonly kind: "reduce"; readonly reduction: Reduction.Reduction }
  | { readonly kind: "contraction" }
  | { readonly kind: "convolution" }
  | { readonly kind: "window" }
  | { readonly kind: "attention" }
  | { readonly kind: "recurrent" }
  | { readonly kind: "concat" }
  | { readonly kind: "pad" }
  | { readonly kind: "branch" }
  | { readonly kind: "whole" }
  | { readonly kind: "host"; readonly why: string }

/** A value as a view of another: the chain leads from `root` to it. */
export interface Alias {
  readonly root: string
  readonly chain: Movement.Chain
}

export interface Scope {
  readonly flat: Flat
  readonly rules: Rules
  /** Products that take integers: see `Integer`. */
  readonly products: ReadonlyMap<Node, Product>
  readonly work: ReadonlyMap<Node, Work>
  /** Roots alias themselves, by an empty chain. */
  readonly resolve: (id: string) => Alias
  readonly typeOf: (id: string) => TensorType
  readonly producer: (id: string) => Node | undefined
  /** Nodes that read a value or a view of it are not among these, only those that name it. */
  readonly users: (id: string) => ReadonlyArray<Node>
  /** Values that only the host has: sizes that the data decides. */
  readonly hosted: ReadonlySet<string>
  /** Values that depend on constants alone, at sizes that are known. */
  readonly constantOnly: ReadonlySet<string>
  /** A root that is an expression rather than memory: a constant of one element, or counting. */
  readonly inline: (root: string) => Inline | undefined
  /** Place of a node in the graph's order. */
  readonly position: (node: Node) => number
}

export type Inline = { readonly kind: "constant"; readonly value: Scalar } | { readonly kind: "iota" }

/** Composites that stay whole for their own region or because the target claims them. */
export const keeps =
  (rules: Rules) =>
  (node: Node, types: ReadonlyArray<TensorType | undefined>): boolean => {
    // The host runs a composite as it is.
    if (rules.refuses?.(node) !== undefined) return true
    if (Graphs.isOp(node, Ops.attention)) {
      const dtype = types[0]?.dtype ?? "f32"
      return rules.has("attention", dtype) || Widen.isWidened(node, dtype, rules)
    }
    return rules.claims(node, [...types, ...node.outputs.map(({ type }) => type)])
  }

/** `outside`: values given by the graph around that only the host has, or that are constant. */
export const make = (
  flat: Flat,
  rules: Rules,
  outside: { readonly hosted: ReadonlySet<string>; readonly constantOnly: ReadonlySet<string> },
  products: ReadonlyMap<Node, Product> = new Map()
): Scope => {
  const producers = new Map<string, Node>()
  const users = new Map<string, Array<Node>>()
  for (const node of flat.nodes) {
    for (const { id } of node.outputs) producers.set(id, node)
    for (const id of new Set(node.inputs)) {
      if (id === null) continue
      const list = users.get(id)
      if (list === undefined) users.set(id, [node])
      else list.push(node)
    }
  }
  for (const { id } of flat.outputs) if (!users.has(id)) users.set(id, [])
  const outputs = new Set(flat.outputs.map(({ id }) => id))
  const typeOf = (id: string): TensorType => {
    const type = flat.types.get(id)
    if (type === undefined) throw new RangeError(`%${id} has no type: the graph was not verified`)
    return type
  }
  const isUsed = (id: string): boolean => (users.get(id)?.length ?? 0) > 0 || outputs.has(id)
  const hosted = new Set(outside.hosted)
  const constantOnly = new Set([...flat.constants.keys(), ...outside.constantOnly])
  const aliases = new Map<string, Alias>()
  const work = new Map<Node, Work>()
  const scalarIndex = (id: string): number | undefined => scalarIndexIn(flat, id)
  const resolve = (id: string): Alias => aliases.get(id) ?? { root: id, chain: [] }
  for (const node of flat.nodes) {
    const types = node.inputs.map((id) => (id === null ? undefined : typeOf(id)))
    const found = workOf(node, types, { flat, rules, products, hosted, isUsed, scalarIndex })
    work.set(node, found)
    const [input] = node.inputs
    const [output] = node.outputs
    if (found.kind === "movement" && input !== null && input !== undefined && output !== undefined) {
      const step = Movement.ofNode(node, typeOf(input).shape, scalarIndex)
      const before = resolve(input)
      if (step !== undefined) aliases.set(output.id, { root: before.root, chain: [...before.chain, step] })
    }
    if (found.kind === "host") for (const { id, type } of node.outputs) if (Flatten.hasUnbacked(type)) hosted.add(id)
    if (isConstantOnly(node, found, constantOnly)) for (const { id } of node.outputs) constantOnly.add(id)
  }
  const positions = new Map(flat.nodes.map((node, position) => [node, position]))
  const inlines = new Map<string, Inline>()
  const inline = (root: string): Inline | undefined => {
    const known = inlines.get(root)
    if (known !== undefined) return known
    const made = inlineOf(root, flat, producers.get(root))
    if (made !== undefined) inlines.set(root, made)
    return made
  }
  return {
    flat,
    rules,
    products,
    work,
    resolve,
    typeOf,
    producer: (id) => producers.get(id),
    users: (id) => users.get(id) ?? [],
    hosted,
    constantOnly,
    inline,
    position: (node) => positions.get(node) ?? 0
  }
}

/** What kind of work each node of a graph is on this target, before anything is rewritten for it. */
export const kindsOf = (flat: Flat, rules: Rules): ((node: Node) => Work["kind"]) => {
  const hosted = new Set([...flat.types].flatMap(([id, type]) => (Flatten.hasUnbacked(type) ? [id] : [])))
  const used = new Set(flat.outputs.map(({ id }) => id))
  for (const node of flat.nodes) for (const id of node.inputs) if (id !== null) used.add(id)
  const at: Surroundings = {
    flat,
    rules,
    products: new Map(),
    hosted,
    isUsed: (id) => used.has(id),
    scalarIndex: (id) => scalarIndexIn(flat, id)
  }
  return (node) =>
    workOf(
      node,
      node.inputs.map((id) => (id === null ? undefined : flat.types.get(id))),
      at
    ).kind
}

const scalarIndexIn = (flat: Flat, id: string): number | undefined => {
  const value = Flatten.scalarValue(flat.constants.get(id))
  return value === undefined || flat.constants.get(id)?.shape.length !== 0 ? undefined : Number(value)
}

const inlineOf = (root: string, flat: Flat, producer: Node | undefined): Inline | undefined => {
  if (Graphs.isOp(producer, Ops.iota)) return { kind: "iota" }
  const constant = flat.constants.get(root)
  const value = Flatten.scalarValue(constant)
  if (constant === undefined || value === undefined) return undefined
  return { kind: "constant", value: Scalars.constant(constant.dtype, value) }
}

/** Sizes of the results known, every operand constant, and not random or decided by data. */
const isConstantOnly = (node: Node, work: Work, known: ReadonlySet<string>): boolean =>
  work.kind !== "host" &&
  work.kind !== "branch" &&
  node.op.binds !== true &&
  node.outputs.every(({ type }) => type.shape.every(Dim.isStatic)) &&
  Op.attributeSymbols(node.attributes).length === 0 &&
  node.inputs.every((id) => id === null || known.has(id))

interface Surroundings {
  readonly flat: Flat
  readonly rules: Rules
  readonly products: ReadonlyMap<Node, Product>
  readonly hosted: ReadonlySet<string>
  readonly isUsed: (id: string) => boolean
  readonly scalarIndex: (id: string) => number | undefined
}

const host = (why: string): Work => ({ kind: "host", why })

const workOf = (node: Node, types: ReadonlyArray<TensorType | undefined>, at: Surroundings): Work => {
  const { rules } = at
  const all = [...types, ...node.outputs.map(({ type }) => type)]
  if (node.inputs.some((id) => id !== null && at.hosted.has(id)))
    return host("an operand has a size that only the data decides")
  if (
    node.outputs.some(({ type }) => Flatten.hasUnbacked(type)) ||
    Op.attributeSymbols(node.attributes).some(Dim.isUnbackedName)
  )
    return host("a size depends on the data")
  const refused = rules.refuses?.(node)
  if (refused !== undefined) return host(refused)
  const name = node.op.name
  if (name !== "if" && rules.claims(node, all)) return { kind: "whole" }
  const x = types[0]
  // That the target has a kernel for its integers was asked when the node was made.
  if (at.products.has(node)) return { kind: name === "matmul" ? "contraction" : "convolution" }
  const dtype = node.outputs[0]?.type.dtype ?? "f32"
  const loads = (wanted: DType): boolean => rules.has("loop", wanted) && rules.computes("load", wanted)
  const first = node.inputs[0]
  if (x !== undefined && first !== null && first !== undefined) {
    const movement = Movement.ofNode(node, x.shape, at.scalarIndex)
    if (movement !== undefined)
      return loads(dtype) ? { kind: "movement" } : host(`${rules.name} does not move ${dtype} elements`)
    const reduction = Reduction.ofNode(node, x)
    if (reduction !== undefined) return reduceWork(reduction, x, rules)
  }
  if (name === "matmul") return contractionWork("contraction", dtype, rules)
  if (name === "conv" || name === "convTranspose") return contractionWork("convolution", dtype, rules)
  if (name === "maxPool" || name === "averagePool") return windowWork(node, dtype, at)
  if (name === "attention")
    return rules.has("attention", dtype) ? { kind: "attention" } : missing("attention", dtype, rules)
  if (name === "lstm" || name === "gru" || name === "rnn")
    return rules.has("recurrent", dtype) ? { kind: "recurrent" } : missing("recurrent", dtype, rules)
  if (name === "concat")
    return loads(dtype) ? { kind: "concat" } : host(`${rules.name} does not move ${dtype} elements`)
  if (name === "pad") return loads(dtype) ? padWork(node, x) : host(`${rules.name} does not move ${dtype} elements`)
  if (name === "if") return { kind: "branch" }
  const recipe = Recipe.ofNode(node, at.flat.types)
  if (recipe !== undefined) return loopWork(recipe, at)
  return host(`${rules.name} has no kernel for ${name}`)
}

const missing = (kind: string, dtype: DType, rules: Rules): Work =>
  host(`${rules.name} has no ${kind} kernel for ${dtype}`)

const contractionWork = (kind: "contraction" | "convolution", dtype: DType, rules: Rules): Work =>
  accumulatorOf(dtype) !== undefined && rules.has(kind, dtype) ? { kind } : missing(kind, dtype, rules)

/** What products of a dtype are summed in; undefined where the region cannot say it. */
export const accumulatorOf = (dtype: DType): "f32" | "f64" | "i32" | undefined => {
  if (dtype === "f64") return "f64"
  if (DTypes.isFloat(dtype)) return "f32"
  return DTypes.isInteger(dtype) && DTypes.bits(dtype) <= 32 ? "i32" : undefined
}

const windowWork = (node: Node, dtype: DType, { isUsed, rules }: Surroundings): Work => {
  if (node.op.name === "maxPool" && isUsed(node.outputs[1]?.id ?? ""))
    return host("the positions of a pool's greatest elements are asked for")
  if (node.op.name === "averagePool" && !DTypes.isFloat(dtype)) return host("a mean of integers")
  return rules.has("window", dtype) ? { kind: "window" } : missing("window", dtype, rules)
}

const padWork = (node: Node, x: TensorType | undefined): Work => {
  if (!Graphs.isOp(node, Ops.pad) || x === undefined) return host("not a pad")
  const { after, before, mode } = node.attributes
  if (mode === "constant") return { kind: "pad" }
  // One reflection or turn only: what is longer goes back and forth.
  const reach = mode === "edge" ? 0 : mode === "wrap" ? 0 : 1
  const fits = x.shape.every((extent, axis) =>
    [before[axis] ?? 0, after[axis] ?? 0].every(
      (amount) =>
        amount === 0 ||
        (mode === "edge" ? Dim.isPositive(extent) !== false : Dim.lessOrEqual(Dim.add(amount, reach), extent) === true)
    )
  )
  return fits ? { kind: "pad" } : host(`padding by ${mode} that is not known to be shorter than the axis`)
}

const unsupported = (expressions: ReadonlyArray<Scalar>, rules: Rules): string | undefined => {
  for (const part of Scalars.parts(expressions)) {
    const [op, dtype] = questionOf(part)
    if (op !== undefined && !rules.computes(op, dtype)) return `${rules.name} does not compute ${op} on ${dtype}`
  }
  return undefined
}

const questionOf = (part: Scalar): readonly [Parameters<Rules["computes"]>[0] | undefined, DType] => {
  switch (part.kind) {
    case "load":
    case "index":
    case "select":
    case "cast":
      return [part.kind, part.dtype]
    case "unary":
      return [part.op, part.x.dtype]
    case "binary":
      return [part.op, part.a.dtype]
    case "fma":
      return ["mul", part.dtype]
    default:
      return [undefined, part.dtype]
  }
}

const reduceWork = (reduction: Reduction.Reduction, x: TensorType, rules: Rules): Work => {
  if (!rules.has("rows", x.dtype)) return missing("rows", x.dtype, rules)
  const element = reduction.prepare(Scalars.load(0, x.dtype))
  const why = unsupported([element, reduction.finish(Scalars.previous("total", reduction.dtype))], rules)
  return why === undefined ? { kind: "reduce", reduction } : host(why)
}

const loopWork = (recipe: Recipe.Recipe, { flat, rules }: Surroundings): Work => {
  const load = (id: string): Scalar => Scalars.load(0, flat.types.get(id)?.dtype ?? "f32")
  const expression = recipe.build({
    read: (position) => load(recipe.reads[position]?.id ?? ""),
    displaced: (position, steps) => {
      const base = load(recipe.displaced[position]?.id ?? "")
      const indirect = steps.map(({ extent, index }) => ({ index, extent, stride: 1 }))
      return base.kind === "load" ? { ...base, indirect } : base
    },
    index: () => ({ kind: "index", dtype: "i64", axis: 0 })
  })
  const why = rules.has("loop", expression.dtype)
    ? unsupported([expression], rules)
    : `${rules.name} has no loops on ${expression.dtype}`
  return why === undefined ? { kind: "loop", recipe } : host(why)
}
