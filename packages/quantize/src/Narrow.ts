// f32 → f16 or bf16:  softmax(matmul(%x, %w))  ⇒  cast(softmax(matmul(cast(%x), cast(%w))))
//
// Only casts are put in. A node that the target runs in the narrow type takes narrow operands and gives narrow results;
// casts stand where narrow and wide meet, so between two narrow nodes there is none. Inputs and outputs keep their
// types; so do integers, booleans, f64, what a model has quantised or cast itself, and groups of nodes that only move
// elements, which would lose precision and gain nothing. Reductions inside composites are f32 by their own expansion.
import * as Builder from "@anneal/ir/Builder"
import * as Constant from "@anneal/ir/Constant"
import * as DType from "@anneal/ir/DType"
import type { Edited } from "@anneal/ir/Editor"
import * as Editor from "@anneal/ir/Editor"
import { IrError } from "@anneal/ir/Errors"
import * as Float from "@anneal/ir/Float"
import * as Graph from "@anneal/ir/Graph"
import * as Infer from "@anneal/ir/Infer"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { TensorType } from "@anneal/ir/Type"
import type { Range } from "@anneal/pipeline/Calibrator"
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import * as Pass from "@anneal/pipeline/Pass"
import { Ranges } from "@anneal/pipeline/Ranges"
import { Target, type TargetService } from "@anneal/pipeline/Target"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Placement from "./Placement.ts"

export type Narrow = "f16" | "bf16"

const Excess = Schema.Struct({ value: Schema.String, min: Schema.Finite, max: Schema.Finite, node: Schema.String })

/** Values that the narrow type cannot hold. */
export class DoesNotFit extends Schema.TaggedError<DoesNotFit>()("DoesNotFit", {
  to: Schema.Literals(["f16", "bf16"]),
  values: Schema.Array(Excess)
}) {
  override get message(): string {
    const { max, minSubnormal } = Float.formats[this.to]
    return [
      `${this.values.length} values do not fit ${this.to} (magnitudes from ${minSubnormal} to ${max}):`,
      ...this.values.map(({ max: high, min, node, value }) => `  %${value} in [${min}, ${high}], at ${node}`),
      `Keep those nodes in f32 (keep: their ops, results or sources)${this.to === "f16" ? ", or use bf16, which has the range of f32" : ""}.`
    ].join("\n")
  }
}

// ---- which nodes ----------------------------------------------------------------------------------------------------

const conversions = new Set([Ops.cast, Ops.bitcast, Ops.quantize, Ops.dequantize].map((op) => op.name))

const narrowed = (type: TensorType, to: Narrow): TensorType => (type.dtype === "f32" ? { ...type, dtype: to } : type)

/** The results' types once the f32 operands are narrow; undefined when the op does not take them. */
const narrowResults = (node: Graph.Node, index: Graph.Index, to: Narrow): ReadonlyArray<TensorType> | undefined => {
  const operands = node.inputs.map((id) => (id === null ? undefined : narrowed(index.type(id), to)))
  const names = Builder.makeNames([], { next: 1_000_000_000 })
  try {
    const { types } = Infer.infer(node.op, operands, node.attributes, node.graphs, names.unbacked)
    // Sizes stay as they were: only the element type is new.
    return node.outputs.map(({ type }, position) => ({ ...type, dtype: types[position]?.dtype ?? type.dtype }))
  } catch (error) {
    if (error instanceof IrError) return undefined
    throw error
  }
}

const isMovement = (node: Graph.Node): boolean => node.op.error.kind === "movement" || node.op.error.kind === "exact"

interface Options {
  readonly to: Narrow
  readonly keep: ReadonlySet<string>
  readonly target: Pick<TargetService, "supports">
}

/** Nodes that become narrow, with the types of their results. */
const choose = (
  graph: Graph.Graph,
  index: Graph.Index,
  { keep, target, to }: Options
): ReadonlyMap<Graph.Node, ReadonlyArray<TensorType>> => {
  const able = new Map<Graph.Node, ReadonlyArray<TensorType>>()
  for (const node of graph.nodes) {
    if (conversions.has(node.op.name) || Object.keys(node.graphs).length > 0 || Placement.isNamed(node, keep)) continue
    const operands = node.inputs.flatMap((id) => (id === null ? [] : [index.type(id).dtype]))
    if (!operands.includes("f32")) continue
    const results = narrowResults(node, index, to)
    if (results === undefined) continue
    const dtypes = [...operands.map((dtype) => (dtype === "f32" ? to : dtype)), ...results.map(({ dtype }) => dtype)]
    if (target.supports(node.op, dtypes)) able.set(node, results)
  }
  // Groups that are joined by narrow values; those without arithmetic stay wide.
  const seen = new Set<Graph.Node>()
  for (const start of able.keys()) {
    if (seen.has(start)) continue
    const group: Array<Graph.Node> = []
    const pending = [start]
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      if (seen.has(node) || !able.has(node)) continue
      seen.add(node)
      group.push(node)
      for (const id of node.inputs) {
        const producer = id === null ? undefined : index.producer(id)
        if (producer !== undefined && id !== null && index.type(id).dtype === "f32") pending.push(producer)
      }
      for (const { id, type } of node.outputs) if (type.dtype === "f32") pending.push(...index.users(id))
    }
    if (group.every(isMovement)) for (const node of group) able.delete(node)
  }
  return able
}

// ---- what does not fit ----------------------------------------------------------------------------------------------

/** Finite extremes of a constant, and whether all that is not zero would become zero. */
const extremesOf = (constant: Constant.Constant, to: Narrow) => {
  let [min, max, some, left] = [Infinity, -Infinity, false, false]
  for (const value of Numbers.toNumbers(Constant.load(constant))) {
    if (!Number.isFinite(value)) continue
    min = Math.min(min, value)
    max = Math.max(max, value)
    if (value === 0) continue
    some = true
    left ||= Float.round(to, value) !== 0
  }
  return { min, max, vanishes: some && !left }
}

/** A limit of `clip` beyond the type's range is no limit at all, narrow or wide. */
const isHarmless = (node: Graph.Node, operand: number): boolean => Graph.isOp(node, Ops.clip) && operand > 0

interface Checked {
  readonly excess: ReadonlyArray<typeof Excess.Type>
  /** Activations without a range. */
  readonly unchecked: number
}

const checkFit = (
  graph: Graph.Graph,
  index: Graph.Index,
  chosen: ReadonlyMap<Graph.Node, unknown>,
  to: Narrow,
  ranges: Readonly<Record<string, Range>> | undefined
): Checked => {
  const { max: limit } = Float.formats[to]
  const excess: Array<typeof Excess.Type> = []
  const seen = new Set<string>()
  let unchecked = 0
  const check = (node: Graph.Node, id: string): void => {
    if (seen.has(id) || index.type(id).dtype !== "f32") return
    seen.add(id)
    const entry = graph.constants.get(id)
    if (entry !== undefined) {
      const { max, min, vanishes } = extremesOf(entry.constant, to)
      if (vanishes || max > limit || min < -limit) excess.push({ value: id, min, max, node: Graph.nodeName(node) })
      return
    }
    const range = ranges?.[id]
    if (range === undefined) unchecked++
    else if (range.max > limit || range.min < -limit) excess.push({ value: id, ...range, node: Graph.nodeName(node) })
  }
  for (const node of chosen.keys()) {
    for (const [operand, id] of node.inputs.entries()) if (id !== null && !isHarmless(node, operand)) check(node, id)
    for (const { id } of node.outputs) check(node, id)
  }
  return { excess, unchecked }
}

// ---- the rewrite ----------------------------------------------------------------------------------------------------

export interface Narrowed extends Edited, Checked {}

/**
 * Puts the casts in. `ranges` are by value id of the outer graph; values inside control flow have none. Results that
 * stay f32 keep their ids; a narrow one has the id with the type behind it: `%y_f16`.
 */
export const insert = (
  graph: Graph.Graph,
  options: Options & { readonly ranges: Readonly<Record<string, Range>> | undefined },
  rewrite: string
): Narrowed => {
  const { to } = options
  const index = Graph.index(graph)
  const chosen = choose(graph, index, options)
  const { excess, unchecked } = checkFit(graph, index, chosen, to, options.ranges)
  const inner = graph.nodes.flatMap((node) => Object.values(node.graphs))
  const bodies = new Map(inner.map((body) => [body, insert(body, { ...options, ranges: undefined }, rewrite)] as const))
  const problems: Checked = {
    excess: [...excess, ...[...bodies.values()].flatMap((body) => body.excess)],
    unchecked: [...bodies.values()].reduce((sum, body) => sum + body.unchecked, unchecked)
  }
  const innerChanged = [...bodies.values()].some(({ changed }) => changed)
  if (chosen.size === 0 && !innerChanged) return { graph, replaced: new Map(), changed: false, ...problems }

  const names = Builder.makeNames(
    [...graph.inputs.map(({ id }) => id), ...graph.constants.keys(), ...graph.nodes.flatMap(valueIds)],
    { next: Editor.firstFreeUnbacked(graph) }
  )
  const nodes: Array<Graph.Node> = []
  const cast = (id: string, from: TensorType, result: string, dtype: DType.DType, lineage: Graph.Lineage): void =>
    void nodes.push({
      op: Ops.cast,
      inputs: [id],
      outputs: [{ id: result, type: { ...from, dtype } }],
      attributes: { to: dtype, saturate: false },
      graphs: {},
      lineage: Graph.mergeLineage([lineage], rewrite)
    })
  const narrow = new Map<string, string>()
  const narrowOf = (id: string, lineage: Graph.Lineage): string => {
    const known = narrow.get(id)
    if (known !== undefined) return known
    const made = names.value(`${id}_${to}`)
    cast(id, index.type(id), made, to, lineage)
    narrow.set(id, made)
    return made
  }
  const isWanted = (id: string): boolean => index.isOutput(id) || index.users(id).some((user) => !chosen.has(user))
  const replaced = new Map<string, string>()
  for (const node of graph.nodes) {
    const results = chosen.get(node)
    if (results === undefined) {
      nodes.push(withBodies(node, bodies))
      continue
    }
    const inputs = node.inputs.map((id) =>
      id !== null && index.type(id).dtype === "f32" ? narrowOf(id, node.lineage) : id
    )
    const outputs = node.outputs.map(({ id, type }, position): Graph.Value => {
      const result = results[position] ?? type
      if (result.dtype === type.dtype) return { id, type }
      const made = names.value(`${id}_${to}`)
      narrow.set(id, made)
      return { id: made, type: result }
    })
    nodes.push({ ...node, inputs, outputs, lineage: Graph.mergeLineage([node.lineage], rewrite) })
    for (const [position, { id, type }] of node.outputs.entries()) {
      const made = outputs[position]
      if (made === undefined || made.id === id) continue
      if (isWanted(id)) cast(made.id, made.type, id, type.dtype, node.lineage)
      else replaced.set(id, made.id)
    }
  }
  return { graph: { ...graph, nodes }, replaced, changed: true, ...problems }
}

const valueIds = (node: Graph.Node): ReadonlyArray<string> => node.outputs.map(({ id }) => id)

const withBodies = (node: Graph.Node, bodies: ReadonlyMap<Graph.Graph, Narrowed>): Graph.Node => {
  const own = Object.entries(node.graphs)
  if (own.every(([, body]) => bodies.get(body)?.changed !== true)) return node
  return { ...node, graphs: Object.fromEntries(own.map(([name, body]) => [name, bodies.get(body)?.graph ?? body])) }
}

// ---- the passes -----------------------------------------------------------------------------------------------------

const Config = Schema.Struct({
  to: Schema.Literals(["f16", "bf16"]),
  /** Nodes that stay f32: op names, value ids or sources in the user's model. */
  keep: Schema.Array(Schema.String)
})

const apply = (
  graph: Graph.Graph,
  { keep, to }: typeof Config.Type,
  target: TargetService,
  ranges: Readonly<Record<string, Range>> | undefined,
  name: string
) =>
  Effect.gen(function* () {
    const { excess, unchecked, ...edited } = insert(graph, { to, keep: new Set(keep), target, ranges }, name)
    if (excess.length > 0) return yield* new DoesNotFit({ to, values: excess })
    if (unchecked > 0)
      yield* Diagnostic.report({
        severity: "warning",
        code: "activations-not-checked",
        message: `${unchecked} activations become ${to} without a measured range: whether they fit is not known`,
        action: 'calibrate with watch "all" and narrow with the ranges'
      })
    return edited
  })

/** Narrows where measured ranges and constants fit. Needs ranges of all values: calibrate with `watch: "all"`. */
export const narrow = Pass.make({
  name: "narrow",
  version: 1,
  claims: "lossy",
  config: Config,
  needs: [Ranges, Target],
  run: Effect.fnUntraced(function* (graph, config) {
    return yield* apply(graph, config, yield* Target, (yield* Ranges).of, "narrow")
  })
})

/** The same without ranges: constants are checked, and the build is told that activations were not. */
export const narrowUnchecked = Pass.make({
  name: "narrowUnchecked",
  version: 1,
  claims: "lossy",
  config: Config,
  needs: [Target],
  run: Effect.fnUntraced(function* (graph, config) {
    return yield* apply(graph, config, yield* Target, undefined, "narrowUnchecked")
  })
})
