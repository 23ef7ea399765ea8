/**
 * IntegerConvolution: convolutions of 8-bit integers as products of gathered patches with packed weights, exact in i32.
 *
 *   patch of one output position: [kernel…, channels], in scratch memory; what lies outside holds the input's zero point
 *
 * A block of patches is gathered for each unit, used by every panel, and forgotten. Rows are output positions.
 */
import * as Dim from "@anneal/ir/Dim"
import * as Tensor from "@anneal/ir/Tensor"
import type { Convolution, OperandRanges, Region } from "@anneal/lower/Region"
import type { Features } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { i32 } from "../Instruction.ts"
import type { Kernel, Packed, TypicalSizes } from "../Kernel.ts"
import type { Local } from "../ModuleBuilder.ts"
import { blockings, costOf, expected } from "./IntegerBlocking.ts"
import { joined } from "./IntegerContraction.ts"
import * as Depthwise from "./IntegerDepthwise.ts"
import { byteStride, costOf as epilogueCost, isSupported, usesIndices, viewsOf } from "./IntegerEpilogue.ts"
import type { PanelShape } from "./IntegerPanels.ts"
import * as Panels from "./IntegerPanels.ts"
import type { GatherPoint, IntegerAxis, IntegerProduct, RowSource } from "./IntegerProduct.ts"
import { emitProduct, scratchOf, unitsOf } from "./IntegerProduct.ts"
import { copyRun, fillRun, gatherRun, rowFormat } from "./IntegerRows.ts"
import { nameOf, needsRowSums, schemes } from "./IntegerScheme.ts"
import * as Winograd from "./IntegerWinograd.ts"

const axisOf = (region: Convolution, axis: number, extent: Dim.Dim, a: Dim.Dim, b: Dim.Dim): IntegerAxis => ({
  extent,
  a,
  b,
  views: viewsOf(region.epilogue).map((view) => byteStride(view, axis)),
  domain: axis
})

/** Axes of output positions: the batch, then space; `position` of those that were joined, innermost last. */
interface Positions {
  readonly outer: ReadonlyArray<IntegerAxis>
  readonly rows: IntegerAxis
  /** How many of [batch, …out] are joined in `rows`: the last ones. */
  readonly joinedCount: number
}

const positionsOf = (region: Convolution): Positions => {
  const all = [
    axisOf(region, 0, region.batch, 0, 0),
    ...region.out.map((extent, s) => axisOf(region, 3 + s, extent, 0, 0))
  ]
  let rows = all.pop() ?? axisOf(region, 0, region.batch, 0, 0)
  let joinedCount = 1
  if (!usesIndices(region.epilogue))
    for (let last = all.at(-1); last !== undefined; last = all.at(-1)) {
      const one = joined(last, rows)
      if (one === undefined) break
      rows = one
      joinedCount++
      all.pop()
    }
  return { outer: all, rows, joinedCount }
}

/** Writes patches: for each row, its position, then the kernel's axes from the outermost. */
const gather = (
  region: Convolution,
  positions: Positions,
  kernel: ReadonlyArray<number>,
  channels: number
): RowSource => {
  const { dilations, input, padsBegin, strides } = region
  const spatial = kernel.length
  const unit = byteStride(input, 2)
  return {
    kind: "gathered",
    emit: (point: GatherPoint) => {
      const { emission, f, format } = point
      const dims = [region.batch, ...region.out]
      const first = dims.length - positions.joinedCount
      const extents = dims.map((extent) => emission.hoisted(f, extent))
      // Coordinates of the first row: the unit's along outer axes, its row's digits along joined ones.
      const coordinates: Array<Local<"i32">> = dims.map(() => f.local("i32"))
      const rest = f.let(f.get(point.row))
      for (let axis = dims.length - 1; axis >= 0; axis--) {
        const local = coordinates[axis]
        const extent = extents[axis]
        if (local === undefined || extent === undefined) continue
        if (axis < first) f.set(local, point.outer[axis + 1] ?? i32.const(0))
        else if (axis === first) f.set(local, f.get(rest))
        else {
          f.set(local, i32.rem_u(f.get(rest), extent))
          f.set(rest, i32.div_u(f.get(rest), extent))
        }
      }
      const sizes = input.shape.slice(3).map((extent) => emission.hoisted(f, extent))
      const steps = Array.from({ length: spatial }, (_, s) => emission.hoisted(f, byteStride(input, 3 + s)))
      const pads = padsBegin.map((pad) => emission.hoisted(f, pad))
      const batchStep = emission.hoisted(f, byteStride(input, 0))
      const channelStep = emission.hoisted(f, unit)
      const to = f.let(f.get(point.target))
      const start = f.let(f.get(point.target))

      /** `count` neighbouring elements along channels (or several positions of them) at an address. */
      const copy = (from: Local<"i32">, count: number): void => {
        if (unit === 1) copyRun(f, format, count, { pointer: from, offset: 0 }, { pointer: to, offset: 0 })
        else gatherRun(f, format, count, channelStep, from, to)
      }
      const advance = (count: number): void => f.set(to, i32.add(f.get(to), i32.const(count * format.bytes)))
      const outside = (count: number): void => {
        fillRun(f, format, count, region.zero.a, { pointer: to, offset: 0 })
        advance(count)
      }
      const within = (index: I32, size: I32): I32 => i32.lt_u(index, size)

      const lines = (s: number, base: Local<"i32">): void => {
        const extent = kernel[s] ?? 1
        const [dilation, stride] = [dilations[s] ?? 1, strides[s] ?? 1]
        const [size, step, pad] = [sizes[s], steps[s], pads[s]]
        const position = coordinates[1 + s]
        if (size === undefined || step === undefined || pad === undefined || position === undefined) return
        const begin = f.let(i32.sub(i32.mul(f.get(position), i32.const(stride)), pad))
        const elements = kernel.slice(s + 1).reduce((count, one) => count * one, channels)
        const each = (): void =>
          f.range(0, extent, 1, (tap) => {
            const index = f.let(i32.add(f.get(begin), i32.mul(f.get(tap), i32.const(dilation))))
            f.if(
              within(f.get(index), size),
              () => {
                const from = f.let(i32.add(f.get(base), i32.mul(f.get(index), step)))
                if (s < spatial - 1) lines(s + 1, from)
                else {
                  copy(from, channels)
                  advance(channels)
                }
              },
              () => outside(elements)
            )
          })
        if (s < spatial - 1) return each()
        // A whole line of the kernel inside: one run where its positions are neighbours.
        const apart = byteStride(input, 3 + s)
        const isRun = unit === 1 && dilation === 1 && apart === channels
        if (!isRun) return each()
        const last = i32.add(f.get(begin), i32.const(extent - 1))
        f.if(
          i32.and(i32.ge_s(f.get(begin), i32.const(0)), i32.lt_s(last, size)),
          () => {
            const from = f.let(i32.add(f.get(base), i32.mul(f.get(begin), step)))
            copy(from, extent * channels)
            advance(extent * channels)
          },
          each
        )
      }

      f.range(0, f.get(point.rows), 1, () => {
        const [n] = coordinates
        const base = f.let(n === undefined ? f.get(point.a) : i32.add(f.get(point.a), i32.mul(f.get(n), batchStep)))
        lines(0, base)
        f.set(to, f.tee(start, i32.add(f.get(start), point.rowBytes)))
        // The next position.
        const step = (axis: number): void => {
          const local = coordinates[axis]
          const extent = extents[axis]
          if (local === undefined || extent === undefined) return
          f.set(local, i32.add(f.get(local), i32.const(1)))
          if (axis === first) return
          f.if(i32.eq(f.get(local), extent), () => {
            f.set(local, i32.const(0))
            step(axis - 1)
          })
        }
        step(dims.length - 1)
      })
    }
  }
}

const packedOf = (shape: PanelShape, kernel: ReadonlyArray<number>, channels: number): Packed => ({
  read: 1,
  layout: `${Panels.layoutOf(shape)} kernel=${kernel.join("x")} channels=${channels}`,
  bytes: Panels.bytesOf(shape),
  pack: (elements) => {
    const steps = Tensor.strides(elements.shape)
    return Panels.pack(shape, elements, (group, column, k) => {
      let rest = Math.floor(k / channels)
      let at = group * (steps[0] ?? 0) + column * (steps[1] ?? 0) + (k % channels) * (steps[2] ?? 0)
      for (let s = kernel.length - 1; s >= 0; s--) {
        const extent = kernel[s] ?? 1
        at += (rest % extent) * (steps[3 + s] ?? 0)
        rest = Math.floor(rest / extent)
      }
      return at
    })
  }
})

/** Positions that lie one after another in memory like the rows of a matrix: 1×1, stride 1, no padding. */
const pointwise = (region: Convolution, positions: Positions, kernel: ReadonlyArray<number>): number | undefined => {
  const { input } = region
  if (kernel.some((extent) => extent !== 1) || region.strides.some((stride) => stride !== 1)) return undefined
  if (region.padsBegin.some((pad) => pad !== 0) || region.padsEnd.some((pad) => pad !== 0)) return undefined
  const last = byteStride(input, input.shape.length - 1)
  if (typeof last !== "number" || last < 0 || byteStride(input, 2) !== 1) return undefined
  // Every joined axis continues the next one in the input too.
  let step: Dim.Dim = last
  const axes = [0, ...region.out.map((_, s) => 3 + s)]
  for (let i = axes.length - 1; i > axes.length - positions.joinedCount; i--) {
    step = Dim.mul(step, input.shape[axes[i] ?? 0] ?? 1)
    if (input.shape[axes[i - 1] ?? 0] !== 1 && Dim.equal(byteStride(input, axes[i - 1] ?? 0), step) !== true)
      return undefined
  }
  return last
}

const integers = (dims: ReadonlyArray<Dim.Dim>): ReadonlyArray<number> | undefined =>
  dims.every((dim) => typeof dim === "number") ? dims : undefined

export const candidates = (region: Region, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  if (region.kind !== "convolution" || region.accumulate !== "i32" || region.transposed) return []
  if (!isSupported(region.epilogue)) return []
  const shape = integers(region.weight.shape)
  if (shape === undefined) return []
  const [groups = 1, n = 1, channels = 1, ...kernel] = shape
  const k = kernel.reduce((count, extent) => count * extent, channels)
  const positions = positionsOf(region)
  const views = viewsOf(region.epilogue)
  const kernels: Array<Kernel> = [
    ...Depthwise.candidates(region, typical, features),
    ...Winograd.candidates(region, typical, features)
  ]
  const dtypes = { a: region.input.dtype, b: region.weight.dtype }
  // Padding holds the zero point: it belongs to the range of the input.
  const known = region.ranges?.a
  const ranges: OperandRanges = {
    ...region.ranges,
    ...(known === undefined
      ? {}
      : { a: [Math.min(known[0], region.zero.a), Math.max(known[1], region.zero.a)] as const })
  }
  for (const scheme of schemes(dtypes, region.zero, ranges, features.relaxed)) {
    const row = pointwise(region, positions, kernel)
    const isDirect =
      row !== undefined &&
      scheme.arithmetic.kind === "seven" &&
      scheme.offset.a === 0 &&
      !needsRowSums(scheme) &&
      channels % 4 === 0
    const group = axisOf(region, 1, groups, byteStride(region.input, 1), 1)
    const outer = [
      group,
      ...positions.outer.map((axis) => ({
        ...axis,
        // A position's own share of the address is its gather's business, unless there is none.
        a: isDirect && axis.domain !== undefined ? byteStride(region.input, axis.domain) : 0
      }))
    ]
    const panels: PanelShape = { outer: groups, n, k, columns: 4, scheme }
    const product: IntegerProduct = {
      outer,
      rows: positions.rows,
      columns: { extent: n, views: views.map((view) => byteStride(view, 2)), domain: 2 },
      k,
      scheme,
      format: rowFormat(region.input.dtype, scheme),
      rowSource: isDirect ? { kind: "direct", rowBytes: row } : gather(region, positions, kernel, channels),
      columnSource: { kind: "packed", panels },
      epilogue: region.epilogue
    }
    const problem = {
      matrices: outer.reduce((count, { extent }) => count * expected(extent, typical), 1),
      rows: expected(positions.rows.extent, typical),
      columns: n,
      terms: k
    }
    for (const blocking of blockings(problem, scheme.arithmetic, features)) {
      const fitted: PanelShape = { ...panels, columns: blocking.columns }
      const made: IntegerProduct = { ...product, columnSource: { kind: "packed", panels: fitted } }
      const how = { gathersRows: !isDirect, gathersColumns: false, epilogue: epilogueCost(region.epilogue) }
      kernels.push({
        name: `integer-conv-${nameOf(scheme.arithmetic)}`,
        config: { ...blocking },
        cost: costOf(problem, scheme.arithmetic, blocking, features, how),
        packed: [packedOf(fitted, kernel, channels)],
        scratch: scratchOf(made, blocking),
        units: unitsOf(made, blocking),
        emit: (emission, name) => emitProduct(emission, name, made, blocking)
      })
    }
  }
  return kernels
}
