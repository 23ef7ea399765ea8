/**
 * The user's own TypeScript or JavaScript on the command line: `--pipeline FILE.ts`, `--calibrate MODULE.ts`,
 * `--plugin PACKAGE`. A path is taken from the working directory; anything else is a package installed there.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { createRequire } from "node:module"
import { isAbsolute, resolve } from "node:path"
import { cwd } from "node:process"
import { pathToFileURL } from "node:url"
import { UsageError } from "./UsageError.ts"

/** Whether an option names a module and not a folder of data. */
export const isModule = (text: string): boolean => /\.(?:ts|mts|js|mjs)$/.test(text)

const isPath = (text: string): boolean => isModule(text) || text.startsWith(".") || isAbsolute(text)

const locate = (name: string): string =>
  isPath(name) ? resolve(name) : createRequire(pathToFileURL(`${cwd()}/`)).resolve(name)

/** The default export of a module. */
export const load = (option: string, name: string): Effect.Effect<unknown, UsageError> =>
  Effect.gen(function* () {
    const loaded: unknown = yield* Effect.tryPromise({
      try: () => import(pathToFileURL(locate(name)).href),
      catch: (cause) =>
        new UsageError({
          // The lines after the first say where in our own files it was asked for.
          detail: `${option} ${name} cannot be loaded: ${cause instanceof Error ? cause.message.split("\n")[0] : String(cause)}`
        })
    })
    if (Predicate.hasProperty(loaded, "default") && loaded.default !== undefined) return loaded.default
    return yield* new UsageError({ detail: `${option} ${name} has no default export` })
  })
