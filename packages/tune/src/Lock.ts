/**
 * Lock: the decisions of a build, as a file that people read, compare and merge.
 *
 *   {
 *     "lock": 1,
 *     "target": "wasm",
 *     "features": ["relaxed-simd","simd128"],
 *     "generator": "wasm@3",
 *     "digest": "…",
 *     "decisions": [
 *       {
 *         "key": "matmul f32 64x64x64 …",
 *         "nodes": ["/fc1","/fc2"],
 *         "candidate": "gemm",
 *         "config": {"mr":6,"nr":8}
 *       }
 *     ]
 *   }
 *
 * Sorted by key, one line a field, so that a change of one decision is a change of its lines. `digest` is of everything
 * else: an edit by hand or by a text merge is found. No time, no
 * timing, no machine: those are the journal's.
 */
import * as Key from "@anneal/pipeline/Key"
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

/** What a lock's decisions are for. */
export const Header = Schema.Struct({
  target: Schema.String,
  /** Sorted. */
  features: Schema.Array(Schema.String),
  /** Name and version of what makes the candidates: `wasm@3`. */
  generator: Schema.String
})
export type Header = typeof Header.Type

export const LockEntry = Schema.Struct({
  key: Schema.String,
  /** Paths of the regions that it decides; sorted. To be read: nothing depends on them. */
  nodes: Schema.Array(Schema.String),
  candidate: Schema.String,
  config: Schema.Json
})
export type LockEntry = typeof LockEntry.Type

/** Entries sorted by key, each key once. */
export interface Lock extends Header {
  readonly decisions: ReadonlyArray<LockEntry>
}

/** A lock that cannot be used. */
export class LockError extends Schema.TaggedError<LockError>()("LockError", {
  reason: Schema.Literals([
    "NotJson",
    /** Fields that are missing, of another type, or unknown. */
    "Schema",
    "UnsupportedVersion",
    "DuplicateKey",
    /** The digest is not of these decisions. */
    "Altered"
  ]),
  /** The file, or what it is called. */
  file: Schema.String,
  /** Each fault with its place: `decisions[3].candidate: expected string, got 5`. */
  faults: Schema.Array(Schema.Struct({ place: Schema.String, detail: Schema.String })),
  action: Schema.String
}) {
  override get message(): string {
    const lines = this.faults.map(({ place, detail }) => `  ${place}: ${detail}`)
    return `${this.file} is no usable lock (${this.action}):\n${lines.join("\n")}`
  }
}

const VERSION = 1

/** Entries and header in their one order; of one key several times, the last counts. */
export const make = (header: Header, entries: ReadonlyArray<LockEntry>): Lock => ({
  target: header.target,
  features: [...new Set(header.features)].toSorted(),
  generator: header.generator,
  decisions: [...new Map(entries.map((entry) => [entry.key, entry])).values()]
    .map(({ key, nodes, candidate, config }) => ({ key, nodes: [...new Set(nodes)].toSorted(), candidate, config }))
    .toSorted((a, b) => (a.key < b.key ? -1 : 1))
})

/** The lock of what was decided for a space. */
export const fromDecisions = (
  header: Header,
  space: ReadonlyArray<Tuner.Choice>,
  decisions: ReadonlyArray<Tuner.Decision>
): Lock => {
  const nodes = Map.groupBy(space, ({ key }) => key)
  const entries = decisions.map(({ key, candidate }) => ({
    key,
    nodes: (nodes.get(key) ?? []).map(({ node }) => node),
    candidate: candidate.name,
    config: candidate.config
  }))
  return make(header, entries)
}

/** Of everything that a lock says. */
export const digest = (lock: Lock): Key.Digest => {
  const { target, features, generator, decisions } = make(lock, lock.decisions)
  return Key.digest({ lock: VERSION, target, features, generator, decisions })
}

/** The text of a lock's file: one lock has one text. Throws `KeyError` where a configuration is not JSON. */
export const format = (lock: Lock): string => {
  const { target, features, generator, decisions } = make(lock, lock.decisions)
  const entry = ({ key, nodes, candidate, config }: LockEntry) =>
    [
      `      "key": ${JSON.stringify(key)},`,
      `      "nodes": ${JSON.stringify(nodes)},`,
      `      "candidate": ${JSON.stringify(candidate)},`,
      `      "config": ${Key.canonical(config)}`
    ].join("\n")
  const head = [
    `  "lock": ${VERSION},`,
    `  "target": ${JSON.stringify(target)},`,
    `  "features": ${JSON.stringify(features)},`,
    `  "generator": ${JSON.stringify(generator)},`,
    `  "digest": ${JSON.stringify(digest(lock))},`
  ].join("\n")
  const list = decisions.map((one) => `    {\n${entry(one)}\n    }`).join(",\n")
  return `{\n${head}\n  "decisions": [${list === "" ? "" : `\n${list}\n  `}]\n}\n`
}

const File = Schema.Struct({
  lock: Schema.Literal(VERSION),
  ...Header.fields,
  digest: Schema.String,
  decisions: Schema.Array(LockEntry)
})
const Versioned = Schema.Struct({ lock: Schema.Unknown })

const placeOf = (path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>(
    (text, step) => (typeof step === "number" ? `${text}[${step}]` : `${text}${text === "" ? "" : "."}${String(step)}`),
    ""
  ) || "the whole"

const standard = SchemaIssue.makeFormatterStandardSchemaV1()
const faultsOf = (error: Schema.SchemaError): LockError["faults"] =>
  standard(error.issue).issues.map(({ message, path = [] }) => ({
    place: placeOf(path.map((step) => (typeof step === "object" ? step.key : step))),
    detail: message
  }))

const rebuild = "restore it, or build without it and keep the new one"

const isVersioned = Schema.is(Versioned)
const decode = Schema.decodeUnknownResult(File)

const parseJson = (text: string): Result.Result<unknown, string> =>
  Result.try({
    try: (): unknown => JSON.parse(text),
    catch: (error) => (error instanceof Error ? error.message : String(error))
  })

const duplicates = (decisions: ReadonlyArray<LockEntry>): LockError["faults"] => {
  const first = new Map<string, number>()
  return decisions.flatMap(({ key }, i) => {
    const known = first.get(key)
    first.set(key, known ?? i)
    const place = `decisions[${i}].key`
    return known === undefined ? [] : [{ place, detail: `decisions[${known}] has the same key, ${key}` }]
  })
}

/** The lock in a file's text. `file`: what it is called in errors. */
export const parse = (text: string, file: string): Result.Result<Lock, LockError> => {
  const refuse = (reason: LockError["reason"], faults: LockError["faults"], action = rebuild) =>
    Result.fail(new LockError({ reason, file, faults, action }))
  const json = parseJson(text)
  if (Result.isFailure(json)) {
    const marker = text.split("\n").findIndex((line) => /^(<{7}|={7}|>{7})/.test(line))
    if (marker >= 0) {
      const fault = { place: `line ${marker + 1}`, detail: "a conflict of a text merge" }
      return refuse("NotJson", [fault], "take one of the two locks, or merge them with `LockMerge.merge`")
    }
    return refuse("NotJson", [{ place: "the whole", detail: json.failure }])
  }
  if (isVersioned(json.success) && json.success.lock !== VERSION) {
    const found = JSON.stringify(json.success.lock)
    const fault = { place: "lock", detail: `version ${found}, and this anneal reads version ${VERSION}` }
    return refuse("UnsupportedVersion", [fault], "use the anneal that wrote it, or build without it")
  }
  const decoded = decode(json.success, { errors: "all", onExcessProperty: "error" })
  if (Result.isFailure(decoded)) return refuse("Schema", faultsOf(decoded.failure))
  const { digest: said, decisions, ...header } = decoded.success
  const twice = duplicates(decisions)
  if (twice.length > 0) return refuse("DuplicateKey", twice)
  const lock = make(header, decisions)
  const is = digest(lock)
  if (said === is) return Result.succeed(lock)
  const detail = `${said}, and the digest of what the lock says is ${is}: it was edited`
  return refuse("Altered", [{ place: "digest", detail }])
}

/** The lock's entries by key. */
export const byKey = (lock: Lock): ReadonlyMap<string, LockEntry> =>
  new Map(lock.decisions.map((entry) => [entry.key, entry]))
