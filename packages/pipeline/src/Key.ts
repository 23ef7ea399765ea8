/**
 * Keys: who made what, from what, as one SHA-256.
 *
 * `digest({ b: 1, a: -0 })` is the SHA-256 of the text `{"a":-0,"b":1}`: canonical JSON has sorted keys, no blanks, and
 * keeps the sign of zero; what has no JSON (NaN, an infinity, undefined, a function) is refused, never dropped.
 * After RFC 8785 (JSON Canonicalization Scheme), except for -0, which a graph's attributes need.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { hash } from "node:crypto"

/** A SHA-256 in lower-case hexadecimal, 64 characters. */
export type Digest = string

/** A value that has no canonical JSON. `path` says where, from the root (`$`). */
export class KeyError extends Schema.TaggedError<KeyError>()("KeyError", {
  path: Schema.String,
  found: Schema.String
}) {
  override get message() {
    return `No key can be made of ${this.found} at ${this.path}: keys are made of JSON (finite numbers, text, booleans, null, arrays, plain objects). Encode the value first, or leave it out.`
  }
}

/**
 * Who a service is: its name, its version, and everything about it that can change a result (the configuration of a
 * calibrator, the digest of the samples, the declared version of a user's function). It goes into the key of every
 * stage that uses the service.
 */
export const Identity = Schema.Struct({
  name: Schema.String,
  version: Schema.Union([Schema.String, Schema.Finite]),
  config: Schema.Json
})
export type Identity = typeof Identity.Type

/** A service that may say who it is. Without an identity, the stages that use it are not cached. */
export interface Identified {
  readonly identity?: Identity | undefined
}

const write = (value: unknown, path: string): string => {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value)
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new KeyError({ path, found: String(value) })
    return Object.is(value, -0) ? "-0" : JSON.stringify(value)
  }
  if (Array.isArray(value)) return `[${value.map((item, i) => write(item, `${path}[${i}]`)).join()}]`
  if (typeof value === "object" && isPlain(value)) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${write(item, `${path}.${key}`)}`).join()}}`
  }
  throw new KeyError({ path, found: typeof value === "object" ? value.constructor.name : typeof value })
}

const isPlain = (value: object) => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** The canonical text of a JSON value. Throws `KeyError` for anything that is not JSON. */
export const canonical = (json: unknown): string => write(json, "$")

/** The SHA-256 of bytes. */
export const digestBytes = (bytes: Uint8Array): Digest => hash("sha256", bytes, "hex")

/** The SHA-256 of a JSON value's canonical text. Throws `KeyError` for anything that is not JSON. */
export const digest = (json: unknown): Digest => hash("sha256", canonical(json), "hex")

/** `digest`, with the refusal as a typed failure. */
export const digestEffect = (json: unknown): Effect.Effect<Digest, KeyError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(digest(json))
    } catch (error) {
      return error instanceof KeyError ? Effect.fail(error) : Effect.die(error)
    }
  })

/** Everything that a stage's result depends on. */
export interface Recipe {
  readonly name: string
  readonly version: number
  readonly config: Schema.Json
  /** For each need, by tag: the digest of an artefact, or the identity of a service. */
  readonly needs: ReadonlyArray<{ readonly need: string; readonly identity: Identity | Digest }>
}

/** The key of a stage: equal recipes, and only those, have equal keys. */
export const stageKey = (recipe: Recipe): Effect.Effect<Digest, KeyError> =>
  digestEffect({ ...recipe, needs: recipe.needs.toSorted((a, b) => (a.need < b.need ? -1 : 1)) })
