// Pooling of regions of interest: boxes that the data gives, each cut into a grid of equal bins.
import * as Schema from "effect/Schema"
import * as DTypes from "../DType.ts"
import * as Op from "../Op.ts"

const grid = {
  /** Bins of a region. */
  height: Schema.Int,
  width: Schema.Int,
  /** Boxes times this are positions in x. */
  spatialScale: Schema.Finite
}

/**
 * `x [n, c, h, w]`, `boxes [count, 4]` (x1, y1, x2, y2), `batch [count]` ⇒ `[count, c, height, width]`: the mean or the
 * maximum of bilinear samples, evenly spaced in each bin. He et al. 2017 (Mask R-CNN).
 */
export const roiAlign = Op.define({
  name: "roiAlign",
  summary: "bilinear samples of regions, pooled into a grid of bins",
  attributes: Schema.Struct({
    ...grid,
    /** `maximum`: of the four weighted neighbours of each sample, as ONNX defines it. */
    mode: Schema.Literals(["average", "maximum"]),
    /** Samples of a bin along each axis; 0: ⌈extent of the bin⌉. */
    samples: Schema.Int,
    /** Positions are centres of pixels: half a pixel is subtracted. Otherwise regions have an extent of 1 at least. */
    halfPixel: Schema.Boolean
  }),
  operands: [{ name: "x" }, { name: "boxes" }, { name: "batch" }],
  error: { kind: "run" },
  domain: (operand, types) =>
    operand === 1
      ? { kind: "range", min: 0, max: 8 }
      : operand === 2
        ? { kind: "index", extent: types[0]?.shape[0] ?? 1, negative: false }
        : Op.any,
  infer: ({ attributes: { height, width }, constrain, fail, input }) => {
    const [x, boxes, batch] = [input(0), input(1), input(2)]
    if (x.shape.length !== 4 || !DTypes.isFloat(x.dtype)) fail("x is [n, c, h, w] of floats")
    if (boxes.shape.length !== 2 || boxes.dtype !== x.dtype) fail("boxes are [count, 4] of x's dtype")
    if (batch.shape.length !== 1 || (batch.dtype !== "i64" && batch.dtype !== "i32"))
      fail("batch is a vector of integers")
    constrain(boxes.shape[1] ?? 0, 4, "numbers of a box")
    const count = constrain(boxes.shape[0] ?? 0, batch.shape[0] ?? 0, "boxes and their batch")
    return [{ dtype: x.dtype, shape: [count, x.shape[1] ?? 1, height, width] }]
  }
})

/** `boxes [count, 5]` (batch, x1, y1, x2, y2), rounded to whole elements; empty bins give 0. Girshick 2015 (Fast R-CNN). */
export const maxRoiPool = Op.define({
  name: "maxRoiPool",
  summary: "greatest element of each bin of regions",
  attributes: Schema.Struct(grid),
  operands: [{ name: "x" }, { name: "boxes" }],
  error: { kind: "run" },
  domain: (operand) => (operand === 1 ? { kind: "range", min: 0, max: 0.4 } : Op.any),
  infer: ({ attributes: { height, width }, constrain, fail, input }) => {
    const [x, boxes] = [input(0), input(1)]
    if (x.shape.length !== 4 || !DTypes.isFloat(x.dtype)) fail("x is [n, c, h, w] of floats")
    if (boxes.shape.length !== 2 || boxes.dtype !== x.dtype) fail("boxes are [count, 5] of x's dtype")
    constrain(boxes.shape[1] ?? 0, 5, "numbers of a box and its batch")
    return [{ dtype: x.dtype, shape: [boxes.shape[0] ?? 1, x.shape[1] ?? 1, height, width] }]
  }
})

export const all: ReadonlyArray<Op.OpDefinition> = [roiAlign, maxRoiPool]
