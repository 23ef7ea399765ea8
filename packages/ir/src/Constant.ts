// A constant is a lazy reference: digest, dtype and shape are known, the bytes are read when asked for.
//
// The digest is of the bytes as files keep them (`Tensor.toBytes`), so equal weights are stored once whatever their
// shape. Passes read through a `Reader`, which notes what they read: a cache entry holds a rewrite with those digests.
import type { DType } from "./DType.ts"
import * as DTypes from "./DType.ts"
import { sha256 } from "./Digest.ts"
import { refuse } from "./Errors.ts"
import * as Tensor from "./Tensor.ts"

export interface Constant {
  /** SHA-256 of the packed little-endian bytes. */
  readonly digest: string
  readonly dtype: DType
  readonly shape: ReadonlyArray<number>
  /** Reads the bytes; throws `IrError` (`ConstantUnavailable`) when the source is gone. */
  readonly bytes: () => Uint8Array
}

/** A constant over a tensor in memory. */
export const fromTensor = (tensor: Tensor.Tensor): Constant => {
  const bytes = Tensor.toBytes(tensor)
  return { digest: sha256(bytes), dtype: tensor.dtype, shape: tensor.shape, bytes: () => bytes }
}

/** A constant whose bytes are read later. */
export const lazy = (
  digest: string,
  dtype: DType,
  shape: ReadonlyArray<number>,
  bytes: () => Uint8Array
): Constant => ({ digest, dtype, shape, bytes })

/** The same bytes under another shape. */
export const reshaped = (constant: Constant, shape: ReadonlyArray<number>): Constant =>
  Tensor.size(shape) === Tensor.size(constant.shape)
    ? { ...constant, shape }
    : refuse("BadTensor", `a constant of [${constant.shape.join()}] has no shape [${shape.join()}]`)

/** Number of bytes in a file. */
export const byteLength = (constant: Constant): number => DTypes.byteLength(constant.dtype, Tensor.size(constant.shape))

/** The tensor; checks that the source gave as many bytes as the type says. */
export const load = (constant: Constant): Tensor.Tensor =>
  Tensor.fromBytes(constant.dtype, constant.shape, constant.bytes())

/** Reads constants and remembers which. */
export interface Reader {
  readonly read: (constant: Constant) => Tensor.Tensor
  /** Digests read so far, sorted. */
  readonly digests: () => ReadonlyArray<string>
}

export const makeReader = (): Reader => {
  const seen = new Set<string>()
  return {
    read: (constant) => {
      seen.add(constant.digest)
      return load(constant)
    },
    digests: () => [...seen].sort()
  }
}
