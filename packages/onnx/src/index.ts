// ONNX in and out.
export * as DataType from "./DataType.ts"
export * as ExternalData from "./ExternalData.ts"
export { OnnxError } from "./OnnxError.ts"
export * as Proto from "./gen/onnx_pb.ts"
export * as SparseTensorProto from "./SparseTensorProto.ts"
export * as TensorProto from "./TensorProto.ts"
export * as Wire from "./Wire.ts"
