/**
 * The legal instances of GemmSm90 (and of ConvSm90, whose tiles are the same) and of GemmSm75 for a problem on a device, pruned
 * by shared memory and registers, in the order of the time that TileModel expects.
 *
 * `native/kernels/templates.json` states the legal sets; the comments of the templates say what the parameters mean.
 */
import {
  elementBytes,
  type Convolution,
  type ElementType,
  type Epilogue,
  type KernelCandidate,
  type Product
} from "./Candidate.ts"
import type { DeviceModel } from "./DeviceModel.ts"
import { expect, type Tile, type Work } from "./TileModel.ts"

const columns: ReadonlyArray<number> = [32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 256]
/** Rows of D that a SWAPPED tile takes: any multiple of 8, so that 197 or 1,576 rows divide evenly. */
const swappedRows: ReadonlyArray<number> = [40, 56, 72, 96, 104, 144]
const clusters: ReadonlyArray<readonly [number, number]> = [
  [1, 1],
  [2, 1],
  [1, 2],
  [2, 2],
  [1, 4],
  [4, 1]
]

interface Sm90Shape {
  readonly consumers: number
  readonly blocks: number
  readonly n: number
  readonly cluster: readonly [number, number]
  readonly splitK: number
  readonly pingPong: boolean
  readonly perSm: number
  /** The 64-row side lies along the product's columns: `n` counts rows of D, and the cluster's sides change places too. */
  readonly swapped: boolean
}

const uprightShapes: ReadonlyArray<Sm90Shape> = columns.flatMap((n) =>
  [1, 2, 3].flatMap((consumers) =>
    [1, 2].flatMap((blocks) =>
      clusters.flatMap((cluster) =>
        [1, 2, 4, 8].flatMap((splitK) =>
          [false, true].flatMap((pingPong) =>
            [1, 2].map((perSm): Sm90Shape => ({
              consumers,
              blocks,
              n,
              cluster,
              splitK,
              pingPong,
              perSm,
              swapped: false
            }))
          )
        )
      )
    )
  )
)

const swappedShapes: ReadonlyArray<Sm90Shape> = swappedRows.flatMap((n) =>
  [1, 2, 3].flatMap((consumers) =>
    [1, 2].flatMap((blocks) =>
      clusters.flatMap((cluster) =>
        [1, 2].map((perSm): Sm90Shape => ({
          consumers,
          blocks,
          n,
          cluster,
          splitK: 1,
          pingPong: false,
          perSm,
          swapped: true
        }))
      )
    )
  )
)

/** Rows of a tile: all consumers' together, or one's where they take turns. */
const rowsOf = (s: Sm90Shape): number => 64 * (s.pingPong ? 1 : s.consumers) * s.blocks

/** Registers a thread can have at entry: ptxas counts whole warpgroups, and two consumers may take the loader's. */
const registersOf = (s: Sm90Shape, device: DeviceModel): number => {
  const threads = Math.ceil((128 * s.consumers + 32) / 128) * 128 * s.perSm
  const even = Math.min(255, Math.floor(device.registersPerMultiprocessor / threads / 8) * 8)
  return s.perSm === 1 && s.consumers === 2 ? 232 : even
}

/** Sums of one thread, and about what else it needs; an epilogue's loads are in flight together. */
const needsRegisters = (s: Sm90Shape, epilogue: Epilogue | undefined): number =>
  (s.blocks * s.n) / 2 + 32 + (epilogue === undefined ? 0 : 8 + 8 * epilogue.matrices)

const legal = (s: Sm90Shape, device: DeviceModel, epilogue: Epilogue | undefined): boolean => {
  const [cm, cn] = s.cluster
  const m = rowsOf(s)
  return (
    s.blocks * s.n <= 384 &&
    cm * cn * s.splitK <= 8 &&
    (m / cn) % 8 === 0 &&
    (s.n / cm) % 8 === 0 &&
    m % s.splitK === 0 &&
    (!s.pingPong || (s.consumers === 2 && s.splitK === 1 && s.perSm === 1)) &&
    (s.perSm === 1 || (s.consumers === 1 && cm * cn === 1)) &&
    needsRegisters(s, epilogue) <= registersOf(s, device)
  )
}

const lineOf = (n: number, outputBytes: number): number =>
  [128, 64, 32].find((line) => n % (line / outputBytes) === 0) ?? 32

/** Bytes of the sums that a block lays out over its stages, and of those that arrive from the others of its k cluster. */
const sumBytes = (s: Sm90Shape): { readonly laidOut: number; readonly arriving: number } => {
  const laidOut = rowsOf(s) * (s.n + 8) * 4
  return { laidOut, arriving: (laidOut / s.splitK) * (s.splitK - 1) }
}

/** Shared memory of a launch with so many stages, undefined where split sums have no place. */
const sharedWith = (s: Sm90Shape, stages: number, slots: number, outputBytes: number): number | undefined => {
  const stageBytes = stages * (rowsOf(s) + s.n) * 128
  // A chunk of a swapped tile is 64 columns of D for all of its rows.
  if (s.swapped) return stageBytes + s.consumers * slots * s.n * 128 + 16 * stages
  if (s.splitK === 1)
    return stageBytes + s.consumers * slots * Math.max(1024, 64 * lineOf(s.n, outputBytes)) + 16 * stages
  const { laidOut, arriving } = sumBytes(s)
  const total = stageBytes + 16 * stages + 16
  const apart = total + arriving + 1024 <= Math.floor(233472 / s.perSm)
  if (laidOut + (apart ? 0 : arriving) > stageBytes) return undefined
  return apart ? total + arriving : total
}

const usualStages: ReadonlyArray<number> = [8, 7, 6, 5, 4, 3]

/**
 * The most stages that fit, at most 8 (SWAPPED: 12), and the store slots with them; undefined where fewer than three fit. `oneTile`:
 * each block has one tile, so that a swapped one's results may leave over the stages, without slots.
 */
const fit = (
  s: Sm90Shape,
  device: DeviceModel,
  outputBytes: number,
  oneTile: boolean
): { readonly stages: number; readonly slots: number; readonly sharedBytes: number } | undefined => {
  const most = Math.min(device.sharedBytesPerBlock, Math.floor(device.sharedBytesPerMultiprocessor / s.perSm) - 1024)
  for (const slots of s.swapped ? [oneTile ? 0 : 1] : [2, 1])
    for (const stages of s.swapped ? [12, 10, 9, ...usualStages] : usualStages) {
      const sharedBytes = sharedWith(s, stages, slots, outputBytes)
      if (sharedBytes !== undefined && sharedBytes <= most && (stages > 3 || slots < 2))
        return { stages, slots, sharedBytes }
    }
  return undefined
}

/** Instances on the main loop of PersistentSm90.cuh for an output of `work`. */
const persistent = (
  template: "GemmSm90" | "ConvSm90",
  work: Work,
  input: ElementType,
  output: ElementType,
  extra: Readonly<Record<string, string | number>>,
  epilogue: Epilogue | undefined,
  device: DeviceModel
): ReadonlyArray<KernelCandidate> =>
  [...uprightShapes, ...(template === "GemmSm90" && elementBytes(output) === 2 ? swappedShapes : [])].flatMap(
    (s): ReadonlyArray<KernelCandidate> => {
      if (!legal(s, device, epilogue)) return []
      const [cm, cn] = s.cluster
      const turned: Work = s.swapped ? { ...work, m: work.n, n: work.m } : work
      const blocks = Math.ceil(turned.m / (rowsOf(s) * cm)) * Math.ceil(turned.n / (s.n * cn)) * cm * cn * work.batch
      const fits = fit(s, device, elementBytes(output), blocks <= device.multiprocessors * s.perSm)
      if (fits === undefined) return []
      const moved = s.consumers === 2 && s.perSm === 1 && s.blocks * s.n > 128
      const tile: Tile = {
        m: rowsOf(s),
        n: s.n,
        cluster: cm * cn,
        splitK: s.splitK,
        perMultiprocessor: s.perSm,
        pingPong: s.pingPong,
        lineBytes: s.swapped ? 128 : lineOf(s.n, elementBytes(output)),
        sharedBytes: fits.sharedBytes
      }
      return [
        {
          _tag: "Kernel",
          template,
          entry: template === "ConvSm90" ? "convolution" : "gemm",
          defines: {
            INPUT: input,
            OUTPUT: output,
            CONSUMERS: s.consumers,
            BLOCKS_M: s.blocks,
            TILE_N: s.n,
            STAGES: fits.stages,
            CLUSTER_M: cm,
            CLUSTER_N: cn,
            SPLIT_K: s.splitK,
            PING_PONG: s.pingPong ? 1 : 0,
            STORE_SLOTS: fits.slots,
            BLOCKS_PER_SM: s.perSm,
            ...(s.swapped ? { SWAPPED: 1 } : {}),
            ...(moved ? { PRODUCER_REGISTERS: 56, CONSUMER_REGISTERS: 224 } : {}),
            ...(epilogue === undefined ? {} : { EPILOGUE_INPUTS: epilogue.inputs, EPILOGUE: epilogue.text }),
            ...extra
          },
          threads: 128 * s.consumers + (moved ? 128 : 32),
          sharedBytes: fits.sharedBytes,
          expected: expect(tile, turned, device)
        }
      ]
    }
  )

const tiled: ReadonlyArray<readonly [number, number, number, number]> = [
  [128, 256, 2, 4],
  [128, 128, 2, 4],
  [128, 64, 4, 2],
  [64, 64, 2, 2]
]

/** Instances of TiledSm75.cuh: `elementwise` where rows or channels are not whole pieces of 16 bytes. */
const portable = (
  template: "GemmSm75" | "ConvSm75",
  work: Work,
  input: ElementType,
  output: ElementType,
  elementwise: boolean,
  extra: Readonly<Record<string, string | number>>,
  epilogue: Epilogue | undefined,
  device: DeviceModel
): ReadonlyArray<KernelCandidate> =>
  tiled.flatMap(([m, n, warpsM, warpsN]): ReadonlyArray<KernelCandidate> =>
    [64, 128].flatMap((bytes): ReadonlyArray<KernelCandidate> => {
      const most = device.architecture === 75 ? 2 : 4
      const stages = [4, 3, 2].find((count) => count <= most && count * (m + n) * bytes <= device.sharedBytesPerBlock)
      if (stages === undefined) return []
      const sharedBytes = Math.max(stages * (m + n) * bytes, elementBytes(output) === 2 ? m * (n * 2 + 16) : 0)
      if (sharedBytes > device.sharedBytesPerBlock) return []
      const tile: Tile = {
        m,
        n,
        cluster: 1,
        splitK: 1,
        perMultiprocessor: 1,
        pingPong: false,
        lineBytes: 128,
        sharedBytes
      }
      // mma.sync reaches about six tenths of Hopper's rate, and nearly all of the others'.
      const rate = {
        ...device,
        products: device.products * (device.architecture === 90 ? 0.6 : 0.9) * (elementwise ? 0.3 : 1)
      }
      return [
        {
          _tag: "Kernel",
          template,
          entry: template === "ConvSm75" ? "convolution75" : "gemm75",
          defines: {
            INPUT: input,
            OUTPUT: output,
            TILE_M: m,
            TILE_N: n,
            WARPS_M: warpsM,
            WARPS_N: warpsN,
            K_BYTES: bytes,
            STAGES: stages,
            ...(elementwise ? { ELEMENTWISE: 1 } : {}),
            ...(epilogue === undefined ? {} : { EPILOGUE_INPUTS: epilogue.inputs, EPILOGUE: epilogue.text }),
            ...extra
          },
          threads: 32 * warpsM * warpsN,
          sharedBytes,
          expected: expect(tile, work, rate)
        }
      ]
    })
  )

const outputBytes = (rows: number, columnCount: number, output: ElementType, matrices: number): number =>
  rows * columnCount * elementBytes(output) * (1 + matrices)

/** Kernels for a product, unsorted. */
export const ofProduct = (p: Product, device: DeviceModel): ReadonlyArray<KernelCandidate> => {
  const size = elementBytes(p.input)
  const matrices = p.epilogue?.matrices ?? 0
  const work: Work = {
    m: p.m,
    n: p.n,
    batch: p.batch,
    slabs: Math.ceil((p.k * size) / 128),
    bytes: p.batch * ((p.m + p.n) * p.k * size + outputBytes(p.m, p.n, p.output, matrices)),
    matrices
  }
  const rowsAligned = (p.strides.a * size) % 16 === 0 && (p.strides.b * size) % 16 === 0
  const dAligned = (p.strides.d * elementBytes(p.output)) % 16 === 0
  const hopper =
    device.architecture === 90 && rowsAligned
      ? persistent("GemmSm90", work, p.input, p.output, { CONSTANT_B: p.constantB ? 1 : 0 }, p.epilogue, device).filter(
          (c) => dAligned || Number(c.defines["SPLIT_K"]) > 1
        )
      : []
  const known: ReadonlyArray<ElementType> =
    device.architecture >= 89
      ? ["f16", "bf16", "tf32", "e4m3", "e5m2", "s8"]
      : device.architecture >= 80
        ? ["f16", "bf16", "tf32", "s8"]
        : ["f16", "s8"]
  const whole = rowsAligned && (p.k * size) % 16 === 0
  return known.includes(p.input)
    ? [...hopper, ...portable("GemmSm75", work, p.input, p.output, !whole, {}, p.epilogue, device)]
    : hopper
}

/** Output rows and columns of one image. */
export const extentOf = (c: Convolution): readonly [number, number] => {
  const one = (size: number, taps: number): number =>
    c.transposed
      ? (size - 1) * c.stride - 2 * c.padding + c.dilation * (taps - 1) + 1
      : Math.floor((size + 2 * c.padding - c.dilation * (taps - 1) - 1) / c.stride) + 1
  return [one(c.height, c.filter[0]), one(c.width, c.filter[1])]
}

/** Kernels for a convolution, unsorted: a 1x1 of stride 1 is a product. */
export const ofConvolution = (c: Convolution, device: DeviceModel): ReadonlyArray<KernelCandidate> => {
  const [p, q] = extentOf(c)
  const [r, s] = c.filter
  const pixels = c.images * p * q
  const groupChannels = c.channels / c.groups
  const groupFilters = c.filters / c.groups
  if (r === 1 && s === 1 && c.stride === 1 && c.padding === 0 && c.groups === 1)
    return ofProduct(
      {
        _tag: "Product",
        m: pixels,
        n: c.filters,
        k: c.channels,
        batch: 1,
        input: c.input,
        output: c.input,
        strides: { a: c.channels, b: c.channels, d: c.filters },
        constantB: true,
        ...(c.epilogue === undefined ? {} : { epilogue: c.epilogue })
      },
      device
    )
  const matrices = c.epilogue?.matrices ?? 0
  const bytes =
    2 * (c.images * c.height * c.width * c.channels + c.filters * r * s * groupChannels) +
    outputBytes(pixels, c.filters, c.input, matrices)
  const work = (slabs: number): Work => ({ m: pixels, n: groupFilters, batch: c.groups, slabs, bytes, matrices })
  const reach = c.dilation * (Math.max(r, s) - 1)
  const im2col =
    device.architecture === 90 &&
    !c.transposed &&
    groupChannels % 8 === 0 &&
    groupFilters % 8 === 0 &&
    (c.groups === 1 || groupChannels % 64 === 0) &&
    c.stride <= 8 &&
    c.padding <= 127 &&
    reach - c.padding <= 127 &&
    reach <= 255
  return [
    ...(im2col
      ? persistent(
          "ConvSm90",
          work(r * s * Math.ceil(groupChannels / 64)),
          c.input,
          c.input,
          { CONSTANT_B: 1 },
          c.epilogue,
          device
        )
      : []),
    ...(device.architecture >= 80 || c.input === "f16"
      ? portable(
          "ConvSm75",
          work(Math.ceil((r * s * groupChannels) / 64)),
          c.input,
          c.input,
          groupChannels % 8 !== 0,
          c.transposed ? { TRANSPOSED: 1 } : {},
          c.epilogue,
          device
        )
      : [])
  ]
}
