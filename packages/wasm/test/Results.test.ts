import { describe, expect, it } from "@effect/vitest"
import * as DTypes from "@anneal/ir/DType"
import * as Results from "@anneal/wasm/Results"
import { host } from "@anneal/wasm/WebAssembly"

describe("results", () => {
  const memory = new host.Memory({ initial: 16, maximum: 16, shared: false })

  for (const dtype of ["f32", "i64", "u8", "f16"] as const)
    for (const length of [0, 3, 65_536])
      it(`of ${length} ${dtype} are buffers of their own, of the same elements`, () => {
        const bytes = new Uint8Array(memory.buffer, 4096, length * DTypes.slotBytes(dtype))
        for (let i = 0; i < bytes.length; i++) bytes[i] = i % 251
        const data = DTypes.view(dtype, memory.buffer, 4096, length)
        const found = Results.tensor({ dtype, shape: [length], data })
        expect(found.data).toStrictEqual(data.slice())
        expect(found.data.buffer).not.toBe(memory.buffer)
        expect([found.data.byteOffset, found.data.buffer.byteLength]).toEqual([0, data.byteLength])
        const before = found.data.slice()
        bytes.fill(7)
        expect(found.data).toStrictEqual(before)
      })

  it("large ones are announced by a block that is gone at once and that nobody has touched", () => {
    const before = process.memoryUsage()
    for (const bytes of [100, 2 ** 20, 2 ** 28]) Results.announce(bytes)
    const after = process.memoryUsage()
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(2 ** 20)
    expect(after.rss - before.rss).toBeLessThan(2 ** 24)
  })
})
