// A sparse initializer as a dense one: values [5, 7] at indices [1, 3] of a [4] ⇒ [0, 5, 0, 7].
//
// Source: SparseTensorProto in the ONNX IR specification. Indices are linear, `[NNZ]`, or coordinates, `[NNZ, rank]`.
import type { SparseTensorProto } from "./gen/onnx_pb.ts"
import { refuse } from "./OnnxError.ts"
import * as Tensor from "./TensorProto.ts"

/** The dense tensor's header and bytes. Throws `OnnxError` for values, indices or a shape that do not go together. */
export const toDense = (
  proto: SparseTensorProto,
  source = ""
): { readonly header: Tensor.Header; readonly bytes: Uint8Array } => {
  const { values, indices } = proto
  const name = values?.name ?? ""
  const bad = (detail: string) => refuse(source, { _tag: "BadTensor", tensor: name, detail: `sparse: ${detail}` })
  if (values === undefined || indices === undefined) return bad("values or indices are missing")
  const stored = Tensor.header(values, source)
  const where = Tensor.header(indices, source)
  if (stored.type.bits < 8) return bad(`${stored.type.name} cannot be stored sparsely`)
  if (where.type.name !== "int64") return bad(`its indices are ${where.type.name}, not int64`)
  const dims = proto.dims.map(Number)
  const count = stored.size
  const linear = where.dims.length === 1 && where.dims[0] === count
  const coordinates = where.dims.length === 2 && where.dims[0] === count && where.dims[1] === dims.length
  if (stored.dims.length !== 1 || (!linear && !coordinates))
    return bad(`values ${Tensor.typeText(stored)} and indices ${Tensor.typeText(where)} do not go together`)
  const size = dims.reduce((product, dim) => product * dim, 1)
  const width = stored.type.bits / 8
  const source64 = Tensor.aligned(Tensor.bytes(indices, source), 8)
  const at = new BigInt64Array(source64.buffer, source64.byteOffset, where.size)
  const elements = Tensor.bytes(values, source)
  const bytes = new Uint8Array(size * width)
  for (let i = 0; i < count; i++) {
    let index = 0
    if (linear) index = Number(at[i])
    else
      for (let axis = 0; axis < dims.length; axis++) {
        const coordinate = Number(at[i * dims.length + axis])
        const extent = dims[axis] ?? 0
        if (coordinate < 0 || coordinate >= extent)
          return bad(`index ${coordinate} is outside axis ${axis} of ${extent}`)
        index = index * extent + coordinate
      }
    if (index < 0 || index >= size) return bad(`index ${index} is outside its shape [${dims.join(",")}]`)
    bytes.set(elements.subarray(i * width, (i + 1) * width), index * width)
  }
  return { header: { ...stored, dims, size, byteLength: bytes.byteLength }, bytes }
}
