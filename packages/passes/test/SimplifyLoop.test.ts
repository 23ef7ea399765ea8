import { describe, it } from "@effect/vitest"
import { simplifyLoop } from "@anneal/passes/SimplifyLoop"
import { becomes, stays } from "./Rewriting.ts"

const body = `with body graph "body" {
         input "i" %i : i64[]
         input "go" %go : bool[]
         input "s" %s : f32[2]
         input "z" %z : f32[2]
         %t : f32[2] = add(%s, %z)
         output "go" = %go
         output "t" = %t
         output "row" = %t
       }`

describe("simplifyLoop", () => {
  it.effect("no iteration: the values as they were, no rows", () =>
    becomes(
      simplifyLoop,
      `input "x" %x : f32[2]
       input "z" %z : f32[2]
       constant %none : i64[] = 0
       %y : f32[2]; %r : f32[u0, 2] = loop(%none, _, %x, %z) {"carried":1} ${body}
       %q : f32[2] = relu(%y)
       output "q" = %q
       output "r" = %r`,
      `input "x" %x : f32[2]
       input "z" %z : f32[2]
       constant %r : f32[0, 2] = []
       %q : f32[2] = relu(%x)
       output "q" = %q
       output "r" = %r`,
      // Rows that were never made have no shape for the oracle to go by.
      [/cannot run loop/]
    )
  )

  it.effect("a few iterations, one after the other", () =>
    becomes(
      simplifyLoop,
      `input "x" %x : f32[2]
       input "z" %z : f32[2]
       constant %two : i64[] = 2
       constant %yes : bool[] = 1
       %y : f32[2]; %r : f32[u0, 2] = loop(%two, %yes, %x, %z) {"carried":1} ${body}
       output "y" = %y
       output "r" = %r`,
      `input "x" %x : f32[2]
       input "z" %z : f32[2]
       %a : f32[2] = add(%x, %z)
       %b : f32[2] = add(%a, %z)
       %c : f32[1, 2] = reshape(%a) {"shape":[1,2]}
       %d : f32[1, 2] = reshape(%b) {"shape":[1,2]}
       %r : f32[2, 2] = concat(%c, %d) {"axis":0}
       output "y" = %b
       output "r" = %r`
    )
  )

  it.effect("a body that says itself that it goes on, whatever its values are called", () =>
    becomes(
      simplifyLoop,
      `input "x" %x : f32[2]
       constant %two : i64[] = 2
       %y : f32[2] = loop(%two, _, %x) {"carried":1} with body graph "body" {
         input "i" %i : i64[]
         input "go" %go : bool[]
         input "s" %s : f32[2]
         constant %two : bool[] = 1
         %t : f32[2] = relu(%s)
         output "go" = %two
         output "t" = %t
       }
       output "y" = %y`,
      `input "x" %x : f32[2]
       %a : f32[2] = relu(%x)
       %b : f32[2] = relu(%a)
       output "y" = %b`
    )
  )

  it.effect("a value that is only handed on is captured", () =>
    becomes(
      simplifyLoop,
      `input "n" %n : i64[]
       input "x" %x : f32[2]
       input "z" %z : f32[2]
       %y : f32[2]; %k : f32[2] = loop(%n, _, %x, %z) {"carried":2} with body graph "body" {
         input "i" %i : i64[]
         input "go" %go : bool[]
         input "s" %s : f32[2]
         input "z" %c : f32[2]
         %t : f32[2] = add(%s, %c)
         output "go" = %go
         output "t" = %t
         output "z" = %c
       }
       %q : f32[2] = mul(%y, %k)
       output "q" = %q`,
      `input "n" %n : i64[]
       input "x" %x : f32[2]
       input "z" %z : f32[2]
       %y : f32[2] = loop(%n, _, %x, %z) {"carried":1} with body graph "body" {
         input "i" %i : i64[]
         input "go" %go : bool[]
         input "s" %s : f32[2]
         input "z" %c : f32[2]
         %t : f32[2] = add(%s, %c)
         output "go" = %go
         output "t" = %t
       }
       %q : f32[2] = mul(%y, %z)
       output "q" = %q`
    )
  )

  it.effect("many iterations, a count that is not known, a condition that changes: all stay", () =>
    stays(
      simplifyLoop,
      `input "n" %n : i64[]
       input "x" %x : f32[2]
       input "z" %z : f32[2]
       constant %many : i64[] = 1000
       constant %two : i64[] = 2
       %y : f32[2]; %r : f32[u0, 2] = loop(%many, _, %x, %z) {"carried":1} ${body}
       %a : f32[2]; %b : f32[u1, 2] = loop(%n, _, %x, %z) {"carried":1} ${body}
       %c : f32[2] = loop(%two, _, %x) {"carried":1} with body graph "body" {
         input "i" %i : i64[]
         input "go" %go : bool[]
         input "s" %s : f32[2]
         constant %no : bool[] = 0
         %t : f32[2] = relu(%s)
         output "go" = %no
         output "t" = %t
       }
       output "y" = %y
       output "r" = %r
       output "a" = %a
       output "b" = %b
       output "c" = %c`
    )
  )
})
