/**
 * View: where the elements of a tensor lie in a buffer. Reshape, transpose, slice, expand and reverse are other views of
 * the same elements wherever strides can say so, and cost nothing then.
 *
 *   transpose [0, 2, 1] of strides [12, 4, 1]  ⇒  strides [12, 1, 4]
 */
import type { DType } from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"

export interface View {
  /** The buffer's id. */
  readonly buffer: string
  readonly dtype: DType
  readonly shape: ReadonlyArray<Dim.Dim>
  /** Elements from the buffer's begin to element [0, …, 0]. */
  readonly offset: Dim.Dim
  /** Elements from one to the next, an axis each: 0 repeats, negative runs backwards. */
  readonly strides: ReadonlyArray<Dim.Dim>
}

/** Row-major strides, in elements. */
export const rowMajor = (shape: ReadonlyArray<Dim.Dim>): ReadonlyArray<Dim.Dim> => {
  const strides: Array<Dim.Dim> = []
  let step: Dim.Dim = 1
  for (const extent of [...shape].reverse()) {
    strides.unshift(step)
    step = Dim.mul(step, extent)
  }
  return strides
}

/** The elements in row-major order from the buffer's begin. */
export const contiguous = (buffer: string, dtype: DType, shape: ReadonlyArray<Dim.Dim>): View => ({
  buffer,
  dtype,
  shape,
  offset: 0,
  strides: rowMajor(shape)
})

/** Row-major after the axes are put in `order` (outermost first): `[0, 2, 3, 1]` of `[n, c, h, w]` is channels last. */
export const ordered = (
  buffer: string,
  dtype: DType,
  shape: ReadonlyArray<Dim.Dim>,
  order: ReadonlyArray<number>
): View => {
  const inner = rowMajor(order.map((axis) => shape[axis] ?? 1))
  const strides = shape.map((_, axis) => inner[order.indexOf(axis)] ?? 1)
  return { buffer, dtype, shape, offset: 0, strides }
}

export const transpose = (view: View, permutation: ReadonlyArray<number>): View => ({
  ...view,
  shape: permutation.map((axis) => view.shape[axis] ?? 1),
  strides: permutation.map((axis) => view.strides[axis] ?? 0)
})

export const slice = (
  view: View,
  starts: ReadonlyArray<Dim.Dim>,
  sizes: ReadonlyArray<Dim.Dim>,
  steps: ReadonlyArray<number>
): View => ({
  ...view,
  shape: sizes,
  offset: Dim.sum([view.offset, ...starts.map((start, axis) => Dim.mul(start, view.strides[axis] ?? 0))]),
  strides: view.strides.map((stride, axis) => Dim.mul(stride, steps[axis] ?? 1))
})

/** numpy's broadcasting to `shape`: axes of extent 1, and new leading ones, repeat. */
export const expand = (view: View, shape: ReadonlyArray<Dim.Dim>): View => {
  const missing = shape.length - view.shape.length
  return {
    ...view,
    shape,
    strides: shape.map((extent, axis) => {
      const own = view.shape[axis - missing]
      return own === undefined || (own === 1 && extent !== 1) ? 0 : (view.strides[axis - missing] ?? 0)
    })
  }
}

export const reverse = (view: View, axes: ReadonlyArray<number>): View => ({
  ...view,
  offset: Dim.sum([
    view.offset,
    ...axes.map((axis) => Dim.mul(Dim.sub(view.shape[axis] ?? 1, 1), view.strides[axis] ?? 0))
  ]),
  strides: view.strides.map((stride, axis) => (axes.includes(axis) ? Dim.neg(stride) : stride))
})

const isOne = (dim: Dim.Dim | undefined): boolean => dim === 1
const same = (a: Dim.Dim, b: Dim.Dim): boolean => Dim.equal(a, b) === true

/**
 * The view under another shape of equally many elements; undefined where strides cannot say it (or it is not known), and
 * the elements have to be copied.
 */
export const reshape = (view: View, shape: ReadonlyArray<Dim.Dim>): View | undefined =>
  // A dense view stays dense, even where the sizes cannot be compared.
  reshapeByRuns(view, shape) ?? (isContiguous(view) ? { ...view, shape, strides: rowMajor(shape) } : undefined)

const reshapeByRuns = (view: View, shape: ReadonlyArray<Dim.Dim>): View | undefined => {
  // Runs of axes on both sides that hold the same elements are matched; inside a run the elements must be evenly spaced.
  const from = view.shape.flatMap((extent, axis) =>
    isOne(extent) ? [] : [{ extent, stride: view.strides[axis] ?? 0 }]
  )
  const strides: Array<Dim.Dim> = new Array<Dim.Dim>(shape.length).fill(0)
  let next = 0
  let axis = 0
  const settle = (run: ReadonlyArray<number>, step: Dim.Dim): void => {
    let stride = step
    for (const one of [...run].reverse()) {
      strides[one] = stride
      stride = Dim.mul(stride, shape[one] ?? 1)
    }
  }
  while (axis < shape.length) {
    if (isOne(shape[axis])) {
      axis++
      continue
    }
    const first = from[next]
    if (first === undefined) return undefined
    const run = [axis]
    let wanted = shape[axis] ?? 1
    let have = first.extent
    let last = first
    axis++
    next++
    while (!same(wanted, have)) {
      // Whichever side is known to lag takes its next axis.
      if (Dim.lessOrEqual(wanted, have) === true) {
        const extent = shape[axis]
        if (extent === undefined) return undefined
        run.push(axis)
        wanted = Dim.mul(wanted, extent)
        axis++
      } else if (Dim.lessOrEqual(have, wanted) === true) {
        const inner = from[next]
        if (inner === undefined || !same(last.stride, Dim.mul(inner.stride, inner.extent))) return undefined
        have = Dim.mul(have, inner.extent)
        last = inner
        next++
      } else return undefined
    }
    // Axes of extent 1 that follow belong to any run; their stride does not matter.
    settle(run, last.stride)
  }
  return next === from.length ? { ...view, shape, strides } : undefined
}

/** Whether the elements are known to lie one after another in row-major order. */
export const isContiguous = (view: View): boolean => {
  const wanted = rowMajor(view.shape)
  return view.shape.every((extent, axis) => isOne(extent) || same(view.strides[axis] ?? 0, wanted[axis] ?? 1))
}
