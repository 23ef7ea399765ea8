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

it("is on all threads at first", () => {
  expect(runs(new ThreadChoice(), 8, { shared: 9, alone: 1 }).shared).toBe(8)
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
