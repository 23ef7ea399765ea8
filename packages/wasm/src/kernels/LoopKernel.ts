/**
 * LoopKernel: a loop region, four neighbours of the innermost axis at a time.
 */
import type { DType } from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Loop } from "@anneal/lower/Region"
import type { Emission } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { i32 } from "../Instruction.ts"
import type { Func } from "../ModuleBuilder.ts"
import { Writer } from "../Writer.ts"
import type { Axis } from "./LoopAxes.ts"
import * as LoopCost from "./LoopCost.ts"
import * as LoopNest from "./LoopNest.ts"
import { bytesOf, type Pointer, sizeHere, unrounded } from "./LoopPoint.ts"
import * as LoopRow from "./LoopRow.ts"

export interface LoopShape {
  readonly region: Loop
  /** Outermost first; each axis has the strides of the operands, then of the results. */
  readonly axes: ReadonlyArray<Axis>
  readonly nest: LoopNest.Nest
  /** Vectors that one round of the innermost loop computes. */
  readonly unroll: number
}

/** The function of the kernel: addresses of operands and results, scratch, begin, end. */
export const emit = (shape: LoopShape, emission: Emission, name: string): Func => {
  const { nest, region } = shape
  const { operands, results } = region
  const views = [...operands, ...results.map(({ view }) => view)]
  const params = [...views, "scratch", "begin", "end"].map(() => "i32" as const)
  return emission.module.func(name, params, [], (f) => {
    const w = new Writer(f, emission)
    const parameter = (position: number): I32 => f.get({ type: "i32", index: position })
    const [begin, end] = [parameter(views.length + 1), parameter(views.length + 2)]
    const bytes = views.map(({ dtype }) => bytesOf(dtype))
    LoopNest.write(
      w,
      nest,
      views.map((_, position) => parameter(position)),
      bytes,
      begin,
      end,
      (row) => writeRow(w, shape, row)
    )
  })
}

const writeRow = (w: Writer, { nest, region, unroll }: LoopShape, row: LoopNest.Row): void => {
  const { operands, results } = region
  const pointer = (dtype: DType, place: number): Pointer => ({
    dtype,
    address: row.addresses[place] ?? i32.const(0),
    stride: sizeHere(w, nest.inner.strides[place] ?? 0)
  })
  const prepared = LoopRow.prepare({
    w,
    operands: operands.map(({ dtype }, operand) => pointer(dtype, operand)),
    values: results.map(({ value }) => unrounded(value)),
    from: row.from,
    along: nest.inner.source,
    index: row.index,
    previous: (name) => {
      throw new Error(`a loop has no ${name}`)
    }
  })
  const targets = results.map(({ view }, result) => pointer(view.dtype, operands.length + result))
  LoopRow.store(prepared, targets, row.count, unroll)
}

/** Nanoseconds: the greater of what memory takes and what the instructions take, and what each row costs. */
export const cost = (
  { axes, nest, region, unroll }: LoopShape,
  typical: ReadonlyMap<string, number>,
  relaxed: boolean
): number => {
  const size = (dim: Dim.Dim): number => Dim.evaluate(dim, typical) ?? 1
  const elements = axes.reduce((total, { extent }) => total * size(extent), 1)
  const rows = elements / Math.max(1, size(nest.inner.extent))
  const { operands, results } = region
  const moved = [...operands, ...results.map(({ view }) => view)].map(({ dtype }, view) => {
    const stride = Math.abs(size(nest.inner.strides[view] ?? 0))
    const bytes = bytesOf(dtype)
    return stride === 0 ? 0 : Math.min(64, bytes * stride)
  })
  const traffic = (elements * moved.reduce((total, one) => total + one, 0)) / 80
  const work = LoopCost.workOf(
    results.map(({ value }) => value),
    relaxed
  )
  const strided = moved.filter((_, view) => Math.abs(size(nest.inner.strides[view] ?? 0)) > 1).length
  const short = size(nest.inner.extent) < 4 ? 4 : 1
  const compute = (elements / 4) * (work * short + 8 * strided + 2 / unroll) * LoopCost.instruction
  return Math.max(traffic, compute) + rows * (2 + moved.length) + 20
}
