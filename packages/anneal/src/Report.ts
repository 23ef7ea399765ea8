/**
 * What a command says: text for people or one JSON document for scripts on standard output; progress, warnings and
 * errors on standard error.
 */
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as ExitCode from "./ExitCode.ts"

/** Whether results are printed as JSON. */
export const AsJson = Context.Reference<boolean>("anneal/AsJson", { defaultValue: () => false })

/** A finding that is the command's result, not its breakdown: outputs that differ. The report says the details. */
export class Mismatch extends Schema.TaggedError<Mismatch>()("Mismatch", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/** JSON of any value: infinities and NaN as text, big integers as text, tensors' arrays as lists. */
const toJson = (value: unknown): string =>
  JSON.stringify(
    value,
    (_, item: unknown) => {
      if (typeof item === "number" && !Number.isFinite(item)) return String(item)
      if (typeof item === "bigint") return String(item)
      if (ArrayBuffer.isView(item) && !(item instanceof DataView)) return Array.from(Object.values(item), String)
      return item
    },
    2
  )

/** Prints the result of a command. */
export const result = (json: Readonly<Record<string, unknown>>, text: () => string): Effect.Effect<void> =>
  Effect.flatMap(AsJson, (asJson) => Console.log(asJson ? toJson({ ok: true, ...json }) : text()))

/** Prints a result that is a failure to a script, and fails. */
export const mismatch = (
  detail: string,
  json: Readonly<Record<string, unknown>>,
  text: () => string
): Effect.Effect<never, Mismatch> =>
  Effect.gen(function* () {
    const asJson = yield* AsJson
    yield* Console.log(asJson ? toJson({ ok: false, exitCode: ExitCode.differs, detail, ...json }) : text())
    return yield* new Mismatch({ detail })
  })

const tagOf = (error: unknown): string =>
  Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" ? error._tag : "Error"

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Prints a failure: its message, never a stack. */
export const failure = (error: unknown, asJson: boolean): Effect.Effect<void> => {
  if (error instanceof Mismatch) return asJson ? Effect.void : Console.error(error.message)
  if (!asJson) return Console.error(`error: ${messageOf(error)}`)
  const fields = typeof error === "object" && error !== null ? { ...error } : {}
  const report = {
    ok: false,
    exitCode: ExitCode.of(error),
    error: { tag: tagOf(error), message: messageOf(error), ...fields }
  }
  return Console.log(toJson(report))
}

/** Prints what should never happen. */
export const defect = (cause: unknown, asJson: boolean): Effect.Effect<void> => {
  const message = `defect in anneal: ${messageOf(cause)}`
  const advice = "Please report it with the command and the model. ANNEAL_STACK=1 shows where."
  return asJson
    ? Console.log(toJson({ ok: false, exitCode: ExitCode.defect, error: { tag: "Defect", message } }))
    : Console.error(`${message}\n${advice}`)
}
