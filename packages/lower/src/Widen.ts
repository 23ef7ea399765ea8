/**
 * Widen: products, pools, attention and recurrent layers of narrow floats, for a target that has kernels for f32 only. Operands
 * are read as f32 (exactly), sums are f32, and the result is rounded to the narrow float once, as the op's contract has it.
 *
 *   matmul(a: f16, b: f16)  ⇒  cast(matmul(cast(a, f32), cast(b, f32)), f16)
 *
 * The casts are loops: they join the regions that make and read the values. Weights are cast here, so that kernels can have them in
 * their own order.
 */
import type { Constant } from "@anneal/ir/Constant"
import * as Constants from "@anneal/ir/Constant"
import * as Builder from "@anneal/ir/Builder"
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Node, Output, Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { TensorType } from "@anneal/ir/Type"
import type { Flat } from "./Flatten.ts"
import * as Movement from "./Movement.ts"
import type { Rules } from "./Rules.ts"

type Kind = Parameters<Rules["has"]>[0]

const kinds: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  [Ops.matmul.name, "contraction"],
  [Ops.conv.name, "convolution"],
  [Ops.convTranspose.name, "convolution"],
  [Ops.maxPool.name, "window"],
  [Ops.averagePool.name, "window"],
  [Ops.attention.name, "attention"],
  [Ops.lstm.name, "recurrent"],
  [Ops.gru.name, "recurrent"],
  [Ops.rnn.name, "recurrent"]
])

/** Whether the target computes a node on these elements in f32 only. */
export const isWidened = ({ op }: Node, dtype: DType, rules: Rules): boolean => {
  const kind = kinds.get(op.name)
  return (
    kind !== undefined &&
    DTypes.isNarrowFloat(dtype) &&
    !rules.has(kind, dtype) &&
    rules.has(kind, "f32") &&
    rules.computes("cast", dtype) &&
    rules.computes("cast", "f32")
  )
}

/** Weights in f32: a graph is planned several times in a build. */
const known = new WeakMap<Constant, Constant>()

const wideConstant = (constant: Constant): Constant => {
  const made =
    known.get(constant) ??
    Constants.fromTensor({
      dtype: "f32",
      shape: constant.shape,
      data: Float32Array.from(Numbers.toNumbers(Constants.load(constant)))
    })
  known.set(constant, made)
  return made
}

export const rewrite = (flat: Flat, rules: Rules): Flat => {
  const dtypeOf = (node: Node): DType => flat.types.get(node.inputs[0] ?? "")?.dtype ?? "f32"
  if (!flat.nodes.some((node) => isWidened(node, dtypeOf(node), rules))) return flat
  const types = new Map(flat.types)
  const constants = new Map(flat.constants)
  const origin = new Map(flat.origin)
  const nodes: Array<Node> = []
  const producers = new Map<string, Node>()
  const names = Builder.makeNames(types.keys())
  const add = (node: Node, from: Node): void => {
    nodes.push(node)
    origin.set(node, flat.origin.get(from) ?? from)
    for (const { id, type } of node.outputs) {
      types.set(id, type)
      producers.set(id, node)
    }
  }
  const wideType = ({ shape }: TensorType): TensorType => ({ dtype: "f32", shape })
  const casting = (x: Value["id"], to: Output["id"], type: TensorType, from: Node): Node => ({
    op: Ops.cast,
    attributes: { to: type.dtype, saturate: true },
    graphs: {},
    inputs: [x],
    outputs: [{ id: to, type }],
    lineage: from.lineage
  })

  /** Values in f32 by the narrow ones' ids. */
  const wides = new Map<string, string>()
  const widen = (id: string, from: Node): string => {
    const before = wides.get(id)
    const type = types.get(id)
    if (before !== undefined || type === undefined) return before ?? id
    const wide = names.value(`${id}.wide`)
    wides.set(id, wide)
    const constant = constants.get(id)
    const producer = producers.get(id)
    const [moved] = producer?.inputs ?? []
    if (constant !== undefined) {
      constants.set(wide, wideConstant(constant))
      types.set(wide, wideType(type))
    } else if (producer !== undefined && moved !== null && moved !== undefined && isMovedConstant(id))
      add({ ...producer, inputs: [widen(moved, from)], outputs: [{ id: wide, type: wideType(type) }] }, from)
    else add(casting(id, wide, wideType(type), from), from)
    return wide
  }
  /** A weight as it lies, or turned around. */
  const isMovedConstant = (id: string): boolean => {
    if (constants.has(id)) return true
    const producer = producers.get(id)
    const [moved] = producer?.inputs ?? []
    if (producer === undefined || producer.inputs.length !== 1 || moved === null || moved === undefined) return false
    const shape = types.get(moved)?.shape
    return (
      shape !== undefined && Movement.ofNode(producer, shape, () => undefined) !== undefined && isMovedConstant(moved)
    )
  }

  for (const node of flat.nodes) {
    const dtype = dtypeOf(node)
    const isNarrow = (type: TensorType | undefined): boolean => type?.dtype === dtype
    const outputs = node.outputs.map(({ id, type }) =>
      isNarrow(type) ? { id: names.value(`${id}.wide`), type: wideType(type) } : { id, type }
    )
    // What has no kernel in f32 either is left to the host as it is.
    const isRefused = rules.refuses?.(node) !== undefined || rules.refuses?.({ ...node, outputs }) !== undefined
    if (!isWidened(node, dtype, rules) || isRefused) {
      add(node, node)
      continue
    }
    const inputs = node.inputs.map((id) => (id !== null && isNarrow(types.get(id)) ? widen(id, node) : id))
    const wide: Node = { ...node, inputs, outputs }
    add(wide, node)
    // A recurrent region is what its node says: the one on f32.
    if (kinds.get(node.op.name) === "recurrent") origin.set(wide, wide)
    node.outputs.forEach(({ id, type }, position) => {
      const made = outputs[position]?.id
      if (made !== undefined && made !== id) add(casting(made, id, type, node), node)
    })
  }
  return { ...flat, nodes, types, constants, origin }
}
