// conv(x, w)  ⇒  conv(dequantize(quantize(x)), dequantize(quantize(w)))
//
// The rewrite behind `quantize`: a plain function of graph, ranges, scheme and what to keep. It inserts quantise and
// dequantise nodes and nothing else; folding turns `quantize(weight)` into integer constants afterwards.
import * as Builder from "@anneal/ir/Builder"
import * as Constant from "@anneal/ir/Constant"
import type { Edited } from "@anneal/ir/Editor"
import * as Graph from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { Range } from "@anneal/pipeline/Calibrator"
import type { QuantScheme, QuantSchemes } from "@anneal/pipeline/Target"
import * as Schema from "effect/Schema"
import * as Grid from "./Grid.ts"
import * as Placement from "./Placement.ts"

export interface Options {
  /** By value id. */
  readonly ranges: Readonly<Record<string, Range>>
  readonly schemes: { readonly activations: QuantScheme; readonly weights: QuantScheme }
  /** Products that stay float: op names, value ids or sources in the user's model. */
  readonly keep: ReadonlySet<string>
}

/** What the target cannot do. */
export class NoScheme extends Schema.TaggedError<NoScheme>()("NoScheme", { target: Schema.String, bits: Schema.Int }) {
  override get message(): string {
    return `Target ${this.target} has no static quantisation scheme of ${this.bits}-bit weights with 8-bit activations; choose another precision or target.`
  }
}

/** The first scheme for activations: 8 bits, one scale a tensor, from calibration. */
export const activationScheme = ({ activations }: QuantSchemes): QuantScheme | undefined =>
  activations.find(({ bits, granularity, range }) => bits === 8 && range === "static" && granularity.per === "tensor")

const usesAllBits = ({ bits, usedBits = bits }: QuantScheme): boolean => usedBits === bits

/**
 * The first scheme of each side that has the wanted width. Weights are symmetric, a scale an axis or a tensor.
 * `fullRange`: of weights that use all their bits, where the target would rather have fewer.
 */
export const chooseSchemes = (
  schemes: QuantSchemes,
  bits: 4 | 8,
  fullRange: boolean = false
): Options["schemes"] | undefined => {
  const activations = activationScheme(schemes)
  const weights = schemes.weights.find(
    (scheme) =>
      scheme.bits === bits &&
      scheme.symmetric &&
      scheme.range === "static" &&
      scheme.granularity.per !== "block" &&
      (!fullRange || usesAllBits(scheme))
  )
  return activations === undefined || weights === undefined ? undefined : { activations, weights }
}

/** The range that each value is quantised with: that of all values that share its scale. */
export const sharedRanges = (graph: Graph.Graph, { keep, ranges }: Options): Readonly<Record<string, Range>> => {
  const { groups } = Placement.place(graph, keep)
  const hulls = groupRanges(groups, ranges)
  return Object.fromEntries(
    [...groups].flatMap(([id, group]): ReadonlyArray<readonly [string, Range]> => {
      const range = hulls.get(group)
      return range === undefined ? [] : [[id, range]]
    })
  )
}

/** The hull of the ranges of each group, by the group's first value. */
const groupRanges = (groups: ReadonlyMap<string, string>, ranges: Options["ranges"]): ReadonlyMap<string, Range> => {
  const hulls = new Map<string, Range>()
  for (const [id, group] of groups) {
    const own = ranges[id]
    if (own === undefined) continue
    const hull = hulls.get(group) ?? own
    hulls.set(group, { min: Math.min(hull.min, own.min), max: Math.max(hull.max, own.max) })
  }
  return hulls
}

/** The axis of a weight that has one scale an index, or undefined for one scale in all. */
const weightAxis = (node: Graph.Node, operand: number, rank: number): number | undefined => {
  if (Graph.isOp(node, Ops.conv)) return 0
  if (Graph.isOp(node, Ops.convTranspose)) return node.attributes.groups === 1 ? 1 : undefined
  if (rank !== 2) return undefined
  return operand === 0 ? 0 : 1
}

/** Scales of a weight: the largest magnitude along each index of `axis` (or in all), over the greatest integer. */
const weightScales = (
  tensor: Constant.Constant,
  axis: number | undefined,
  scheme: Grid.GridScheme
): ReadonlyArray<number> => {
  const values = Numbers.toNumbers(Constant.load(tensor))
  const extent = axis === undefined ? 1 : (tensor.shape[axis] ?? 1)
  const inner = axis === undefined ? values.length : tensor.shape.slice(axis + 1).reduce((a, b) => a * b, 1)
  const largest = new Float64Array(extent)
  for (let i = 0; i < values.length; i++) {
    const channel = axis === undefined ? 0 : Math.floor(i / inner) % extent
    largest[channel] = Math.max(largest[channel] ?? 0, Math.abs(values[i] ?? 0))
  }
  return [...largest].map((value) => Grid.fromRange({ min: -value, max: value }, scheme).scale)
}

/** Inserts Q/DQ. Values keep their ids; readers of quantised values read the dequantised ones. */
export const insert = (graph: Graph.Graph, { keep, ranges, schemes }: Options, rewrite: string): Edited => {
  const { groups, products, readers } = Placement.place(graph, keep)
  const quantized = new Set(products)
  if (products.length === 0) return { graph, replaced: new Map(), changed: false }
  const hulls = groupRanges(groups, ranges)
  const index = Graph.index(graph)
  const constants = new Map(graph.constants)
  const nodes: Array<Graph.Node> = []
  const taken = [
    ...graph.inputs.map(({ id }) => id),
    ...constants.keys(),
    ...graph.nodes.flatMap((n) => n.outputs.map(({ id }) => id))
  ]
  const builder = (lineage: Graph.Lineage): Builder.Builder =>
    Builder.over(
      {
        node: (node) => void nodes.push(node),
        constant: (id, entry) => void constants.set(id, entry),
        constraint: () => {}
      },
      names,
      Graph.mergeLineage([lineage], rewrite)
    )
  const names = Builder.makeNames(taken)
  const dequantized = new Map<string, string>()
  const weights = new Map<string, string>()

  const quantizeActivation = (id: string, lineage: Graph.Lineage): void => {
    const group = groups.get(id)
    const range = group === undefined ? undefined : hulls.get(group)
    if (range === undefined) return
    const type = index.type(id)
    const grid = Grid.fromRange(range, schemes.activations)
    const b = builder(lineage)
    const scale = b.tensor(Numbers.scalar(schemes.activations.scale, grid.scale), { id: `${id}_scale` })
    const zero = b.tensor(Numbers.scalar(grid.dtype, grid.zeroPoint), { id: `${id}_zero` })
    const placed = { axis: 0, block: 0 }
    const q = b.one(
      Ops.quantize,
      [{ id, type }, scale, zero],
      { ...placed, to: grid.dtype, saturate: true },
      { ids: [`${id}_q`] }
    )
    const x = b.one(Ops.dequantize, [q, scale, zero], { ...placed, to: type.dtype }, { ids: [`${id}_dq`] })
    dequantized.set(id, x.id)
  }

  const quantizeWeight = (node: Graph.Node, operand: number, id: string): string | undefined => {
    const entry = graph.constants.get(id)
    if (entry === undefined) return undefined
    const type = Graph.constantType(entry)
    const perAxis = schemes.weights.granularity.per === "axis"
    const axis = perAxis ? weightAxis(node, operand, type.shape.length) : undefined
    const key = `${id} ${axis ?? "all"}`
    const before = weights.get(key)
    if (before !== undefined) return before
    const scales = weightScales(entry.constant, axis, schemes.weights)
    const dtype = schemes.weights.bits === 4 ? "i4" : "i8"
    const b = builder(node.lineage)
    const scale = b.tensor(
      Numbers.fromNumbers(schemes.weights.scale, axis === undefined ? [] : [scales.length], scales),
      {
        id: `${id}_scale`
      }
    )
    const placed = { axis: axis ?? 0, block: 0 }
    const q = b.one(Ops.quantize, [{ id, type }, scale], { ...placed, to: dtype, saturate: true }, { ids: [`${id}_q`] })
    const x = b.one(Ops.dequantize, [q, scale], { ...placed, to: type.dtype }, { ids: [`${id}_dq`] })
    weights.set(key, x.id)
    return x.id
  }

  for (const { id } of graph.inputs) {
    // An input has no node: its quantisation comes from those that read it.
    const users = index.users(id).filter((user) => readers.has(user))
    quantizeActivation(id, Graph.mergeLineage(users.map(({ lineage }) => lineage)))
  }
  for (const node of graph.nodes) {
    const isProduct = quantized.has(node)
    const inputs = node.inputs.map((id, operand) => {
      if (id === null || !readers.has(node)) return id
      if (isProduct && operand < 2 && graph.constants.has(id)) return quantizeWeight(node, operand, id) ?? id
      return isProduct && operand > 1 ? id : (dequantized.get(id) ?? id)
    })
    nodes.push(inputs.every((id, position) => id === node.inputs[position]) ? node : { ...node, inputs })
    for (const output of node.outputs) quantizeActivation(output.id, node.lineage)
  }
  return { graph: { ...graph, nodes, constants }, replaced: new Map(), changed: true }
}
