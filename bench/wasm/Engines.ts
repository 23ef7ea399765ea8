// Engines for the bench, built by the `anneal` command as a user would, and how long that takes (a process from start
// to end, no cache).
import { spawnSync } from "node:child_process"
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** The command in a few files, as it is published, made of the sources as they are now; gives the file to run. */
const publish = (folder: string): string => {
  const bundle = join(folder, "command")
  const start = join(folder, "bin.js")
  if (existsSync(start)) return start
  const run = spawnSync(process.execPath, [join(root, ".ci/bundle.ts"), bundle], { encoding: "utf8" })
  if (run.status !== 0) throw new Error(`the command could not be put together: ${run.stderr}`)
  writeFileSync(join(folder, "package.json"), `{"type":"module"}`)
  const lines = [
    `import { enableCompileCache } from "node:module"`,
    `enableCompileCache()`,
    `const { run } = await import("./command/Main.js")`,
    `run(process.argv.slice(2))`
  ]
  writeFileSync(start, `${lines.join("\n")}\n`)
  // Node keeps what it compiled: the first start is not what users see.
  spawnSync(process.execPath, [start, "--help"])
  return start
}

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
  const command = publish(folder)
  const start = performance.now()
  const run = spawnSync(process.execPath, [command, "build", model, "-o", path, "--no-use-cache", ...options], {
    encoding: "utf8",
    maxBuffer: 2 ** 26
  })
  const milliseconds = performance.now() - start
  if (run.status === 0) return { path, milliseconds }
  // What is above the list of errors is the command's help, or its progress.
  const lines = run.stderr.split("\n").map((text) => text.trim())
  const reason = lines.slice(lines.findLastIndex((text) => /^ERRORS?$/.test(text)) + 1).find((text) => text !== "")
  return { error: `anneal build ended with ${run.status ?? run.signal}: ${reason ?? "it said nothing"}` }
}
