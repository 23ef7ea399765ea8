import { describe, it } from "@effect/vitest"
import { absorbPad } from "@anneal/passes/AbsorbPad"
import { becomes, stays } from "./Rewriting.ts"

const conv = (begin: number, end: number) =>
  `{"strides":[2],"padsBegin":[${begin}],"padsEnd":[${end}],"dilations":[1],"groups":1}`
const pool = (begin: number, end: number, includePad: boolean, ceil = false) =>
  `{"kernel":[2],"strides":[1],"padsBegin":[${begin}],"padsEnd":[${end}],"dilations":[1],"ceil":${ceil},"includePad":${includePad}}`
const maxPool = (begin: number, end: number) =>
  `{"kernel":[2],"strides":[1],"padsBegin":[${begin}],"padsEnd":[${end}],"dilations":[1],"ceil":false,"indexOrder":"rowMajor"}`

describe("absorbPad", () => {
  it.effect("zeros before a convolution are its pads", () =>
    becomes(
      absorbPad,
      `input "x" %x : f32[n, 1, 6]
       constant %w : f32[2, 1, 2] = [1, 2, 3, 4]
       constant %zero : f32[] = 0
       %a : f32[n, 1, 9] = pad(%x, %zero) {"before":[0,0,1],"after":[0,0,2],"mode":"constant"}
       %y : f32[n, 2, 5] = conv(%a, %w) ${conv(1, 0)}
       output "y" = %y`,
      `input "x" %x : f32[n, 1, 6]
       constant %w : f32[2, 1, 2] = [1, 2, 3, 4]
       %y : f32[n, 2, 5] = conv(%x, %w) ${conv(2, 2)}
       output "y" = %y`
    )
  )

  it.effect("zeros before a mean count, −∞ before a maximum does not", () =>
    becomes(
      absorbPad,
      `input "x" %x : f32[1, 1, 4]
       constant %low : f32[] = -Infinity
       %a : f32[1, 1, 6] = pad(%x) {"before":[0,0,1],"after":[0,0,1],"mode":"constant"}
       %b : f32[1, 1, 5] = averagePool(%a) ${pool(0, 0, false)}
       %c : f32[1, 1, 5] = pad(%x, %low) {"before":[0,0,1],"after":[0,0,0],"mode":"constant"}
       %d : f32[1, 1, 4]; %i : i64[1, 1, 4] = maxPool(%c) ${maxPool(0, 0)}
       output "b" = %b
       output "d" = %d`,
      `input "x" %x : f32[1, 1, 4]
       %b : f32[1, 1, 5] = averagePool(%x) ${pool(1, 1, true)}
       %d : f32[1, 1, 4]; %i : i64[1, 1, 4] = maxPool(%x) ${maxPool(1, 0)}
       output "b" = %b
       output "d" = %d`
    )
  )

  it.effect("ones, reflection, padded channels, positions that are used, windows that don't count pads: all stay", () =>
    stays(
      absorbPad,
      `input "x" %x : f32[1, 1, 4]
       constant %w : f32[2, 1, 2] = [1, 2, 3, 4]
       constant %v : f32[2, 2, 2] = [1, 2, 3, 4, 5, 6, 7, 8]
       constant %one : f32[] = 1
       constant %low : f32[] = -Infinity
       %a : f32[1, 1, 5] = pad(%x, %one) {"before":[0,0,1],"after":[0,0,0],"mode":"constant"}
       %b : f32[1, 2, 2] = conv(%a, %w) ${conv(0, 0)}
       %c : f32[1, 1, 5] = pad(%x) {"before":[0,0,1],"after":[0,0,0],"mode":"reflect"}
       %d : f32[1, 2, 2] = conv(%c, %w) ${conv(0, 0)}
       %e : f32[1, 2, 4] = pad(%x) {"before":[0,1,0],"after":[0,0,0],"mode":"constant"}
       %f : f32[1, 2, 2] = conv(%e, %v) ${conv(0, 0)}
       %g : f32[1, 1, 5] = pad(%x, %low) {"before":[0,0,1],"after":[0,0,0],"mode":"constant"}
       %h : f32[1, 1, 4]; %i : i64[1, 1, 4] = maxPool(%g) ${maxPool(0, 0)}
       %j : f32[1, 1, 5] = pad(%x) {"before":[0,0,1],"after":[0,0,0],"mode":"constant"}
       %k : f32[1, 1, 5] = averagePool(%j) ${pool(1, 0, false)}
       output "b" = %b
       output "d" = %d
       output "f" = %f
       output "h" = %h
       output "i" = %i
       output "k" = %k`
    )
  )
})
