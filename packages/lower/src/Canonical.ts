/**
 * Canonical: the same loop in fewer, larger axes: axes of one element go, neighbours along which every view runs on are
 * merged, and the axis along which results are dense comes last.
 *
 *   [1, 16, 32, 32], all dense ⇒ [16384]
 */
import * as Dim from "@anneal/ir/Dim"
import type { Shape } from "./Movement.ts"
import type { Loop, Rows } from "./Region.ts"
import type { Scalar } from "./Scalar.ts"
import * as Scalars from "./Scalar.ts"
import * as View from "./View.ts"

/** Axes of a domain in runs: each run becomes one axis, in this order. */
type Runs = ReadonlyArray<ReadonlyArray<number>>

const indexed = (scalars: ReadonlyArray<Scalar>): ReadonlySet<number> =>
  new Set(Scalars.parts(scalars).flatMap((part) => (part.kind === "index" ? [part.axis] : [])))

/** Axes by the steps of a view, largest first; as they are where a step is not known. */
const byStride = (axes: ReadonlyArray<number>, view: View.View | undefined): ReadonlyArray<number> => {
  if (view === undefined) return axes
  const steps = new Map(axes.map((axis) => [axis, view.strides[axis] ?? 0]))
  const known = new Map<number, number>()
  for (const [axis, step] of steps) if (typeof step === "number") known.set(axis, Math.abs(step))
  // A stride of 0 says nothing about order; with one unknown nothing is moved.
  if (known.size < axes.length || [...known].some(([axis, step]) => step === 0 && view.shape[axis] !== 1)) return axes
  return [...axes].sort((a, b) => (known.get(b) ?? 0) - (known.get(a) ?? 0) || a - b)
}

const runsOf = (
  axes: ReadonlyArray<number>,
  domain: Shape,
  views: ReadonlyArray<View.View>,
  apart: ReadonlySet<number>
): Runs => {
  const runs: Array<Array<number>> = []
  for (const axis of axes) {
    if (domain[axis] === 1 && !apart.has(axis)) continue
    const last = runs.at(-1)
    const before = last?.at(-1)
    const merges =
      before !== undefined &&
      !apart.has(axis) &&
      !apart.has(before) &&
      views.every(
        ({ strides }) => Dim.equal(strides[before] ?? 0, Dim.mul(strides[axis] ?? 0, domain[axis] ?? 1)) === true
      )
    if (merges && last !== undefined) last.push(axis)
    else runs.push([axis])
  }
  return runs
}

const viewOver = (runs: Runs, domain: Shape, view: View.View): View.View => ({
  ...view,
  shape: runs.map((run) => Dim.product(run.map((axis) => domain[axis] ?? 1))),
  strides: runs.map((run) => view.strides[run.at(-1) ?? 0] ?? 0)
})

const scalarOver =
  (runs: Runs, seen: Map<Scalar, Scalar>) =>
  (scalar: Scalar): Scalar =>
    Scalars.map(
      scalar,
      (part) => (part.kind === "index" ? { ...part, axis: runs.findIndex((run) => run.includes(part.axis)) } : part),
      seen
    )

export const loop = (region: Loop): Loop => {
  const { domain, operands, results } = region
  const apart = indexed(results.map(({ value }) => value))
  const views = [...operands, ...results.map(({ view }) => view)]
  const axes = byStride(
    domain.map((_, axis) => axis),
    results[0]?.view
  )
  const runs = runsOf(axes, domain, views, apart)
  const change = scalarOver(runs, new Map())
  return {
    ...region,
    domain: runs.map((run) => Dim.product(run.map((axis) => domain[axis] ?? 1))),
    operands: operands.map((view) => viewOver(runs, domain, view)),
    results: results.map(({ value, view }) => ({ value: change(value), view: viewOver(runs, domain, view) }))
  }
}

/** Rows over a domain in any order of axes: outer ones first, then inner ones, each merged. */
export const rows = (region: Omit<Rows, "outer" | "inner">, domain: Shape, inner: ReadonlyArray<boolean>): Rows => {
  const { operands, results, stages } = region
  const apart = indexed([...results, ...stages].map(({ value }) => value))
  const views = [...operands, ...results.map(({ view }) => view)]
  const outerAxes = domain.flatMap((_, axis) => (inner[axis] === true ? [] : [axis]))
  const innerAxes = domain.flatMap((_, axis) => (inner[axis] === true ? [axis] : []))
  // The order of inner axes is the order of a float sum: it stays as it is.
  const outerRuns = runsOf(byStride(outerAxes, results[0]?.view), domain, views, apart)
  const innerRuns = runsOf(innerAxes, domain, views, apart)
  const runs = [...outerRuns, ...(innerRuns.length === 0 && innerAxes.length > 0 ? [innerAxes.slice(-1)] : innerRuns)]
  const change = scalarOver(runs, new Map())
  const extents = runs.map((run) => Dim.product(run.map((axis) => domain[axis] ?? 1)))
  return {
    ...region,
    outer: extents.slice(0, outerRuns.length),
    inner: extents.slice(outerRuns.length),
    operands: operands.map((view) => viewOver(runs, domain, view)),
    stages: stages.map((stage) => Object.assign({}, stage, { value: change(stage.value) })),
    results: results.map(({ per, value, view }) => ({ per, value: change(value), view: viewOver(runs, domain, view) }))
  }
}
