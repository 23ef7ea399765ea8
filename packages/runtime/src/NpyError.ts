/** A `.npy` or `.npz` file that cannot be read, or a tensor that they cannot hold. */
import * as Schema from "effect/Schema"

export class NpyError extends Schema.TaggedError<NpyError>()("NpyError", {
  file: Schema.String,
  /** `bytes 0..6`, `header`, `member x.npy`. */
  place: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.file}: ${this.place}: ${this.detail}`
  }
}

/** Throws; an expression, so that it can stand where a value is expected. */
export const refuse = (file: string, place: string, detail: string): never => {
  throw new NpyError({ file, place, detail })
}
