// What the main job shows: one line a stage as it ends, then accuracy, sizes and what to type next.
import { type Bench, type Build, Pipeline, Tuning } from "anneal"
import * as Reader from "./Reader.ts"

interface Row {
  readonly stage: string
  what: string
  took: number
  checks: string
}

const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`
const percent = (share: number): string => `${(100 * share).toFixed(2)} %`
/** Lines of a list that are shown. */
const listed = 5
const kibibytes = (bytes: number | bigint): string => `${(Number(bytes) / 1024).toFixed(0)} KiB`

export const make = () => {
  const rows = new Map<string, Row>()
  const row = (stage: string): Row => {
    const found = rows.get(stage) ?? { stage, what: "", took: 0, checks: "" }
    rows.set(stage, found)
    return found
  }
  const print = ({ checks, stage, took, what }: Row): void =>
    console.log(`  ${stage.padEnd(34)} ${what.padEnd(10)} ${seconds(took).padStart(8)}  ${checks}`)
  let cached = 0
  let ran = 0
  return {
    title: (name: string, what: string): void => console.log(`\n${name}\n${what}\n`),
    show: (event: Pipeline.Progress.Event): void =>
      Pipeline.Progress.Event.match(event, {
        Hit: ({ stage }) => {
          cached++
          print({ ...row(stage), what: "cached" })
        },
        End: ({ stage, took }) => {
          ran++
          print({ ...row(stage), what: "ran", took })
        },
        Validated: ({ failed, inferences, regions, stage }) => {
          if (regions > 0)
            row(stage).checks = `${regions} rewrites checked, ${failed} wrong, ${inferences.toFixed(2)} inferences`
        },
        Finding: ({ diagnostic }) => console.log(`  ${diagnostic.severity}: ${diagnostic.message}`),
        Failure: ({ error, stage }) => console.log(`  ${stage} failed: ${error}`),
        Step: ({ done, stage, total, what }) => {
          if (total === undefined) return
          if (process.stdout.isTTY)
            process.stdout.write(done < total ? `\r  ${stage} ${what} ${done}/${total}   ` : `\r${" ".repeat(70)}\r`)
          else if (total >= 100 && done % Math.floor(total / 4) === 0)
            console.log(`  ${stage} ${what} ${done}/${total}`)
        },
        Miss: () => {},
        Uncached: () => {},
        Start: () => {},
        Retry: () => {},
        Interrupted: () => {}
      }),
    heading: (name: string): void => {
      ;[cached, ran] = [0, 0]
      console.log(`\n${name}`)
    },
    result: (built: Build.Built, took: number): void => {
      console.log(`  nodes       ${built.source.nodes.length} → ${built.graph.nodes.length}`)
      if (built.decided !== undefined) console.log(`  kernels     ${Tuning.summary(built.decided)}`)
      console.log(`  build       ${seconds(took)}, ${cached} stages from the cache, ${ran} run`)
      console.log(`  engine      ${kibibytes(built.bytes)}, sha256 ${built.digest.slice(0, 16)}…`)
    },
    wrong: (name: string, lines: ReadonlyArray<readonly [right: string, found: string]>): void => {
      for (const [right, found] of lines.slice(0, listed)) console.log(`  ${name} reads "${right}" as "${found}"`)
      if (lines.length > listed) console.log(`  … and ${lines.length - listed} more lines wrong`)
    },
    compared: (
      rows: ReadonlyArray<{
        readonly name: string
        readonly tally: Reader.Tally
        readonly latency: Bench.Latency
        readonly bytes: number
      }>,
      rest: { readonly modelBytes: number; readonly slow: number; readonly took: number }
    ): void => {
      const columns = (cells: ReadonlyArray<string>): string =>
        cells.map((cell, place) => (place === 0 ? cell.padEnd(12) : cell.padStart(13))).join("")
      console.log(`\n  ${columns(["", "exact lines", "char. errors", "median", "p90", "size"])}`)
      for (const { bytes, latency, name, tally } of rows)
        console.log(
          `  ${columns([
            name,
            `${tally.exact} of ${tally.lines}`,
            percent(Reader.errorRate(tally)),
            `${latency.p50.toFixed(1)} ms`,
            `${latency.p90.toFixed(1)} ms`,
            kibibytes(bytes)
          ])}`
        )
      console.log(`  ${columns(["unoptimised", "", "", `${rest.slow.toFixed(0)} ms`, "", kibibytes(rest.modelBytes)])}`)
      console.log(
        `\n  A line at a time, one thread, in turns. Unoptimised: one line, once, on the reference executor, which is an\n` +
          `  oracle and no fast target. Both engines hold code for hosts with and without relaxed SIMD. All in ${seconds(rest.took)}.`
      )
    },
    next: (engine: string, lock: string): void =>
      console.log(
        `\nNext:\n  npm start                                   once more: what the locks and the cache save\n` +
          `  npm run anneal -- inspect ${engine} --journal ${lock}\n  npm run anneal -- bench ${engine}\n` +
          `  npm run anneal -- build MODEL.onnx -o ENGINE   your own model\n`
      )
  }
}
