/**
 * Seal: the last tensor of an engine's file, the SHA-256 of its header, which has the digests of everything else. It names the
 * whole engine.
 */
import { sha256 } from "@anneal/ir/Digest"
import { refuse } from "./EngineError.ts"
import type { Entry, Layout, Part } from "./Safetensors.ts"
import * as Safetensors from "./Safetensors.ts"
import * as Source from "./Source.ts"

/** Of the tensor. */
export const name = "anneal/seal"
const length = 32

/** The layout with a last tensor that is the header's SHA-256. */
export const sealed = (parts: ReadonlyArray<Part>, metadata: Readonly<Record<string, string>>): Layout => {
  const seal: { bytes: Uint8Array } = { bytes: new Uint8Array(length) }
  const part: Part = { name: name, dtype: "u8", shape: [length], byteLength: length, bytes: () => seal.bytes }
  const file = Safetensors.layout([...parts, part], metadata)
  seal.bytes = Uint8Array.from(Buffer.from(sha256(file.header), "hex"))
  return file
}

/** The engine's digest, when header and seal agree. `head`: the file up to its first tensor. Throws `EngineError`. */
export const check = (source: Source.Source, head: Uint8Array, entry: Entry | undefined, file: string): string => {
  if (entry === undefined || entry.end - entry.begin !== length)
    return refuse("BadHeader", file, `section ${name}`, "the engine has no seal of 32 bytes")
  const found = sha256(head)
  const seal = Buffer.from(Source.read(source, entry.begin, entry.end)).toString("hex")
  return found === seal
    ? found
    : refuse(
        "Altered",
        file,
        `bytes 0..${head.length} (header) or ${entry.begin}..${entry.end} (seal)`,
        `the header's SHA-256 is ${found}, the seal says ${seal}`
      )
}
