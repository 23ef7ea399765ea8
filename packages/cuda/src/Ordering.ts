/**
 * What happens before what, over streams and events, and whether two accesses to the same bytes are ordered.
 *
 * Each stream counts its work; a vector clock says how much of every stream is known to have ended before a point. An event
 * carries a clock from one stream to another; a wait on the host carries it to everything submitted afterwards.
 *
 *     write x on A · read x on B                          ⇒  race
 *     write x on A · record e on A · B waits e · read x   ⇒  ordered
 *
 * Source: Lamport, "Time, Clocks, and the Ordering of Events" (1978); Fidge and Mattern's vector clocks.
 */

/** How much of each stream's work is known to be over: stream → number of its works. */
export type Clock = Map<number, number>

export const merge = (into: Clock, from: ReadonlyMap<number, number>): void => {
  for (const [stream, time] of from) if ((into.get(stream) ?? 0) < time) into.set(stream, time)
}

/** Bytes `start` to `end` of a memory object, touched by the `time`-th work of `stream`. */
export interface Access {
  readonly stream: number
  readonly time: number
  readonly start: number
  readonly end: number
  readonly writes: boolean
  readonly what: string
}

export const overlaps = (a: { start: number; end: number }, b: { start: number; end: number }): boolean =>
  a.start < b.end && b.start < a.end

/** Whether an earlier access is over before a work that knows `clock`. */
export const isBefore = (earlier: Access, clock: ReadonlyMap<number, number>): boolean =>
  (clock.get(earlier.stream) ?? 0) >= earlier.time

/** The first earlier access that the new one conflicts with: same bytes, one of them writes, no order between them. */
export const conflict = (
  history: ReadonlyArray<Access>,
  access: Access,
  clock: ReadonlyMap<number, number>
): Access | undefined =>
  history.find(
    (earlier) =>
      earlier.stream !== access.stream &&
      (earlier.writes || access.writes) &&
      overlaps(earlier, access) &&
      !isBefore(earlier, clock)
  )

/** The history with the new access in it, without what it makes irrelevant: whatever it covers and comes after. */
export const remember = (
  history: ReadonlyArray<Access>,
  access: Access,
  clock: ReadonlyMap<number, number>
): Array<Access> => {
  const kept = history.filter((earlier) => {
    const covered = access.start <= earlier.start && access.end >= earlier.end
    const after = earlier.stream === access.stream || isBefore(earlier, clock)
    return !(covered && after && (access.writes || !earlier.writes))
  })
  kept.push(access)
  return kept
}

/** A set of bytes, as sorted ranges that do not touch. */
export type Ranges = ReadonlyArray<{ readonly start: number; readonly end: number }>

export const withRange = (ranges: Ranges, start: number, end: number): Ranges => {
  if (start >= end) return ranges
  const result: Array<{ start: number; end: number }> = []
  const added = { start, end }
  for (const range of ranges) {
    if (range.end < added.start || range.start > added.end) result.push(range)
    else {
      added.start = Math.min(added.start, range.start)
      added.end = Math.max(added.end, range.end)
    }
  }
  result.push(added)
  return result.sort((a, b) => a.start - b.start)
}

/** The first part of `start` to `end` that is not in the set. */
export const firstGap = (ranges: Ranges, start: number, end: number): { start: number; end: number } | undefined => {
  let at = start
  for (const range of ranges) {
    if (at >= end) return undefined
    if (range.end <= at) continue
    if (range.start > at) return { start: at, end: Math.min(range.start, end) }
    at = range.end
  }
  return at < end ? { start: at, end } : undefined
}
