/**
 * RegionOracle: what a region's results must be at chosen points, by definition, with a bound for each: what a kernel is
 * held against before it is timed.
 *
 * Sums may be taken in any order: their bound is γ(n) Σ|terms| besides what the terms themselves are off by.
 */
import type { Dim } from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import * as Tensors from "@anneal/ir/Tensor"
import type { Element } from "@anneal/lower/Evaluate"
import * as Evaluate from "@anneal/lower/Evaluate"
import * as Interpret from "@anneal/lower/Interpret"
import * as MainLoops from "@anneal/lower/MainLoops"
import type {
  Attention,
  Contraction,
  Convolution,
  Loop,
  Recurrent,
  Region,
  Rows,
  Stage,
  Whole,
  Window
} from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import type { Elements, Placed } from "./Draw.ts"
import type { Approximate } from "./ErrorBound.ts"
import * as ErrorBound from "./ErrorBound.ts"
import * as ProductSums from "./ProductSums.ts"

/** What an element of a buffer must be. */
export interface Expected {
  readonly buffer: string
  readonly at: number
  readonly value: Element
  /** Absolute; `Infinity` where nothing can be said. */
  readonly bound: number
}

export interface Setting {
  /** Elements by value, of every buffer that is read. */
  readonly buffers: ReadonlyMap<string, Elements>
  readonly size: (dim: Dim) => number
  /** Multiplications or so that may be spent. */
  readonly effort: number
  readonly random: () => number
  /** One of many such looks, at sizes of which little is looked at. Default: no. */
  readonly small?: boolean
  /**
   * For algorithms that add and take away (Winograd): by how much they enlarge roundings of the greatest operand. Their
   * bound is one of norms, not of each result's own terms. Default: they do not.
   */
  readonly amplification?: number
}

const nothing = new Float64Array()

const place = (view: View, { buffers, size }: Setting): Placed => ({
  data: buffers.get(view.buffer) ?? nothing,
  shape: view.shape.map(size),
  offset: size(view.offset),
  strides: view.strides.map(size)
})

const addressOf = ({ offset, strides }: Placed, point: ReadonlyArray<number>): number => {
  let at = offset
  for (let axis = 0; axis < point.length; axis++) at += (point[axis] ?? 0) * (strides[axis] ?? 0)
  return at
}

/** An element of a row. */
const addressIn = (view: Placed, row: ReadonlyArray<number>, point: ReadonlyArray<number>): number => {
  let at = addressOf(view, row)
  for (let axis = 0; axis < point.length; axis++) at += (point[axis] ?? 0) * (view.strides[row.length + axis] ?? 0)
  return at
}

/** A point's number in row-major order. */
const numberOf = (shape: ReadonlyArray<number>, point: ReadonlyArray<number>): number => {
  let at = 0
  for (let axis = 0; axis < shape.length; axis++) at = at * (shape[axis] ?? 1) + (point[axis] ?? 0)
  return at
}

const pointAt = (shape: ReadonlyArray<number>, index: number): ReadonlyArray<number> => {
  const point = new Array<number>(shape.length).fill(0)
  let rest = index
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const extent = shape[axis] ?? 1
    point[axis] = rest % extent
    rest = Math.floor(rest / extent)
  }
  return point
}

/** How far from either end of an axis points are looked at for sure. */
const border = 16

/** The places of an axis near its ends, the outermost first: n − 1, 0, n − 2, 1, … */
const borders = (extent: number): ReadonlyArray<number> => {
  const places = Array.from({ length: Math.min(border, extent) }, (_, away) => [extent - 1 - away, away]).flat()
  return [...new Set(places)]
}

/**
 * Points of a shape: all, or as many: its first and last corner; each of the outermost places of each axis, where tiles end, in turns, for half of
 * them; then points of which half of the coordinates are near an end.
 */
export const sample = (
  shape: ReadonlyArray<number>,
  count: number,
  random: () => number
): ReadonlyArray<ReadonlyArray<number>> => {
  const total = Tensors.size(shape)
  if (total === 0) return []
  if (total <= count) return Array.from({ length: total }, (_, index) => pointAt(shape, index))
  const points = new Map<number, ReadonlyArray<number>>()
  const keep = (point: ReadonlyArray<number>): void => void points.set(numberOf(shape, point), point)
  const add = (fixed: number, place: number): void => {
    const point = shape.map((extent, axis) => {
      if (axis === fixed) return place
      const kind = random()
      if (kind < 0.25) return Math.min(extent - 1, Math.floor(random() * 4))
      if (kind < 0.5) return Math.max(0, extent - 1 - Math.floor(random() * border))
      return Math.floor(random() * extent)
    })
    keep(point)
  }
  // The corner where all axes end, and the one where all begin.
  keep(shape.map((extent) => extent - 1))
  keep(shape.map(() => 0))
  const ends = shape.map((extent) => (extent > 1 ? borders(extent) : []))
  for (let away = 0; away < 2 * border; away++)
    for (const [axis, places] of ends.entries()) {
      const place = places[away]
      if (place !== undefined && points.size < count / 2) add(axis, place)
    }
  for (let tries = 0; points.size < count && tries < 4 * count; tries++) add(-1, 0)
  return [...points.values()]
}

/** Points that are looked at whatever they cost: the corners, and places near the ends. */
const fewestPoints = ({ small = false }: Setting): number => (small ? 16 : 64)
/** Rows, likewise: the elements of a row are looked at together. */
const fewestRows = ({ small = false }: Setting): number => (small ? 3 : 8)

const gamma = (terms: number, roundoff: number): number => 2 * (terms + 2) * roundoff

// ---- loops and main loops -------------------------------------------------------------------------------------------

interface Pass {
  readonly shape: ReadonlyArray<number>
  readonly reads: ReadonlyArray<View>
  readonly results: Loop["results"]
  readonly previous: (name: string, point: ReadonlyArray<number>) => Approximate
  /** What one point costs. */
  readonly cost: number
}

const pass = ({ cost, previous, reads, results, shape }: Pass, setting: Setting): ReadonlyArray<Expected> => {
  const from = reads.map((view) => place(view, setting))
  const to = results.map(({ view }) => place(view, setting))
  const run = ErrorBound.compile(
    results.map(({ value }) => value),
    setting.size
  )
  const count = Math.max(fewestPoints(setting), Math.min(20_000, Math.floor(setting.effort / cost)))
  let point: ReadonlyArray<number> = []
  const here: ErrorBound.Environment = {
    load: (operand, displacement) => {
      const view = from[operand]
      return view === undefined ? 0 : (view.data[addressOf(view, point) + displacement] ?? 0)
    },
    index: (axis) => point[axis] ?? 0,
    previous: (name) => previous(name, point)
  }
  return sample(shape, count, setting.random).flatMap((one) => {
    point = one
    const made = run(here)
    return results.flatMap(({ view }, position) => {
      const [one, target] = [made[position], to[position]]
      if (one === undefined || target === undefined) return []
      return [{ buffer: view.buffer, at: addressOf(target, point), value: one.value, bound: one.error }]
    })
  })
}

/** Main loops are prepared on float64. */
const widened = (placed: Placed) => {
  const { data } = placed
  return { ...placed, data: data instanceof Float32Array ? new Float64Array(data) : data }
}

const magnitudes = <A extends Elements>(elements: A): A | Float64Array =>
  elements instanceof Float64Array ? elements.map(Math.abs) : elements

/** Contractions and convolutions: γ(k) Σ|a·b|; algorithms that add and take away are bound by the greatest |a|, too. */
const products = (region: Contraction | Convolution, setting: Setting): ReadonlyArray<Expected> => {
  const { amplification = 0, size } = setting
  const sums = ProductSums.prepare(region, (view) => place(view, setting), size)
  const depth = region.kind === "contraction" ? size(region.k) : Tensors.size(region.weight.shape.slice(2).map(size))
  const dtype = region.accumulate
  const roundoff = ErrorBound.unitRoundoff(dtype)
  const factor = DTypes.isFloat(dtype) ? gamma(depth, roundoff) : 0
  const greatest = amplification === 0 ? 0 : sums.greatest()
  return pass(
    {
      shape: sums.shape,
      reads: region.epilogue.operands,
      results: region.epilogue.results,
      cost: 2 * depth + 20,
      previous: (_, point) => {
        const { sizes, total, weights } = sums.at(point)
        return {
          value: Evaluate.convert(dtype, total),
          error:
            factor === 0
              ? 0
              : factor * sizes +
                (amplification === 0 ? Number.MIN_VALUE : 2 * amplification * roundoff * greatest * weights)
        }
      }
    },
    setting
  )
}

const windows = (region: Window, setting: Setting): ReadonlyArray<Expected> => {
  const { size } = setting
  const input = widened(place(region.input, setting))
  const loop = MainLoops.prepare(region, () => input, size)
  const depth = Tensors.size(region.kernel)
  const { dtype } = region.input
  const factor = !DTypes.isFloat(dtype) || region.combine === "max" ? 0 : gamma(depth, ErrorBound.unitRoundoff(dtype))
  const absolute =
    factor === 0 ? undefined : MainLoops.prepare(region, () => ({ ...input, data: magnitudes(input.data) }), size)
  return pass(
    {
      shape: loop.shape,
      reads: region.epilogue.operands,
      results: region.epilogue.results,
      cost: 2 * depth + 20,
      previous: (_, point) => ({
        value: loop.sum(point),
        error: absolute === undefined ? 0 : factor * Math.abs(Number(absolute.sum(point))) + Number.MIN_VALUE
      })
    },
    setting
  )
}

// ---- rows -----------------------------------------------------------------------------------------------------------

const reduce = (
  stage: Extract<Stage, { readonly kind: "reduce" }>,
  values: ReadonlyArray<Approximate>
): Approximate => {
  const { combine, dtype } = stage
  const float = DTypes.isFloat(dtype)
  const roundoff = ErrorBound.unitRoundoff(dtype)
  switch (combine) {
    case "sum": {
      let [total, sizes, errors] = [0, 0, 0]
      for (const { error, value } of values) {
        total += Number(value)
        sizes += Math.abs(Number(value))
        errors += error
      }
      if (float)
        return { value: Evaluate.convert(dtype, total), error: errors + gamma(values.length, roundoff) * sizes }
      let whole = 0n
      for (const { value } of values) whole = BigInt.asIntN(64, whole + BigInt(value))
      return { value: Evaluate.convert(dtype, whole), error: errors }
    }
    case "prod": {
      if (!float) {
        let whole = 1n
        for (const { value } of values) whole = BigInt.asIntN(64, whole * BigInt(value))
        return { value: Evaluate.convert(dtype, whole), error: values.some(({ error }) => error > 0) ? Infinity : 0 }
      }
      let [total, relative] = [1, gamma(values.length, roundoff)]
      for (const { error, value } of values) {
        total *= Number(value)
        relative += error === 0 ? 0 : (2 * error) / Math.abs(Number(value))
      }
      return { value: Evaluate.convert(dtype, total), error: relative * Math.abs(total) }
    }
    case "max":
    case "min": {
      let best = values[0]
      let error = 0
      for (const one of values) {
        error = Math.max(error, one.error)
        const isNaN = one.value !== one.value
        if (best === undefined || isNaN || (combine === "max" ? one.value > best.value : one.value < best.value))
          best = best !== undefined && best.value !== best.value ? best : one
      }
      return { value: best?.value ?? 0, error }
    }
    default: {
      const greatest = combine.startsWith("argMax")
      const last = combine.endsWith("Last")
      let best = 0
      let nearTie = false
      for (const [position, one] of values.entries()) {
        const leader = values[best]
        if (position === 0 || leader === undefined) continue
        const better = greatest ? one.value > leader.value : one.value < leader.value
        if (better || (last && one.value === leader.value)) best = position
      }
      const leader = values[best]
      if (leader !== undefined)
        nearTie = values.some(
          ({ error, value }, position) =>
            position !== best &&
            error + leader.error > 0 &&
            Math.abs(Number(value) - Number(leader.value)) <= error + leader.error
        )
      return { value: BigInt(best), error: nearTie ? Infinity : 0 }
    }
  }
}

const rows = (region: Rows, setting: Setting): ReadonlyArray<Expected> => {
  const { size } = setting
  const [outer, inner] = [region.outer.map(size), region.inner.map(size)]
  const rank = outer.length
  const from = region.operands.map((view) => place(view, setting))
  const to = region.results.map(({ view }) => place(view, setting))
  const programs = [...region.stages, ...region.results].map(({ value }) => ErrorBound.compile([value], size))
  const length = Tensors.size(inner)
  const elements = sample(inner, length, setting.random)
  const effort = 10 * (length + 1) * programs.length
  const chosen = sample(
    outer,
    Math.max(fewestRows(setting), Math.min(2_000, Math.floor(setting.effort / effort))),
    setting.random
  )
  const none: Approximate = { value: 0, error: 0 }
  return chosen.flatMap((row) => {
    const byRow = new Map<string, Approximate>()
    const byElement = new Map<string, ReadonlyArray<Approximate>>()
    const at = (which: number, point: ReadonlyArray<number>, position: number): Approximate =>
      programs[which]?.({
        load: (operand, displacement) => {
          const view = from[operand]
          return view === undefined ? 0 : (view.data[addressIn(view, row, point) + displacement] ?? 0)
        },
        index: (axis) => (axis < rank ? row[axis] : point[axis - rank]) ?? 0,
        previous: (name) => byRow.get(name) ?? byElement.get(name)?.[position] ?? none
      })[0] ?? none
    const first = inner.map(() => 0)
    for (const [which, stage] of region.stages.entries()) {
      if (stage.kind === "row") byRow.set(stage.name, at(which, first, 0))
      else {
        const values = elements.map((point, position) => at(which, point, position))
        if (stage.kind === "element") byElement.set(stage.name, values)
        else byRow.set(stage.name, reduce(stage, values))
      }
    }
    return region.results.flatMap(({ per, view }, position) => {
      const target = to[position]
      if (target === undefined) return []
      const which = region.stages.length + position
      const points = per === "row" ? [first] : elements
      return points.map((point, element): Expected => {
        const { error, value } = at(which, point, element)
        return { buffer: view.buffer, at: addressIn(target, row, point), value, bound: error }
      })
    })
  })
}

// ---- attention ------------------------------------------------------------------------------------------------------

const attention = (region: Attention, setting: Setting): ReadonlyArray<Expected> => {
  const { size } = setting
  const [q, k, v, result] = [region.q, region.k, region.v, region.result].map((view) => place(view, setting))
  const mask = region.mask === undefined ? undefined : place(region.mask, setting)
  if (q === undefined || k === undefined || v === undefined || result === undefined) return []
  const [queries = 0, keys = 0, depth = 0, width = 0] = [region.queries, region.keys, region.dim, region.valueDim].map(
    size
  )
  const cost = 3 * keys * (depth + width)
  const shape = [...region.batch.map(size), queries]
  const number = (view: Placed, point: ReadonlyArray<number>): number => Number(view.data[addressOf(view, point)] ?? 0)
  const unit = ErrorBound.unitRoundoff("f32")
  const count = Math.max(fewestRows(setting), Math.min(1_000, Math.floor(setting.effort / Math.max(1, cost))))
  return sample(shape, count, setting.random).flatMap((row) => {
    const batch = row.slice(0, -1)
    const i = row.at(-1) ?? 0
    const scores: Array<number> = []
    let scoreError = 0
    for (let j = 0; j < keys; j++) {
      let [score, sizes] = [0, 0]
      for (let d = 0; d < depth; d++) {
        const term = number(q, [...batch, i, d]) * number(k, [...batch, j, d])
        score += term
        sizes += Math.abs(term)
      }
      const added = mask === undefined ? 0 : number(mask, [...batch, i, j])
      const hidden = region.causal && j > i + keys - queries
      scores.push(hidden ? -Infinity : score * region.scale + added)
      if (!hidden && added !== -Infinity)
        scoreError = Math.max(
          scoreError,
          gamma(depth + 2, unit) * sizes * Math.abs(region.scale) +
            4 * unit * (Number.isFinite(added) ? Math.abs(added) : 0)
        )
    }
    const most = scores.reduce((a, b) => Math.max(a, b), -Infinity)
    const powers = scores.map((score) => Math.exp(score - most))
    const total = powers.reduce((a, b) => a + b, 0)
    return Array.from({ length: width }, (_, c): Expected => {
      let [sum, sizes] = [0, 0]
      for (const [j, power] of powers.entries()) {
        const term = (power / total) * number(v, [...batch, j, c])
        sum += term
        sizes += Math.abs(term)
      }
      return {
        buffer: region.result.buffer,
        at: addressOf(result, [...row, c]),
        value: Evaluate.convert(region.result.dtype, sum),
        // Each probability is off by the scores' error, the exponential's and the sum's.
        bound: sizes * (4 * scoreError + gamma(2 * keys + 16, unit)) + 1e-40
      }
    })
  })
}

/** What the results must be. Of regions that are one node of the graph `NodeOracle` knows. */
export const expectations = (region: Exclude<Region, Recurrent | Whole>, setting: Setting): ReadonlyArray<Expected> => {
  switch (region.kind) {
    case "loop":
      return pass(
        {
          shape: region.domain.map(setting.size),
          reads: region.operands,
          results: region.results,
          cost: 40,
          previous: () => ({ value: 0, error: 0 })
        },
        setting
      )
    case "rows":
      return rows(region, setting)
    case "contraction":
    case "convolution":
      return products(region, setting)
    case "window":
      return windows(region, setting)
    case "attention":
      return attention(region, setting)
  }
}

/** Every element that a view shows, by its place in the buffer. */
export const eachAddress = (view: View, size: Setting["size"], visit: (at: number) => void): void => {
  const [shape, strides] = [view.shape.map(size), view.strides.map(size)]
  const [count, step] = [shape.at(-1) ?? 1, strides.at(-1) ?? 0]
  const rows = { data: new Float64Array(), shape: shape.slice(0, -1), offset: size(view.offset), strides }
  Interpret.forEach(rows.shape, [rows], ([first = 0]) => {
    for (let i = 0, at = first; i < count; i++, at += step) visit(at)
  })
}
