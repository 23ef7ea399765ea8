/**
 * RowsOuter: rows that lie side by side (a reduction down columns): four rows in the lanes of a vector, a few such vectors at a
 * time. Rows that are left over go one by one.
 */
import * as Dim from "@anneal/ir/Dim"
import * as Scalars from "@anneal/lower/Scalar"
import type { Emission } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { i32, i32x4, v128 } from "../Instruction.ts"
import * as Lanes from "../Lanes.ts"
import type { Func } from "../ModuleBuilder.ts"
import * as ScalarCode from "../ScalarCode.ts"
import type { Writer } from "../Writer.ts"
import * as LoopPoint from "./LoopPoint.ts"
import { bytesOf, plus, sizeCode, sizeHere, times } from "./LoopPoint.ts"
import * as RowsCombine from "./RowsCombine.ts"
import * as RowsInner from "./RowsInner.ts"
import type { RowsShape } from "./RowsInner.ts"
import * as RowsNest from "./RowsNest.ts"
import type * as RowsPlan from "./RowsPlan.ts"

const vectorBytes = (dtype: Scalars.Scalar["dtype"], unroll: number): number =>
  unroll * 16 * (bytesOf(dtype) === 8 ? 2 : 1)

/** Bytes that kept elements of the rows that are in work take; rows one by one need less. */
export const scratchOf = (shape: RowsShape): Dim.Dim =>
  Dim.max(
    RowsInner.scratchOf(shape),
    Dim.sum(
      shape.plan.kept.map(({ dtype }) => Dim.mul(RowsInner.rowLength(shape.inner), vectorBytes(dtype, shape.unroll)))
    )
  )

export const emit = (shape: RowsShape, emission: Emission, name: string): Func =>
  RowsNest.emit(shape, emission, name, (w, addresses, scratch, index, row) => {
    const { f } = w
    const { operands, results } = shape.region
    const along = shape.nest.inner
    const dtypes = [...operands, ...results.map(({ view }) => view)].map(({ dtype }) => dtype)
    const pointers = addresses.map((address) => f.let(address))
    const position = f.local("i32")
    f.set(position, sizeCode(row.from))
    const count = w.keep(sizeCode(row.count))
    const left = f.let(count)
    const at = (): ReadonlyArray<I32> => pointers.map((pointer) => f.get(pointer))
    const advance = (rows: number): void => {
      pointers.forEach((pointer, view) => {
        const step = times(sizeHere(w, along.strides[view] ?? 0), rows * bytesOf(dtypes[view] ?? "f32"))
        if (step !== 0) f.set(pointer, plus(f.get(pointer), step))
      })
      f.set(position, i32.add(f.get(position), i32.const(rows)))
      f.set(left, i32.sub(f.get(left), i32.const(rows)))
    }
    const outerIndex = (axis: number): I32 | undefined => (axis === along.source ? f.get(position) : index(axis))
    const rounds = (unroll: number): void =>
      f.block((out) =>
        f.loop((again) => {
          f.brIf(out, i32.lt_s(f.get(left), i32.const(4 * unroll)))
          writeBlock(w, shape, at(), scratch, outerIndex, unroll)
          advance(4 * unroll)
          f.br(again)
        })
      )
    rounds(shape.unroll)
    if (shape.unroll > 1) rounds(1)
    f.block((out) =>
      f.loop((again) => {
        f.brIf(out, i32.lt_s(f.get(left), i32.const(1)))
        RowsInner.writeRow(w, { ...shape, unroll: 1 }, at(), scratch, outerIndex)
        advance(1)
        f.br(again)
      })
    )
  })

const writeBlock = (
  w: Writer,
  { inner, nest, plan, region }: RowsShape,
  addresses: ReadonlyArray<I32>,
  scratch: I32,
  outerIndex: (axis: number) => I32 | undefined,
  unroll: number
): void => {
  const { f } = w
  const { operands, results } = region
  const along = nest.inner
  const strideAlong = (place: number) => sizeHere(w, along.strides[place] ?? 0)
  const vectors = Array.from({ length: unroll }, (_, vector) => vector)
  /** Values of the rows, by vector and name. */
  const values = vectors.map(() => new Map<string, Lanes.Lanes>())
  const length = RowsInner.rowLength(inner)

  let top: Dim.Dim = 0
  const keptAt = plan.kept.map(({ dtype }) => {
    const place = top
    top = Dim.add(top, Dim.mul(length, vectorBytes(dtype, unroll)))
    return w.keep(plus(scratch, sizeHere(w, place)))
  })
  const keptPlace = new Map(plan.kept.map(({ name }, i) => [name, i]))

  interface Here {
    readonly addresses: ReadonlyArray<I32>
    /** The element's number in its row. */
    readonly flat: I32
    readonly index: (axis: number) => I32 | undefined
  }
  const point = (
    here: Here,
    vector: number,
    local: ReadonlyMap<string, Lanes.Lanes> | undefined,
    kept: ReadonlyArray<I32> | undefined
  ): LoopPoint.Point => ({
    w,
    pointer: (operand) => ({
      dtype: operands[operand]?.dtype ?? "f32",
      address: here.addresses[operand] ?? scratch,
      stride: strideAlong(operand)
    }),
    index: (axis) => ({ at: here.index(axis) ?? i32.const(0), along: axis === along.source }),
    previous: (name) => {
      throw new Error(`there is no ${name}`)
    },
    lanes: (name, dtype) => {
      const known = local?.get(name) ?? values[vector]?.get(name)
      if (known !== undefined) return known
      const from = kept?.[keptPlace.get(name) ?? -1]
      if (from === undefined) return undefined
      const bytes = vectorBytes(dtype, 1)
      return bytes === 16
        ? [v128.load(from, vector * 16)]
        : [v128.load(from, vector * 32), v128.load(from, vector * 32 + 16)]
    }
  })
  /** Goes down the rows: `body` at each element. */
  const walk = (
    scalars: ReadonlyArray<Scalars.Scalar>,
    stores: boolean,
    body: (here: Here, evaluate: Evaluate) => void
  ): void => {
    const split = LoopPoint.split(
      scalars,
      {
        operand: (operand) => inner.some((axis) => sizeHere(w, axis.strides[operand] ?? 0) !== 0),
        index: (axis) => inner.some(({ source }) => source === axis),
        previous: (name) => keptPlace.has(name),
        displaces: false
      },
      operands.length
    )
    const start: Here = { addresses, flat: i32.const(0), index: outerIndex }
    const locals = vectors.map((vector) => {
      const fixed = ScalarCode.vector(
        w,
        split.invariants.map(({ value }) => value),
        LoopPoint.vector(point(start, vector, undefined, undefined), 4 * vector)
      )
      return new Map(
        split.invariants.flatMap(({ name }, i) => {
          const value = fixed[i]
          return value === undefined ? [] : [[name, value] as const]
        })
      )
    })
    const evaluateAt =
      (here: Here, kept: ReadonlyArray<I32>): Evaluate =>
      (vector) =>
        ScalarCode.vector(w, split.values, LoopPoint.vector(point(here, vector, locals[vector], kept), 4 * vector))
    const moves = (place: number): boolean => (place >= operands.length ? stores : usesOperand(split.values, place))
    const go = (depth: number, here: Here, indices: ReadonlyArray<I32>): void => {
      const axis = inner[depth]
      if (axis === undefined) {
        const kept = plan.kept.map(({ dtype }, i) =>
          w.keep(plus(keptAt[i] ?? scratch, times(here.flat, vectorBytes(dtype, unroll))))
        )
        return body(here, evaluateAt(here, kept))
      }
      const extent = sizeHere(w, axis.extent)
      const isLast = depth === inner.length - 1
      const steps = here.addresses.map((_, view) => {
        const dtype = (operands[view] ?? results[view - operands.length]?.view)?.dtype ?? "f32"
        return moves(view) ? sizeHere(w, Dim.mul(axis.strides[view] ?? 0, bytesOf(dtype))) : 0
      })
      // The innermost loop moves pointers on; the others multiply.
      const pointers = here.addresses.map((address, view) => (isLast && steps[view] !== 0 ? f.let(address) : undefined))
      f.range(0, extent, 1, (i) => {
        const at = f.get(i)
        const next = here.addresses.map((address, view) => {
          const pointer = pointers[view]
          const step = steps[view] ?? 0
          if (pointer !== undefined) return f.get(pointer)
          return step === 0 ? address : w.keep(plus(address, times(at, step)))
        })
        const taken = [...indices, at]
        go(
          depth + 1,
          {
            addresses: next,
            // Positions are along the one inner axis: there it is the index.
            flat: depth === 0 ? at : plan.kept.length === 0 ? here.flat : w.keep(plus(at, times(here.flat, extent))),
            index: (source) => {
              const place = inner.findIndex((one) => one.source === source)
              return place >= 0 ? taken[place] : outerIndex(source)
            }
          },
          taken
        )
        pointers.forEach((pointer, view) => {
          if (pointer !== undefined) f.set(pointer, plus(f.get(pointer), steps[view] ?? 0))
        })
      })
    }
    go(0, start, [])
  }
  const rowValues = (scalars: ReadonlyArray<Scalars.Scalar>, vector: number): ReadonlyArray<Lanes.Lanes> =>
    ScalarCode.vector(
      w,
      scalars,
      LoopPoint.vector(
        point({ addresses, flat: i32.const(0), index: outerIndex }, vector, undefined, undefined),
        4 * vector
      )
    )
  const addRows = (stages: ReadonlyArray<RowsPlan.RowStage>): void => {
    for (const { name, value } of stages)
      for (const vector of vectors) {
        const [result] = rowValues([value], vector)
        if (result !== undefined) values[vector]?.set(name, result)
      }
  }

  addRows(plan.before)
  for (const { after, keeps, reduces } of plan.passes) {
    const accumulators = reduces.map(({ stage, value }) =>
      vectors.map(() =>
        RowsCombine.isPosition(stage)
          ? new RowsCombine.VectorPosition(w, stage, value.dtype)
          : new RowsCombine.VectorAccumulator(w, stage)
      )
    )
    for (const one of accumulators.flat()) one.reset()
    walk(
      [...reduces, ...keeps].map(({ value }) => value),
      false,
      (here, evaluate) => {
        for (const vector of vectors) {
          const lanes = evaluate(vector)
          reduces.forEach((_, i) => {
            const [accumulator, value] = [accumulators[i]?.[vector], lanes[i]]
            if (value === undefined || accumulator === undefined) return
            if (accumulator instanceof RowsCombine.VectorPosition)
              accumulator.add(value, w.keep(i32x4.splat(here.flat)))
            else accumulator.add(value)
          })
          keeps.forEach(({ name, value: { dtype } }, i) => {
            const value = lanes[reduces.length + i]
            const to = keptAt[keptPlace.get(name) ?? 0] ?? scratch
            if (value === undefined) return
            const place = plus(to, times(here.flat, vectorBytes(dtype, unroll)))
            value.forEach((part, half) => f.do(v128.store(place, part, vector * vectorBytes(dtype, 1) + 16 * half)))
          })
        }
      }
    )
    reduces.forEach(({ stage }, i) => {
      for (const vector of vectors) {
        const lanes = accumulators[i]?.[vector]?.lanes()
        if (lanes !== undefined)
          values[vector]?.set(
            stage.name,
            Lanes.map(lanes, (part) => w.keep(part))
          )
      }
    })
    addRows(after)
  }
  const rowResults = vectors.map((vector) =>
    rowValues(
      plan.rows.map(({ value }) => value),
      vector
    )
  )
  const storeAt = (result: number, address: I32, vector: number, value: Lanes.Lanes): void => {
    const dtype = results[result]?.view.dtype ?? "f32"
    const stride = strideAlong(operands.length + result)
    const from = plus(address, times(stride, 4 * vector * bytesOf(dtype)))
    f.do(
      stride === 1
        ? Lanes.store(w, dtype, from, value)
        : Lanes.storeStrided(w, dtype, from, times(stride, bytesOf(dtype)), value)
    )
  }
  if (plan.elements.length > 0)
    walk(
      plan.elements.map(({ value }) => LoopPoint.unrounded(value)),
      true,
      (here, evaluate) => {
        // All are computed before the first is stored, which may be in an operand's place.
        const all = vectors.map((vector) => evaluate(vector))
        for (const vector of vectors)
          plan.elements.forEach(({ result }, i) => {
            const [value, address] = [all[vector]?.[i], here.addresses[operands.length + result]]
            if (value !== undefined && address !== undefined) storeAt(result, address, vector, value)
          })
      }
    )
  for (const vector of vectors)
    plan.rows.forEach(({ result }, i) => {
      const [value, address] = [rowResults[vector]?.[i], addresses[operands.length + result]]
      if (value !== undefined && address !== undefined) storeAt(result, address, vector, value)
    })
}

type Evaluate = (vector: number) => ReadonlyArray<Lanes.Lanes>

const usesOperand = (scalars: ReadonlyArray<Scalars.Scalar>, operand: number): boolean =>
  Scalars.parts(scalars).some((part) => part.kind === "load" && part.operand === operand)
