/**
 * The instances of the templates that ship and that the harness tests: template, name, parameters.
 *
 * A compiler makes more of them from the same templates with its own epilogue text; `templates.json` says what is legal.
 */

import type { Instance } from "./Instance.ts"
import { narrowOperations, operations } from "./OperationInstances.ts"
import { portable, tiles } from "./PortableInstances.ts"
import { epilogue, products } from "./ProductInstances.ts"

export type { Instance } from "./Instance.ts"

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

/**
 * Weights through a ring in shared memory: `rows` of X, `perSm` blocks a multiprocessor, `flight` pieces on their way (0: `stages`);
 * `warps` along k, `rowWarps` along the rows of W, `tiles` of 16 of those a warp, `cluster` blocks along k.
 */
const ring = (
  weight: string,
  rows: number,
  stages: number,
  perSm: number,
  warps: number,
  flight: number,
  shape: { readonly rowWarps?: number; readonly tiles?: number; readonly cluster?: number } = {}
): Instance => {
  const { rowWarps = 1, tiles = 1, cluster = 1 } = shape
  const names = [
    `skinny90-${weight}-x${rows}-w${warps}`,
    rowWarps === 1 ? "" : `x${rowWarps}`,
    `-s${stages}-o${perSm}`,
    tiles === 1 ? "" : `-t${tiles}`,
    cluster === 1 ? "" : `-c${cluster}`,
    flight === 0 ? "" : `-f${flight}`
  ]
  return {
    name: names.join(""),
    template: "SkinnySm90",
    entry: "skinny90",
    architecture: "90a",
    defines: {
      WEIGHT: weight,
      XROWS: rows,
      STAGES: stages,
      WARPS: warps,
      PER_SM: perSm,
      // Where two launches' blocks fit beside one another, the next one's weights arrive under this one's end.
      RESIDENT: 2 * perSm * (warps * rowWarps + 1) <= (tiles === 1 && rows < 8 ? 36 : 18) ? 2 * perSm : 1,
      ...(flight === 0 ? {} : { FLIGHT: flight }),
      ...(rowWarps === 1 ? {} : { ROW_WARPS: rowWarps }),
      ...(tiles === 1 ? {} : { TILES: tiles }),
      ...(cluster === 1 ? {} : { CLUSTER: cluster })
    }
  }
}

const rings: ReadonlyArray<Instance> = ["s4", "s8"].flatMap((weight) =>
  [1, 4, 8, 16].flatMap((rows) => [
    ring(weight, rows, 8, 1, 8, 2),
    ring(weight, rows, rows === 16 ? 3 : 4, 1, 16, 1),
    ring(weight, rows, rows === 16 ? 3 : 4, 1, 16, 2),
    ring(weight, rows, 4, 2, 8, 0),
    ring(weight, rows, 4, 2, 8, 2),
    ring(weight, rows, 4, 1, 8, 2, { tiles: 2 }),
    ring(weight, rows, 4, 1, 8, 1, { tiles: 2, cluster: 2 }),
    ring(weight, rows, 4, 1, 8, 2, { tiles: 2, cluster: 2 }),
    ring(weight, rows, 2, 2, 8, 1, { tiles: 2, cluster: 2 }),
    ring(weight, rows, 4, 1, 4, 1, { rowWarps: 2, tiles: 2, cluster: 2 }),
    ring(weight, rows, 4, 1, 4, 2, { rowWarps: 2, tiles: 2, cluster: 2 }),
    ring(weight, rows, rows === 16 ? 3 : 4, 1, 8, 1, { rowWarps: 2, tiles: 2, cluster: 2 })
  ])
)

/** A first layer: channels, square filter, stride. */
const fewChannels = (channels: number, filter: number, stride: number, warps: number, perSm: number): Instance => ({
  name: `few-f16-c${channels}-f${filter}-s${stride}-w${warps}-o${perSm}-relu`,
  template: "FewChannelsSm80",
  entry: "few_channels",
  architecture: "90a",
  defines: {
    INPUT: "f16",
    CHANNELS: channels,
    FILTER_H: filter,
    FILTER_W: filter,
    STRIDE: stride,
    WARPS: warps,
    BLOCKS_PER_SM: perSm,
    ...epilogue("relu")
  }
})

const firstLayers: ReadonlyArray<Instance> = [
  fewChannels(3, 7, 2, 8, 2),
  fewChannels(3, 7, 2, 4, 3),
  fewChannels(3, 7, 2, 4, 4),
  fewChannels(3, 3, 1, 8, 2),
  fewChannels(3, 3, 2, 8, 2),
  fewChannels(1, 5, 1, 4, 2),
  fewChannels(4, 3, 2, 8, 2)
]

type Mask = "LENGTHS" | "WINDOW" | "BIAS" | "PACKED"

const attention = (
  input: string,
  keys: number,
  causal: number,
  dim: number,
  pingPong = 1,
  masks: ReadonlyArray<Mask> = []
): Instance => ({
  name: [
    `attention-${input}-d${dim}-k${keys}`,
    ...(causal === 1 ? ["causal"] : []),
    ...(pingPong === 1 ? [] : ["p0"]),
    ...masks.map((mask) => mask.toLowerCase())
  ].join("-"),
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
    // Where O's buffer fits beside Q, two K and two V.
    OWN_O: (256 + 4 * keys) * 128 * Math.ceil(dim / 64) + 80 <= 232448 ? 1 : 0,
    ...Object.fromEntries(masks.map((mask) => [mask, 1]))
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
  attention("f16", 128, 1, 64),
  attention("f16", 128, 0, 64, 1, ["LENGTHS"]),
  attention("f16", 128, 1, 128, 1, ["WINDOW"]),
  attention("f16", 128, 0, 64, 1, ["BIAS"]),
  attention("f16", 128, 1, 128, 1, ["BIAS", "LENGTHS"]),
  attention("f16", 176, 0, 128, 1, ["LENGTHS"]),
  attention("f16", 128, 0, 128, 1, ["PACKED"]),
  attention("f16", 128, 1, 128, 1, ["PACKED"]),
  attention("bf16", 128, 1, 64, 1, ["PACKED", "WINDOW"]),
  // Head sizes beside 64 and 128: 32 and 96 leave half of a column of tiles empty, 192 and 256 take fewer keys at a time.
  attention("f16", 128, 0, 32),
  attention("f16", 176, 0, 32),
  attention("f16", 128, 1, 32),
  attention("f16", 128, 0, 96),
  attention("f16", 160, 0, 96),
  attention("f16", 128, 1, 96),
  attention("f16", 80, 0, 192),
  attention("f16", 112, 0, 192),
  attention("f16", 112, 1, 192),
  attention("f16", 64, 0, 256),
  attention("f16", 80, 0, 256),
  attention("f16", 80, 1, 256),
  attention("f16", 128, 0, 32, 1, ["BIAS", "LENGTHS"]),
  attention("bf16", 128, 1, 96, 1, ["PACKED", "WINDOW"]),
  attention("f16", 112, 0, 192, 1, ["LENGTHS"]),
  attention("bf16", 80, 1, 256, 1, ["PACKED"])
]

const decode = (
  input: string,
  page: number,
  dim: number,
  perSm: number,
  warps = 4,
  cluster = 0,
  kv = input,
  early = 0,
  steps = 0,
  flight = 0,
  held = 0
): Instance => ({
  name: [
    `decode-${input}${kv === input ? "" : `-${kv}`}-d${dim}-p${page}-w${warps}-o${perSm}`,
    ...(steps > 0 ? [`ring${steps}`] : []),
    ...(flight > 0 ? [`f${flight}`] : []),
    ...(held > 0 ? ["held"] : []),
    ...(cluster === 1 ? ["cluster"] : []),
    ...(early === 1 ? ["early"] : [])
  ].join("-"),
  template: "PagedDecodeSm80",
  entry: "decode",
  architecture: "90a",
  defines: {
    INPUT: input,
    PAGE: page,
    HEAD_DIM: dim,
    WARPS: warps,
    BLOCKS_PER_SM: perSm,
    CLUSTER: cluster,
    KV: kv,
    CONSTANT_HISTORY: early,
    DENSE_TOKENS: page === 64 ? 1 : 0,
    ...(steps > 0 ? { RING: steps } : {}),
    ...(flight > 0 ? { FLIGHT: flight } : {}),
    ...(held > 0 ? { HELD: held } : {})
  }
})

const decodes: ReadonlyArray<Instance> = [
  decode("f16", 64, 128, 4),
  decode("f16", 64, 128, 2, 8),
  decode("f16", 64, 128, 2, 8, 1),
  decode("f16", 64, 128, 4, 4, 1),
  decode("f16", 64, 128, 2, 6, 0, "f16", 1),
  decode("f16", 64, 128, 3, 4, 0, "f16", 1),
  decode("f16", 16, 64, 1, 8, 1),
  decode("f16", 64, 128, 3, 4, 0, "f16", 1, 2),
  decode("f16", 64, 128, 2, 6, 0, "f16", 1, 2),
  decode("f16", 64, 128, 2, 6, 0, "f16", 1, 2, 2),
  decode("f16", 64, 128, 2, 8, 0, "f16", 1, 1),
  decode("f16", 64, 128, 1, 8, 0, "f16", 1, 2),
  decode("f16", 64, 128, 1, 8, 0, "f16", 1, 2, 4),
  decode("f16", 64, 128, 1, 8, 1, "f16", 1, 3),
  decode("f16", 64, 128, 1, 8, 1, "f16", 1, 3, 0, 1),
  decode("f16", 64, 128, 1, 8, 0, "f16", 1, 3, 0, 1),
  decode("f16", 64, 128, 1, 8, 0, "f16", 1, 2, 0, 1),
  decode("bf16", 16, 128, 2, 4, 0, "bf16", 0, 2),
  decode("f16", 64, 128, 4, 4, 0, "e4m3", 1, 2),
  decode("f16", 64, 128, 4, 4, 0, "s8", 1, 2),
  ...["e4m3", "s8"].flatMap((kv) => [
    decode("f16", 64, 128, 2, 8, 0, kv),
    decode("f16", 64, 128, 2, 8, 0, kv, 1),
    decode("f16", 64, 128, 4, 4, 0, kv, 1)
  ]),
  decode("f16", 16, 128, 2, 4, 0, "s8"),
  decode("bf16", 32, 128, 2, 4, 0, "e4m3"),
  decode("bf16", 64, 128, 1, 8, 1, "s8"),
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

/** One instance of each other portable template, built for the architectures beside Hopper. */
const portables: ReadonlyArray<Instance> = [
  fewChannels(3, 7, 2, 4, 3),
  skinny("f16", 8, 2, 4, 0),
  skinny("s4", 8, 2, 4, 0),
  decode("f16", 64, 128, 1, 8),
  rows("layernorm", 4, 4, 1),
  rows("softmax", 1, 3, 4),
  pointwise(256, 4),
  ...operations
].flatMap(portable)

/** Everything that is compiled, tested and measured; what is not for 90a is compiled only. */
export const instances: ReadonlyArray<Instance> = [
  { name: "reference", template: "Reference", entry: "compare", architecture: "90a", defines: {} },
  ...products,
  ...tiles,
  ...firstLayers,
  ...skinnies,
  ...rings,
  ...attentions,
  ...decodes,
  ...generated,
  ...operations,
  ...narrowOperations,
  ...planted,
  ...portables
]
