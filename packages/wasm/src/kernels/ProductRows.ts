/**
 * ProductRows: contractions and pointwise convolutions of any dtype, with weights that only the run knows, as rows over their sums: the
 * last resort, where no kernel of its own takes one (integers beyond eight bits, f64, weights that are no constants).
 *
 *   contraction [m, n] over k  ⇒  rows [m, n] over [k]: total = Σ a · b, then the epilogue
 *
 * Four neighbouring results are summed side by side where memory allows it.
 */
import type { DType } from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Contraction, Convolution, Epilogue, Region, Rows } from "@anneal/lower/Region"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import type { View } from "@anneal/lower/View"
import type { Features } from "../Emission.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import * as RowsKernels from "./Rows.ts"

type Dims = ReadonlyArray<Dim.Dim>

/** Kernels for a contraction or a pointwise convolution; none for other regions. */
export const candidates = (region: Region, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  const rows =
    region.kind === "contraction"
      ? contraction(region)
      : region.kind === "convolution"
        ? convolution(region)
        : undefined
  return rows === undefined ? [] : RowsKernels.candidates(rows, typical, features)
}

const view = (of: View, shape: Dims, strides: Dims): View => ({ ...of, shape, strides })

/** `value`: of one product, in the dtype that is summed; operands 0 and 1 are the factors. */
const rowsOf = (
  region: Contraction | Convolution,
  outer: Dims,
  inner: Dims,
  factors: readonly [View, View],
  value: Scalar
): Rows => {
  const { accumulate, epilogue, id, members } = region
  const shape = [...outer, ...inner]
  const spread = (of: View): View => view(of, shape, [...of.strides, ...inner.map(() => 0)])
  const total = Scalars.cast(Scalars.previous("total", accumulate), wantedBy(epilogue) ?? accumulate)
  const behind = (scalar: Scalar): Scalar =>
    Scalars.map(scalar, (part) => (part.kind === "load" ? { ...part, operand: part.operand + 2 } : part))
  return {
    kind: "rows",
    id,
    members,
    outer,
    inner,
    operands: [...factors, ...epilogue.operands.map(spread)],
    stages: [
      { kind: "reduce", name: "total", combine: "sum", value, dtype: accumulate },
      { kind: "row", name: "accumulator", value: total }
    ],
    results: epilogue.results.map((result) => ({
      view: spread(result.view),
      value: behind(result.value),
      per: "row" as const
    }))
  }
}

/** The dtype in which the epilogue takes the sum. */
const wantedBy = ({ results }: Epilogue): DType | undefined =>
  Scalars.parts(results.map(({ value }) => value)).find(({ kind }) => kind === "previous")?.dtype

/** Without its zero point, in the dtype that is summed. */
const factor = (x: Scalar, zero: number, accumulate: DType): Scalar => {
  const wide = Scalars.cast(x, accumulate)
  return zero === 0 ? wide : Scalars.binary("sub", wide, Scalars.constant(accumulate, zero))
}

const contraction = (region: Contraction): Rows => {
  const { a, accumulate, b, batch, k, m, n, zero } = region
  const [outer, inner] = [[...batch, m, n], [k]]
  const shape = [...outer, ...inner]
  const alongBatch = (of: View): Dims => of.strides.slice(0, batch.length)
  const [stepM = 0, stepA = 0] = a.strides.slice(batch.length)
  const [stepN = 0, stepB = 0] = b.strides.slice(batch.length)
  return rowsOf(
    region,
    outer,
    inner,
    [view(a, shape, [...alongBatch(a), stepM, 0, stepA]), view(b, shape, [...alongBatch(b), 0, stepN, stepB])],
    Scalars.binary(
      "mul",
      factor(Scalars.load(0, a.dtype), zero.a, accumulate),
      factor(Scalars.load(1, b.dtype), zero.b, accumulate)
    )
  )
}

/**
 * Of one tap, without padding: a product in each place. Undefined for others: their taps are too few to be summed four at a time,
 * and too many to be gathered, so the host is as fast.
 */
const convolution = (region: Convolution): Rows | undefined => {
  const { accumulate, batch, dilations, groups, input, out, strides, transposed, weight, zero } = region
  const taps = weight.shape.slice(3)
  if (transposed || !taps.every((extent, axis) => extent === 1 && staysInside(region, extent, axis))) return undefined
  const outer = [batch, groups, weight.shape[1] ?? 1, ...out]
  const inner = weight.shape.slice(2)
  const shape = [...outer, ...inner]
  const [stepN = 0, stepG = 0, stepC = 0, ...spatial] = input.strides
  const [weightG = 0, weightO = 0, ...weightInner] = weight.strides
  const x = view(input, shape, [
    stepN,
    stepG,
    0,
    ...spatial.map((stride, axis) => Dim.mul(stride, strides[axis] ?? 1)),
    stepC,
    ...spatial.map((stride, axis) => Dim.mul(stride, dilations[axis] ?? 1))
  ])
  const w = view(weight, shape, [0, weightG, weightO, ...out.map(() => 0), ...weightInner])
  return rowsOf(
    region,
    outer,
    inner,
    [x, w],
    Scalars.binary(
      "mul",
      factor(Scalars.load(0, input.dtype), zero.a, accumulate),
      factor(Scalars.load(1, weight.dtype), zero.b, accumulate)
    )
  )
}

/** Whether no window leaves the input along an axis. */
const staysInside = (
  { dilations, input, out, padsBegin, strides }: Convolution,
  taps: Dim.Dim,
  axis: number
): boolean => {
  if (padsBegin[axis] !== 0) return false
  const reach = Dim.sum([
    Dim.mul(Dim.sub(out[axis] ?? 1, 1), strides[axis] ?? 1),
    Dim.mul(Dim.sub(taps, 1), dilations[axis] ?? 1),
    1
  ])
  return Dim.lessOrEqual(reach, input.shape[3 + axis] ?? 1) === true
}
