/**
 * Tensor maps: how the tensor memory accelerator (sm_90 and later) reads a box of a strided tensor into shared memory.
 *
 * `tiled({ buffer, dtype: "f16", dims: [4096, 4096], strides: [8192], box: [64, 128], swizzle: "128B" })`
 *
 * Dimensions go from the fastest to the slowest; strides are in bytes, without the first (which is the element's size).
 * Source: CUDA Driver API, Tensor Map Object Management.
 */
import type { Buffer } from "./Buffer.ts"
import type { Access, TensorMapParameter } from "./Driver.ts"

/** `CUtensorMapDataType` numbers and bytes per element, by our names. */
export const dtypes = {
  u8: { number: 0, bytes: 1 },
  u16: { number: 1, bytes: 2 },
  u32: { number: 2, bytes: 4 },
  i32: { number: 3, bytes: 4 },
  u64: { number: 4, bytes: 8 },
  i64: { number: 5, bytes: 8 },
  f16: { number: 6, bytes: 2 },
  f32: { number: 7, bytes: 4 },
  f64: { number: 8, bytes: 8 },
  bf16: { number: 9, bytes: 2 },
  tf32: { number: 11, bytes: 4 }
} as const
export type DType = keyof typeof dtypes

const swizzles = { none: 0, "32B": 1, "64B": 2, "128B": 3 } as const
const promotions = { none: 0, "64B": 1, "128B": 2, "256B": 3 } as const
const interleaves = { none: 0, "16B": 1, "32B": 2 } as const

interface Common {
  readonly buffer: Buffer
  readonly offset?: number
  readonly access?: Access
  readonly dtype: DType
  readonly dims: ReadonlyArray<number>
  readonly strides: ReadonlyArray<number>
  readonly elementStrides?: ReadonlyArray<number>
  readonly interleave?: keyof typeof interleaves
  readonly swizzle?: keyof typeof swizzles
  readonly l2Promotion?: keyof typeof promotions
  /** Out-of-bounds elements read as NaN instead of zero. */
  readonly nanFill?: boolean
}

export interface Tiled extends Common {
  /** Elements of a box in each dimension, 1 to 256. */
  readonly box: ReadonlyArray<number>
}

/** For convolutions over NHWC (and its one- and three-dimensional kin): dims are C, W, H, N. */
export interface Im2col extends Common {
  readonly lowerCorner: ReadonlyArray<number>
  readonly upperCorner: ReadonlyArray<number>
  readonly channelsPerPixel: number
  readonly pixelsPerColumn: number
}

export type TensorMap = Omit<TensorMapParameter, "at">

const common = (map: Common): TensorMap => {
  const element = dtypes[map.dtype].bytes
  // The bytes from the first element to the end of the last one.
  const reach = map.dims.reduce(
    (sum, size, axis) => sum + (size - 1) * (axis === 0 ? element : (map.strides[axis - 1] ?? 0)),
    element
  )
  return {
    buffer: map.buffer.handle,
    offset: map.offset ?? 0,
    bytes: reach,
    access: map.access ?? "read",
    dtype: dtypes[map.dtype].number,
    rank: map.dims.length,
    dims: map.dims,
    strides: map.strides,
    elementStrides: map.elementStrides ?? map.dims.map(() => 1),
    interleave: interleaves[map.interleave ?? "none"],
    swizzle: swizzles[map.swizzle ?? "none"],
    l2Promotion: promotions[map.l2Promotion ?? "none"],
    oobFill: map.nanFill === true ? 1 : 0
  }
}

export const tiled = (map: Tiled): TensorMap => ({ ...common(map), box: map.box })

export const im2col = (map: Im2col): TensorMap => ({
  ...common(map),
  lowerCorner: map.lowerCorner,
  upperCorner: map.upperCorner,
  channelsPerPixel: map.channelsPerPixel,
  pixelsPerColumn: map.pixelsPerColumn
})
