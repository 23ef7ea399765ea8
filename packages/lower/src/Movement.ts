/**
 * Movement: what reshape, transpose, slice, expand and reverse do to a view, forwards and, where no element is lost or
 * repeated, backwards.
 *
 *   transpose [1, 0]: apply a view over [2, 3] ⇒ the view over [3, 2]; invert: the other way
 *
 * A chain of movements leads from one tensor to another; places of values in a group and aliases are chains.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as View from "./View.ts"

export type Shape = ReadonlyArray<Dim.Dim>

export interface Movement {
  readonly from: Shape
  readonly to: Shape
  /** A view over `from` as one over `to`; undefined where strides cannot say it. */
  readonly apply: (view: View.View) => View.View | undefined
  /**
   * A view over `to` as one over `from`: where the element of `from` goes. Undefined where strides cannot say it; absent
   * where elements are lost or repeated.
   */
  readonly invert?: (view: View.View) => View.View | undefined
}

export type Chain = ReadonlyArray<Movement>

export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((dim, axis) => Dim.equal(dim, b[axis] ?? 0) === true)

export const reshape = (from: Shape, to: Shape): Movement => ({
  from,
  to,
  apply: (view) => View.reshape(view, to),
  invert: (view) => View.reshape(view, from)
})

const inverse = (permutation: ReadonlyArray<number>): ReadonlyArray<number> =>
  permutation.map((_, axis) => permutation.indexOf(axis))

export const transpose = (from: Shape, permutation: ReadonlyArray<number>): Movement => ({
  from,
  to: permutation.map((axis) => from[axis] ?? 1),
  apply: (view) => View.transpose(view, permutation),
  invert: (view) => View.transpose(view, inverse(permutation))
})

export const slice = (
  from: Shape,
  starts: ReadonlyArray<Dim.Dim>,
  sizes: ReadonlyArray<Dim.Dim>,
  steps: ReadonlyArray<number>
): Movement => {
  const whole = steps.every((step) => step === 1) && sameShape(from, sizes)
  const base: Movement = { from, to: sizes, apply: (view) => View.slice(view, starts, sizes, steps) }
  return whole ? { ...base, invert: (view) => view } : base
}

export const expand = (from: Shape, to: Shape): Movement => {
  // Without a new extent only axes of 1 come in: a reshape.
  if (Dim.equal(Dim.product(from), Dim.product(to)) === true) return reshape(from, to)
  return { from, to, apply: (view) => View.expand(view, to) }
}

export const reverse = (shape: Shape, axes: ReadonlyArray<number>): Movement => ({
  from: shape,
  to: shape,
  apply: (view) => View.reverse(view, axes),
  invert: (view) => View.reverse(view, axes)
})

/**
 * The rows of a reduction as a movement of its operand: a view over the reduced shape repeats along the reduced axes of
 * the operand. Backwards only: a row is no element.
 */
export const reduce = (from: Shape, axes: ReadonlyArray<number>, to: Shape): Movement => {
  const kept = from.map((dim, axis) => (axes.includes(axis) ? 1 : dim))
  return {
    from,
    to,
    apply: () => undefined,
    invert: (view) => {
      const withAxes = View.reshape(view, kept)
      return withAxes === undefined ? undefined : View.expand(withAxes, from)
    }
  }
}

const normal = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis)

/** The node as a movement of its operand; undefined when it is none. `scalarIndex` reads a constant index. */
export const ofNode = (
  node: Node,
  from: Shape,
  scalarIndex: (id: string) => number | undefined
): Movement | undefined => {
  const to = node.outputs[0]?.type.shape ?? []
  if (Graphs.isOp(node, Ops.reshape)) return reshape(from, to)
  if (Graphs.isOp(node, Ops.transpose)) return transpose(from, node.attributes.permutation)
  if (Graphs.isOp(node, Ops.expand)) return expand(from, to)
  if (Graphs.isOp(node, Ops.slice))
    return slice(from, node.attributes.starts, node.attributes.sizes, node.attributes.steps)
  if (Graphs.isOp(node, Ops.reverse))
    return reverse(
      from,
      node.attributes.axes.map((axis) => normal(axis, from.length))
    )
  // Of one element each: nothing is combined.
  const reduction = [Ops.reduceSum, Ops.reduceMean, Ops.reduceMax, Ops.reduceMin, Ops.reduceProd].some(
    (op) => Graphs.isOp(node, op) && node.attributes.axes.every((axis) => from[axis] === 1)
  )
  if (reduction) return reshape(from, to)
  if (Graphs.isOp(node, Ops.gather)) {
    // data[constant] along an axis is a slice.
    const index = scalarIndex(node.inputs[1] ?? "")
    const axis = normal(node.attributes.axis, from.length)
    if (index === undefined) return undefined
    const start = index < 0 ? Dim.add(from[axis] ?? 1, index) : index
    const sizes = from.map((dim, other) => (other === axis ? 1 : dim))
    const cut = slice(
      from,
      from.map((_, other) => (other === axis ? start : 0)),
      sizes,
      from.map(() => 1)
    )
    const flat = reshape(sizes, to)
    return {
      from,
      to,
      apply: (view) => {
        const part = cut.apply(view)
        return part === undefined ? undefined : flat.apply(part)
      }
    }
  }
  return undefined
}

/** A view at the chain's begin as one at its end. */
export const apply = (chain: Chain, view: View.View): View.View | undefined => {
  let result: View.View | undefined = view
  for (const step of chain) result = result === undefined ? undefined : step.apply(result)
  return result
}

/** A view at the chain's end as one at its begin. */
export const invert = (chain: Chain, view: View.View): View.View | undefined => {
  let result: View.View | undefined = view
  for (const step of [...chain].reverse()) result = result === undefined ? undefined : step.invert?.(result)
  return result
}

export const isBijective = (chain: Chain): boolean => chain.every(({ invert: backwards }) => backwards !== undefined)

/** The chain without the detours that lead back to where they began: strides may not be able to say half of one. */
export const shortened = (chain: Chain): Chain => {
  for (const [begin, { from }] of chain.entries())
    for (let end = chain.length; end > begin; end--) {
      const last = chain[end - 1]
      if (last === undefined || !sameShape(last.to, from)) continue
      const every = View.contiguous("", "f32", from)
      const back = apply(chain.slice(begin, end), every)
      if (back !== undefined && sameView(back, every)) return [...chain.slice(0, begin), ...shortened(chain.slice(end))]
    }
  return chain
}

/** The chain from its end to its begin; only of bijective ones. */
export const reversed = (chain: Chain): Chain =>
  [...chain].reverse().map(({ apply: forwards, from, invert: backwards, to }) => ({
    from: to,
    to: from,
    apply: (view: View.View) => backwards?.(view),
    invert: forwards
  }))

/** Whether two views over one shape have each element at the same place. */
export const sameView = (a: View.View, b: View.View): boolean =>
  sameShape(a.shape, b.shape) &&
  Dim.equal(a.offset, b.offset) === true &&
  a.shape.every((extent, axis) => extent === 1 || Dim.equal(a.strides[axis] ?? 0, b.strides[axis] ?? 0) === true)
