/**
 * UnitOrder: the units of a kernel in pieces that other threads may compute, in an order that a call for all of them does
 * not have.
 *
 *   4 units, all in one call: 0 1 2 3     one by one, the last first: 3 | 2 | 1 | 0
 *
 * Of any two units each comes first in one of the two. So a unit that writes something else where another's results lie, or
 * that reads what another has written, leaves other bytes in one of them.
 */

/** Units from `begin` to `end`. */
export type Range = readonly [begin: number, end: number]

/** Units at either end that stand alone where there are very many. */
const alone = 16
/** Pieces of those between. */
const between = 32

/** The last first; one by one, unless there are very many. */
export const backwards = (units: number): ReadonlyArray<Range> => {
  const ranges: Array<Range> = []
  for (let end = units; end > 0;) {
    const inside = units > 2 * alone + between && end <= units - alone && end > alone
    const size = inside ? Math.min(end - alone, Math.ceil((units - 2 * alone) / between)) : 1
    ranges.push([end - size, end])
    end -= size
  }
  return ranges
}
