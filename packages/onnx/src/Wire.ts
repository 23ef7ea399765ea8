// ONNX files to messages and back: `model.onnx` ⇒ ModelProto, `input_0.pb` ⇒ TensorProto.
//
// Decoding copies no weights: every `bytes` field of the result is a view of the bytes that were handed in, so keep those
// unchanged for as long as the message is used.
import type { DescMessage, MessageShape } from "@bufbuild/protobuf"
import { fromBinary, toBinary } from "@bufbuild/protobuf"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { ModelProto, OptionalProto, SequenceProto, TensorProto } from "./gen/onnx_pb.ts"
import { ModelProtoSchema, OptionalProtoSchema, SequenceProtoSchema, TensorProtoSchema } from "./gen/onnx_pb.ts"
import * as ForeignFile from "./ForeignFile.ts"
import { OnnxError, orThrow, refuse } from "./OnnxError.ts"
import * as WireFormat from "./WireFormat.ts"

/** The operator sets that this package knows, by domain ("" is ai.onnx), with their newest version. */
export const newestOpsets: ReadonlyArray<{ readonly domain: string; readonly version: number }> = [
  { domain: "", version: 27 },
  { domain: "ai.onnx", version: 27 },
  { domain: "ai.onnx.ml", version: 5 }
]

/** A model with the place that it came from: external data lies beside it. */
export interface ModelFile {
  readonly model: ModelProto
  readonly path: string
}

/** A message from its bytes; `source` names them in errors. Throws `OnnxError`. */
export const decodeMessage = <Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
  source: string
): MessageShape<Desc> => {
  WireFormat.check(schema, bytes, source)
  // A Buffer's views would be Buffers, whose `slice` is no copy: nobody downstream should have to know.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return fromBinary(schema, plain, { recursionLimit: WireFormat.maxDepth + 1 })
}

/** A model from its bytes. Throws `OnnxError`: `NotProtobuf`, `Truncated`, `NotOnnx` or `OpsetTooNew`. */
export const decodeModel = (bytes: Uint8Array, source: string): ModelProto => {
  const foreign = ForeignFile.recognise(bytes)
  if (foreign !== undefined) return refuse(source, { _tag: "NotProtobuf", place: "", offset: 0, detail: foreign })
  return checkModel(decodeMessage(ModelProtoSchema, bytes, source), source)
}

/** A tensor of a conformance case (`input_0.pb`). Throws `OnnxError`. */
export const decodeTensor = (bytes: Uint8Array, source: string): TensorProto =>
  decodeMessage(TensorProtoSchema, bytes, source)

/** A sequence of a conformance case. Throws `OnnxError`. */
export const decodeSequence = (bytes: Uint8Array, source: string): SequenceProto =>
  decodeMessage(SequenceProtoSchema, bytes, source)

/** An optional value of a conformance case. Throws `OnnxError`. */
export const decodeOptional = (bytes: Uint8Array, source: string): OptionalProto =>
  decodeMessage(OptionalProtoSchema, bytes, source)

const checkModel = (model: ModelProto, source: string): ModelProto => {
  const notOnnx = (detail: string) => refuse(source, { _tag: "NotOnnx", detail })
  if (model.graph === undefined)
    return notOnnx("it has no graph (a tensor, a training checkpoint or another protobuf file has none)")
  if (model.irVersion <= 0n) return notOnnx(`its IR version is ${model.irVersion}`)
  if (model.irVersion >= 3n && model.opsetImport.length === 0) return notOnnx("it names no operator set")
  for (const opset of model.opsetImport) {
    const newest = newestOpsets.find((known) => known.domain === opset.domain)
    if (newest !== undefined && opset.version > BigInt(newest.version))
      return refuse(source, {
        _tag: "OpsetTooNew",
        domain: opset.domain === "" ? "ai.onnx" : opset.domain,
        version: Number(opset.version),
        newest: newest.version
      })
  }
  return model
}

/** Reads a model file. The file is held in memory once; external data is not touched. */
export const read = (path: string): Effect.Effect<ModelFile, OnnxError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const bytes = yield* fs
      .readFile(path)
      .pipe(
        Effect.mapError(
          (cause) => new OnnxError({ source: path, reason: { _tag: "Unreadable", detail: cause.message } })
        )
      )
    const model = yield* Effect.try({ try: () => decodeModel(bytes, path), catch: orThrow })
    return { model, path }
  })

/** The bytes of a model; a message that was decoded and not changed gives the bytes that it came from. */
export const encodeModel = (model: ModelProto): Uint8Array => toBinary(ModelProtoSchema, model)
