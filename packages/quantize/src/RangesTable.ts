// Calibrated ranges as a table that people can keep, read, edit and give back.
//
//   # anneal ranges 1, measured on <digest>
//   "conv1"	-0.25	3.5
//
// One value a line: its id as JSON, minimum, maximum, apart by tabs.
import type { Range } from "@anneal/pipeline/Calibrator"
import type { Measured } from "@anneal/pipeline/Artefact"
import { Graph as GraphTag } from "@anneal/pipeline/Graph"
import { Ranges } from "@anneal/pipeline/Ranges"
import * as Stage from "@anneal/pipeline/Stage"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** A table that cannot be read. `line` counts from 1. */
export class RangesTableError extends Schema.TaggedError<RangesTableError>()("RangesTableError", {
  line: Schema.Int,
  detail: Schema.String
}) {
  override get message(): string {
    return `The table of ranges is wrong at line ${this.line}: ${this.detail}`
  }
}

const title = "# anneal ranges 1, measured on "

export const print = ({ measuredOn, of }: Measured<Range>): string =>
  [
    `${title}${measuredOn}`,
    ...Object.entries(of).map(([id, { max, min }]) => `${JSON.stringify(id)}\t${min}\t${max}`),
    ""
  ].join("\n")

const refuse = (line: number, detail: string): never => {
  throw new RangesTableError({ line, detail })
}

const parseLine = (line: string, number: number): readonly [string, Range] => {
  const [, quoted = "", low = "", high = ""] =
    /^("(?:[^"\\]|\\.)*")\t(\S+)\t(\S+)$/.exec(line) ??
    refuse(number, "expected a quoted id, minimum and maximum, apart by tabs")
  const [min, max] = [Number(low), Number(high)]
  if (!Number.isFinite(min) || !Number.isFinite(max) || min > max) refuse(number, `[${low}, ${high}] is no range`)
  const id = Option.getOrUndefined(readId(quoted))
  return [id ?? refuse(number, `${quoted} is no text in JSON's form`), { min, max }]
}

const readId = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.String))

/** Reads a table. Throws `RangesTableError`: a line that says nothing, no range, or a value twice. */
export const parse = (text: string): Measured<Range> => {
  const [first = "", ...rest] = text.split(/\r?\n/)
  if (!first.startsWith(title)) refuse(1, `it must start with "${title}…"`)
  const of = new Map<string, Range>()
  for (const [position, line] of rest.entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue
    const [id, range] = parseLine(line, position + 2)
    if (of.has(id)) refuse(position + 2, `%${id} is there twice`)
    of.set(id, range)
  }
  return { measuredOn: first.slice(title.length).trim(), of: Object.fromEntries(of) }
}

/** A kept table in the place of calibration. What uses it fails when the table was measured on another graph. */
export const readRanges = Stage.make({
  name: "readRanges",
  version: 1,
  config: Schema.Struct({ table: Schema.String }),
  needs: [GraphTag],
  output: Ranges,
  run: ({ table }) =>
    Effect.gen(function* () {
      const graph = yield* GraphTag
      const measured = yield* Effect.try({
        try: () => parse(table),
        catch: (error) =>
          error instanceof RangesTableError ? error : new RangesTableError({ line: 0, detail: String(error) })
      })
      const known = new Set([...graph.inputs, ...graph.nodes.flatMap(({ outputs }) => outputs)].map(({ id }) => id))
      const unknown = Object.keys(measured.of).filter((id) => !known.has(id))
      if (unknown.length === 0) return measured
      const lines = table.split(/\r?\n/)
      const line = 1 + lines.findIndex((text) => text.startsWith(`${JSON.stringify(unknown[0])}\t`))
      return yield* new RangesTableError({ line, detail: `the graph has no value %${unknown.join(", %")}` })
    })
})
