/**
 * OneHot: a product with a matrix of ones and zeros that a comparison with 0, 1, 2, … has made is a gather of rows.
 *
 *   matmul(cast(equal(x [.., 1], [0 … k−1])), w [k, n])  ⇒  gather(concat(w, zeros), select(0 ≤ x < k, x, k))
 *
 * The same bits while the weights are finite: a row is 1 · w plus zeros. (−0 becomes 0 in the product, and stays here; they
 * are equal.)
 */
import * as Constants from "@anneal/ir/Constant"
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Tensors from "@anneal/ir/Tensor"
import * as Evaluate from "./Evaluate.ts"
import type { Flat } from "./Flatten.ts"
import * as Flatten from "./Flatten.ts"
import * as Movement from "./Movement.ts"
import type { Fusion } from "./Program.ts"

/** `record` notes one and gives whether it is to be made. */
export const rewrite = (flat: Flat, record: (fusion: Omit<Fusion, "taken">, refused: boolean) => boolean): Flat => {
  const producers = new Map(flat.nodes.flatMap((node) => node.outputs.map(({ id }) => [id, node] as const)))
  const types = new Map(flat.types)
  const constants = new Map(flat.constants)
  const origin = new Map(flat.origin)
  const names = Builder.makeNames(types.keys())
  let changed = false
  const nodes = flat.nodes.flatMap((node): ReadonlyArray<Node> => {
    const found = match(node, flat, producers)
    const output = node.outputs[0]
    if (found === undefined || output === undefined) return [node]
    const refused = isFinite(found.weight.id, flat, producers) ? undefined : "a weight is not finite"
    const [depth] = found.size
    const taken = record(
      {
        id: `oneHot ${found.product} ${output.id}`,
        kind: "oneHot",
        members: [found.product, output.id],
        reason: refused ?? "each row of the product is one row of the weight, or none",
        saving: Dim.mul(Dim.product(found.rows), depth * DTypes.slotBytes(output.type.dtype))
      },
      refused !== undefined
    )
    if (!taken) return [node]
    changed = true
    const made: Array<Node> = []
    const builder = Builder.over(
      {
        node: (inner) => void made.push(inner),
        constant: (id, { constant }) => {
          constants.set(id, constant)
          types.set(id, { dtype: constant.dtype, shape: constant.shape })
        },
        constraint: () => undefined
      },
      { value: (wanted) => names.value(`${output.id}.${wanted}`), unbacked: names.unbacked },
      node.lineage
    )
    const result = gathered(builder, found)
    return made.map(({ attributes, graphs, inputs, lineage, op, outputs }) => {
      const renamed = outputs.map(({ id, type }) => ({ id: id === result.id ? output.id : id, type }))
      const inner: Node = { op, attributes, graphs, lineage, inputs, outputs: renamed }
      for (const { id, type } of renamed) types.set(id, type)
      origin.set(inner, flat.origin.get(node) ?? node)
      return inner
    })
  })
  return changed ? { ...flat, nodes: Flatten.live(nodes, flat.outputs), types, constants, origin } : flat
}

interface Found {
  /** The one-hot matrix. */
  readonly product: string
  readonly index: Value
  /** The result's shape without its last axis. */
  readonly rows: ReadonlyArray<Dim.Dim>
  readonly weight: Value
  /** [k, n] */
  readonly size: readonly [number, number]
  /** What a one in the matrix is: 1, or what a quantisation grid makes of it. */
  readonly one: number
}

type Producers = ReadonlyMap<string, Node>

const match = (node: Node, flat: Flat, producers: Producers): Found | undefined => {
  if (node.op.name !== "matmul") return undefined
  const [product, weightId] = [node.inputs[0] ?? "", node.inputs[1] ?? ""]
  const weight = flat.types.get(weightId)
  const grid = throughGrid(product, flat, producers)
  const cast = producers.get(grid?.id ?? "")
  const [depth, columns] = weight?.shape ?? []
  if (grid === undefined || weight?.shape.length !== 2 || typeof depth !== "number" || typeof columns !== "number")
    return undefined
  if (!DTypes.isFloat(weight.dtype) || !Graphs.isOp(cast, Ops.cast)) return undefined
  const equal = producers.get(cast.inputs[0] ?? "")
  if (equal?.op.name !== "equal" || !isKnown(weightId, flat, producers)) return undefined
  const [a, b] = [equal.inputs[0] ?? "", equal.inputs[1] ?? ""]
  const index = counts(a, depth, flat, producers) ? b : counts(b, depth, flat, producers) ? a : undefined
  const type = flat.types.get(index ?? "")
  const shape = flat.types.get(product)?.shape
  if (index === undefined || type === undefined || shape === undefined || !DTypes.isInteger(type.dtype))
    return undefined
  const rows = shape.slice(0, -1)
  if (type.shape.at(-1) !== 1 || !Movement.sameShape(type.shape.slice(0, -1), rows)) return undefined
  return {
    product,
    index: { id: index, type },
    rows,
    weight: { id: weightId, type: weight },
    size: [depth, columns],
    one: grid.one
  }
}

const numbersOf = (id: string | null | undefined, flat: Flat): ReadonlyArray<number> | undefined => {
  const constant = flat.constants.get(id ?? "")
  return constant === undefined ? undefined : [...Numbers.toNumbers(Constants.load(constant))]
}

/** The matrix behind a quantise and a dequantise that leave 0 as it is, and what they make of 1; itself without them. */
const throughGrid = (
  id: string,
  flat: Flat,
  producers: Producers
): { readonly id: string; readonly one: number } | undefined => {
  const dequantize = producers.get(id)
  if (!Graphs.isOp(dequantize, Ops.dequantize)) return { id, one: 1 }
  const quantize = producers.get(dequantize.inputs[0] ?? "")
  if (!Graphs.isOp(quantize, Ops.quantize) || !DTypes.isInteger(quantize.attributes.to)) return undefined
  const parameter = (node: Node, position: number): number | undefined => {
    const given = node.inputs[position]
    const values = given === null || given === undefined ? [0] : numbersOf(given, flat)
    return values?.length === 1 ? values[0] : undefined
  }
  const [into, zero] = [parameter(quantize, 1), parameter(quantize, 2)]
  const [back, shift] = [parameter(dequantize, 1), parameter(dequantize, 2)]
  if (into === undefined || zero === undefined || back === undefined || shift === undefined) return undefined
  const { max, min } = DTypes.integerRange(quantize.attributes.to)
  const onGrid = (value: number): number => {
    const steps = Evaluate.roundHalfEven(Math.fround(value / into)) + zero
    return Math.fround((Math.min(Number(max), Math.max(Number(min), steps)) - shift) * back)
  }
  return onGrid(0) === 0 ? { id: quantize.inputs[0] ?? "", one: onGrid(1) } : undefined
}

/** Whether a weight is a constant, or integers on a grid of constants. */
const isKnown = (id: string, flat: Flat, producers: Producers): boolean => {
  if (flat.constants.has(id)) return true
  const node = producers.get(id)
  const isGrid = Graphs.isOp(node, Ops.dequantize) || Graphs.isOp(node, Ops.quantize)
  return isGrid && node.inputs.every((input) => input === null || isKnown(input, flat, producers))
}

/** Whether every element of a known weight is finite: integers are, if their scales are. */
const isFinite = (id: string, flat: Flat, producers: Producers): boolean => {
  const node = producers.get(id)
  const values = numbersOf(Graphs.isOp(node, Ops.dequantize) ? node.inputs[1] : id, flat)
  return values !== undefined && values.every(Number.isFinite)
}

/** Whether a value is 0, 1, …, count − 1 along its last axis and does not change along others. */
const counts = (id: string, count: number, flat: Flat, producers: ReadonlyMap<string, Node>): boolean => {
  const iota = producers.get(id)
  if (Graphs.isOp(iota, Ops.iota)) return iota.attributes.size === count
  const constant = flat.constants.get(id)
  if (constant === undefined || constant.shape.at(-1) !== count) return false
  if (constant.shape.slice(0, -1).some((extent) => extent !== 1)) return false
  return Constants.load(constant).data.every((value: number | bigint, position: number) => Number(value) === position)
}

const gathered = (b: Builder.Builder, { index, one, rows, size, weight }: Found): Value => {
  const [depth, columns] = size
  const isWide = index.type.dtype === "i64" || index.type.dtype === "u64" || index.type.dtype === "u32"
  const dtype = isWide ? "i64" : "i32"
  const flat = b.one(Ops.reshape, [index], { shape: rows })
  const x = index.type.dtype === dtype ? flat : b.one(Ops.cast, [flat], { to: dtype, saturate: true })
  const scalar = (value: number): Value => b.tensor(Numbers.scalar(dtype, value))
  const above = b.one(Ops.greaterOrEqual, [x, scalar(0)], {})
  const holds = b.one(Ops.and, [above, b.one(Ops.less, [x, scalar(depth)], {})], {})
  const inside = b.one(Ops.select, [holds, x, scalar(depth)], {})
  // What is outside has a row of zeros, after the others.
  const zeros = b.tensor(Tensors.zeros(weight.type.dtype, [1, columns]))
  const whole = b.one(Ops.concat, [weight, zeros], { axis: 0 })
  const table = one === 1 ? whole : b.one(Ops.mul, [whole, b.tensor(Numbers.scalar(weight.type.dtype, one))], {})
  return b.one(Ops.gather, [table, inside], { axis: 0 })
}
