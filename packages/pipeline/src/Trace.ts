/**
 * Traces: what the store keeps of a stage. An entry is a list of results, newest first, each with the weights that were
 * read for it. See `Execution.ts` for why.
 *
 * A weight of the result is one of three: handed on from the input (kept by its number there, no bytes), made by the
 * stage (kept by digest, bytes in the store), or equal to an input's weight without being that weight, and then the
 * result depends on it just as if it had been read.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Artefact from "./Artefact.ts"
import { Diagnostic } from "./Diagnostic.ts"
import type { Made } from "./Execution.ts"
import type { Digest } from "./Key.ts"
import { ValidationSummary } from "./Ledger.ts"
import type { Store } from "./Store.ts"

/** Results kept under one key: so many sets of weights alternate without running anything again. */
const KEPT = 8

const Output = Schema.Union([
  Schema.Struct({ same: Schema.Literal(true) }),
  Schema.Struct({
    json: Schema.Json,
    /** A number: the input's blob of that number. A text: the digest of a blob of its own. */
    blobs: Schema.Array(Schema.Union([Schema.Int, Schema.String]))
  })
])
const Trace = Schema.Struct({
  /** Number of an input's blob → its digest then. */
  reads: Schema.Record(Schema.String, Schema.String),
  output: Output,
  replaced: Schema.Record(Schema.String, Schema.String),
  validation: Schema.optionalKey(ValidationSummary),
  diagnostics: Schema.Array(Diagnostic)
})
type Trace = typeof Trace.Type
const Traces = Schema.Array(Trace)
const decodeTraces = Schema.decodeUnknownOption(Traces)
const encodeTraces = Schema.encodeSync(Traces)

const traces = (store: Store, key: Digest) =>
  Effect.map(store.entry(key), (entry) =>
    Option.getOrElse(Option.flatMap(entry, decodeTraces), (): ReadonlyArray<Trace> => [])
  )

interface Question<A> {
  readonly store: Store
  readonly key: Digest
  readonly output: Artefact.Artefact<unknown, A>
  readonly input: Artefact.Encoded | undefined
  /** The value that "same" means. */
  readonly given: A | undefined
}

/** A kept result that still holds; undefined: none. Every byte of its own is read and checked before it counts. */
export const find = <A>({ store, key, output, input, given }: Question<A>) =>
  Effect.gen(function* () {
    for (const trace of yield* traces(store, key)) {
      const holds = Object.entries(trace.reads).every(([slot, digest]) => input?.blobs[Number(slot)]?.digest === digest)
      if (!holds) continue
      const rest = {
        replaced: new Map(Object.entries(trace.replaced)),
        ...(trace.validation === undefined ? {} : { validation: trace.validation })
      }
      if ("same" in trace.output) {
        if (given === undefined) continue
        return { made: { value: given, ...rest }, diagnostics: trace.diagnostics, changed: false }
      }
      const blobs = yield* Effect.forEach(trace.output.blobs, (blob) => restore(store, input, blob))
      const all = Option.all(blobs)
      if (Option.isNone(all)) continue
      const value = yield* Effect.option(Artefact.decode(output, { json: trace.output.json, blobs: all.value }, given))
      if (Option.isNone(value)) continue
      return { made: { value: value.value, ...rest }, diagnostics: trace.diagnostics, changed: true }
    }
    return undefined
  })

const restore = (store: Store, input: Artefact.Encoded | undefined, blob: number | string) =>
  typeof blob === "number"
    ? Effect.succeed(Option.fromUndefinedOr(input?.blobs[blob]))
    : Effect.map(
        store.get(blob),
        Option.map((data): Artefact.Blob => {
          const bytes = () => data
          return { digest: blob, sources: new Set([bytes]), bytes }
        })
      )

interface Answer<A> {
  readonly store: Store
  readonly key: Digest
  readonly output: Artefact.Artefact<unknown, A>
  readonly input: Artefact.Encoded | undefined
  /** The output is the input, untouched. */
  readonly same: boolean
  readonly made: Made<A>
  readonly diagnostics: ReadonlyArray<Diagnostic>
}

/** Keeps a result. Its bytes first, then the entry that names them: a build killed in between leaves a miss. */
export const keep = <A>({ store, key, output, input, same, made, diagnostics }: Answer<A>) =>
  Effect.gen(function* () {
    const numbers = new Map((input?.blobs ?? []).map(({ digest }, number) => [digest, number]))
    const reads = new Set<number>()
    for (const digest of made.reads ?? []) {
      const number = numbers.get(digest)
      if (number !== undefined) reads.add(number)
    }
    let kept: Trace["output"] = { same: true }
    if (!same) {
      const encoded = yield* Artefact.encode(output, made.value)
      const blobs: Array<number | string> = []
      for (const blob of encoded.blobs) {
        const number = numbers.get(blob.digest)
        const given = number === undefined ? undefined : input?.blobs[number]?.sources
        if (number !== undefined && given !== undefined && [...blob.sources].every((source) => given.has(source))) {
          blobs.push(number)
          continue
        }
        if (number !== undefined) reads.add(number)
        const bytes = yield* Effect.try({
          try: blob.bytes,
          catch: (cause) => new Artefact.ArtefactError({ artefact: output.key, detail: String(cause) })
        })
        yield* store.put(bytes)
        blobs.push(blob.digest)
      }
      kept = { json: encoded.json, blobs }
    }
    const trace: Trace = {
      reads: Object.fromEntries(
        [...reads].sort((a, b) => a - b).map((number) => [String(number), input?.blobs[number]?.digest ?? ""])
      ),
      output: kept,
      replaced: Object.fromEntries(made.replaced ?? []),
      ...(made.validation === undefined ? {} : { validation: made.validation }),
      diagnostics
    }
    const sameReads = JSON.stringify(trace.reads)
    const others = (yield* traces(store, key)).filter(({ reads }) => JSON.stringify(reads) !== sameReads)
    yield* store.setEntry(key, encodeTraces([trace, ...others].slice(0, KEPT)))
  })
