/**
 * Rows: kernels for rows regions. Elements of a row one after another, or rows side by side; one or more vectors at a time;
 * elements that several passes need kept, or computed again.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Region, Rows } from "@anneal/lower/Region"
import * as Scalars from "@anneal/lower/Scalar"
import type { Features } from "../Emission.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import * as ScalarCode from "../ScalarCode.ts"
import type { Axis } from "./LoopAxes.ts"
import * as LoopAxes from "./LoopAxes.ts"
import * as LoopCost from "./LoopCost.ts"
import * as LoopNest from "./LoopNest.ts"
import { bytesOf } from "./LoopPoint.ts"
import * as RowsInner from "./RowsInner.ts"
import * as RowsOuter from "./RowsOuter.ts"
import * as RowsPlan from "./RowsPlan.ts"

/** Kernels for a rows region; none for other regions, or where an expression has no code. */
export const candidates = (region: Region, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  if (region.kind !== "rows") return []
  const expressions = [...region.stages, ...region.results].map(({ value }) => value)
  if (ScalarCode.refusal(...expressions) !== undefined) return []
  const { inner, outer } = axesOf(region, expressions, typical)
  const plans = [RowsPlan.make(region, false)]
  const keeping = RowsPlan.make(region, true)
  if (keeping.kept.length > 0) plans.push(keeping)
  const directions: ReadonlyArray<Direction> = canBeSideBySide(region, outer) ? ["inner", "outer"] : ["inner"]
  return plans.flatMap((plan) =>
    directions.flatMap((direction) =>
      unrolls(direction, plan).map((unroll) =>
        kernel(direction, { region, plan, outer, inner, unroll }, typical, features)
      )
    )
  )
}

type Direction = "inner" | "outer"

/** Eight vectors side by side use whole cache lines of what they walk down; of long expressions that would be too much code. */
const unrolls = (direction: Direction, plan: RowsPlan.Plan): ReadonlyArray<number> => {
  const values = [...plan.passes.flatMap(({ reduces }) => reduces), ...plan.elements].map(({ value }) => value)
  return direction === "outer" && LoopCost.workOf(values, true) <= 12 ? [1, 4, 8] : [1, 4]
}

type Shape = Omit<RowsInner.RowsShape, "nest">

const axesOf = (
  region: Rows,
  expressions: ReadonlyArray<Scalars.Scalar>,
  typical: TypicalSizes
): { readonly outer: ReadonlyArray<Axis>; readonly inner: ReadonlyArray<Axis> } => {
  const { operands, results } = region
  const views = [...operands, ...results.map(({ view }) => view)]
  const all = LoopAxes.ofViews([...region.outer, ...region.inner], views)
  const kept = new Set(Scalars.parts(expressions).flatMap((part) => (part.kind === "index" ? [part.axis] : [])))
  // The operand with the most axes decides the order in which memory is gone through.
  const moving = (place: number): number => all.filter(({ strides }) => strides[place] !== 0).length
  const order = views.map((_, place) => place).sort((a, b) => moving(b) - moving(a) || a - b)
  const arrange = (axes: ReadonlyArray<Axis>): ReadonlyArray<Axis> =>
    LoopAxes.collapse(LoopAxes.ordered(axes, order, typical), kept)
  return { outer: arrange(all.slice(0, region.outer.length)), inner: arrange(all.slice(region.outer.length)) }
}

/** Rows in the lanes of a vector: where some operand's rows are neighbours. Positions of 64-bit values have no such code. */
const canBeSideBySide = (region: Rows, outer: ReadonlyArray<Axis>): boolean => {
  const along = outer.at(-1)
  if (along === undefined) return false
  const positions = region.stages.every(
    (stage) => stage.kind !== "reduce" || !stage.combine.startsWith("arg") || bytesOf(stage.value.dtype) < 8
  )
  return positions && region.operands.some((_, operand) => along.strides[operand] === 1)
}

/** Elements that a unit of rows side by side reads. */
const unitElements = 16_384

/** Rows of such a unit: a multiple of those that go together. */
const sideBySide = ({ inner, unroll }: Shape, typical: TypicalSizes): number => {
  const length = inner.reduce((total, { extent }) => total * Math.max(1, Dim.evaluate(extent, typical) ?? 1), 1)
  const together = 4 * unroll
  return together * Math.max(1, Math.floor(Math.min(2048, unitElements / length) / together))
}

const one: Axis = { extent: 1, strides: [], source: undefined }

const kernel = (direction: Direction, shape: Shape, typical: TypicalSizes, { relaxed }: Features): Kernel => {
  const nest =
    direction === "inner"
      ? LoopNest.make([...shape.outer, one], typical)
      : LoopNest.make(shape.outer, typical, sideBySide(shape, typical))
  const full: RowsInner.RowsShape = { ...shape, nest }
  const { emit, scratchOf } = direction === "inner" ? RowsInner : RowsOuter
  return {
    name: `rows-${direction}`,
    config: { unroll: shape.unroll, keep: shape.plan.kept.length > 0 },
    cost: cost(direction, full, typical, relaxed),
    packed: [],
    scratch: scratchOf(full),
    units: nest.units,
    emit: (emission, name) => emit(full, emission, name)
  }
}

/** Nanoseconds: work of each pass, and what each row costs. */
const cost = (
  direction: Direction,
  { inner, outer, plan, region, unroll }: RowsInner.RowsShape,
  typical: TypicalSizes,
  relaxed: boolean
): number => {
  const size = (dim: Dim.Dim): number => Math.max(1, Dim.evaluate(dim, typical) ?? 1)
  const rows = outer.reduce((total, { extent }) => total * size(extent), 1)
  const length = inner.reduce((total, { extent }) => total * size(extent), 1)
  const along = direction === "inner" ? inner.at(-1) : outer.at(-1)
  const run = size(along?.extent ?? 1)
  const passes = [
    ...plan.passes.map(({ keeps, reduces }) => [...reduces, ...keeps].map(({ value }) => value)),
    plan.elements.map(({ value }) => value)
  ]
  const work = passes.reduce((total, values) => {
    const parts = Scalars.parts(values)
    const strided = region.operands.reduce((slow, { dtype }, operand) => {
      const stride = Math.abs(Dim.evaluate(along?.strides[operand] ?? 0, typical) ?? 1)
      if (stride <= 1 || !parts.some((part) => part.kind === "load" && part.operand === operand)) return slow
      // Far apart, each element is in a cache line of its own.
      return slow + (stride * bytesOf(dtype) >= 64 && length * rows > 16384 ? 40 : 6)
    }, 0)
    // A single accumulator waits for its last addition; a walk down columns for the loop.
    const waiting = direction === "outer" ? 8 / unroll : unroll === 1 ? 2 : 0
    return total + (values.length === 0 ? 0 : LoopCost.workOf(values, relaxed) + 1 + strided + waiting)
  }, 0)
  const singles = run % 4 === 0 ? 0 : direction === "inner" ? (run < 4 ? run : 1) : run % 4
  const vectors = run < 4 && direction === "inner" ? 0 : Math.floor(run / 4)
  // Short runs go one by one, each at the price of a vector, and what is left of others, too.
  const perRun = (vectors + singles) * work * LoopCost.instruction
  const runs = (rows * length) / run
  const blocks = direction === "inner" ? rows : rows / Math.min(run, 4 * unroll)
  return runs * (perRun + (direction === "inner" ? 2 * passes.length : 0)) + blocks * (3 * passes.length + unroll) + 30
}
