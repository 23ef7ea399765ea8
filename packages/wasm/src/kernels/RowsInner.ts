/**
 * RowsInner: rows whose elements lie one after another: each row by itself, four elements at a time, with several accumulators.
 */
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import type { Rows } from "@anneal/lower/Region"
import * as Scalars from "@anneal/lower/Scalar"
import type { Emission } from "../Emission.ts"
import type { Expr, I32 } from "../Instruction.ts"
import { i32 } from "../Instruction.ts"
import * as Lanes from "../Lanes.ts"
import type { Func } from "../ModuleBuilder.ts"
import * as ScalarCode from "../ScalarCode.ts"
import { Writer } from "../Writer.ts"
import type { Axis } from "./LoopAxes.ts"
import type * as LoopNest from "./LoopNest.ts"
import * as LoopPoint from "./LoopPoint.ts"
import { bytesOf, plus, type Pointer, sizeHere, times } from "./LoopPoint.ts"
import * as LoopRow from "./LoopRow.ts"
import * as RowsCombine from "./RowsCombine.ts"
import * as RowsNest from "./RowsNest.ts"
import type * as RowsPlan from "./RowsPlan.ts"

export interface RowsShape {
  readonly region: Rows
  readonly plan: RowsPlan.Plan
  /** Axes of the rows, and of a row's elements; strides of the operands, then of the results. */
  readonly outer: ReadonlyArray<Axis>
  readonly inner: ReadonlyArray<Axis>
  readonly nest: LoopNest.Nest
  /** Vectors (or, over several rows at once, vectors of rows) that are in work at a time. */
  readonly unroll: number
}

/** Elements of a row. */
export const rowLength = (inner: ReadonlyArray<Axis>): Dim.Dim => Dim.product(inner.map(({ extent }) => extent))

/** Bytes that kept elements of one row take. */
export const scratchOf = ({ inner, plan }: RowsShape): Dim.Dim =>
  Dim.sum(plan.kept.map(({ dtype }) => Dim.mul(Dim.add(rowLength(inner), 4), bytesOf(dtype))))

export const emit = (shape: RowsShape, emission: Emission, name: string): Func =>
  RowsNest.emit(shape, emission, name, (w, addresses, scratch, index) => writeRow(w, shape, addresses, scratch, index))

/** One row, from the addresses of its first elements. */
export const writeRow = (
  w: Writer,
  { inner, plan, region, unroll }: RowsShape,
  addresses: ReadonlyArray<I32>,
  scratch: I32,
  outerIndex: (axis: number) => I32 | undefined
): void => {
  const { f } = w
  const { operands, results } = region
  const values = new Map<string, Expr>()
  const previous = (name: string): Expr => {
    const found = values.get(name)
    if (found === undefined) throw new Error(`there is no ${name}`)
    return found
  }
  const length = rowLength(inner)

  // Kept elements are operands after the others, in the order of the row.
  let top: Dim.Dim = 0
  const keptAt = plan.kept.map(({ dtype }) => {
    const place = top
    top = Dim.add(top, Dim.mul(Dim.add(length, 4), bytesOf(dtype)))
    return w.keep(plus(scratch, sizeHere(w, place)))
  })
  const keptOperand = new Map(plan.kept.map(({ name }, i) => [name, operands.length + i]))
  const withKept = (scalar: Scalars.Scalar): Scalars.Scalar =>
    Scalars.map(scalar, (part) => {
      const operand = part.kind === "previous" ? keptOperand.get(part.name) : undefined
      return operand === undefined ? part : Scalars.load(operand, part.dtype)
    })

  const along = inner.at(-1)
  const around = inner.slice(0, -1)
  const count = along === undefined ? 1 : sizeHere(w, along.extent)
  const strideAlong = (place: number) => (along === undefined ? 0 : sizeHere(w, along.strides[place] ?? 0))

  /** Goes through the row: `body` for each run along the innermost axis, with the addresses at its first element. */
  const runs = (
    body: (here: ReadonlyArray<I32>, kept: ReadonlyArray<I32>, index: (axis: number) => I32 | undefined) => void
  ): void => {
    const walk = (depth: number, here: ReadonlyArray<I32>, flat: I32, indices: ReadonlyArray<I32>): void => {
      const axis = around[depth]
      if (axis === undefined) {
        const kept = plan.kept.map(({ dtype }, i) =>
          around.length === 0
            ? (keptAt[i] ?? scratch)
            : w.keep(plus(keptAt[i] ?? scratch, times(times(flat, count), bytesOf(dtype))))
        )
        return body(here, kept, (source) => {
          const place = around.findIndex((one) => one.source === source)
          return place >= 0 ? indices[place] : outerIndex(source)
        })
      }
      const extent = sizeHere(w, axis.extent)
      f.range(0, extent, 1, (i) => {
        const at = f.get(i)
        const next = here.map((address, view) => {
          const bytes = bytesOf((operands[view] ?? results[view - operands.length]?.view)?.dtype ?? "f32")
          const step = sizeHere(w, Dim.mul(axis.strides[view] ?? 0, bytes))
          return step === 0 ? address : w.keep(plus(address, times(at, step)))
        })
        walk(depth + 1, next, w.keep(plus(at, times(flat, extent))), [...indices, at])
      })
    }
    walk(0, addresses, i32.const(0), [])
  }
  const task = (
    here: ReadonlyArray<I32>,
    kept: ReadonlyArray<I32>,
    index: (axis: number) => I32 | undefined,
    scalars: ReadonlyArray<Scalars.Scalar>
  ): LoopRow.Task => ({
    w,
    operands: [
      ...operands.map(({ dtype }, i): Pointer => ({ dtype, address: here[i] ?? scratch, stride: strideAlong(i) })),
      ...plan.kept.map(({ dtype }, i): Pointer => ({ dtype, address: kept[i] ?? scratch, stride: 1 }))
    ],
    values: scalars.map(withKept),
    from: 0,
    along: along?.source,
    index,
    previous
  })
  /** Values of a row, from the operands' first elements. */
  const rowValues = (scalars: ReadonlyArray<Scalars.Scalar>): ReadonlyArray<Expr> =>
    ScalarCode.single(
      w,
      scalars,
      LoopPoint.single(
        {
          w,
          pointer: (operand) => ({
            dtype: operands[operand]?.dtype ?? "f32",
            address: addresses[operand] ?? scratch,
            stride: 0
          }),
          index: (axis) => ({ at: outerIndex(axis) ?? i32.const(0), along: false }),
          previous
        },
        0
      )
    )
  const addRows = (stages: ReadonlyArray<RowsPlan.RowStage>): void => {
    for (const { name, value } of stages) {
      const [result] = rowValues([value])
      if (result !== undefined) values.set(name, result)
    }
  }

  addRows(plan.before)
  for (const { after, keeps, reduces } of plan.passes) {
    const plain = reduces.filter(({ stage }) => !RowsCombine.isPosition(stage))
    if (plain.length > 0 || keeps.length > 0) {
      const vectors = plain.map(({ stage }) =>
        Array.from({ length: unroll }, () => new RowsCombine.VectorAccumulator(w, stage))
      )
      const singles = plain.map(({ stage }) => new RowsCombine.SingleAccumulator(w, stage))
      for (const one of [...vectors.flat(), ...singles]) one.reset()
      runs((here, kept, index) => {
        const scalars = [...plain.map(({ value }) => value), ...keeps.map(({ value }) => value)]
        const row = LoopRow.prepare(task(here, kept, index, scalars))
        const targets = keeps.map(({ name, value }, i) => ({
          value: plain.length + i,
          target: {
            dtype: value.dtype,
            address: kept[(keptOperand.get(name) ?? operands.length) - operands.length] ?? scratch,
            stride: 1
          }
        }))
        LoopRow.consume(row, targets, count, unroll, {
          vectors: (lanes, vector, mask) =>
            plain.forEach((_, i) => {
              const value = lanes[i]
              if (value !== undefined) vectors[i]?.[vector]?.add(value, mask)
            }),
          singles: (elements) =>
            plain.forEach((_, i) => {
              const value = elements[i]
              if (value !== undefined) singles[i]?.add(value)
            })
        })
      })
      plain.forEach(({ stage }, i) => {
        const single = singles[i]
        const [first, ...others] = vectors[i] ?? []
        if (single === undefined || first === undefined) return
        if (typeof count !== "number" || count >= 4) {
          // Pairs of accumulators, then pairs of those: close to pairwise summation.
          let left = [first, ...others]
          while (left.length > 1) {
            const half = left.slice(0, left.length / 2)
            half.forEach((one, at) => {
              const other = left[at + half.length]
              if (other !== undefined) one.merge(other)
            })
            left = half
          }
          single.add(w.keep(first.one()))
        }
        values.set(stage.name, w.keep(single.one()))
      })
    }
    for (const { stage, value } of reduces) {
      if (!RowsCombine.isPosition(stage)) continue
      const position = new RowsCombine.SinglePosition(w, stage, value.dtype)
      position.reset()
      // Four lanes by themselves, each with its own best, where they are worth it.
      const inLanes = bytesOf(value.dtype) < 8 && (typeof count !== "number" || count >= 16)
      const lanes = Array.from(
        { length: inLanes ? unroll + 1 : 0 },
        () => new RowsCombine.VectorPosition(w, stage, value.dtype)
      )
      for (const one of lanes) one.reset()
      const index: Scalars.Scalar = { kind: "index", dtype: "i32", axis: along?.source ?? region.outer.length }
      runs((here, kept, indexOf) => {
        const row = LoopRow.prepare(task(here, kept, indexOf, [value, index]))
        if (!inLanes) {
          f.range(0, count, 1, (i) => {
            const [element] = row.singlesAt(0)
            if (element !== undefined) position.add(element, f.get(i))
            row.advance(1)
          })
          return
        }
        LoopRow.consume(row, [], count, unroll, {
          vectors: ([x, at], vector, mask) => {
            // The end of a row may come first, and of equals the first one counts: it has lanes of its own.
            const own = mask === undefined ? vector : unroll
            if (x !== undefined && at !== undefined) lanes[own]?.add(x, at[0], mask)
          },
          singles: ([x, at]) => {
            if (x !== undefined && at !== undefined) position.add(x, { type: "i32", code: at.code })
          }
        })
      })
      for (const one of lanes) one.joinInto(position)
      values.set(stage.name, w.keep(position.one()))
    }
    addRows(after)
  }
  // Values of rows are read before elements are stored, which may lie in an operand's place.
  const rowResults = rowValues(plan.rows.map(({ value }) => value))
  if (plan.elements.length > 0)
    runs((here, kept, index) => {
      const row = LoopRow.prepare(
        task(
          here,
          kept,
          index,
          plan.elements.map(({ value }) => LoopPoint.unrounded(value))
        )
      )
      const targets = plan.elements.map(({ result }): Pointer => {
        const place = operands.length + result
        const dtype: DType = results[result]?.view.dtype ?? "f32"
        return { dtype, address: here[place] ?? scratch, stride: strideAlong(place) }
      })
      LoopRow.store(row, targets, count, unroll)
    })
  plan.rows.forEach(({ result }, i) => {
    const [value, view] = [rowResults[i], results[result]?.view]
    if (value !== undefined && view !== undefined)
      f.do(Lanes.storeOne(w, view.dtype, addresses[operands.length + result] ?? scratch, value))
  })
}
