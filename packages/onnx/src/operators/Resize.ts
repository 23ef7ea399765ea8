// Resize and Upsample ⇒ resize. Extents come from scales (⌊extent · scale⌋) or sizes, for all axes or some; a policy
// keeps the aspect ratio.  Source: ONNX Resize 10 to 19, Upsample 7 and 9.
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Context, Operator } from "../Operator.ts"

type Attributes = Parameters<typeof emit>[2]

const emit = (
  c: Context,
  x: Value,
  attributes: {
    readonly shape: ReadonlyArray<Dim.Dim>
    readonly scales: ReadonlyArray<number>
    readonly mode: "nearest" | "linear" | "cubic"
    readonly coordinates:
      | "halfPixel"
      | "halfPixelSymmetric"
      | "pytorchHalfPixel"
      | "alignCorners"
      | "asymmetric"
      | "cropAndResize"
    readonly nearest: "roundPreferFloor" | "roundPreferCeil" | "floor" | "ceil"
    readonly cubicCoefficient: number
    readonly excludeOutside: boolean
    readonly antialias: boolean
    readonly extrapolation: number
    readonly region: ReadonlyArray<number>
  }
): Value => c.e.b.one(Ops.resize, [x], attributes)

const coordinates: ReadonlyArray<readonly [onnx: string, ir: Attributes["coordinates"]]> = [
  ["half_pixel", "halfPixel"],
  ["half_pixel_symmetric", "halfPixelSymmetric"],
  ["pytorch_half_pixel", "pytorchHalfPixel"],
  ["align_corners", "alignCorners"],
  ["asymmetric", "asymmetric"],
  ["tf_crop_and_resize", "cropAndResize"]
]

const roundings: ReadonlyArray<readonly [onnx: string, ir: Attributes["nearest"]]> = [
  ["round_prefer_floor", "roundPreferFloor"],
  ["round_prefer_ceil", "roundPreferCeil"],
  ["floor", "floor"],
  ["ceil", "ceil"]
]

const named = <A>(c: Context, list: ReadonlyArray<readonly [string, A]>, attribute: string, otherwise: string): A => {
  const name = c.attribute.string(attribute, otherwise)
  return list.find(([onnx]) => onnx === name)?.[1] ?? c.fail(`${attribute} "${name}" is not known`)
}

const modes: ReadonlyArray<readonly [onnx: string, ir: Attributes["mode"]]> = [
  ["nearest", "nearest"],
  ["linear", "linear"],
  ["bilinear", "linear"],
  ["cubic", "cubic"],
  ["bicubic", "cubic"]
]

const denominatorLimit = 4096

/** ⌊extent · scale⌋ in float32 as ONNX computes it; of a symbolic extent, by the fraction that the scale is nearest to. */
const scaledExtent = (c: Context, extent: Dim.Dim, scale: number): Dim.Dim => {
  if (Dim.isStatic(extent)) return Math.floor(Math.fround(extent * scale))
  for (let denominator = 1; denominator <= denominatorLimit; denominator++) {
    const numerator = Math.round(scale * denominator)
    if (Math.fround(numerator / denominator) === scale) return Dim.floorDiv(Dim.mul(extent, numerator), denominator)
  }
  return c.unsupported(
    `a scale of ${scale} of an extent that is not known before it runs`,
    "Give the input's shape with --shapes."
  )
}

/** Whether an input is there and not empty: an empty one counts as left out. */
const isGiven = (c: Context, index: number): boolean => c.has(index) && c.type(index).shape[0] !== 0

/** `values` on the given axes, `otherwise` on the others. */
const spread = <A>(
  rank: number,
  axes: ReadonlyArray<number>,
  values: ReadonlyArray<A>,
  otherwise: (axis: number) => A
): ReadonlyArray<A> => Array.from({ length: rank }, (_, axis) => values[axes.indexOf(axis)] ?? otherwise(axis))

interface Target {
  readonly shape: ReadonlyArray<Dim.Dim>
  readonly scales: ReadonlyArray<number>
}

const byScales = (c: Context, x: Value, scales: ReadonlyArray<number>): Target => ({
  shape: x.type.shape.map((extent, axis) => scaledExtent(c, extent, scales[axis] ?? 1)),
  scales
})

const bySizes = (c: Context, x: Value, axes: ReadonlyArray<number>, sizes: ReadonlyArray<Dim.Dim>): Target => {
  const { shape } = x.type
  const policy = c.attribute.string("keep_aspect_ratio_policy", "stretch")
  if (policy === "stretch")
    return {
      shape: spread(shape.length, axes, sizes, (axis) => shape[axis] ?? 1),
      scales: []
    }
  if (policy !== "not_larger" && policy !== "not_smaller")
    return c.fail(`keep_aspect_ratio_policy "${policy}" is not known`)
  const known = (dim: Dim.Dim | undefined): number =>
    dim !== undefined && Dim.isStatic(dim)
      ? dim
      : c.unsupported(
          "an aspect ratio of extents that are not known before it runs",
          "Give the input's shape with --shapes."
        )
  const ratios = axes.map((axis, i) => known(sizes[i]) / known(shape[axis]))
  const scale = policy === "not_larger" ? Math.min(...ratios) : Math.max(...ratios)
  const extents = axes.map((axis) => Math.floor(scale * known(shape[axis]) + 0.5))
  return {
    shape: spread(shape.length, axes, extents, (axis) => known(shape[axis])),
    scales: spread(
      shape.length,
      axes,
      axes.map(() => scale),
      () => 1
    )
  }
}

/** Of every axis, starts then ends: the whole axis where `roi` has none. */
const regionOf = (c: Context, rank: number, axes: ReadonlyArray<number>): ReadonlyArray<number> => {
  const roi = isGiven(c, 1) ? (c.numbers(1) ?? []) : c.fail("tf_crop_and_resize needs the input roi")
  if (roi.length !== 2 * axes.length) return c.fail(`${roi.length} numbers in roi for ${axes.length} axes`)
  const starts = spread(rank, axes, roi.slice(0, axes.length), () => 0)
  const ends = spread(rank, axes, roi.slice(axes.length), () => 1)
  return [...starts, ...ends]
}

/** Opset 10: coordinates are x / scale, rounded down. */
const plain = { cubicCoefficient: -0.75, excludeOutside: false, antialias: false, extrapolation: 0, region: [] }

export const resize: Operator = {
  name: "Resize",
  since: [10, 11, 13, 18, 19],
  translate: (c) => {
    const x = c.input(0)
    const rank = x.type.shape.length
    const mode = named(c, modes, "mode", "nearest")
    if (c.opset < 11) {
      const target = byScales(c, x, c.numbers(1) ?? c.fail("the scales are missing"))
      return emit(c, x, { ...plain, ...target, mode, coordinates: "asymmetric", nearest: "floor" })
    }
    const axes = (c.attribute.ints("axes") ?? Array.from({ length: rank }, (_, axis) => axis)).map((axis) =>
      c.axis(axis, rank)
    )
    const scales = isGiven(c, 2) ? c.numbers(2) : undefined
    const target =
      scales !== undefined
        ? byScales(
            c,
            x,
            spread(rank, axes, scales, () => 1)
          )
        : isGiven(c, 3)
          ? bySizes(c, x, axes, c.dims(3))
          : c.fail("takes scales or sizes")
    const isForNearest = c.attribute.string("coordinate_transformation_mode", "half_pixel") === "tf_half_pixel_for_nn"
    const nearest = named(c, roundings, "nearest_mode", "round_prefer_floor")
    // (x + ½) / scale rounded down is the half pixel's coordinate rounded to nearest.
    if (isForNearest && (mode !== "nearest" || nearest !== "floor"))
      return c.unsupported("tf_half_pixel_for_nn other than nearest, rounded down")
    const where = isForNearest ? "halfPixel" : named(c, coordinates, "coordinate_transformation_mode", "half_pixel")
    return emit(c, x, {
      ...target,
      mode,
      coordinates: where,
      nearest: isForNearest ? "roundPreferCeil" : nearest,
      cubicCoefficient: c.attribute.float("cubic_coeff_a", -0.75),
      excludeOutside: c.attribute.flag("exclude_outside", false),
      antialias: c.attribute.flag("antialias", false),
      extrapolation: c.attribute.float("extrapolation_value", 0),
      region: where === "cropAndResize" ? regionOf(c, rank, axes) : []
    })
  }
}

/** Scales are an attribute before opset 9, an input in it; opset 10 has Resize. */
export const upsample: Operator = {
  name: "Upsample",
  since: [7, 9],
  translate: (c) => {
    const x = c.input(0)
    const scales = (c.opset < 9 ? c.attribute.floats("scales") : c.numbers(1)) ?? c.fail("the scales are missing")
    const mode = named(c, modes, "mode", "nearest")
    return emit(c, x, { ...plain, ...byScales(c, x, scales), mode, coordinates: "asymmetric", nearest: "floor" })
  }
}

export const all: ReadonlyArray<Operator> = [resize, upsample]
