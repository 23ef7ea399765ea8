/**
 * Loop: kernels for loop regions: vector loops with one, two or four vectors a round, copies, fills, and transposes in blocks.
 */
import type { Loop, Region } from "@anneal/lower/Region"
import * as Scalars from "@anneal/lower/Scalar"
import type { Features } from "../Emission.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import * as ScalarCode from "../ScalarCode.ts"
import * as LoopAxes from "./LoopAxes.ts"
import * as LoopKernel from "./LoopKernel.ts"
import * as LoopNest from "./LoopNest.ts"

/** Kernels for a loop region; none for other regions, or where an expression has no code. */
export const candidates = (region: Region, typical: TypicalSizes, _features: Features): ReadonlyArray<Kernel> => {
  if (region.kind !== "loop") return []
  if (ScalarCode.refusal(...region.results.map(({ value }) => value)) !== undefined) return []
  const axes = axesOf(region, typical)
  return [1, 2, 4].map((unroll) => vectorKernel(region, axes, unroll, typical))
}

/** The axes that indices name must stay; the others merge where they can. The first result's order is followed. */
const axesOf = (region: Loop, typical: TypicalSizes): ReadonlyArray<LoopAxes.Axis> => {
  const { domain, operands, results } = region
  const kept = new Set(
    Scalars.parts(results.map(({ value }) => value)).flatMap((part) => (part.kind === "index" ? [part.axis] : []))
  )
  const views = [...operands, ...results.map(({ view }) => view)]
  const first = operands.length
  const all = LoopAxes.ofViews(domain, views)
  const order = [...results.map((_, result) => first + result), ...operands.map((_, operand) => operand)]
  return LoopAxes.collapse(LoopAxes.ordered(all, order, typical), kept)
}

const vectorKernel = (
  region: Loop,
  axes: ReadonlyArray<LoopAxes.Axis>,
  unroll: number,
  typical: TypicalSizes
): Kernel => {
  const nest = LoopNest.make(axes, typical)
  const shape: LoopKernel.LoopShape = { region, axes, nest, unroll }
  return {
    name: "loop",
    config: { unroll },
    cost: LoopKernel.cost(shape, typical),
    packed: [],
    scratch: 0,
    units: nest.units,
    emit: (emission, name) => LoopKernel.emit(shape, emission, name)
  }
}
