/**
 * Features: a candidate as numbers, for a cost model.
 *
 *   gemm {"mr":6,"nr":8,"pack":true}  ⇒  {"is gemm":1,"mr":log2(1+6),"nr":log2(1+8),"pack":1}
 *
 * Numbers of the configuration by their path, on a logarithmic scale (tiles double); text as one feature a value; what the
 * target says (`features`), and the predicted cost. Columns are sorted by name; what a candidate doesn't have is 0.
 */
import type { Candidate } from "@anneal/pipeline/Tuner"
import type * as Schema from "effect/Schema"

export type Named = ReadonlyMap<string, number>

/** Sign and logarithm: 0 ⇒ 0, 7 ⇒ 3, −7 ⇒ −3. */
const scaled = (value: number): number => Math.sign(value) * Math.log2(1 + Math.abs(value))

const collect = (json: Schema.Json, path: string, into: Map<string, number>): void => {
  if (typeof json === "number") into.set(path, scaled(json))
  else if (typeof json === "boolean") into.set(path, json ? 1 : 0)
  else if (typeof json === "string") into.set(`${path}=${json}`, 1)
  else if (json !== null) {
    for (const [name, value] of Object.entries(json)) collect(value, path === "" ? name : `${path}.${name}`, into)
  }
}

/** The features of one candidate, by name. */
export const named = ({ name, config, cost, features }: Candidate): Named => {
  const found = new Map<string, number>([[`is ${name}`, 1]])
  collect(config, "", found)
  for (const [feature, value] of Object.entries(features ?? {})) found.set(`feature ${feature}`, scaled(value))
  if (cost !== undefined && cost > 0) found.set("predicted", Math.log2(cost))
  return found
}

/** The names that occur, sorted. */
export const columns = (all: ReadonlyArray<Named>): ReadonlyArray<string> =>
  [...new Set(all.flatMap((one) => [...one.keys()]))].toSorted()

/** One row, in the order of the columns. */
export const row = (one: Named, names: ReadonlyArray<string>): ReadonlyArray<number> =>
  names.map((name) => one.get(name) ?? 0)
