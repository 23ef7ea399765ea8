/**
 * The instances of GemmSm90 and ConvSm90: tiles by the kind of problem that they are for, and the epilogues that are tested.
 *
 * `gemm-f16-128x256-c2x1-s4` ⇒ GemmSm90.cu with INPUT=f16 CONSUMERS=2 TILE_N=256 CLUSTER_M=2 STAGES=4
 */
import type { Instance } from "./Instance.ts"

/** The epilogues of the tests and benchmarks; the number is the kind that Reference.cu computes in float64. */
const epilogues: Readonly<Record<string, { readonly kind: number; readonly inputs: string; readonly text: string }>> = {
  gelu: { kind: 1, inputs: "COLUMN(0, f16, bias) MATRIX(1, f16, residual)", text: "gelu_erf(v + bias) + residual" },
  gelus: {
    kind: 1,
    inputs: "COLUMN(0, f16, bias) MATRIX(1, f16, residual)",
    text: "gelu_erf_short(v + bias) + residual"
  },
  gelutile: {
    kind: 1,
    inputs: "COLUMN(0, f16, bias) TILE(1, f16, residual)",
    text: "gelu_erf(v + bias) + residual"
  },
  gelustile: {
    kind: 1,
    inputs: "COLUMN(0, f16, bias) TILE(1, f16, residual)",
    text: "gelu_erf_short(v + bias) + residual"
  },
  relu: { kind: 2, inputs: "COLUMN(0, f16, bias)", text: "relu(v + bias)" },
  reluadd: { kind: 3, inputs: "COLUMN(0, f16, bias) MATRIX(1, f16, residual)", text: "relu(v + bias + residual)" },
  scale: {
    kind: 4,
    inputs: "COLUMN(0, float, column_scale) ROW(1, float, row_scale)",
    text: "v * column_scale * row_scale"
  }
}

/** Macros of a named epilogue, and its kind for the harness. */
export const epilogue = (name: string): Record<string, string | number> => {
  const e = epilogues[name]
  if (e === undefined) return {}
  const short = e.text.includes("gelu_erf_short") ? { GELU_SHORT: 1 } : {}
  return { EPILOGUE_INPUTS: e.inputs, EPILOGUE: e.text, EPILOGUE_KIND: e.kind, ...short }
}

type GemmTile = {
  readonly consumers: number
  readonly blocks?: number
  readonly n: number
  readonly stages: number
  readonly cluster?: readonly [number, number]
  readonly split?: number
  readonly group?: number
  readonly slots?: number
  readonly perSm?: number
  readonly stream?: boolean
  readonly pingPong?: boolean
  readonly swapped?: boolean
}

// Registers of the loading and the consuming warpgroups where two consumers hold many sums; a convolution's loads compute more.
// ptxas counts threads in warpgroups: three consumers have 128 registers each, whatever loads.
const pool = (template: string): readonly [number, number] => (template === "ConvSm90" ? [56, 224] : [40, 232])

const gemm = (
  input: string,
  output: string,
  tile: GemmTile,
  extra: Record<string, string | number> = {},
  suffix = "",
  template: "GemmSm90" | "ConvSm90" = "GemmSm90"
): Instance => {
  const [cm, cn] = tile.cluster ?? [1, 1]
  const moved =
    tile.consumers === 2 && (tile.perSm ?? 1) === 1 && 2 * 64 * (tile.blocks ?? 1) * tile.n > 64 * 256
      ? pool(template)
      : undefined
  const m = 64 * (tile.pingPong === true ? 1 : tile.consumers) * (tile.blocks ?? 1)
  const name = [
    `${template === "ConvSm90" ? "conv" : "gemm"}-${input}${output === input || (input === "tf32" && output === "float") ? "" : `-${output}`}`,
    `${m}x${tile.n}`,
    `c${cm}x${cn}`,
    `s${tile.stages}`,
    ...(tile.split === undefined ? [] : [`k${tile.split}`]),
    ...(tile.group === undefined ? [] : [`g${tile.group}`]),
    ...(tile.perSm === undefined ? [] : [`o${tile.perSm}`]),
    ...(tile.stream === true ? ["sk"] : []),
    ...(tile.pingPong === true ? ["pp"] : []),
    ...(tile.swapped === true ? ["sw"] : []),
    ...(suffix === "" ? [] : [suffix])
  ].join("-")
  return {
    name,
    template,
    entry: template === "ConvSm90" ? "convolution" : "gemm",
    architecture: "90a",
    defines: {
      INPUT: input,
      OUTPUT: output,
      CONSUMERS: tile.consumers,
      BLOCKS_M: tile.blocks ?? 1,
      TILE_N: tile.n,
      STAGES: tile.stages,
      CLUSTER_M: cm,
      CLUSTER_N: cn,
      SPLIT_K: tile.split ?? 1,
      ...(tile.group === undefined ? {} : { GROUP_M: tile.group }),
      ...(tile.slots === undefined ? {} : { STORE_SLOTS: tile.slots }),
      ...(tile.perSm === undefined ? {} : { BLOCKS_PER_SM: tile.perSm }),
      ...(tile.stream === true ? { STREAM_K: 1 } : {}),
      ...(tile.pingPong === true ? { PING_PONG: 1 } : {}),
      ...(tile.swapped === true ? { SWAPPED: 1 } : {}),
      ...(output === "f16" ? { CONSTANT_B: 1 } : {}),
      ...(moved === undefined ? {} : { PRODUCER_REGISTERS: moved[0], CONSUMER_REGISTERS: moved[1] }),
      ...extra
    }
  }
}

const large: GemmTile = { consumers: 2, n: 256, stages: 4, cluster: [2, 1] }

/** Tiles for large products, where the tensor cores are the bound. */
const largeTiles: ReadonlyArray<GemmTile> = [
  { consumers: 2, blocks: 2, n: 192, stages: 3, slots: 1, cluster: [2, 1] },
  large,
  { ...large, cluster: [1, 1] },
  { ...large, cluster: [1, 2] },
  { ...large, group: 4 },
  { consumers: 2, blocks: 2, n: 128, stages: 4, cluster: [1, 2] },
  { consumers: 2, n: 192, stages: 4, cluster: [2, 1] }
]

/** Tiles for products of a few waves or less: shared loads where the L2 is the bound, parts of k where tiles are few. */
const smallTiles: ReadonlyArray<GemmTile> = [
  { consumers: 2, n: 128, stages: 5 },
  { consumers: 2, n: 128, stages: 5, cluster: [1, 2] },
  { consumers: 2, n: 128, stages: 5, cluster: [2, 2] },
  { consumers: 3, n: 128, stages: 4 },
  { consumers: 2, n: 192, stages: 4 },
  { consumers: 2, n: 96, stages: 6 },
  { consumers: 2, n: 96, stages: 6, cluster: [1, 4] },
  { consumers: 2, n: 64, stages: 8 },
  { consumers: 2, n: 64, stages: 8, cluster: [1, 4] },
  { consumers: 2, n: 48, stages: 8, cluster: [1, 4] },
  { consumers: 1, n: 256, stages: 4 },
  { consumers: 1, n: 192, stages: 3, slots: 1, perSm: 2 },
  { consumers: 1, n: 128, stages: 4, perSm: 2 },
  { consumers: 1, n: 96, stages: 5, perSm: 2 },
  { consumers: 1, n: 64, stages: 6, perSm: 2 },
  { consumers: 1, n: 48, stages: 6, perSm: 2 },
  { consumers: 1, n: 32, stages: 8, perSm: 2 },
  { consumers: 2, n: 256, stages: 4, stream: true },
  { consumers: 2, n: 128, stages: 5, stream: true },
  { consumers: 1, n: 64, stages: 8, stream: true },
  { consumers: 2, n: 128, stages: 5, split: 2, cluster: [1, 2] },
  { consumers: 2, n: 64, stages: 6, split: 4 },
  { consumers: 1, n: 32, stages: 6, split: 8, perSm: 2 },
  { consumers: 1, n: 128, stages: 6, split: 4 }
]

/** Tiles of one warpgroup each, two in turn: the epilogue of one under the products of the other. */
const pingPongTiles: ReadonlyArray<GemmTile> = [
  { consumers: 2, n: 256, stages: 4, cluster: [2, 1], pingPong: true },
  { consumers: 2, blocks: 2, n: 128, stages: 5, cluster: [2, 1], pingPong: true },
  { consumers: 2, blocks: 2, n: 128, stages: 5, pingPong: true },
  { consumers: 2, n: 192, stages: 5, pingPong: true },
  { consumers: 2, blocks: 2, n: 96, stages: 6, cluster: [1, 2], pingPong: true },
  { consumers: 2, n: 128, stages: 6, pingPong: true },
  { consumers: 2, blocks: 2, n: 160, stages: 5, pingPong: true },
  { consumers: 2, blocks: 2, n: 160, stages: 5, pingPong: true, cluster: [2, 1] },
  { consumers: 2, blocks: 2, n: 192, stages: 4, pingPong: true },
  { consumers: 2, blocks: 2, n: 192, stages: 4, pingPong: true, cluster: [2, 1] },
  { consumers: 2, blocks: 2, n: 112, stages: 5, pingPong: true, cluster: [1, 2] },
  { consumers: 2, n: 192, stages: 5, pingPong: true, cluster: [2, 1] },
  { consumers: 2, n: 128, stages: 6, pingPong: true, cluster: [2, 1] }
]

/**
 * Tiles that divide a row or a column of tiles evenly among 132 multiprocessors: with k of a few slabs, what counts is how
 * full the last wave is and how many blocks share each load.
 */
const evenTiles: ReadonlyArray<GemmTile> = [
  ...[144, 160, 176, 192].map((n) => ({ consumers: 3, n, stages: 4, slots: 1 })),
  { consumers: 3, n: 96, stages: 5 },
  { consumers: 3, n: 64, stages: 5, cluster: [1, 2] },
  { consumers: 3, n: 192, stages: 4, slots: 1, cluster: [1, 2] },
  { consumers: 2, blocks: 2, n: 96, stages: 4 },
  { consumers: 2, blocks: 2, n: 112, stages: 4 },
  { consumers: 2, blocks: 2, n: 128, stages: 4 },
  { consumers: 2, blocks: 2, n: 160, stages: 4, slots: 1 },
  { consumers: 2, blocks: 2, n: 176, stages: 4, slots: 1 },
  { consumers: 2, blocks: 2, n: 192, stages: 3, slots: 1 },
  ...[80, 112, 144, 160, 176, 208, 224].map((n) => ({ consumers: 2, n, stages: n > 160 ? 4 : 5 })),
  { consumers: 2, n: 160, stages: 5, cluster: [2, 1] },
  { consumers: 2, n: 112, stages: 5, cluster: [1, 2] },
  { consumers: 2, n: 96, stages: 6, cluster: [1, 2] },
  { consumers: 2, n: 96, stages: 6, cluster: [2, 2] },
  { consumers: 2, n: 64, stages: 8, cluster: [2, 2] },
  { consumers: 2, n: 64, stages: 8, cluster: [1, 2] },
  { consumers: 2, n: 64, stages: 3, perSm: 2, cluster: [1, 2] },
  { consumers: 1, n: 80, stages: 5, perSm: 2 },
  { consumers: 1, n: 112, stages: 4, perSm: 2 },
  ...[64, 80, 96, 128].flatMap((n): ReadonlyArray<GemmTile> => [
    { consumers: 1, n, stages: 6, cluster: [2, 1] },
    { consumers: 1, n, stages: 6, cluster: [2, 2] }
  ]),
  { consumers: 1, n: 64, stages: 6, cluster: [4, 1] },
  { consumers: 1, n: 96, stages: 6, cluster: [4, 1] },
  { consumers: 1, n: 64, stages: 6, cluster: [4, 2] },
  { consumers: 1, n: 64, stages: 6, cluster: [1, 4] }
]

/** Tiles of which two fit a multiprocessor, so that the next kernel's first loads run under the end of this one. */
const lightTiles: ReadonlyArray<GemmTile> = [
  { consumers: 2, n: 64, stages: 4, slots: 1 },
  { consumers: 2, n: 80, stages: 3, slots: 1 },
  { consumers: 2, n: 96, stages: 3, slots: 1 },
  { consumers: 2, n: 96, stages: 3, slots: 1, cluster: [1, 2] },
  { consumers: 2, n: 112, stages: 3, slots: 1 },
  { consumers: 2, n: 128, stages: 3, slots: 1 },
  { consumers: 2, n: 128, stages: 3, slots: 1, cluster: [1, 2] },
  { consumers: 2, n: 128, stages: 3, slots: 1, cluster: [2, 1] },
  { consumers: 2, n: 64, stages: 4, slots: 1, cluster: [1, 4] },
  { consumers: 2, n: 64, stages: 4, slots: 1, cluster: [2, 2] },
  { consumers: 1, n: 128, stages: 4, slots: 1 },
  { consumers: 1, n: 192, stages: 3, slots: 1 },
  { consumers: 1, n: 96, stages: 5, slots: 1 },
  { consumers: 1, n: 96, stages: 5, slots: 1, cluster: [2, 1] },
  { consumers: 1, n: 128, stages: 4, slots: 1, cluster: [2, 1] },
  { consumers: 1, n: 128, stages: 4, slots: 1, cluster: [2, 2] },
  { consumers: 1, n: 64, stages: 4, slots: 1, split: 4 },
  { consumers: 1, n: 96, stages: 4, slots: 1, split: 4 },
  { consumers: 1, n: 128, stages: 4, slots: 1, split: 4 },
  { consumers: 1, n: 128, stages: 4, slots: 1, split: 4, cluster: [2, 1] },
  { consumers: 2, n: 96, stages: 3, slots: 1, split: 2 },
  { consumers: 2, n: 96, stages: 3, slots: 1, split: 2, cluster: [2, 1] },
  { consumers: 2, n: 96, stages: 6, split: 2, cluster: [2, 1] },
  { consumers: 2, n: 96, stages: 6, split: 2, cluster: [2, 2] },
  { consumers: 2, n: 192, stages: 4, split: 2 },
  { consumers: 2, n: 192, stages: 4, split: 2, cluster: [2, 1] },
  { consumers: 2, n: 192, stages: 4, split: 2, cluster: [1, 2] },
  { consumers: 3, n: 128, stages: 4, split: 2 },
  { consumers: 3, n: 96, stages: 4, split: 2 },
  { consumers: 2, n: 160, stages: 4, split: 2 },
  { consumers: 2, n: 144, stages: 4, split: 2 },
  { consumers: 2, n: 128, stages: 4, split: 2 },
  { consumers: 2, n: 96, stages: 5, split: 2 },
  { consumers: 2, n: 80, stages: 5, split: 2 },
  { consumers: 1, n: 128, stages: 5, split: 2 },
  { consumers: 1, n: 192, stages: 4, split: 2 },
  { consumers: 1, n: 192, stages: 4, split: 4 },
  { consumers: 2, n: 160, stages: 4, split: 4 },
  { consumers: 1, n: 192, stages: 5, split: 4 },
  { consumers: 1, n: 256, stages: 4, split: 4 },
  { consumers: 1, n: 192, stages: 5, split: 2 },
  { consumers: 2, n: 128, stages: 5, split: 2 },
  { consumers: 2, n: 128, stages: 5, split: 2, cluster: [2, 1] }
]

/** Parts of k beside one another in a cluster, for few tiles and long k. */
const splitTiles: ReadonlyArray<GemmTile> = [
  { consumers: 2, n: 192, stages: 3, split: 4 },
  { consumers: 2, n: 96, stages: 6, split: 2 },
  { consumers: 2, n: 64, stages: 6, split: 2 },
  { consumers: 2, n: 128, stages: 5, split: 4 },
  { consumers: 1, n: 64, stages: 6, split: 2 },
  { consumers: 1, n: 64, stages: 6, split: 4 },
  { consumers: 1, n: 64, stages: 6, split: 4, cluster: [2, 1] },
  { consumers: 1, n: 64, stages: 6, split: 2, cluster: [4, 1] },
  { consumers: 1, n: 64, stages: 6, split: 2, cluster: [2, 2] },
  { consumers: 1, n: 64, stages: 6, split: 8 },
  { consumers: 1, n: 96, stages: 6, split: 4 },
  { consumers: 1, n: 128, stages: 6, split: 2 },
  { consumers: 1, n: 128, stages: 6, split: 4, cluster: [2, 1] }
]

/** Tiles of convolutions: many pixels and 64 to 256 filters at large batch, few pixels and long filters at batch 1. */
const convTiles: ReadonlyArray<GemmTile> = [
  { consumers: 2, n: 64, stages: 8 },
  { consumers: 2, n: 64, stages: 3, perSm: 2 },
  { consumers: 2, n: 64, stages: 8, cluster: [2, 1] },
  { consumers: 2, n: 64, stages: 8, cluster: [1, 2] },
  { consumers: 2, n: 64, stages: 8, cluster: [2, 2] },
  { consumers: 2, n: 64, stages: 8, cluster: [1, 4] },
  { consumers: 2, blocks: 2, n: 64, stages: 4 },
  { consumers: 2, blocks: 2, n: 64, stages: 4, cluster: [2, 1] },
  { consumers: 2, blocks: 2, n: 128, stages: 4 },
  { consumers: 2, blocks: 2, n: 128, stages: 4, cluster: [2, 1] },
  { consumers: 2, n: 96, stages: 6 },
  { consumers: 2, n: 128, stages: 5 },
  { consumers: 2, n: 128, stages: 5, cluster: [2, 1] },
  { consumers: 2, n: 128, stages: 5, cluster: [1, 2] },
  { consumers: 2, n: 256, stages: 4 },
  { consumers: 2, n: 256, stages: 4, cluster: [2, 1] },
  { consumers: 3, n: 64, stages: 5 },
  { consumers: 3, n: 64, stages: 5, cluster: [1, 2] },
  { consumers: 3, n: 128, stages: 4 },
  { consumers: 3, n: 128, stages: 4, cluster: [1, 2] },
  { consumers: 2, blocks: 2, n: 64, stages: 7, pingPong: true },
  { consumers: 2, blocks: 2, n: 64, stages: 7, pingPong: true, cluster: [2, 1] },
  { consumers: 2, n: 128, stages: 6, pingPong: true },
  { consumers: 2, blocks: 2, n: 128, stages: 5, pingPong: true },
  { consumers: 2, n: 256, stages: 4, pingPong: true, cluster: [2, 1] },
  { consumers: 1, n: 64, stages: 6, perSm: 2 },
  { consumers: 1, n: 32, stages: 8, perSm: 2 },
  { consumers: 1, n: 64, stages: 6, cluster: [1, 4] },
  { consumers: 1, n: 64, stages: 6, split: 2, perSm: 2 },
  { consumers: 1, n: 64, stages: 6, split: 4, perSm: 2 },
  { consumers: 1, n: 64, stages: 6, split: 8, perSm: 2 },
  { consumers: 1, n: 32, stages: 6, split: 2, perSm: 2 },
  { consumers: 1, n: 32, stages: 6, split: 4, perSm: 2 },
  { consumers: 1, n: 32, stages: 6, split: 8, perSm: 2 },
  { consumers: 2, n: 64, stages: 6, split: 2 },
  { consumers: 2, n: 64, stages: 6, split: 4 },
  { consumers: 2, n: 128, stages: 5, split: 2 }
]
/** The same for 1x1 convolutions of stride 1, which are products. */
const pointTiles: ReadonlyArray<GemmTile> = [
  { consumers: 2, n: 64, stages: 8 },
  { consumers: 2, n: 64, stages: 3, perSm: 2 },
  { consumers: 2, n: 64, stages: 8, cluster: [1, 2] },
  { consumers: 2, n: 64, stages: 8, cluster: [1, 4] },
  { consumers: 2, blocks: 2, n: 64, stages: 4 },
  { consumers: 2, n: 128, stages: 5 },
  { consumers: 2, n: 128, stages: 5, cluster: [1, 2] },
  { consumers: 2, n: 128, stages: 5, cluster: [2, 1] },
  { consumers: 2, n: 256, stages: 4 },
  { consumers: 2, n: 256, stages: 4, cluster: [2, 1] },
  { consumers: 3, n: 128, stages: 4 },
  { consumers: 2, blocks: 2, n: 64, stages: 7, pingPong: true },
  { consumers: 2, n: 128, stages: 6, pingPong: true },
  { consumers: 2, blocks: 2, n: 128, stages: 5, pingPong: true },
  { consumers: 2, n: 256, stages: 4, pingPong: true },
  { consumers: 2, n: 64, stages: 8, pingPong: true },
  { consumers: 1, n: 128, stages: 4, perSm: 2 },
  { consumers: 1, n: 64, stages: 6, perSm: 2 },
  { consumers: 1, n: 64, stages: 3, slots: 1, perSm: 3 },
  { consumers: 1, n: 32, stages: 8, perSm: 2 },
  { consumers: 1, n: 64, stages: 6, split: 2, perSm: 2 },
  { consumers: 1, n: 64, stages: 6, split: 4, perSm: 2 },
  { consumers: 1, n: 32, stages: 6, split: 4, perSm: 2 },
  { consumers: 1, n: 32, stages: 6, split: 8, perSm: 2 },
  { consumers: 1, n: 64, stages: 6, split: 8, perSm: 2 }
]

const convolutions: ReadonlyArray<Instance> = [
  ...convTiles.map((tile) => gemm("f16", "f16", tile, epilogue("relu"), "relu", "ConvSm90")),
  gemm("f16", "f16", { consumers: 2, n: 128, stages: 5 }, {}, "", "ConvSm90"),
  gemm("f16", "f16", { consumers: 2, n: 128, stages: 5 }, epilogue("reluadd"), "reluadd", "ConvSm90"),
  gemm("f16", "f16", { consumers: 1, n: 64, stages: 6, split: 4 }, epilogue("reluadd"), "reluadd", "ConvSm90"),
  gemm("bf16", "bf16", { consumers: 2, n: 128, stages: 5 }, {}, "", "ConvSm90"),
  gemm("f16", "float", { consumers: 2, n: 128, stages: 5 }, {}, "", "ConvSm90"),
  ...pointTiles.flatMap((tile) => [
    gemm("f16", "f16", tile, epilogue("relu"), "relu"),
    gemm("f16", "f16", tile, epilogue("reluadd"), "reluadd")
  ])
]

const swapped = (tile: GemmTile): GemmTile => ({ ...tile, swapped: true })

/**
 * Tiles whose 64-row side lies along the product's columns, so that its rows, 197 or 1,576 of them, are divided by any multiple of
 * 8: name and parameters say columns x rows.
 */
const swappedTiles: ReadonlyArray<GemmTile> = [
  { consumers: 2, n: 72, stages: 9, slots: 0, cluster: [1, 2] },
  { consumers: 2, n: 72, stages: 9, slots: 0 },
  { consumers: 2, n: 72, stages: 4, slots: 1 },
  { consumers: 2, n: 72, stages: 9, slots: 0, cluster: [1, 4] },
  { consumers: 2, blocks: 2, n: 144, stages: 4, slots: 0 },
  { consumers: 2, blocks: 2, n: 144, stages: 4, slots: 0, cluster: [2, 1] },
  { consumers: 2, blocks: 2, n: 144, stages: 4, slots: 0, cluster: [1, 2] },
  { consumers: 3, n: 144, stages: 5, slots: 0 },
  { consumers: 3, n: 144, stages: 5, slots: 0, cluster: [2, 1] },
  { consumers: 2, n: 144, stages: 5, slots: 1 },
  { consumers: 2, n: 104, stages: 7, slots: 0 },
  { consumers: 1, n: 104, stages: 5, slots: 0, perSm: 2 },
  { consumers: 1, n: 104, stages: 10, slots: 0 },
  { consumers: 1, n: 72, stages: 6, slots: 0, perSm: 2 },
  { consumers: 1, n: 72, stages: 12, slots: 0 },
  { consumers: 1, n: 40, stages: 8, slots: 0, perSm: 2 },
  { consumers: 2, n: 40, stages: 10, slots: 0 },
  { consumers: 2, n: 56, stages: 9, slots: 0 },
  { consumers: 2, n: 56, stages: 4, slots: 0 },
  { consumers: 3, n: 96, stages: 6, slots: 0 },
  { consumers: 2, blocks: 2, n: 72, stages: 5, slots: 0 }
].map(swapped)

/** Tiles with as many stages as fit: where k is long, what is in flight hides the memory's latency. */
const deepTiles: ReadonlyArray<GemmTile> = [
  { consumers: 1, n: 96, stages: 10, slots: 1, cluster: [2, 1] },
  { consumers: 1, n: 96, stages: 10, slots: 1, cluster: [1, 2] },
  { consumers: 1, n: 96, stages: 10, slots: 1, cluster: [2, 2] },
  { consumers: 1, n: 96, stages: 10, slots: 1, cluster: [4, 1] },
  { consumers: 1, n: 96, stages: 10, slots: 1 },
  { consumers: 2, n: 96, stages: 7, slots: 1, cluster: [1, 2] },
  { consumers: 2, n: 96, stages: 7, slots: 1, cluster: [2, 1] },
  { consumers: 1, n: 64, stages: 12, cluster: [4, 2] },
  { consumers: 1, n: 64, stages: 12, cluster: [2, 2] },
  { consumers: 1, n: 48, stages: 14, cluster: [2, 2] },
  { consumers: 2, n: 96, stages: 7, slots: 1, cluster: [1, 8] },
  { consumers: 2, n: 96, stages: 7, slots: 1, cluster: [2, 4] },
  { consumers: 1, n: 96, stages: 10, slots: 1, cluster: [1, 8] },
  { consumers: 2, n: 192, stages: 5, slots: 1, cluster: [2, 1] },
  { consumers: 3, n: 192, stages: 4, slots: 1, cluster: [2, 1] }
]

/** Tiles of products whose epilogue is long. */
const longEpilogueTiles: ReadonlyArray<GemmTile> = [
  large,
  { ...large, stages: 3, slots: 4 },
  { consumers: 2, blocks: 2, n: 128, stages: 4, cluster: [2, 1] },
  { consumers: 2, blocks: 2, n: 128, stages: 5, pingPong: true, cluster: [2, 1] },
  { consumers: 2, blocks: 2, n: 160, stages: 5, pingPong: true, cluster: [2, 1] }
]

/** What became of a block's time, written beside the result. */
const profiled: ReadonlyArray<GemmTile> = [
  { consumers: 2, n: 128, stages: 5, split: 2 },
  { consumers: 2, n: 64, stages: 8, cluster: [1, 4] },
  { consumers: 1, n: 96, stages: 10, slots: 1 },
  { consumers: 1, n: 96, stages: 10, slots: 1, cluster: [2, 1] },
  { consumers: 2, n: 72, stages: 9, slots: 0, swapped: true },
  { consumers: 2, n: 72, stages: 9, slots: 0, cluster: [1, 2], swapped: true }
]

const gemms: ReadonlyArray<Instance> = [
  ...longEpilogueTiles.map((tile) => gemm("f16", "f16", tile, epilogue("gelus"), "gelus")),
  ...[
    { ...large, stages: 3, slots: 4 },
    { consumers: 2, blocks: 2, n: 128, stages: 5, slots: 4, pingPong: true, cluster: [2, 1] as const },
    { consumers: 2, blocks: 2, n: 160, stages: 4, slots: 10, pingPong: true, cluster: [2, 1] as const },
    { consumers: 2, blocks: 2, n: 128, stages: 3, slots: 4, cluster: [2, 1] as const }
  ].flatMap((tile) => [
    gemm("f16", "f16", tile, { ...epilogue("gelutile"), EPILOGUE_TILE: 1 }, "gelutile"),
    gemm("f16", "f16", tile, { ...epilogue("gelustile"), EPILOGUE_TILE: 1 }, "gelustile")
  ]),
  gemm("f16", "f16", { consumers: 2, n: 72, stages: 4, slots: 1, swapped: true }, epilogue("gelu"), "gelu"),
  ...swappedTiles.map((tile) => gemm("f16", "f16", tile)),
  ...deepTiles.map((tile) => gemm("f16", "f16", tile)),
  ...profiled.map((tile) => gemm("f16", "f16", tile, { PROFILE: 1 }, "profile")),
  ...pingPongTiles.map((tile) => gemm("f16", "f16", tile)),
  ...pingPongTiles.slice(0, 2).map((tile) => gemm("f16", "f16", tile, epilogue("gelu"), "gelu")),
  ...largeTiles.map((tile) => gemm("f16", "f16", tile)),
  ...smallTiles.map((tile) => gemm("f16", "f16", tile)),
  ...evenTiles.map((tile) => gemm("f16", "f16", tile)),
  ...lightTiles.map((tile) => gemm("f16", "f16", tile)),
  ...splitTiles.map((tile) => gemm("f16", "f16", tile)),
  gemm("f16", "f16", large, epilogue("gelu"), "gelu"),
  gemm("f16", "f16", { consumers: 2, blocks: 2, n: 128, stages: 4, cluster: [2, 1] }, epilogue("gelu"), "gelu"),
  gemm("f16", "f16", { consumers: 1, n: 64, stages: 4, split: 2, perSm: 2 }, epilogue("gelu"), "gelu"),
  gemm("f16", "f16", { ...large, stages: 3, slots: 4 }, epilogue("gelu"), "gelu"),
  gemm(
    "f16",
    "f16",
    { consumers: 2, blocks: 2, n: 160, stages: 5, pingPong: true, cluster: [2, 1] },
    epilogue("gelu"),
    "gelu"
  ),
  ...[
    { consumers: 2, n: 128, stages: 5 },
    { consumers: 1, n: 64, stages: 6, perSm: 2 }
  ].map((tile) => gemm("f16", "f16", tile, { GROUPED: 1, CONSTANT_B: 0 }, "grouped")),
  gemm("bf16", "bf16", { consumers: 2, n: 256, stages: 4 }, { GROUPED: 1 }, "grouped"),
  gemm("f16", "float", large),
  gemm("bf16", "bf16", large),
  gemm("f16", "f16", { ...large, stages: 3 }, { B_ALONG_N: 1 }, "bn"),
  gemm("f16", "f16", { ...large, stages: 3 }, { A_ALONG_M: 1 }, "am"),
  gemm("bf16", "bf16", { consumers: 2, n: 128, stages: 4, cluster: [1, 2] }, { A_ALONG_M: 1, B_ALONG_N: 1 }, "am-bn"),
  gemm("tf32", "float", { ...large, stages: 3 }),
  gemm("tf32", "float", { consumers: 1, n: 64, stages: 4, perSm: 2 }),
  gemm("e4m3", "bf16", large),
  gemm("e4m3", "bf16", { ...large, group: 16 }),
  gemm("e4m3", "bf16", { consumers: 2, blocks: 2, n: 128, stages: 4, cluster: [2, 1] }),
  gemm("e4m3", "bf16", { consumers: 2, n: 128, stages: 6, cluster: [2, 1] }, { PROMOTE: 4 }, "exact"),
  gemm("e5m2", "bf16", { consumers: 2, n: 128, stages: 5 }),
  gemm("e4m3", "f16", large, epilogue("scale"), "scale"),
  gemm("s8", "s32", large),
  gemm("s8", "s32", { consumers: 2, blocks: 2, n: 128, stages: 4, cluster: [2, 1] }),
  gemm("s8", "f16", large, epilogue("scale"), "scale")
]

/** Products and convolutions on Hopper. */
export const products: ReadonlyArray<Instance> = [...gemms, ...convolutions]
