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

/**
 * The largest block whose going glibc's malloc learns from: then it keeps twice as much freed memory, instead of giving it back to
 * the system at once.
 */
const learntFrom = 2 ** 25 - 2 ** 16

/**
 * Before the first result of so many bytes: large blocks will come and go. Else each result may be of pages that are new to the
 * process, which costs more than the products of 512³. A block that nobody touches comes and goes; that takes no memory.
 */
export const announce = (bytes: number): void => {
  if (bytes < large || typeof Buffer === "undefined") return
  const { buffer } = Buffer.allocUnsafeSlow(learntFrom)
  if (buffer instanceof ArrayBuffer && "transfer" in buffer) buffer.transfer(0)
}

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
