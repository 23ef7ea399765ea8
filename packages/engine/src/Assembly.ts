/**
 * Assembly: an engine laid out: a graph for each target, what the targets made of it, the constants under the user's names
 * (each once), and the manifest.
 *
 *   assemble({ about, source, variants })  ⇒  a layout; equal inputs give equal bytes
 */
import type { Constant } from "@anneal/ir/Constant"
import * as Constants from "@anneal/ir/Constant"
import { sha256 } from "@anneal/ir/Digest"
import * as Dim from "@anneal/ir/Dim"
import * as Graphs from "@anneal/ir/Graph"
import type { Graph } from "@anneal/ir/Graph"
import * as Hash from "@anneal/ir/Hash"
import * as Text from "@anneal/ir/Text"
import type { TensorType } from "@anneal/ir/Type"
import type { Engine } from "./Engine.ts"
import { refuse } from "./EngineError.ts"
import type { About, Manifest, Origin, Port, Profile, Section, Weight } from "./Manifest.ts"
import * as Manifests from "./Manifest.ts"
import type { Layout, Part } from "./Safetensors.ts"
import * as Seal from "./Seal.ts"
import * as Weights from "./Weights.ts"

export const generatorVersion = "0.0.0"

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
  return Seal.sealed(parts, { format: Manifests.formatName, manifest: Manifests.print(manifest) })
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
