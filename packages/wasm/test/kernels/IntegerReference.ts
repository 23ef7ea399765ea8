/** IntegerReference: contractions and convolutions of 8-bit integers straight from their definition, in plain loops. */
import type { Contraction, Convolution } from "@anneal/lower/Region"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import type { View } from "@anneal/lower/View"
import * as Views from "@anneal/lower/View"
import { type Contents, placeIn, points, shapeOf, sizeOf, type Symbols } from "../RunKernel.ts"

const reader = (view: View, buffers: Contents, symbols: Symbols): ((point: ReadonlyArray<number>) => number) => {
  const [place, data] = [placeIn(view, symbols), buffers.get(view.buffer)]
  return (point) => Number(data?.[place(point)] ?? NaN)
}

const contractionSum = (region: Contraction, buffers: Contents, symbols: Symbols) => {
  const [a, b] = [reader(region.a, buffers, symbols), reader(region.b, buffers, symbols)]
  const k = sizeOf(region.k, symbols)
  return (point: ReadonlyArray<number>): number => {
    const batch = point.slice(0, -2)
    const [m, n] = [point.at(-2) ?? 0, point.at(-1) ?? 0]
    let sum = 0
    for (let i = 0; i < k; i++) sum += (a([...batch, m, i]) - region.zero.a) * (b([...batch, n, i]) - region.zero.b)
    return sum
  }
}

const convolutionSum = (region: Convolution, buffers: Contents, symbols: Symbols) => {
  const { dilations, padsBegin, strides, zero } = region
  const [x, w] = [reader(region.input, buffers, symbols), reader(region.weight, buffers, symbols)]
  const input = shapeOf(region.input, symbols)
  const [, , channels = 1, ...kernel] = shapeOf(region.weight, symbols)
  const pads = padsBegin.map((pad) => sizeOf(pad, symbols))
  return (point: ReadonlyArray<number>): number => {
    const [n = 0, g = 0, o = 0, ...out] = point
    let sum = 0
    for (const tap of points(kernel)) {
      const from = out.map((at, s) => at * (strides[s] ?? 1) + (tap[s] ?? 0) * (dilations[s] ?? 1) - (pads[s] ?? 0))
      if (from.some((at, s) => at < 0 || at >= (input[3 + s] ?? 0))) continue
      for (let c = 0; c < channels; c++) sum += (x([n, g, c, ...from]) - zero.a) * (w([g, o, c, ...tap]) - zero.b)
    }
    return sum
  }
}

/** i32 sums, row-major over the epilogue's domain, wrapped as i32 is. */
export const sums = (region: Contraction | Convolution, buffers: Contents, symbols: Symbols): Int32Array => {
  const domain = shapeOf(
    region.epilogue.results[0]?.view ?? region.epilogue.operands[0] ?? Views.contiguous("", "i32", []),
    symbols
  )
  const sum =
    region.kind === "contraction" ? contractionSum(region, buffers, symbols) : convolutionSum(region, buffers, symbols)
  const result: Array<number> = []
  for (const point of points(domain)) result.push(sum(point) | 0)
  return Int32Array.from(result)
}

export const accumulator: Scalar = Scalars.previous("accumulator", "i32")

/** round(clamp(f32(acc) · scale[operand 0] + bias[operand 1])) as u8: how a quantised layer ends. */
export const requantised: Scalar = Scalars.cast(
  Scalars.unary(
    "round",
    Scalars.binary(
      "max",
      Scalars.binary(
        "min",
        Scalars.binary(
          "add",
          Scalars.binary("mul", Scalars.cast(accumulator, "f32"), Scalars.load(0, "f32")),
          Scalars.load(1, "f32")
        ),
        Scalars.constant("f32", 255)
      ),
      Scalars.constant("f32", 0)
    )
  ),
  "u8"
)

/** `requantised` of one sum, rounding to f32 as it does. */
export const requantise = (sum: number, scale: number, bias: number): number => {
  const real = Math.fround(Math.fround(Math.fround(sum) * scale) + bias)
  const clamped = Math.max(0, Math.min(255, real))
  const below = Math.floor(clamped)
  const rest = clamped - below
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below
}
