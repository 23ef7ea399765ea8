import { assert, describe, it } from "@effect/vitest"
import * as Key from "@anneal/pipeline/Key"
import * as Effect from "effect/Effect"

describe("Key", () => {
  it("writes canonical JSON: sorted keys, no blanks, the sign of zero", () => {
    assert.strictEqual(
      Key.canonical({ b: [1, "x", null, true], a: -0, c: { z: 1e21, y: 0.1 } }),
      '{"a":-0,"b":[1,"x",null,true],"c":{"y":0.1,"z":1e+21}}'
    )
    assert.notStrictEqual(Key.digest({ a: 0 }), Key.digest({ a: -0 }))
    assert.strictEqual(Key.digest({ a: 1, b: 2 }), Key.digest({ b: 2, a: 1 }))
  })

  it.each([
    ["NaN", { a: [1, Number.NaN] }, "$.a[1]"],
    ["an infinity", { a: Infinity }, "$.a"],
    ["undefined", { a: undefined }, "$.a"],
    ["a map", { a: new Map() }, "$.a"],
    ["a big integer", [1n], "$[0]"]
  ])("refuses %s and says where", (_, value, path) => {
    try {
      Key.canonical(value)
      assert.fail("it was taken")
    } catch (error) {
      assert.instanceOf(error, Key.KeyError)
      assert.strictEqual(error.path, path)
    }
  })

  it.effect("a stage's key depends on all of the recipe, not on the order of its needs", () =>
    Effect.gen(function* () {
      const [a, b] = [
        { need: "A", identity: "1" },
        { need: "B", identity: { name: "b", version: 1, config: { x: 1 } } }
      ]
      const base = { name: "s", version: 1, config: {}, needs: [a, b] }
      const key = yield* Key.stageKey(base)
      assert.strictEqual(yield* Key.stageKey({ ...base, needs: [b, a] }), key)
      const others = [
        { ...base, name: "t" },
        { ...base, version: 2 },
        { ...base, config: { x: 1 } },
        { ...base, needs: [a] },
        { ...base, needs: [{ need: "A", identity: "2" }, b] },
        { ...base, needs: [a, { need: "B", identity: { name: "b", version: 1, config: { x: 2 } } }] }
      ]
      const keys = yield* Effect.forEach(others, Key.stageKey)
      assert.strictEqual(new Set([key, ...keys]).size, 1 + others.length)
    })
  )
})
