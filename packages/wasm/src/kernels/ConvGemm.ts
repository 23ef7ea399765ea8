/**
 * ConvGemm: convolutions in f32 as products, without a matrix of patches (implicit GEMM).
 *
 *   out[pixel, o] = epilogue(Σ_{kh, kw, c} x[pixel · stride + (kh, kw) · dilation, c] · w[o, kh, kw, c])
 *
 * The rows of the product are pixels, its k runs over taps and channels in the order in which the input lies in memory.
 * Where there is padding, a unit first copies what it reads, with its zeros, to scratch memory. Pointwise convolutions are plain
 * products and are offered by products of halves, too.
 */
import * as Dim from "@anneal/ir/Dim"
import * as DType from "@anneal/ir/DType"
import type { Convolution, Region } from "@anneal/lower/Region"
import type { Features } from "../Emission.ts"
import { i32 } from "../Instruction.ts"
import type { Kernel, Packed, TypicalSizes } from "../Kernel.ts"
import type { StagedAxis } from "./ConvStage.ts"
import { emitStage, layOut, stagedBytes } from "./ConvStage.ts"
import { blockingFor, distinct, tilesFor, varied } from "./GemmBlocking.ts"
import { costOf, nanosecondsPerCycle, typicalSize } from "./GemmCost.ts"
import * as GemmEpilogue from "./GemmEpilogue.ts"
import { panels } from "./GemmPack.ts"
import type { Axis, Blocking, Product } from "./GemmProduct.ts"
import { blocksOf, byteStride, emitProduct, joinedRows, tileScratch, unitsOf, viewsOf } from "./GemmProduct.ts"
import * as GemmStrassen from "./GemmStrassen.ts"
import type { Tile } from "./GemmTile.ts"
import { value } from "./GemmTile.ts"

/** Axes of the views: batch, groups, channels, then space. */
const [batchAxis, groupAxis, channelAxis, firstSpatial] = [0, 1, 2, 3]

const isPadded = ({ padsBegin, padsEnd }: Convolution): boolean => [...padsBegin, ...padsEnd].some((pad) => pad !== 0)

/** Elements of the input that so many outputs reach along a spatial axis. */
export const reachOf = ({ dilations, strides, weight }: Convolution, axis: number, out: Dim.Dim): Dim.Dim =>
  Dim.sum([
    Dim.mul(Dim.sub(out, 1), strides[axis] ?? 1),
    Dim.mul(Dim.sub(weight.shape[firstSpatial + axis] ?? 1, 1), dilations[axis] ?? 1),
    1
  ])

/** The axis that units are blocks of: the first that is not of extent 1. */
const blockedAxis = ({ out }: Convolution): number =>
  Math.max(
    0,
    out.findIndex((extent) => extent !== 1)
  )

/** How a unit's copy of the input lies, for blocks of so many rows; undefined where the input is read in place. */
const copyOf = (region: Convolution, rows: number): ReadonlyArray<StagedAxis> | undefined => {
  if (!isPadded(region)) return undefined
  const { input, out, padsBegin } = region
  const blocked = blockedAxis(region)
  return layOut(input, [
    ...out.map((extent, axis) => ({
      axis: firstSpatial + axis,
      extent: reachOf(region, axis, axis === blocked ? rows : extent),
      pad: padsBegin[axis] ?? 0
    })),
    { axis: channelAxis, extent: input.shape[channelAxis] ?? 1, pad: 0 }
  ])
}

const descending = (a: Dim.Dim, b: Dim.Dim): number => {
  if (typeof a === "number" && typeof b === "number") return Math.abs(b) - Math.abs(a)
  return Dim.lessOrEqual(b, a) === true ? -1 : Dim.lessOrEqual(a, b) === true ? 1 : 0
}

interface Prepared {
  readonly product: Product
  /** Axes of the weight that k runs over, outermost first. */
  readonly k: ReadonlyArray<number>
  readonly copy: ReadonlyArray<StagedAxis> | undefined
}

const prepare = (region: Convolution, rows: number, nr: number): Prepared => {
  const { dilations, epilogue, groups, input, out, strides, weight } = region
  const copy = copyOf(region, rows)
  const views = viewsOf(epilogue)
  const inA = (axis: number): Dim.Dim => {
    if (copy === undefined) return byteStride(input, axis)
    return copy.find((one) => one.axis === axis)?.to ?? 0
  }
  const along = (axis: number): ReadonlyArray<Dim.Dim> => views.map((view) => byteStride(view, axis))
  const taps = [
    ...dilations.map((dilation, axis) => ({
      axis: firstSpatial + axis,
      extent: weight.shape[firstSpatial + axis] ?? 1,
      a: Dim.mul(inA(firstSpatial + axis), dilation)
    })),
    { axis: channelAxis, extent: weight.shape[channelAxis] ?? 1, a: inA(channelAxis) }
  ]
    .filter(({ extent }) => extent !== 1)
    .sort((x, y) => descending(x.a, y.a))
  const steps = Dim.product(taps.map(({ extent }) => extent))
  const outChannels = weight.shape[1] ?? 1
  const panelBytes = Dim.product([Dim.ceilDiv(outChannels, nr), steps, nr * 4])
  const batch: Axis = {
    extent: region.batch,
    a: byteStride(input, batchAxis),
    b: 0,
    views: along(batchAxis),
    domain: batchAxis
  }
  const group: Axis = {
    extent: groups,
    a: byteStride(input, groupAxis),
    b: panelBytes,
    views: along(groupAxis),
    domain: groupAxis
  }
  const space = out.map((extent, axis): Axis => ({
    extent,
    a: Dim.mul(inA(firstSpatial + axis), strides[axis] ?? 1),
    b: 0,
    views: along(firstSpatial + axis),
    domain: firstSpatial + axis
  }))
  const indexed = GemmEpilogue.usesIndices(epilogue)
  // Batch and space are one run of rows where memory has them so.
  const together = indexed || copy !== undefined ? undefined : joinedRows([batch, ...space])
  const isOne = together?.length === 1
  const joined = copy !== undefined || indexed ? space.filter(({ extent }) => extent !== 1) : joinedRows(space)
  const [last] = space.slice(-1)
  return {
    product: {
      outer: isOne ? [group] : [batch, group],
      rows: isOne ? (together ?? []) : joined.length > 0 ? joined : last === undefined ? [] : [last],
      columns: { extent: outChannels, views: along(channelAxis), domain: channelAxis },
      reduction: taps.map(({ a, extent }) => ({ a, extent })),
      right: { kind: "panels", from: "packed" },
      epilogue
    },
    k: taps.map(({ axis }) => axis),
    copy
  }
}

/** The weights in panels of so many columns. */
const packedOf = ({ weight }: Convolution, k: ReadonlyArray<number>, columns: number, typical: TypicalSizes): Packed =>
  panels({ read: 1, shape: weight.shape.map((extent) => typicalSize(extent, typical)), outer: [0], n: 1, k, columns })

/** With seven products of halves instead of eight, where k is channels alone and pixels are one run of rows. */
const halvedOf = (region: Convolution, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  const { copy, k, product } = prepare(region, 1, 8)
  if (copy !== undefined) return []
  const of = (tile: Tile): Packed => packedOf(region, k, tile.vectors * 4, typical)
  const outer = product.outer.filter(({ extent }) => extent !== 1)
  return GemmStrassen.kernelsOf({ ...product, outer }, { kind: "packed", of }, 0, typical, features)
}

const kernelOf = (region: Convolution, tile: Tile, typical: TypicalSizes, features: Features): Kernel => {
  const nr = tile.vectors * 4
  const draft = prepare(region, 1, nr)
  const perRow = Dim.mul(
    typicalSize(region.input.shape[channelAxis] ?? 1, typical) * 4 * (region.strides[blockedAxis(region)] ?? 1),
    Dim.product(draft.product.rows.slice(1).map(({ extent }) => typicalSize(extent, typical)))
  )
  const blocking: Blocking = blockingFor(draft.product, tile, typical, typicalSize(perRow, typical))
  const { copy, k, product } = prepare(region, blocking.rows, nr)
  const staged = copy === undefined ? 0 : stagedBytes(copy)
  const packed = packedOf(region, k, nr, typical)
  const blocks = typicalSize(blocksOf(product, blocking), typical)
  const outer = product.outer.reduce((count, { extent }) => count * typicalSize(extent, typical), 1)
  const copies = copy === undefined ? 0 : blocks * outer * typicalSize(staged, typical)
  const blocked = blockedAxis(region)
  return {
    name: copy === undefined ? "conv-gemm" : "conv-gemm-padding",
    config: { mr: tile.rows, nr, phases: tile.phases, rows: blocking.rows, panels: blocking.panels },
    cost: costOf(product, blocking, typical, features) + copies * 0.12 * nanosecondsPerCycle,
    packed: [packed],
    scratch: Dim.add(staged, tileScratch(product, blocking)),
    units: unitsOf(product, blocking),
    emit: (emission, name) =>
      emitProduct(emission, name, {
        product,
        left: 0,
        blocking,
        packed: 1,
        staged,
        ...(copy === undefined
          ? {}
          : {
              stagesRows: true,
              stage: (f, own, { a, row, scratch }) => {
                const begin = i32.mul(row, i32.const(region.strides[blocked] ?? 1))
                emitStage(f, own, copy, { axis: firstSpatial + blocked, begin }, f.get(a), f.get(scratch))
                f.set(a, value(f, scratch))
              }
            })
      })
  }
}

/** Whether the forms here compute it at all: f32, static weights and padding that has a size. */
export const isPlain = (region: Region): region is Convolution =>
  region.kind === "convolution" &&
  region.accumulate === "f32" &&
  region.zero.a === 0 &&
  region.zero.b === 0 &&
  region.input.dtype === "f32" &&
  (region.weight.dtype === "f32" || DType.isNarrowFloat(region.weight.dtype)) &&
  region.weight.shape.every((extent) => typeof extent === "number") &&
  region.weight.strides.every((stride) => typeof stride === "number") &&
  GemmEpilogue.refusal(region.epilogue) === undefined

export const candidates = (region: Region, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  if (!isPlain(region) || region.transposed) return []
  const outChannels = typicalSize(region.weight.shape[1] ?? 1, typical)
  const rows = prepare(region, 1, 8).product.rows
  const last = typicalSize(rows.at(-1)?.extent ?? 1, typical)
  const tiles = tilesFor(last, outChannels, features)
  // Where rows are one long run, the size of the tile is that of the blocks too.
  const ranked = (rows.length > 1 ? distinct(tiles, last) : tiles).map((tile) => ({
    tile,
    kernel: kernelOf(region, tile, typical, features)
  }))
  return [...varied(ranked, 4), ...halvedOf(region, typical, features)]
}
