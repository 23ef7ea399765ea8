import { f32, f32x4, i32, v128 } from "@anneal/wasm/Instruction"
import { ModuleBuilder } from "@anneal/wasm/ModuleBuilder"
import { host } from "@anneal/wasm/WebAssembly"
import { describe, expect, it } from "vitest"

const instantiate = (module: ModuleBuilder) => {
  const memory = new host.Memory({ initial: 1, maximum: 16 })
  const instance = new host.Instance(new host.Module(module.toBytes()), { env: { memory } })
  return { memory, exports: instance.exports }
}

describe("ModuleBuilder", () => {
  it("makes loops over vectors that run", () => {
    const module = new ModuleBuilder({ shared: false, maximumPages: 16 })
    module.func(
      "scale",
      ["i32", "i32"],
      [],
      (f) => {
        const [x, count] = [
          { type: "i32", index: 0 },
          { type: "i32", index: 1 }
        ] as const
        f.range(0, f.get(count), 4, (i) => {
          const address = i32.add(f.get(x), i32.shl(f.get(i), i32.const(2)))
          f.do(v128.store(address, f32x4.mul(v128.load(address), f32x4.splat(f32.const(2.5)))))
        })
      },
      { export: true }
    )
    const { exports, memory } = instantiate(module)
    const data = new Float32Array(memory.buffer, 64, 8)
    data.set([1, 2, 3, 4, -5, 6, 7, 8])
    const { scale } = exports
    if (typeof scale !== "function") throw new Error("not exported")
    scale(64, 8)
    expect([...data]).toEqual([2.5, 5, 7.5, 10, -12.5, 15, 17.5, 20])
    scale(64, 0)
    expect(data[0]).toBe(2.5)
  })

  it("leaves blocks, goes round loops, and calls functions that were made before", () => {
    const module = new ModuleBuilder({ shared: false, maximumPages: 16 })
    const square = module.func("square", ["i32"], ["i32"], (f) => {
      const x = f.get({ type: "i32", index: 0 })
      f.return(i32.mul(x, x))
    })
    // The least n with n² ≥ x.
    module.func(
      "root",
      ["i32"],
      ["i32"],
      (f) => {
        const n = f.local("i32")
        f.block((out) =>
          f.loop((again) => {
            f.brIf(out, i32.ge_s(f.call("i32", square, [f.get(n)]), f.get({ type: "i32", index: 0 })))
            f.set(n, i32.add(f.get(n), i32.const(1)))
            f.br(again)
          })
        )
        f.return(f.get(n))
      },
      { export: true }
    )
    const { root } = instantiate(module).exports
    if (typeof root !== "function") throw new Error("not exported")
    expect([0, 1, 2, 16, 17, 1000].map((x) => root(x))).toEqual([0, 1, 2, 4, 5, 32])
  })
})
