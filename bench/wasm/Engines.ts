// Engines for the bench, built by the `anneal` command as a user would, and how long that takes (a process from start
// to end, no cache).
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const command = fileURLToPath(new URL("../../packages/anneal/src/bin.ts", import.meta.url))

export interface Built {
  readonly path: string
  /** Of the whole command. */
  readonly milliseconds: number
}

/** Runs `anneal build MODEL -o FOLDER/NAME.engine …`. Gives the command's own words when it fails. */
export const build = (
  folder: string,
  name: string,
  model: string,
  options: ReadonlyArray<string>
): Built | { readonly error: string } => {
  const path = join(folder, `${name}.engine`)
  const start = performance.now()
  const run = spawnSync(
    process.execPath,
    ["--conditions=@anneal/source", command, "build", model, "-o", path, "--no-use-cache", ...options],
    { encoding: "utf8", maxBuffer: 2 ** 26 }
  )
  const milliseconds = performance.now() - start
  if (run.status === 0) return { path, milliseconds }
  // What is above the list of errors is the command's help, or its progress.
  const lines = run.stderr.split("\n").map((text) => text.trim())
  const reason = lines.slice(lines.findLastIndex((text) => /^ERRORS?$/.test(text)) + 1).find((text) => text !== "")
  return { error: `anneal build ended with ${run.status ?? run.signal}: ${reason ?? "it said nothing"}` }
}
