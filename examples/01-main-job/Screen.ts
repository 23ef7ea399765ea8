// What the main job shows: one line a stage as it ends, then accuracy, sizes and what to type next.
import { type Build, Pipeline } from "anneal"

interface Row {
  readonly stage: string
  what: string
  took: number
  checks: string
}

const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`
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
    result: (built: Build.Built, took: number, modelBytes: number | bigint): void => {
      const { accuracy, precision } = built.manifest
      const integers = precision.filter(({ to }) => to.startsWith("int")).length
      console.log(`\n  nodes       ${built.source.nodes.length} → ${built.graph.nodes.length}`)
      if (accuracy !== null)
        console.log(
          `  accuracy    ${(100 * accuracy.before.value).toFixed(1)} % → ${(100 * accuracy.after.value).toFixed(1)} % ` +
            `(${accuracy.before.metric} on ${accuracy.before.count} lines, at most ${accuracy.maxDrop} lost)`
        )
      console.log(`  precision   ${integers} of ${precision.length} products in INT8`)
      console.log(`  size        ${kibibytes(modelBytes)} model → ${kibibytes(built.bytes)} engine`)
      console.log(`  build       ${seconds(took)}, ${cached} stages from the cache, ${ran} run`)
      console.log(`  engine      sha256 ${built.digest.slice(0, 16)}…\n`)
    },
    line: (line: { readonly text: string; readonly upsideDown: boolean }, found: boolean): void =>
      console.log(
        `  "${line.text}" ${line.upsideDown ? "upside down" : "upright"}: ${found === line.upsideDown ? "right" : "wrong"}`
      ),
    next: (engine: string): void =>
      console.log(
        `\nNext:\n  npm start                                   once more: what the cache saves\n` +
          `  npm run anneal -- inspect ${engine}\n  npm run anneal -- build MODEL.onnx -o ENGINE   your own model\n`
      )
  }
}
