// Resampling of images and volumes.
import * as Schema from "effect/Schema"
import * as Op from "../Op.ts"

/** Coordinates, filters and rounding are ONNX Resize's, in camel case. */
export const resize = Op.define({
  name: "resize",
  summary: "interpolated to another extent on some axes",
  attributes: Schema.Struct({
    /** The whole result's shape. */
    shape: Op.Dims,
    /** result / operand of each axis as the model gives it; empty: computed from the extents. */
    scales: Schema.Array(Schema.Finite),
    mode: Schema.Literals(["nearest", "linear", "cubic"]),
    coordinates: Schema.Literals([
      "halfPixel",
      "halfPixelSymmetric",
      "pytorchHalfPixel",
      "alignCorners",
      "asymmetric",
      "cropAndResize"
    ]),
    nearest: Schema.Literals(["roundPreferFloor", "roundPreferCeil", "floor", "ceil"]),
    cubicCoefficient: Schema.Finite,
    excludeOutside: Schema.Boolean,
    antialias: Schema.Boolean,
    /** Fill for cropAndResize. */
    extrapolation: Schema.Finite,
    /** For cropAndResize: starts then ends of each axis, normalised; empty otherwise. */
    region: Schema.Array(Schema.Finite)
  }),
  operands: [{ name: "x" }],
  error: { kind: "run" },
  infer: ({ attributes: { shape }, fail, input }) =>
    shape.length === input(0).shape.length ? [{ dtype: input(0).dtype, shape }] : fail("a shape of x's rank")
})

/** `x [batch, channels, …]`, `grid [batch, …, axes]` in [−1, 1], last coordinate first. */
export const gridSample = Op.define({
  name: "gridSample",
  summary: "sampled at given positions",
  attributes: Schema.Struct({
    mode: Schema.Literals(["nearest", "linear", "cubic"]),
    padding: Schema.Literals(["zeros", "border", "reflection"]),
    alignCorners: Schema.Boolean
  }),
  operands: [{ name: "x" }, { name: "grid" }],
  error: { kind: "run" },
  domain: (operand) => (operand === 1 ? { kind: "range", min: -1, max: 1 } : Op.any),
  infer: ({ fail, input }) => {
    const [x, grid] = [input(0), input(1)]
    if (x.shape.length < 3 || grid.shape.length !== x.shape.length)
      fail("x [n, c, …] and grid [n, …, axes] of one rank")
    return [{ dtype: x.dtype, shape: [...x.shape.slice(0, 2), ...grid.shape.slice(1, -1)] }]
  }
})

export const all: ReadonlyArray<Op.OpDefinition> = [resize, gridSample]
