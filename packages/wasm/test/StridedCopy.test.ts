import { describe, expect, it } from "@effect/vitest"
import type { I32 } from "@anneal/wasm/Instruction"
import { i32 } from "@anneal/wasm/Instruction"
import type { Local } from "@anneal/wasm/ModuleBuilder"
import { ModuleBuilder } from "@anneal/wasm/ModuleBuilder"
import * as StridedCopy from "@anneal/wasm/StridedCopy"
import { host } from "@anneal/wasm/WebAssembly"

const written = (): Uint8Array => {
  const module = new ModuleBuilder({ shared: false, maximumPages: 65_536 })
  module.func(
    "copy",
    ["i32", "i32", "i32", "i32", "i32", "i32", "i32"],
    [],
    (f, params) => {
      const local = (place: number): Local<"i32"> => ({ type: "i32", index: params[place]?.index ?? 0 })
      const [to, from, rows, rowStep, count, step, pitch] = [0, 1, 2, 3, 4, 5, 6].map(local)
      if (!to || !from || !rows || !rowStep || !count || !step || !pitch) throw new Error("a parameter is missing")
      const [target, source, end] = [f.local("i32"), f.local("i32"), f.local("i32")]
      const sum = (a: Local<"i32">, b: Local<"i32">): I32 => i32.add(f.get(a), f.get(b))
      f.loop((again) => {
        f.set(target, f.get(to))
        f.set(source, f.get(from))
        f.set(end, i32.add(f.get(to), i32.shl(f.get(count), i32.const(2))))
        f.loop((inner) => {
          f.do(i32.store(f.get(target), i32.load(f.get(source), 0), 0))
          f.set(source, sum(source, step))
          f.brIf(inner, i32.lt_u(f.tee(target, i32.add(f.get(target), i32.const(4))), f.get(end)))
        })
        f.set(to, sum(to, pitch))
        f.set(from, sum(from, rowStep))
        f.brIf(again, f.tee(rows, i32.sub(f.get(rows), i32.const(1))))
      })
    },
    { export: true }
  )
  return module.toBytes()
}

describe("strided copies", () => {
  it("are the code that the test writes", () => {
    expect(StridedCopy.module).toBe(Buffer.from(written()).toString("hex"))
  })

  for (const shared of [false, true])
    it(`put rows where they belong, in a memory that is ${shared ? "shared" : "one thread's"}`, () => {
      const memory = new host.Memory({ initial: 1, maximum: 65_536, shared })
      const words = new Int32Array(memory.buffer)
      for (let i = 0; i < 24; i++) words[i] = i + 1
      // Columns 1 and 2 of a matrix of 4 rows of 6, each as a row of 3 of its first elements.
      StridedCopy.make(memory, shared)(400, 4, 2, 4, 3, 24, 16)
      expect([...words.subarray(100, 108)]).toEqual([2, 8, 14, 0, 3, 9, 15, 0])
    })
})
