// Tensors of the golden files: `.npy` version 1, little-endian, C order.
import { readFileSync } from "node:fs"
import type { DType } from "@anneal/ir/DType"
import * as Tensors from "@anneal/ir/Tensor"

const dtypes: ReadonlyMap<string, DType> = new Map([
  ["<f4", "f32"],
  ["<f8", "f64"],
  ["<i8", "i64"],
  ["<i4", "i32"],
  ["|u1", "u8"],
  ["|i1", "i8"],
  ["|b1", "bool"]
])

export const read = (path: string): Tensors.Tensor => {
  const bytes = new Uint8Array(readFileSync(path))
  const length = (bytes[8] ?? 0) + 256 * (bytes[9] ?? 0)
  const header = new TextDecoder().decode(bytes.subarray(10, 10 + length))
  const dtype = dtypes.get(/'descr': '([^']+)'/.exec(header)?.[1] ?? "")
  const shape = /'shape': \(([^)]*)\)/.exec(header)?.[1]
  if (dtype === undefined || shape === undefined || /'fortran_order': True/.test(header))
    throw new Error(`${path}: ${header}`)
  const extents = shape.split(",").flatMap((part) => (part.trim() === "" ? [] : [Number(part)]))
  return Tensors.fromBytes(dtype, extents, bytes.subarray(10 + length))
}
