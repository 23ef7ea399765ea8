// Choices from a seed: the same on every machine.
//
//   const random = Random.make(7); random.integer(0, 3); random.pick(["a", "b"])
//
// Mulberry32 (Tommy Ettinger): a counter, mixed.

export interface Random {
  /** Uniform in [0, 1). */
  readonly next: () => number
  /** Uniform among the integers of [low, high]. */
  readonly integer: (low: number, high: number) => number
  /** Undefined for an empty list. */
  readonly pick: <A>(list: ReadonlyArray<A>) => A | undefined
  /** True with probability `share`. */
  readonly chance: (share: number) => boolean
  /** The list in another order. */
  readonly shuffled: <A>(list: ReadonlyArray<A>) => ReadonlyArray<A>
}

export const make = (seed: number): Random => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
  return {
    next,
    integer: (low, high) => low + Math.floor((high - low + 1) * next()),
    pick: (list) => list[Math.floor(list.length * next())],
    chance: (share) => next() < share,
    shuffled: (list) =>
      list
        .map((item) => ({ item, key: next() }))
        .toSorted((a, b) => a.key - b.key)
        .map(({ item }) => item)
  }
}
