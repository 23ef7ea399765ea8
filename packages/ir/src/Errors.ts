// What the IR refuses, and why. Plain functions of this package throw these; Effects turn them into typed failures.
import * as Schema from "effect/Schema"

/** A graph, type, attribute or text that breaks a contract of the IR. `at` is the node or line it was found at. */
export class IrError extends Schema.TaggedError<IrError>()("IrError", {
  reason: Schema.Literals([
    "TypeMismatch",
    "WrongArity",
    "BadAttribute",
    "UnknownOp",
    "UnknownValue",
    "DuplicateValue",
    "Cycle",
    "Syntax",
    "BadTensor",
    "ConstantUnavailable",
    "Unsupported"
  ]),
  detail: Schema.String,
  at: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    return this.at === undefined ? this.detail : `${this.at}: ${this.detail}`
  }
}

export type Reason = IrError["reason"]

/** Throws an `IrError`; an expression, so that it can stand where a value is expected. */
export const refuse = (reason: Reason, detail: string, at?: string): never => {
  throw new IrError(at === undefined ? { reason, detail } : { reason, detail, at })
}
