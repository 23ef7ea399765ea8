/**
 * WholeWalk: what kernels of whole nodes share: loops over the axes of values, and the loops over rows along one axis.
 */
import * as Dim from "@anneal/ir/Dim"
import type { View } from "@anneal/lower/View"
import type { Emission } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import type { Func } from "../ModuleBuilder.ts"
import { Writer } from "../Writer.ts"
import type { Axis } from "./LoopAxes.ts"
import * as LoopAxes from "./LoopAxes.ts"
import * as LoopNest from "./LoopNest.ts"
import { bytesOf, plus, sizeHere, times } from "./LoopPoint.ts"

/** Bytes from one element to the next along an axis. */
export const stepOf = (w: Writer, view: View, axis: number) =>
  sizeHere(w, Dim.mul(view.strides[axis] ?? 0, bytesOf(view.dtype)))

/** Loops over `extents`; addresses move with their views, an axis of the loops each (null: it does not move along that one). */
export const walk = (
  w: Writer,
  extents: ReadonlyArray<Dim.Dim>,
  moving: ReadonlyArray<{ readonly view: View; readonly axes: ReadonlyArray<number | null>; readonly address: I32 }>,
  body: (addresses: ReadonlyArray<I32>) => void
): void => {
  const go = (depth: number, here: ReadonlyArray<I32>): void => {
    const extent = extents[depth]
    if (extent === undefined) return body(here)
    w.f.range(0, sizeHere(w, extent), 1, (i) =>
      go(
        depth + 1,
        here.map((address, place) => {
          const { axes, view } = moving[place] ?? { axes: [] }
          const axis = axes[depth]
          if (view === undefined || axis === null || axis === undefined) return address
          const step = stepOf(w, view, axis)
          return step === 0 ? address : w.keep(plus(address, times(w.f.get(i), step)))
        })
      )
    )
  }
  go(
    0,
    moving.map(({ address }) => address)
  )
}

/** Rows along `axis` of values that have the same other extents, one row a step of the innermost loop. */
export const rowNest = (
  shape: ReadonlyArray<Dim.Dim>,
  views: ReadonlyArray<View>,
  axis: number,
  typical: ReadonlyMap<string, number>
): LoopNest.Nest => {
  const axes = LoopAxes.ofViews(shape, views).filter((_, other) => other !== axis)
  const one: Axis = { extent: 1, strides: [], source: undefined }
  return LoopNest.make([...LoopAxes.collapse(axes), one], typical)
}

/** The function of a kernel that goes through rows. `views`: of its addresses, null for none. */
export const emitRows = (
  emission: Emission,
  name: string,
  views: ReadonlyArray<View | null>,
  nest: LoopNest.Nest,
  body: (w: Writer, addresses: ReadonlyArray<I32>, scratch: I32) => void
): Func =>
  emission.module.func(
    name,
    [...views, "scratch", "begin", "end"].map(() => "i32" as const),
    [],
    (f) => {
      const w = new Writer(f, emission)
      const parameter = (position: number): I32 => f.get({ type: "i32", index: position })
      const present = views.flatMap((view, place) => (view === null ? [] : [{ view, address: parameter(place) }]))
      LoopNest.write(
        w,
        nest,
        present.map(({ address }) => address),
        present.map(({ view }) => bytesOf(view.dtype)),
        parameter(views.length + 1),
        parameter(views.length + 2),
        (row) => body(w, row.addresses, parameter(views.length))
      )
    }
  )
