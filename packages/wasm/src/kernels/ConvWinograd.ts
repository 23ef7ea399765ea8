/**
 * ConvWinograd: convolutions by minimal filtering, F(m, r) along one or two axes; those with steps of more than one input as
 * several filters side by side.
 *
 *   tiles of the input → Bᵀ d B → products with transformed weights, one matrix product for each place in the tile →
 *   Aᵀ … A → epilogue
 *
 * A unit is some rows of tiles and some panels of output channels: its transformed input lies in scratch memory as
 * [tile][place][channel], the products of one panel as [tile][place][NR]. Weights are transformed when they are packed; where they
 * do not fit the second cache, rows are as many as can be, so that they are read few times, and panels are what threads share.
 */
import * as Dim from "@anneal/ir/Dim"
import * as Tensor from "@anneal/ir/Tensor"
import type { Convolution, Region } from "@anneal/lower/Region"
import type { Emission, Features } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { i32 } from "../Instruction.ts"
import type { Kernel, Packed, TypicalSizes } from "../Kernel.ts"
import type { Func, Local } from "../ModuleBuilder.ts"
import { isPlain } from "./ConvGemm.ts"
import type { StagedAxis } from "./ConvStage.ts"
import { emitStage, stagedBytes } from "./ConvStage.ts"
import { distinct, tilesFor, varied } from "./GemmBlocking.ts"
import {
  bytesPerCycle,
  callNanoseconds,
  cyclesOfStep,
  epilogueCyclesOf,
  nanosecondsPerCycle,
  typicalSize
} from "./GemmCost.ts"
import * as GemmEpilogue from "./GemmEpilogue.ts"
import { toFloat32 } from "./GemmPack.ts"
import { byteStride, evenly, viewsOf } from "./GemmProduct.ts"
import type { Size } from "./GemmTile.ts"
import { advance, offsetBy, Registers } from "./GemmTile.ts"
import { unitLoop } from "./UnitLoop.ts"
import { unitSize, wantedUnits } from "./UnitSize.ts"
import type { Context, InputStrides, OutputPlace, Shape, TileAxis } from "./WinogradTiles.ts"
import {
  blocksOf,
  copyOf,
  inputBytes as tileBytes,
  inputTransforms,
  isBlockedAlongX,
  nrOf,
  outputTransforms,
  panelProducts,
  panelsOf,
  partsOf,
  productTileBytes,
  tilesOf
} from "./WinogradTiles.ts"
import type { Filtering } from "./WinogradTransform.ts"
import { amplification, filtering, transformCost } from "./WinogradTransform.ts"

const [batchAxis, groupAxis, channelAxis, firstSpatial] = [0, 1, 2, 3]

// ---- weights --------------------------------------------------------------------------------------------------------

const nameOf = ({ m, r, step }: Filtering): string => `${m}.${r}${step === m ? "" : `/${step / m}`}`

/** G g Gᵀ of every filter, as [group][panel][place][channel][NR]; computed in float64, rounded once. */
const packWeights = (shape: Shape): Packed => {
  const { channels, outChannels, places, region, x, y } = shape
  const nr = nrOf(shape)
  const panels = panelsOf(shape)
  const groups = region.groups
  const bytes = groups * panels * places * channels * nr * 4
  return {
    read: 1,
    layout: `winograd ${nameOf(y.filter)} ${nameOf(x.filter)} nr=${nr}`,
    bytes,
    computes: true,
    pack: (elements) => {
      const source = toFloat32(elements)
      const strides = Tensor.strides(elements.shape)
      const stride = (axis: number | undefined): number =>
        axis === undefined ? 0 : (strides[firstSpatial + axis] ?? 0)
      const [down, across] = [stride(y.axis), stride(x.axis)]
      const target = new Float32Array(bytes / 4)
      const [columns, rows] = [Float64Array.from(x.filter.filter.flat()), Float64Array.from(y.filter.filter.flat())]
      const [width, height] = [x.filter.filter.length, y.filter.filter.length]
      const half = new Float64Array(y.filter.r * width)
      for (let group = 0; group < groups; group++)
        for (let o = 0; o < outChannels; o++)
          for (let c = 0; c < channels; c++) {
            const begin =
              group * (strides[groupAxis - 1] ?? 0) + o * (strides[1] ?? 0) + c * (strides[channelAxis] ?? 0)
            // Along x first: [r of y][size of x].
            for (let row = 0; row < y.filter.r; row++)
              for (let i = 0; i < width; i++) {
                let sum = 0
                for (let k = 0; k < x.filter.r; k++)
                  sum += (columns[i * x.filter.r + k] ?? 0) * (source[begin + row * down + k * across] ?? 0)
                half[row * width + i] = sum
              }
            const panel = group * panels + Math.floor(o / nr)
            for (let j = 0; j < height; j++)
              for (let i = 0; i < width; i++) {
                let sum = 0
                for (let row = 0; row < y.filter.r; row++)
                  sum += (rows[j * y.filter.r + row] ?? 0) * (half[row * width + i] ?? 0)
                target[((panel * places + j * x.filter.size + i) * channels + c) * nr + (o % nr)] = sum
              }
          }
      return new Uint8Array(target.buffer)
    }
  }
}

// ---- code -----------------------------------------------------------------------------------------------------------

interface Scratch {
  readonly staged: number
  readonly input: number
  readonly products: number
  readonly half: number
  readonly memory: number
}

const align = (bytes: number): number => Math.ceil(bytes / 64) * 64

const scratchOf = (shape: Shape, copy: ReadonlyArray<StagedAxis> | undefined, group: number): Scratch => ({
  staged: copy === undefined ? 0 : align(Number(stagedBytes(copy))),
  input: align(tileBytes(shape).all),
  products: align(tilesOf(shape) * productTileBytes(shape)),
  half: align(shape.y.filter.size * Math.max(shape.x.filter.size, shape.x.filter.reach) * group * 16),
  memory: GemmEpilogue.needsMemory(shape.region.epilogue, true) ? shape.x.filter.m * group * 16 : 0
})

const unitsOf = (shape: Shape): Dim.Dim =>
  Dim.product([shape.region.batch, shape.region.groups, blocksOf(shape), partsOf(shape)])

const emitWinograd = (emission: Emission, name: string, shape: Shape, group: number): Func => {
  const { channels, outChannels, places, region, x, y } = shape
  const { epilogue, groups, input } = region
  const views = viewsOf(epilogue)
  const parameters = 2 + views.length + 4
  const copy = copyOf(shape)
  const bytes = scratchOf(shape, copy, group)
  const nr = nrOf(shape)
  const [panels, parts] = [panelsOf(shape), partsOf(shape)]
  return unitLoop(emission, name, parameters, unitsOf(shape), (f) => {
    const parameter = (index: number): Local<"i32"> => ({ type: "i32", index })
    const size = (dim: Dim.Dim): Size => (typeof dim === "number" ? dim : f.let(emission.dim(dim)))
    const code = GemmEpilogue.epilogueCode(f, emission, epilogue)
    const registers = new Registers(f)
    const scratch = parameter(parameters - 3)
    const at = (offset: number): Local<"i32"> => f.let(i32.add(f.get(scratch), i32.const(offset)))
    const context: Context = {
      f,
      features: emission.features,
      shape,
      group,
      input: at(bytes.staged),
      products: at(bytes.staged + bytes.input),
      half: at(bytes.staged + bytes.input + bytes.products)
    }
    const memory = bytes.memory > 0 ? at(bytes.staged + bytes.input + bytes.products + bytes.half) : undefined
    const along = (axis: number | undefined, view: (typeof views)[number]): Size =>
      axis === undefined ? 0 : size(byteStride(view, firstSpatial + axis))
    const viewBytes = views.map((view) => ({
      y: along(y.axis, view),
      x: along(x.axis, view),
      channel: size(byteStride(view, channelAxis)),
      group: size(byteStride(view, groupAxis)),
      batch: size(byteStride(view, batchAxis))
    }))
    const inputBytes = (axis: number): Size => size(byteStride(input, axis))
    const [batchBytes, groupBytes] = [inputBytes(batchAxis), inputBytes(groupAxis)]
    const stagedStride = (axis: number | undefined): number => {
      if (axis === undefined) return 0
      if (copy === undefined) return Number(byteStride(input, firstSpatial + axis))
      return Number(copy.find((one) => one.axis === firstSpatial + axis)?.to ?? 0)
    }
    const strides: InputStrides = { y: stagedStride(y.axis), x: stagedStride(x.axis) }
    const isX = isBlockedAlongX(shape)
    const blocked = isX ? x : y
    const blocks = blocksOf(shape)
    return (unit) => {
      const rest = f.let(f.get(unit))
      const taken = (count: number): I32 => {
        if (count === 1) return i32.const(0)
        const index = f.let(i32.rem_u(f.get(rest), i32.const(count)))
        f.set(rest, i32.div_u(f.get(rest), i32.const(count)))
        return f.get(index)
      }
      const part = f.get(f.let(taken(parts)))
      const block = taken(blocks)
      const group1 = taken(groups)
      const batch = f.get(rest)
      const firstTile = f.get(f.let(i32.mul(block, i32.const(shape.rows))))
      // The number of tiles along the blocked axis.
      const count = ((): Size => {
        if (blocks === 1) return blocked.tiles
        if (blocked.tiles % shape.rows === 0) return shape.rows
        const left = f.let(i32.sub(i32.const(blocked.tiles), firstTile))
        f.if(i32.gt_s(f.get(left), i32.const(shape.rows)), () => f.set(left, i32.const(shape.rows)))
        return left
      })()
      const rows = isX ? 1 : count
      const columns = isX ? count : x.tiles
      const tiles: Size =
        typeof count === "number"
          ? count * (isX ? 1 : x.tiles)
          : isX
            ? count
            : f.let(i32.mul(f.get(count), i32.const(x.tiles)))
      const firstOut = f.get(f.let(i32.mul(firstTile, i32.const(blocked.filter.m))))
      const firstIn = f.get(f.let(i32.mul(firstTile, i32.const(blocked.filter.step))))
      const transform = (): void => {
        const source = f.let(offsetBy(f, offsetBy(f, f.get(parameter(0)), batch, batchBytes), group1, groupBytes))
        if (copy !== undefined) {
          emitStage(
            f,
            emission,
            copy,
            { axis: firstSpatial + (blocked.axis ?? 0), begin: firstIn },
            f.get(source),
            f.get(scratch)
          )
          f.set(source, f.get(scratch))
        } else f.set(source, offsetBy(f, f.get(source), firstIn, isX ? strides.x : strides.y))
        inputTransforms(context, source, strides, rows, columns)
      }
      // What the unit before has transformed serves all parts.
      if (parts === 1) transform()
      else f.if(i32.or(i32.eq(f.get(unit), f.get(parameter(parameters - 2))), i32.eqz(part)), transform)
      const firstPanel = f.get(f.let(i32.mul(part, i32.const(shape.panels))))
      const panelBytes = places * channels * nr * 4
      const weights = f.let(
        offsetBy(
          f,
          offsetBy(f, f.get(parameter(2 + views.length)), group1, panels * panelBytes),
          firstPanel,
          panelBytes
        )
      )
      const firstChannel = f.get(f.let(i32.mul(firstPanel, i32.const(nr))))
      const pointers = views.map((_, view) => {
        const own = viewBytes[view]
        let pointer: I32 = f.get(parameter(2 + view))
        if (own !== undefined) {
          pointer = offsetBy(f, pointer, batch, own.batch)
          pointer = offsetBy(f, pointer, group1, own.group)
          pointer = offsetBy(f, pointer, firstOut, isX ? own.x : own.y)
          pointer = offsetBy(f, pointer, firstChannel, own.channel)
        }
        return f.let(pointer)
      })
      const channel = f.let(firstChannel)
      const panel = (width: number): void => {
        panelProducts(context, registers, weights, tiles)
        const place: OutputPlace = {
          row: isX ? i32.const(0) : firstOut,
          column: isX ? firstOut : i32.const(0),
          views: pointers,
          viewBytes,
          indices: new Map([
            [batchAxis, batch],
            [groupAxis, group1]
          ]),
          channel: f.get(channel)
        }
        outputTransforms(context, code, memory, place, width, rows, columns)
      }
      const whole = Math.floor(outChannels / nr)
      const end = f.let(i32.add(firstPanel, i32.const(shape.panels)))
      if (parts * shape.panels > whole) f.if(i32.gt_s(f.get(end), i32.const(whole)), () => f.set(end, i32.const(whole)))
      f.range(firstPanel, f.get(end), 1, () => {
        panel(nr)
        f.set(weights, i32.add(f.get(weights), i32.const(panelBytes)))
        pointers.forEach((pointer, view) => advance(f, pointer, nr, viewBytes[view]?.channel ?? 0))
        f.set(channel, i32.add(f.get(channel), i32.const(nr)))
      })
      const tail = outChannels % nr
      if (tail > 0 && parts === 1) panel(tail)
      else if (tail > 0) f.if(i32.eq(part, i32.const(parts - 1)), () => panel(tail))
    }
  })
}

// ---- candidates -----------------------------------------------------------------------------------------------------

const costOf = (shape: Shape, batch: number, features: Features, group: number): number => {
  const { channels, outChannels, places, region, tile, x, y } = shape
  const tiles = x.tiles * y.tiles
  const passes = (filter: "input" | "output"): number => {
    const [alongX, alongY] = [x.filter[filter], y.filter[filter]]
    const [width, height] = [alongX[0]?.length ?? 1, alongY[0]?.length ?? 1]
    const linesY = height === 1 ? 0 : width
    const linesX = alongY.length
    const arithmetic = linesY * transformCost(alongY) + linesX * transformCost(alongX)
    const moved = width * height + alongX.length * alongY.length + (linesY === 0 ? 0 : 2 * linesY * alongY.length)
    return (arithmetic * 0.38 + moved * 0.42) / (group === 2 ? 1.7 : 1)
  }
  const vectors = channels / 4
  const outVectors = Math.ceil(outChannels / 4)
  const input = tiles * (vectors * (passes("input") + 4) + 4)
  const output =
    tiles *
    outVectors *
    (passes("output") + 4 + x.filter.m * y.filter.m * (1 + epilogueCyclesOf(region.epilogue, channelAxis)))
  const perBlock = tilesOf(shape)
  const blocks = blocksOf(shape)
  const products = evenly(perBlock, tile.rows).reduce(
    (cycles, { count, size }) =>
      cycles + count * (channels * cyclesOfStep({ ...tile, rows: size }, features) + 9 + size * tile.vectors * 0.8),
    0
  )
  const multiplied = blocks * panelsOf(shape) * places * products
  const weightBytes = places * channels * outChannels * 4
  const streamed = (blocks * weightBytes) / bytesPerCycle(weightBytes)
  // Nothing is computed while weights come from beyond the second cache.
  const product = isHeavy(weightBytes) ? multiplied + streamed : Math.max(multiplied, streamed)
  const copies = copyOf(shape) === undefined ? 0 : blocks * scratchOf(shape, copyOf(shape), group).staged * 0.12
  return (
    callNanoseconds + batch * region.groups * (input + output + product + copies + blocks * 40) * nanosecondsPerCycle
  )
}

/** Whether transformed weights of so many bytes are not in the second cache when the next rows of tiles need them. */
const isHeavy = (bytes: number): boolean => bytes > 700_000

/** Of the products, for the size of units. */
const flopsPerNanosecond = 50
/** Transformed input of a unit, by whether the weights leave the second cache to it. */
const transformedBytes = { light: 400_000, heavy: 800_000 } as const
/** Tiles of a unit at least, so that each weight is used for that many. */
const leastTiles = 12
/** Errors of more than this much more than a direct sum's are not offered. */
const worstAmplification = 4000

/** The axes that tiles run along: all that have more than one tap or one output, two at most. */
const axesOf = (region: Convolution, m: number): readonly [TileAxis, TileAxis] | undefined => {
  const used = region.out.flatMap((extent, axis) =>
    extent === 1 && region.weight.shape[firstSpatial + axis] === 1 && region.padsBegin[axis] === 0 ? [] : [axis]
  )
  const along = (axis: number | undefined): TileAxis | undefined => {
    if (axis === undefined) return { axis, out: 1, source: 1, pad: 0, filter: filtering(1, 1), tiles: 1 }
    const stride = region.strides[axis] ?? 1
    const [out, source, pad, taps] = [
      region.out[axis],
      region.input.shape[firstSpatial + axis],
      region.padsBegin[axis],
      region.weight.shape[firstSpatial + axis]
    ]
    if (typeof out !== "number" || typeof source !== "number" || typeof pad !== "number" || typeof taps !== "number")
      return undefined
    if (m + Math.ceil(taps / stride) - 1 > 8) return undefined
    const own = taps === 1 ? 1 : Math.min(m, out)
    return { axis, out, source, pad, filter: filtering(own, taps, stride), tiles: Math.ceil(out / own) }
  }
  if (used.length === 0 || used.length > 2) return undefined
  const [y, x] = used.length === 1 ? [along(undefined), along(used[0])] : [along(used[0]), along(used[1])]
  return x === undefined || y === undefined ? undefined : [y, x]
}

export const candidates = (region: Region, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  if (!isPlain(region) || region.transposed) return []
  const { dilations, groups, input, weight } = region
  const [, outChannels, channels] = weight.shape
  if (dilations.some((step) => step !== 1)) return []
  if (typeof channels !== "number" || typeof outChannels !== "number") return []
  if (channels % 4 !== 0 || input.strides[channelAxis] !== 1) return []
  if (input.strides.slice(firstSpatial).some((stride) => typeof stride !== "number" || stride < 0)) return []
  const batch = typicalSize(region.batch, typical)
  const found = [2, 3, 4, 6].flatMap((m): ReadonlyArray<ReadonlyArray<Kernel>> => {
    const axes = axesOf(region, m)
    if (axes === undefined) return []
    const [y, x] = axes
    if (x.filter.size * y.filter.size === 1 || x.filter.m * y.filter.m === 1) return []
    const places = x.filter.size * y.filter.size
    if (places >= x.filter.m * x.filter.r * y.filter.m * y.filter.r) return []
    const worst = amplification(x.filter) * amplification(y.filter)
    if (worst > worstAmplification) return []
    const isX = y.axis === undefined
    const perRow = isX ? 1 : x.tiles
    const along = isX ? x.tiles : y.tiles
    const flops = 2 * batch * groups * x.tiles * y.tiles * places * channels * outChannels
    const wanted = Math.ceil(wantedUnits(flops / flopsPerNanosecond, 8) / (batch * groups))
    const heavy = isHeavy(places * channels * outChannels * 4)
    const cached = Math.max(
      1,
      Math.floor(transformedBytes[heavy ? "heavy" : "light"] / (perRow * places * channels * 4))
    )
    // Some units to share, but few and not small: each reads all the weights.
    const least = Math.ceil(leastTiles / perRow)
    const share = heavy ? along : Math.max(least, Math.ceil(along / wanted))
    const atMost = Math.max(1, Math.min(cached, share))
    const rows = Math.min(cached, unitSize(along, Math.ceil(along / atMost)))
    const ranked = distinct(tilesFor(rows * perRow, outChannels, features), rows * perRow)
      .filter(({ vectors }) => !features.wide || vectors % 2 === 0)
      .map((tile) => {
        const across = Math.ceil(outChannels / (tile.vectors * 4))
        const parts = heavy ? Math.max(1, Math.round(wanted / Math.ceil(along / rows))) : 1
        const panels = unitSize(across, parts)
        const shape: Shape = { region, y, x, channels, outChannels, places, tile, rows, panels }
        const group = features.wide && channels % 8 === 0 && tile.vectors % 2 === 0 ? 2 : 1
        const { half, input: transformed, memory, products, staged } = scratchOf(shape, copyOf(shape), group)
        const kernel: Kernel = {
          name: `conv-winograd-${y.axis === undefined ? "" : `${y.filter.m}x`}${x.filter.m}`,
          config: {
            tile: [y.filter.m, x.filter.m],
            taps: [y.filter.r, x.filter.r],
            amplification: Math.round(worst),
            mr: tile.rows,
            nr: tile.vectors * 4,
            phases: tile.phases,
            rows,
            panels
          },
          cost: costOf(shape, batch, features, group),
          packed: [packWeights(shape)],
          scratch: staged + transformed + products + half + memory,
          units: unitsOf(shape),
          emit: (emission, name) => emitWinograd(emission, name, shape, group)
        }
        return { tile, kernel }
      })
    return [varied(ranked, 2)]
  })
  // Of the cheapest tile size two, of each other one: smaller ones lose less.
  const [best = [], ...others] = found.sort(([a], [b]) => (a?.cost ?? Infinity) - (b?.cost ?? Infinity))
  return [...best, ...others.flatMap(([first]) => (first === undefined ? [] : [first]))]
}
