/**
 * NumPy's `.npy` files, versions 1 to 3, read and written.
 *
 *   "\x93NUMPY" 1 0, {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  ⇔  f32[2, 3]
 *
 * Either byte order and either memory order is read; little-endian C order is written.
 * Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Numbers from "@anneal/ir/Numbers"
import * as Tensor from "@anneal/ir/Tensor"
import { refuse } from "./NpyError.ts"

const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]

/** NumPy's names; the types that are not here have none. */
const descriptors: ReadonlyMap<DType, string> = new Map([
  ["bool", "|b1"],
  ["i8", "|i1"],
  ["u8", "|u1"],
  ["i16", "<i2"],
  ["u16", "<u2"],
  ["i32", "<i4"],
  ["u32", "<u4"],
  ["i64", "<i8"],
  ["u64", "<u8"],
  ["f16", "<f2"],
  ["f32", "<f4"],
  ["f64", "<f8"]
])
const dtypes: ReadonlyMap<string, DType> = new Map([...descriptors].map(([dtype, text]) => [text.slice(1), dtype]))

/** Whether a tensor of this type can be written as it is. */
export const holds = (dtype: DType): boolean => descriptors.has(dtype)

/** The same values in the nearest type that NumPy has; nothing is lost. `bf16` and `fp8` become f32, 4-bit integers 8-bit. */
export const widened = (tensor: Tensor.Tensor): Tensor.Tensor => {
  if (holds(tensor.dtype)) return tensor
  const dtype = tensor.dtype === "i4" ? "i8" : tensor.dtype === "u4" ? "u8" : "f32"
  return Numbers.fromNumbers(dtype, tensor.shape, Numbers.toNumbers(tensor))
}

/** The file of a tensor. Throws `NpyError` for a type that NumPy lacks; see `widened`. */
export const encode = (tensor: Tensor.Tensor, file = "the tensor"): Uint8Array => {
  const descr =
    descriptors.get(tensor.dtype) ?? refuse(file, "dtype", `NumPy has no ${tensor.dtype}; widen or cast it first`)
  const shape = tensor.shape.length === 1 ? `${tensor.shape[0] ?? 0},` : tensor.shape.join(", ")
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape}), }`
  // The data starts at a multiple of 64; the header ends in a newline.
  const short = Math.ceil((10 + text.length + 1) / 64) * 64
  const version = short - 10 < 2 ** 16 ? 1 : 2
  const start = version === 1 ? short : Math.ceil((12 + text.length + 1) / 64) * 64
  const body = Tensor.toBytes(tensor)
  const bytes = new Uint8Array(start + body.length).fill(0x20, 0, start)
  bytes.set(magic)
  bytes.set([version, 0], 6)
  const view = new DataView(bytes.buffer)
  const lengthBytes = version === 1 ? 2 : 4
  if (version === 1) view.setUint16(8, start - 10, true)
  else view.setUint32(8, start - 12, true)
  bytes.set(new TextEncoder().encode(text), 8 + lengthBytes)
  bytes[start - 1] = 0x0a
  bytes.set(body, start)
  return bytes
}

/** The tensor of a file. Throws `NpyError`: no `.npy`, truncated, a type that tensors lack, bytes left over. */
export const parse = (bytes: Uint8Array, file = "the file"): Tensor.Tensor => {
  if (bytes.length < 10 || magic.some((byte, index) => bytes[index] !== byte))
    return refuse(file, "bytes 0..6", "this is no .npy file (they start with \\x93NUMPY)")
  const version = bytes[6] ?? 0
  if (version < 1 || version > 3) return refuse(file, "bytes 6..8", `version ${version} is not 1, 2 or 3`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (version > 1 && bytes.length < 12) return refuse(file, "header", "the file ends inside its length")
  const [begin, length] = version === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)]
  const start = begin + length
  if (bytes.length < start) return refuse(file, "header", `it ends at byte ${start}, the file at byte ${bytes.length}`)
  const text = new TextDecoder(version === 3 ? "utf-8" : "latin1").decode(bytes.subarray(begin, start))
  const { big, dtype, fortran, shape } = readHeader(text, file)
  const count = Tensor.size(shape)
  const expected = DTypes.byteLength(dtype, count)
  const body = bytes.subarray(start)
  if (body.length !== expected)
    return refuse(
      file,
      `bytes ${start}..${bytes.length}`,
      `${dtype}[${shape.join()}] takes ${expected} bytes, the file has ${body.length}`
    )
  const ordered = big ? swapped(body, DTypes.slotBytes(dtype)) : body
  if (!fortran || shape.length < 2) return Tensor.fromBytes(dtype, shape, ordered)
  return fromFortran(Tensor.fromBytes(dtype, [...shape].reverse(), ordered), shape)
}

const readHeader = (text: string, file: string) => {
  const field = (name: string, value: RegExp): string =>
    new RegExp(`['"]${name}['"]\\s*:\\s*(${value.source})`).exec(text)?.[1] ??
    refuse(file, "header", `it has no ${name} of the form that a plain array has: ${text.trim()}`)
  const descr = field("descr", /['"][^'"]*['"]/).slice(1, -1)
  const dtype =
    dtypes.get(descr.slice(1)) ??
    refuse(file, "header", `dtype ${descr} has no counterpart; convert it to one of ${[...dtypes.keys()].join(", ")}`)
  const inside = field("shape", /\([^)]*\)/).slice(1, -1)
  const shape = inside
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part) =>
      /^\d+$/.test(part) ? Number(part) : refuse(file, "header", `shape (${inside}) is not a list of sizes`)
    )
  return { big: descr.startsWith(">"), dtype, fortran: field("fortran_order", /True|False/) === "True", shape }
}

/** Little-endian elements from big-endian ones. */
const swapped = (bytes: Uint8Array, width: number): Uint8Array => {
  const result = new Uint8Array(bytes.length)
  for (let i = 0; i < bytes.length; i += width)
    for (let byte = 0; byte < width; byte++) result[i + byte] = bytes[i + width - 1 - byte] ?? 0
  return result
}

/** Row-major elements from column-major ones; `columns` has the shape reversed. */
const fromFortran = (columns: Tensor.Tensor, shape: ReadonlyArray<number>): Tensor.Tensor => {
  const steps = Tensor.strides(columns.shape).reverse()
  const result = Tensor.zeros(columns.dtype, shape)
  const place = new Array<number>(shape.length).fill(0)
  let from = 0
  for (let i = 0; i < result.data.length; i++) {
    result.data[i] = columns.data[from] ?? 0
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const step = steps[axis] ?? 0
      const next = (place[axis] ?? 0) + 1
      from += step
      if (next < (shape[axis] ?? 0)) {
        place[axis] = next
        break
      }
      place[axis] = 0
      from -= step * next
    }
  }
  return result
}
