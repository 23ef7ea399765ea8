/**
 * Integer: between quantise and dequantise, integers stay integers.
 *
 *   conv(dequantize(a), dequantize(w), bias)      ⇒  Σ (a − za)(w − zw) · (sa · sw) + bias
 *   reshape(dequantize(q)), maxPool(…), concat    ⇒  dequantize(reshape(q)), …
 *   quantize(dequantize(q)) on one grid           ⇒  q
 *   matmul(cast(q) − z, w: i32)                   ⇒  Σ q·w − z · Σ w, see `CentredProduct`
 *
 * What is left of dequantise is computed where it is read. Sums of integers are exact; the scales are multiplied once.
 */
import * as Builder from "@anneal/ir/Builder"
import type { Constant } from "@anneal/ir/Constant"
import * as Constants from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { TensorType } from "@anneal/ir/Type"
import * as CentredProduct from "./CentredProduct.ts"
import type { Flat } from "./Flatten.ts"
import * as Flatten from "./Flatten.ts"
import * as FloatWeights from "./FloatWeights.ts"
import * as IntegerRange from "./IntegerRange.ts"
import type { Fusion } from "./Program.ts"
import type { OperandRanges, ZeroPoint } from "./Region.ts"
import type { Rules } from "./Rules.ts"
import type { Work } from "./Scope.ts"

/** What a product of integers needs beside its operands; its node then takes the integers themselves. */
export interface Product {
  readonly zero: ZeroPoint
  readonly ranges: OperandRanges
  /** Id of sa · sb: one number, or a vector along the result's channels (columns of a matmul). Without, the i32 sum itself. */
  readonly scale?: string
}

export interface Rewritten {
  readonly flat: Flat
  readonly products: ReadonlyMap<Node, Product>
}

/** A dequantised value: the integers and their grid. */
interface Grid {
  readonly q: Value
  readonly scale: string
  readonly zero: string | undefined
  readonly axis: number
  readonly block: number
  /** One scale and zero point for all. */
  readonly isUniform: boolean
}

const movers: ReadonlyArray<string> = [Ops.reshape, Ops.transpose, Ops.slice, Ops.expand, Ops.reverse].map(
  ({ name }) => name
)

export type Decide = (fusion: Omit<Fusion, "taken">, refused: boolean) => boolean

/** What the target does: with a node as it is, and with the same on integers. */
export interface Abilities {
  readonly kindOf: (node: Node) => Work["kind"]
  readonly has: Rules["has"]
}

const productNames: ReadonlySet<string> = new Set([Ops.conv, Ops.convTranspose, Ops.matmul].map(({ name }) => name))

const isProduct = ({ op }: Node): boolean => productNames.has(op.name)

export const rewrite = (flat: Flat, abilities: Abilities, decide: Decide): Rewritten => {
  const isOfIntegers = (node: Node): boolean =>
    Graphs.isOp(node, Ops.dequantize) || (isProduct(node) && node.outputs[0]?.type.dtype === "i32")
  if (!flat.nodes.some(isOfIntegers)) return { flat, products: new Map() }
  const rewriter = new Rewriter(flat, abilities, decide)
  for (const node of flat.nodes) rewriter.take(node)
  return rewriter.finish()
}

class Rewriter {
  private readonly nodes: Array<Node> = []
  private readonly grids = new Map<string, Grid>()
  private readonly products = new Map<Node, Product>()
  /** By the id of each result. */
  private readonly producers = new Map<string, Node>()
  private readonly types: Map<string, TensorType>
  private readonly constants: Map<string, Constant>
  private readonly origin: Map<Node, Node>
  private readonly names: Builder.Names
  private readonly flat: Flat
  private readonly abilities: Abilities
  private readonly decide: Decide

  constructor(flat: Flat, abilities: Abilities, decide: Decide) {
    this.flat = flat
    this.abilities = abilities
    this.decide = decide
    this.types = new Map(flat.types)
    this.constants = new Map(flat.constants)
    this.origin = new Map(flat.origin)
    this.names = Builder.makeNames(flat.types.keys())
  }

  take(node: Node): void {
    const output = node.outputs[0]
    if (output === undefined) return this.keep(node, node)
    if (Graphs.isOp(node, Ops.dequantize)) {
      const grid = this.gridOf(node)
      if (grid !== undefined) this.grids.set(output.id, grid)
      return this.keep(node, node)
    }
    if (this.moved(node, output) || this.cancelled(node, output) || this.centred(node, output)) return
    this.keep(this.product(node, output) ?? this.onFloats(node), node)
  }

  finish(): Rewritten {
    const apart = this.apart(Flatten.live(this.nodes, this.flat.outputs))
    return {
      flat: { ...this.flat, nodes: apart, types: this.types, constants: this.constants, origin: this.origin },
      products: this.products
    }
  }

  private keep(node: Node, from: Node): void {
    this.nodes.push(node)
    this.origin.set(node, this.flat.origin.get(from) ?? from)
    for (const { id, type } of node.outputs) {
      this.types.set(id, type)
      this.producers.set(id, node)
    }
  }

  private gridOf(node: Node): Grid | undefined {
    if (!Graphs.isOp(node, Ops.dequantize)) return undefined
    const [qId, scale, zero] = [node.inputs[0] ?? "", node.inputs[1] ?? "", node.inputs[2] ?? undefined]
    const type = this.types.get(qId)
    const isConstant = this.constants.has(scale) && (zero === undefined || this.constants.has(zero))
    if (type === undefined || !isConstant) return undefined
    const isSingle = (id: string): boolean => this.types.get(id)?.shape.every((extent) => extent === 1) === true
    const { axis, block } = node.attributes
    return {
      q: { id: qId, type },
      scale,
      zero,
      axis: axis < 0 ? axis + type.shape.length : axis,
      block,
      isUniform: isSingle(scale) && (zero === undefined || isSingle(zero))
    }
  }

  private sameGrid(a: Grid, b: Grid): boolean {
    const digest = (id: string | undefined): string | undefined =>
      id === undefined ? undefined : this.constants.get(id)?.digest
    return (
      a.isUniform &&
      b.isUniform &&
      a.q.type.dtype === b.q.type.dtype &&
      digest(a.scale) === digest(b.scale) &&
      digest(a.zero) === digest(b.zero)
    )
  }

  /** Movement and selection on the integers, dequantised afterwards. */
  private moved(node: Node, output: Value): boolean {
    const operands = node.inputs.map((id) => (id === null ? undefined : this.grids.get(id)))
    const [first] = operands
    if (first === undefined || !first.isUniform) return false
    const isMover = movers.includes(node.op.name) && operands.length === 1
    const isPool = Graphs.isOp(node, Ops.maxPool)
    const isConcat = Graphs.isOp(node, Ops.concat)
    if (isPool && (this.abilities.kindOf(node) !== "window" || !this.abilities.has("window", first.q.type.dtype)))
      return false
    if (!isMover && !isPool && !isConcat) return false
    const grids = operands.flatMap((grid) => (grid !== undefined && this.sameGrid(grid, first) ? [grid] : []))
    if (grids.length !== operands.length) return false
    const { attributes, graphs, inputs: _, lineage, op, outputs } = node
    const q: Value = {
      id: this.names.value(`${output.id}.q`),
      type: { dtype: first.q.type.dtype, shape: output.type.shape }
    }
    const inner: Node = {
      op,
      attributes,
      graphs,
      lineage,
      inputs: grids.map((grid) => grid.q.id),
      outputs: [q, ...outputs.slice(1)]
    }
    this.keep(inner, node)
    this.grids.set(output.id, { ...first, q })
    this.keep(this.dequantized({ ...first, q }, output, node), node)
    return true
  }

  private dequantized(grid: Grid, output: Value, from: Node): Node {
    const inputs = [grid.q.id, grid.scale, ...(grid.zero === undefined ? [] : [grid.zero])]
    return {
      op: Ops.dequantize,
      attributes: { axis: grid.axis, block: grid.block, to: output.type.dtype },
      graphs: {},
      lineage: from.lineage,
      inputs,
      outputs: [output]
    }
  }

  /** The integers again, where they would be put on the grid that they are from. */
  private cancelled(node: Node, output: Value): boolean {
    if (!Graphs.isOp(node, Ops.quantize)) return false
    const grid = this.grids.get(node.inputs[0] ?? "")
    const [scale, zero] = [node.inputs[1] ?? "", node.inputs[2] ?? undefined]
    if (grid === undefined || grid.q.type.dtype !== output.type.dtype || DTypes.bits(output.type.dtype) > 16)
      return false
    if (!this.sameGrid(grid, { ...grid, scale, zero })) return false
    const same: Node = {
      op: Ops.reshape,
      attributes: { shape: output.type.shape },
      graphs: {},
      lineage: node.lineage,
      inputs: [grid.q.id],
      outputs: [output]
    }
    this.keep(same, node)
    return true
  }

  /** A product of two dequantised operands on the integers themselves. */
  private product(node: Node, output: Value): Node | undefined {
    if (!isProduct(node)) return undefined
    const [aId = "", bId = ""] = node.inputs.map((id) => id ?? "")
    const [a, b] = [this.grids.get(aId), this.grids.get(bId)]
    if (a === undefined || b === undefined) return undefined
    if (!this.takes(a.q, output, this.refusal(node, a, b))) return undefined
    const [one, many] = [this.numbers(a.scale)[0] ?? 1, this.numbers(b.scale)]
    const factors = many.map((scale) => Math.fround(Math.fround(one) * scale))
    const constant = Constants.fromTensor(
      Numbers.fromNumbers("f32", factors.length === 1 ? [] : [factors.length], factors)
    )
    const scale = this.names.value(`${output.id}.scale`)
    this.constants.set(scale, constant)
    this.types.set(scale, { dtype: constant.dtype, shape: constant.shape })
    const zero = { a: this.numberOf(a.zero), b: this.numberOf(b.zero) }
    const inner: Node = { ...node, inputs: [a.q.id, b.q.id, ...node.inputs.slice(2)] }
    this.products.set(inner, { zero, ranges: this.rangesOf(a.q.id, b.q.id), scale })
    return inner
  }

  /** Whether a product is one of integers, which is noted. */
  private takes(a: Value, output: Value, refused: string | undefined): boolean {
    const { dtype, shape } = a.type
    return this.decide(
      {
        id: `integer ${a.id} ${output.id}`,
        kind: "integer",
        members: [a.id, output.id],
        reason: refused ?? "integers are multiplied and summed as such",
        saving: Dim.mul(DTypes.slotBytes(output.type.dtype) - DTypes.slotBytes(dtype), Dim.product(shape))
      },
      refused !== undefined
    )
  }

  /** A product of 32-bit integers that are bytes less their zero points, on the bytes. */
  private centred(node: Node, output: Value): boolean {
    const found = CentredProduct.of(node, {
      producer: (id) => this.producers.get(id),
      type: (id) => this.types.get(id),
      constant: (id) => this.constants.get(id)
    })
    if (found === undefined || !this.takes(found.q, output, this.missing(node, found.q.type.dtype))) return false
    const { constants, inner, nodes, zero } = CentredProduct.rewritten(node, output, found, this.names)
    for (const [id, constant] of constants) {
      this.constants.set(id, constant)
      this.types.set(id, { dtype: constant.dtype, shape: constant.shape })
    }
    this.products.set(inner, { zero, ranges: this.rangesOf(found.q.id, inner.inputs[1] ?? "") })
    for (const one of nodes) this.keep(one, node)
    return true
  }

  /** With its weights as constants of floats, where it has use for that. */
  private onFloats(node: Node): Node {
    if (!FloatWeights.isReader(node)) return node
    const inputs = node.inputs.map((id, position) => {
      const producer = position === 0 || id === null ? undefined : this.producers.get(id)
      if (id === null || producer === undefined) return id
      const found = FloatWeights.of(producer, (one) => this.constants.get(one))
      if (found === undefined) return id
      const floats = this.names.value(`${id}.floats`)
      this.constants.set(floats, found)
      this.types.set(floats, { dtype: "f32", shape: found.shape })
      return floats
    })
    return inputs.some((id, position) => id !== node.inputs[position]) ? { ...node, inputs } : node
  }

  /** Why the target has no such product of integers, if it has none. */
  private missing(node: Node, dtype: DTypes.DType): string | undefined {
    const kind = node.op.name === "matmul" ? "contraction" : "convolution"
    if (this.abilities.kindOf(node) !== kind) return "the product itself has no kernel"
    return this.abilities.has(kind, dtype) ? undefined : `the target has no ${kind} of ${dtype}`
  }

  private refusal(node: Node, a: Grid, b: Grid): string | undefined {
    const kind = node.op.name === "matmul" ? "contraction" : "convolution"
    for (const { q } of [a, b])
      if (DTypes.bits(q.type.dtype) > 8 || !DTypes.isInteger(q.type.dtype)) return `${q.type.dtype} is no 8-bit integer`
    if (!a.isUniform) return "the first operand has more than one scale"
    if (node.outputs[0]?.type.dtype !== "f32") return "the result is not f32"
    if (b.zero !== undefined && new Set(this.numbers(b.zero)).size > 1) return "the weights have several zero points"
    const missing = this.missing(node, a.q.type.dtype)
    if (missing !== undefined || b.isUniform) return missing
    // One scale a result channel: out channels of a convolution's weight, columns of a matrix.
    const rank = b.q.type.shape.length
    const isTransposed = node.op.name === "convTranspose"
    const axis = node.op.name === "matmul" ? rank - 1 : isTransposed ? 1 : 0
    const groups = Graphs.isOp(node, Ops.convTranspose) ? node.attributes.groups : 1
    const isChannel =
      b.block === 0 && b.axis === axis && (!isTransposed || groups === 1) && (kind !== "contraction" || rank >= 2)
    return isChannel ? undefined : "the weights' scales are not along the result's channels"
  }

  private numbers(id: string): ReadonlyArray<number> {
    const constant = this.constants.get(id)
    return constant === undefined ? [] : [...Numbers.toNumbers(Constants.load(constant))]
  }

  private numberOf(id: string | undefined): number {
    return id === undefined ? 0 : (this.numbers(id)[0] ?? 0)
  }

  /** What activations and weights are known to lie in. */
  private rangesOf(a: string, b: string): OperandRanges {
    const ofA = IntegerRange.of(a, {
      producer: (id) => this.producers.get(id),
      number: (id) => {
        const found = this.constants.has(id) ? this.numbers(id) : []
        return found.length === 1 ? found[0] : undefined
      }
    })
    const known = ofA === undefined ? {} : { a: ofA }
    const constant = this.constants.get(b)
    if (constant === undefined) return known
    let [least, greatest] = [0, 0]
    for (const value of Constants.load(constant).data) {
      least = Math.min(least, Number(value))
      greatest = Math.max(greatest, Number(value))
    }
    return { ...known, b: [least, greatest] }
  }

  /** A dequantise of its own for each reader: each computes it where it reads it. */
  private apart(nodes: ReadonlyArray<Node>): ReadonlyArray<Node> {
    const made = new Map<string, Node>()
    const taken = new Set(this.flat.outputs.map(({ id }) => id))
    const result: Array<Node> = []
    for (const node of nodes) {
      const output = node.outputs[0]
      if (Graphs.isOp(node, Ops.dequantize) && output !== undefined) made.set(output.id, node)
      const copies = new Map<string, string>()
      for (const id of node.inputs) {
        const source = id === null ? undefined : made.get(id)
        const value = source?.outputs[0]
        if (id === null || source === undefined || value === undefined || copies.has(id)) continue
        if (!taken.has(id)) {
          taken.add(id)
          continue
        }
        const copy: Value = { id: this.names.value(`${id}.again`), type: value.type }
        const again: Node = { ...source, outputs: [copy] }
        this.types.set(copy.id, copy.type)
        this.origin.set(again, this.origin.get(source) ?? source)
        result.push(again)
        copies.set(id, copy.id)
      }
      if (copies.size === 0) {
        result.push(node)
        continue
      }
      const renamed: Node = { ...node, inputs: node.inputs.map((id) => (id === null ? null : (copies.get(id) ?? id))) }
      this.origin.set(renamed, this.origin.get(node) ?? node)
      const product = this.products.get(node)
      if (product !== undefined) this.products.set(renamed, product)
      result.push(renamed)
    }
    return result
  }
}
