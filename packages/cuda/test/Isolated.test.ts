import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Isolated from "@anneal/cuda/Isolated"

const job = (payload: string, deadline = "20 seconds" as Isolated.Job["deadline"]): Isolated.Job => ({
  entry: fileURLToPath(new URL("./isolatedChild.ts", import.meta.url)),
  payload,
  ...(deadline === undefined ? {} : { deadline }),
  execArgv: ["--conditions=@anneal/source"]
})

describe("Isolated", () => {
  it.live("gives back what the work returned", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Isolated.run(job("answer")), { payload: "answer", sum: 6 })
    })
  )

  it.live("ends work that does not, by its deadline, and names the stage that it was in", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Isolated.run(job("loop", "1 second")))
      assert.strictEqual(error.reason._tag, "DidNotEnd")
      assert.strictEqual(error.stage, "kernel loop")
      assert.include(error.message, 'did not end in "kernel loop" within 1000 ms')
    })
  )

  it.live("reports a process that dies, with its last words", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Isolated.run(job("die")))
      assert.strictEqual(error.stage, "kernel die")
      assert.include(error.message, "signal SIGKILL")
      assert.include(error.message, "last words")
    })
  )

  it.live("reports work that fails, and an entry that is not there", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Isolated.run(job("fail")))
      assert.deepStrictEqual(error.reason, Isolated.Failed.make({ name: "RangeError", detail: "out of numbers" }))
      const missing = yield* Effect.flip(Isolated.run({ ...job("x"), entry: "/nowhere/entry.ts" }))
      assert.strictEqual(missing.reason._tag, "Died")
      assert.include(missing.message, "/nowhere/entry.ts")
    })
  )

  it.live("ends the process when the caller loses interest", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(Isolated.run(job("loop", "1 hour")))
      yield* Effect.sleep("200 millis")
      yield* Fiber.interrupt(fiber)
      assert.isDefined(fiber.pollUnsafe())
    })
  )
})
