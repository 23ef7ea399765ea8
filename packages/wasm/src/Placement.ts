/**
 * Placement: the memory plan while running, for programs whose sizes depend on symbols. One pass, the largest first, each
 * buffer at the lowest gap that is free during its life.
 */
export interface Wanted {
  readonly bytes: number
  readonly first: number
  readonly last: number
}

export interface Placed {
  /** Bytes from the arena's begin, in the order of what was wanted. */
  readonly offsets: ReadonlyArray<number>
  readonly peak: number
}

export const place = (wanted: ReadonlyArray<Wanted>, alignment: number): Placed => {
  const rounded = (bytes: number): number => Math.ceil(bytes / alignment) * alignment
  const offsets = new Array<number>(wanted.length).fill(0)
  const order = wanted
    .map((_, index) => index)
    .sort((a, b) => (wanted[b]?.bytes ?? 0) - (wanted[a]?.bytes ?? 0) || a - b)
  const placed: Array<Wanted & { readonly offset: number }> = []
  let peak = 0
  for (const index of order) {
    const one = wanted[index]
    if (one === undefined || one.bytes === 0) continue
    const size = rounded(one.bytes)
    let offset = 0
    // `placed` is sorted by offset.
    for (const other of placed) {
      if (other.first > one.last || one.first > other.last) continue
      if (other.offset - offset >= size) break
      offset = Math.max(offset, other.offset + rounded(other.bytes))
    }
    offsets[index] = offset
    peak = Math.max(peak, offset + size)
    const at = placed.findIndex((other) => other.offset > offset)
    placed.splice(at < 0 ? placed.length : at, 0, { ...one, offset })
  }
  return { offsets, peak }
}
