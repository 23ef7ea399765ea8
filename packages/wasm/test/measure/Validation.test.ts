// Kernels that were decided and are wrong give way to right ones before an engine is written.
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import * as Reference from "@anneal/reference/Reference"
import * as Builder from "@anneal/ir/Builder"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import type { Kernel } from "@anneal/wasm/Kernel"
import * as Candidates from "@anneal/wasm/Candidates"
import * as Compile from "@anneal/wasm/Compile"
import * as Validation from "@anneal/wasm/measure/Validation"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Heuristic from "../Heuristic.ts"

const graph = () => {
  const b = Builder.make("net")
  const x = b.input("x", Type.make("f32", [5, 7]))
  b.output("y", b.one(Ops.add, [x, x], {}, { lineage: { sources: ["/sum"], rewrites: [] } }))
  return b.finish()
}

/** Predicted to be fastest, and does nothing. */
const lazy: Candidates.Source = (region) => {
  const kernel: Kernel = {
    name: "lazy",
    config: {},
    cost: 0,
    packed: [],
    scratch: 0,
    units: 1,
    emit: (emission, name) => emission.module.func(name, ["i32", "i32", "i32", "i32", "i32"], [], () => undefined)
  }
  return region.kind === "loop" ? [kernel] : []
}

const compiled = (sources: ReadonlyArray<Candidates.Source>) =>
  Effect.gen(function* () {
    const found: Array<Diagnostic.Diagnostic> = []
    const validate = yield* Validation.make()
    const result = yield* Compile.compile(graph(), { sources, validate }).pipe(
      Effect.provide(Heuristic.layer),
      Effect.provideService(Diagnostic.Sink, (diagnostic) => Effect.sync(() => void found.push(diagnostic)))
    )
    return { found, names: result.decisions.map(({ candidate }) => candidate.name) }
  }).pipe(Effect.scoped, Effect.provide(Reference.layer()))

it.live("a wrong kernel gives way, and is reported", () =>
  Effect.gen(function* () {
    const { found, names } = yield* compiled([lazy, ...Candidates.sources])
    expect(names).toEqual(["loop"])
    expect(found.map(({ code, message }) => [code, message.includes("/sum")])).toEqual([["kernel-rejected", true]])
  })
)

it.live("a region without a right kernel fails the build", () =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(compiled([lazy]))
    expect(error).toMatchObject({ _tag: "TunerError", problems: [{ reason: "AllRejected" }] })
  })
)
