/**
 * Table: what is done to each element that a gather takes from a constant table is done to the table instead, once, when the
 * engine is loaded.
 *
 *   gelu(gather(w, i) + bias)  ⇒  gather(gelu(w + bias), i)
 *
 * Exact: every element goes through the same operations. Where the table has more elements than are gathered, nothing is won.
 */
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { TensorType } from "@anneal/ir/Type"
import * as Type from "@anneal/ir/Type"
import type { Flat } from "./Flatten.ts"
import * as Flatten from "./Flatten.ts"
import type { Fusion } from "./Program.ts"
import * as Recipe from "./Recipe.ts"

/** A gather whose data depends on constants alone. */
interface Lookup {
  readonly table: Value
  readonly indices: Value
  readonly axis: number
}

/** `record` notes one and gives whether it is to be made. */
export const rewrite = (flat: Flat, record: (fusion: Omit<Fusion, "taken">, refused: boolean) => boolean): Flat => {
  const types = new Map(flat.types)
  const origin = new Map(flat.origin)
  const names = Builder.makeNames(types.keys())
  const constant = new Set(flat.constants.keys())
  const lookups = new Map<string, Lookup>()
  let changed = false
  const valueOf = (id: string): Value | undefined => {
    const type = types.get(id)
    return type === undefined ? undefined : { id, type }
  }
  const nodes = flat.nodes.flatMap((node): ReadonlyArray<Node> => {
    const output = node.outputs[0]
    if (output === undefined) return [node]
    if (isConstant(node, constant)) for (const { id } of node.outputs) constant.add(id)
    const own = lookupOf(node, constant, valueOf)
    if (own !== undefined) lookups.set(output.id, own)
    const found = match(node, lookups, constant, types)
    if (found === undefined) return [node]
    const count = Type.size(output.type)
    const small = Dim.lessOrEqual(found.size, count, positive(output.type)) === true
    const refused = small ? undefined : "the table has more elements than are gathered"
    const [first] = found.gathered
    const taken = record(
      {
        id: `table ${first} ${output.id}`,
        kind: "table",
        members: [first, output.id],
        reason: refused ?? "computed on the table, once",
        saving: Dim.mul(count, DTypes.slotBytes(output.type.dtype))
      },
      refused !== undefined
    )
    if (!taken) return [node]
    changed = true
    const made: Array<Node> = []
    const builder = Builder.over(
      { node: (inner) => void made.push(inner), constant: () => undefined, constraint: () => undefined },
      { value: (wanted) => names.value(`${output.id}.${wanted}`), unbacked: names.unbacked },
      node.lineage
    )
    const operands = node.inputs.map((id) => (id === null ? undefined : (lookups.get(id)?.table ?? valueOf(id))))
    const table = builder.one(node.op, operands, node.attributes)
    const result = builder.one(Ops.gather, [table, found.lookup.indices], { axis: found.lookup.axis })
    constant.add(table.id)
    types.set(table.id, table.type)
    lookups.set(output.id, { ...found.lookup, table })
    return made.map(({ attributes, graphs, inputs, lineage, op, outputs }) => {
      const inner: Node = {
        op,
        attributes,
        graphs,
        lineage,
        inputs,
        outputs: outputs.map(({ id, type }) => (id === result.id ? output : { id, type }))
      }
      origin.set(inner, flat.origin.get(node) ?? node)
      return inner
    })
  })
  return changed ? { ...flat, nodes: Flatten.live(nodes, flat.outputs), types, origin } : flat
}

const isConstant = (node: Node, constant: ReadonlySet<string>): boolean =>
  node.op.binds !== true &&
  node.inputs.length > 0 &&
  node.inputs.every((id) => id === null || constant.has(id)) &&
  node.outputs.every(({ type }) => type.shape.every(Dim.isStatic))

const lookupOf = (
  node: Node,
  constant: ReadonlySet<string>,
  valueOf: (id: string) => Value | undefined
): Lookup | undefined => {
  if (!Graphs.isOp(node, Ops.gather)) return undefined
  const [table, indices] = [valueOf(node.inputs[0] ?? ""), valueOf(node.inputs[1] ?? "")]
  if (table === undefined || indices === undefined || !constant.has(table.id) || constant.has(indices.id))
    return undefined
  const { axis } = node.attributes
  return { table, indices, axis: axis < 0 ? axis + table.type.shape.length : axis }
}

interface Found {
  readonly lookup: Lookup
  /** Ids of the gathers that it reads, at least one. */
  readonly gathered: readonly [string, ...ReadonlyArray<string>]
  /** Elements of the table. */
  readonly size: Dim.Dim
}

/** An elementwise node on gathers by the same indices, and on constants that are the same for every index. */
const match = (
  node: Node,
  lookups: ReadonlyMap<string, Lookup>,
  constant: ReadonlySet<string>,
  types: ReadonlyMap<string, TensorType>
): Found | undefined => {
  const ids = node.inputs.flatMap((id) => (id === null ? [] : [id]))
  const [first, ...others] = ids.filter((id) => lookups.has(id))
  const lookup = lookups.get(first ?? "")
  if (first === undefined || lookup === undefined || ids.length !== node.inputs.length) return undefined
  const recipe = Recipe.ofNode(node, types)
  const isPlain = recipe !== undefined && recipe.displaced.length === 0 && recipe.indices.length === 0
  // Quantisation counts the axes of its scale from those of its operand: another rank is another axis.
  if (!isPlain || node.op.name === "quantize" || node.op.name === "dequantize") return undefined
  const { shape } = lookup.table.type
  const after = shape.length - lookup.axis - 1
  const fits = ids.every((id) => {
    const other = lookups.get(id)
    if (other !== undefined)
      return (
        other.indices.id === lookup.indices.id &&
        other.axis === lookup.axis &&
        other.table.type.shape.join() === shape.join()
      )
    // Constants that reach the table's last axes only are the same at every index.
    const type = types.get(id)
    if (!constant.has(id) || type === undefined) return false
    const reach = type.shape.length - type.shape.findIndex((extent) => extent !== 1)
    return type.shape.every((extent) => extent === 1)
      ? type.shape.length <= shape.length
      : reach <= after && type.shape.length <= shape.length
  })
  return fits ? { lookup, gathered: [first, ...others], size: Dim.product(shape) } : undefined
}

/** Symbols of a type, each at least 1: what is won is won then. */
const positive = (type: TensorType): ReadonlyMap<string, { readonly min: number; readonly max: number }> =>
  new Map(Type.symbols(type).map((name) => [name, { min: 1, max: Number.MAX_SAFE_INTEGER }]))
