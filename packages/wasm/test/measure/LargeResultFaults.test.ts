// Faults at an end of a large result, with the effort that a build spends which does not tune.
import { f32, i32 } from "@anneal/wasm/Instruction"
import * as Candidates from "@anneal/wasm/Candidates"
import * as Target from "@anneal/wasm/Target"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cases from "../kernels/ContractionCases.ts"
import type { Family } from "./FaultFamilies.ts"
import { around, measured, none, patience } from "./FaultFamilies.ts"
import type { Fault } from "./PlantedFaults.ts"
import * as Plant from "./PlantedFaults.ts"
import { plus } from "./PlantedFaults.ts"
import { at } from "./SpoiledRegion.ts"

// Of results like these the definition is asked for few: what is wrong at an end of an axis, and nowhere else, is found all
// the same.
const largeRegion = Cases.contraction({ m: 203, n: 301, k: 997 })
const large = (): Family => {
  const kernels = Candidates.candidates(largeRegion, none, Target.plain)
  const kernel = kernels.find(({ packed }) => packed.length > 0 && packed.every(({ read }) => read === 1))
  if (kernel === undefined) throw new Error("no kernel packs the right operand")
  return { subject: { region: largeRegion, program: around(largeRegion, ["b"]), typical: none, kernels }, kernel }
}
const [rowsOfLarge, columnsOfLarge] = [203, 301]

/** Elements of the result from `first` on, `count` of them, `step` apart, are off by one in a hundred. */
const spoiled = (first: number, count: number, step: number): Fault =>
  Plant.beside("after", (f, args) =>
    f.if(i32.eq(at(args, -1), i32.const(unitsOfLarge())), () =>
      f.range(0, count, 1, (i) => {
        const place = plus(i32.add(at(args, 3), i32.mul(f.get(i), i32.const(4 * step))), 4 * first)
        f.do(f32.store(place, f32.add(f32.mul(f32.load(place), f32.const(1.01)), f32.const(0.01))))
      })
    )
  )
const unitsOfLarge = (): number => {
  const { units } = large().kernel
  if (typeof units !== "number") throw new Error("its units are not known")
  return units
}

const atTheEnd: ReadonlyArray<readonly [name: string, fault: () => Fault]> = [
  ["the last row", () => spoiled((rowsOfLarge - 1) * columnsOfLarge, columnsOfLarge, 1)],
  ["the last but one row", () => spoiled((rowsOfLarge - 2) * columnsOfLarge, columnsOfLarge, 1)],
  ["the last column", () => spoiled(columnsOfLarge - 1, rowsOfLarge, columnsOfLarge)],
  ["the column where the last vector begins", () => spoiled(columnsOfLarge - 5, rowsOfLarge, columnsOfLarge)],
  ["the first row", () => spoiled(0, columnsOfLarge, 1)],
  ["the last element", () => spoiled(rowsOfLarge * columnsOfLarge - 1, 1, 1)]
]

describe("faults at an end of a large result, with the least effort", () => {
  it.live(
    "are none in the kernel as it is",
    () =>
      Effect.gen(function* () {
        const family = large()
        expect(yield* measured(family, family.kernel, undefined, 30_000)).toBeGreaterThanOrEqual(1)
      }),
    patience
  )
  for (const [name, fault] of atTheEnd)
    it.live(
      `are found in ${name}`,
      () =>
        Effect.gen(function* () {
          const family = large()
          const planted = fault()(family.kernel, family.subject.region, Target.plain)
          const error = yield* Effect.flip(measured(family, planted, undefined, 30_000))
          expect(error).toMatchObject({ _tag: "Rejected", reason: "Wrong" })
          // Against the definition: not because pieces of its units give other results.
          expect(error.message).toContain("it should be")
        }),
      patience
    )
})
