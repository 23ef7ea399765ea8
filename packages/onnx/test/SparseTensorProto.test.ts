import { assert, describe, it } from "@effect/vitest"
import { create } from "@bufbuild/protobuf"
import { SparseTensorProtoSchema } from "@anneal/onnx/gen/onnx_pb"
import * as Sparse from "@anneal/onnx/SparseTensorProto"
import { failure } from "./Failure.ts"

const bytes = (data: ArrayBufferView): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
const make = (indexDims: ReadonlyArray<bigint>, indices: ReadonlyArray<bigint>) =>
  create(SparseTensorProtoSchema, {
    values: { name: "w", dims: [2n], dataType: 1, rawData: bytes(Float32Array.of(5, 7)) },
    indices: { dims: [...indexDims], dataType: 7, rawData: bytes(BigInt64Array.from(indices)) },
    dims: [2n, 3n]
  })
const dense = (proto: ReturnType<typeof make>) => {
  const { bytes: data, header } = Sparse.toDense(proto)
  assert.deepStrictEqual(header.dims, [2, 3])
  assert.strictEqual(header.byteLength, 24)
  return [...new Float32Array(data.buffer, data.byteOffset, 6)]
}

describe("SparseTensorProto", () => {
  it("spreads values over linear indices and over coordinates", () => {
    assert.deepStrictEqual(dense(make([2n], [1n, 5n])), [0, 5, 0, 0, 0, 7])
    assert.deepStrictEqual(dense(make([2n, 2n], [0n, 2n, 1n, 0n])), [0, 0, 5, 7, 0, 0])
  })

  it("refuses indices outside the shape or of another count", () => {
    assert.match(failure(() => dense(make([2n], [1n, 6n]))).message, /index 6 is outside/)
    assert.match(failure(() => dense(make([2n, 2n], [0n, 3n, 1n, 0n]))).message, /outside axis 1/)
    assert.match(failure(() => dense(make([3n], [0n, 1n, 2n]))).message, /do not go together/)
  })
})
