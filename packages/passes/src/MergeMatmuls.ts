// q = x·wq, k = x·wk, v = x·wv  ⇒  slices of x·[wq wk wv]
//
// Matrix products (or linears) of one x with constant weights become one product with the weights side by side: one
// bigger contraction keeps a machine busier than three small ones.
import type { Editor } from "@anneal/ir/Editor"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Tensor from "@anneal/ir/Tensor"
import * as DTypes from "@anneal/ir/DType"
import * as Schema from "effect/Schema"
import * as Rewrite from "./Rewrite.ts"

const name = "mergeMatmuls"

const Config = Schema.Struct({
  /** So many products of one x at least. */
  minimum: Schema.Int,
  /** Columns of the merged weight at most. */
  maximumColumns: Schema.Int
})
type Config = typeof Config.Type

interface Product {
  readonly node: Node
  readonly x: Value
  readonly columns: number
}

/** A product with a constant weight [k, n], and a constant bias if it is a linear. */
const productOf = (node: Node, editor: Editor): Product | undefined => {
  if (node.op.name !== Ops.matmul.name && node.op.name !== Ops.linear.name) return undefined
  const [x, w, bias] = editor.inputs(node)
  const weight = editor.constant(w?.id)
  if (x === undefined || weight === undefined || weight.constant.shape.length !== 2) return undefined
  if (bias !== undefined && editor.constant(bias.id) === undefined) return undefined
  const columns = weight.constant.shape[1]
  return columns === undefined ? undefined : { node, x, columns }
}

/** Constants next to each other along the last axis: `[k, n1]`, `[k, n2]` → `[k, n1 + n2]`. */
const sideBySide = (tensors: ReadonlyArray<Tensor.Tensor>): Tensor.Tensor => {
  const [first] = tensors
  const shape = first?.shape ?? [0]
  const dtype = first?.dtype ?? "f32"
  const rows = Tensor.size(shape.slice(0, -1))
  const widths = tensors.map((tensor) => tensor.shape.at(-1) ?? 0)
  const total = widths.reduce((sum, width) => sum + width, 0)
  const data = DTypes.allocate(dtype, rows * total)
  let start = 0
  for (const [index, tensor] of tensors.entries()) {
    const width = widths[index] ?? 0
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < width; column++) {
        const element = tensor.data[row * width + column]
        if (element !== undefined) data[row * total + start + column] = element
      }
    start += width
  }
  return Tensor.make(dtype, [...shape.slice(0, -1), total], data)
}

const merge = (products: ReadonlyArray<Product>, editor: Editor): void => {
  const [first] = products
  const weights = products.flatMap(({ node }) => editor.read(node.inputs[1]) ?? [])
  const biases = products.flatMap(({ node }) => editor.read(node.inputs[2]) ?? [])
  if (first === undefined || weights.length !== products.length) return
  const isLinear = first.node.op.name === Ops.linear.name
  if (biases.length !== (isLinear ? products.length : 0)) return
  const from = products.map(({ node }) => node)
  let merged: Value | undefined
  let start = 0
  for (const { columns, node, x } of products) {
    const offset = start
    editor.replace(
      node,
      name,
      (b) => {
        merged ??= isLinear
          ? b.one(Ops.linear, [x, b.tensor(sideBySide(weights)), b.tensor(sideBySide(biases))], {})
          : b.one(Ops.matmul, [x, b.tensor(sideBySide(weights))], {})
        const shape = merged.type.shape
        const last = shape.length - 1
        return [
          b.one(Ops.slice, [merged], {
            starts: shape.map((_, axis) => (axis === last ? offset : 0)),
            sizes: shape.map((dim, axis) => (axis === last ? columns : dim)),
            steps: shape.map(() => 1)
          })
        ]
      },
      from
    )
    start += columns
  }
}

const merging =
  (config: Config) =>
  (editor: Editor): void => {
    const groups = new Map<string, Array<Product>>()
    for (const node of editor.nodes()) {
      const product = productOf(node, editor)
      if (product === undefined) continue
      const key = `${node.op.name} ${product.x.id}`
      const group = groups.get(key)
      if (group === undefined) groups.set(key, [product])
      else group.push(product)
    }
    for (const group of groups.values()) {
      const columns = group.reduce((sum, product) => sum + product.columns, 0)
      if (group.length >= config.minimum && columns <= config.maximumColumns) merge(group, editor)
    }
  }

export const mergeMatmuls: Rewrite.Rewrite<Config> = Rewrite.plain({
  name,
  version: 1,
  claim: "exact",
  summary: "products of one x with several weights ⇒ one product and slices",
  config: Config,
  defaults: { minimum: 2, maximumColumns: 65_536 },
  rewriting: (config) => Object.assign(merging(config), { ops: new Set([Ops.matmul.name, Ops.linear.name]) })
})
