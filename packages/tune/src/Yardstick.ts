/**
 * Yardstick: the work that times of different hours are compared by: the ratio to it stays when the clock does not.
 *
 * This one is for measurers that bring none of their own: multiply-adds over 16 KiB of numbers, in eight chains, in this
 * thread. Eight, so that it is limited by what the core can do at once and not by waiting: then who shares the core slows
 * it as it slows kernels.
 */
import type { Run } from "@anneal/pipeline/Measurer"
import * as Effect from "effect/Effect"

const cells = Float64Array.from({ length: 2048 }, (_, i) => 1 / (1 + i))

const pass = (): number => {
  let [a, b, c, d, e, f, g, h] = [0, 0, 0, 0, 0, 0, 0, 0]
  for (let i = 0; i < cells.length; i += 8) {
    a = a * 0.5 + (cells[i] ?? 0)
    b = b * 0.5 + (cells[i + 1] ?? 0)
    c = c * 0.5 + (cells[i + 2] ?? 0)
    d = d * 0.5 + (cells[i + 3] ?? 0)
    e = e * 0.5 + (cells[i + 4] ?? 0)
    f = f * 0.5 + (cells[i + 5] ?? 0)
    g = g * 0.5 + (cells[i + 6] ?? 0)
    h = h * 0.5 + (cells[i + 7] ?? 0)
  }
  return a + b + c + d + e + f + g + h
}

/** Nanoseconds for so many passes. */
export const spin: Run = ({ iterations }) =>
  Effect.sync(() => {
    let sum = 0
    const start = process.hrtime.bigint()
    for (let i = 0; i < iterations; i++) sum += pass()
    const took = Number(process.hrtime.bigint() - start)
    // The sum is used, so that the work may not be left out.
    return sum < 0 ? Number.NaN : Math.max(1, took)
  })
