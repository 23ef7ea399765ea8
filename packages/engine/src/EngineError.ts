/**
 * What an engine file may be refused for: the place in the file, what was found there, and what to do.
 */
import * as Schema from "effect/Schema"

/** An engine (or another safetensors file) that cannot be read, checked or written. */
export class EngineError extends Schema.TaggedError<EngineError>()("EngineError", {
  reason: Schema.Literals([
    /** Not a safetensors file, or not one of ours. */
    "NotAnEngine",
    "Truncated",
    /** Bytes differ from what their digest says. */
    "Altered",
    /** The header breaks the format. */
    "BadHeader",
    "UnsupportedVersion",
    /** A section or weight that is not in the file. */
    "Missing",
    /** Weights that were left out on purpose. */
    "Stripped",
    /** A weight of another dtype or shape, or one that no longer exists on its own. */
    "Refit",
    "DiskFull",
    "Permission",
    "Io"
  ]),
  /** Path of the file, or what it is called. */
  file: Schema.String,
  /** `bytes 8..4016 (header)`, `section conv1.weight`. */
  place: Schema.String,
  detail: Schema.String,
  action: Schema.String
}) {
  override get message(): string {
    return `${this.file}: ${this.place}: ${this.detail}. ${this.action}.`
  }
}

export type Reason = EngineError["reason"]

/** What to do about most damage. */
export const copyAgain = "Copy the file again or rebuild the engine"

/** Throws; an expression, so that it can stand where a value is expected. */
export const refuse = (
  reason: Reason,
  file: string,
  place: string,
  detail: string,
  action: string = copyAgain
): never => {
  throw new EngineError({ reason, file, place, detail, action })
}
