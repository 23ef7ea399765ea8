/**
 * Attention: softmax(q·kᵀ·scale + mask)·v without its scores in memory.
 *
 *   unit (outer axes, a block of queries):
 *     for each block of keys: scores of a few queries → online softmax → results += exponentials · values
 *     results / sums
 *
 * Source: Dao et al., FlashAttention, 2022.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Region } from "@anneal/lower/Region"
import type { Emission, Features } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { f32, f32x4, i32, memoryFill, select, v128 } from "../Instruction.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import type { Func, Local } from "../ModuleBuilder.ts"
import { Writer } from "../Writer.ts"
import type { AttentionPlan, AttentionShape } from "./AttentionPlan.ts"
import { copiesValues, paddedValue, scratchParts, shapeOf, unitsOf } from "./AttentionPlan.ts"
import { dotScores, tileScores, turnKeys } from "./AttentionScores.ts"
import { argumentsOf, softmaxFunction } from "./AttentionSoftmax.ts"
import { addValues } from "./AttentionValues.ts"

const least = (a: I32, b: I32): I32 => select(i32.lt_s(a, b), a, b)
const greatest = (a: I32, b: I32): I32 => select(i32.gt_s(a, b), a, b)

type Size = number | I32

const asI32 = (size: Size): I32 => (typeof size === "number" ? i32.const(size) : size)

/** Writes the kernel's function: addresses of q, k, v, mask, result, scratch, begin and end of units. */
const emit = (emission: Emission, name: string, plan: AttentionPlan): Func => {
  const { block, method, rows: tileRows, shape, unitRows } = plan
  const { dim, valueDim } = shape
  const parts = scratchParts(plan)
  const registers = emission.features.wide ? 24 : 12
  const wideVectors = emission.features.wide ? 4 : 2
  const resultRow = paddedValue(shape) * 4
  const maskStep = !shape.masked ? undefined : typeof shape.key.mask === "number" ? shape.key.mask : "parameter"
  const softmaxName = `attention-softmax ${shape.scale} ${maskStep ?? "unmasked"}`
  const softmax = emission.shared(softmaxName, () =>
    softmaxFunction(emission, softmaxName, { scale: shape.scale, maskStep })
  )
  return emission.module.func(name, new Array<"i32">(8).fill("i32"), [], (f) => {
    const w = new Writer(f, emission)
    const parameter = (index: number): I32 => f.get({ type: "i32", index })
    const size = (value: Dim.Dim): Size => (typeof value === "number" ? value : emission.hoisted(f, value))
    const scratch = (offset: number): Local<"i32"> => f.let(i32.add(parameter(5), i32.const(offset)))
    const place = {
      greatest: scratch(parts.greatest),
      sums: scratch(parts.sums),
      results: scratch(parts.results),
      scores: scratch(parts.scores),
      shrink: scratch(parts.shrink),
      keys: scratch(parts.keys),
      values: scratch(parts.values)
    }
    const queries = asI32(size(shape.queries))
    const keys = asI32(size(shape.keys))
    const query = { q: size(shape.query.q), mask: size(shape.query.mask), result: size(shape.query.result) }
    const key = { k: size(shape.key.k), v: size(shape.key.v), mask: size(shape.key.mask) }
    const last = {
      q: size(shape.last.q),
      k: size(shape.last.k),
      v: size(shape.last.v),
      result: size(shape.last.result)
    }
    const extents = shape.outer.map(({ extent }) => asI32(size(extent)))
    const queryBlocks = asI32(size(Dim.ceilDiv(shape.queries, unitRows)))
    const times = (index: I32, step: Size): I32 => i32.mul(index, asI32(step))
    const moved = (base: I32, index: I32, step: Size): I32 => (step === 0 ? base : i32.add(base, times(index, step)))

    f.range(parameter(6), parameter(7), 1, (unit) => {
      const rest = f.let(f.get(unit))
      const taken = (known: boolean, extent: I32): I32 => {
        if (known) return i32.const(0)
        const index = f.let(i32.rem_u(f.get(rest), extent))
        f.set(rest, i32.div_u(f.get(rest), extent))
        return f.get(index)
      }
      const single = typeof shape.queries === "number" && shape.queries <= unitRows
      const firstQuery = f.get(f.let(i32.mul(taken(single, queryBlocks), i32.const(unitRows))))
      const pointers = {
        q: f.let(moved(parameter(0), firstQuery, query.q)),
        k: f.let(parameter(1)),
        v: f.let(parameter(2)),
        mask: f.let(moved(parameter(3), firstQuery, query.mask)),
        result: f.let(moved(parameter(4), firstQuery, query.result))
      }
      for (const [axis, { extent, steps }] of [...shape.outer.entries()].reverse()) {
        const index = taken(extent === 1, extents[axis] ?? i32.const(1))
        for (const view of ["q", "k", "v", "mask", "result"] as const)
          if (steps[view] !== 0) f.set(pointers[view], moved(f.get(pointers[view]), index, asI32(size(steps[view]))))
      }
      const many = f.get(f.let(least(i32.const(unitRows), i32.sub(queries, firstQuery))))

      // No score seen yet.
      f.range(0, many, 1, (row) =>
        f.do(f32.store(i32.add(f.get(place.greatest), i32.shl(f.get(row), i32.const(2))), f32.const(-Infinity)))
      )
      f.do(memoryFill(f.get(place.sums), i32.const(0), i32.shl(many, i32.const(2))))
      f.do(memoryFill(f.get(place.results), i32.const(0), i32.mul(many, i32.const(resultRow))))

      // A causal row sees keys up to its own; the block's last row sees the most.
      const shift = f.get(f.let(i32.sub(keys, queries)))
      const end = shape.causal
        ? f.get(f.let(greatest(i32.const(0), least(keys, i32.add(i32.add(firstQuery, many), shift)))))
        : keys
      f.range(0, end, block, (firstKey) => {
        const count = f.get(f.let(least(i32.const(block), i32.sub(end, f.get(firstKey)))))
        const k = f.let(moved(f.get(pointers.k), f.get(firstKey), key.k))
        const v = f.let(moved(f.get(pointers.v), f.get(firstKey), key.v))
        if (method === "turned") turnKeys(w, dim, block, f.get(k), asI32(key.k), last.k, count, f.get(place.keys))
        const copied = copiesValues(shape)
        if (copied) copyValues(w, shape, f.get(v), asI32(key.v), last.v, count, f.get(place.values))

        const tile = (row: I32, rows: number): void => {
          const q = Array.from({ length: rows }, (_, r) =>
            f.let(moved(f.get(pointers.q), i32.add(row, i32.const(r)), query.q))
          )
          const scores = { rows, dim, scoreRow: block * 4, q, qStep: last.q, scores: place.scores, count }
          if (method === "dot") dotScores(w, scores, k, key.k)
          else tileScores(w, scores, f.get(place.keys), block, rows === 1 ? 2 * wideVectors : wideVectors)
          f.range(0, rows, 1, (r) => {
            const index = f.get(f.let(i32.add(row, f.get(r))))
            const own = i32.add(f.get(place.scores), i32.mul(f.get(r), i32.const(block * 4)))
            const seen = i32.sub(i32.add(i32.add(i32.add(firstQuery, index), shift), i32.const(1)), f.get(firstKey))
            const four = i32.shl(index, i32.const(2))
            const visible = shape.causal ? greatest(i32.const(0), least(count, f.get(f.let(seen)))) : count
            const mask = moved(moved(f.get(pointers.mask), index, query.mask), f.get(firstKey), key.mask)
            f.run(
              softmax,
              argumentsOf({
                scores: own,
                count,
                visible,
                mask: shape.masked ? mask : i32.const(0),
                maskStep: asI32(key.mask),
                greatest: i32.add(f.get(place.greatest), four),
                sum: i32.add(f.get(place.sums), four),
                shrink: i32.add(f.get(place.shrink), i32.shl(f.get(r), i32.const(2)))
              })
            )
          })
          const results = f.let(i32.add(f.get(place.results), i32.mul(row, i32.const(resultRow))))
          addValues(w, {
            rows,
            vectors: resultRow / 16,
            registers,
            scores: place.scores,
            scoreRow: block * 4,
            count,
            values: copied ? place.values : v,
            step: copied ? resultRow : key.v,
            results,
            resultRow,
            shrink: place.shrink
          })
        }
        const known = typeof shape.queries === "number" && shape.queries <= unitRows ? shape.queries : undefined
        if (known !== undefined && known <= tileRows) return tile(i32.const(0), known)
        const row = f.let(i32.const(0))
        const whole = (rows: number): void =>
          f.block((out) =>
            f.loop((again) => {
              f.brIf(out, i32.gt_s(i32.add(f.get(row), i32.const(rows)), many))
              tile(f.get(row), rows)
              f.set(row, i32.add(f.get(row), i32.const(rows)))
              f.br(again)
            })
          )
        for (const rows of new Set([tileRows, ...(tileRows > 3 ? [2] : []), 1])) whole(rows)
      })

      // Results.
      f.range(0, many, 1, (row) => {
        const from = f.let(i32.add(f.get(place.results), i32.mul(f.get(row), i32.const(resultRow))))
        const to = f.let(moved(f.get(pointers.result), f.get(row), query.result))
        const sum = f.get(f.let(v128.load32_splat(i32.add(f.get(place.sums), i32.shl(f.get(row), i32.const(2))))))
        const whole = last.result === 4 ? valueDim - (valueDim % 4) : 0
        // The product with no keys at all is 0.
        const divided = (value: ReturnType<typeof v128.load>) => {
          const result = f32x4.div(value, sum)
          if (typeof shape.keys === "number" && shape.keys > 0) return result
          return select(i32.eqz(keys), w.splatF32(0), result)
        }
        f.range(0, whole, 4, (i) => {
          const at = i32.shl(f.get(i), i32.const(2))
          f.do(v128.store(i32.add(f.get(to), at), divided(v128.load(i32.add(f.get(from), at)))))
        })
        f.range(whole, valueDim, 1, (i) => {
          const value = v128.load32_splat(i32.add(f.get(from), i32.shl(f.get(i), i32.const(2))))
          f.do(f32.store(moved(f.get(to), f.get(i), last.result), f32x4.extract_lane(divided(value), 0)))
        })
      })
    })
  })
}

/** A block of values with rows of whole vectors, zeros at their ends. */
const copyValues = (
  w: Writer,
  shape: AttentionShape,
  values: I32,
  keyStep: I32,
  lastStep: Size,
  count: I32,
  target: I32
): void => {
  const { f } = w
  const padded = paddedValue(shape)
  const from = f.let(values)
  const to = f.let(target)
  f.range(0, count, 1, () => {
    if (padded > shape.valueDim) f.do(v128.store(f.get(to), w.splatF32(0), (padded - 4) * 4))
    const element = f.let(f.get(from))
    f.range(0, shape.valueDim, 1, (i) => {
      f.do(f32.store(i32.add(f.get(to), i32.shl(f.get(i), i32.const(2))), f32.load(f.get(element))))
      f.set(element, i32.add(f.get(element), asI32(lastStep)))
    })
    f.set(from, i32.add(f.get(from), keyStep))
    f.set(to, i32.add(f.get(to), i32.const(padded * 4)))
  })
}

const expected = (dim: Dim.Dim, typical: TypicalSizes, otherwise: number): number =>
  typeof dim === "number" ? dim : Math.max(1, Dim.evaluate(dim, typical) ?? otherwise)

/** Nanoseconds. */
const costOf = (plan: AttentionPlan, typical: TypicalSizes, features: Features): number => {
  const { block, method, rows, shape, unitRows } = plan
  const queries = expected(shape.queries, typical, 32)
  const keys = expected(shape.keys, typical, 128)
  const heads = shape.outer.reduce((count, { extent }) => count * expected(extent, typical, 1), 1)
  const rate = features.relaxed ? (features.wide ? 40 : 22) : 12
  // A tile of one row waits for memory more than one of six.
  const share = Math.min(rows, queries) >= 6 ? 1 : Math.min(rows, queries) >= 2 ? 0.75 : 0.5
  const scores = method === "dot" ? shape.dim / (rate * Math.max(0.6, share)) + 0.9 / 4 : shape.dim / (rate * share)
  const values = shape.valueDim / (rate * share)
  const softmax = 3
  const units = Math.ceil(queries / unitRows)
  const turning = method === "turned" ? units * keys * shape.dim * 0.35 : 0
  const copying = copiesValues(shape) ? units * keys * shape.valueDim * 0.8 : 0
  const perBlock = Math.ceil(keys / block) * Math.ceil(queries / rows) * 25
  return (
    60 +
    heads * (queries * keys * (scores + values) + (queries * keys * softmax) / 4 + turning + copying + perBlock + 20)
  )
}

const most = (limit: number, dim: Dim.Dim): number => (typeof dim === "number" ? Math.min(limit, dim) : limit)

export const candidates = (region: Region, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  if (region.kind !== "attention") return []
  const shape = shapeOf(region)
  if (shape === undefined) return []
  const long = Math.max(shape.dim, shape.valueDim) > 128
  const plans: Array<AttentionPlan> = []
  if (shape.dim % 4 === 0 && shape.last.q === 4 && shape.last.k === 4) {
    const rows = most(2, shape.queries)
    plans.push({ shape, method: "dot", rows, unitRows: rows * 8, block: 64 })
  }
  const rows = most(6, shape.queries)
  for (const block of long ? [32] : [64, 128]) plans.push({ shape, method: "turned", rows, unitRows: rows * 8, block })
  return plans.map((plan) => ({
    name: `attention-${plan.method}`,
    config: { rows: plan.rows, unitRows: plan.unitRows, block: plan.block },
    cost: costOf(plan, typical, features),
    packed: [],
    scratch: scratchParts(plan).total,
    units: unitsOf(plan),
    emit: (emission, name) => emit(emission, name, plan)
  }))
}
