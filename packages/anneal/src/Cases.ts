/**
 * Test cases on disk: a folder each, with `in_NAME.npy` for every input and `out_NAME.npy` for the outputs that are
 * known. In a NAME every character outside `[A-Za-z0-9_.-]` is written `_`.
 *
 *   golden/digit0/in_Input3.npy, golden/digit0/out_Plus214_Output_0.npy
 */
import type { Tensor } from "@anneal/ir/Tensor"
import * as Npy from "@anneal/runtime/Npy"
import { NpyError } from "@anneal/runtime/NpyError"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { basename, join } from "node:path"
import { UsageError } from "./UsageError.ts"

export interface Case {
  readonly name: string
  /** Files by the written name. */
  readonly inputs: ReadonlyMap<string, string>
  readonly outputs: ReadonlyMap<string, string>
}

/** A name as files have it. */
export const fileName = (name: string): string => name.replace(/[^A-Za-z0-9_.-]/g, "_")

const unreadable = (path: string) => (): UsageError =>
  new UsageError({ detail: `${path} cannot be read: check the path` })

/** A tensor of a `.npy` file. */
export const readTensor = (path: string): Effect.Effect<Tensor, NpyError | UsageError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const bytes = yield* Effect.mapError(files.readFile(path), unreadable(path))
    return yield* Effect.try({
      try: () => Npy.parse(bytes, path),
      catch: (cause) => {
        if (cause instanceof NpyError) return cause
        throw cause
      }
    })
  })

const caseOf = (name: string, folder: string, files: ReadonlyArray<string>): Case => {
  const listed = (prefix: string) =>
    new Map(
      files
        .filter((file) => file.startsWith(prefix) && file.endsWith(".npy"))
        .map((file) => [file.slice(prefix.length, -4), join(folder, file)])
    )
  return { name, inputs: listed("in_"), outputs: listed("out_") }
}

/** The cases below a folder, by name; the folder itself when it has `in_….npy` files. */
export const list = (directory: string): Effect.Effect<ReadonlyArray<Case>, UsageError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const names = (yield* Effect.mapError(files.readDirectory(directory), unreadable(directory))).sort()
    const own = caseOf(basename(directory), directory, names)
    if (own.inputs.size > 0) return [own]
    const found: Array<Case> = []
    for (const name of names) {
      const folder = join(directory, name)
      const inside = yield* Effect.orElseSucceed(files.readDirectory(folder), (): Array<string> => [])
      const one = caseOf(name, folder, inside.sort())
      if (one.inputs.size > 0) found.push(one)
    }
    if (found.length > 0) return found
    return yield* new UsageError({
      detail: `${directory} has no cases: expected folders with in_NAME.npy and out_NAME.npy`
    })
  })

/** The tensors of a case under the model's names. `names` are those of the model. */
export const read = (
  files: ReadonlyMap<string, string>,
  names: ReadonlyArray<string>,
  what: string
): Effect.Effect<Record<string, Tensor>, NpyError | UsageError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const byFile = new Map(names.map((name) => [fileName(name), name]))
    const tensors: Record<string, Tensor> = {}
    for (const [file, path] of files) {
      const name = byFile.get(file)
      if (name === undefined)
        return yield* new UsageError({
          detail: `${path}: the model has no ${what} ${file}; it has ${names.join(", ")}`
        })
      tensors[name] = yield* readTensor(path)
    }
    return tensors
  })
