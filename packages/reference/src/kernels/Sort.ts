// The kernel of `topK`: equal elements in their order, NaN as the greatest.
import * as Ops from "@anneal/ir/Ops"
import * as Elements from "../Elements.ts"
import type { Entry } from "../Kernel.ts"
import * as Kernel from "../Kernel.ts"
import * as Strided from "../Strided.ts"

const compare = (x: number | bigint, y: number | bigint): number => {
  if (x < y) return -1
  if (x > y) return 1
  return x === y || (x !== x && y !== y) ? 0 : x !== x ? 1 : -1
}

const topK = Kernel.define(Ops.topK, (call) => {
  const x = call.input(0)
  const { k, largest } = call.attributes
  const axis = Strided.normalAxis(call.attributes.axis, x.shape.length)
  const { extent, inner, outer } = Strided.around(x.shape, axis)
  if (k < 0 || k > extent) call.fail(`k is ${k}, axis ${axis} has ${extent} elements`)
  const keys = Elements.keys(x)
  const sign = largest ? -1 : 1
  const order = new Int32Array(extent)
  const along = new Float64Array(outer * k * inner)
  const flat = new Float64Array(outer * k * inner)
  for (let o = 0; o < outer; o++)
    for (let i = 0; i < inner; i++) {
      const start = o * extent * inner + i
      for (let e = 0; e < extent; e++) order[e] = e
      order.sort((a, b) => sign * compare(keys[start + a * inner] ?? 0, keys[start + b * inner] ?? 0) || a - b)
      for (let e = 0; e < k; e++) {
        const at = (o * k + e) * inner + i
        along[at] = order[e] ?? 0
        flat[at] = start + (order[e] ?? 0) * inner
      }
    }
  const shape = x.shape.with(axis, k)
  return [Strided.pick(x, shape, flat), Elements.integers(shape, along)]
})

export const all: ReadonlyArray<Entry> = [topK]
