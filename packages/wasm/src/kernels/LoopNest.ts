/**
 * LoopNest: the loops around the innermost one, and their division into units.
 *
 * The first axes, as many as make some dozens of pieces, are counted through by one index, from `begin` to `end`; the others are
 * loops inside. With a single axis, a unit is a run of it.
 */
import * as Dim from "@anneal/ir/Dim"
import type { I32 } from "../Instruction.ts"
import { i32, select } from "../Instruction.ts"
import type { Local } from "../ModuleBuilder.ts"
import type { Writer } from "../Writer.ts"
import type { Axis } from "./LoopAxes.ts"
import { plus, type Size, sizeCode, sizeHere, times } from "./LoopPoint.ts"

/** Pieces that are enough for threads to share. */
const enough = 64
/** Elements of a run, a multiple of every unrolling. */
const runLength = 2048

export interface Nest {
  /** All axes but the innermost. */
  readonly outer: ReadonlyArray<Axis>
  readonly inner: Axis
  /** How many of the outer axes are counted by units. */
  readonly shared: number
  readonly units: Dim.Dim
  /** Elements of a unit where the innermost axis is the only one. */
  readonly run: number
}

const none: Axis = { extent: 1, strides: [], source: undefined }

/** `run`: elements of a unit along a single axis. */
export const make = (axes: ReadonlyArray<Axis>, typical: ReadonlyMap<string, number>, run = runLength): Nest => {
  const inner = axes.at(-1) ?? none
  const outer = axes.slice(0, -1)
  if (outer.length === 0) return { outer, inner, shared: 0, units: Dim.ceilDiv(inner.extent, run), run }
  let shared = 0
  let pieces = 1
  while (shared < outer.length && pieces < enough) pieces *= Dim.evaluate(outer[shared++]?.extent ?? 1, typical) ?? 1
  return { outer, inner, shared, units: Dim.product(outer.slice(0, shared).map(({ extent }) => extent)), run }
}

export interface Row {
  /** Addresses at the row's first element, a view each. */
  readonly addresses: ReadonlyArray<I32>
  /** Elements of the row that are to be computed: `from` is 0 unless the axis is divided. */
  readonly from: Size
  readonly count: Size
  /** The present index of an outer axis of the domain. */
  readonly index: (axis: number) => I32 | undefined
}

/**
 * Writes the loops; `body` is called once, for a row. `addresses`: of each view's element [0, …, 0]. `bytes`: of its elements.
 */
export const write = (
  w: Writer,
  nest: Nest,
  addresses: ReadonlyArray<I32>,
  bytes: ReadonlyArray<number>,
  begin: I32,
  end: I32,
  body: (row: Row) => void
): void => {
  const { f } = w
  const { inner, outer, run, shared } = nest
  const count = sizeHere(w, inner.extent)
  if (outer.length === 0) {
    f.if(i32.lt_s(begin, end), () => {
      // One run is all of it: then its length is known.
      if (typeof count === "number" && count <= run) return body({ addresses, from: 0, count, index: () => undefined })
      const total = sizeCode(count)
      const from = w.keep(i32.mul(begin, i32.const(run)))
      const last = w.keep(i32.mul(end, i32.const(run)))
      const to = w.keep(select(i32.lt_s(last, total), last, total))
      const here = addresses.map((address, view) =>
        w.keep(plus(address, times(times(from, sizeHere(w, inner.strides[view] ?? 0)), bytes[view] ?? 1)))
      )
      return body({ addresses: here, from, count: w.keep(i32.sub(to, from)), index: () => undefined })
    })
    return
  }
  const strides = outer.map((axis) =>
    addresses.map((_, view) => {
      const step = sizeHere(w, Dim.mul(axis.strides[view] ?? 0, bytes[view] ?? 1))
      return step
    })
  )
  const extents = outer.map(({ extent }) => sizeHere(w, extent))
  const indices = outer.map((): Local<"i32"> => f.local("i32"))
  const index = (axis: number): I32 | undefined => {
    const place = outer.findIndex(({ source }) => source === axis)
    const local = indices[place]
    return local === undefined ? undefined : f.get(local)
  }
  const move = (from: ReadonlyArray<I32>, axis: number, at: I32): ReadonlyArray<I32> =>
    from.map((address, view) => {
      const step = strides[axis]?.[view] ?? 0
      return step === 0 ? address : w.keep(plus(address, times(at, step)))
    })
  const loops = (axis: number, here: ReadonlyArray<I32>): void => {
    if (axis === outer.length) return body({ addresses: here, from: 0, count, index })
    f.range(0, extents[axis] ?? 1, 1, (i) => {
      const local = indices[axis]
      if (local !== undefined) f.set(local, f.get(i))
      loops(axis + 1, move(here, axis, f.get(i)))
    })
  }
  f.range(begin, end, 1, (unit) => {
    let rest: I32 = f.get(unit)
    let here = addresses
    for (let axis = shared - 1; axis >= 0; axis--) {
      const local = indices[axis]
      if (local === undefined) continue
      if (axis === 0) f.set(local, rest)
      else {
        const extent = sizeCode(extents[axis] ?? 1)
        f.set(local, i32.rem_u(rest, extent))
        rest = w.keep(i32.div_u(rest, extent))
      }
      here = move(here, axis, f.get(local))
    }
    loops(shared, here)
  })
}
