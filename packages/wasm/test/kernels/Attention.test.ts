import type { Dim } from "@anneal/ir/Dim"
import * as Dims from "@anneal/ir/Dim"
import * as Ops from "@anneal/ir/Ops"
import * as Tensor from "@anneal/ir/Tensor"
import type { Attention } from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import * as Views from "@anneal/lower/View"
import type { Features } from "@anneal/wasm/Emission"
import { candidates } from "@anneal/wasm/kernels/Attention"
import { describe, expect, it } from "vitest"
import { runOp } from "../Definition.ts"
import * as Random from "../Random.ts"
import { bufferOf, plain, relaxed, resultsOf, type Symbols, wide } from "../RunKernel.ts"

interface Options {
  readonly batch?: number
  readonly heads: number
  readonly keyHeads?: number
  readonly queries: number
  readonly keys: number
  readonly dim: number
  readonly valueDim?: number
  readonly causal?: boolean
  /** Shape of the mask, broadcast; and its element at a flat index. */
  readonly mask?: { readonly shape: ReadonlyArray<number>; readonly at: (index: number) => number }
  readonly scale?: number
  /** Another layout of an operand's or the result's axes: [batch, heads, queries or keys, dim]. */
  readonly order?: (what: "q" | "k" | "v" | "mask" | "y") => ReadonlyArray<number>
  readonly symbols?: Readonly<Record<string, "batch" | "queries" | "keys">>
  /** Elements are multiplied by it. */
  readonly size?: number
  readonly change?: (what: "q" | "k" | "v", data: Float32Array) => void
}

/** [batch, heads, …] as [batch, key heads, heads of one, …]: `apart` false where they share. */
const grouped = (view: View, keyHeads: number, group: number, apart: boolean): View => {
  const [batch = 1, , ...shape] = view.shape
  const [first = 0, head = 0, ...strides] = view.strides
  return {
    ...view,
    shape: [batch, keyHeads, group, ...shape],
    strides: apart ? [first, Dims.mul(head, group), head, ...strides] : [first, head, 0, ...strides]
  }
}

const check = (options: Options, features: ReadonlyArray<Features> = [plain, relaxed]): void => {
  const { batch = 1, causal = false, dim, heads, keyHeads = heads, keys, queries, valueDim = dim } = options
  const scale = options.scale ?? 1 / Math.sqrt(dim)
  const next = Random.integers(keys * 7 + dim)
  const floats = (what: "q" | "k" | "v", shape: ReadonlyArray<number>): Tensor.Tensor => {
    const data = Float32Array.from(
      { length: Tensor.size(shape) },
      () => (next(-1000, 1000) / 1000) * (options.size ?? 2)
    )
    options.change?.(what, data)
    return Tensor.make("f32", shape, data)
  }
  const q = floats("q", [batch, heads, queries, dim])
  const k = floats("k", [batch, keyHeads, keys, dim])
  const v = floats("v", [batch, keyHeads, keys, valueDim])
  const { mask } = options
  const given =
    mask === undefined
      ? null
      : Tensor.make(
          "f32",
          mask.shape,
          Float32Array.from({ length: Tensor.size(mask.shape) }, (_, i) => mask.at(i))
        )
  const [wanted] = runOp(Ops.attention, given === null ? [q, k, v] : [q, k, v, given], { scale, causal })

  const values = { batch, queries, keys }
  const symbols: Symbols = new Map(Object.entries(options.symbols ?? {}).map(([name, what]) => [name, values[what]]))
  const sized = (what: "batch" | "queries" | "keys"): Dim => {
    const name = Object.entries(options.symbols ?? {}).find(([, of]) => of === what)?.[0]
    return name === undefined ? values[what] : Dims.symbol(name)
  }
  const b = sized("batch")
  const ordered = (what: "q" | "k" | "v" | "y", shape: ReadonlyArray<Dim>): View =>
    Views.ordered(what, "f32", shape, options.order?.(what) ?? [0, 1, 2, 3])
  const flat = {
    q: ordered("q", [b, heads, sized("queries"), dim]),
    k: ordered("k", [b, keyHeads, sized("keys"), dim]),
    v: ordered("v", [b, keyHeads, sized("keys"), valueDim]),
    y: ordered("y", [b, heads, sized("queries"), valueDim])
  }
  // The mask's own extents are those of the whole where they are not 1.
  const full = [b, heads, sized("queries"), sized("keys")]
  const extents = [batch, heads, queries, keys]
  const ownShape = (given?.shape ?? []).map((extent, axis) => {
    const place = axis + 4 - (given?.shape.length ?? 0)
    return extent === extents[place] ? (full[place] ?? 1) : extent
  })
  const own = given === null ? undefined : Views.contiguous("mask", "f32", ownShape)
  const maskView = own === undefined ? undefined : Views.expand(own, full)
  const group = heads / keyHeads
  const region: Attention = {
    kind: "attention",
    id: "y",
    members: [],
    batch: [b, keyHeads, group],
    queries: sized("queries"),
    keys: sized("keys"),
    dim,
    valueDim,
    q: grouped(flat.q, keyHeads, group, true),
    k: grouped(flat.k, keyHeads, group, false),
    v: grouped(flat.v, keyHeads, group, false),
    mask: maskView === undefined ? undefined : grouped(maskView, keyHeads, group, true),
    scale,
    causal,
    result: grouped(flat.y, keyHeads, group, true)
  }
  const buffers = new Map([
    ["q", bufferOf(flat.q, q, symbols)],
    ["k", bufferOf(flat.k, k, symbols)],
    ["v", bufferOf(flat.v, v, symbols)],
    ...(own === undefined || given === null ? [] : [["mask", bufferOf(own, given, symbols)] as const])
  ])
  for (const host of features) {
    const kernels = candidates(region, symbols, host)
    expect(kernels.length).toBeGreaterThan(0)
    for (const kernel of kernels) {
      const results = resultsOf(region, kernel, host, buffers, { symbols, parts: 3 })
      const got = results[0]?.data
      let worst = 0
      wanted?.data.forEach((value: number | bigint, i: number) => {
        const [expected, actual] = [Number(value), Number(got?.[i] ?? 12345)]
        const error = Object.is(expected, actual) ? 0 : Math.abs(expected - actual)
        if (!(error <= worst)) worst = Number.isNaN(error) ? Infinity : error
      })
      expect(worst, `${kernel.name} ${JSON.stringify(kernel.config)}`).toBeLessThan(4e-6 * (options.size ?? 2))
    }
  }
}

const negative = (share: number) => {
  const next = Random.integers(3)
  return (): number => (next(0, 99) < share * 100 ? -Infinity : next(-100, 100) / 100)
}

describe("Attention", () => {
  it("one query and many, keys in blocks and their tails, dims of 8 to 256", () => {
    for (const [queries, keys, dim, heads] of [
      [1, 1, 8, 2],
      [1, 64, 8, 4],
      [1, 131, 16, 1],
      [2, 65, 32, 1],
      [13, 70, 64, 2],
      [50, 9, 8, 1],
      [7, 130, 96, 1],
      [3, 40, 256, 1],
      [5, 33, 128, 1]
    ] as const)
      check({ heads, queries, keys, dim })
    check({ heads: 2, queries: 17, keys: 66, dim: 16 }, [wide])
  })

  it("dims that are no whole vectors, and values of another dim", () => {
    check({ heads: 2, queries: 4, keys: 10, dim: 7 })
    check({ heads: 1, queries: 9, keys: 70, dim: 10, valueDim: 5 })
    check({ heads: 1, queries: 1, keys: 12, dim: 8, valueDim: 24 })
    check({ heads: 1, queries: 3, keys: 12, dim: 4, valueDim: 1 })
  })

  it("causal, with more keys than queries, across blocks of both", () => {
    for (const [queries, keys] of [
      [1, 5],
      [6, 6],
      [9, 20],
      [70, 70],
      [60, 190]
    ] as const)
      check({ heads: 2, queries, keys, dim: 8, causal: true })
    check({ heads: 4, keyHeads: 2, queries: 1, keys: 9, dim: 8, causal: true })
    check({ heads: 4, keyHeads: 2, queries: 3, keys: 9, dim: 8, causal: true })
  })

  it("masks of every broadcast", () => {
    const shape = { batch: 2, heads: 4, queries: 5, keys: 71, dim: 8 } as const
    for (const mask of [[2, 4, 5, 71], [1, 1, 5, 71], [2, 1, 1, 71], [1, 4, 5, 1], [71], [1]])
      for (const keyHeads of [4, 2]) check({ ...shape, keyHeads, mask: { shape: mask, at: negative(0) } })
    check({ ...shape, causal: true, mask: { shape: [5, 71], at: negative(0.3) } })
  })

  it("−∞ in masks, and rows that are masked altogether, as the expansion says", () => {
    const shape = { heads: 2, queries: 4, keys: 140, dim: 8 } as const
    check({ ...shape, mask: { shape: [4, 140], at: negative(0.7) } })
    // The first block of the second row is masked, the whole third row is.
    const at = (index: number): number => {
      const [row, key] = [Math.floor(index / 140), index % 140]
      return row === 2 || (row === 1 && key < 129) ? -Infinity : 0
    }
    check({ ...shape, mask: { shape: [4, 140], at } })
    // Where nothing is NaN the test above would pass for kernels that never say NaN.
    const [q, k, v] = [4, 140, 140].map((rows) => Tensor.zeros("f32", [1, 2, rows, 8]))
    if (q === undefined || k === undefined || v === undefined) return
    const mask = Tensor.make(
      "f32",
      [4, 140],
      Float32Array.from({ length: 560 }, (_, i) => at(i))
    )
    const [result] = runOp(Ops.attention, [q, k, v, mask], { scale: 1, causal: false })
    expect(result?.data.slice(16, 24).every((value) => Number.isNaN(value))).toBe(true)
    expect(Number.isNaN(result?.data[8])).toBe(false)
  })

  it("scores beyond what e to their power can hold, NaN where an operand is", () => {
    check({ heads: 1, queries: 3, keys: 70, dim: 8, size: 40, scale: 1 })
    check({
      heads: 2,
      queries: 5,
      keys: 70,
      dim: 8,
      change: (what, data) => {
        if (what === "q") data[9] = NaN
      }
    })
  })

  it("heads that share keys, layouts with heads inside, results transposed", () => {
    const orders: Record<string, ReadonlyArray<number>> = {
      q: [0, 2, 1, 3],
      k: [0, 2, 1, 3],
      v: [0, 2, 1, 3],
      y: [0, 2, 1, 3]
    }
    for (const [queries, keyHeads] of [
      [1, 2],
      [6, 3],
      [7, 1]
    ] as const) {
      check({ batch: 2, heads: 6, keyHeads, queries, keys: 20, dim: 8 })
      check({ batch: 2, heads: 6, keyHeads, queries, keys: 20, dim: 8, order: (what) => orders[what] ?? [0, 1, 2, 3] })
    }
    // Keys along the last axis, values too.
    check({
      batch: 2,
      heads: 2,
      queries: 5,
      keys: 21,
      dim: 8,
      order: (what) => (what === "q" ? [0, 1, 2, 3] : [0, 1, 3, 2])
    })
    check({ heads: 2, queries: 5, keys: 21, dim: 8, order: () => [3, 2, 1, 0] })
  })

  it("sizes that are known only when it runs, no keys among them", () => {
    const symbols = { b: "batch", s: "queries", t: "keys" } as const
    for (const [queries, keys] of [
      [1, 1],
      [1, 200],
      [21, 66]
    ] as const) {
      check({ batch: 2, heads: 4, keyHeads: 2, queries, keys, dim: 8, symbols })
      check({ heads: 2, queries, keys, dim: 12, causal: true, symbols })
      check({
        heads: 2,
        queries,
        keys,
        dim: 8,
        symbols: { t: "keys" },
        mask: { shape: [1, 1, queries, keys], at: negative(0.2) }
      })
    }
    check({ heads: 2, queries: 3, keys: 0, dim: 8, symbols })
  })
})
