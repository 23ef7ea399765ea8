// Kernels of control flow, written once over cells: with error bounds they carry the bounds of the sub-graphs' results.
// A condition that is not certain (its bound is not 0) makes every result's bound infinite.
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import * as Ops from "@anneal/ir/Ops"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Elements from "../Elements.ts"
import type { BoundedCall, Cell, Entry, KernelCall, Work } from "../Kernel.ts"
import * as Kernel from "../Kernel.ts"
import * as Strided from "../Strided.ts"

type Cells = Work<ReadonlyArray<Cell>>
type CellKernel<A> = (call: KernelCall<A>, inputs: ReadonlyArray<Cell | undefined>) => Cells

function* tensorsOf(work: Cells): Work<ReadonlyArray<Tensor>> {
  const cells = yield* work
  return cells.map(({ tensor }) => tensor)
}

const define = <A extends {}>(op: OpDefinition<A>, kernel: CellKernel<A>): Entry =>
  Kernel.define(
    op,
    (call) =>
      tensorsOf(
        kernel(
          call,
          call.inputs.map((tensor) => (tensor === undefined ? undefined : { tensor, bound: undefined }))
        )
      ),
    (call: BoundedCall<A>) =>
      kernel(
        call,
        call.inputs.map((tensor, i) => (tensor === undefined ? undefined : { tensor, bound: call.bounds[i] }))
      )
  )

const isTrue = ({ tensor }: Cell): boolean => tensor.data[0] === 1
const isCertain = ({ bound }: Cell): boolean => bound === undefined || bound[0] === 0
const given = (cells: ReadonlyArray<Cell | undefined>): ReadonlyArray<Cell> =>
  cells.flatMap((cell) => (cell === undefined ? [] : [cell]))

const unknown = (cell: Cell): Cell => ({ ...cell, bound: new Float64Array(cell.tensor.data.length).fill(Infinity) })

const branch = define(Ops.branch, function* (call, [condition, ...captured]) {
  if (condition === undefined) return call.fail("the condition is missing")
  const results = yield* call.runGraph(isTrue(condition) ? "then" : "else", given(captured))
  return isCertain(condition) ? results : results.map(unknown)
})

interface SliceType {
  readonly dtype: Tensor["dtype"]
  readonly shape: ReadonlyArray<number>
}

/** Equal shapes stacked along a new axis; `empty` is the type of a slice when there is none. */
const stack = (slices: ReadonlyArray<Cell>, axis: number, empty: SliceType, fail: (detail: string) => never): Cell => {
  const first = slices[0]
  const shape = first?.tensor.shape ?? empty.shape
  const dtype = first?.tensor.dtype ?? empty.dtype
  const at = axis < 0 ? axis + shape.length + 1 : axis
  const full = shape.toSpliced(at, 0, slices.length)
  const result = Tensors.zeros(dtype, full)
  const bound = slices.some((slice) => slice.bound !== undefined) ? new Float64Array(Tensors.size(full)) : undefined
  const strides = Tensors.strides(full)
  const view = strides.toSpliced(at, 1)
  for (const [i, { bound: sliceBound, tensor }] of slices.entries()) {
    if (tensor.shape.join() !== shape.join())
      fail(`iteration ${i} gives [${tensor.shape.join()}], the first gave [${shape.join()}]: they do not stack`)
    const to = { offset: i * (strides[at] ?? 0), strides: view }
    const from = { offset: 0, strides: Tensors.strides(shape) }
    Strided.copy(tensor.data, from, result.data, to, shape)
    if (bound !== undefined && sliceBound !== undefined) Strided.copy(sliceBound, from, bound, to, shape)
  }
  return { tensor: result, bound }
}

const scalarOf = (value: boolean): Cell => ({
  tensor: { dtype: "bool", shape: [], data: Uint8Array.of(value ? 1 : 0) },
  bound: undefined
})

/** The type of one slice of a result, as far as the node's type says; a size that is not known is 0 where nothing ran. */
const sliceType = (call: KernelCall<unknown>, position: number, axis: number): SliceType => {
  const { dtype, extents = [] } = call.outputTypes[position] ?? { dtype: "f32" as const }
  const shape = extents.map((extent) => extent ?? 0)
  return { dtype, shape: shape.toSpliced(axis < 0 ? axis + shape.length : axis, 1) }
}

const loop = define(Ops.loop, function* (call, [trips, first, ...rest]) {
  const { carried } = call.attributes
  const limit = trips === undefined ? Infinity : Number(trips.tensor.data[0])
  const values = given(rest)
  let state = values.slice(0, carried)
  const captured = values.slice(carried)
  let condition = first ?? scalarOf(true)
  let certain = isCertain(condition)
  const scanned: Array<Array<Cell>> = call.outputTypes.slice(carried).map(() => [])
  for (let i = 0; i < limit && isTrue(condition); i++) {
    const iteration: Cell = { tensor: Elements.integers([], [i]), bound: undefined }
    const results = yield* call.runGraph("body", [iteration, condition, ...state, ...captured])
    condition = results[0] ?? scalarOf(false)
    certain &&= isCertain(condition)
    state = results.slice(1, carried + 1)
    for (const [position, list] of scanned.entries()) {
      const result = results[carried + 1 + position]
      if (result !== undefined) list.push(result)
    }
    yield
  }
  const stacked = scanned.map((slices, position) => stack(slices, 0, sliceType(call, carried + position, 0), call.fail))
  const results = [...state, ...stacked]
  return certain ? results : results.map(unknown)
})

/** One slice of a cell along an axis, the axis left out. */
const sliceOf = (cell: Cell, axis: number, position: number): Cell => {
  const shape = cell.tensor.shape.toSpliced(axis, 1)
  const at = Strided.take(cell.tensor, axis, [position])
  if (cell.bound === undefined) return { tensor: { ...at, shape }, bound: undefined }
  const { data } = Strided.take({ dtype: "f64", shape: cell.tensor.shape, data: cell.bound }, axis, [position])
  return { tensor: { ...at, shape }, bound: data instanceof Float64Array ? data : undefined }
}

const scan = define(Ops.scan, function* (call, inputs) {
  const { carried, inputAxes, inputReverse, outputAxes, outputReverse, scanned } = call.attributes
  const values = given(inputs)
  let state = values.slice(0, carried)
  const sources = values.slice(carried, carried + scanned)
  const captured = values.slice(carried + scanned)
  const axes = sources.map(({ tensor }, i) => Strided.normalAxis(inputAxes[i] ?? 0, tensor.shape.length))
  const length = sources[0]?.tensor.shape[axes[0] ?? 0] ?? 0
  for (const [i, { tensor }] of sources.entries())
    if (tensor.shape[axes[i] ?? 0] !== length) call.fail("the scanned values differ in length")
  const lists: Array<Array<Cell>> = call.outputTypes.slice(carried).map(() => [])
  for (let step = 0; step < length; step++) {
    const slices = sources.map((source, i) =>
      sliceOf(source, axes[i] ?? 0, inputReverse[i] === true ? length - 1 - step : step)
    )
    const results = yield* call.runGraph("body", [...state, ...slices, ...captured])
    state = results.slice(0, carried)
    for (const [i, list] of lists.entries()) {
      const result = results[carried + i]
      if (result !== undefined) list.push(result)
    }
    yield
  }
  const stacked = lists.map((slices, i) => {
    const axis = outputAxes[i] ?? 0
    const ordered = outputReverse[i] === true ? slices.toReversed() : slices
    return stack(ordered, axis, sliceType(call, carried + i, axis), call.fail)
  })
  return [...state, ...stacked]
})

export const all: ReadonlyArray<Entry> = [branch, loop, scan]
