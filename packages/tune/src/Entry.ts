/**
 * Entry: one line of a journal. A timing, or a rejection with why; who measured it, where, made by which generator.
 *
 *   {"at":…,"candidate":{…},"check":"…","generator":"wasm@3","key":"…","kind":"timing","machine":{…},"node":"conv1","timing":{…},"v":1}
 *
 * Canonical JSON: one entry has one line, and entries of several journals are compared as text. `check` is of the rest of the line: a line that was cut, or of which a byte is another, is no entry.
 */
import * as Key from "@anneal/pipeline/Key"
import { RejectionReason } from "@anneal/pipeline/Measurer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Machine } from "./Machine.ts"
import { Timing } from "./Timing.ts"

const common = {
  v: Schema.Literal(1),
  key: Schema.String,
  /** Path of a region with this key, in the model that was tuned. */
  node: Schema.String,
  candidate: Schema.Struct({ name: Schema.String, config: Schema.Json }),
  /** Name and version of what made the candidate. */
  generator: Schema.String,
  machine: Machine,
  /** Milliseconds since 1970. */
  at: Schema.Finite
}

export const Entry = Schema.Union([
  Schema.Struct({ ...common, kind: Schema.Literal("timing"), timing: Timing }),
  Schema.Struct({
    ...common,
    kind: Schema.Literal("rejection"),
    reason: RejectionReason,
    detail: Schema.String,
    evidence: Schema.Json
  })
])
export type Entry = typeof Entry.Type
export type TimingEntry = Extract<Entry, { kind: "timing" }>
export type RejectionEntry = Extract<Entry, { kind: "rejection" }>

/** A line that is no entry. `line` counts from 1. */
export interface Damage {
  readonly line: number
  readonly why: string
}

const checkOf = (entry: unknown): string => Key.digest(entry).slice(0, 16)

/** The entry's line, without a line break. Throws `KeyError` where a configuration is not JSON. */
export const format = (entry: Entry): string => Key.canonical({ ...entry, check: checkOf(entry) })

/** None: there is a number in it that is none, 1e999. */
const checkOfAny = Option.liftThrowable(checkOf)
const parseJson = Option.liftThrowable((text: string): unknown => JSON.parse(text))
const decode = Schema.decodeUnknownOption(Entry)

/** The entry in a line, or why there is none. */
export const parse = (line: string): Result.Result<Entry, string> => {
  const json = Option.getOrUndefined(parseJson(line))
  if (!Predicate.isReadonlyObject(json) || Array.isArray(json)) return Result.fail("cut short, or not JSON")
  const { check, ...rest } = Object.fromEntries(Object.entries(json))
  if (check !== Option.getOrUndefined(checkOfAny(rest)) || check === undefined)
    return Result.fail("its check does not fit: it was cut or altered")
  const entry = decode(rest)
  return Option.isSome(entry) ? Result.succeed(entry.value) : Result.fail("of another version of the journal")
}

/** The entries of a journal's text, and the lines that are none. */
export const parseAll = (
  text: string
): { readonly entries: ReadonlyArray<Entry>; readonly damaged: ReadonlyArray<Damage> } => {
  const entries: Array<Entry> = []
  const damaged: Array<Damage> = []
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue
    const parsed = parse(line)
    if (Result.isSuccess(parsed)) entries.push(parsed.success)
    else damaged.push({ line: i + 1, why: parsed.failure })
  }
  return { entries, damaged }
}

/** The text of journals together: each entry once, in the order of their lines. */
export const combine = (texts: ReadonlyArray<string>): string => {
  const lines = new Set(texts.flatMap((text) => parseAll(text).entries.map(format)))
  return [...lines].map((line) => `${line}\n`).join("")
}
