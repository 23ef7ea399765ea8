/**
 * The instances of the templates that ship and that the harness tests: template, name, parameters.
 *
 * `gemm-f16-128x256-c2x1-s4` ⇒ GemmSm90.cu with INPUT=f16 CONSUMERS=2 TILE_N=256 CLUSTER_M=2 STAGES=4
 *
 * A compiler makes more of them from the same templates with its own epilogue text; `templates.json` says what is legal.
 */

/** One compiled kernel: `defines` are the template's macros, `architecture` is nvcc's (`90a`, `80`). */
export interface Instance {
  readonly name: string
  readonly template: string
  readonly entry: string
  readonly architecture: string
  readonly defines: Readonly<Record<string, string | number>>
}

/** The epilogues of the tests and benchmarks; the number is the kind that Reference.cu computes in float64. */
export const epilogues: Readonly<
  Record<string, { readonly kind: number; readonly inputs: string; readonly text: string }>
> = {
  gelu: { kind: 1, inputs: "COLUMN(0, f16, bias) MATRIX(1, f16, residual)", text: "gelu_erf(v + bias) + residual" },
  relu: { kind: 2, inputs: "COLUMN(0, f16, bias)", text: "relu(v + bias)" },
  reluadd: { kind: 3, inputs: "COLUMN(0, f16, bias) MATRIX(1, f16, residual)", text: "relu(v + bias + residual)" },
  scale: {
    kind: 4,
    inputs: "COLUMN(0, float, column_scale) ROW(1, float, row_scale)",
    text: "v * column_scale * row_scale"
  }
}

/** Macros of a named epilogue, and its kind for the harness. */
const epilogue = (name: string): Record<string, string | number> => {
  const e = epilogues[name]
  return e === undefined ? {} : { EPILOGUE_INPUTS: e.inputs, EPILOGUE: e.text, EPILOGUE_KIND: e.kind }
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
}

const registers: Readonly<Record<number, readonly [number, number]>> = { 2: [40, 232], 3: [32, 160] }

const gemm = (
  input: string,
  output: string,
  tile: GemmTile,
  extra: Record<string, string | number> = {},
  suffix = ""
): Instance => {
  const [cm, cn] = tile.cluster ?? [1, 1]
  const pool =
    (tile.perSm ?? 1) === 1 && tile.consumers * 64 * (tile.blocks ?? 1) * tile.n > 64 * 256
      ? registers[tile.consumers]
      : undefined
  const m = 64 * (tile.pingPong === true ? 1 : tile.consumers) * (tile.blocks ?? 1)
  const name = [
    `gemm-${input}${output === input || (input === "tf32" && output === "float") ? "" : `-${output}`}`,
    `${m}x${tile.n}`,
    `c${cm}x${cn}`,
    `s${tile.stages}`,
    ...(tile.split === undefined ? [] : [`k${tile.split}`]),
    ...(tile.group === undefined ? [] : [`g${tile.group}`]),
    ...(tile.perSm === undefined ? [] : [`o${tile.perSm}`]),
    ...(tile.stream === true ? ["sk"] : []),
    ...(tile.pingPong === true ? ["pp"] : []),
    ...(suffix === "" ? [] : [suffix])
  ].join("-")
  return {
    name,
    template: "GemmSm90",
    entry: "gemm",
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
      ...(pool === undefined ? {} : { PRODUCER_REGISTERS: pool[0], CONSUMER_REGISTERS: pool[1] }),
      ...extra
    }
  }
}

const large: GemmTile = { consumers: 2, n: 256, stages: 4, cluster: [2, 1] }

/** Tiles for large products, where the tensor cores are the bound. */
const largeTiles: ReadonlyArray<GemmTile> = [
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
  { consumers: 2, n: 128, stages: 6, pingPong: true }
]

const gemms: ReadonlyArray<Instance> = [
  ...pingPongTiles.map((tile) => gemm("f16", "f16", tile)),
  ...pingPongTiles.slice(0, 2).map((tile) => gemm("f16", "f16", tile, epilogue("gelu"), "gelu")),
  ...largeTiles.map((tile) => gemm("f16", "f16", tile)),
  ...smallTiles.map((tile) => gemm("f16", "f16", tile)),
  gemm("f16", "f16", large, epilogue("gelu"), "gelu"),
  gemm("f16", "f16", { consumers: 2, blocks: 2, n: 128, stages: 4, cluster: [2, 1] }, epilogue("gelu"), "gelu"),
  gemm("f16", "f16", { consumers: 1, n: 64, stages: 4, split: 2, perSm: 2 }, epilogue("gelu"), "gelu"),
  gemm("f16", "f16", { ...large, stages: 3, slots: 4 }, epilogue("gelu"), "gelu"),
  gemm("f16", "f16", { consumers: 1, n: 32, stages: 8, perSm: 2 }, epilogue("relu"), "relu"),
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

const skinny = (weight: string, warps: number, tiles: number, unroll: number, high: number): Instance => ({
  name: `skinny-${weight}-w${warps}-t${tiles}-u${unroll}-m${high === 1 ? 16 : 8}`,
  template: "SkinnySm80",
  entry: "skinny",
  architecture: "90a",
  defines: { WEIGHT: weight, WARPS: warps, TILES_N: tiles, UNROLL: unroll, HIGH_ROWS: high }
})

const skinnies: ReadonlyArray<Instance> = [
  ...[0, 1].flatMap((high) => [
    skinny("f16", 4, 1, 8, high),
    skinny("f16", 8, 1, 4, high),
    skinny("f16", 8, 1, 8, high),
    skinny("f16", 8, 2, 4, high),
    skinny("f16", 16, 2, 2, high),
    skinny("f16", 16, 4, 2, high),
    skinny("f16", 8, 4, 2, high),
    skinny("s4", 4, 1, 4, high),
    skinny("s4", 8, 1, 2, high),
    skinny("s4", 8, 1, 4, high),
    skinny("s4", 8, 2, 2, high),
    skinny("s4", 16, 1, 2, high),
    skinny("s4", 4, 1, 8, high),
    skinny("s4", 4, 2, 4, high),
    skinny("s4", 2, 1, 8, high),
    skinny("s4", 4, 2, 8, high),
    skinny("s4", 8, 2, 4, high),
    skinny("s4", 4, 4, 4, high),
    skinny("s4", 16, 2, 2, high)
  ]),
  skinny("bf16", 8, 1, 4, 1)
]

const attention = (input: string, keys: number, causal: number, dim: number, pingPong = 1): Instance => ({
  name: `attention-${input}-d${dim}-k${keys}${causal === 1 ? "-causal" : ""}${pingPong === 1 ? "" : "-p0"}`,
  template: "AttentionSm90",
  entry: "attention",
  architecture: "90a",
  defines: {
    INPUT: input,
    KEYS: keys,
    CAUSAL: causal,
    HEAD_DIM: dim,
    STAGES: 2,
    PING_PONG: pingPong,
    OWN_O: keys > 160 ? 0 : 1
  }
})

const attentions: ReadonlyArray<Instance> = [
  attention("f16", 128, 0, 128),
  attention("f16", 160, 0, 128),
  attention("f16", 176, 0, 128),
  attention("f16", 128, 1, 128),
  attention("f16", 160, 1, 128),
  attention("f16", 176, 0, 128, 0),
  attention("f16", 128, 0, 128, 0),
  attention("f16", 144, 0, 128),
  attention("f16", 160, 0, 128, 0),
  attention("f16", 160, 1, 128, 0),
  attention("f16", 128, 1, 128, 0),
  attention("bf16", 128, 1, 128),
  attention("f16", 128, 0, 64),
  attention("f16", 128, 1, 64)
]

const decode = (input: string, page: number, dim: number, perSm: number, warps = 4): Instance => ({
  name: `decode-${input}-d${dim}-p${page}-w${warps}-o${perSm}`,
  template: "PagedDecodeSm80",
  entry: "decode",
  architecture: "90a",
  defines: { INPUT: input, PAGE: page, HEAD_DIM: dim, WARPS: warps, BLOCKS_PER_SM: perSm }
})

const decodes: ReadonlyArray<Instance> = [
  decode("f16", 64, 128, 2),
  decode("f16", 64, 128, 1, 8),
  decode("f16", 64, 128, 4, 2),
  decode("f16", 16, 128, 2),
  decode("bf16", 32, 128, 2),
  decode("f16", 64, 64, 3)
]

/** Row operations: `warps` warps hold a row, `vectors` pieces of 16 bytes a lane. */
const rows = (kind: string, warps: number, vectors: number, perBlock: number, input = "f16"): Instance => ({
  name: `rows-${kind}-${input}-w${warps}-v${vectors}-r${perBlock}`,
  template: "RowsSm75",
  entry: "rows",
  architecture: "90a",
  defines: {
    T: input,
    KIND: { layernorm: 0, rmsnorm: 1, softmax: 2, addnorm: 0 }[kind] ?? 0,
    RESIDUAL: kind === "addnorm" ? 1 : 0,
    WARPS_A_ROW: warps,
    VECTORS: vectors,
    ROWS_A_BLOCK: perBlock
  }
})

const pointwise = (threads: number, vectors: number): Instance => ({
  name: `pointwise-gelu-f16-t${threads}-v${vectors}`,
  template: "PointwiseSm75",
  entry: "pointwise",
  architecture: "90a",
  defines: {
    THREADS: threads,
    VECTORS: vectors,
    INPUTS: "MATRIX(0, x) COLUMN(1, bias)",
    EXPRESSION: "gelu_erf(x + bias)"
  }
})

const generated: ReadonlyArray<Instance> = [
  ...["layernorm", "rmsnorm", "softmax", "addnorm"].flatMap((kind) => [
    rows(kind, 4, 4, 1),
    rows(kind, 8, 2, 1),
    rows(kind, 16, 1, 1),
    rows(kind, 1, 3, 4),
    rows(kind, 1, 3, 1),
    rows(kind, 3, 1, 1)
  ]),
  rows("layernorm", 4, 4, 1, "bf16"),
  pointwise(256, 4),
  pointwise(256, 2),
  pointwise(128, 1),
  pointwise(512, 2)
]

/** Kernels with a planted mistake each; the harness must find it. */
const planted: ReadonlyArray<Instance> = [
  "none",
  "write-past-end",
  "missing-barrier",
  "wrong-tail",
  "never-ends",
  "write-far-outside"
].map((name, bug) => ({
  name: `planted-${name}`,
  template: "../test-gpu/Planted",
  entry: "planted",
  architecture: "90a",
  defines: { BUG: bug }
}))

/** Everything that is compiled, tested and measured. */
export const instances: ReadonlyArray<Instance> = [
  { name: "reference", template: "Reference", entry: "compare", architecture: "90a", defines: {} },
  ...gemms,
  ...skinnies,
  ...attentions,
  ...decodes,
  ...generated,
  ...planted
]
