/**
 * Loop: kernels for loop regions: vector loops with one, two or four vectors a round, copies, fills, and transposes in blocks.
 */
import type { Loop, Region } from "@anneal/lower/Region"
import * as Scalars from "@anneal/lower/Scalar"
import type { Features } from "../Emission.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import * as ScalarCode from "../ScalarCode.ts"
import * as LoopAxes from "./LoopAxes.ts"
import * as LoopCopy from "./LoopCopy.ts"
import * as LoopKernel from "./LoopKernel.ts"
import * as LoopNest from "./LoopNest.ts"
import * as LoopTranspose from "./LoopTranspose.ts"

/** Kernels for a loop region; none for other regions, or where an expression has no code. */
export const candidates = (given: Region, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  if (given.kind !== "loop") return []
  if (ScalarCode.refusal(...given.results.map(({ value }) => value)) !== undefined) return []
  const { axes, region } = LoopCopy.asIntegers(given, axesOf(given, typical))
  const nest = LoopNest.make(axes, typical)
  const move = LoopCopy.moveOf(region, nest, typical)
  const vectors = [1, 2, 4].map((unroll) => vectorKernel(region, axes, unroll, typical, features))
  const across = LoopTranspose.shapeOf(region, axes, typical)
  if (across !== undefined)
    return [
      {
        name: "loop-transpose",
        config: {},
        cost: LoopTranspose.cost(across, typical, features.relaxed),
        packed: [],
        scratch: 0,
        units: across.nest.units,
        emit: (emission, name) => LoopTranspose.emit(across, emission, name)
      },
      ...vectors
    ]
  if (move === undefined) return vectors
  const least = Math.min(...vectors.map(({ cost }) => cost))
  return [
    {
      name: `loop-${move.kind}`,
      config: {},
      // The host's own loops use the widest vectors that there are.
      cost: 0.6 * least,
      packed: [],
      scratch: 0,
      units: nest.units,
      emit: (emission, name) => LoopCopy.emit(region, nest, move, emission, name)
    },
    ...vectors
  ]
}

/**
 * The axes that indices name must stay; the others merge where they can. The first result's order is followed, but a row of
 * less than a vector is no row: the colours of an image go around its columns.
 */
const axesOf = (region: Loop, typical: TypicalSizes): ReadonlyArray<LoopAxes.Axis> => {
  const { domain, operands, results } = region
  const kept = new Set(
    Scalars.parts(results.map(({ value }) => value)).flatMap((part) => (part.kind === "index" ? [part.axis] : []))
  )
  const views = [...operands, ...results.map(({ view }) => view)]
  const first = operands.length
  const all = LoopAxes.ofViews(domain, views)
  const order = [...results.map((_, result) => first + result), ...operands.map((_, operand) => operand)]
  return withLongRows(LoopAxes.collapse(LoopAxes.ordered(all, order, typical), kept), operands.length)
}

const isShort = ({ extent }: LoopAxes.Axis): boolean => typeof extent === "number" && extent < 4

const withLongRows = (axes: ReadonlyArray<LoopAxes.Axis>, operands: number): ReadonlyArray<LoopAxes.Axis> => {
  const [around, inner] = axes.slice(-2)
  if (around === undefined || inner === undefined || !isShort(inner) || isShort(around)) return axes
  if (!around.strides.slice(0, operands).includes(1)) return axes
  return [...axes.slice(0, -2), inner, around]
}

const vectorKernel = (
  region: Loop,
  axes: ReadonlyArray<LoopAxes.Axis>,
  unroll: number,
  typical: TypicalSizes,
  { relaxed }: Features
): Kernel => {
  const nest = LoopNest.make(axes, typical)
  const shape: LoopKernel.LoopShape = { region, axes, nest, unroll }
  return {
    name: "loop",
    config: { unroll },
    cost: LoopKernel.cost(shape, typical, relaxed),
    packed: [],
    scratch: 0,
    units: nest.units,
    emit: (emission, name) => LoopKernel.emit(shape, emission, name)
  }
}
