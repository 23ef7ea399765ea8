// Packed weights as walks: found where a kernel only moves elements, and the same bytes as the kernel's own packing.
import * as Constants from "@anneal/ir/Constant"
import * as Numbers from "@anneal/ir/Numbers"
import * as Tensor from "@anneal/ir/Tensor"
import * as View from "@anneal/lower/View"
import * as Elements from "@anneal/wasm/Elements"
import type { Packed } from "@anneal/wasm/Kernel"
import * as Packing from "@anneal/wasm/Packing"
import { describe, expect, it } from "@effect/vitest"

const constant = (shape: ReadonlyArray<number>) =>
  Constants.fromTensor(
    Numbers.fromNumbers(
      "f32",
      shape,
      Array.from({ length: Tensor.size(shape) }, (_, i) => Math.fround(Math.sin(i + 1)))
    )
  )

/** Panels of `nr` rows of [n, k], with zeros behind the last. */
const panels = (n: number, k: number, nr: number): Packed => {
  const count = Math.ceil(n / nr)
  return {
    read: 1,
    layout: `panels ${nr}`,
    bytes: 4 * count * k * nr,
    pack: ({ data }) => {
      const result = new Float32Array(count * k * nr)
      for (let panel = 0; panel < count; panel++)
        for (let i = 0; i < k; i++)
          for (let lane = 0; lane < nr; lane++) {
            const row = panel * nr + lane
            if (row < n) result[(panel * k + i) * nr + lane] = Number(data[row * k + i])
          }
      return new Uint8Array(result.buffer)
    }
  }
}

const walkOf = (packed: Packed, view: View.View, weight: Constants.Constant) => {
  const elements = Elements.read(view, weight)
  const bytes = packed.pack(elements)
  const walk = Packing.find(packed, view, weight, elements, bytes)
  if (walk === undefined) return undefined
  const to = new Float32Array(Packing.lengthOf(walk))
  Packing.pack(walk, Constants.load(weight).data, to)
  expect([...to]).toEqual([...new Float32Array(Uint8Array.from(bytes).buffer)])
  return walk
}

describe("packing as a walk", () => {
  for (const [n, k, nr] of [
    [16, 3, 8],
    [10, 7, 4],
    [3, 5, 8],
    [1, 4, 8],
    [9, 1, 8],
    [64, 33, 16]
  ] as const)
    it(`finds panels of ${nr} in [${n}, ${k}], as it lies and transposed`, () => {
      const plain = View.contiguous("w", "f32", [n, k])
      expect(walkOf(panels(n, k, nr), plain, constant([n, k]))?.digits.length).toBeGreaterThan(0)
      const turned = View.transpose(View.contiguous("w", "f32", [k, n]), [1, 0])
      expect(walkOf(panels(n, k, nr), turned, constant([k, n]))).toBeDefined()
    })

  it("finds a slice of a weight", () => {
    const whole = View.contiguous("w", "f32", [12, 6])
    expect(walkOf(panels(4, 6, 4), View.slice(whole, [3, 0], [4, 6], [1, 1]), constant([12, 6]))).toBeDefined()
  })

  it("does not find what computes", () => {
    const doubling: Packed = {
      read: 1,
      layout: "doubled",
      bytes: 16,
      pack: ({ data }) => new Uint8Array(Float32Array.from([...data].map((value) => 2.5 * Number(value))).buffer)
    }
    expect(walkOf(doubling, View.contiguous("w", "f32", [4]), constant([4]))).toBeUndefined()
  })
})
