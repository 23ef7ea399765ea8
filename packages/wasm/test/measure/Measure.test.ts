// What is wrong with a kernel is found before it is timed: faults planted in one that is right.
import type { Region } from "@anneal/lower/Region"
import * as Tuner from "@anneal/pipeline/Tuner"
import * as Reference from "@anneal/reference/Reference"
import { f32, i32 } from "@anneal/wasm/Instruction"
import type { I32 } from "@anneal/wasm/Instruction"
import type { Kernel } from "@anneal/wasm/Kernel"
import type { FunctionBuilder } from "@anneal/wasm/ModuleBuilder"
import * as Measure from "@anneal/wasm/measure/Measure"
import * as Target from "@anneal/wasm/Target"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { programOf } from "../Program.ts"

const n = 37

interface Addresses {
  readonly x: I32
  readonly w: I32
  readonly y: I32
  readonly begin: I32
  readonly end: I32
}

type Body = (f: FunctionBuilder, at: Addresses) => void

/** y = x + w[0], an element at a time, from `begin` to `end`. */
const right: Body = (f, { begin, end, w, x, y }) =>
  f.range(begin, end, 1, (i) => {
    const step = i32.mul(f.get(i), i32.const(4))
    f.do(f32.store(i32.add(y, step), f32.add(f32.load(i32.add(x, step)), f32.load(w))))
  })

const kernel = (name: string, body: Body): Kernel => ({
  name,
  config: {},
  cost: 100,
  packed: [],
  scratch: 0,
  units: n,
  emit: (emission, title) =>
    emission.module.func(title, ["i32", "i32", "i32", "i32", "i32", "i32"], [], (f, params) => {
      const [x, w, y, , begin, end] = params.map(({ index }): I32 => f.get({ type: "i32", index }))
      if (x !== undefined && w !== undefined && y !== undefined && begin !== undefined && end !== undefined)
        body(f, { x, w, y, begin, end })
    })
})

const faults: ReadonlyArray<readonly [name: string, reason: string, body: Body]> = [
  ["the last element is left out", "Wrong", (f, at) => right(f, { ...at, end: i32.sub(at.end, i32.const(1)) })],
  [
    "one lane of four is wrong",
    "Wrong",
    (f, at) => {
      right(f, at)
      f.range(at.begin, at.end, 1, (i) =>
        f.if(i32.eq(i32.and(f.get(i), i32.const(3)), i32.const(2)), () =>
          f.do(f32.store(i32.add(at.y, i32.mul(f.get(i), i32.const(4))), f32.const(0.5)))
        )
      )
    }
  ],
  [
    "an error of one part in a million",
    "Wrong",
    (f, { begin, end, w, x, y }) =>
      f.range(begin, end, 1, (i) => {
        const step = i32.mul(f.get(i), i32.const(4))
        const sum = f32.add(f32.load(i32.add(x, step)), f32.load(w))
        f.do(f32.store(i32.add(y, step), f32.mul(sum, f32.const(1.000001))))
      })
  ],
  [
    "NaN",
    "NotFinite",
    (f, at) => {
      right(f, at)
      f.do(f32.store(at.y, f32.div(f32.const(0), f32.const(0))))
    }
  ],
  [
    "one element too many",
    "StrayWrite",
    (f, at) => {
      right(f, at)
      f.do(f32.store(at.y, f32.const(7), 4 * n))
    }
  ],
  [
    "an operand is overwritten",
    "StrayWrite",
    (f, at) => {
      right(f, at)
      f.do(f32.store(at.x, f32.const(7), 8))
    }
  ],
  ["unreachable", "Trap", (f) => f.unreachable()],
  ["it reads far outside", "Trap", (f, at) => f.do(f32.store(at.y, f32.load(i32.const(0x7ffffff0))))],
  ["it divides by zero", "Trap", (f, at) => f.do(i32.store(at.y, i32.div_s(at.end, i32.sub(at.end, at.end))))],
  ["it never ends", "Hang", (f) => f.loop((again) => f.br(again))],
  [
    "units are counted from 0 whatever is asked for",
    "Wrong",
    (f, at) => right(f, { ...at, begin: i32.const(0), end: i32.sub(at.end, at.begin) })
  ],
  ["it does nothing", "Wrong", () => undefined]
]

const program = programOf(n)
const first = program.steps[0]
if (first?.kind !== "region") throw new Error("a region was expected")
const region: Region = first.region

const measured = (candidate: Kernel) =>
  Effect.gen(function* () {
    const measurer = yield* Measure.make({
      features: Target.plain,
      deadline: 500,
      subject: () => ({ region, program, typical: new Map(), kernels: [candidate] })
    })
    const choice: Tuner.Choice = {
      key: "k",
      node: "/sum",
      candidates: [{ name: candidate.name, config: {}, cost: 100 }]
    }
    const checked = yield* measurer.check(choice, { name: candidate.name, config: {}, cost: 100 })
    return yield* checked.run({ iterations: 50, inputs: "rotated" })
  }).pipe(Effect.scoped, Effect.provide(Reference.layer()))

describe("candidates", () => {
  it.live("that are right are timed", () =>
    Effect.gen(function* () {
      expect(yield* measured(kernel("right", right))).toBeGreaterThanOrEqual(1)
    })
  )
  for (const [name, reason, body] of faults)
    it.live(`are rejected: ${name}`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(measured(kernel("faulty", body)))
        expect(error).toMatchObject({ _tag: "Rejected", reason })
      })
    )
})
