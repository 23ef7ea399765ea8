/**
 * The engine file: a safetensors file that holds a graph for each target, the constants under the user's names (each
 * once), and a manifest.
 *
 *   parse(bytes)  ⇒  an engine; every byte is accounted for by a digest
 *
 * The chain: `anneal/seal`, the last tensor, is the SHA-256 of the header; the header's manifest has the SHA-256 of
 * every section; padding is zero. So one altered byte anywhere is found, and the seal names the whole engine.
 */
import * as Constants from "@anneal/ir/Constant"
import type { Hashing } from "@anneal/ir/Digest"
import { hashing, sha256 } from "@anneal/ir/Digest"
import * as Dim from "@anneal/ir/Dim"
import { IrError } from "@anneal/ir/Errors"
import type { Graph } from "@anneal/ir/Graph"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Text from "@anneal/ir/Text"
import { EngineError, refuse } from "./EngineError.ts"
import type { Manifest, Section, Variant } from "./Manifest.ts"
import * as Manifests from "./Manifest.ts"
import type { Entry } from "./Safetensors.ts"
import * as Safetensors from "./Safetensors.ts"
import * as Seal from "./Seal.ts"
import * as Source from "./Source.ts"

export type { AssembleInput, Payload, VariantInput } from "./Assembly.ts"
export { assemble, assembleWith, generatorVersion, ofGraph, payload } from "./Assembly.ts"
export type { Relower } from "./Variants.ts"
export { aboutOf, variantsOf } from "./Variants.ts"

/** An engine whose header is checked; sections are checked when they are first asked for, or all by `verify`. */
export interface Engine {
  /** What the file is called in messages. */
  readonly file: string
  readonly manifest: Manifest
  /** The seal: SHA-256 of the header, which has the digests of everything else. */
  readonly digest: string
  readonly byteLength: number
  /** Bytes of a section, a view. Throws `EngineError`: `Missing`, `Stripped`, `Altered`, `Io`. */
  readonly section: (name: string) => Uint8Array
  /**
   * Fills memory of the caller's with a section, of its length: from a file without another copy. Throws what `section`
   * throws; the memory may then hold anything.
   */
  readonly copySection: (name: string, to: Uint8Array) => void
  /** The graph of a variant; constants are views on the file. Throws `EngineError` or `IrError` (an op that `ops` lacks). */
  readonly graph: (variant?: string, ops?: ReadonlyMap<string, OpDefinition>) => Graph
}

/** Opens an engine in memory. Throws `EngineError` with the place. Sections are not hashed yet: see `verify`. */
export const parse = (bytes: Uint8Array, file = "the engine"): Engine => {
  const source = Source.ofBytes(bytes)
  const header = Safetensors.parseHeader(bytes, bytes.length, file)
  checkPadding(source, header.entries, file)
  return open(source, header, bytes.subarray(0, header.dataBegin), file, (name, read) => read())
}

/**
 * Opens an engine of which only the header is in memory: what is asked for is read, and checked, each time; what somebody
 * still holds is not read again. Padding is not looked at. Throws `EngineError` with the place.
 */
export const parseSource = (source: Source.Source, file: string): Engine => {
  const start = Source.read(source, 0, Math.min(8, source.byteLength))
  const dataBegin = 8 + Safetensors.headerLength(start, file)
  const head = Source.read(source, 0, Math.min(dataBegin, source.byteLength))
  const header = Safetensors.parseHeader(head, source.byteLength, file)
  const held = new Map<string, WeakRef<Uint8Array>>()
  return open(source, header, head, file, (name, read) => {
    const known = held.get(name)?.deref()
    if (known !== undefined) return known
    const bytes = read()
    held.set(name, new WeakRef(bytes))
    return bytes
  })
}

/** `hold`: gives a section's bytes, by `read` where it does not have them. */
const open = (
  source: Source.Source,
  header: Safetensors.Header,
  head: Uint8Array,
  file: string,
  hold: (name: string, read: () => Uint8Array) => Uint8Array
): Engine => {
  const manifest = readManifest(header, file)
  const entries = new Map(header.entries.map((entry) => [entry.name, entry]))
  const digest = Seal.check(source, head, entries.get(Seal.name), file)
  const sections = new Map(manifest.sections.map((section) => [section.name, section]))
  for (const { name } of header.entries)
    if (!sections.has(name) && name !== Seal.name && !name.startsWith(Safetensors.paddingPrefix))
      refuse("BadHeader", file, `section ${name}`, "the manifest does not know it")
  for (const { name, stripped } of manifest.sections)
    if (stripped !== true && !entries.has(name))
      refuse("Missing", file, `section ${name}`, "the manifest lists it, the file does not have it")
  const good = new Set<string>()
  const find = (name: string): readonly [Section, Entry] => {
    const listed = sections.get(name)
    const entry = entries.get(name)
    if (listed === undefined) return refuse("Missing", file, `section ${name}`, "there is no such section")
    if (entry === undefined)
      return refuse(
        "Stripped",
        file,
        `section ${name}`,
        `its bytes were left out (sha256:${listed.sha256})`,
        "Restore the weights from the original model, or build without --strip-weights"
      )
    return [listed, entry]
  }
  const check = (listed: Section, entry: Entry, found: string): void => {
    if (found !== listed.sha256)
      refuse(
        "Altered",
        file,
        `section ${listed.name}, bytes ${entry.begin}..${entry.end}`,
        `their SHA-256 is ${found}, the manifest says ${listed.sha256}`
      )
  }
  const section = (name: string): Uint8Array => {
    const [listed, entry] = find(name)
    return hold(name, () => {
      const bytes = Source.read(source, entry.begin, entry.end)
      // Bytes in memory stay what they are; a file may have changed.
      if (!source.stays || !good.has(name)) check(listed, entry, sha256(bytes))
      good.add(name)
      return bytes
    })
  }
  const copySection = (name: string, to: Uint8Array): void => {
    const [listed, entry] = find(name)
    if (to.length !== entry.end - entry.begin)
      throw new RangeError(`section ${name} has ${entry.end - entry.begin} bytes, the memory for it ${to.length}`)
    const known = source.stays && good.has(name)
    let whole: string | undefined
    let parts: Hashing | undefined
    source.pieces(entry.begin, entry.end, (bytes, at) => {
      // At once is several times as fast.
      if (!known && bytes.length === to.length) whole = sha256(bytes)
      else if (!known) (parts ??= hashing()).add(bytes)
      to.set(bytes, at)
    })
    if (!known) check(listed, entry, whole ?? parts?.hex() ?? sha256(to))
    good.add(name)
  }
  const byDigest = new Map(
    manifest.sections.flatMap(({ kind, name, sha256: digest }) =>
      kind === "constant" ? [[digest, name] as const] : []
    )
  )
  const graph: Engine["graph"] = (variant, ops = Ops.table()) => {
    const chosen = variant === undefined ? manifest.variants[0] : manifest.variants.find(({ name }) => name === variant)
    if (chosen === undefined)
      return refuse(
        "Missing",
        file,
        `variant ${variant ?? "0"}`,
        `the engine has ${manifest.variants.map(({ name }) => name).join(", ")}`,
        "Name one of these"
      )
    return Text.parse(new TextDecoder().decode(section(chosen.graph)), {
      ops,
      constant: (digest, dtype, shape) => {
        const name = byDigest.get(digest)
        return name === undefined
          ? refuse("Missing", file, `constant sha256:${digest}`, "no section has these bytes")
          : Constants.lazy(digest, dtype, shape, () => section(name))
      }
    })
  }
  return { file, manifest, digest, byteLength: source.byteLength, section, copySection, graph }
}

const readManifest = ({ dataBegin, metadata }: Safetensors.Header, file: string): Manifest => {
  const place = `bytes 8..${dataBegin} (manifest)`
  const { format, manifest: text } = metadata
  if (format !== Manifests.formatName || text === undefined)
    return refuse(
      "NotAnEngine",
      file,
      place,
      "this is a safetensors file, but it has no engine manifest",
      "Build an engine with anneal build"
    )
  const json = jsonOf(text, (detail) => refuse("BadHeader", file, place, detail))
  const version = typeof json === "object" && json !== null && "format" in json ? json.format : undefined
  if (typeof version === "number" && version !== Manifests.formatVersion)
    return refuse(
      "UnsupportedVersion",
      file,
      place,
      `the engine has format version ${version}, this anneal reads version ${Manifests.formatVersion}`,
      version > Manifests.formatVersion ? "Update anneal, or rebuild the engine with this one" : "Rebuild the engine"
    )
  try {
    return Manifests.read(json)
  } catch (cause) {
    return refuse("BadHeader", file, place, cause instanceof Error ? cause.message : String(cause))
  }
}

const jsonOf = (text: string, bad: (detail: string) => never): unknown => {
  try {
    return JSON.parse(text)
  } catch (cause) {
    return bad(cause instanceof Error ? cause.message : String(cause))
  }
}

const checkPadding = (source: Source.Source, entries: ReadonlyArray<Entry>, file: string): void => {
  for (const { begin, end, name } of entries)
    if (name.startsWith(Safetensors.paddingPrefix) && Source.read(source, begin, end).some((byte) => byte !== 0))
      refuse("Altered", file, `section ${name}, bytes ${begin}..${end}`, "padding is not zero")
}

/**
 * What the graph of a variant takes and gives, without its nodes: its inputs, its outputs (ids are the users' names), state
 * and constraints. For targets that run code and need no graph. Throws `IrError` for sizes that cannot be read.
 */
export const boundaryOf = ({ manifest }: Engine, variant: Variant): Graph => ({
  name: "model",
  inputs: manifest.inputs.map(({ dtype, name, shape }) => ({
    id: name,
    name,
    type: { dtype, shape: shape.map(Dim.parse) }
  })),
  outputs: manifest.outputs.map(({ name }) => ({ name, id: name })),
  constants: new Map(),
  nodes: [],
  constraints: variant.constraints.map(({ left, right, what }) => ({
    left: Dim.parseCanonical(left),
    right: Dim.parseCanonical(right),
    what
  })),
  aliases: manifest.aliases
})

/** Hashes every section. Throws at the first that differs. */
export const verify = (engine: Engine): Engine => {
  for (const { name, stripped } of engine.manifest.sections) if (stripped !== true) engine.section(name)
  return engine
}

/** Whatever was thrown while reading, as one typed error; anything unexpected is thrown on. */
export const asEngineError = (cause: unknown, file: string): EngineError => {
  if (cause instanceof EngineError) return cause
  if (cause instanceof IrError)
    return new EngineError({
      reason: "BadHeader",
      file,
      place: cause.at ?? "the graph",
      detail: cause.detail,
      action:
        cause.reason === "UnknownOp"
          ? "Name the plug-in that brings this op"
          : "Rebuild the engine with this version of anneal"
    })
  throw cause
}
