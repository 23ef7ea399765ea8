/**
 * WholePad: padding by reflection, edges or turns that may go back and forth more than once (or is not known not to): a gather whose
 * positions are computed. What goes once at most is a few copies, by other means.
 */
import * as Dim from "@anneal/ir/Dim"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Loop, Whole } from "@anneal/lower/Region"
import type { Indirection, Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import * as LoopKernels from "./Loop.ts"

type Mode = "reflect" | "edge" | "wrap"

export const kernel = ({ members, node, operands, results }: Whole, typical: TypicalSizes): Kernel | undefined => {
  const [x] = operands
  const [y] = results
  if (x === null || x === undefined || y === null || y === undefined || operands.length !== 1) return undefined
  if (!Graphs.isOp(node, Ops.pad)) return undefined
  const { after, before, mode } = node.attributes
  if (mode === "constant" || goesOnce(mode, before, after, x.shape)) return undefined
  const isPadded = (axis: number): boolean => before[axis] !== 0 || after[axis] !== 0
  const steps = x.shape.flatMap((extent, axis): ReadonlyArray<Indirection> => {
    if (!isPadded(axis)) return []
    const at = Scalars.binary("sub", { kind: "index", dtype: "i32", axis }, Scalars.dim(before[axis] ?? 0, "i32"))
    return [{ index: position(mode, at, extent), extent, stride: x.strides[axis] ?? 0 }]
  })
  const region: Loop = {
    kind: "loop",
    id: "pad",
    members,
    domain: y.shape,
    operands: [{ ...x, shape: y.shape, strides: x.strides.map((stride, axis) => (isPadded(axis) ? 0 : stride)) }],
    results: [{ view: y, value: { kind: "load", operand: 0, dtype: x.dtype, indirect: steps } }]
  }
  const features = { relaxed: false, wide: false, threads: false }
  const [best] = LoopKernels.candidates(region, typical, features).toSorted((a, b) => a.cost - b.cost)
  return best === undefined ? undefined : { ...best, name: "pad" }
}

/** The position in the operand of a coordinate that may lie outside of it on either side. */
const position = (mode: Mode, at: Scalar, extent: Dim.Dim): Scalar => {
  const i32 = (value: number): Scalar => Scalars.constant("i32", value)
  const size = Scalars.dim(extent, "i32")
  const last = Scalars.binary("sub", size, i32(1))
  const floored = (a: Scalar, b: Scalar): Scalar => ({
    kind: "binary",
    op: "mod",
    dtype: "i32",
    a,
    b,
    attributes: { rounding: "floor" }
  })
  switch (mode) {
    case "edge":
      return Scalars.binary("min", Scalars.binary("max", at, i32(0)), last)
    case "wrap":
      return floored(at, size)
    case "reflect": {
      // There and back again without the edges twice; a single element is all there is.
      const period = Scalars.binary("max", Scalars.binary("mul", last, i32(2)), i32(1))
      const phase = floored(at, period)
      return Scalars.binary("min", phase, Scalars.binary("sub", period, phase))
    }
  }
}

type Dims = ReadonlyArray<Dim.Dim>

/** Whether each padding is known to be shorter than its axis. */
const goesOnce = (mode: Mode, before: Dims, after: Dims, shape: Dims): boolean =>
  shape.every((extent, axis) =>
    [before[axis] ?? 0, after[axis] ?? 0].every(
      (amount) =>
        amount === 0 ||
        (mode === "edge"
          ? Dim.isPositive(extent) !== false
          : Dim.lessOrEqual(Dim.add(amount, mode === "reflect" ? 1 : 0), extent) === true)
    )
  )
