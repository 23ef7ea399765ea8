// GridSample ⇒ gridSample, and AffineGrid, which makes grids: θ [n, axes, axes + 1] applied to evenly spaced points.
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Context, Operator } from "../Operator.ts"

export const gridSample: Operator = {
  name: "GridSample",
  since: [16, 20, 22],
  translate: (c) => {
    const [x, grid] = [c.input(0), c.input(1)]
    const given = c.attribute.string("mode", "linear")
    const mode = { nearest: "nearest", bilinear: "linear", linear: "linear", bicubic: "cubic", cubic: "cubic" } as const
    const modes: ReadonlyMap<string, (typeof mode)[keyof typeof mode]> = new Map(Object.entries(mode))
    const padding = c.attribute.string("padding_mode", "zeros")
    if (padding !== "zeros" && padding !== "border" && padding !== "reflection")
      return c.fail(`padding_mode "${padding}" is not known`)
    return c.e.b.one(Ops.gridSample, [x, grid], {
      mode: modes.get(given) ?? c.fail(`mode "${given}" is not known`),
      padding,
      alignCorners: c.attribute.flag("align_corners", false)
    })
  }
}

/** Points along an axis from −1 to 1: the ends included when corners are aligned, else centres of equal parts. */
const points = (c: Context, extent: Dim.Dim, like: Value): Value => {
  const { e } = c
  const dtype = like.type.dtype
  const steps = e.iota(extent, dtype)
  const one = e.scalar(dtype, 1)
  const count = e.size(extent, dtype)
  if (c.attribute.flag("align_corners", false)) {
    const width = e.max(e.sub(count, one), one)
    return e.sub(e.div(e.mul(steps, e.scalar(dtype, 2)), width), one)
  }
  return e.sub(e.div(e.add(e.mul(steps, e.scalar(dtype, 2)), one), count), one)
}

export const affineGrid: Operator = {
  name: "AffineGrid",
  since: [20],
  translate: (c) => {
    const { e } = c
    const theta = c.input(0)
    const [batch = 1, , ...spatial] = c.dims(1)
    const axes = spatial.length
    if (axes !== 2 && axes !== 3) return c.fail(`a size of ${axes + 2} numbers; 4 or 5 are taken`)
    // Homogeneous points [points, axes + 1], the last axis first.
    const columns = spatial.map((extent, axis) => {
      const along = e.along(points(c, extent, theta), axes + 1, axis)
      return e.expand(along, [...spatial, 1])
    })
    const ones = e.expand(e.scalar(theta.type.dtype, 1), [...spatial, 1])
    const homogeneous = e.concat([...columns.reverse(), ones], axes)
    const flat = e.reshape(homogeneous, [1, Dim.product(spatial), axes + 1])
    return e.reshape(e.matmul(flat, e.transpose(theta, [0, 2, 1])), [batch, ...spatial, axes])
  }
}

export const all: ReadonlyArray<Operator> = [gridSample, affineGrid]
