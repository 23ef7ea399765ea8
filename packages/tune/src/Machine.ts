/**
 * Machine: what timings are true for. Two machines with one fingerprint may share measurements.
 */
import * as Key from "@anneal/pipeline/Key"
import * as Schema from "effect/Schema"
import { availableParallelism, cpus } from "node:os"

export const Machine = Schema.Struct({
  /** As the processor calls itself. */
  cpu: Schema.String,
  /** Cores that this process may use. */
  cores: Schema.Int,
  /** `linux-x64`. */
  platform: Schema.String,
  node: Schema.String,
  v8: Schema.String,
  /** What the measurer says timings depend on; sorted. */
  features: Schema.Array(Schema.String)
})
export type Machine = typeof Machine.Type

/** This machine, for a measurer with these features. */
export const here = (features: ReadonlyArray<string>): Machine => ({
  cpu: cpus()[0]?.model.trim() ?? "unknown",
  cores: availableParallelism(),
  platform: `${process.platform}-${process.arch}`,
  node: process.versions.node,
  v8: process.versions.v8,
  features: features.toSorted()
})

/** 16 hexadecimal digits: equal for machines whose timings may be mixed. */
export const fingerprint = (machine: Machine): string => Key.digest(machine).slice(0, 16)
