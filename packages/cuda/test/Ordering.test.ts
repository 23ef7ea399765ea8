import { assert, describe, it } from "@effect/vitest"
import * as Ordering from "@anneal/cuda/Ordering"

const access = (stream: number, time: number, start: number, end: number, writes: boolean): Ordering.Access => ({
  stream,
  time,
  start,
  end,
  writes,
  what: `work ${time} of ${stream}`
})

describe("Ordering", () => {
  it("finds a write and a read of the same bytes that nothing orders", () => {
    const history = [access(1, 1, 0, 64, true)]
    assert.strictEqual(Ordering.conflict(history, access(2, 1, 32, 40, false), new Map([[2, 1]])), history[0])
    assert.isUndefined(Ordering.conflict(history, access(2, 1, 64, 80, false), new Map([[2, 1]])))
    assert.isUndefined(
      Ordering.conflict(
        history,
        access(2, 1, 32, 40, false),
        new Map([
          [1, 1],
          [2, 1]
        ])
      )
    )
  })

  it("lets two reads and one stream's own work be", () => {
    assert.isUndefined(Ordering.conflict([access(1, 1, 0, 64, false)], access(2, 1, 0, 64, false), new Map()))
    assert.isUndefined(Ordering.conflict([access(1, 1, 0, 64, true)], access(1, 2, 0, 64, true), new Map()))
  })

  it("forgets only what a later access covers and comes after", () => {
    const clock = new Map([[1, 2]])
    const covered = Ordering.remember([access(1, 1, 8, 16, true)], access(1, 2, 0, 64, true), clock)
    assert.deepStrictEqual(
      covered.map((one) => one.time),
      [2]
    )
    const readAfterWrite = Ordering.remember([access(1, 1, 8, 16, true)], access(1, 2, 0, 64, false), clock)
    assert.deepStrictEqual(
      readAfterWrite.map((one) => one.time),
      [1, 2]
    )
    const unordered = Ordering.remember([access(3, 1, 8, 16, false)], access(1, 2, 0, 64, true), clock)
    assert.deepStrictEqual(
      unordered.map((one) => one.stream),
      [3, 1]
    )
  })

  it("merges clocks to the later of each stream", () => {
    const clock: Ordering.Clock = new Map([
      [1, 5],
      [2, 1]
    ])
    Ordering.merge(
      clock,
      new Map([
        [1, 3],
        [2, 4],
        [3, 7]
      ])
    )
    assert.deepStrictEqual(
      [...clock].sort(([a], [b]) => a - b),
      [
        [1, 5],
        [2, 4],
        [3, 7]
      ]
    )
  })

  it("keeps sets of bytes and finds what is not in them", () => {
    let ranges: Ordering.Ranges = []
    for (const [start, end] of [
      [10, 20],
      [30, 40],
      [20, 25],
      [5, 6],
      [7, 7]
    ] as const)
      ranges = Ordering.withRange(ranges, start, end)
    assert.deepStrictEqual(ranges, [
      { start: 5, end: 6 },
      { start: 10, end: 25 },
      { start: 30, end: 40 }
    ])
    assert.isUndefined(Ordering.firstGap(ranges, 12, 25))
    assert.deepStrictEqual(Ordering.firstGap(ranges, 12, 26), { start: 25, end: 26 })
    assert.deepStrictEqual(Ordering.firstGap(ranges, 0, 12), { start: 0, end: 5 })
    assert.deepStrictEqual(Ordering.firstGap([], 0, 1), { start: 0, end: 1 })
  })
})
