// The cases of an archive of ONNX backend tests: a folder each, with `model.onnx` and `test_data_set_N/{input,output}_I.pb`.
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import * as DataType from "@anneal/onnx/DataType"
import * as Tensor from "@anneal/onnx/TensorProto"
import * as Wire from "@anneal/onnx/Wire"
import type { ModelProto, OptionalProto, SequenceProto, TensorProto, TypeProto } from "@anneal/onnx/gen/onnx_pb"

/** A value that goes in or comes out. An optional without a value is `{ kind: "none" }`. */
export type Value =
  | { readonly kind: "tensor"; readonly tensor: TensorProto }
  | { readonly kind: "sequence"; readonly values: ReadonlyArray<Value> }
  | { readonly kind: "none" }
  | { readonly kind: "unsupported"; readonly what: string }

/** One run of the model: its inputs and outputs, in the order of the graph's own lists. */
export interface DataSet {
  readonly inputs: ReadonlyArray<Value>
  readonly outputs: ReadonlyArray<Value>
}

export interface Case {
  readonly name: string
  readonly folder: string
  readonly model: ModelProto
  readonly dataSets: ReadonlyArray<DataSet>
}

/** Unpacks an archive into a new folder under the system's temporary one, and gives its path. Needs `tar` and `xz`. */
export const unpack = (archive: string): string => {
  const folder = mkdtempSync(join(tmpdir(), "onnx-cases-"))
  execFileSync("tar", ["-xf", archive, "-C", folder], { stdio: ["ignore", "ignore", "inherit"] })
  return folder
}

/** Removes what `unpack` made. */
export const discard = (folder: string): void => rmSync(folder, { recursive: true, force: true })

/** The folders below `root` that hold a `model.onnx`, sorted by name. */
export const list = (root: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  for (const entry of readdirSync(root, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue
    const folder = join(root, entry.name)
    if (existsSync(join(folder, "model.onnx"))) found.push(folder)
    else found.push(...list(folder))
  }
  return found.sort((a, b) => (basename(a) < basename(b) ? -1 : 1))
}

const fromSequence = (proto: SequenceProto): Value => {
  switch (proto.elemType) {
    case 0:
    case 1:
      return { kind: "sequence", values: proto.tensorValues.map((tensor) => ({ kind: "tensor", tensor })) }
    case 3:
      return { kind: "sequence", values: proto.sequenceValues.map(fromSequence) }
    case 5:
      return { kind: "sequence", values: proto.optionalValues.map(fromOptional) }
    default:
      return { kind: "unsupported", what: `a sequence of kind ${proto.elemType}` }
  }
}

const fromOptional = (proto: OptionalProto): Value => {
  if (proto.tensorValue !== undefined) return { kind: "tensor", tensor: proto.tensorValue }
  if (proto.sequenceValue !== undefined) return fromSequence(proto.sequenceValue)
  if (proto.optionalValue !== undefined) return fromOptional(proto.optionalValue)
  return proto.elemType === 2 || proto.elemType === 4
    ? { kind: "unsupported", what: `an optional of kind ${proto.elemType}` }
    : { kind: "none" }
}

/** Reads a file as a value of the declared type: the file itself does not say which message it holds. */
const readValue = (file: string, type: TypeProto | undefined): Value => {
  const bytes = readFileSync(file)
  switch (type?.value.case) {
    case "sequenceType":
      return fromSequence(Wire.decodeSequence(bytes, file))
    case "optionalType":
      return fromOptional(Wire.decodeOptional(bytes, file))
    case "mapType":
    case "sparseTensorType":
    case "opaqueType":
      return { kind: "unsupported", what: type.value.case }
    default:
      return { kind: "tensor", tensor: Wire.decodeTensor(bytes, file) }
  }
}

/** Loads one case. Throws `OnnxError` when a file of it is broken. */
export const load = (folder: string): Case => {
  const path = join(folder, "model.onnx")
  const model = Wire.decodeModel(readFileSync(path), path)
  const sets = readdirSync(folder)
    .filter((name) => name.startsWith("test_data_set_"))
    .sort()
  const dataSets = sets.map((set) => {
    const read = (prefix: string, types: ReadonlyArray<TypeProto | undefined>) => {
      const files = readdirSync(join(folder, set)).filter(
        (name) => name.startsWith(`${prefix}_`) && name.endsWith(".pb")
      )
      return files.map((_, index) => readValue(join(folder, set, `${prefix}_${index}.pb`), types[index]))
    }
    return {
      inputs: read("input", model.graph?.input.map((info) => info.type) ?? []),
      outputs: read("output", model.graph?.output.map((info) => info.type) ?? [])
    }
  })
  return { name: basename(folder), folder, model, dataSets }
}

/** `float[2,3]`, `sequence(2)`, `none`: for the table. Reads the elements too, so that broken data shows here. */
export const describe = (value: Value): string => {
  switch (value.kind) {
    case "none":
      return "none"
    case "unsupported":
      return value.what
    case "sequence":
      return `sequence(${value.values.map(describe).join(" ")})`
    case "tensor": {
      const header = Tensor.header(value.tensor)
      if (header.type === DataType.fromName("string")) Tensor.strings(value.tensor)
      else Tensor.bytes(value.tensor)
      return Tensor.typeText(header)
    }
  }
}
