// A tuning that is killed fifty times at random moments, and resumed: nothing is lost, nothing is measured twice, and what
// is decided is what the recorded timings say.
import { assert, describe, it } from "@effect/vitest"
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Entry from "@anneal/tune/Entry"
import * as Seeded from "@anneal/tune/Seeded"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Space from "./Space.ts"

const script = fileURLToPath(new URL("KilledTuning.ts", import.meta.url))
const KILLS = 50

/** A child that tunes; it is killed as soon as it has printed so many lines, and some milliseconds later. */
const start = (journal: string, kill?: { readonly lines: number; readonly milliseconds: number }) => {
  const child = spawn(process.execPath, ["--conditions=@anneal/source", script, journal], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NODE_COMPILE_CACHE: join(journal, "..", "compiled") }
  })
  const out = { text: "", killed: false }
  let err = ""
  let lines = 0
  child.stdout.on("data", (chunk) => {
    out.text += String(chunk)
    lines += String(chunk).split("\n").length - 1
    if (kill === undefined || lines < kill.lines || out.killed) return
    out.killed = true
    setTimeout(() => child.kill("SIGKILL"), kill.milliseconds)
  })
  child.stderr.on("data", (chunk) => (err += String(chunk)))
  return { exit: once(child, "close"), out, err: () => err }
}

const textOf = (journal: string) => (existsSync(journal) ? readFileSync(journal, "utf8") : "")
const nameOf = ({ key, candidate }: Entry.Entry) => `${key} ${Tuner.identify(candidate)}`
const named = (output: string, what: string) =>
  output.split("\n").flatMap((line) => (line.startsWith(`${what} `) ? [line.slice(what.length + 1)] : []))

/** What timings say, straight from the lines: fastest by `relative`; of those within its noise, the predicted cheapest. */
const implied = (entries: ReadonlyArray<Entry.Entry>, choice: Tuner.Choice): string | undefined => {
  const rows = entries.flatMap((entry) => {
    if (entry.kind !== "timing" || entry.key !== choice.key) return []
    const candidate = choice.candidates.find((one) => Tuner.identify(one) === Tuner.identify(entry.candidate))
    return candidate === undefined ? [] : [{ candidate, ...entry.timing }]
  })
  const [fastest] = rows.toSorted((a, b) => a.relative - b.relative)
  if (fastest === undefined) return undefined
  const equal = rows.filter((row) => {
    const noise = row === fastest ? 0 : 2 * Math.sqrt(row.error ** 2 + fastest.error ** 2)
    return row.relative / fastest.relative - 1 <= Math.min(0.04, Math.max(0.02, noise)) + 1e-12
  })
  const [first] = equal.toSorted((a, b) => (a.candidate.cost ?? 0) - (b.candidate.cost ?? 0))
  return first === undefined ? undefined : Tuner.identify(first.candidate)
}

describe("killed tuning", () => {
  it(
    "fifty kills at random moments: nothing lost, nothing twice, the decisions of the recorded timings",
    { timeout: 900_000 },
    async () => {
      const directory = mkdtempSync(join(tmpdir(), "anneal-tune-"))
      const journal = join(directory, "tune.jsonl")
      const random = Seeded.make("kills")
      const runs: Array<{ readonly before: ReadonlyArray<Entry.Entry>; readonly output: string }> = []
      try {
        let kills = 0
        for (let i = 0; kills < KILLS && i < 2 * KILLS; i++) {
          const text = textOf(journal)
          const before = Entry.parseAll(text).entries
          // Some before the first race is over, some in the middle of writing, some after several races.
          const kill = { lines: 1 + random.below(40), milliseconds: 12 * random.next() }
          const { exit, out } = start(journal, kill)
          const [, signal] = await exit
          if (signal === "SIGKILL" && !out.text.includes("decided")) kills++
          runs.push({ before, output: out.text })
          // Append-only: what was there is there, byte for byte.
          assert.isTrue(textOf(journal).startsWith(text))
        }
        assert.strictEqual(kills, KILLS)

        const before = Entry.parseAll(textOf(journal)).entries
        const last = start(journal)
        const [code] = await last.exit
        assert.strictEqual(code, 0, last.err())
        runs.push({ before, output: last.out.text })

        const { entries, damaged } = Entry.parseAll(textOf(journal))
        assert.isAtMost(damaged.length, KILLS)
        assert.strictEqual(new Set(entries.map(nameOf)).size, entries.length, "a candidate is in the journal twice")
        let resumed = 0
        for (const run of runs) {
          const known = new Set(run.before.map(nameOf))
          const work = [...named(run.output, "time"), ...named(run.output, "check")]
          assert.deepStrictEqual(
            work.filter((name) => known.has(name)),
            [],
            "what the journal has was measured again"
          )
          if (known.size > 0 && work.length > 0) resumed++
        }
        assert.isAtLeast(resumed, KILLS / 2, "most runs went on from an unfinished journal")

        const [decided] = named(last.out.text, "decided")
        const decisions: ReadonlyArray<readonly [string, string]> = JSON.parse(decided ?? "[]")
        assert.strictEqual(decisions.length, Space.killed.length)
        for (const [i, choice] of Space.killed.entries()) {
          assert.deepStrictEqual(decisions[i], [choice.key, implied(entries, choice) ?? "none"])
        }
        // And they are right: not one faulty kernel, none much slower than the best.
        for (const { key, kind, candidate } of entries) {
          const choice = Space.killed.find((one) => one.key === key)
          if (choice !== undefined) assert.strictEqual(kind === "rejection", Space.isFaulty(choice, candidate))
        }
        // Run once more, it has nothing to do.
        const again = start(journal)
        await again.exit
        assert.deepStrictEqual(named(again.out.text, "time"), [])
        assert.deepStrictEqual(named(again.out.text, "decided"), [decided])
      } finally {
        rmSync(directory, { recursive: true, force: true })
      }
    }
  )
})
