/** The addon below its adapter: whatever JavaScript hands it, it answers with an Error and goes on. */
import { createRequire } from "node:module"
import { setImmediate } from "node:timers/promises"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Native from "@anneal/cuda/Native"
import { addonPath, image, standIn } from "./StandIn.ts"

const strange: ReadonlyArray<unknown> = [
  undefined,
  null,
  -1,
  0,
  1,
  Number.NaN,
  2 ** 53,
  1e300,
  "x",
  true,
  {},
  [],
  [1],
  ["a"],
  [{}],
  5n,
  Symbol("s"),
  () => 1,
  new Uint8Array(3),
  new Float64Array(4),
  new Float64Array(11).fill(1),
  new ArrayBuffer(8)
]

// A fixed sequence (Lehmer's generator, modulus 2^31 - 1), so that a failure can be repeated.
const sequence = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (state * 48271) % 2147483647
    return state % below
  }
}

const isPromiseLike = (value: unknown): value is Promise<unknown> => value instanceof Promise

describe.skipIf(standIn === undefined)("the addon, handed anything", () => {
  it.live("throws errors, and works afterwards", () =>
    Effect.gen(function* () {
      const native = yield* Native.load(standIn)
      yield* native.openDriver
      const { driver } = native
      const context = yield* Effect.promise(() => driver.openContext(0))
      const elsewhere = yield* Effect.promise(() => driver.openContext(1))
      const module = yield* Effect.promise(() => driver.loadModule(context, new TextEncoder().encode(image), 0))
      const handles = [
        context,
        elsewhere,
        driver.createStream(context, 0),
        driver.createStream(elsewhere, 0),
        driver.createEvent(context, true),
        driver.allocate(context, 4096, ""),
        module.handle,
        driver.getFunction(module.handle, "slow").handle
      ]
      const addon: unknown = createRequire(import.meta.url)(addonPath)
      if (typeof addon !== "object" || addon === null) return assert.fail("the addon is not an object")
      const pick = sequence(20_241_124)
      const values = [...strange, ...handles, ...handles]
      let refused = 0
      for (const name of Object.keys(addon)) {
        const call: unknown = Reflect.get(addon, name)
        if (typeof call !== "function") continue
        for (let i = 0; i < 100; i++) {
          const list = Array.from({ length: pick(9) }, () => values[pick(values.length)])
          try {
            const result: unknown = Reflect.apply(call, undefined, list)
            for (const promise of [result, Object(result).done])
              if (isPromiseLike(promise)) promise.catch(() => refused++)
          } catch (error) {
            assert.instanceOf(error, Error, `${name} threw something else`)
            refused++
          }
        }
        yield* Effect.promise(() => setImmediate())
      }
      assert.isAbove(refused, 4000)
      const again = yield* Effect.promise(() => driver.openContext(0))
      const buffer = driver.allocate(again, 64, "")
      driver.free(buffer)
      driver.closeContext(again)
    })
  )
})
