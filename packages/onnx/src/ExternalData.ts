// Weights in files beside the model: { location: "model.data", offset: 4096, length: 16 } ⇒ those 16 bytes of
// `<folder of the model>/model.data`, read when asked for.
//
// A model is data from outside: its locations may not name a file outside its folder, not by `..`, not by an absolute
// path, not through a symbolic link. One exception keeps download caches working that link `model.onnx` and
// `model.onnx_data` to one folder of blobs: a link may lead to the folder where the model's own link leads.
//
// Source: "External Tensor Data" of the ONNX IR specification.
import * as fs from "node:fs"
import * as path from "node:path"
import type { TensorProto } from "./gen/onnx_pb.ts"
import { refuse } from "./OnnxError.ts"
import * as Tensor from "./TensorProto.ts"

/** Where the elements of one tensor lie. */
export interface Range {
  readonly tensor: string
  /** The path as the model gives it, relative to the model's folder. */
  readonly location: string
  /** The file, links resolved. */
  readonly file: string
  /** First byte. */
  readonly offset: number
  /** Number of bytes, which is what the tensor's type and shape take. */
  readonly length: number
}

const inside = (folder: string, file: string): boolean => {
  const relative = path.relative(folder, file)
  return relative !== "" && !relative.startsWith("..") && !path.isAbsolute(relative)
}

const attempt = <A>(run: () => A, otherwise: (detail: string) => A): A => {
  try {
    return run()
  } catch (cause) {
    return otherwise(cause instanceof Error ? cause.message : String(cause))
  }
}

/**
 * Where a tensor's external elements lie; reads no weights. `modelPath` is the model's own file. Throws `OnnxError`
 * (`ExternalData`): no location, outside the folder, absent, shorter than the tensor, or a range that does not fit.
 */
export const locate = (proto: TensorProto, modelPath: string): Range => {
  const header = Tensor.header(proto, modelPath)
  const entries = new Map(proto.externalData.map((entry) => [entry.key, entry.value]))
  const location = entries.get("location") ?? ""
  const bad = (detail: string) => refuse(modelPath, { _tag: "ExternalData", tensor: proto.name, location, detail })
  const whole = (key: string): number | undefined => {
    const text = entries.get(key)
    if (text === undefined) return undefined
    return /^\d{1,15}$/.test(text) ? Number(text) : bad(`its ${key} is "${text}", not a number of bytes`)
  }
  if (header.type.name === "string") return bad("strings cannot be stored there")
  if (location === "") return bad("the model does not say which file")
  if (location.includes("\0") || location.includes("\\") || /^([A-Za-z]:|\/)/.test(location))
    return bad("the path must be relative to the model's folder, with forward slashes")
  if (path.posix.normalize(location).split("/").includes("..")) return bad("the path leaves the model's folder")
  const real = (target: string) =>
    attempt(
      () => fs.realpathSync(target),
      (detail) => bad(`the file is not there (${detail}). Put it beside the model`)
    )
  const file = real(path.join(path.dirname(modelPath), location))
  const folders = [real(path.dirname(modelPath)), path.dirname(real(modelPath))]
  if (!folders.some((folder) => inside(folder, file)))
    return bad(`a symbolic link leads outside the model's folder, to ${file}`)
  const stat = fs.statSync(file)
  if (!stat.isFile()) return bad("that is not a regular file")
  const offset = whole("offset") ?? 0
  const length = whole("length") ?? header.byteLength
  if (length !== header.byteLength)
    return bad(`${Tensor.typeText(header)} takes ${header.byteLength} bytes, the model says ${length}`)
  if (offset + length > stat.size)
    return bad(`bytes ${offset} to ${offset + length} are wanted, the file has ${stat.size}. It may be cut short`)
  return { tensor: proto.name, location, file, offset, length }
}

/** Reads a range; only its own bytes are held. Throws `OnnxError` (`ExternalData`) when the file went away or shrank. */
export const read = (range: Range): Uint8Array => {
  const bad = (detail: string) =>
    refuse(range.file, { _tag: "ExternalData", tensor: range.tensor, location: range.location, detail })
  const handle = attempt(() => fs.openSync(range.file, "r"), bad)
  try {
    const bytes = new Uint8Array(range.length)
    let done = 0
    while (done < bytes.length) {
      const count = fs.readSync(handle, bytes, done, Math.min(bytes.length - done, 2 ** 30), range.offset + done)
      if (count === 0) return bad(`the file ends ${bytes.length - done} bytes too soon`)
      done += count
    }
    return bytes
  } finally {
    fs.closeSync(handle)
  }
}
