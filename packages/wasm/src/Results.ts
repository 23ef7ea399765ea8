/**
 * Results: outputs as the caller gets them: copies of their own, since the memory that they lie in is written by the next run.
 */
import type { DType, TypedArray } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type * as Tensor from "@anneal/ir/Tensor"

/** Bytes from which memory that nobody clears first is worth asking for. */
const large = 65_536

/** Memory of exactly so many bytes that may hold anything, where the host gives such; every byte of it is written here. */
const raw = (bytes: number): ArrayBufferLike | undefined =>
  typeof Buffer === "undefined" ? undefined : Buffer.allocUnsafeSlow(bytes).buffer

const copyOf = (dtype: DType, data: TypedArray): TypedArray => {
  const buffer = data.byteLength < large ? undefined : raw(data.byteLength)
  if (buffer === undefined) return data.slice()
  new Uint8Array(buffer).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  return DTypes.view(dtype, buffer, 0, data.length)
}

/** An output that is the caller's own. */
export const tensor = ({
  data,
  dtype,
  shape
}: {
  readonly data: TypedArray
  readonly dtype: DType
  readonly shape: ReadonlyArray<number>
}): Tensor.Tensor => ({ dtype, shape, data: copyOf(dtype, data) })
