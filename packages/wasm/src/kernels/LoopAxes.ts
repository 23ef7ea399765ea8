/**
 * LoopAxes: the axes of a domain as few loops as its views allow: axes of extent 1 go, neighbours that all views step through
 * evenly become one, and the order follows a view's strides.
 *
 *   [8, 3, 5] with strides [15, 5, 1] and [0, 5, 1]  ⇒  [8, 15] with [15, 1] and [0, 1]
 */
import * as Dim from "@anneal/ir/Dim"
import type { View } from "@anneal/lower/View"

export interface Axis {
  readonly extent: Dim.Dim
  /** Elements from one to the next, a view each. */
  readonly strides: ReadonlyArray<Dim.Dim>
  /** The domain's axis; undefined where several became one. */
  readonly source: number | undefined
}

/** The axes of a domain; views have an axis for each. */
export const ofViews = (domain: ReadonlyArray<Dim.Dim>, views: ReadonlyArray<View>): ReadonlyArray<Axis> =>
  domain.map((extent, source) => ({ extent, source, strides: views.map(({ strides }) => strides[source] ?? 0) }))

const isOne = (extent: Dim.Dim): boolean => extent === 1

/** Whether `inner` directly inside `outer` can be one loop. */
const canMerge = (outer: Axis, inner: Axis): boolean =>
  outer.strides.every((stride, view) => Dim.equal(stride, Dim.mul(inner.strides[view] ?? 0, inner.extent)) === true)

/** Without axes of extent 1, neighbours merged. `kept`: the domain's axes that must stay as they are. */
export const collapse = (axes: ReadonlyArray<Axis>, kept: ReadonlySet<number> = new Set()): ReadonlyArray<Axis> => {
  const result: Array<Axis> = []
  const isKept = ({ source }: Axis): boolean => source !== undefined && kept.has(source)
  for (const axis of axes) {
    if (isOne(axis.extent)) continue
    const outer = result.at(-1)
    if (outer !== undefined && !isKept(outer) && !isKept(axis) && canMerge(outer, axis))
      result[result.length - 1] = {
        extent: Dim.mul(outer.extent, axis.extent),
        strides: axis.strides,
        source: undefined
      }
    else result.push(axis)
  }
  return result
}

const sizeOf = (stride: Dim.Dim, typical: ReadonlyMap<string, number>): number =>
  Math.abs(Dim.evaluate(stride, typical) ?? 1)

/** Outermost first by the strides of one view (of the first of `views` in which they differ); otherwise as they were. */
export const ordered = (
  axes: ReadonlyArray<Axis>,
  views: ReadonlyArray<number>,
  typical: ReadonlyMap<string, number>
): ReadonlyArray<Axis> =>
  axes
    .map((axis, place) => ({ axis, place }))
    .sort((a, b) => {
      for (const view of views) {
        const [x, y] = [sizeOf(a.axis.strides[view] ?? 0, typical), sizeOf(b.axis.strides[view] ?? 0, typical)]
        if (x !== y) return y - x
      }
      return a.place - b.place
    })
    .map(({ axis }) => axis)
