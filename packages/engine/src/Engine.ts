/**
 * The engine file: a safetensors file that holds a graph for each target, the constants under the user's names (each
 * once), and a manifest.
 *
 *   assemble({ about, source, variants })  ⇒  a layout; equal inputs give equal bytes
 *   parse(bytes)                           ⇒  an engine; every byte is accounted for by a digest
 *
 * The chain: `anneal/seal`, the last tensor, is the SHA-256 of the header; the header's manifest has the SHA-256 of
 * every section; padding is zero. So one altered byte anywhere is found, and the seal names the whole engine.
 */
import type { Constant } from "@anneal/ir/Constant"
import * as Constants from "@anneal/ir/Constant"
import type { Hashing } from "@anneal/ir/Digest"
import { hashing, sha256 } from "@anneal/ir/Digest"
import * as Dim from "@anneal/ir/Dim"
import { IrError } from "@anneal/ir/Errors"
import * as Graphs from "@anneal/ir/Graph"
import type { Graph } from "@anneal/ir/Graph"
import * as Hash from "@anneal/ir/Hash"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Text from "@anneal/ir/Text"
import type { TensorType } from "@anneal/ir/Type"
import { EngineError, refuse } from "./EngineError.ts"
import type { About, Manifest, Origin, Port, Profile, Section, Variant, Weight } from "./Manifest.ts"
import * as Manifests from "./Manifest.ts"
import type { Entry, Layout, Part } from "./Safetensors.ts"
import * as Safetensors from "./Safetensors.ts"
import * as Source from "./Source.ts"
import * as Weights from "./Weights.ts"

export const generatorVersion = "0.0.0"
const formatName = "anneal-engine"
const sealName = "anneal/seal"
const sealBytes = 32

/** A section of a target's own: its plan, its code, a weight in the form that its kernels read. */
export interface Payload {
  /** Unique in the engine; equal names mean equal bytes, which are kept once. */
  readonly name: string
  readonly kind: "program" | "report" | "module" | "packed"
  readonly sha256: string
  readonly byteLength: number
  readonly bytes: () => Uint8Array
  readonly origin?: Origin
}

/** A payload of bytes at hand. */
export const payload = (name: string, kind: Payload["kind"], bytes: Uint8Array, origin?: Origin): Payload => ({
  name,
  kind,
  sha256: sha256(bytes),
  byteLength: bytes.length,
  bytes: () => bytes,
  ...(origin === undefined ? {} : { origin })
})

/** One way to run the model. */
export interface VariantInput {
  readonly name: string
  readonly target: string
  readonly features: ReadonlyArray<string>
  readonly graph: Graph
  readonly profiles: ReadonlyArray<Profile>
  /** What the target made of the graph. */
  readonly payload?: ReadonlyArray<Payload>
}

export interface AssembleInput {
  readonly about: About
  /** The model as it was imported: says which weights the user knows. */
  readonly source: Graph
  /** At least one; all with the same inputs, outputs and aliases. */
  readonly variants: ReadonlyArray<VariantInput>
  /** Leave out the weights that are as they were in the user's model; their digests stay. */
  readonly strip?: boolean
}

/** Lays an engine out. Deterministic to the byte. Throws `EngineError` when the variants' boundaries differ. */
export const assemble = ({ about, source, strip, variants }: AssembleInput): Layout =>
  assembleWith({
    about,
    variants,
    weights: Weights.trace(
      source,
      variants.map(({ graph }) => graph)
    ),
    strip: strip === true ? new Set(Graphs.allConstants(source).keys()) : new Set()
  })

interface Assembly {
  readonly about: About
  readonly variants: ReadonlyArray<VariantInput>
  readonly weights: ReadonlyArray<Weight>
  /** Digests of the constants that are left out. */
  readonly strip: ReadonlySet<string>
}

/** As `assemble`, from parts: for refitting and restoring. */
export const assembleWith = (assembly: Assembly): Layout => {
  const { manifest, parts } = describe(assembly)
  return sealed(parts, { format: formatName, manifest: Manifests.print(manifest) })
}

const describe = ({
  about,
  strip,
  variants,
  weights
}: Assembly): { readonly manifest: Manifest; readonly parts: ReadonlyArray<Part> } => {
  const [first] = variants
  if (first === undefined)
    return refuse("Missing", "the engine", "variants", "there is none", "Give at least one graph")
  for (const { graph, name } of variants)
    if (boundary(graph) !== boundary(first.graph))
      refuse(
        "BadHeader",
        "the engine",
        `variant ${name}`,
        `its inputs and outputs differ from those of ${first.name}:\n${boundary(graph)}\n${boundary(first.graph)}`,
        "Build the variants from one model"
      )
  const parts: Array<Part> = []
  const sections: Array<Section> = []
  for (const [place, { graph }] of variants.entries()) {
    const bytes = new TextEncoder().encode(Text.print(graph, { digests: true }))
    const name = graphSection(place)
    parts.push({ name, dtype: "u8", shape: [bytes.length], byteLength: bytes.length, bytes: () => bytes })
    sections.push({ name, kind: "graph", sha256: sha256(bytes), bytes: bytes.length })
  }
  for (const [name, constant] of nameConstants(variants.map(({ graph }) => graph))) {
    const stripped = strip.has(constant.digest)
    const byteLength = Constants.byteLength(constant)
    const kind = "constant"
    sections.push({ name, kind, sha256: constant.digest, bytes: byteLength, ...(stripped ? { stripped } : {}) })
    if (stripped) continue
    const { dtype, shape } = constant
    parts.push({ name, dtype, shape, byteLength, bytes: () => checked(name, constant) })
  }
  const made = new Map<string, Payload>()
  for (const { payload: own = [] } of variants) for (const one of own) made.set(one.name, one)
  for (const { byteLength, bytes, kind, name, origin, sha256: digest } of made.values()) {
    // What was made from a weight that is left out gives the weight away.
    const stripped = origin !== undefined && strip.has(origin.constant)
    sections.push({
      name,
      kind,
      sha256: digest,
      bytes: byteLength,
      ...(origin === undefined ? {} : { origin }),
      ...(stripped ? { stripped } : {})
    })
    if (!stripped) parts.push({ name, dtype: "u8", shape: [byteLength], byteLength, bytes })
  }
  const manifest: Manifest = {
    format: Manifests.formatVersion,
    generator: { name: "anneal", version: generatorVersion },
    ...about,
    ...ports(first.graph),
    aliases: first.graph.aliases.map(({ input, output }) => ({ input, output })),
    variants: variants.map(({ features, graph, name, payload: own = [], profiles, target }, place) => ({
      name,
      target,
      features: [...features].sort(),
      graph: graphSection(place),
      digest: Hash.content(graph),
      nodes: Graphs.nodeCount(graph),
      profiles,
      payload: own.map((one) => one.name),
      constraints: graph.constraints.map(({ left, right, what }) => ({
        left: Dim.format(left),
        right: Dim.format(right),
        what
      }))
    })),
    weights,
    sections
  }
  return { manifest, parts }
}

/**
 * A graph as an engine that has no file, for the reference target: to run a model as it is. Nothing is copied; the
 * digest is that of the graph's content.
 */
export const ofGraph = (graph: Graph, file: string): Engine => {
  const profiles: ReadonlyArray<Profile> = [{ name: "any", dims: {} }]
  const { manifest, parts } = describe({
    about: Manifests.aboutModel(graph.name, Hash.content(graph)),
    variants: [{ name: "reference", target: "reference", features: [], graph, profiles }],
    weights: [],
    strip: new Set()
  })
  const byName = new Map(parts.map((part) => [part.name, part]))
  const section = (name: string): Uint8Array =>
    byName.get(name)?.bytes() ?? refuse("Missing", file, `section ${name}`, "there is no such section")
  return {
    file,
    manifest,
    digest: manifest.model.digest,
    byteLength: parts.reduce((sum, { byteLength }) => sum + byteLength, 0),
    section,
    copySection: (name, to) => to.set(section(name)),
    graph: () => graph
  }
}

const graphSection = (place: number): string => `anneal/graph/${place}`

const boundary = (graph: Graph): string => JSON.stringify([ports(graph), graph.aliases])

const ports = (graph: Graph): { readonly inputs: ReadonlyArray<Port>; readonly outputs: ReadonlyArray<Port> } => {
  const { type } = Graphs.index(graph)
  const port = (name: string, { dtype, shape }: TensorType): Port => ({ name, dtype, shape: shape.map(Dim.format) })
  return {
    inputs: graph.inputs.map((input) => port(input.name, input.type)),
    outputs: graph.outputs.map((output) => port(output.name, type(output.id)))
  }
}

/** The bytes of a constant, as its digest says; the source may have changed under the build. */
const checked = (name: string, constant: Constant): Uint8Array => {
  const bytes = constant.bytes()
  if (sha256(bytes) !== constant.digest)
    refuse(
      "Altered",
      "the model",
      `weight ${name}`,
      "its bytes changed while the engine was built",
      "Build again, and leave the model's files alone meanwhile"
    )
  return bytes
}

/** Section names of all constants, each digest once: the user's name where there is one. */
const nameConstants = (graphs: ReadonlyArray<Graph>): ReadonlyMap<string, Constant> => {
  const byDigest = new Map<string, { readonly constant: Constant; name: string | undefined }>()
  const visit = (graph: Graph): void => {
    for (const { constant, name } of graph.constants.values()) {
      const found = byDigest.get(constant.digest)
      if (found === undefined) byDigest.set(constant.digest, { constant, name })
      else found.name ??= name
    }
    for (const node of graph.nodes) for (const inner of Object.values(node.graphs)) visit(inner)
  }
  for (const graph of graphs) visit(graph)
  const named = new Map<string, Constant>()
  for (const { constant, name } of byDigest.values()) {
    const usable = name !== undefined && !name.startsWith("anneal/") && name !== "__metadata__" && !named.has(name)
    named.set(usable ? name : `anneal/constant/${constant.digest}`, constant)
  }
  return named
}

/** The layout with a last tensor that is the header's SHA-256. */
const sealed = (parts: ReadonlyArray<Part>, metadata: Readonly<Record<string, string>>): Layout => {
  const seal: { bytes: Uint8Array } = { bytes: new Uint8Array(sealBytes) }
  const part: Part = { name: sealName, dtype: "u8", shape: [sealBytes], byteLength: sealBytes, bytes: () => seal.bytes }
  const file = Safetensors.layout([...parts, part], metadata)
  seal.bytes = Uint8Array.from(Buffer.from(sha256(file.header), "hex"))
  return file
}

// ---- reading --------------------------------------------------------------------------------------------------------

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
  const digest = checkSeal(source, head, entries.get(sealName), file)
  const sections = new Map(manifest.sections.map((section) => [section.name, section]))
  for (const { name } of header.entries)
    if (!sections.has(name) && name !== sealName && !name.startsWith(Safetensors.paddingPrefix))
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
  if (format !== formatName || text === undefined)
    return refuse(
      "NotAnEngine",
      file,
      place,
      "this is a safetensors file, but it has no engine manifest",
      "Build an engine with anneal build"
    )
  const version = versionOf(text)
  if (version !== undefined && version !== Manifests.formatVersion)
    return refuse(
      "UnsupportedVersion",
      file,
      place,
      `the engine has format version ${version}, this anneal reads version ${Manifests.formatVersion}`,
      version > Manifests.formatVersion ? "Update anneal, or rebuild the engine with this one" : "Rebuild the engine"
    )
  try {
    return Manifests.parse(text)
  } catch (cause) {
    return refuse("BadHeader", file, place, cause instanceof Error ? cause.message : String(cause))
  }
}

/** The version alone, so that a newer manifest is refused for its version and not for its fields. */
const versionOf = (text: string): number | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    const found = typeof value === "object" && value !== null && "format" in value ? value.format : undefined
    return typeof found === "number" ? found : undefined
  } catch {
    return undefined
  }
}

const checkSeal = (source: Source.Source, head: Uint8Array, entry: Entry | undefined, file: string): string => {
  if (entry === undefined || entry.end - entry.begin !== sealBytes)
    return refuse("BadHeader", file, `section ${sealName}`, "the engine has no seal of 32 bytes")
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
    left: Dim.parse(left),
    right: Dim.parse(right),
    what
  })),
  aliases: manifest.aliases
})

/** Hashes every section. Throws at the first that differs. */
export const verify = (engine: Engine): Engine => {
  for (const { name, stripped } of engine.manifest.sections) if (stripped !== true) engine.section(name)
  return engine
}

/** The payload of a variant as it is in the file. Bytes are read when they are written: sections that were left out stay so. */
const payloadOf = (engine: Engine, names: ReadonlyArray<string>): ReadonlyArray<Payload> => {
  const sections = new Map(engine.manifest.sections.map((section) => [section.name, section]))
  return names.map((name) => {
    const {
      bytes,
      kind,
      origin,
      sha256: digest
    } = sections.get(name) ?? refuse("Missing", engine.file, `section ${name}`, "there is no such section")
    if (kind === "graph" || kind === "constant")
      return refuse("BadHeader", engine.file, `section ${name}`, `a ${kind} is no part of a target's payload`)
    return {
      name,
      kind,
      sha256: digest,
      byteLength: bytes,
      bytes: () => engine.section(name),
      ...(origin === undefined ? {} : { origin })
    }
  })
}

/**
 * Makes the payload of a variant again, for a graph whose constants changed; the target's package has one. Undefined: the
 * variant is of another target.
 */
export type Relower = (variant: Variant, graph: Graph) => ReadonlyArray<Payload> | undefined

/**
 * The variants as they were given to `assemble`, with other graphs where `change` makes some: their payload is made again
 * by `relower`. Throws `EngineError` when it has to be and cannot.
 */
export const variantsOf = (
  engine: Engine,
  ops?: ReadonlyMap<string, OpDefinition>,
  change?: {
    readonly graph: (graph: Graph) => Graph
    /** `keep`: the new graph has the same constants. */
    readonly relower?: Relower | "keep" | undefined
  }
): ReadonlyArray<VariantInput> =>
  engine.manifest.variants.map((variant) => {
    const { features, name, payload: own, profiles, target } = variant
    const before = engine.graph(name, ops)
    const graph = change?.graph(before) ?? before
    const payload =
      own.length === 0
        ? []
        : change === undefined || change.relower === "keep"
          ? payloadOf(engine, own)
          : (change.relower?.(variant, graph) ??
            refuse(
              "Missing",
              engine.file,
              `variant ${name}`,
              `its weights are packed for the kernels of ${target}, and the target's package is not at hand to pack others`,
              `Give the function that ${target} brings for it, or build again`
            ))
    return { name, target, features, profiles, graph, payload }
  })

/** The part of the manifest that the build said. */
export const aboutOf = ({ manifest }: Engine): About => {
  const { accuracy, calibration, decisions, model, precision, refits, stages } = manifest
  return { accuracy, calibration, decisions, model, precision, refits, stages }
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
