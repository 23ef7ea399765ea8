// Bounds of data movement: the kernel itself moves them.
import type { Bound, BoundRule } from "../BoundRule.ts"
import { boundOf, hasErrors, rerun, tensorOf } from "../BoundRule.ts"

/** Bounds of the `data` operands moved as the data are; the other operands (indices) are given as they are. */
export const movement = (data: ReadonlyArray<number> | "all"): BoundRule =>
  function* (call): Generator<void, ReadonlyArray<Bound>> {
    const isData = (position: number): boolean => data === "all" || data.includes(position)
    const indicesAreUncertain = call.bounds.some((bound, i) => !isData(i) && hasErrors(bound))
    if (indicesAreUncertain) return call.results.map((result) => new Float64Array(result.data.length).fill(Infinity))
    if (!call.bounds.some((bound, i) => isData(i) && hasErrors(bound))) return [undefined]
    const inputs = call.inputs.map((input, i) =>
      input === undefined || !isData(i) ? input : tensorOf(input.shape, boundOf(call, i))
    )
    return [yield* rerun(call, inputs)]
  }
