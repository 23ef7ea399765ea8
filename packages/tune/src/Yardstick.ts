/**
 * Yardstick: the work that times of different hours are compared by: the ratio to it stays when the clock does not.
 * This one is a chain of 2,000 dependent multiply-adds in this thread, for measurers that bring none of their own. It
 * follows the clock of the processor; it does not follow memory.
 */
import type { Run } from "@anneal/pipeline/Measurer"
import * as Effect from "effect/Effect"

const LENGTH = 2_000

const chain = (iterations: number): number => {
  let value = 1
  for (let i = 0; i < iterations; i++) {
    for (let j = 0; j < LENGTH; j++) value = value * 0.999 + 0.001
  }
  return value
}

/** Nanoseconds for so many chains. */
export const spin: Run = ({ iterations }) =>
  Effect.sync(() => {
    const start = process.hrtime.bigint()
    // The result is used, so that the loop may not be left out.
    const value = chain(iterations)
    const took = Number(process.hrtime.bigint() - start)
    return value < 0 ? Number.NaN : Math.max(1, took)
  })
