import { describe, it } from "@effect/vitest"
import { combineConcatSlice } from "@anneal/passes/CombineConcatSlice"
import { becomes, stays } from "./Rewriting.ts"

const cut = (start: number, size: number, step = 1) => `{"starts":[${start}],"sizes":[${size}],"steps":[${step}]}`

describe("combineConcatSlice", () => {
  it.effect("a slice of a slice, with steps", () =>
    becomes(
      combineConcatSlice,
      `input "x" %x : f32[12]
       %a : f32[5] = slice(%x) ${cut(1, 5, 2)}
       %y : f32[2] = slice(%a) ${cut(4, 2, -2)}
       output "y" = %y`,
      `input "x" %x : f32[12]
       %y : f32[2] = slice(%x) ${cut(9, 2, -4)}
       output "y" = %y`
    )
  )

  it.effect("a slice of one part, and neighbours put together", () =>
    becomes(
      combineConcatSlice,
      `input "x" %x : f32[4]
       input "z" %z : f32[6]
       %c : f32[10] = concat(%x, %z) {"axis":0}
       %y : f32[3] = slice(%c) ${cut(5, 3)}
       %a : f32[2] = slice(%z) ${cut(1, 2)}
       %b : f32[3] = slice(%z) ${cut(3, 3)}
       %d : f32[5] = concat(%a, %b) {"axis":-1}
       output "y" = %y
       output "d" = %d`,
      `input "x" %x : f32[4]
       input "z" %z : f32[6]
       %y : f32[3] = slice(%z) ${cut(1, 3)}
       %d : f32[5] = slice(%z) ${cut(1, 5)}
       output "y" = %y
       output "d" = %d`
    )
  )

  it.effect("a slice across parts, neighbours in the wrong order, gaps: all stay", () =>
    stays(
      combineConcatSlice,
      `input "x" %x : f32[4]
       input "z" %z : f32[6]
       %c : f32[10] = concat(%x, %z) {"axis":0}
       %y : f32[3] = slice(%c) ${cut(3, 3)}
       %a : f32[2] = slice(%z) ${cut(0, 2)}
       %b : f32[2] = slice(%z) ${cut(2, 2)}
       %d : f32[4] = concat(%b, %a) {"axis":0}
       %e : f32[2] = slice(%z) ${cut(3, 2)}
       %f : f32[4] = concat(%a, %e) {"axis":0}
       output "y" = %y
       output "d" = %d
       output "f" = %f`
    )
  )
})
