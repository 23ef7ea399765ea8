/**
 * WholeScatter: data with elements or slices replaced or combined: a copy, then the updates in row-major order of their indices.
 *
 * An index counts from the end when negative; out of range it stops the code (`CheckedIndex`).
 */
import * as Dim from "@anneal/ir/Dim"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Loop, Whole } from "@anneal/lower/Region"
import type { Binary } from "@anneal/lower/ScalarOp"
import * as Scalars from "@anneal/lower/Scalar"
import type { View } from "@anneal/lower/View"
import type { I32 } from "../Instruction.ts"
import { i32 } from "../Instruction.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import * as Lanes from "../Lanes.ts"
import * as SingleOps from "../SingleOps.ts"
import { Writer } from "../Writer.ts"
import { checkedIndex } from "./CheckedIndex.ts"
import * as LoopKernels from "./Loop.ts"
import { plus, sizeCode, sizeHere, times } from "./LoopPoint.ts"
import * as WholeWalk from "./WholeWalk.ts"

export const kernel = ({ node, operands, results }: Whole, typical: TypicalSizes): Kernel | undefined => {
  const [data, indices, updates] = operands
  const [result] = results
  if (data === null || data === undefined || indices === null || indices === undefined) return undefined
  if (updates === null || updates === undefined || result === null || result === undefined) return undefined
  const isElements = Graphs.isOp(node, Ops.scatterElements)
  if (!isElements && !Graphs.isOp(node, Ops.scatterNd)) return undefined
  const { reduction } = node.attributes
  if (data.dtype === "bool" && reduction !== "none") return undefined
  const copy = copyOf(data, result, typical)
  if (copy === undefined) return undefined
  const rank = data.shape.length
  const views = [data, indices, updates, result]
  const writeUpdates = (w: Writer, addresses: ReadonlyArray<I32>): void => {
    const [, indexAt, updateAt, resultAt] = addresses
    if (indexAt === undefined || updateAt === undefined || resultAt === undefined) return
    const combine = (to: I32, from: I32): void => {
      const value = Lanes.loadOne(w, updates.dtype, from)
      const op: Binary | undefined = reduction === "none" ? undefined : reduction
      const before = Lanes.loadOne(w, result.dtype, to)
      const next = op === undefined ? value : SingleOps.binary(w, op, result.dtype, before, value, undefined)
      w.f.do(Lanes.storeOne(w, result.dtype, to, next))
    }
    if (isElements) {
      const { axis: given } = node.attributes
      const axis = given < 0 ? given + rank : given
      const all = data.shape.map((_, other) => other)
      const moving = [
        { view: indices, axes: all, address: indexAt },
        { view: updates, axes: all, address: updateAt },
        { view: result, axes: all.map((other) => (other === axis ? null : other)), address: resultAt }
      ]
      WholeWalk.walk(w, indices.shape, moving, ([index, update, target]) => {
        if (index === undefined || update === undefined || target === undefined) return
        const at = checkedIndex(w, Lanes.loadOne(w, indices.dtype, index), indices.dtype, data.shape[axis] ?? 1)
        combine(w.keep(plus(target, times(at, WholeWalk.stepOf(w, result, axis)))), update)
      })
      return
    }
    const wide = indices.shape.length - 1
    const width = indices.shape.at(-1)
    if (typeof width !== "number") return
    const outer = Array.from({ length: wide }, (_, axis) => axis)
    WholeWalk.walk(
      w,
      indices.shape.slice(0, -1),
      [
        { view: indices, axes: outer, address: indexAt },
        { view: updates, axes: outer, address: updateAt }
      ],
      ([tuple, update]) => {
        if (tuple === undefined || update === undefined) return
        const step = WholeWalk.stepOf(w, indices, wide)
        const target = Array.from({ length: width }, (_, part) => part).reduce<I32>((address, part) => {
          const from = plus(tuple, times(step, part))
          const at = checkedIndex(w, Lanes.loadOne(w, indices.dtype, from), indices.dtype, data.shape[part] ?? 1)
          return w.keep(plus(address, times(at, WholeWalk.stepOf(w, result, part))))
        }, resultAt)
        const block = data.shape.slice(width)
        WholeWalk.walk(
          w,
          block,
          [
            { view: updates, axes: block.map((_, axis) => wide + axis), address: update },
            { view: result, axes: block.map((_, axis) => width + axis), address: target }
          ],
          ([from, to]) => {
            if (from !== undefined && to !== undefined) combine(to, from)
          }
        )
      }
    )
  }
  const size = (view: View): number => Dim.evaluate(Dim.product(view.shape), typical) ?? 1
  return {
    name: "scatter",
    config: {},
    cost: copy.cost + 4 * size(updates) + 30,
    packed: [],
    scratch: 0,
    // Later updates win: they cannot be shared out.
    units: 1,
    emit: (emission, name) => {
      const copied = copy.emit(emission, `${name}.copy`)
      return emission.module.func(
        name,
        [...views, "scratch", "begin", "end"].map(() => "i32" as const),
        [],
        (f) => {
          const w = new Writer(f, emission)
          const parameter = (position: number): I32 => f.get({ type: "i32", index: position })
          f.if(i32.lt_s(parameter(5), parameter(6)), () => {
            const units = sizeCode(sizeHere(w, copy.units))
            // In the place of the data there is nothing to copy.
            f.if(i32.ne(parameter(0), parameter(3)), () =>
              f.run(copied, [parameter(0), parameter(3), parameter(4), i32.const(0), units])
            )
            writeUpdates(
              w,
              views.map((_, place) => parameter(place))
            )
          })
        }
      )
    }
  }
}

/** The least copy of the data to the result. */
const copyOf = (data: View, result: View, typical: TypicalSizes): Kernel | undefined => {
  const region: Loop = {
    kind: "loop",
    id: "copy",
    members: [],
    domain: data.shape,
    operands: [data],
    results: [{ view: result, value: Scalars.load(0, data.dtype) }]
  }
  return LoopKernels.candidates(region, typical, { relaxed: false, wide: false, threads: false }).toSorted(
    (a, b) => a.cost - b.cost
  )[0]
}
