/**
 * What can go wrong with the journal's and the lock's files, as users know it.
 */
import * as WholeFile from "@anneal/pipeline/WholeFile"
import type { PlatformError } from "effect/PlatformError"
import * as Schema from "effect/Schema"

/** A file that cannot be read or written. */
export class FileError extends Schema.TaggedError<FileError>()("FileError", {
  reason: Schema.Literals(["Missing", "Permission", "Full", "Io"]),
  operation: Schema.Literals(["read", "write"]),
  path: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.path}: cannot ${this.operation}: ${this.detail} (${actions[this.reason]})`
  }
}

const actions: Record<FileError["reason"], string> = {
  Missing: "check the path",
  Permission: "check who may read and write it",
  Full: "make room on the disk",
  Io: "check the disk"
}

/** The error of a file's operation. */
export const from =
  (operation: FileError["operation"], path: string) =>
  (error: PlatformError): FileError =>
    new FileError({ reason: WholeFile.troubleOf(error), operation, path, detail: error.message })
