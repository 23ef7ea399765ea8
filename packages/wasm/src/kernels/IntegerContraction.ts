/**
 * IntegerContraction: matrix products of 8-bit integers, exact in i32, with zero points and the region's epilogue.
 *
 *   Σ_k (a[m, k] − za) · (b[n, k] − zb)  ⇒  rows · packed panels, see `IntegerScheme`
 */
import * as Dim from "@anneal/ir/Dim"
import type { Contraction, Region } from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import type { Features } from "../Emission.ts"
import { i32 } from "../Instruction.ts"
import type { Kernel, Packed, TypicalSizes } from "../Kernel.ts"
import { blockings, costOf, expected, type Problem } from "./IntegerBlocking.ts"
import { byteStride, costOf as epilogueCost, isSupported, usesIndices, viewsOf } from "./IntegerEpilogue.ts"
import type { PanelShape } from "./IntegerPanels.ts"
import * as Panels from "./IntegerPanels.ts"
import type { GatherPoint, IntegerAxis, IntegerProduct, RowSource } from "./IntegerProduct.ts"
import { emitProduct, scratchOf, unitsOf } from "./IntegerProduct.ts"
import { copyRun, gatherRun, rowFormat } from "./IntegerRows.ts"
import type { IntegerScheme } from "./IntegerScheme.ts"
import { nameOf, needsRowSums, schemes } from "./IntegerScheme.ts"

const same = (a: Dim.Dim, b: Dim.Dim): boolean => Dim.equal(a, b) === true

/** `outer` and `inner` as one axis of rows, where memory and a shared b allow it. */
export const joined = (outer: IntegerAxis, inner: IntegerAxis): IntegerAxis | undefined => {
  if (inner.extent === 1) return { ...outer, b: 0 }
  if (outer.extent === 1) return inner
  const continues = (step: Dim.Dim, by: Dim.Dim): boolean => same(step, Dim.mul(by, inner.extent))
  if (outer.b !== 0 || !continues(outer.a, inner.a)) return undefined
  if (!outer.views.every((step, view) => continues(step, inner.views[view] ?? 0))) return undefined
  return { ...inner, extent: Dim.mul(outer.extent, inner.extent), domain: undefined }
}

const axisOf = (region: Contraction, axis: number, b: Dim.Dim): IntegerAxis => ({
  extent: region.a.shape[axis] ?? 1,
  a: byteStride(region.a, axis),
  b,
  views: viewsOf(region.epilogue).map((view) => byteStride(view, axis)),
  domain: axis
})

/** Matrices that b really holds, and how many of them one step along each batch axis is; undefined where that isn't known. */
const matricesOf = (
  b: View,
  batch: number
): { readonly count: number; readonly steps: ReadonlyArray<number> } | undefined => {
  const steps = new Array<number>(batch).fill(0)
  let count = 1
  for (let axis = batch - 1; axis >= 0; axis--) {
    if (b.strides[axis] === 0) continue
    const extent = b.shape[axis] ?? 1
    if (typeof extent !== "number") return undefined
    steps[axis] = count
    count *= extent
  }
  return { count, steps }
}

const packedOf = (region: Contraction, shape: PanelShape, steps: ReadonlyArray<number>): Packed => ({
  read: 1,
  layout: Panels.layoutOf(shape),
  bytes: Panels.bytesOf(shape),
  pack: (elements) => {
    const batch = region.batch.length
    // Axes that repeat may be given in full: their first element serves.
    const strides: Array<number> = []
    let step = 1
    for (const extent of [...elements.shape].reverse()) {
      strides.unshift(step)
      step *= extent
    }
    const extents = region.b.shape.slice(0, batch).map((extent) => (typeof extent === "number" ? extent : 1))
    const matrix = (index: number): number =>
      steps.reduce((place, own, axis) => {
        const along = own === 0 ? 0 : Math.floor(index / own) % (extents[axis] ?? 1)
        return place + along * (strides[axis] ?? 0)
      }, 0)
    const [columnStep, termStep] = [strides[batch] ?? 0, strides[batch + 1] ?? 0]
    return Panels.pack(shape, elements, (outer, column, k) => matrix(outer) + column * columnStep + k * termStep)
  }
})

const gather = (region: Contraction, rows: IntegerAxis): RowSource => ({
  kind: "gathered",
  emit: ({ a, emission, f, format, row, rowBytes, rows: count, target }: GatherPoint) => {
    const term = region.a.strides.at(-1) ?? 0
    const from = f.let(i32.add(f.get(a), i32.mul(f.get(row), emission.dim(rows.a))))
    const to = f.let(f.get(target))
    const k = typeof region.k === "number" ? region.k : emission.hoisted(f, region.k)
    f.range(0, f.get(count), 1, () => {
      if (term === 1) copyRun(f, format, k, { pointer: from, offset: 0 }, { pointer: to, offset: 0 })
      else gatherRun(f, format, k, emission.dim(term), from, to)
      f.set(from, i32.add(f.get(from), emission.dim(rows.a)))
      f.set(to, i32.add(f.get(to), rowBytes))
    })
  }
})

/** Rows that the tile can read where they lie. */
const direct = (region: Contraction, rows: IntegerAxis, scheme: IntegerScheme): RowSource | undefined =>
  scheme.arithmetic.kind === "seven" &&
  scheme.offset.a === 0 &&
  !needsRowSums(scheme) &&
  typeof region.k === "number" &&
  region.k % 4 === 0 &&
  region.a.strides.at(-1) === 1 &&
  typeof rows.a === "number" &&
  rows.a >= 0
    ? { kind: "direct", rowBytes: rows.a }
    : undefined

const axes = (
  region: Contraction,
  bSteps: ReadonlyArray<Dim.Dim>
): { readonly outer: ReadonlyArray<IntegerAxis>; readonly rows: IntegerAxis } => {
  const batch = region.batch.length
  const all = Array.from({ length: batch + 1 }, (_, axis) => axisOf(region, axis, bSteps[axis] ?? 0))
  let rows = all.pop() ?? axisOf(region, batch, 0)
  if (!usesIndices(region.epilogue))
    for (let last = all.at(-1); last !== undefined; last = all.at(-1)) {
      const one = joined(last, rows)
      if (one === undefined) break
      rows = one
      all.pop()
    }
  return { outer: all, rows }
}

export const candidates = (region: Region, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  if (region.kind !== "contraction" || region.accumulate !== "i32" || !isSupported(region.epilogue)) return []
  const dtypes = { a: region.a.dtype, b: region.b.dtype }
  const batch = region.batch.length
  const { epilogue, k, n } = region
  const columns = {
    extent: n,
    views: viewsOf(epilogue).map((view) => byteStride(view, batch + 1)),
    domain: batch + 1
  }
  const kernels: Array<Kernel> = []
  const offer = (product: IntegerProduct, packed: (columns: number) => ReadonlyArray<Packed>): void => {
    const problem: Problem = {
      matrices: product.outer.reduce((count, { extent }) => count * expected(extent, typical), 1),
      rows: expected(product.rows.extent, typical),
      columns: expected(n, typical),
      terms: expected(k, typical)
    }
    const { arithmetic } = product.scheme
    const how = {
      gathersRows: product.rowSource.kind === "gathered",
      gathersColumns: product.columnSource.kind === "gathered",
      epilogue: epilogueCost(epilogue)
    }
    for (const blocking of blockings(problem, arithmetic, features)) {
      const { columnSource } = product
      const fitted: IntegerProduct =
        columnSource.kind === "packed"
          ? {
              ...product,
              columnSource: { ...columnSource, panels: { ...columnSource.panels, columns: blocking.columns } }
            }
          : product
      kernels.push({
        name: `integer-${nameOf(arithmetic)}${how.gathersColumns ? "-unpacked" : ""}`,
        config: { ...blocking },
        cost: costOf(problem, arithmetic, blocking, features, how),
        packed: packed(blocking.columns),
        scratch: scratchOf(fitted, blocking),
        units: unitsOf(fitted, blocking),
        emit: (emission, name) => emitProduct(emission, name, fitted, blocking)
      })
    }
  }

  for (const scheme of schemes(dtypes, region.zero, region.ranges, features.relaxed)) {
    const format = rowFormat(dtypes.a, scheme)
    const base = { columns, k, scheme, format, epilogue }
    const matrices = matricesOf(region.b, batch)
    if (typeof n === "number" && typeof k === "number" && matrices !== undefined) {
      const { outer, rows } = axes(region, matrices.steps)
      const shape = { outer: matrices.count, n, k, columns: 4, scheme }
      const rowSource = direct(region, rows, scheme) ?? gather(region, rows)
      offer({ ...base, outer, rows, rowSource, columnSource: { kind: "packed", panels: shape } }, (width) => [
        packedOf(region, { ...shape, columns: width }, matrices.steps)
      ])
    }
    // Panels of what is no constant are made in each unit, in the form that serves all.
    if (scheme.arithmetic.kind === "widened" && scheme.arithmetic.storedBytes === 2) {
      const steps = region.b.strides.slice(0, batch).map((_, axis) => byteStride(region.b, axis))
      const { outer, rows } = axes(region, steps)
      const columnSource = {
        kind: "gathered",
        dtype: dtypes.b,
        column: byteStride(region.b, batch),
        term: byteStride(region.b, batch + 1)
      } as const
      offer({ ...base, outer, rows, rowSource: gather(region, rows), columnSource }, () => [])
    }
  }
  return kernels
}
