// The way of runs that takes less time is kept, tried anew now and then, and little is lost by trying.
import { ThreadChoice } from "@anneal/wasm/ThreadChoice"
import { expect, it } from "vitest"

/** Times of so many runs, and how many of them were shared. */
const runs = (choice: ThreadChoice, count: number, times: { readonly shared: number; readonly alone: number }) => {
  let total = 0
  let shared = 0
  for (let run = 0; run < count; run++) {
    const way = choice.next()
    if (way === "shared") shared++
    total += times[way]
    choice.took(way, times[way])
  }
  return { total, shared }
}

it("is on all threads at first, then both ways in turns", () => {
  const choice = new ThreadChoice()
  expect(runs(choice, 4, { shared: 9, alone: 1 }).shared).toBe(4)
  expect(runs(choice, 4, { shared: 9, alone: 1 }).shared).toBe(2)
})

it("keeps threads where they help, at a small loss", () => {
  const { shared, total } = runs(new ThreadChoice(), 5000, { shared: 1, alone: 2 })
  expect(shared).toBeGreaterThan(4950)
  expect(total).toBeLessThan(5000 * 1.01)
})

it("leaves threads where they don't help, at a small loss", () => {
  const { shared, total } = runs(new ThreadChoice(), 5000, { shared: 2, alone: 1 })
  expect(shared).toBeLessThan(60)
  expect(total).toBeLessThan(5000 * 1.02)
})

it("prefers one thread where both are as fast", () => {
  expect(runs(new ThreadChoice(), 5000, { shared: 1, alone: 1 }).shared).toBeLessThan(60)
})

it("comes back to threads when a core is free again, and leaves them when it is taken", () => {
  const choice = new ThreadChoice()
  runs(choice, 300, { shared: 3, alone: 2 })
  runs(choice, 1100, { shared: 1.1, alone: 2 })
  expect(runs(choice, 40, { shared: 1.1, alone: 2 }).shared).toBeGreaterThan(36)
  runs(choice, 1100, { shared: 3, alone: 2 })
  expect(runs(choice, 40, { shared: 3, alone: 2 }).shared).toBeLessThan(4)
})

it("is not misled by a disturbed run", () => {
  const choice = new ThreadChoice()
  runs(choice, 8, { shared: 1, alone: 2 })
  for (let run = 0; run < 6; run++) {
    const way = choice.next()
    choice.took(way, way === "alone" ? 2 : run === 4 ? 50 : 1)
  }
  expect(choice.next()).toBe("shared")
})

it("is not misled by a disturbed run later on", () => {
  const choice = new ThreadChoice()
  runs(choice, 20, { shared: 1, alone: 2 })
  for (let run = 0; run < 20; run++) choice.took("shared", run === 10 ? 50 : 1)
  expect(choice.next()).toBe("shared")
})

/**
 * Two cores with a clock of their own, in milliseconds. A neighbour takes the second core for its slices: a shared run that
 * has given work to the worker waits for the slice to end. Where the core is free a shared run takes `gain` of one thread's.
 */
const machine = (
  alone: number,
  gain: number,
  neighbour: (now: number) => { readonly busyUntil: number } | undefined
) => {
  let now = 0
  let total = { time: 0, alone: 0 }
  return {
    run: (choice: ThreadChoice): void => {
      const way = choice.next()
      const begin = now
      if (way === "alone") now += alone
      else {
        const free = now + gain * alone
        const taken = neighbour(now) ?? neighbour(free)
        // The worker holds a piece until it has the core again; the calling thread has done all others by then.
        now = taken === undefined ? free : Math.max(now + alone, taken.busyUntil + alone / 8)
      }
      choice.took(way, now - begin)
      total = { time: total.time + now - begin, alone: total.alone + alone }
    },
    get now() {
      return now
    },
    /** One thread's time by ours since the last time that this was asked. */
    ratio: (): number => {
      const { alone: expected, time } = total
      total = { time: 0, alone: 0 }
      return expected / time
    }
  }
}

/** From `from` on a core is taken for `busy` of each `period`. */
const slices =
  (from: number, period: number, busy: number) =>
  (now: number): { readonly busyUntil: number } | undefined => {
    if (now < from) return undefined
    const begin = from + Math.floor((now - from) / period) * period
    return now < begin + busy ? { busyUntil: begin + busy } : undefined
  }

const cases = [0.05, 0.3, 1, 2, 7, 30].flatMap((alone) =>
  [
    [4, 4],
    [6, 3],
    [8, 3],
    [20, 4],
    [100, 10],
    [250, 200]
  ].map(([period = 1, busy = 1]) => ({ alone, period, busy }))
)

it.each(cases)("is never under 0.9 of one thread: runs of $alone ms, a core taken $busy of $period ms", (one) => {
  const { alone, busy, period } = one
  const choice = new ThreadChoice()
  const start = 2_000 * alone
  const two = machine(alone, 0.55, slices(start, period, busy))
  while (two.now < start / 2) two.run(choice)
  two.ratio()
  while (two.now < start * 0.95) two.run(choice)
  expect(two.ratio()).toBeGreaterThan(1.6)
  // Half as many runs again, or ten seconds, whatever is more.
  const end = start + Math.max(1_000 * alone, 10_000)
  while (two.now < end) two.run(choice)
  expect(two.ratio()).toBeGreaterThan(0.9)
})

it("is never under 0.9 of one thread where a neighbour is there from the beginning", () => {
  for (const alone of [0.1, 1, 5]) {
    const choice = new ThreadChoice()
    const two = machine(alone, 0.55, slices(0, 6, 3))
    while (two.now < 5_000) two.run(choice)
    expect(two.ratio()).toBeGreaterThan(0.9)
  }
})
