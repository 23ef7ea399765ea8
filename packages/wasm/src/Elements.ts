/**
 * Elements: the elements of a view of a constant, in row-major order of the view's own axes: what kernels pack.
 *
 *   w: f32[3, 4], transposed, offset 1  ⇒  the tensor that the view shows
 *
 * An axis that repeats (stride 0) and whose extent is not known has extent 1 here.
 */
import type { Constant } from "@anneal/ir/Constant"
import * as Constants from "@anneal/ir/Constant"
import * as Tensor from "@anneal/ir/Tensor"
import type { View } from "@anneal/lower/View"

const integer = (dim: View["offset"], what: string): number => {
  if (typeof dim !== "number") throw new RangeError(`the ${what} of a view of a constant is not known`)
  return dim
}

/** The shape of `read`. */
export const shapeOf = (view: View): ReadonlyArray<number> =>
  view.shape.map((extent, axis) =>
    view.strides[axis] === 0 && typeof extent !== "number" ? 1 : integer(extent, "shape")
  )

/** Never to be written to: a view of all that a constant holds, in its own order, is the constant itself. */
export const read = (view: View, constant: Constant): Tensor.Tensor => {
  const source = Constants.load(constant)
  const shape = shapeOf(view)
  const strides = view.strides.map((stride) => integer(stride, "strides"))
  const offset = integer(view.offset, "offset")
  const rows = Tensor.strides(shape)
  const inOrder = strides.every((stride, axis) => stride === rows[axis] || shape[axis] === 1)
  if (offset === 0 && inOrder && Tensor.size(shape) === source.data.length) return { ...source, shape }
  const target = Tensor.zeros(source.dtype, shape)
  if (target.data.length === 0) return target
  const place = new Array<number>(shape.length).fill(0)
  let from = offset
  for (let i = 0; i < target.data.length; i++) {
    target.data[i] = source.data[from] ?? 0
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const step = strides[axis] ?? 0
      const next = (place[axis] ?? 0) + 1
      from += step
      if (next < (shape[axis] ?? 1)) {
        place[axis] = next
        break
      }
      place[axis] = 0
      from -= step * next
    }
  }
  return target
}
