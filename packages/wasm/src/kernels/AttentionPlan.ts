/**
 * AttentionPlan: an attention as its kernels see it: axes of units, rows of queries, strides in bytes, blocks.
 *
 * Heads that share keys and values (an axis along which k and v repeat) become further rows of queries where memory allows:
 * what is loaded of k and v serves all of them.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Attention } from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"

/** Bytes from one to the next along an axis, for each view; `mask` 0 where there is none. */
export interface Steps {
  readonly q: Dim.Dim
  readonly k: Dim.Dim
  readonly v: Dim.Dim
  readonly mask: Dim.Dim
  readonly result: Dim.Dim
}

export interface AttentionShape {
  /** Axes of units besides blocks of queries. */
  readonly outer: ReadonlyArray<{ readonly extent: Dim.Dim; readonly steps: Steps }>
  readonly queries: Dim.Dim
  readonly keys: Dim.Dim
  readonly dim: number
  readonly valueDim: number
  readonly scale: number
  readonly causal: boolean
  readonly masked: boolean
  /** Along queries, keys (0 for q and the result) and the last axes of q, k, v and the result. */
  readonly query: Steps
  readonly key: Steps
  readonly last: Steps
}

const bytes = (view: View | undefined, axis: number): Dim.Dim => Dim.mul(view?.strides[axis] ?? 0, 4)

const same = (a: Dim.Dim, b: Dim.Dim): boolean => Dim.equal(a, b) === true

/** Undefined for dtypes and sizes that no kernel here takes. */
export const shapeOf = (region: Attention): AttentionShape | undefined => {
  const { dim, k, mask, q, result, v, valueDim } = region
  if (typeof dim !== "number" || typeof valueDim !== "number" || dim < 1 || valueDim < 1) return undefined
  for (const view of [q, k, v, result, ...(mask === undefined ? [] : [mask])])
    if (view.dtype !== "f32") return undefined
  const count = region.batch.length
  const along = (axis: number): Steps => ({
    q: bytes(q, axis),
    k: bytes(k, axis),
    v: bytes(v, axis),
    mask: bytes(mask, axis),
    result: bytes(result, axis)
  })
  const outer = region.batch.map((extent, axis) => ({ extent, steps: along(axis) }))
  let queries = region.queries
  let query: Steps = { ...along(count), k: 0, v: 0 }
  let { causal } = region
  for (let axis = outer.at(-1); axis !== undefined; axis = outer.at(-1)) {
    const { extent, steps } = axis
    if (extent !== 1) {
      if (steps.k !== 0 || steps.v !== 0 || (causal && queries !== 1)) break
      const continues = (one: "q" | "mask" | "result"): boolean =>
        queries === 1 || same(steps[one], Dim.mul(query[one], queries))
      if (!continues("q") || !continues("mask") || !continues("result")) break
      // A single query sees every key: causal or not is the same.
      causal = false
      query = queries === 1 ? steps : query
      queries = Dim.mul(queries, extent)
    }
    outer.pop()
  }
  return {
    outer,
    queries,
    keys: region.keys,
    dim,
    valueDim,
    scale: region.scale,
    causal,
    masked: mask !== undefined,
    query,
    key: { q: 0, k: bytes(k, count), v: bytes(v, count), mask: bytes(mask, count + 1), result: 0 },
    last: {
      q: bytes(q, count + 1),
      k: bytes(k, count + 1),
      v: bytes(v, count + 1),
      mask: 0,
      result: bytes(result, count + 1)
    }
  }
}

/** How scores are made: dot products along the last axis, or a block of keys turned round and a register tile. */
export type ScoreMethod = "dot" | "turned"

export interface AttentionPlan {
  readonly shape: AttentionShape
  readonly method: ScoreMethod
  /** Queries that are computed together. */
  readonly rows: number
  /** Queries of a unit: a multiple of `rows`. */
  readonly unitRows: number
  /** Keys of a block: a multiple of 8. */
  readonly block: number
}

/** Values in whole vectors. */
export const paddedValue = ({ valueDim }: AttentionShape): number => Math.ceil(valueDim / 4) * 4

/** Whether values are copied so that rows are whole vectors. */
export const copiesValues = ({ last, valueDim }: AttentionShape): boolean => last.v !== 4 || valueDim % 4 !== 0

export interface ScratchParts {
  /** f32 of each row: the greatest score so far, the sum of exponentials so far. */
  readonly greatest: number
  readonly sums: number
  /** [unitRows][values in whole vectors]. */
  readonly results: number
  /** [rows][block]. */
  readonly scores: number
  /** f32 of each row of a tile: by what earlier results shrink. */
  readonly shrink: number
  /** [dim][block], for `turned`. */
  readonly keys: number
  /** [block][values in whole vectors], where they are copied. */
  readonly values: number
  readonly total: number
}

export const scratchParts = (plan: AttentionPlan): ScratchParts => {
  const { block, method, rows, shape, unitRows } = plan
  const vectors = (floats: number): number => Math.ceil(floats / 4) * 16
  let at = 0
  const take = (size: number): number => {
    const start = at
    at += size
    return start
  }
  const greatest = take(vectors(unitRows))
  const sums = take(vectors(unitRows))
  const results = take(unitRows * paddedValue(shape) * 4)
  const scores = take(rows * block * 4)
  const shrink = take(vectors(rows))
  const keys = take(method === "turned" ? shape.dim * block * 4 : 0)
  const values = take(copiesValues(shape) ? block * paddedValue(shape) * 4 : 0)
  return { greatest, sums, results, scores, shrink, keys, values, total: at }
}

export const unitsOf = ({ shape, unitRows }: AttentionPlan): Dim.Dim =>
  Dim.product([...shape.outer.map(({ extent }) => extent), Dim.ceilDiv(shape.queries, unitRows)])
