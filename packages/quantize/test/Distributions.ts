/** Values to calibrate on, from seeds; and a calibrator's result however the values arrive. */
import * as Numbers from "@anneal/ir/Numbers"
import { Calibrator, type Range, type RangeScheme } from "@anneal/pipeline/Calibrator"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"

/** Uniform in [0, 1). */
export const uniform = (seed: number): (() => number) => {
  let state = (seed >>> 0) + 1
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/** Nearly normal, of deviation 1. */
export const normal = (count: number, seed: number): Array<number> => {
  const next = uniform(seed)
  return Array.from({ length: count }, () => Array.from({ length: 12 }, next).reduce((a, b) => a + b, -6))
}

export const int8: RangeScheme = { bits: 8, symmetric: true }
export const uint8: RangeScheme = { bits: 8, symmetric: false }

const tensor = (values: ReadonlyArray<number>) => Numbers.fromNumbers("f64", [values.length], values)

/** What a calibrator says after all values in one tensor. */
export const rangeOf = (layer: Layer.Layer<Calibrator>, values: ReadonlyArray<number>, scheme = int8) =>
  Effect.map(Effect.provide(Effect.service(Calibrator), layer), (calibrator) =>
    calibrator.with((calibration) => calibration.finish(calibration.observe(calibration.empty, tensor(values)), scheme))
  )

/** The same values shuffled, cut into batches, some observed in turn and some merged in a random tree. */
export const rangeOfPieces = (
  layer: Layer.Layer<Calibrator>,
  values: ReadonlyArray<number>,
  seed: number,
  scheme = int8
): Effect.Effect<Range | undefined> =>
  Effect.map(Effect.provide(Effect.service(Calibrator), layer), (calibrator) =>
    calibrator.with((calibration) => {
      const next = uniform(seed)
      const shuffled = values
        .map((value) => ({ value, key: next() }))
        .toSorted((a, b) => a.key - b.key)
        .map(({ value }) => value)
      const summaries = [calibration.empty]
      for (let from = 0; from < shuffled.length;) {
        const size = 1 + Math.floor(next() * 5)
        const batch = tensor(shuffled.slice(from, from + size))
        from += size
        const into = Math.floor(next() * (summaries.length + 1))
        summaries[into] = calibration.observe(summaries[into] ?? calibration.empty, batch)
      }
      while (summaries.length > 1) {
        const [a] = summaries.splice(Math.floor(next() * summaries.length), 1)
        const other = Math.floor(next() * summaries.length)
        summaries[other] = calibration.merge(a ?? calibration.empty, summaries[other] ?? calibration.empty)
      }
      return calibration.finish(summaries[0] ?? calibration.empty, scheme)
    })
  )
