/**
 * LoopKernel: a loop region, four neighbours of the innermost axis at a time.
 *
 * What does not change along the innermost axis is computed once a row. A row that is no multiple of four ends with a vector
 * that overlaps the one before; its values are computed before the row's first store, so a result may lie in the very place of
 * an operand (element on element). Rows shorter than four go element by element.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Loop } from "@anneal/lower/Region"
import * as Scalars from "@anneal/lower/Scalar"
import type { Emission } from "../Emission.ts"
import type { Expr, I32 } from "../Instruction.ts"
import { i32 } from "../Instruction.ts"
import * as Lanes from "../Lanes.ts"
import type { Func, Local } from "../ModuleBuilder.ts"
import * as ScalarCode from "../ScalarCode.ts"
import { Writer } from "../Writer.ts"
import type { Axis } from "./LoopAxes.ts"
import * as LoopNest from "./LoopNest.ts"
import * as LoopPoint from "./LoopPoint.ts"
import { bytesOf, plus, type Point, type Pointer, type Size, sizeCode, sizeHere, times } from "./LoopPoint.ts"

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
  const { f } = w
  const { operands, results } = region
  const { inner } = nest
  const strides = inner.strides.map((stride) => sizeHere(w, stride))
  const { displaced, invariants, values } = LoopPoint.split(
    results.map(({ value }) => value),
    {
      operand: (operand) => strides[operand] !== 0,
      index: (axis) => axis === inner.source,
      previous: () => false
    },
    operands.length
  )

  // What holds for the whole row.
  const position = f.local("i32")
  f.set(position, sizeCode(row.from))
  const known = new Map<string, Expr>()
  const previous: Point["previous"] = (previousName) => {
    const found = known.get(previousName)
    if (found === undefined) throw new Error(`a loop has no ${previousName}`)
    return found
  }
  const index: Point["index"] = (axis) =>
    axis === inner.source ? { at: f.get(position), along: true } : { at: row.index(axis) ?? i32.const(0), along: false }
  const start: Point = {
    w,
    pointer: (operand) => ({
      dtype: operands[operand]?.dtype ?? "f32",
      address: row.addresses[operand] ?? i32.const(0),
      stride: strides[operand] ?? 0
    }),
    index,
    previous
  }
  const one = LoopPoint.single(start, 0)
  const fixed = ScalarCode.single(
    w,
    invariants.map(({ value }) => value),
    one
  )
  invariants.forEach(({ name }, i) => known.set(name, fixed[i] ?? i32.const(0)))

  // A pointer for each operand that moves, each displaced one and each result.
  const moving: Array<{ readonly local: Local<"i32">; readonly step: Size }> = []
  const placeOf = new Map<I32, number>()
  const pointerTo = (address: I32, stride: Size, bytes: number): I32 => {
    const local = f.let(address)
    const pointer = f.get(local)
    placeOf.set(pointer, moving.length)
    moving.push({ local, step: times(stride, bytes) })
    return pointer
  }
  const used = new Set(
    Scalars.parts(values).flatMap((part) =>
      part.kind === "load" && part.operand < operands.length ? [part.operand] : []
    )
  )
  const pointers: Array<Pointer | undefined> = operands.map(({ dtype }, operand) => {
    if (!used.has(operand)) return undefined
    const stride = strides[operand] ?? 0
    return { dtype, stride, address: pointerTo(row.addresses[operand] ?? i32.const(0), stride, bytesOf(dtype)) }
  })
  for (const entry of displaced) {
    const { dtype, stride } = start.pointer(entry.operand)
    const address = LoopPoint.displacedAddress(start, entry, one)
    pointers.push({ dtype, stride, address: pointerTo(address, stride, bytesOf(dtype)) })
  }
  const targets = results.map(({ view }, result) => {
    const place = operands.length + result
    const stride = strides[place] ?? 0
    const address = pointerTo(row.addresses[place] ?? i32.const(0), stride, bytesOf(view.dtype))
    return { dtype: view.dtype, stride, address }
  })
  const point: Point = {
    w,
    pointer: (operand) => {
      const found = pointers[operand]
      if (found === undefined) throw new Error(`operand ${operand} is not read`)
      return found
    },
    index,
    previous
  }

  const vectorsAt = (offset: number): ReadonlyArray<Lanes.Lanes> =>
    ScalarCode.vector(w, values, LoopPoint.vector(point, offset))
  const storeVectors = (vectors: ReadonlyArray<Lanes.Lanes>, offset: number): void =>
    targets.forEach(({ address, dtype, stride }, result) => {
      const value = vectors[result]
      if (value === undefined) return
      const bytes = bytesOf(dtype)
      const away = times(stride, offset * bytes)
      const [from, onward] = typeof away === "number" && away >= 0 ? [address, away] : [plus(address, away), 0]
      f.do(
        stride === 1
          ? Lanes.store(w, dtype, from, value, onward)
          : Lanes.storeStrided(w, dtype, from, times(stride, bytes), value, onward)
      )
    })
  const singleAt = (offset: number): void => {
    const elements = ScalarCode.single(w, values, LoopPoint.single(point, offset))
    targets.forEach(({ address, dtype, stride }, result) => {
      const value = elements[result]
      if (value === undefined) return
      const away = times(stride, offset * bytesOf(dtype))
      f.do(
        typeof away === "number" && away >= 0
          ? Lanes.storeOne(w, dtype, address, value, away)
          : Lanes.storeOne(w, dtype, plus(address, away), value)
      )
    })
  }
  const advance = (elements: number): void => {
    for (const { local, step } of moving) if (step !== 0) f.set(local, plus(f.get(local), times(step, elements)))
    f.set(position, i32.add(f.get(position), i32.const(elements)))
  }
  /** All vectors of a round are computed before the first is stored: for the revectorizer, pairs of stores are neighbours. */
  const round = (vectors: number): void => {
    const all = Array.from({ length: vectors }, (_, vector) => vectorsAt(4 * vector))
    all.forEach((lanes, vector) => storeVectors(lanes, 4 * vector))
  }
  const rounds = (vectors: number, upTo: Size): void => {
    f.range(0, upTo, 4 * vectors, () => {
      round(vectors)
      advance(4 * vectors)
    })
  }

  const { count } = row
  if (typeof count === "number") {
    if (count < 4) {
      for (let i = 0; i < count; i++) singleAt(i)
      return
    }
    const vectors = Math.floor(count / 4)
    const last = count % 4 === 0 ? undefined : { offset: count - 4, lanes: vectorsAt(count - 4) }
    const whole = Math.floor(vectors / unroll) * unroll
    rounds(unroll, 4 * whole)
    round(vectors - whole)
    // The pointers have moved past the whole rounds (one round is no loop, but moves them, too).
    if (last !== undefined) storeVectors(last.lanes, last.offset - 4 * whole)
    return
  }
  const total = w.keep(count)
  f.if(
    i32.lt_s(total, i32.const(4)),
    () =>
      f.range(0, total, 1, () => {
        singleAt(0)
        advance(1)
      }),
    () => {
      // The last vector first, read before anything is stored.
      const ends = moving.map(({ step }) => w.keep(sizeCode(times(i32.sub(total, i32.const(4)), step))))
      const atEnd = ({ address }: Pointer): I32 => plus(address, ends[placeOf.get(address) ?? 0] ?? 0)
      const end: Point = {
        ...point,
        pointer: (operand) => {
          const to = point.pointer(operand)
          return { ...to, address: w.keep(atEnd(to)) }
        },
        index: (axis) => {
          const { along, at } = index(axis)
          return { along, at: along ? i32.add(at, i32.sub(total, i32.const(4))) : at }
        }
      }
      const last = ScalarCode.vector(w, values, LoopPoint.vector(end, 0))
      const places = targets.map((target) => w.keep(atEnd(target)))
      const whole = i32.and(total, i32.const(-4 * unroll))
      rounds(unroll, w.keep(whole))
      if (unroll > 1) rounds(1, w.keep(i32.and(i32.sub(total, w.keep(whole)), i32.const(-4))))
      targets.forEach(({ dtype, stride }, result) => {
        const [value, place] = [last[result], places[result]]
        if (value === undefined || place === undefined) return
        f.do(
          stride === 1
            ? Lanes.store(w, dtype, place, value)
            : Lanes.storeStrided(w, dtype, place, times(stride, bytesOf(dtype)), value)
        )
      })
    }
  )
}

/** Nanoseconds: the greater of what memory takes and what the instructions take, and what each row costs. */
export const cost = ({ axes, nest, region, unroll }: LoopShape, typical: ReadonlyMap<string, number>): number => {
  const size = (dim: Dim.Dim): number => Dim.evaluate(dim, typical) ?? 1
  const elements = axes.reduce((total, { extent }) => total * size(extent), 1)
  const rows = elements / Math.max(1, size(nest.inner.extent))
  const { operands, results } = region
  const moved = [...operands, ...results.map(({ view }) => view)].map(({ dtype }, view) => {
    const stride = Math.abs(size(nest.inner.strides[view] ?? 0))
    const bytes = bytesOf(dtype)
    return stride === 0 ? 0 : Math.min(64, bytes * stride)
  })
  const traffic = (elements * moved.reduce((total, one) => total + one, 0)) / 12
  const work = Scalars.parts(results.map(({ value }) => value)).reduce((total, part) => total + workOf(part), 0)
  const strided = moved.filter((_, view) => Math.abs(size(nest.inner.strides[view] ?? 0)) > 1).length
  const short = size(nest.inner.extent) < 4 ? 4 : 1
  const compute = (elements / 4) * (work * short + 4 * strided + 1 / unroll) * 0.2
  return Math.max(traffic, compute) + rows * (2 + moved.length) + 20
}

/** Instructions for four elements, roughly. */
const workOf = (part: Scalars.Scalar): number => {
  switch (part.kind) {
    case "load":
      return part.indirect === undefined ? 1 : 24
    case "unary":
      return heavy[part.op] ?? 1
    case "binary":
      return part.op === "pow" ? 90 : part.op === "div" ? 4 : part.op === "mod" ? 40 : 1
    case "cast":
      return 2
    default:
      return 1
  }
}

const heavy: { readonly [op: string]: number } = {
  exp: 18,
  sigmoid: 26,
  tanh: 32,
  erf: 36,
  log: 30,
  sqrt: 5,
  reciprocal: 4,
  sin: 70,
  cos: 70,
  tan: 80,
  asin: 80,
  acos: 80,
  atan: 60,
  sinh: 80,
  cosh: 60,
  log1p: 80,
  expm1: 60,
  asinh: 100,
  acosh: 100,
  atanh: 90
}
