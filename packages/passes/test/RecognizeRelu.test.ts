import { describe, it } from "@effect/vitest"
import { recognizeRelu } from "@anneal/passes/RecognizeRelu"
import { becomes, stays } from "./Rewriting.ts"

describe("recognizeRelu", () => {
  it.effect("max(x, 0), max(0, x), clip from 0", () =>
    becomes(
      recognizeRelu,
      `input "x" %x : f32[n]
       constant %zero : f32[] = 0
       constant %zeros : f32[1] = [0]
       %a : f32[n] = max(%x, %zero)
       %b : f32[n] = max(%zeros, %a)
       %c : f32[n] = clip(%b, %zero)
       output "c" = %c`,
      `input "x" %x : f32[n]
       %a : f32[n] = relu(%x)
       %b : f32[n] = relu(%a)
       %c : f32[n] = relu(%b)
       output "c" = %c`
    )
  )

  it.effect("another limit, an upper limit, a maximum that broadcasts, unsigned elements: all stay", () =>
    stays(
      recognizeRelu,
      `input "x" %x : f32[3]
       input "u" %u : u8[3]
       constant %zero : f32[] = 0
       constant %none : u8[] = 0
       constant %one : f32[] = 1
       constant %column : f32[2, 1] = [0, 0]
       %a : f32[3] = max(%x, %one)
       %b : f32[3] = clip(%x, %zero, %one)
       %c : f32[2, 3] = max(%x, %column)
       %d : f32[3] = min(%x, %zero)
       %e : u8[3] = max(%u, %none)
       output "a" = %a
       output "b" = %b
       output "c" = %c
       output "d" = %d
       output "e" = %e`
    )
  )
})
