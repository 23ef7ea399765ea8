import { describe, it } from "@effect/vitest"
import { recognizeGelu } from "@anneal/passes/RecognizeGelu"
import { becomes, stays } from "./Rewriting.ts"

const exact = `input "x" %x : f32[n]
       %y : f32[n] = gelu(%x) {"approximate":"none"}
       output "y" = %y`
const tanh = exact.replace("none", "tanh")

describe("recognizeGelu", () => {
  it.effect("x·0.5·(1 + erf(x/√2)), by division", () =>
    becomes(
      recognizeGelu,
      `input "x" %x : f32[n]
       constant %root : f32[] = 1.4142135381698608
       constant %one : f32[] = 1
       constant %half : f32[] = 0.5
       %a : f32[n] = div(%x, %root)
       %b : f32[n] = erf(%a)
       %c : f32[n] = add(%b, %one)
       %d : f32[n] = mul(%x, %c)
       %y : f32[n] = mul(%d, %half)
       output "y" = %y`,
      exact
    )
  )

  it.effect("(0.5·x) + (0.5·x)·erf(x·(1/√2)), spread out", () =>
    becomes(
      recognizeGelu,
      `input "x" %x : f32[n]
       constant %root : f32[1] = [0.7071067690849304]
       constant %half : f32[] = 0.5
       %a : f32[n] = mul(%root, %x)
       %b : f32[n] = erf(%a)
       %c : f32[n] = mul(%half, %x)
       %d : f32[n] = mul(%c, %b)
       %y : f32[n] = add(%d, %c)
       output "y" = %y`,
      exact
    )
  )

  it.effect("the tanh form with x³ as a power", () =>
    becomes(
      recognizeGelu,
      `input "x" %x : f32[n]
       constant %cubic : f32[] = 0.044714998453855515
       constant %outer : f32[] = 0.7978845834732056
       constant %one : f32[] = 1
       constant %half : f32[] = 0.5
       constant %three : f32[] = 3
       %a : f32[n] = pow(%x, %three)
       %b : f32[n] = mul(%a, %cubic)
       %c : f32[n] = add(%x, %b)
       %d : f32[n] = mul(%c, %outer)
       %e : f32[n] = tanh(%d)
       %f : f32[n] = add(%one, %e)
       %g : f32[n] = mul(%f, %half)
       %y : f32[n] = mul(%x, %g)
       output "y" = %y`,
      tanh
    )
  )

  it.effect("√(2/π)·x·(1 + 0.044715·x²)", () =>
    becomes(
      recognizeGelu,
      `input "x" %x : f32[n]
       constant %cubic : f32[] = 0.044714998453855515
       constant %outer : f32[] = 0.7978845834732056
       constant %one : f32[] = 1
       constant %half : f32[] = 0.5
       %a : f32[n] = mul(%x, %x)
       %b : f32[n] = mul(%a, %cubic)
       %c : f32[n] = add(%b, %one)
       %d : f32[n] = mul(%x, %outer)
       %e : f32[n] = mul(%d, %c)
       %f : f32[n] = tanh(%e)
       %g : f32[n] = add(%f, %one)
       %h : f32[n] = mul(%x, %half)
       %y : f32[n] = mul(%g, %h)
       output "y" = %y`,
      tanh
    )
  )

  it.effect("another root, another half, 1 − erf, a shared gate: all stay", () =>
    stays(
      recognizeGelu,
      `input "x" %x : f32[n]
       constant %root : f32[] = 0.7071067690849304
       constant %other : f32[] = 0.75
       constant %one : f32[] = 1
       constant %half : f32[] = 0.5
       %a : f32[n] = mul(%x, %other)
       %b : f32[n] = erf(%a)
       %c : f32[n] = add(%b, %one)
       %d : f32[n] = mul(%x, %c)
       %e : f32[n] = mul(%d, %half)
       %f : f32[n] = mul(%x, %root)
       %g : f32[n] = erf(%f)
       %h : f32[n] = sub(%one, %g)
       %i : f32[n] = mul(%x, %h)
       %j : f32[n] = mul(%i, %half)
       %k : f32[n] = mul(%x, %root)
       %l : f32[n] = erf(%k)
       %m : f32[n] = add(%l, %one)
       %o : f32[n] = mul(%x, %m)
       %p : f32[n] = mul(%o, %half)
       output "e" = %e
       output "j" = %j
       output "l" = %l
       output "p" = %p`
    )
  )
})
