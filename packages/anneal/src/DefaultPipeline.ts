/**
 * The default pipeline, in code: what `anneal build` runs when no `--pipeline` is given.
 *
 *   floats      every pass that is on, in order
 *   narrowed    … → [calibrate] → narrow to f16 or bf16 → fold what became constant
 *   quantised   … → calibrate → [fitBudget] → quantise → fold what became constant
 *
 * `--pipeline FILE.ts` replaces it: the file's default export is a pipeline from graph to graph, made of the same parts.
 */
import * as All from "@anneal/passes/All"
import { eliminateDeadCode } from "@anneal/passes/EliminateDeadCode"
import { foldConstants } from "@anneal/passes/FoldConstants"
import * as Calibrate from "@anneal/quantize/Calibrate"
import * as Budget from "@anneal/quantize/Budget"
import * as Narrow from "@anneal/quantize/Narrow"
import * as Quantize from "@anneal/quantize/Quantize"
import type { ListedPass, Plugins } from "./Plugin.ts"
import { UsageError } from "./UsageError.ts"

/** Every pass that can be switched off, in the order in which they run. */
export const listed = (plugins: Plugins): ReadonlyArray<ListedPass> => [...All.passes, ...plugins.passes]

/** The passes that are on. Throws `UsageError` for a name that is not in the list. */
export const enabled = (plugins: Plugins, disable: ReadonlyArray<string>): ReadonlyArray<ListedPass> => {
  const passes = listed(plugins)
  const names = new Set(passes.map(({ name }) => name))
  const unknown = disable.filter((name) => !names.has(name))
  if (unknown.length > 0)
    throw new UsageError({
      detail: `--disable ${unknown.join(", ")}: there is no such pass; the passes are ${[...names].join(", ")}`
    })
  return passes.filter(({ name }) => !disable.includes(name))
}

/** All passes that are on. */
export const floats = (passes: ReadonlyArray<ListedPass>) => All.pipeline(passes)

export interface NarrowOptions {
  readonly to: "f16" | "bf16"
  /** Nodes that stay f32: op names, value ids or paths in the user's model. */
  readonly keep: ReadonlyArray<string>
}

/** Narrows what the target runs in the narrow type, where samples show that it fits. */
export const narrowed = (passes: ReadonlyArray<ListedPass>, options: NarrowOptions) =>
  floats(passes)
    .through(Calibrate.calibrate({ limit: null, watch: "all" }))
    .through(Narrow.narrow(options))
    .through(foldConstants.pass())
    .through(eliminateDeadCode.pass())

/** The same without samples: constants are checked, and the build warns that activations were not. */
export const narrowedUnchecked = (passes: ReadonlyArray<ListedPass>, options: NarrowOptions) =>
  floats(passes)
    .through(Narrow.narrowUnchecked(options))
    .through(foldConstants.pass())
    .through(eliminateDeadCode.pass())

export interface QuantizeOptions {
  /** Width of the weights. */
  readonly bits: 4 | 8
  /** Products that stay float: op names, value ids or paths in the user's model. */
  readonly keep: ReadonlyArray<string>
  /** Weights use all their bits, though the target would be faster with fewer. */
  readonly fullRange?: boolean
}

/** What the stages are told of the integers; nothing of what is as it is by default, so that keys stay the same. */
const schemeOf = ({ bits, fullRange, keep }: QuantizeOptions) => ({
  bits,
  keep,
  ...(fullRange === true ? { fullRange } : {})
})

/** Calibrates and quantises everything that the target runs on integers. */
export const quantized = (passes: ReadonlyArray<ListedPass>, options: QuantizeOptions) =>
  floats(passes)
    .through(Calibrate.calibrate({ limit: null }))
    .through(Quantize.quantize(schemeOf(options)))
    .through(foldConstants.pass())
    .through(eliminateDeadCode.pass())

/** The same within an accuracy budget: what costs too much stays float. */
export const quantizedWithin = (
  passes: ReadonlyArray<ListedPass>,
  options: QuantizeOptions & { readonly maxDrop: number }
) =>
  floats(passes)
    .through(Calibrate.calibrate({ limit: null }))
    .through(Budget.fitBudget({ ...schemeOf(options), maxDrop: options.maxDrop, rankingSamples: 8 }))
    .through(Quantize.quantizeWithin(schemeOf(options)))
    .through(foldConstants.pass())
    .through(eliminateDeadCode.pass())
