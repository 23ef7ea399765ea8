import * as Ops from "@anneal/ir/Ops"
import * as Text from "@anneal/ir/Text"
import * as Verify from "@anneal/ir/Verify"
import { assert, describe, it } from "@effect/vitest"

const problems = (text: string): ReadonlyArray<string> =>
  Verify.verify(Text.parse(text, { ops: Ops.table() })).map(({ at, detail }) => `${at}: ${detail}`)

describe("the verifier", () => {
  it("finds types that inference does not give", () => {
    const found = problems(`graph "g" {
      input "x" %x : f32[2, 3]
      %y : f32[3, 3] = transpose(%x) {"permutation":[1,0]}
      output "y" = %y
    }`)
    assert.deepStrictEqual(found, ["transpose %y: result 0 has type f32[3, 3], inference says f32[3, 2]"])
  })

  it("finds sizes that are used before a node defines them", () => {
    const found = problems(`graph "g" {
      input "x" %x : f32[6]
      input "n" %n : i64[1]
      %a : f32[u0] = slice(%x) {"starts":[0],"sizes":["u0"],"steps":[1]}
      %m : i64[1] = readDims(%n) {"symbols":["u0"]}
      output "y" = %a
    }`)
    assert.include(found.join("\n"), "size u0 is used before a node defines it")
  })

  it("finds state that is used after it was overwritten", () => {
    const text = (order: ReadonlyArray<string>): string => `graph "g" {
      input "past" %past : f32[4]
      ${order.join("\n")}
      output "present" = %present
      output "old" = %old
      alias ["past", "present"]
    }`
    const present = "%present : f32[4] = exp(%past)"
    const old = "%old : f32[4] = neg(%past)"
    assert.deepStrictEqual(problems(text([old, present])), [])
    assert.match(problems(text([present, old])).join(), /uses the old value after the new one is made/)
  })

  it("checks sub-graphs, with their operands", () => {
    const found = problems(`graph "g" {
      input "c" %c : bool[]
      input "x" %x : f32[2]
      %y : f32[2] = if(%c, %x) with then graph "t" {
        input "x" %x : f32[2]
        %r : f32[3] = relu(%x)
        output "r" = %r
      } with else graph "e" {
        input "x" %x : f32[2]
        output "r" = %x
      }
      output "y" = %y
    }`)
    assert.match(found.join("\n"), /if %y\.then: relu %r: result 0 has type f32\[3\]/)
  })
})
