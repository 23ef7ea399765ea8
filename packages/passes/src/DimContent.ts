// What the elements of small integer tensors are, as dims: the arithmetic that a model does on shapes, followed.
//
// sizes [n, 3] → gather 0 → mul 2  is  [2*n]
import * as Dim from "@anneal/ir/Dim"
import type { Editor } from "@anneal/ir/Editor"
import type { Node } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Tensor from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"

/** Elements in row-major order; a bool is 0 or 1. */
export type Content = ReadonlyArray<Dim.Dim>

/** Larger tensors are no shapes. */
const largest = 64

type Rule = (node: Node, operands: ReadonlyArray<Operand>, size: number) => Content | undefined
interface Operand {
  readonly shape: ReadonlyArray<number>
  readonly content: Content
}

const at = (content: Content, index: number): Dim.Dim => content[index] ?? 0

/** Elementwise over operands of one shape, or of one element. */
const elementwise =
  (compute: (...values: ReadonlyArray<Dim.Dim>) => Dim.Dim | undefined): Rule =>
  (_, operands, size) => {
    if (operands.some(({ content }) => content.length !== size && content.length !== 1)) return undefined
    return every(size, (index) =>
      compute(...operands.map(({ content }) => at(content, content.length === 1 ? 0 : index)))
    )
  }

const every = (size: number, make: (index: number) => Dim.Dim | undefined): Content | undefined => {
  const result: Array<Dim.Dim> = []
  for (let index = 0; index < size; index++) {
    const dim = make(index)
    if (dim === undefined) return undefined
    result.push(dim)
  }
  return result
}

const bool = (value: boolean | undefined): Dim.Dim | undefined => (value === undefined ? undefined : value ? 1 : 0)
const not = (value: boolean | undefined): boolean | undefined => (value === undefined ? undefined : !value)
const binary = (compute: (a: Dim.Dim, b: Dim.Dim) => Dim.Dim | undefined): Rule =>
  elementwise((a = 0, b = 0) => compute(a, b))

/** Integer division truncates; dims divide down. The two agree on a dividend that is not negative. */
const quotient = (a: Dim.Dim, b: Dim.Dim): Dim.Dim | undefined =>
  Dim.isNonNegative(a) === true && Dim.isPositive(b) === true ? Dim.floorDiv(a, b) : undefined

const same: Rule = (_, [x], size) => (x?.content.length === size ? x.content : undefined)

const constantIndex = (content: Content | undefined, extent: number): ReadonlyArray<number> | undefined => {
  const indices: Array<number> = []
  for (const dim of content ?? [Dim.symbol("unknown")]) {
    if (typeof dim !== "number") return undefined
    const index = dim < 0 ? dim + extent : dim
    if (index < 0 || index >= extent) return undefined
    indices.push(index)
  }
  return indices
}

const numbers = (value: unknown): ReadonlyArray<number> | undefined =>
  Array.isArray(value) && value.every((item): item is number => typeof item === "number") ? value : undefined

/** How each op carries dims on. */
const ruleOf: Readonly<Record<string, Rule>> = {
  add: binary((a, b) => Dim.add(a, b)),
  sub: binary((a, b) => Dim.sub(a, b)),
  mul: binary((a, b) => Dim.mul(a, b)),
  div: binary(quotient),
  mod: binary((a, b) => (Dim.isNonNegative(a) === true && Dim.isPositive(b) === true ? Dim.mod(a, b) : undefined)),
  min: binary((a, b) => Dim.min(a, b)),
  max: binary((a, b) => Dim.max(a, b)),
  neg: elementwise((a = 0) => Dim.neg(a)),
  equal: binary((a, b) => bool(Dim.equal(a, b))),
  less: binary((a, b) => bool(not(Dim.lessOrEqual(b, a)))),
  lessOrEqual: binary((a, b) => bool(Dim.lessOrEqual(a, b))),
  greater: binary((a, b) => bool(not(Dim.lessOrEqual(a, b)))),
  greaterOrEqual: binary((a, b) => bool(Dim.lessOrEqual(b, a))),
  not: elementwise((a = 0) => (typeof a === "number" ? 1 - a : undefined)),
  and: binary((a, b) => (a === 0 || b === 0 ? 0 : a === 1 && b === 1 ? 1 : undefined)),
  or: binary((a, b) => (a === 1 || b === 1 ? 1 : a === 0 && b === 0 ? 0 : undefined)),
  select: elementwise((condition = 0, a = 0, b = 0) => {
    if (condition === 1) return a
    return condition === 0 ? b : undefined
  }),
  cast: (node, operands, size) => (node.attributes["to"] === "bool" ? undefined : same(node, operands, size)),
  reshape: same,
  expand: (_, [x], size) => {
    if (x === undefined) return undefined
    if (x.content.length === 1) return every(size, () => at(x.content, 0))
    return x.content.length === size ? x.content : undefined
  },
  concat: (_, operands) =>
    operands.every(({ shape }) => shape.length === 1) ? operands.flatMap((o) => o.content) : undefined,
  gather: (_, [data, indices]) => {
    if (data === undefined || data.shape.length !== 1) return undefined
    return constantIndex(indices?.content, data.content.length)?.map((index) => at(data.content, index))
  },
  slice: (node, [x], size) => {
    const [start, step] = [numbers(node.attributes["starts"])?.[0], numbers(node.attributes["steps"])?.[0]]
    if (x === undefined || x.shape.length !== 1 || start === undefined || step === undefined) return undefined
    return every(size, (index) => x.content[start + index * step])
  },
  reverse: (_, [x]) => (x?.shape.length === 1 ? x.content.toReversed() : undefined),
  reduceProd: (_, [x], size) => (x !== undefined && size === 1 ? [Dim.product(x.content)] : undefined),
  reduceSum: (_, [x], size) => (x !== undefined && size === 1 ? [Dim.sum(x.content)] : undefined)
}

const dtypes = new Set(["i32", "i64", "bool"])

/** Static shape of a value that may hold dims. */
const smallShape = (type: Type.TensorType): ReadonlyArray<number> | undefined => {
  const shape = dtypes.has(type.dtype) ? Type.staticShape(type) : undefined
  return shape !== undefined && Tensor.size(shape) <= largest ? shape : undefined
}

const isList = (value: unknown): value is ReadonlyArray<Dim.Dim> =>
  Array.isArray(value) && value.every((item) => typeof item === "number" || Dim.isSymbolic(item))

/** Follows dims through a graph: give it the nodes in order. */
export const make = (editor: Editor) => {
  const known = new Map<string, Content>()
  const sizes = new Map<string, Dim.Dim>()
  const constantContent = (id: string): Content | undefined => {
    const entry = editor.constant(id)
    if (entry === undefined || smallShape({ ...entry.constant }) === undefined) return undefined
    const tensor = editor.read(id)
    const values = tensor === undefined ? [] : [...Numbers.toNumbers(tensor)]
    return values.every(Number.isSafeInteger) ? values.map((value) => value + 0) : undefined
  }
  const content = (id: string | null | undefined): Content | undefined => {
    if (id === null || id === undefined) return undefined
    const before = known.get(id)
    if (before !== undefined) return before
    const resolved = editor.value(id).id
    const found = known.get(resolved) ?? constantContent(resolved)
    if (found !== undefined) known.set(id, found)
    return found
  }
  const listed = (values: unknown): Content | undefined =>
    isList(values) ? values.map((dim) => Dim.substitute(dim, sizes)) : undefined
  const compute = (node: Node): Content | undefined => {
    const type = node.outputs[0]?.type
    const shape = type === undefined ? undefined : smallShape(type)
    if (shape === undefined || node.outputs.length !== 1) return undefined
    if (node.op.name === "sizes") return listed(node.attributes["values"])
    if (node.op.name === "readDims") return content(node.inputs[0]) ?? listed(node.attributes["symbols"])
    const rule = ruleOf[node.op.name]
    if (rule === undefined) return undefined
    const operands: Array<Operand> = []
    for (const id of node.inputs) {
      const inner = content(id)
      const operandShape = id === null ? undefined : smallShape(editor.type(id))
      if (inner === undefined || operandShape === undefined) return undefined
      operands.push({ shape: operandShape, content: inner })
    }
    const result = rule(node, operands, Tensor.size(shape))
    return result?.length === Tensor.size(shape) ? result : undefined
  }
  return {
    content,
    /** From here on, the symbol is this size. */
    learn: (name: string, size: Dim.Dim): void => void sizes.set(name, size),
    /** Notes what a node computes, if dims. */
    visit: (node: Node): Content | undefined => {
      const found = compute(node)
      const id = node.outputs[0]?.id
      if (found !== undefined && id !== undefined) known.set(id, found)
      return found
    }
  }
}
