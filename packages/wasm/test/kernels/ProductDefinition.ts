/**
 * ProductDefinition: contractions and convolutions in float64, straight from their definition, and how far a kernel may be from it.
 */
import * as Tensors from "@anneal/ir/Tensor"
import type { Tensor } from "@anneal/ir/Tensor"
import type { Contraction, Convolution, Region } from "@anneal/lower/Region"
import { reads, writes } from "@anneal/lower/Region"
import type { Scalar } from "@anneal/lower/Scalar"
import { placeIn, points, reach, sizeOf, type Symbols } from "../RunKernel.ts"

export type Buffers = ReadonlyMap<string, Float32Array>

/** Random contents for every buffer of a region. */
export const fill = (region: Region, symbols: Symbols, next: () => number): Buffers => {
  const buffers = new Map<string, Float32Array>()
  for (const view of [...reads(region), ...writes(region)]) {
    if (view === null) continue
    const length = Math.max(reach(view, symbols), buffers.get(view.buffer)?.length ?? 0)
    buffers.set(view.buffer, new Float32Array(length))
  }
  for (const data of buffers.values()) for (let i = 0; i < data.length; i++) data[i] = next()
  return buffers
}

// ---- float64 --------------------------------------------------------------------------------------------------------

const evaluate = (
  scalar: Scalar,
  at: { readonly load: (operand: number) => number; readonly sum: number; readonly point: ReadonlyArray<number> }
): number => {
  const go = (one: Scalar): number => evaluate(one, at)
  switch (scalar.kind) {
    case "load":
      return at.load(scalar.operand)
    case "constant":
      return Number(scalar.value)
    case "previous":
      return at.sum
    case "index":
      return at.point[scalar.axis] ?? 0
    case "cast":
      return go(scalar.x)
    case "unary":
      if (scalar.op === "tanh") return Math.tanh(go(scalar.x))
      if (scalar.op === "neg") return -go(scalar.x)
      break
    case "binary": {
      const [a, b] = [go(scalar.a), go(scalar.b)]
      if (scalar.op === "add") return a + b
      if (scalar.op === "sub") return a - b
      if (scalar.op === "mul") return a * b
      if (scalar.op === "max") return Math.max(a, b)
      if (scalar.op === "min") return Math.min(a, b)
      break
    }
    default:
  }
  throw new Error(`the harness does not know ${scalar.kind}`)
}

/** The sum at a point of the epilogue's domain, and the sum of its products' magnitudes. */
type Sum = (point: ReadonlyArray<number>) => readonly [sum: number, magnitude: number]

const contractionSum = (region: Contraction, symbols: Symbols, buffers: Buffers): Sum => {
  const [a, b] = [region.a, region.b]
  const [placeA, placeB] = [placeIn(a, symbols), placeIn(b, symbols)]
  const [dataA, dataB] = [buffers.get(a.buffer), buffers.get(b.buffer)]
  const k = sizeOf(region.k, symbols)
  const [strideA, strideB] = [sizeOf(a.strides.at(-1) ?? 0, symbols), sizeOf(b.strides.at(-1) ?? 0, symbols)]
  return (point) => {
    const batch = point.slice(0, -2)
    const [m, n] = [point.at(-2) ?? 0, point.at(-1) ?? 0]
    const [beginA, beginB] = [placeA([...batch, m, 0]), placeB([...batch, n, 0])]
    let sum = 0
    let magnitude = 0
    for (let i = 0; i < k; i++) {
      const product = (dataA?.[beginA + i * strideA] ?? NaN) * (dataB?.[beginB + i * strideB] ?? NaN)
      sum += product
      magnitude += Math.abs(product)
    }
    return [sum, magnitude]
  }
}

const convolutionSum = (region: Convolution, symbols: Symbols, buffers: Buffers): Sum => {
  const { dilations, input, padsBegin, strides, transposed, weight } = region
  const [placeX, placeW] = [placeIn(input, symbols), placeIn(weight, symbols)]
  const [x, w] = [buffers.get(input.buffer), buffers.get(weight.buffer)]
  const channels = sizeOf(input.shape[2] ?? 1, symbols)
  const extents = input.shape.slice(3).map((extent) => sizeOf(extent, symbols))
  const kernel = weight.shape.slice(3).map((extent) => sizeOf(extent, symbols))
  const pads = padsBegin.map((pad) => sizeOf(pad, symbols))
  const taps = Array.from(points(kernel), (tap) => [...tap])
  const [strideX, strideW] = [sizeOf(input.strides[2] ?? 0, symbols), sizeOf(weight.strides[2] ?? 0, symbols)]
  return (point) => {
    const [n = 0, g = 0, o = 0, ...out] = point
    let sum = 0
    let magnitude = 0
    for (const tap of taps) {
      const from = out.map((index, axis) => {
        const [stride = 1, dilation = 1, pad = 0] = [strides[axis], dilations[axis], pads[axis]]
        const step = (tap[axis] ?? 0) * dilation
        return transposed ? (index + pad - step) / stride : index * stride + step - pad
      })
      if (from.some((index, axis) => !Number.isInteger(index) || index < 0 || index >= (extents[axis] ?? 0))) continue
      const [beginX, beginW] = [placeX([n, g, 0, ...from]), placeW([g, o, 0, ...tap])]
      for (let c = 0; c < channels; c++) {
        const product = (x?.[beginX + c * strideX] ?? NaN) * (w?.[beginW + c * strideW] ?? NaN)
        sum += product
        magnitude += Math.abs(product)
      }
    }
    return [sum, magnitude]
  }
}

export interface Expected {
  readonly values: Float64Array
  /** Sum of magnitudes of each element's products. */
  readonly magnitudes: Float64Array
}

/** Each result of the region in float64, row-major over the epilogue's domain. */
export const expected = (
  region: Contraction | Convolution,
  symbols: Symbols,
  buffers: Buffers
): ReadonlyArray<Expected> => {
  const shape = (region.epilogue.results[0]?.view.shape ?? []).map((extent) => sizeOf(extent, symbols))
  const sum =
    region.kind === "contraction" ? contractionSum(region, symbols, buffers) : convolutionSum(region, symbols, buffers)
  const operands = region.epilogue.operands.map((view) => {
    const [place, data] = [placeIn(view, symbols), buffers.get(view.buffer)]
    return (point: ReadonlyArray<number>) => data?.[place(point)] ?? NaN
  })
  const results = region.epilogue.results.map(() => ({
    values: new Float64Array(Tensors.size(shape)),
    magnitudes: new Float64Array(Tensors.size(shape))
  }))
  let at = 0
  for (const point of points(shape)) {
    const [total, magnitude] = sum(point)
    region.epilogue.results.forEach(({ value }, result) => {
      const target = results[result]
      if (target === undefined) return
      target.values[at] = evaluate(value, { load: (operand) => operands[operand]?.(point) ?? NaN, sum: total, point })
      target.magnitudes[at] = magnitude
    })
    at++
  }
  return results
}

/** Largest error of each result against float64, as a share of its bound γ·(Σ|products| + |value|) + tiny. */
export const errorShare = (
  got: ReadonlyArray<Tensor | null>,
  want: ReadonlyArray<Expected>,
  steps: number,
  factor = 1
): number => {
  let worst = 0
  want.forEach(({ magnitudes, values }, result) =>
    values.forEach((value, at) => {
      const bound = factor * (steps + 8) * 2 ** -24 * ((magnitudes[at] ?? 0) + Math.abs(value)) + 1e-6
      const error = Math.abs(Number(got[result]?.data[at] ?? NaN) - value) / bound
      if (!(error <= worst)) worst = Number.isNaN(error) ? Infinity : error
    })
  )
  return worst
}
