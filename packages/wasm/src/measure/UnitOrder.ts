/**
 * UnitOrder: the units of a kernel as threads may compute them: one by one, in one order and in the other.
 *
 *   4 units   ⇒   0 | 1 | 2 | 3   and   3 | 2 | 1 | 0
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

/** Which unit comes first. */
export type Order = "first" | "last"

/** One by one, unless there are very many. */
export const pieces = (units: number, from: Order): ReadonlyArray<Range> => {
  const ranges: Array<Range> = []
  for (let end = units; end > 0;) {
    const inside = units > 2 * alone + between && end <= units - alone && end > alone
    const size = inside ? Math.min(end - alone, Math.ceil((units - 2 * alone) / between)) : 1
    ranges.push([end - size, end])
    end -= size
  }
  return from === "last" ? ranges : ranges.reverse()
}
