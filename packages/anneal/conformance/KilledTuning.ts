// Kills a real `anneal build --tune quick` outright, again and again at random moments, and resumes it: nothing that was
// journalled is lost or measured again, and what is decided at the end is what the journal says.
//
//   node --conditions=@anneal/source packages/anneal/conformance/KilledTuning.ts MODEL.onnx [KILLS] [SEED]
//
// Kernels are generated, checked and timed for real, on this machine.
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Entry from "@anneal/tune/Entry"
import * as Seeded from "@anneal/tune/Seeded"
import type * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const bin = fileURLToPath(new URL("../src/bin.ts", import.meta.url))
const [, , model = "", kills = "50", seed = "kills"] = process.argv
const folder = mkdtempSync(join(tmpdir(), "anneal-killed-"))
const lock = join(folder, "net.lock")
const journal = `${lock}.journal`
const random = Seeded.make(seed)
const problems: Array<string> = []
const must = (holds: boolean, what: string): void => {
  if (!holds) problems.push(what)
}

const textOf = (file: string): string => (existsSync(file) ? readFileSync(file, "utf8") : "")
const nameOf = (entry: Entry.Entry): string => `${entry.key} ${JSON.stringify(entry.candidate)}`

/** A build; killed as soon as the journal has grown by so many bytes, and some milliseconds later. */
const build = async (engine: string, lockFile: string, kill?: { readonly bytes: number; readonly later: number }) => {
  const before = textOf(journal).length
  const args = ["build", model, "-o", join(folder, engine), "--lock", lockFile, "--cache", join(folder, "cache")]
  const budget = ["--tune", "quick", "--tune-budget", "20 seconds", "--json"]
  const child = spawn(process.execPath, ["--conditions=@anneal/source", bin, ...args, ...budget], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NODE_COMPILE_CACHE: join(folder, "compiled") }
  })
  let [out, err] = ["", ""]
  child.stdout.on("data", (piece) => (out += String(piece)))
  child.stderr.on("data", (piece) => (err += String(piece)))
  const ended = once(child, "close")
  let pending = kill !== undefined
  const watch = setInterval(() => {
    if (!pending || kill === undefined || textOf(journal).length < before + kill.bytes) return
    pending = false
    setTimeout(() => child.kill("SIGKILL"), kill.later)
  }, 5)
  const [code, signal]: ReadonlyArray<unknown> = await ended
  clearInterval(watch)
  return { code, killed: signal === "SIGKILL", out, err }
}

interface Decided {
  readonly timed: number
  readonly lock: {
    readonly decisions: ReadonlyArray<{
      readonly key: string
      readonly candidate: string
      readonly config: Schema.Json
    }>
  }
}

try {
  let killed = 0
  for (let i = 0; killed < Number(kills); i++) {
    const before = textOf(journal)
    // Each attempt has a lock of its own, so that it decides again; the journal is one.
    rmSync(lock, { force: true })
    const ended = await build("net.engine", lock, {
      bytes: random.next() < 0.3 ? 0 : 1 + random.below(1500),
      later: 1500 * random.next() ** 3
    })
    must(textOf(journal).startsWith(before), `kill ${i}: the journal is no longer what it was`)
    if (ended.killed) killed++
    else {
      must(ended.code === 0, `attempt ${i}: ${ended.err}`)
      console.log(`attempt ${i} ended by itself after ${killed} kills: all is measured; the journal begins anew`)
      rmSync(journal, { force: true })
    }
    const { entries } = Entry.parseAll(textOf(journal))
    must(new Set(entries.map(nameOf)).size === entries.length, `kill ${i}: a candidate is in the journal twice`)
    if (killed % 10 === 0) console.log(`${killed} kills, ${entries.length} entries, ${problems.length} problems`)
  }
  const before = Entry.parseAll(textOf(journal)).entries
  rmSync(lock, { force: true })
  const last = await build("last.engine", lock)
  must(last.code === 0, `the last build: ${last.err}`)
  const { entries } = Entry.parseAll(textOf(journal))
  const { decided }: { readonly decided: Decided } = JSON.parse(last.out)
  const timings = (all: ReadonlyArray<Entry.Entry>) => all.filter(({ kind }) => kind === "timing").length
  must(decided.timed === timings(entries) - timings(before), "more was timed than was journalled")
  // Each decision is the journal's fastest, or as fast within what the protocol calls equal.
  for (const { candidate, config, key } of decided.lock.decisions) {
    const rows = entries.flatMap((entry) => (entry.kind === "timing" && entry.key === key ? [entry] : []))
    const [fastest] = rows.toSorted((a, b) => a.timing.relative - b.timing.relative)
    if (fastest === undefined) continue
    const wanted = Tuner.identify({ name: candidate, config })
    const chosen = rows.find((one) => Tuner.identify(one.candidate) === wanted)
    const ratio = (chosen?.timing.relative ?? Infinity) / fastest.timing.relative
    must(
      ratio <= 1.04,
      `${key}: ${wanted} is ${ratio} of ${Tuner.identify(fastest.candidate)}, the fastest in the journal`
    )
  }
  // And once more from the journal alone: the same engine, byte for byte, nothing measured where nothing was open.
  const text = readFileSync(lock, "utf8")
  rmSync(lock, { force: true })
  const again = await build("again.engine", lock)
  must(again.code === 0, again.err)
  const open: { readonly decided: Decided } = JSON.parse(again.out)
  if (open.decided.timed === 0) {
    must(readFileSync(lock, "utf8") === text, "the journal alone gives another lock")
    must(
      readFileSync(join(folder, "again.engine")).equals(readFileSync(join(folder, "last.engine"))),
      "and another engine"
    )
  } else console.log(`${open.decided.timed} more candidates fit the budget of another build`)
  console.log(
    `${killed} kills: ${entries.length} entries, ${decided.lock.decisions.length} decisions, ${problems.length} problems`
  )
} finally {
  rmSync(folder, { recursive: true, force: true })
}
for (const problem of problems) console.error(problem)
process.exitCode = problems.length > 0 ? 1 : 0
