import { describe, it } from "@effect/vitest"
import { captureConstants } from "@anneal/passes/CaptureConstants"
import { becomes, stays } from "./Rewriting.ts"

const graph = (operands: string, outer: string, inner: string, inputs: string) =>
  `input "p" %p : bool[]
       input "x" %x : f32[3]
       input "h" %h : f32[]
       ${outer}
       %y : f32[3] = if(${operands}) with then graph "t" {
         input "x" %a : f32[3]
         ${inner}
         %r : f32[3] = mul(%a, %b)
         output "r" = %r
       } with else graph "e" {
         input "x" %a : f32[3]
         ${inputs}
         output "r" = %a
       }
       output "y" = %y
       output "h" = %h`

describe("captureConstants", () => {
  it.effect("a captured constant is the branch's own", () =>
    becomes(
      captureConstants,
      graph("%p, %x, %c", "constant %c : f32[] = 2", 'input "h" %b : f32[]', 'input "h" %b : f32[]'),
      graph("%p, %x", "", "constant %b : f32[] = 2", "constant %b : f32[] = 2")
    )
  )

  it.effect("a captured value is not", () =>
    stays(captureConstants, graph("%p, %x, %h", "", 'input "h" %b : f32[]', 'input "h" %b : f32[]'))
  )
})
