// gather(table, i) · w + b  ⇒  gather(table · w + b, i)
//
// What is multiplied with rows of a constant table is multiplied with the table instead, once, when the engine is built: also
// through what is done to each row in between (activations, norms, sums of several lookups), for each tap of a short
// convolution along the places, and for the inputs of a recurrent layer, which is left without a w then.
//
// It pays while the tables stay small: `maximumBytes` of new ones for a product, and a table may have `rowsPerTerm` rows at most for
// each term of the sums that it saves.
import type { Builder } from "@anneal/ir/Builder"
import * as Constants from "@anneal/ir/Constant"
import * as DTypes from "@anneal/ir/DType"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import type { Lookup, Lookups } from "./EmbeddingLookups.ts"
import * as Embedding from "./EmbeddingLookups.ts"
import * as FoldConstants from "./FoldConstants.ts"
import * as Rewrite from "./Rewrite.ts"

const name = "foldEmbedding"

const Config = Schema.Struct({
  /** Bytes of the tables that take the place of one product, at most. */
  maximumBytes: Schema.Int,
  /** Rows of a table for each term of a sum that it saves, at most. */
  rowsPerTerm: Schema.Int
})
type Config = typeof Config.Type

/** Terms of a sum that a lookup must save to be worth a read of its row. */
const leastTerms = 8

/** Whether `taps` tables of `columns` for each lookup pay. */
const pays = ({ parts, width }: Lookups, columns: number, taps: number, dtype: DTypes.DType, config: Config): boolean =>
  width >= leastTerms * parts.length &&
  parts.every(({ rows }) => rows <= config.rowsPerTerm * width) &&
  parts.reduce((sum, { rows }) => sum + DTypes.byteLength(dtype, rows * columns), 0) * taps <= config.maximumBytes

/** Floats whose tables round once more without harm. */
const isWide = ({ type }: Value): boolean => type.dtype === "f32" || type.dtype === "f64"

/** The lookups with another table each; the first may be told apart. */
const multiplied = (
  { parts: [first, ...others] }: Lookups,
  product: (b: Builder, table: Value, isFirst: boolean) => Value
): Lookups["parts"] => {
  const next = (part: Lookup, isFirst: boolean): Lookup => ({
    ...part,
    table: (b) => product(b, part.table(b), isFirst)
  })
  return [next(first, true), ...others.map((part) => next(part, false))]
}

const product = (config: Config): Local => ({
  ops: ["matmul", "linear"],
  apply: (node, editor) => {
    const [x, w, bias] = editor.inputs(node)
    const [, columns] = w?.type.shape ?? []
    if (x === undefined || w === undefined || w.type.shape.length !== 2 || typeof columns !== "number") return false
    if (!isWide(x) || editor.constant(w.id) === undefined || Embedding.isKnown(editor, x.id)) return false
    if (bias !== undefined && editor.constant(bias.id) === undefined) return false
    const given = Embedding.of(editor, x)
    const found = given === undefined ? undefined : Embedding.rowsLast(given)
    if (found === undefined || !pays(found, columns, 1, x.type.dtype, config)) return false
    const parts = multiplied(found, (b, table, isFirst) =>
      bias !== undefined && isFirst ? b.one(Ops.linear, [table, w, bias], {}) : b.one(Ops.matmul, [table, w], {})
    )
    editor.replace(node, name, (b) => [Embedding.build(b, parts)])
    return true
  }
})

/** A table for each tap: out[n, :, t] = Σ_tap table[i[n, t·stride + tap·dilation]] · w[:, :, tap]ᵀ. */
const convolution = (config: Config): Local => ({
  ops: ["conv"],
  apply: (node, editor) => {
    if (!Graphs.isOp(node, Ops.conv)) return false
    const [x, w, bias] = editor.inputs(node)
    const [channels, , taps] = w?.type.shape ?? []
    const output = node.outputs[0]
    const { dilations, groups, padsBegin, padsEnd, strides } = node.attributes
    if (x === undefined || w === undefined || output === undefined || x.type.shape.length !== 3) return false
    if (!isWide(x) || editor.constant(w.id) === undefined || groups !== 1) return false
    if (bias !== undefined && editor.constant(bias.id) === undefined) return false
    if ([...padsBegin, ...padsEnd].some((pad) => pad !== 0)) return false
    if (typeof taps !== "number" || typeof channels !== "number") return false
    // [places of a row, width] seen as [batch, width, place].
    const given = Embedding.of(editor, x)
    const found =
      given === undefined
        ? undefined
        : Embedding.rowsLast({ ...given, order: [0, 2, 1].map((axis) => given.order[axis] ?? 0) })
    if (found === undefined || !pays(found, channels, taps, x.type.dtype, config)) return false
    if (found.parts.length * taps > Embedding.mostParts) return false
    const [batch = 1, , size = 1] = output.type.shape
    const [stride, dilation] = [strides[0] ?? 1, dilations[0] ?? 1]
    const atTap = (tap: number): Lookups["parts"] => {
      const [first, ...others] = multiplied(found, (b, table, isFirst) => {
        const matrix = b.one(Ops.transpose, [tapOf(b, w, tap)], { permutation: [1, 0] })
        const biased = bias !== undefined && isFirst && tap === 0
        return biased ? b.one(Ops.linear, [table, matrix, bias], {}) : b.one(Ops.matmul, [table, matrix], {})
      })
      const shifted = (part: Lookup): Lookup => ({
        ...part,
        indices: (b) =>
          b.one(Ops.slice, [part.indices(b)], {
            starts: [0, tap * dilation],
            sizes: [batch, size],
            steps: [1, stride]
          })
      })
      return [shifted(first), ...others.map(shifted)]
    }
    const [first, ...others] = atTap(0)
    const rest = Array.from({ length: taps - 1 }, (_, tap) => atTap(tap + 1)).flat()
    editor.replace(node, name, (b) => [
      b.one(Ops.transpose, [Embedding.build(b, [first, ...others, ...rest])], { permutation: [0, 2, 1] })
    ])
    return true
  }
})

/** w [channels, width, taps] at one tap: [channels, width]. */
const tapOf = (b: Builder, w: Value, tap: number): Value => {
  const [channels = 1, width = 1] = w.type.shape
  const slice = b.one(Ops.slice, [w], { starts: [0, 0, tap], sizes: [channels, width, 1], steps: [1, 1, 1] })
  return b.one(Ops.reshape, [slice], { shape: [channels, width] })
}

const recurrent = (config: Config): Local => ({
  ops: ["lstm", "gru", "rnn"],
  apply: (node, editor) => {
    const [x, w, ...others] = editor.inputs(node)
    const [directions, rows, width] = w?.type.shape ?? []
    if (x === undefined || w === undefined || !isWide(x) || editor.constant(w.id) === undefined) return false
    if (typeof directions !== "number" || typeof rows !== "number" || typeof width !== "number") return false
    const given = Embedding.of(editor, x)
    const found = given === undefined ? undefined : Embedding.rowsLast(given)
    const columns = directions * rows
    if (found === undefined || !pays(found, columns, 1, x.type.dtype, config)) return false
    const parts = multiplied(found, (b, table) => {
      const flat = b.one(Ops.reshape, [w], { shape: [columns, width] })
      return b.one(Ops.matmul, [table, b.one(Ops.transpose, [flat], { permutation: [1, 0] })], {})
    })
    editor.replace(node, name, (b) =>
      b.node(node.op, [Embedding.build(b, parts), undefined, ...others], node.attributes)
    )
    return true
  }
})

/** Whether a node was made here: its table is computed at once, whatever else folding leaves alone. */
const isOurs = (node: Node): boolean => node.lineage.rewrites.includes(name)

export const foldEmbedding = Rewrite.computing<Config>({
  name,
  version: 1,
  claim: "reassociating",
  summary: "product of rows that a gather takes from a constant table ⇒ rows of the table's product",
  config: Config,
  defaults: { maximumBytes: 4 * 2 ** 20, rowsPerTerm: 32 },
  run: (graph, config) =>
    Effect.gen(function* () {
      const rewriting = Driver.settle([product(config), convolution(config), recurrent(config)], { needs: ["gather"] })
      const edited = Driver.everywhere(graph, Constants.makeReader(), rewriting)
      if (!edited.changed) return edited
      return Driver.after(edited, yield* FoldConstants.folded(edited.graph, graph, isOurs))
    })
})
