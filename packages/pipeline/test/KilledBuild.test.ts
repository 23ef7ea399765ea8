/** Builds that are killed at some moment, and builds that share a store: nothing half-written is ever taken for good. */
import { assert, describe, it } from "@effect/vitest"
import * as Key from "@anneal/pipeline/Key"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const script = fileURLToPath(new URL("LongBuild.ts", import.meta.url))

const start = (directory: string) => {
  const child = spawn(process.execPath, ["--conditions=@anneal/source", script, directory], {
    stdio: ["ignore", "pipe", "pipe"]
  })
  let [out, err] = ["", ""]
  child.stdout.on("data", (chunk) => (out += String(chunk)))
  child.stderr.on("data", (chunk) => (err += String(chunk)))
  return { child, exit: once(child, "exit"), out: () => out, err: () => err }
}

const finish = async (directory: string): Promise<{ last: number; hits: number; findings: ReadonlyArray<string> }> => {
  const { err, exit, out } = start(directory)
  const [code] = await exit
  assert.strictEqual(code, 0, err())
  return JSON.parse(out())
}

/** Files of a two-level folder. */
const files = (folder: string) =>
  existsSync(folder)
    ? readdirSync(folder).flatMap((group) => readdirSync(join(folder, group)).map((name) => join(folder, group, name)))
    : []

const checkStore = (directory: string) => {
  for (const path of files(join(directory, "blobs"))) {
    assert.isTrue(path.endsWith(Key.digestBytes(readFileSync(path))), `${path} has other bytes than its name says`)
  }
  for (const path of files(join(directory, "entries"))) JSON.parse(readFileSync(path, "utf8"))
  return files(join(directory, "entries")).length
}

const inDirectory = async (use: (directory: string) => Promise<void>) => {
  const directory = mkdtempSync(join(tmpdir(), "anneal-store-"))
  try {
    await use(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

describe("killed builds", () => {
  it("a build that was killed leaves only whole files, and the next one resumes", { timeout: 120_000 }, () =>
    inDirectory(async (directory) => {
      let finished = 0
      for (let kills = 0; kills < 10; kills++) {
        const { child, exit } = start(directory)
        // The moment is counted from the first sign of life: a new finished stage, or a file being written.
        const before = finished
        const busy = () =>
          files(join(directory, "entries")).length > before ||
          (kills % 2 === 1 && existsSync(join(directory, "writing")))
        for (let looks = 0; looks < 2000 && !busy() && child.exitCode === null; looks++) {
          await new Promise((resolve) => setTimeout(resolve, 2))
        }
        await new Promise((resolve) => setTimeout(resolve, (kills * 7) % 20))
        child.kill("SIGKILL")
        await exit
        const now = checkStore(directory)
        assert.isAtLeast(now, finished)
        finished = now
      }
      const { findings, hits, last } = await finish(directory)
      assert.strictEqual(last, 15)
      assert.strictEqual(hits, finished)
      assert.deepStrictEqual(findings, [])
      assert.deepStrictEqual(await finish(directory), { last: 15, hits: 6, findings: [] })
    })
  )

  it("builds at the same time, in one store, make each stage once", { timeout: 120_000 }, () =>
    inDirectory(async (directory) => {
      const results = await Promise.all([finish(directory), finish(directory)])
      assert.deepStrictEqual(
        results.map(({ last }) => last),
        [15, 15]
      )
      // Six stages ran in all: what one did not make, it had from the other.
      assert.strictEqual(
        results.reduce((sum, { hits }) => sum + hits, 0),
        6
      )
      checkStore(directory)
      assert.deepStrictEqual(readdirSync(join(directory, "locks")), [])
    })
  )
})
