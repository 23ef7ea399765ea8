// Reductions, running sums, arg max and min, TopK, NonZero, Unique.
//
// Axes are an attribute before opset 18 (ReduceSum: 13), an input since; none means all, or nothing with
// `noop_with_empty_axes`.
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Content from "../Content.ts"
import type { Emit } from "../Emit.ts"
import type { Context, Operator } from "../Operator.ts"

type Make = (e: Emit, x: Value, axes: ReadonlyArray<number>, keepDims: boolean) => Value
type Combine = (dtype: DTypes.DType, a: Content.Element, b: Content.Element) => Content.Element | undefined

const plain =
  (op: typeof Ops.reduceSum): Make =>
  (e, x, axes, keepDims) =>
    e.reduce(op, x, axes, keepDims)

/** On integers: computed on f64, the result truncated. */
const onFloats =
  (make: Make): Make =>
  (e, x, axes, keepDims) => {
    const { dtype } = x.type
    return DTypes.isFloat(dtype) ? make(e, x, axes, keepDims) : e.cast(make(e, e.cast(x, "f64"), axes, keepDims), dtype)
  }

const square = (e: Emit, x: Value): Value => e.mul(x, x)

/** log Σ eˣ without overflow: the greatest element is taken out first. */
const logSumExp: Make = (e, x, axes, keepDims) => {
  const infinite = (value: Value): Value => e.b.one(Ops.isInf, [value], { positive: true, negative: true })
  const greatest = e.reduce(Ops.reduceMax, x, axes, true)
  const finite = e.select(infinite(greatest), e.number(x, 0), greatest)
  const total = e.sum(e.exp(e.sub(x, finite)), axes, true)
  const result = e.add(e.log(total), finite)
  return keepDims
    ? result
    : e.reshape(
        result,
        result.type.shape.filter((_, axis) => !axes.includes(axis))
      )
}

const list: ReadonlyArray<readonly [name: string, since: ReadonlyArray<number>, make: Make, combine?: Combine]> = [
  ["ReduceSum", [1, 11, 13], plain(Ops.reduceSum), Content.add],
  ["ReduceMean", [1, 11, 18], plain(Ops.reduceMean)],
  ["ReduceProd", [1, 11, 18], plain(Ops.reduceProd), Content.mul],
  ["ReduceMax", [1, 11, 18, 20], plain(Ops.reduceMax), Content.max],
  ["ReduceMin", [1, 11, 18, 20], plain(Ops.reduceMin), Content.min],
  ["ReduceL1", [1, 11, 18], (e, x, axes, keep) => e.sum(e.abs(x), axes, keep)],
  ["ReduceL2", [1, 11, 18], onFloats((e, x, axes, keep) => e.sqrt(e.sum(square(e, x), axes, keep)))],
  ["ReduceSumSquare", [1, 11, 18], (e, x, axes, keep) => e.sum(square(e, x), axes, keep)],
  ["ReduceLogSum", [1, 11, 18], onFloats((e, x, axes, keep) => e.log(e.sum(x, axes, keep)))],
  ["ReduceLogSumExp", [1, 11, 18], onFloats(logSumExp)]
]

const reduction = ([name, since, make, combine]: (typeof list)[number]): Operator => ({
  name,
  since,
  translate: (c) => {
    const rank = c.rank(0)
    const inputSince = name === "ReduceSum" ? 13 : 18
    const given = c.opset < inputSince ? c.attribute.ints("axes") : c.integers(1)
    const isAll = given === undefined || given.length === 0
    const keepDims = c.attribute.flag("keepdims", true)
    const axes = isAll
      ? c.attribute.flag("noop_with_empty_axes", false)
        ? []
        : Array.from({ length: rank }, (_, axis) => axis)
      : [...new Set(given.map((axis) => c.axis(axis, rank)))]
    const content = c.content(0)
    if (combine !== undefined && content !== undefined && axes.length === rank && content.elements.length > 0) {
      const element = Content.fold(content, combine)
      const known = Content.make(content.dtype, keepDims ? content.shape.map(() => 1) : [], [element])
      if (known !== undefined) return c.known(known)
    }
    return make(c.e, c.input(0), axes, keepDims)
  }
})

const arg = (name: string, op: typeof Ops.argMax): Operator => ({
  name,
  since: [1, 11, 12],
  translate: (c) => {
    const axis = c.axis(c.attribute.int("axis", 0), c.rank(0))
    const select = c.attribute.flag("select_last_index", false) ? "last" : "first"
    return c.e.b.one(op, [c.input(0)], { axis, keepDims: c.attribute.flag("keepdims", true), select })
  }
})

const running = (name: string, since: number, op: typeof Ops.cumulativeSum): Operator => ({
  name,
  since: [since],
  translate: (c) => {
    const axis = c.axis(c.integers(1)?.[0] ?? c.fail("the axis is missing"), c.rank(0))
    const [exclusive, reverse] = [c.attribute.flag("exclusive", false), c.attribute.flag("reverse", false)]
    return c.e.b.one(op, [c.input(0)], { axis, exclusive, reverse })
  }
})

/** k is an attribute before opset 10. */
export const topK: Operator = {
  name: "TopK",
  since: [1, 10, 11],
  translate: (c) => {
    const k = c.opset < 10 ? c.attribute.int("k") : (c.dims(1)[0] ?? c.fail("k is missing"))
    return c.e.b.node(Ops.topK, [c.input(0)], {
      k,
      axis: c.axis(c.attribute.int("axis", -1), c.rank(0)),
      largest: c.attribute.flag("largest", true),
      sorted: c.attribute.flag("sorted", true)
    })
  }
}

export const nonZero: Operator = {
  name: "NonZero",
  since: [9],
  translate: (c) => c.e.b.one(Ops.nonZero, [c.input(0)], {})
}

export const unique: Operator = {
  name: "Unique",
  since: [11],
  translate: (c) => {
    const axis = c.attribute.has("axis") ? c.axis(c.attribute.int("axis"), c.rank(0)) : null
    return c.e.b.node(Ops.unique, [c.input(0)], { axis, sorted: c.attribute.flag("sorted", true) })
  }
}

/** The number of elements of an i64 count input, for attributes that want a plain number. */
export const countOf = (c: Context, index: number): Dim.Dim => c.dims(index)[0] ?? c.fail(`input ${index} is empty`)

export const all: ReadonlyArray<Operator> = [
  ...list.map(reduction),
  arg("ArgMax", Ops.argMax),
  arg("ArgMin", Ops.argMin),
  running("CumSum", 11, Ops.cumulativeSum),
  running("CumProd", 26, Ops.cumulativeProduct),
  topK,
  nonZero,
  unique
]
