// A TensorProto as a tensor of the IR, for data beside a model (the inputs of conformance cases, calibration samples).
import * as Tensors from "@anneal/ir/Tensor"
import * as ElementType from "./ElementType.ts"
import type { TensorProto } from "./gen/onnx_pb.ts"
import * as Tensor from "./TensorProto.ts"

/** The tensor; undefined when the IR has no such element type. Throws `OnnxError` for data that do not fit the type. */
export const toTensor = (proto: TensorProto, source = ""): Tensors.Tensor | undefined => {
  const header = Tensor.header(proto, source)
  const dtype = ElementType.fromCode(header.type.code)
  return dtype === undefined ? undefined : Tensors.fromBytes(dtype, header.dims, Tensor.bytes(proto, source))
}
