/**
 * Durations on the command line: `2 minutes`, `90 s`, `500ms`.
 */
import { UsageError } from "./UsageError.ts"

/** Milliseconds, by the unit's names. */
const units: ReadonlyArray<readonly [names: ReadonlyArray<string>, milliseconds: number]> = [
  [["ms", "milli", "millis", "millisecond", "milliseconds"], 1],
  [["s", "sec", "secs", "second", "seconds"], 1000],
  [["m", "min", "mins", "minute", "minutes"], 60_000],
  [["h", "hour", "hours"], 3_600_000]
]

/** Milliseconds, more than 0. Throws `UsageError`. */
export const parse = (option: string, text: string): number => {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text.trim())
  const unit = units.find(([names]) => names.includes((match?.[2] ?? "").toLowerCase()))
  const milliseconds = Number(match?.[1]) * (unit?.[1] ?? NaN)
  if (!(milliseconds > 0))
    throw new UsageError({ detail: `${option} ${text}: expected a duration such as "2 minutes", "90 s" or "500 ms"` })
  return milliseconds
}

/** `1.53 s`, `236 µs`: three digits that matter. */
export const format = (milliseconds: number): string => {
  if (!Number.isFinite(milliseconds)) return "?"
  if (milliseconds >= 60_000) return `${(milliseconds / 60_000).toPrecision(3)} min`
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toPrecision(3)} s`
  if (milliseconds >= 1) return `${milliseconds.toPrecision(3)} ms`
  return milliseconds >= 0.001 ? `${(milliseconds * 1000).toPrecision(3)} µs` : `${(milliseconds * 1e6).toFixed(0)} ns`
}
