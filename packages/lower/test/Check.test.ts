// Faults planted in sound programs are found.
import { assert, describe, it } from "@effect/vitest"
import * as Check from "@anneal/lower/Check"
import type { Program, Step } from "@anneal/lower/Program"
import type { Region } from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import { planned } from "./Agreement.ts"
import { parse } from "./Regions.ts"

const program = planned(
  parse(`
    input "x" %x : f32[3, 4]
    input "i" %i : i64[2]
    %a : f32[3, 4] = exp(%x)
    %g : f32[2, 4] = gather(%a, %i) {"axis":0}
    %s : f32[2, 4] = softmax(%g) {"axis":1}
    %c : f32[5, 4] = concat(%s, %a) {"axis":0}
    output "y" = %c
    output "a" = %a`)
)

const noSizes = new Map<string, number>()

/** The program with one of its regions changed. */
const changed = (which: number, change: (region: Region) => Region): Program => {
  let at = 0
  const steps = program.steps.map((step): Step => {
    if (step.kind !== "region" || at++ !== which) return step
    return { kind: "region", region: change(step.region), tactic: step.tactic }
  })
  return { ...program, steps }
}

const write = (region: Region, change: (view: View) => View): Region =>
  region.kind === "loop"
    ? { ...region, results: region.results.map(({ value, view }) => ({ value, view: change(view) })) }
    : region

const read = (region: Region, change: (view: View) => View): Region =>
  region.kind === "loop" ? { ...region, operands: region.operands.map(change) } : region

describe("a program", () => {
  it("that is sound has no problems", () => {
    assert.deepStrictEqual(Check.check(program, noSizes), [])
  })

  it("is unsound without one of its steps, each of them", () => {
    for (const [gone] of program.steps.entries()) {
      const problems = Check.check({ ...program, steps: program.steps.filter((_, at) => at !== gone) }, noSizes)
      assert.match(problems.join(), /before it is written/, `step ${gone}`)
    }
  })

  it("is unsound with a step done twice", () => {
    const [first] = program.steps
    if (first === undefined) return assert.fail("no step")
    const problems = Check.check({ ...program, steps: [first, ...program.steps] }, noSizes).join()
    assert.match(problems, /written twice/)
    assert.match(problems, /two regions have this id/)
  })

  it("is unsound when steps change places", () => {
    const problems = Check.check({ ...program, steps: [...program.steps].reverse() }, noSizes)
    assert.match(problems.join(), /before it is written/)
  })

  it("does not leave its buffers, at either end", () => {
    for (const shift of [-1, 1]) {
      const problems = Check.check(
        changed(0, (region) => write(region, (view) => ({ ...view, offset: Number(view.offset) + shift }))),
        noSizes
      )
      assert.match(problems.join(), /is outside 12/)
    }
  })

  it("does not write an element twice by a stride of 0, nor to its inputs", () => {
    const flat = changed(0, (region) => write(region, (view) => ({ ...view, strides: view.strides.map(() => 0) })))
    assert.match(Check.check(flat, noSizes).join(), /written twice/)
    const input = changed(0, (region) => write(region, (view) => ({ ...view, buffer: "input x" })))
    assert.match(Check.check(input, noSizes).join(), /it writes the input/)
  })

  it("reads and writes elements of the right dtypes, over its domain", () => {
    const wrong = changed(0, (region) => write(region, (view) => ({ ...view, dtype: "f64" })))
    assert.match(Check.check(wrong, noSizes).join(), /holds f32, the view says f64/)
    const loaded = changed(0, (region) => read(region, (view) => ({ ...view, dtype: "i32" })))
    assert.match(Check.check(loaded, noSizes).join(), /is i32, loaded as f32/)
    const short = changed(0, (region) => read(region, (view) => ({ ...view, shape: [3] })))
    assert.match(Check.check(short, noSizes).join(), /in a domain of/)
  })

  it("knows every size", () => {
    const free = planned(
      parse(`
        input "x" %x : f32[n]
        %y : f32[n] = exp(%x)
        output "y" = %y`)
    )
    assert.deepStrictEqual(Check.check(free, new Map([["n", 3]])), [])
    assert.match(Check.check(free, noSizes).join(), /a size has no value/)
  })

  it("writes the results of a branch on both sides", () => {
    const branch = planned(
      parse(`
        input "c" %c : bool[]
        input "x" %x : f32[2]
        %y : f32[2] = if(%c, %x) with then graph "then" {
          input "x" %x : f32[2]
          %a : f32[2] = exp(%x)
          output "a" = %a
        } with else graph "else" {
          input "x" %x : f32[2]
          %a : f32[2] = neg(%x)
          output "a" = %a
        }
        output "y" = %y`)
    )
    assert.deepStrictEqual(Check.check(branch, noSizes), [])
    const steps = branch.steps.map((step): Step => (step.kind === "branch" ? { ...step, whenFalse: [] } : step))
    assert.match(Check.check({ ...branch, steps }, noSizes).join(), /before it is written/)
  })
})
