// What this package refuses, and why: bytes that are no ONNX model, tensors whose data does not fit their type, weights
// that lie outside the model's folder.
//
// Plain functions throw an `OnnxError`; the Effects of this package fail with it.
import * as Schema from "effect/Schema"

/** An operator that cannot be imported. */
export const UnsupportedOperator = Schema.Struct({
  /** Path of the node: `/encoder/MatMul_3`, `If_2.then/Foo_0`. */
  path: Schema.String,
  domain: Schema.String,
  operator: Schema.String,
  opset: Schema.Number,
  /** Types of the inputs as far as they are known: `f32[batch, 3]`, `?`. */
  inputs: Schema.Array(Schema.String),
  /** What exactly is missing; empty when the operator is not known at all. */
  detail: Schema.String,
  /** What would help. */
  help: Schema.String
})
export type UnsupportedOperator = typeof UnsupportedOperator.Type

export const UnsupportedType = Schema.Struct({ where: Schema.String, type: Schema.String })
export type UnsupportedType = typeof UnsupportedType.Type

export const BadNode = Schema.Struct({ path: Schema.String, operator: Schema.String, detail: Schema.String })
export type BadNode = typeof BadNode.Type

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
  Schema.TaggedStruct("ExternalData", { tensor: Schema.String, location: Schema.String, detail: Schema.String }),
  /** Inputs whose rank the model does not say. */
  Schema.TaggedStruct("InputShapes", { inputs: Schema.Array(Schema.String) }),
  /** Shapes given for inputs that do not fit what the model says. */
  Schema.TaggedStruct("WrongShapes", { problems: Schema.Array(Schema.String) }),
  /** Operators, or uses of them, without a translation: all of them. */
  Schema.TaggedStruct("UnsupportedOperators", { operators: Schema.Array(UnsupportedOperator) }),
  /** Element or value types without a counterpart in the IR: all of them, each with where it is used. */
  Schema.TaggedStruct("UnsupportedTypes", { uses: Schema.Array(UnsupportedType) }),
  /** Nodes that break their operator's rules: all of them. */
  Schema.TaggedStruct("BadNodes", { nodes: Schema.Array(BadNode) }),
  /** A node that ONNX cannot say. */
  Schema.TaggedStruct("NotExportable", { node: Schema.String, op: Schema.String, detail: Schema.String })
])
export type Reason = typeof Reason.Type

const list = (count: number, unit: string): string => `${count} ${count === 1 ? unit.slice(0, -1) : unit}`

const lines = (texts: ReadonlyArray<string>): string => texts.map((text) => `\n  ${text}`).join("")
const quoted = (names: ReadonlyArray<string>): string => names.map((name) => `"${name}"`).join(", ")
const operatorText = (use: UnsupportedOperator): string => {
  const name = use.domain === "" || use.domain === "ai.onnx" ? use.operator : `${use.domain}.${use.operator}`
  const what = use.detail === "" ? "there is no translation" : use.detail
  return `${use.path}: ${name} (opset ${use.opset}) of ${use.inputs.join(", ") || "no inputs"}: ${what}. ${use.help}`
}

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
    case "InputShapes":
      return (
        `the model does not say how many axes ${quoted(reason.inputs)} ${reason.inputs.length === 1 ? "has" : "have"}. ` +
        `Give shapes: --shapes ${reason.inputs.map((name) => `${name}:1x3x224x224`).join(" ")} (numbers or names)`
      )
    case "WrongShapes":
      return `the shapes given do not fit the model:${lines(reason.problems)}`
    case "UnsupportedOperators":
      return `${list(reason.operators.length, "nodes")} cannot be imported:${lines(reason.operators.map(operatorText))}`
    case "UnsupportedTypes":
      return `types that cannot be imported:${lines(reason.uses.map((use) => `${use.where} is ${use.type}`))}`
    case "NotExportable":
      return `${reason.node} cannot be written as ONNX: ${reason.detail}`
    case "BadNodes":
      return `the model is not as ONNX says:${lines(reason.nodes.map((node) => `${node.path} (${node.operator}): ${node.detail}`))}`
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
