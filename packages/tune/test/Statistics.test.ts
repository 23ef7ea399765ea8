import { describe, expect, it } from "vitest"
import * as Seeded from "@anneal/tune/Seeded"
import * as Statistics from "@anneal/tune/Statistics"

describe("Statistics", () => {
  it("median and spread are not moved by wild values", () => {
    expect(Statistics.median([3, 1, 2])).toBe(2)
    expect(Statistics.median([4, 1, 2, 3])).toBe(2.5)
    expect(Statistics.median([])).toBeNaN()
    expect(Statistics.spread([1, 2, 3, 4, 1e9])).toBeCloseTo(1.4826)
    expect(Statistics.spread([5, 5, 5])).toBe(0)
  })

  it("the fit takes out what rounds have in common, exactly where there is nothing else", () => {
    const slowness = [0, 0.2, -0.1, 0.5, 0, 0.3, 0.1]
    const scores = [1, 1.5, 3]
    const fit = Statistics.fit(scores.map((score) => slowness.map((slow) => score + slow)))
    expect((fit.score[1] ?? 0) - (fit.score[0] ?? 0)).toBeCloseTo(0.5, 12)
    expect((fit.score[2] ?? 0) - (fit.score[0] ?? 0)).toBeCloseTo(2, 12)
    expect(Math.max(...fit.spread)).toBeLessThan(1e-12)
  })

  it("lanes that were dropped early compare with those that stayed, though the clock slowed since", () => {
    const slowness = [0, 0, 0, 0, 0.22, 0.22, 0.22, 0.22, 0.22, 0.22, 0.22, 0.22]
    const whole = (score: number) => slowness.map((slow) => score + slow)
    const early = (score: number) => slowness.map((slow, round) => (round < 4 ? score + slow : undefined))
    const { score, rounds } = Statistics.fit([whole(1), whole(1.1), early(1.05), early(1.2)])
    expect((score[2] ?? 0) - (score[0] ?? 0)).toBeCloseTo(0.05, 10)
    expect((score[3] ?? 0) - (score[0] ?? 0)).toBeCloseTo(0.2, 10)
    expect(rounds).toEqual([4, 4, 4, 4])
  })

  it("a neighbour in four rounds of five, that hurts one lane more, does not decide", () => {
    const random = Seeded.make("neighbour")
    const busy = Array.from({ length: 30 }, (_, round) => round % 5 >= 1)
    const lane = (score: number, harm: number) =>
      busy.map((isBusy) => score + 0.005 * random.normal() + (isBusy ? harm : 0))
    const { score } = Statistics.fit([lane(1, 0.5), lane(1.04, 0.1), lane(2, 0.3)])
    expect((score[1] ?? 0) - (score[0] ?? 0)).toBeGreaterThan(0.03)
    expect((score[1] ?? 0) - (score[0] ?? 0)).toBeLessThan(0.05)
  })

  it("nothing measured gives no number", () => {
    expect(Statistics.fit([]).score).toEqual([])
    expect(
      Statistics.fit([
        [undefined, undefined],
        [1, 1]
      ]).score[0]
    ).toBeNaN()
  })
})
