/**
 * Window: kernels for max and average pooling. A window that never leaves the data is a reduction over its taps, and has the
 * kernels of rows, too.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Region, Rows, Window } from "@anneal/lower/Region"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import type { View } from "@anneal/lower/View"
import type { Features } from "../Emission.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import * as ScalarCode from "../ScalarCode.ts"
import type { Axis } from "./LoopAxes.ts"
import * as LoopCost from "./LoopCost.ts"
import * as LoopNest from "./LoopNest.ts"
import * as RowsKernels from "./Rows.ts"
import * as WindowKernel from "./WindowKernel.ts"

/** Kernels for a window region; none for other regions, or where an expression has no code. */
export const candidates = (region: Region, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  if (region.kind !== "window") return []
  if (ScalarCode.refusal(...region.epilogue.results.map(({ value }) => value)) !== undefined) return []
  const rows = asRows(region)
  const last = region.out.length + 1
  return [
    ...[1, 2, 4].map((unroll) => kernel(region, 1, unroll, typical, features)),
    kernel(region, last, 1, typical, features),
    ...(rows === undefined ? [] : RowsKernels.candidates(rows, typical, features))
  ]
}

/** What `previous "accumulator"` is: the input's dtype for a maximum, the epilogue says it for a mean. */
const accumulatorOf = ({ combine, epilogue, input }: Window): DType => {
  if (combine === "max") return input.dtype
  const named = Scalars.parts(epilogue.results.map(({ value }) => value)).find(({ kind }) => kind === "previous")
  return named?.dtype ?? input.dtype
}

/** Narrow floats and bools compare in wider forms, integers add in 64 bits. */
const computedIn = (dtype: DType, combine: Window["combine"]): DType => {
  if (DTypes.isNarrowFloat(dtype)) return "f32"
  if (dtype === "bool") return "u8"
  return combine === "average" && DTypes.isInteger(dtype) && dtype !== "u64" ? "i64" : dtype
}

/** The region with the accumulator in the dtype that it is computed in. */
const prepared = (region: Window): { readonly region: Window; readonly accumulate: DType } => {
  const wanted = accumulatorOf(region)
  const accumulate = computedIn(wanted, region.combine)
  if (accumulate === wanted) return { region, accumulate }
  const results = region.epilogue.results.map(({ value, view }) => ({
    view,
    value: Scalars.map(value, (part) =>
      part.kind === "previous" ? Scalars.cast(Scalars.previous(part.name, accumulate), wanted) : part
    )
  }))
  return { region: { ...region, epilogue: { ...region.epilogue, results } }, accumulate }
}

const kernel = (given: Window, along: number, unroll: number, typical: TypicalSizes, { relaxed }: Features): Kernel => {
  const { accumulate, region } = prepared(given)
  const { epilogue, input, out, strides } = region
  const views = [...epilogue.operands, ...epilogue.results.map(({ view }) => view)]
  const domain = [...input.shape.slice(0, 2), ...out]
  const axes = domain.map((extent, source): Axis => {
    const step = source < 2 ? 1 : (strides[source - 2] ?? 1)
    return {
      extent,
      source,
      strides: [Dim.mul(input.strides[source] ?? 0, step), ...views.map((view) => view.strides[source] ?? 0)]
    }
  })
  // The result's order, but for the axis of the lanes, which is last.
  const place = 1 + epilogue.operands.length
  const size = (dim: Dim.Dim): number => Math.abs(Dim.evaluate(dim, typical) ?? 1)
  const inner = axes.filter(({ source }) => source === along)
  const outer = axes
    .filter(({ extent, source }) => source !== along && extent !== 1)
    .toSorted((a, b) => size(b.strides[place] ?? 0) - size(a.strides[place] ?? 0))
  const ordered = [...outer, ...inner]
  const nest = LoopNest.make(ordered, typical)
  const shape: WindowKernel.WindowShape = { region, along, axes: ordered, nest, unroll, accumulate }
  return {
    name: along === 1 ? "window-channels" : "window-row",
    config: { unroll },
    cost: cost(shape, typical, relaxed),
    packed: [],
    scratch: 0,
    units: nest.units,
    emit: (emission, name) => WindowKernel.emit(shape, emission, name)
  }
}

/** Nanoseconds. */
const cost = (
  { along, axes, nest, region, unroll }: WindowKernel.WindowShape,
  typical: TypicalSizes,
  relaxed: boolean
): number => {
  const size = (dim: Dim.Dim): number => Math.max(0, Dim.evaluate(dim, typical) ?? 1)
  const results = axes.reduce((total, { extent }) => total * size(extent), 1)
  const taps = region.kernel.reduce((total, extent) => total * extent, 1)
  const run = size(nest.inner.extent)
  const stride = Math.abs(Dim.evaluate(nest.inner.strides[0] ?? 0, typical) ?? 1)
  const load = stride === 1 ? 1 : stride === 2 ? 2 : 6
  const each = region.combine === "max" ? 3 : 1
  // Results at the edges, or short of a vector, go one by one.
  const edges = along === 1 ? run % 4 : Math.min(run, (run % 4) + 2 * (size(region.padsBegin.at(-1) ?? 0) > 0 ? 1 : 0))
  const singles = run === 0 ? 0 : (results / run) * edges
  const tail =
    LoopCost.workOf(
      region.epilogue.results.map(({ value }) => value),
      relaxed
    ) + 4
  const vectors = (results - singles) / 4
  return (
    (vectors * (taps * (load + each) + tail + 4 / unroll) + singles * (taps * 3 + tail)) * LoopCost.instruction + 30
  )
}

/** The window as rows over its taps, where no window leaves the data. */
const asRows = (region: Window): Rows | undefined => {
  const { combine, dilations, epilogue, input, kernel: taps, out, padsBegin, strides } = region
  const inside = taps.every((extent, axis) => {
    if (padsBegin[axis] !== 0) return false
    const reach = Dim.add(
      Dim.mul(Dim.sub(out[axis] ?? 1, 1), strides[axis] ?? 1),
      (extent - 1) * (dilations[axis] ?? 1) + 1
    )
    return Dim.lessOrEqual(reach, input.shape[axis + 2] ?? 1) === true
  })
  if (!inside) return undefined
  const outer = [...input.shape.slice(0, 2), ...out]
  const spread = (view: View): View => ({
    ...view,
    shape: [...outer, ...taps],
    strides: [...view.strides, ...taps.map(() => 0)]
  })
  const spatial = input.strides.slice(2)
  const source: View = {
    ...input,
    shape: [...outer, ...taps],
    strides: [
      ...input.strides.slice(0, 2),
      ...spatial.map((stride, axis) => Dim.mul(stride, strides[axis] ?? 1)),
      ...spatial.map((stride, axis) => Dim.mul(stride, dilations[axis] ?? 1))
    ]
  }
  const wanted = accumulatorOf(region)
  const accumulate = computedIn(wanted, region.combine)
  const total = Scalars.previous("total", accumulate)
  const count = taps.reduce((product, extent) => product * extent, 1)
  const divisor = Scalars.constant(accumulate, DTypes.isBig(accumulate) ? BigInt(count) : count)
  const accumulator = combine === "max" ? total : Scalars.binary("div", total, divisor)
  // The epilogue's operands come after the input.
  const moved = (value: Scalar): Scalar =>
    Scalars.map(value, (part) => {
      if (part.kind === "previous") return Scalars.cast(Scalars.previous("accumulator", accumulate), wanted)
      return part.kind === "load" ? { ...part, operand: part.operand + 1 } : part
    })
  return {
    kind: "rows",
    id: region.id,
    members: region.members,
    outer,
    inner: taps,
    operands: [source, ...epilogue.operands.map(spread)],
    stages: [
      {
        kind: "reduce",
        name: "total",
        combine: combine === "max" ? "max" : "sum",
        value: Scalars.cast(Scalars.load(0, input.dtype), accumulate),
        dtype: accumulate
      },
      { kind: "row", name: "accumulator", value: accumulator }
    ],
    results: epilogue.results.map(({ value, view }) => ({ view: spread(view), value: moved(value), per: "row" }))
  }
}
