// RoiAlign ⇒ roiAlign, MaxRoiPool ⇒ maxRoiPool: regions of interest pooled into grids.
import * as Ops from "@anneal/ir/Ops"
import type { Operator } from "../Operator.ts"

/** Before opset 16 positions were not centres of pixels. */
export const roiAlign: Operator = {
  name: "RoiAlign",
  since: [10, 16, 22],
  translate: (c) => {
    const mode = c.attribute.string("mode", "avg")
    if (mode !== "avg" && mode !== "max") return c.fail(`mode "${mode}" is not known`)
    const where = c.attribute.string(
      "coordinate_transformation_mode",
      c.opset < 16 ? "output_half_pixel" : "half_pixel"
    )
    if (where !== "half_pixel" && where !== "output_half_pixel")
      return c.fail(`coordinate_transformation_mode "${where}" is not known`)
    return c.e.b.one(Ops.roiAlign, [c.input(0), c.input(1), c.input(2)], {
      mode: mode === "avg" ? "average" : "maximum",
      height: c.attribute.int("output_height", 1),
      width: c.attribute.int("output_width", 1),
      samples: c.attribute.int("sampling_ratio", 0),
      spatialScale: c.attribute.float("spatial_scale", 1),
      halfPixel: where === "half_pixel"
    })
  }
}

export const maxRoiPool: Operator = {
  name: "MaxRoiPool",
  since: [1, 22],
  translate: (c) => {
    const [height, width] = c.attribute.ints("pooled_shape") ?? []
    if (height === undefined || width === undefined) return c.fail("pooled_shape has two numbers")
    const spatialScale = c.attribute.float("spatial_scale", 1)
    return c.e.b.one(Ops.maxRoiPool, [c.input(0), c.input(1)], { height, width, spatialScale })
  }
}

export const all: ReadonlyArray<Operator> = [roiAlign, maxRoiPool]
