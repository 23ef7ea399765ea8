// What this package refuses, and why: bytes that are no ONNX model, tensors whose data does not fit their type, weights
// that lie outside the model's folder.
//
// Plain functions throw an `OnnxError`; the Effects of this package fail with it.
import * as Schema from "effect/Schema"

/** What is wrong with the file or the tensor. `place` is a path in the message tree: `graph.initializer[3] "w".raw_data`. */
export const Reason = Schema.Union([
  /** The file cannot be read at all. */
  Schema.TaggedStruct("Unreadable", { detail: Schema.String }),
  /** The bytes are not a protobuf message of the expected kind. `offset` is where reading stopped. */
  Schema.TaggedStruct("NotProtobuf", { place: Schema.String, offset: Schema.Number, detail: Schema.String }),
  /** The bytes end inside a record that announces more. `missing` counts bytes. */
  Schema.TaggedStruct("Truncated", { place: Schema.String, offset: Schema.Number, missing: Schema.Number }),
  /** A protobuf message, but no ONNX model. */
  Schema.TaggedStruct("NotOnnx", { detail: Schema.String }),
  /** An operator set newer than this package knows. */
  Schema.TaggedStruct("OpsetTooNew", { domain: Schema.String, version: Schema.Number, newest: Schema.Number }),
  /** A tensor whose data has another length than its shape and type say. `unit` is "bytes" or "elements". */
  Schema.TaggedStruct("TensorLength", {
    tensor: Schema.String,
    type: Schema.String,
    field: Schema.String,
    unit: Schema.Literals(["bytes", "elements"]),
    expected: Schema.Number,
    found: Schema.Number
  }),
  /** A tensor whose type, shape or storage makes no sense. */
  Schema.TaggedStruct("BadTensor", { tensor: Schema.String, detail: Schema.String }),
  /** Weights kept beside the model that are absent, too short, or outside the model's folder. */
  Schema.TaggedStruct("ExternalData", { tensor: Schema.String, location: Schema.String, detail: Schema.String })
])
export type Reason = typeof Reason.Type

const list = (count: number, unit: string): string => `${count} ${count === 1 ? unit.slice(0, -1) : unit}`

const describe = (reason: Reason): string => {
  switch (reason._tag) {
    case "Unreadable":
      return `cannot be read: ${reason.detail}`
    case "NotProtobuf":
      return `not an ONNX file: ${reason.detail} (byte ${reason.offset}${reason.place === "" ? "" : `, in ${reason.place}`})`
    case "Truncated":
      return (
        `the file is cut short: it ends at byte ${reason.offset}, inside ${reason.place}, at least ` +
        `${list(reason.missing, "bytes")} missing. Copy or download it again`
      )
    case "NotOnnx":
      return `not an ONNX model: ${reason.detail}`
    case "OpsetTooNew":
      return (
        `the model uses opset ${reason.version} of ${reason.domain}; the newest one known here is ${reason.newest}. ` +
        `Export it with opset ${reason.newest} or older`
      )
    case "TensorLength":
      return (
        `tensor "${reason.tensor}" is ${reason.type}, which takes ${list(reason.expected, reason.unit)}, but its ` +
        `${reason.field} holds ${list(reason.found, reason.unit)}`
      )
    case "BadTensor":
      return `tensor "${reason.tensor}": ${reason.detail}`
    case "ExternalData":
      return `tensor "${reason.tensor}" keeps its data in the file "${reason.location}": ${reason.detail}`
  }
}

/** A failure of reading or writing ONNX. `source` names the file (or what else the bytes came from). */
export class OnnxError extends Schema.TaggedError<OnnxError>()("OnnxError", {
  source: Schema.String,
  reason: Reason
}) {
  override get message(): string {
    return this.source === "" ? describe(this.reason) : `${this.source}: ${describe(this.reason)}`
  }
}

/** Throws an `OnnxError`; an expression, so that it can stand where a value is expected. */
export const refuse = (source: string, reason: Reason): never => {
  throw new OnnxError({ source, reason })
}

/** The error itself where `cause` is an `OnnxError`; anything else is a defect and is thrown again. */
export const orThrow = (cause: unknown): OnnxError => {
  if (cause instanceof OnnxError) return cause
  throw cause
}
