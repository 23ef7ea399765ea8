import * as Dim from "@anneal/ir/Dim"
import * as View from "@anneal/lower/View"
import { describe, expect, it } from "vitest"

const b = Dim.symbol("b")
const base = (...shape: ReadonlyArray<Dim.Dim>) => View.contiguous("x", "f32", shape)

describe("View", () => {
  it("reshapes by strides where it can", () => {
    expect(View.reshape(base(2, 3, 4), [6, 4])?.strides).toEqual([4, 1])
    expect(View.reshape(base(2, 12), [2, 1, 3, 4])?.strides).toEqual([12, 0, 4, 1])
    expect(View.reshape(View.transpose(base(2, 3, 4), [0, 2, 1]), [8, 3])?.strides).toEqual(undefined)
    expect(View.reshape(View.transpose(base(2, 3, 4), [1, 2, 0]), [12, 2])?.strides).toEqual([1, 12])
  })

  it("reshapes symbolic sizes", () => {
    expect(View.reshape(base(b, 2048), [b, 512, 4])?.strides).toEqual([2048, 4, 1])
    expect(View.reshape(base(b, 3, 4), [Dim.mul(b, 3), 4])?.strides).toEqual([4, 1])
  })

  it("says that channels last need no copy to become rows of channels", () => {
    const nhwc = View.ordered("x", "f32", [1, 6, 30, 40], [0, 2, 3, 1])
    const transposed = View.transpose(nhwc, [0, 2, 3, 1])
    expect(View.isContiguous(transposed)).toBe(true)
    expect(View.reshape(transposed, [1, 3600, 2])?.strides).toEqual([0, 2, 1])
  })
})
