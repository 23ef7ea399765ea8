/**
 * The regions of an engine's programs, as the target reported them when it made the code.
 */
import type { Engine } from "@anneal/engine/Engine"
import { EngineError } from "@anneal/engine/EngineError"
import * as Report from "@anneal/lower/Report"
import * as Schema from "effect/Schema"

/** The report in a section. Throws `EngineError`. */
const read = (engine: Engine, section: string): Report.Report => {
  try {
    return Report.decode(engine.section(section))
  } catch (cause) {
    if (!Schema.isSchemaError(cause)) throw cause
    throw new EngineError({
      reason: "BadHeader",
      file: engine.file,
      place: `section ${section}`,
      detail: `it is no report that this anneal reads: ${cause.message}`,
      action: "Build the engine again with this anneal"
    })
  }
}

/** All reports of a variant, by section, in the target's order. Throws `EngineError`. */
export const reports = (engine: Engine, variant: string): ReadonlyMap<string, Report.Report> => {
  const own = new Set(engine.manifest.variants.find(({ name }) => name === variant)?.payload ?? [])
  const sections = engine.manifest.sections.filter(({ kind, name }) => kind === "report" && own.has(name))
  return new Map(sections.map(({ name }) => [name, read(engine, name)]))
}

/** The report of the code for these fixed sizes; undefined where the target has none. Throws `EngineError`. */
export const at = (
  engine: Engine,
  variant: string,
  fixed: Readonly<Record<string, number>>
): Report.Report | undefined => {
  const same = (other: Readonly<Record<string, number>>): boolean =>
    Object.keys(other).length === Object.keys(fixed).length &&
    Object.entries(fixed).every(([symbol, value]) => other[symbol] === value)
  return [...reports(engine, variant).values()].find((report) => same(report.fixed))
}
