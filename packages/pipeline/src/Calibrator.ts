/**
 * Calibrator: from the values that a tensor took on the samples to the range that its integers should cover.
 *
 * It sees one tensor of one run at a time and keeps a summary. The result must not depend on the order of the samples
 * or on how they were batched: `merge` is associative and commutative, and `observe` of a batch equals the merge of
 * its elements' summaries. Layers are in `packages/quantize`.
 */
import type * as Tensor from "@anneal/ir/Tensor"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"
import type { Identified } from "./Key.ts"

/** The closed interval of real values that the integers should cover. `min ≤ max`. */
export const Range = Schema.Struct({ min: Schema.Finite, max: Schema.Finite })
export type Range = typeof Range.Type

/** What a calibrator is told about the integers that the range is for. */
export interface RangeScheme {
  readonly bits: number
  readonly symmetric: boolean
}

/** `Summary` is the calibrator's own (a histogram); it is immutable, and nobody else looks into it. */
export interface Calibration<Summary> {
  readonly empty: Summary
  readonly observe: (summary: Summary, tensor: Tensor.Tensor) => Summary
  readonly merge: (a: Summary, b: Summary) => Summary
  /** The range of everything observed; `undefined` when nothing finite was. */
  readonly finish: (summary: Summary, scheme: RangeScheme) => Range | undefined
}

export interface CalibratorService extends Identified {
  readonly name: string
  /** Hands the calibration to `use`, whatever its summary is. */
  readonly with: <Result>(use: <Summary>(calibration: Calibration<Summary>) => Result) => Result
}

export class Calibrator extends Context.Service<Calibrator, CalibratorService>()("@anneal/pipeline/Calibrator") {}

/** A service of a calibration; hides the summary's type. */
export const make = <Summary>(
  options: Identified & { readonly name: string; readonly calibration: Calibration<Summary> }
): CalibratorService => ({
  name: options.name,
  identity: options.identity,
  with: (use) => use(options.calibration)
})
