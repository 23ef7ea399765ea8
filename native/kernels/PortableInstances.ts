/**
 * The instances of GemmSm75 and ConvSm75, which run on every tensor core since sm_75, and the builds of all portable templates
 * for the architectures that no test machine here has: those are compiled and their resources kept, and not run.
 */
import type { Instance } from "./Instance.ts"
import { epilogue } from "./ProductInstances.ts"

/** nvcc's names of the architectures beside Hopper's 90a: T4, A100, A10, L4, B200, RTX 50. */
export const otherArchitectures: ReadonlyArray<string> = ["75", "80", "86", "89", "100", "120"]

interface Tile {
  readonly m: number
  readonly n: number
  readonly warps: readonly [number, number]
  readonly bytes: 64 | 128
  readonly stages: number
}

const tiled = (
  template: "GemmSm75" | "ConvSm75",
  input: string,
  output: string,
  tile: Tile,
  extra: Readonly<Record<string, string | number>> = {},
  suffix = "",
  architecture = "90a"
): Instance => ({
  name: [
    template === "ConvSm75" ? "conv75" : "gemm75",
    input === output ? input : `${input}-${output}`,
    `${tile.m}x${tile.n}`,
    `w${tile.warps[0]}x${tile.warps[1]}`,
    `k${tile.bytes}`,
    `s${tile.stages}`,
    ...(suffix === "" ? [] : [suffix]),
    ...(architecture === "90a" ? [] : [`sm${architecture}`])
  ].join("-"),
  template,
  entry: template === "ConvSm75" ? "convolution75" : "gemm75",
  architecture,
  defines: {
    INPUT: input,
    OUTPUT: output,
    TILE_M: tile.m,
    TILE_N: tile.n,
    WARPS_M: tile.warps[0],
    WARPS_N: tile.warps[1],
    K_BYTES: tile.bytes,
    STAGES: tile.stages,
    ...extra
  }
})

const large: Tile = { m: 128, n: 128, warps: [2, 4], bytes: 64, stages: 4 }
const small: Tile = { m: 64, n: 64, warps: [2, 2], bytes: 128, stages: 4 }
const narrow: Tile = { m: 128, n: 64, warps: [4, 2], bytes: 64, stages: 4 }
const wide: Tile = { m: 128, n: 256, warps: [2, 4], bytes: 64, stages: 3 }

/** Run and tested on sm_90. */
const here: ReadonlyArray<Instance> = [
  ...[large, small, narrow, wide].map((tile) => tiled("GemmSm75", "f16", "f16", tile)),
  tiled("GemmSm75", "f16", "f16", { ...large, bytes: 128, stages: 3 }),
  tiled("GemmSm75", "f16", "f16", large, epilogue("gelu"), "gelu"),
  tiled("GemmSm75", "f16", "f16", small, { ELEMENTWISE: 1 }, "any"),
  tiled("GemmSm75", "f16", "float", large),
  tiled("GemmSm75", "bf16", "bf16", large),
  tiled("GemmSm75", "bf16", "bf16", small, { ELEMENTWISE: 1 }, "any"),
  tiled("GemmSm75", "tf32", "float", large),
  tiled("GemmSm75", "e4m3", "bf16", large),
  tiled("GemmSm75", "s8", "s32", large),
  tiled("GemmSm75", "s8", "s32", small, { ELEMENTWISE: 1 }, "any"),
  tiled("GemmSm75", "s8", "f16", large, epilogue("scale"), "scale"),
  ...[large, small, narrow].map((tile) => tiled("ConvSm75", "f16", "f16", tile, epilogue("relu"), "relu")),
  tiled("ConvSm75", "f16", "f16", narrow, epilogue("reluadd"), "reluadd"),
  tiled("ConvSm75", "f16", "f16", small, { ELEMENTWISE: 1 }, "any"),
  tiled("ConvSm75", "f16", "f16", small, { TRANSPOSED: 1 }, "transposed"),
  tiled("ConvSm75", "f16", "f16", small, { TRANSPOSED: 1, ELEMENTWISE: 1 }, "transposed-any"),
  tiled("ConvSm75", "bf16", "bf16", large)
]

/** The same templates for the other architectures: shared memory of 64 KB (sm_75), 99 KB (86, 89, 120) and more. */
const elsewhere: ReadonlyArray<Instance> = otherArchitectures.flatMap((architecture) => {
  const stages = architecture === "75" ? 2 : 4
  const small75: Tile = { ...small, stages }
  return [
    tiled("GemmSm75", "f16", "f16", { ...large, stages }, epilogue("gelu"), "gelu", architecture),
    tiled("GemmSm75", "f16", "f16", small75, {}, "", architecture),
    tiled("GemmSm75", "f16", "f16", small75, { ELEMENTWISE: 1 }, "any", architecture),
    tiled("GemmSm75", "s8", "s32", { ...large, stages }, {}, "", architecture),
    tiled("ConvSm75", "f16", "f16", { ...narrow, stages }, epilogue("relu"), "relu", architecture),
    tiled("ConvSm75", "f16", "f16", small75, { TRANSPOSED: 1 }, "transposed", architecture),
    ...(architecture === "75"
      ? []
      : [
          tiled("GemmSm75", "bf16", "bf16", large, {}, "", architecture),
          tiled("GemmSm75", "tf32", "float", large, {}, "", architecture)
        ]),
    ...(Number(architecture) >= 89 ? [tiled("GemmSm75", "e4m3", "bf16", large, {}, "", architecture)] : [])
  ]
})

const builtFor = (instance: Instance, architecture: string): Instance => ({
  ...instance,
  name: `${instance.name}-sm${architecture}`,
  architecture
})

/** `instance` for every other architecture from the one in its template's name on. */
export const portable = (instance: Instance): ReadonlyArray<Instance> => {
  const least = Number(/Sm(\d+)$/.exec(instance.template)?.[1] ?? 90)
  return otherArchitectures
    .filter((architecture) => Number(architecture) >= least)
    .map((architecture) => builtFor(instance, architecture))
}

/** GemmSm75 and ConvSm75. */
export const tiles: ReadonlyArray<Instance> = [...here, ...elsewhere]
