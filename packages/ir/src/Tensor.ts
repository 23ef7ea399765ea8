// A tensor in memory: dtype, shape, and a typed array in row-major order. The unit that kernels, samples, constants and
// sessions exchange.
import * as DType from "./DType.ts"
import { refuse } from "./Errors.ts"

export interface Tensor<D extends DType.DType = DType.DType> {
  readonly dtype: D
  /** Extents, outermost first; `[]` is a scalar. */
  readonly shape: ReadonlyArray<number>
  /** Row-major, one element a slot; narrow floats as bits. Treat as read-only once shared. */
  readonly data: DType.TypedArray
}

/** Number of elements of a shape. */
export const size = (shape: ReadonlyArray<number>): number => {
  let count = 1
  for (const extent of shape) count *= extent
  return count
}

/** Row-major strides in elements. `[2, 3, 4]` → `[12, 4, 1]`. */
export const strides = (shape: ReadonlyArray<number>): Array<number> => {
  const result = new Array<number>(shape.length)
  let step = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    result[axis] = step
    step *= shape[axis] ?? 1
  }
  return result
}

/** A tensor over given storage; refuses another array type or another length. */
export const make = <D extends DType.DType>(
  dtype: D,
  shape: ReadonlyArray<number>,
  data: DType.TypedArray
): Tensor<D> => {
  if (!DType.stores(dtype, data))
    return refuse("BadTensor", `${dtype} data cannot be held by a ${data.constructor.name}`)
  const count = size(shape)
  if (data.length !== count)
    return refuse("BadTensor", `shape [${shape.join()}] needs ${count} elements, the data has ${data.length}`)
  return { dtype, shape, data }
}

export const zeros = <D extends DType.DType>(dtype: D, shape: ReadonlyArray<number>): Tensor<D> => ({
  dtype,
  shape,
  data: DType.allocate(dtype, size(shape))
})

/** The same data under another shape of equally many elements; nothing is copied. */
export const reshaped = (tensor: Tensor, shape: ReadonlyArray<number>): Tensor => make(tensor.dtype, shape, tensor.data)

/** The parts along the first axis, each a batch of one: `[3, 2]` → three of `[1, 2]`. Nothing is copied. */
export const rows = ({ data, dtype, shape }: Tensor): ReadonlyArray<Tensor> => {
  const [count = 1, ...rest] = shape
  const each = size(rest)
  return Array.from({ length: count }, (_, row) =>
    make(dtype, [1, ...rest], data.subarray(row * each, (row + 1) * each))
  )
}

/**
 * The bytes as files keep them: little-endian, sub-byte integers packed two a byte (low nibble first). A view where
 * the storage already has that form.
 */
export const toBytes = (tensor: Tensor): Uint8Array => {
  const { data, dtype } = tensor
  if (dtype !== "i4" && dtype !== "u4") return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  const packed = new Uint8Array(DType.byteLength(dtype, data.length))
  for (let i = 0; i < data.length; i++) {
    const nibble = Number(data[i]) & 0xf
    packed[i >> 1] = (packed[i >> 1] ?? 0) | (nibble << (4 * (i & 1)))
  }
  return packed
}

/** The inverse of `toBytes`. Copies only to unpack or to align; refuses a wrong length. */
export const fromBytes = <D extends DType.DType>(
  dtype: D,
  shape: ReadonlyArray<number>,
  bytes: Uint8Array
): Tensor<D> => {
  const count = size(shape)
  const expected = DType.byteLength(dtype, count)
  if (bytes.byteLength !== expected)
    return refuse("BadTensor", `${dtype}[${shape.join()}] takes ${expected} bytes, ${bytes.byteLength} were given`)
  if (dtype === "i4" || dtype === "u4") {
    const data = DType.allocate(dtype, count)
    for (let i = 0; i < count; i++) {
      const nibble = ((bytes[i >> 1] ?? 0) >> (4 * (i & 1))) & 0xf
      data[i] = dtype === "i4" && nibble > 7 ? nibble - 16 : nibble
    }
    return { dtype, shape, data }
  }
  const aligned = bytes.byteOffset % DType.slotBytes(dtype) === 0 ? bytes : new Uint8Array(bytes)
  return { dtype, shape, data: DType.view(dtype, aligned.buffer, aligned.byteOffset, count) }
}
