// Walks over weights in WebAssembly: the code is what this test writes, and its result is the definition's.
import { describe, expect, it } from "@effect/vitest"
import type { I32 } from "@anneal/wasm/Instruction"
import { i32, v128 } from "@anneal/wasm/Instruction"
import type { Func, Local } from "@anneal/wasm/ModuleBuilder"
import { ModuleBuilder } from "@anneal/wasm/ModuleBuilder"
import type { Walk } from "@anneal/wasm/Packing"
import * as Packing from "@anneal/wasm/Packing"
import * as Walker from "@anneal/wasm/Walker"
import { host } from "@anneal/wasm/WebAssembly"

const written = (): Uint8Array => {
  const module = new ModuleBuilder({ shared: false, maximumPages: 65_536 })
  const params = ["i32", "i32", "i32", "i32"] as const
  const itself: Func = { name: "walk", index: 0, params, results: [] }
  module.func(
    "walk",
    params,
    [],
    (f, locals) => {
      const parameter = (place: number): Local<"i32"> => ({ type: "i32", index: locals[place]?.index ?? 0 })
      const record = parameter(0)
      const levels = parameter(1)
      const to = parameter(2)
      const from = parameter(3)
      const field = (place: number): I32 => i32.load(f.get(record), 4 * place)
      const increase = (local: Local<"i32">, by: I32): void => f.set(local, i32.add(f.get(local), by))
      const decrease = (local: Local<"i32">): I32 => f.tee(local, i32.sub(f.get(local), i32.const(1)))
      const stride = f.let(field(2))
      const cell = f.let(field(5))
      const begin = f.let(i32.load(f.get(cell), 0))
      const step = f.let(field(1))
      const rest = f.let(i32.sub(field(4), f.get(begin)))
      f.if(i32.le_s(f.get(rest), i32.const(0)), () => f.return())
      const size = f.let(field(0))
      const count = f.let(i32.div_u(i32.sub(i32.add(f.get(rest), f.get(step)), i32.const(1)), f.get(step)))
      f.if(i32.gt_u(f.get(count), f.get(size)), () => f.set(count, f.get(size)))
      f.if(
        i32.eq(f.get(levels), i32.const(1)),
        () => {
          f.if(i32.eq(f.get(stride), i32.const(4)), () => {
            f.block((done) =>
              f.loop((again) => {
                f.brIf(done, i32.lt_u(f.get(count), i32.const(4)))
                f.do(v128.store(f.get(to), v128.load(f.get(from))))
                increase(to, i32.const(16))
                increase(from, i32.const(16))
                f.set(count, i32.sub(f.get(count), i32.const(4)))
                f.br(again)
              })
            )
            f.if(i32.eqz(f.get(count)), () => f.return())
          })
          f.loop((again) => {
            f.do(i32.store(f.get(to), i32.load(f.get(from))))
            increase(to, i32.const(4))
            increase(from, f.get(stride))
            f.brIf(again, decrease(count))
          })
        },
        () => {
          const span = f.let(field(3))
          const at = f.let(f.get(begin))
          f.loop((again) => {
            f.do(i32.store(f.get(cell), f.get(at)))
            f.run(itself, [
              i32.add(f.get(record), i32.const(24)),
              i32.sub(f.get(levels), i32.const(1)),
              f.get(to),
              f.get(from)
            ])
            increase(to, f.get(span))
            increase(from, f.get(stride))
            increase(at, f.get(step))
            f.brIf(again, decrease(count))
          })
          f.do(i32.store(f.get(cell), f.get(begin)))
        }
      )
    },
    { export: true }
  )
  return module.toBytes()
}

const walk = (given: Pick<Walk, "digits" | "extents" | "strides"> & { readonly offset?: number }): Walk => ({
  constant: "",
  dtype: "f32",
  count: 4096,
  offset: 0,
  ...given
})

/** By what is special about them. */
const walks: Readonly<Record<string, Walk>> = {
  "panels of eight columns, transposed, with padding": walk({
    extents: [21, 13],
    strides: [13, 1],
    digits: [
      { size: 3, axis: 0, step: 8 },
      { size: 13, axis: 1, step: 1 },
      { size: 8, axis: 0, step: 1 }
    ]
  }),
  "rows as they lie, longer than a vector, from an offset": walk({
    offset: 5,
    extents: [7, 11],
    strides: [30, 1],
    digits: [
      { size: 8, axis: 0, step: 1 },
      { size: 12, axis: 1, step: 1 }
    ]
  }),
  "blocks of an axis whose innermost two loops go along it": walk({
    extents: [4, 29],
    strides: [29, 1],
    digits: [
      { size: 4, axis: 0, step: 1 },
      { size: 4, axis: 1, step: 8 },
      { size: 2, axis: 1, step: 4 },
      { size: 4, axis: 1, step: 1 }
    ]
  }),
  "an axis that is repeated, and one of one element": walk({
    extents: [5, 6, 1],
    strides: [6, 0, 9],
    digits: [
      { size: 6, axis: 1, step: 1 },
      { size: 2, axis: 2, step: 1 },
      { size: 5, axis: 0, step: 1 }
    ]
  }),
  "one element": walk({ offset: 3, extents: [1], strides: [1], digits: [] })
}

describe("walks in WebAssembly", () => {
  it("are the code that the test writes", () => {
    expect(Walker.module).toBe(Buffer.from(written()).toString("hex"))
  })

  for (const shared of [false, true])
    for (const [name, one] of Object.entries(walks))
      it(`give what walks are defined to: ${name}, in a memory that is ${shared ? "shared" : "one thread's"}`, () => {
        const memory = new host.Memory({ initial: 1, maximum: 65_536, shared })
        const floats = new Float32Array(memory.buffer)
        const [from, to] = [2048, 8192]
        const source = Float32Array.from({ length: one.count }, (_, i) => i + 1)
        floats.set(source, from)
        const expected = new Float32Array(Packing.lengthOf(one))
        Packing.pack(one, source, expected)
        expect(expected.some((value) => value !== 0)).toBe(true)
        const walker = Walker.make(memory, shared, 1024)
        // Twice: the counters are as they were when it has ended.
        for (let round = 0; round < 2; round++) {
          floats.fill(0, to, to + expected.length)
          walker(one, 4 * to, 4 * from)
          expect(floats.slice(to, to + expected.length)).toEqual(expected)
          expect(floats[to + expected.length]).toBe(0)
        }
      })
})
