/**
 * Gemm: contractions in f32 by register tiles.
 *
 *   out[m, n] = epilogue(Σ_k a[m, k] · b[n, k])
 *
 * b comes packed in panels when it is a constant, is read in place where its columns lie side by side, and is packed while
 * running otherwise. a is read in place, whatever its strides are. Either operand may take either part: where results lie
 * side by side along m, or a is the constant, the product is turned round.
 */
import * as Dim from "@anneal/ir/Dim"
import * as DType from "@anneal/ir/DType"
import type { Contraction, Region } from "@anneal/lower/Region"
import * as Scalars from "@anneal/lower/Scalar"
import * as View from "@anneal/lower/View"
import type { Features } from "../Emission.ts"
import type { Kernel, Packed, TypicalSizes } from "../Kernel.ts"
import { blockingFor, tilesFor, varied } from "./GemmBlocking.ts"
import { costOf, nanosecondsPerCycle, sizesOf, typicalSize } from "./GemmCost.ts"
import * as GemmEpilogue from "./GemmEpilogue.ts"
import { panels } from "./GemmPack.ts"
import type { Axis, Product, Right, Stage } from "./GemmProduct.ts"
import { byteStride, emitProduct, joinedRows, tileScratch, unitsOf, viewsOf } from "./GemmProduct.ts"
import * as GemmStrassen from "./GemmStrassen.ts"
import type { Right as Halved } from "./GemmStrassenShape.ts"
import { packPanels } from "./GemmStage.ts"
import type { Tile } from "./GemmTile.ts"

/** The same contraction with m and n, a and b in each other's place. */
const turned = (region: Contraction): Contraction => {
  const m = region.batch.length
  const order = [...region.batch.map((_, axis) => axis), m + 1, m]
  const swap = (axis: number): number => order[axis] ?? axis
  const seen = new Map<Scalars.Scalar, Scalars.Scalar>()
  return {
    ...region,
    m: region.n,
    n: region.m,
    a: region.b,
    b: region.a,
    epilogue: {
      operands: region.epilogue.operands.map((view) => View.transpose(view, order)),
      results: region.epilogue.results.map(({ value, view }) => ({
        view: View.transpose(view, order),
        value: Scalars.map(value, (part) => (part.kind === "index" ? { ...part, axis: swap(part.axis) } : part), seen)
      }))
    }
  }
}

interface Orientation {
  readonly region: Contraction
  readonly left: 0 | 1
}

/** `panelBytes`: of all packed panels of one point of the outer axes. */
const productOf = (region: Contraction, right: Right, panelBytes: number): Product => {
  const { a, b, batch, epilogue } = region
  const views = viewsOf(epilogue)
  const m = batch.length
  const packed = right.kind === "panels" && right.from === "packed"
  const axisAt = (axis: number, extent: Dim.Dim, bBytes: Dim.Dim): Axis => ({
    extent,
    a: byteStride(a, axis),
    b: bBytes,
    views: views.map((view) => byteStride(view, axis)),
    domain: axis
  })
  const moves = (axis: number): boolean => b.strides[axis] !== 0 && batch[axis] !== 1
  // Axes along which b moves: in panels they lie one after another, in the order of the packed form.
  const outerAxes = batch.flatMap((_, axis) => (moves(axis) ? [axis] : []))
  const outer = outerAxes.map((axis, place) =>
    axisAt(
      axis,
      batch[axis] ?? 1,
      packed
        ? Dim.product([panelBytes, ...outerAxes.slice(place + 1).map((inner) => batch[inner] ?? 1)])
        : byteStride(b, axis)
    )
  )
  const rows = [
    ...batch.flatMap((extent, axis) => (moves(axis) ? [] : [axisAt(axis, extent, 0)])),
    axisAt(m, region.m, 0)
  ]
  return {
    outer,
    rows: GemmEpilogue.usesIndices(epilogue)
      ? rows.filter(({ extent }, at) => extent !== 1 || at === rows.length - 1)
      : joinedRows(rows),
    columns: { extent: region.n, views: views.map((view) => byteStride(view, m + 1)), domain: m + 1 },
    reduction: [{ extent: region.k, a: byteStride(a, m + 1) }],
    right,
    epilogue
  }
}

const known = (dim: Dim.Dim | undefined): number | undefined => (typeof dim === "number" ? dim : undefined)

interface Form {
  readonly name: string
  readonly right: Right
  readonly packed: (tile: Tile) => Packed | undefined
  readonly stage: ((tile: Tile) => Stage) | undefined
}

/** Ways to read b. */
const formsOf = ({ left, region }: Orientation): ReadonlyArray<Form> => {
  const { b, batch } = region
  const m = batch.length
  const [n, k] = [m, m + 1]
  const shape = b.shape.map((extent, axis) => (b.strides[axis] === 0 && axis < m ? 1 : known(extent)))
  const forms: Array<Form> = []
  if (
    shape.every((extent) => extent !== undefined) &&
    [...b.strides, b.offset].every((stride) => known(stride) !== undefined)
  ) {
    const extents = shape.map((extent) => extent ?? 1)
    const outer = batch.flatMap((extent, axis) => (b.strides[axis] !== 0 && extent !== 1 ? [axis] : []))
    forms.push({
      name: "gemm-packed",
      right: { kind: "panels", from: "packed" },
      packed: (tile) => panels({ read: 1 - left, shape: extents, outer, n, k: [k], columns: tile.vectors * 4 }),
      stage: undefined
    })
  }
  if (b.dtype !== "f32") return forms
  if (b.strides[n] === 1 && typeof region.n === "number")
    forms.push({
      name: "gemm-in-place",
      right: { kind: "rows", step: byteStride(b, k) },
      packed: () => undefined,
      stage: undefined
    })
  forms.push({
    name: "gemm-packing",
    right: { kind: "panels", from: "scratch" },
    packed: () => undefined,
    stage: (tile) => packPanels(byteStride(b, n), byteStride(b, k), region.k, tile.vectors * 4)
  })
  return forms
}

const kernelOf = (
  { left, region }: Orientation,
  form: Form,
  tile: Tile,
  typical: TypicalSizes,
  features: Features
): Kernel => {
  const nr = tile.vectors * 4
  const packed = form.packed(tile)
  const stage = form.stage?.(tile)
  const wholePanels =
    typeof region.n === "number" && typeof region.k === "number" ? Math.ceil(region.n / nr) * region.k * nr * 4 : 0
  const product = productOf(region, form.right, wholePanels)
  const blocking = blockingFor(product, tile, typical)
  const { columns, k, outer } = sizesOf(product, typical)
  const blocks = Math.ceil(typicalSize(product.rows[0]?.extent ?? 1, typical) / blocking.rows)
  const staged = stage === undefined ? 0 : Dim.mul(region.k, blocking.panels * nr * 4)
  const perElement =
    region.b.strides[region.batch.length] === 1 ? 0.4 : region.b.strides[region.batch.length + 1] === 1 ? 0.8 : 2.5
  // Rows of b that lie far apart are fetched by cache lines, each a page of its own.
  const apart = form.right.kind === "rows" ? 1.1 : 1
  const cost =
    costOf(product, blocking, typical, features) * apart +
    (stage === undefined ? 0 : outer * blocks * columns * k * perElement * nanosecondsPerCycle)
  return {
    name: left === 0 ? form.name : `${form.name}-turned`,
    config: { mr: tile.rows, nr, phases: tile.phases, rows: blocking.rows, panels: blocking.panels },
    cost,
    packed: packed === undefined ? [] : [packed],
    scratch: Dim.add(staged, tileScratch(product, blocking)),
    units: unitsOf(product, blocking),
    emit: (emission, name) =>
      emitProduct(emission, name, {
        product,
        left,
        blocking,
        packed: packed === undefined ? 0 : 1,
        ...(stage === undefined ? {} : { stage }),
        staged
      })
  }
}

/** With seven products of halves instead of eight, where b is packed, or lies where it can be read in panels. */
const halvedOf = (orientation: Orientation, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  const { left, region } = orientation
  const { b, batch } = region
  const [n, k] = [known(byteStride(b, batch.length)), known(byteStride(b, batch.length + 1))]
  return formsOf(orientation).flatMap(({ name, packed, right }) => {
    const how = ((): Halved | undefined => {
      if (name === "gemm-packed")
        return {
          kind: "packed",
          of: (tile) => {
            const made = packed(tile)
            if (made === undefined) throw new RangeError("panels of an open size are not packed")
            return made
          }
        }
      if (name === "gemm-packing" && n !== undefined && k !== undefined && n >= 0 && k >= 0)
        return { kind: "in-place", n, k }
      return undefined
    })()
    return how === undefined ? [] : GemmStrassen.kernelsOf(productOf(region, right, 0), how, left, typical, features)
  })
}

/** Whether results lie side by side along m and not along n, for most of them. */
const prefersTurned = ({ batch, epilogue }: Contraction): boolean => {
  const m = batch.length
  const along = (axis: number): number => epilogue.results.filter(({ view }) => view.strides[axis] === 1).length
  return along(m) > along(m + 1)
}

/** Kernels for a contraction of f32; those with a packed operand are for constants. */
export const candidates = (region: Region, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  if (region.kind !== "contraction" || region.accumulate !== "f32") return []
  const { epilogue, zero } = region
  if (zero.a !== 0 || zero.b !== 0 || GemmEpilogue.refusal(epilogue) !== undefined) return []
  const plain: Orientation = { region, left: 0 }
  const swapped: Orientation = { region: turned(region), left: 1 }
  const orientations = prefersTurned(region) ? [swapped, plain] : [plain, swapped]
  return orientations.flatMap((orientation, place) => {
    const { region: oriented } = orientation
    const narrow = DType.isNarrowFloat(oriented.b.dtype)
    if (oriented.a.dtype !== "f32" || (oriented.b.dtype !== "f32" && !narrow)) return []
    const rows = joinedRows(productOf(oriented, { kind: "panels", from: "packed" }, 0).rows)
    const last = typicalSize(rows.at(-1)?.extent ?? 1, typical)
    const tiles = tilesFor(last, typicalSize(oriented.n, typical), features)
    const direct = formsOf(orientation).flatMap((form) =>
      varied(
        tiles.map((tile) => ({ tile, kernel: kernelOf(orientation, form, tile, typical, features) })),
        place === 0 && form.name !== "gemm-packing" ? 4 : 1
      )
    )
    return place === 0 ? direct.concat(halvedOf(orientation, typical, features)) : direct
  })
}
