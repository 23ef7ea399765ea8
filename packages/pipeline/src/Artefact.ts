/**
 * Artefacts: what stages make and hand on. An artefact is a service tag with a codec; the digest of its content is its
 * identity.
 *
 * ```ts
 * class Report extends Artefact.make<Report>()("@me/Report", Artefact.json(Schema.Struct({ … }))) {}
 * ```
 * Big bytes (weights) stay out of the JSON: it names them by number, and they are kept apart, each once.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type { Digest } from "./Key.ts"
import * as Key from "./Key.ts"

/** A value that could not be written or read back. */
export class ArtefactError extends Schema.TaggedError<ArtefactError>()("ArtefactError", {
  artefact: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.artefact} could not be written or read: ${this.detail}`
  }
}

/** Bytes by reference. */
export interface Blob {
  readonly digest: Digest
  /**
   * Who they are, beside what they are: a value with one of these objects again hands the bytes on; one with others has
   * bytes that happen to be equal.
   */
  readonly sources: ReadonlySet<object>
  readonly bytes: () => Uint8Array
}

/** `json` names blobs by their place in `blobs`, in which each digest is once. */
export interface Encoded {
  readonly json: Schema.Json
  readonly blobs: ReadonlyArray<Blob>
}

/** Both may throw; `encode` and `decode` of this module turn that into `ArtefactError`. Methods, so that tags of any artefact are tags of an unknown one. */
export interface Codec<A> {
  encode(value: A): Encoded
  /** `like`: a value that the encoded one is expected to share much with; it only saves work. */
  decode(encoded: Encoded, like?: A): A
}

export type Artefact<I, A> = Context.Key<I, A> & { readonly codec: Codec<A> }
export type Artefacts<I = unknown> = ReadonlyArray<Artefact<I, unknown>>

/** Declares an artefact, as the base of its class. */
export const make =
  <Self>() =>
  <const Id extends string, A>(id: Id, codec: Codec<A>) =>
    Object.assign(Context.Service<Self, A>()(id), { codec })

/** The codec of a value that is plain data. */
export const json = <A>(schema: Schema.Codec<A, unknown>): Codec<A> => {
  const codec = Schema.toCodecJson(schema)
  return {
    encode: (value) => ({ json: Schema.encodeSync(codec)(value), blobs: [] }),
    decode: (encoded) => Schema.decodeUnknownSync(codec)(encoded.json)
  }
}

const attempt = <A>(artefact: string, make: () => A): Effect.Effect<A, ArtefactError> =>
  Effect.try({
    try: make,
    catch: (cause) => new ArtefactError({ artefact, detail: cause instanceof Error ? cause.message : String(cause) })
  })

export const encode = <A>(artefact: Artefact<unknown, A>, value: A): Effect.Effect<Encoded, ArtefactError> =>
  attempt(artefact.key, () => artefact.codec.encode(value))

export const decode = <A>(
  artefact: Artefact<unknown, A>,
  encoded: Encoded,
  like?: A
): Effect.Effect<A, ArtefactError> => attempt(artefact.key, () => artefact.codec.decode(encoded, like))

/** Digests of encodings that are asked for again and again: a graph's text may be megabytes. */
const structures = new WeakMap<Encoded, Digest>()
const contents = new WeakMap<Encoded, Digest>()

/** What the value is without the bytes of its blobs: two fine-tunings of one model share it. */
export const structureOf = (encoded: Encoded): Digest => {
  const known = structures.get(encoded)
  if (known !== undefined) return known
  const digest = Key.digest(encoded.json)
  structures.set(encoded, digest)
  return digest
}

/** What the value is. */
export const contentOf = (encoded: Encoded): Digest => {
  if (encoded.blobs.length === 0) return structureOf(encoded)
  const known = contents.get(encoded)
  if (known !== undefined) return known
  const digest = Key.digest([structureOf(encoded), encoded.blobs.map((blob) => blob.digest)])
  contents.set(encoded, digest)
  return digest
}

/** The digest of a value's content. */
export const digestOf = <A>(artefact: Artefact<unknown, A>, value: A): Effect.Effect<Digest, ArtefactError> =>
  Effect.flatMap(encode(artefact, value), (encoded) => attempt(artefact.key, () => contentOf(encoded)))

// ---- derived artefacts ----------------------------------------------------------------------------------------------

/** What was measured on a graph, value by value. It goes stale when the graph changes. */
export interface Measured<A> {
  /** Digest of the graph. */
  readonly measuredOn: Digest
  /** By value id. */
  readonly of: Readonly<Record<string, A>>
}

/** The schema of something measured on a graph. A pass takes such artefacts out of the pipeline unless it transports them. */
export const measured = <A>(of: Schema.Codec<A, unknown>): Schema.Codec<Measured<A>, unknown> =>
  Schema.Struct({ measuredOn: Schema.String, of: Schema.Record(Schema.String, of) })

/** Asked of everything that is known, at every step. */
export const isMeasured = (value: unknown): value is Measured<unknown> =>
  Predicate.hasProperty(value, "measuredOn") &&
  typeof value.measuredOn === "string" &&
  Predicate.hasProperty(value, "of") &&
  Predicate.isObject(value.of)
