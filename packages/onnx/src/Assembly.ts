// One IR graph while it is assembled from ONNX nodes: the model's own, or a sub-graph of control flow. Constants and
// known content enter it only when something takes them as data. A sub-graph is isolated: what it takes from outside
// becomes an input of its own.
import * as Builders from "@anneal/ir/Builder"
import type { Constant } from "@anneal/ir/Constant"
import * as Constants from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import type { ConstantEntry, Constraint, Graph, Input, Lineage, Node, Output, Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Tensors from "@anneal/ir/Tensor"
import type { TensorType } from "@anneal/ir/Type"
import * as Content from "./Content.ts"
import type { Operand, TensorOperand } from "./Operand.ts"

export interface Assembly {
  /** Starts a node of the model: what is added from here on has this lineage. */
  readonly enter: (lineage: Lineage) => Builders.Builder
  readonly input: (name: string, type: TensorType) => Value
  readonly ofValue: (value: Value) => TensorOperand
  readonly ofContent: (content: Content.Content) => TensorOperand
  readonly ofConstant: (constant: Constant, name?: string) => TensorOperand
  /** An operand of the enclosing assembly, for use in this one. */
  readonly adopt: (operand: Operand) => Operand
  /** Values of the enclosing assembly that were adopted, in the order of the inputs made for them. */
  readonly captured: () => ReadonlyArray<Value>
  /** Notes that two dims must be equal when the graph is bound. */
  readonly constrain: (constraint: Constraint) => void
  /** Names of the elements of an i64 vector or scalar, read once a value. */
  readonly read: (value: Value, count: number) => ReadonlyArray<Dim.Dim>
  /** Number of nodes so far; `rename` takes it. */
  readonly mark: () => number
  /** Gives results of nodes added since a mark the model's own names, where they are free. */
  readonly rename: (
    mark: number,
    results: ReadonlyArray<readonly [value: Value, wanted: string]>
  ) => ReadonlyArray<Value>
  readonly finish: (name: string, outputs: ReadonlyArray<{ readonly name: string; readonly value: Value }>) => Graph
}

/** `counter` numbers unbacked sizes; a model's graph and all its sub-graphs share it. */
export const make = (counter: { next: number }): Assembly => {
  const names = Builders.makeNames([], counter)
  const inputs: Array<Input> = []
  const nodes: Array<Node> = []
  const constants = new Map<string, ConstantEntry>()
  const constraints: Array<Constraint> = []
  const captured: Array<Value> = []
  const adopted = new Map<string, Value>()
  const reads = new Map<string, ReadonlyArray<Dim.Dim>>()
  /** Values that stand for an operand that other nodes may hold: they keep their ids. */
  const pinned = new Set<string>()
  const sink: Builders.Sink = {
    node: (node) => void nodes.push(node),
    constant: (id, entry) => void constants.set(id, entry),
    constraint: (constraint) => void constraints.push(constraint)
  }
  let builder = Builders.over(sink, names)

  const pin = (value: Value): Value => {
    pinned.add(value.id)
    return value
  }
  const once = (make: () => Value): (() => Value) => {
    let value: Value | undefined
    return () => (value ??= pin(make()))
  }
  const ofValue = (value: Value): TensorOperand => ({
    kind: "tensor",
    type: value.type,
    content: undefined,
    constant: undefined,
    value: () => value
  })
  const ofConstant = (constant: Constant, name?: string): TensorOperand => {
    const type: TensorType = { dtype: constant.dtype, shape: constant.shape }
    const value = once(() => builder.constant(constant, name === undefined ? {} : { id: name, name }))
    let content: Content.Content | undefined
    let isRead = false
    return {
      kind: "tensor",
      type,
      constant,
      ...(name === undefined ? {} : { name }),
      value,
      get content() {
        if (!isRead && Content.isFollowed(constant.dtype, Tensors.size(constant.shape)))
          content = Content.fromTensor(Constants.load(constant))
        isRead = true
        return content
      }
    }
  }
  const ofContent = (content: Content.Content): TensorOperand => {
    const tensor = Content.toTensor(content)
    if (tensor !== undefined) return ofConstant(Constants.fromTensor(tensor))
    const type: TensorType = { dtype: content.dtype, shape: content.shape }
    return { kind: "tensor", type, content, constant: undefined, value: once(() => materialise(builder, content)) }
  }
  const adopt = (operand: Operand): Operand => {
    if (operand.kind === "sequence") return { kind: "sequence", items: operand.items.map(adoptTensor) }
    return operand.kind === "tensor" ? adoptTensor(operand) : operand
  }
  const adoptTensor = (operand: TensorOperand): TensorOperand => {
    if (operand.constant !== undefined) return ofConstant(operand.constant, operand.name)
    if (operand.content !== undefined) return ofContent(operand.content)
    const outer = operand.value()
    const known = adopted.get(outer.id)
    if (known !== undefined) return ofValue(known)
    const id = names.value(outer.id)
    inputs.push({ name: id, id, type: outer.type })
    captured.push(outer)
    const inner: Value = { id, type: outer.type }
    adopted.set(outer.id, inner)
    return ofValue(inner)
  }

  return {
    enter: (lineage) => (builder = Builders.over(sink, names, lineage)),
    input: (name, type) => {
      const id = names.value(name)
      inputs.push({ name, id, type })
      return { id, type }
    },
    ofValue,
    ofContent,
    ofConstant,
    adopt,
    captured: () => captured,
    constrain: (constraint) => void constraints.push(constraint),
    read: (value, count) => {
      const known = reads.get(value.id)
      if (known !== undefined) return known
      const symbols = Array.from({ length: count }, () => names.unbacked())
      builder.node(Ops.readDims, [value], { symbols })
      reads.set(value.id, symbols)
      return symbols
    },
    mark: () => nodes.length,
    rename: (mark, results) => {
      const renamed = new Map<string, string>()
      for (const [value, wanted] of results) {
        const made = nodes.slice(mark).some((node) => node.outputs.some(({ id }) => id === value.id))
        if (made && !pinned.has(value.id) && !renamed.has(value.id) && value.id !== wanted)
          renamed.set(value.id, names.value(wanted))
      }
      const now = (id: string): string => renamed.get(id) ?? id
      for (let i = mark; i < nodes.length; i++) {
        const node = nodes[i]
        if (node === undefined) continue
        nodes[i] = {
          ...node,
          inputs: node.inputs.map((id) => (id === null ? null : now(id))),
          outputs: node.outputs.map(({ id, type }) => ({ id: now(id), type }))
        }
      }
      return results.map(([value]) => ({ id: now(value.id), type: value.type }))
    },
    finish: (name, outputs) => ({
      name,
      inputs,
      outputs: outputs.map((output): Output => ({ name: output.name, id: output.value.id })),
      constants,
      nodes,
      constraints,
      aliases: []
    })
  }
}

/** Content with sizes in it as a value: `sizes`, reshaped, cast and, for fractions, divided. */
const materialise = (b: Builders.Builder, content: Content.Content): Value => {
  const { dtype, elements, shape } = content
  if (elements.some((element) => element instanceof Content.Equality)) return comparison(b, content)
  const numerators: Array<Dim.Dim> = []
  const denominators: Array<number> = []
  for (const element of elements) {
    const fraction = element instanceof Content.Fraction ? element : undefined
    let numerator: Dim.Dim = fraction?.numerator ?? 0
    let denominator = fraction?.denominator ?? 1
    if (typeof element === "bigint") numerator = Number(element)
    else if (typeof element === "number") {
      for (; !Number.isInteger(element * denominator); denominator *= 2);
      numerator = element * denominator
    } else if (Dim.isSymbolic(element)) numerator = element
    numerators.push(numerator)
    denominators.push(denominator)
  }
  const scalar = shape.length === 0
  let value = b.one(Ops.sizes, [], { values: numerators, scalar })
  if (shape.length > 1) value = b.one(Ops.reshape, [value], { shape })
  if (dtype !== "i64") value = b.one(Ops.cast, [value], { to: dtype, saturate: true })
  if (denominators.some((by) => by !== 1))
    value = b.one(Ops.div, [value, b.tensor(Numbers.fromNumbers(dtype, shape, denominators))], {})
  return value
}

/** Undecided equalities of sizes as a bool tensor. */
const comparison = (b: Builders.Builder, { elements, shape }: Content.Content): Value => {
  const side = (read: (equality: Content.Equality) => Dim.Dim, other: (element: Content.Element) => Dim.Dim): Value => {
    const values = elements.map((element) => (element instanceof Content.Equality ? read(element) : other(element)))
    const sizes = b.one(Ops.sizes, [], { values, scalar: shape.length === 0 })
    return shape.length > 1 ? b.one(Ops.reshape, [sizes], { shape }) : sizes
  }
  const left = side(
    (equality) => equality.left,
    () => 1
  )
  const right = side(
    (equality) => equality.right,
    (element) => (element === 1 ? 1 : 0)
  )
  return b.one(Ops.equal, [left, right], {})
}
