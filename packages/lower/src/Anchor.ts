/**
 * Anchor: the nodes with a main loop of their own (products, convolutions, windows): the domain that their epilogue runs
 * over, and their operands as views over the main loop's axes.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Movement from "./Movement.ts"
import type { Chain, Shape } from "./Movement.ts"
import type { Contraction, Convolution, Epilogue, Window } from "./Region.ts"
import type { Scope } from "./Scope.ts"
import { accumulatorOf } from "./Scope.ts"
import * as Scalars from "./Scalar.ts"
import * as View from "./View.ts"

export interface Domain {
  readonly domain: Shape
  /** From the domain to the node's result. */
  readonly chain: Chain
}

const extent = (shape: Shape, axis: number): Dim.Dim => shape.at(axis) ?? 1

/** [batch…, m, n] of a product, with 1 for the axis that a vector does not have. */
const productDomain = (
  a: Shape,
  b: Shape,
  result: Shape
): { readonly batch: Shape; readonly m: Dim.Dim; readonly n: Dim.Dim; readonly k: Dim.Dim } => {
  const tail = (a.length === 1 ? 0 : 1) + (b.length === 1 ? 0 : 1)
  return {
    batch: result.slice(0, result.length - tail),
    m: a.length === 1 ? 1 : extent(a, -2),
    n: b.length === 1 ? 1 : extent(b, -1),
    k: extent(a, -1)
  }
}

const groupsOf = (node: Node): number =>
  Graphs.isOp(node, Ops.conv) || Graphs.isOp(node, Ops.convTranspose) ? node.attributes.groups : 1

const shapeOf = (scope: Scope, node: Node, position: number): Shape => scope.typeOf(node.inputs[position] ?? "").shape

export const domainOf = (node: Node, scope: Scope): Domain => {
  const result = node.outputs[0]?.type.shape ?? []
  if (node.op.name === "matmul") {
    const { batch, m, n } = productDomain(shapeOf(scope, node, 0), shapeOf(scope, node, 1), result)
    const domain = [...batch, m, n]
    return { domain, chain: domain.length === result.length ? [] : [Movement.reshape(domain, result)] }
  }
  if (node.op.name === "maxPool" || node.op.name === "averagePool") return { domain: result, chain: [] }
  const groups = groupsOf(node)
  const domain = [extent(result, 0), groups, Dim.floorDiv(extent(result, 1), groups), ...result.slice(2)]
  return { domain, chain: [Movement.reshape(domain, result)] }
}

/** A view as one over another shape; the caller has a row-major copy made where this is undefined. */
type Own = (position: number, form: (view: View.View) => View.View | undefined) => View.View

/** The main loop's part of a region: everything but id, members and epilogue. */
export type Main =
  | Omit<Contraction, "id" | "members" | "epilogue">
  | Omit<Convolution, "id" | "members" | "epilogue">
  | Omit<Window, "id" | "members" | "epilogue">

/** The dtype of `previous "accumulator"`. */
export const accumulator = (node: Node, scope: Scope): View.View["dtype"] => {
  if (scope.products.has(node)) return "i32"
  const dtype = node.outputs[0]?.type.dtype ?? "f32"
  if (node.op.name === "maxPool") return dtype
  return accumulatorOf(dtype) ?? scope.typeOf(node.inputs[0] ?? "").dtype
}

export const mainOf = (node: Node, scope: Scope, own: Own): Main => {
  const result = node.outputs[0]?.type.shape ?? []
  const dtype = node.outputs[0]?.type.dtype ?? "f32"
  const product = scope.products.get(node)
  const accumulate = product === undefined ? (accumulatorOf(dtype) ?? "f32") : "i32"
  const zero = product?.zero ?? { a: 0, b: 0 }
  const ranges = product?.ranges ?? {}
  if (Graphs.isOp(node, Ops.maxPool) || Graphs.isOp(node, Ops.averagePool)) {
    const { dilations, kernel, padsBegin, padsEnd, strides } = node.attributes
    return {
      kind: "window",
      combine: Graphs.isOp(node, Ops.maxPool) ? "max" : "average",
      includePad: Graphs.isOp(node, Ops.averagePool) && node.attributes.includePad,
      input: own(0, (view) => view),
      out: result.slice(2),
      kernel,
      strides,
      dilations,
      padsBegin,
      padsEnd
    }
  }
  if (Graphs.isOp(node, Ops.conv) || Graphs.isOp(node, Ops.convTranspose)) {
    const { dilations, groups, padsBegin, padsEnd, strides } = node.attributes
    const transposed = Graphs.isOp(node, Ops.convTranspose)
    const [x, w] = [shapeOf(scope, node, 0), shapeOf(scope, node, 1)]
    const perGroup = Dim.floorDiv(extent(x, 1), groups)
    const out = Dim.floorDiv(extent(result, 1), groups)
    const kernel = w.slice(2)
    const weight = (view: View.View): View.View | undefined => {
      if (!transposed) return View.reshape(view, [groups, out, perGroup, ...kernel])
      const split = View.reshape(view, [groups, perGroup, out, ...kernel])
      return split === undefined ? undefined : View.transpose(split, [0, 2, 1, ...kernel.map((_, axis) => axis + 3)])
    }
    return {
      kind: "convolution",
      batch: extent(result, 0),
      groups,
      input: own(0, (view) => View.reshape(view, [extent(x, 0), groups, perGroup, ...x.slice(2)])),
      weight: own(1, weight),
      out: result.slice(2),
      strides,
      dilations,
      padsBegin,
      padsEnd,
      transposed,
      zero,
      ranges,
      accumulate
    }
  }
  const [a, b] = [shapeOf(scope, node, 0), shapeOf(scope, node, 1)]
  const { batch, k, m, n } = productDomain(a, b, result)
  const left = (view: View.View): View.View | undefined => {
    const matrix = a.length === 1 ? View.reshape(view, [1, k]) : view
    return matrix === undefined ? undefined : View.expand(matrix, [...batch, m, k])
  }
  const right = (view: View.View): View.View | undefined => {
    const matrix = b.length === 1 ? View.reshape(view, [k, 1]) : view
    if (matrix === undefined) return undefined
    const whole = View.expand(matrix, [...batch, k, n])
    const rank = batch.length
    return View.transpose(whole, [...batch.map((_, axis) => axis), rank + 1, rank])
  }
  return { kind: "contraction", batch, m, n, k, a: own(0, left), b: own(1, right), zero, ranges, accumulate }
}

/** Main loop and epilogue as one region. Batch axes along which b does not move become rows of a where the views allow. */
export const regionOf = (
  main: Main,
  id: string,
  members: ReadonlyArray<Node>,
  epilogue: Epilogue
): Contraction | Convolution | Window =>
  main.kind === "contraction" ? folded({ ...main, id, members, epilogue }) : { ...main, id, members, epilogue }

const usesIndex = ({ results }: Epilogue): boolean =>
  Scalars.parts(results.map(({ value }) => value)).some(({ kind }) => kind === "index")

const folded = (region: Contraction): Contraction => {
  const { batch, epilogue, m, n } = region
  if (batch.length === 0 || usesIndex(epilogue)) return region
  const rows = Dim.product([...batch, m])
  const isShared = batch.every((size, axis) => size === 1 || region.b.strides[axis] === 0)
  if (!isShared) return dropOnes(region)
  const a = View.reshape(region.a, [rows, region.k])
  const b = View.slice(
    { ...region.b, shape: region.b.shape.slice(batch.length), strides: region.b.strides.slice(batch.length) },
    [0, 0],
    [n, region.k],
    [1, 1]
  )
  const operands = epilogue.operands.map((view) => View.reshape(view, [rows, n]))
  const results = epilogue.results.map(({ value, view }) => ({ value, view: View.reshape(view, [rows, n]) }))
  const isWhole = <A>(list: ReadonlyArray<A | undefined>): list is ReadonlyArray<A> => !list.includes(undefined)
  const views = results.map(({ view }) => view)
  if (a === undefined || !isWhole(operands) || !isWhole(views)) return dropOnes(region)
  return {
    ...region,
    batch: [],
    m: rows,
    a,
    b,
    epilogue: {
      operands,
      results: epilogue.results.map(({ value, view }, position) => ({ value, view: views[position] ?? view }))
    }
  }
}

/** Without the batch axes of extent 1. */
const dropOnes = (region: Contraction): Contraction => {
  const { batch, epilogue } = region
  const kept = batch.flatMap((size, axis) => (size === 1 ? [] : [axis]))
  if (kept.length === batch.length) return region
  const axes = [...kept, batch.length, batch.length + 1]
  const pick = (view: View.View): View.View => View.transpose(view, axes)
  return {
    ...region,
    batch: kept.map((axis) => batch[axis] ?? 1),
    a: pick(region.a),
    b: pick(region.b),
    epilogue: {
      operands: epilogue.operands.map(pick),
      results: epilogue.results.map(({ value, view }) => ({ value, view: pick(view) }))
    }
  }
}
