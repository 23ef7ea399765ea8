import type { Dim } from "@anneal/ir/Dim"
import * as Dims from "@anneal/ir/Dim"
import * as Ops from "@anneal/ir/Ops"
import type { Activation } from "@anneal/ir/ops/Recurrent"
import * as Tensor from "@anneal/ir/Tensor"
import type { Recurrent } from "@anneal/lower/Region"
import { reads } from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import * as Views from "@anneal/lower/View"
import type { Features } from "@anneal/wasm/Emission"
import { candidates } from "@anneal/wasm/kernels/Recurrent"
import { describe, expect, it } from "vitest"
import { runOp } from "../Definition.ts"
import * as Random from "../Random.ts"
import { bufferOf, plain, relaxed, resultsOf, type Symbols, wide } from "../RunKernel.ts"

const sigmoid: Activation = { name: "sigmoid", alpha: 0, beta: 0 }
const tanh: Activation = { name: "tanh", alpha: 0, beta: 0 }
const standard = { lstm: [sigmoid, tanh, tanh], gru: [sigmoid, tanh], rnn: [tanh] } as const
const gatesOf = { lstm: 4, gru: 3, rnn: 1 } as const

interface Options {
  readonly cell: "lstm" | "gru" | "rnn"
  readonly length: number
  readonly batch: number
  readonly features: number
  readonly hidden: number
  readonly direction?: "forward" | "reverse" | "bidirectional"
  readonly activations?: ReadonlyArray<Activation>
  readonly clip?: number
  readonly inputForget?: boolean
  readonly linearBeforeReset?: boolean
  /** What the inputs give to the gates is given, and no w. */
  readonly projected?: boolean
  readonly lengths?: ReadonlyArray<number>
  /** Optional operands that are given; all others are left out. */
  readonly given?: ReadonlyArray<"bias" | "hidden" | "cell" | "peepholes">
  /** Results that nobody takes. */
  readonly untaken?: ReadonlyArray<number>
  /** Another layout of a view, by operand or result. */
  readonly layout?: (what: "operand" | "result", index: number, view: View) => View
  /** Names for sizes that are known only when it runs. */
  readonly symbols?: { readonly length?: string; readonly batch?: string }
}

const floats = (next: (least: number, greatest: number) => number, shape: ReadonlyArray<number>, size: number) => {
  const data = Float32Array.from({ length: Tensor.size(shape) }, () => (next(-1000, 1000) / 1000) * size)
  return Tensor.make("f32", shape, data)
}

const check = (options: Options, features: ReadonlyArray<Features> = [plain, relaxed]): void => {
  const { batch, cell, direction = "forward", given = [], hidden, length, projected = false } = options
  const directions = direction === "bidirectional" ? 2 : 1
  const rows = gatesOf[cell] * hidden
  const width = projected ? directions * rows : options.features
  const next = Random.integers(length * 31 + hidden)
  const optional = (name: NonNullable<Options["given"]>[number], shape: ReadonlyArray<number>): Tensor.Tensor | null =>
    given.includes(name) ? floats(next, shape, 0.8) : null
  const state = [directions, batch, hidden]
  const tensors: ReadonlyArray<Tensor.Tensor | null> = [
    floats(next, [length, batch, width], 1),
    projected ? null : floats(next, [directions, rows, width], 1.5 / Math.sqrt(width)),
    floats(next, [directions, rows, hidden], 1.5 / Math.sqrt(hidden)),
    optional("bias", [directions, 2 * rows]),
    options.lengths === undefined ? null : Tensor.make("i32", [batch], Int32Array.from(options.lengths)),
    optional("hidden", state),
    ...(cell === "lstm" ? [optional("cell", state), optional("peepholes", [directions, 3 * hidden])] : [])
  ]
  const attributes = {
    hidden,
    direction,
    activations: options.activations ?? Array.from({ length: directions }, () => standard[cell]).flat(),
    clip: options.clip ?? null,
    ...(cell === "lstm" ? { inputForget: options.inputForget ?? false } : {}),
    ...(cell === "gru" ? { linearBeforeReset: options.linearBeforeReset ?? false } : {})
  }
  const op = { lstm: Ops.lstm, gru: Ops.gru, rnn: Ops.rnn }[cell]
  const wanted = runOp(op, tensors, attributes)

  const symbols: Symbols = new Map([
    ...(options.symbols?.length === undefined ? [] : [[options.symbols.length, length] as const]),
    ...(options.symbols?.batch === undefined ? [] : [[options.symbols.batch, batch] as const])
  ])
  const l: Dim = options.symbols?.length === undefined ? length : Dims.symbol(options.symbols.length)
  const b: Dim = options.symbols?.batch === undefined ? batch : Dims.symbol(options.symbols.batch)
  const layout = options.layout ?? ((_what, _index, view: View) => view)
  const shapes: ReadonlyArray<ReadonlyArray<Dim>> = [
    [l, b, width],
    [directions, rows, width],
    [directions, rows, hidden],
    [directions, 2 * rows],
    [b],
    [directions, b, hidden],
    [directions, b, hidden],
    [directions, 3 * hidden]
  ]
  const region: Recurrent = {
    kind: "recurrent",
    id: "y",
    members: [],
    cell,
    hidden,
    direction,
    activations: attributes.activations,
    clip: attributes.clip,
    flags: { inputForget: options.inputForget ?? false, linearBeforeReset: options.linearBeforeReset ?? false },
    operands: tensors.map((tensor, i) =>
      tensor === null ? null : layout("operand", i, Views.contiguous(`x${i}`, tensor.dtype, shapes[i] ?? []))
    ),
    results: wanted.map((_, i) =>
      options.untaken?.includes(i) === true
        ? null
        : layout(
            "result",
            i,
            Views.contiguous(`y${i}`, "f32", i === 0 ? [l, directions, b, hidden] : [directions, b, hidden])
          )
    )
  }
  const buffers = new Map(
    reads(region).flatMap((view, i) => {
      const tensor = tensors[i]
      return view === null || tensor === null || tensor === undefined
        ? []
        : [[view.buffer, bufferOf(view, tensor, symbols)] as const]
    })
  )
  for (const host of features) {
    const kernels = candidates(region, symbols, host)
    expect(kernels.map(({ name }) => name)).toEqual(["recurrent-packed", "recurrent-unpacked"])
    for (const kernel of kernels) {
      const results = resultsOf(region, kernel, host, buffers, { symbols, parts: 2 })
      wanted.forEach((want, i) => {
        const got = results[i]
        if (options.untaken?.includes(i) === true) return expect(got).toBeNull()
        let worst = 0
        want.data.forEach((value: number | bigint, at: number) => {
          const error = Math.abs(Number(value) - Number(got?.data[at] ?? NaN))
          if (!(error <= worst)) worst = error
        })
        expect(worst, `${kernel.name}, result ${i}`).toBeLessThan(4e-6 * (1 + length / 8))
      })
    }
  }
}

const cells = ["lstm", "gru", "rnn"] as const

describe("Recurrent", () => {
  it.each(cells)("%s: one step, several steps, several runs of steps, any size of batch and state", (cell) => {
    for (const [length, batch, features, hidden] of [
      [1, 1, 16, 16],
      [1, 3, 5, 12],
      [7, 1, 6, 8],
      [5, 2, 3, 5],
      [4, 5, 9, 40],
      [60, 1, 4, 9],
      [3, 1, 1, 1],
      [31, 4, 8, 16]
    ] as const)
      check({ cell, length, batch, features, hidden, given: ["bias", "hidden", "cell"] })
    check({ cell, length: 6, batch: 1, features: 8, hidden: 24, given: ["bias"] }, [wide])
    check({ cell, length: 6, batch: 3, features: 8, hidden: 24, given: ["bias"] }, [wide])
  })

  it.each(cells)("%s: backwards, and in both directions, with activations of each", (cell) => {
    for (const direction of ["reverse", "bidirectional"] as const) {
      check({ cell, length: 5, batch: 1, features: 4, hidden: 8, direction, given: ["bias", "hidden", "cell"] })
      check({ cell, length: 55, batch: 2, features: 4, hidden: 6, direction, given: ["bias"] })
    }
    const second: ReadonlyArray<Activation> = standard[cell].map((_, i) =>
      i === 0 ? { name: "hardSigmoid", alpha: 0.2, beta: 0.5 } : { name: "softsign", alpha: 0, beta: 0 }
    )
    check({
      cell,
      length: 4,
      batch: 2,
      features: 4,
      hidden: 8,
      direction: "bidirectional",
      activations: [...standard[cell], ...second]
    })
  })

  it.each(cells)("%s: without what is optional", (cell) => {
    check({ cell, length: 3, batch: 2, features: 4, hidden: 8 })
    check({ cell, length: 3, batch: 2, features: 4, hidden: 8, given: ["hidden"] })
    check({ cell, length: 1, batch: 1, features: 4, hidden: 8 })
    check({ cell, length: 3, batch: 1, features: 4, hidden: 8, given: ["bias"], untaken: [0] })
    check({ cell, length: 3, batch: 1, features: 4, hidden: 8, given: ["bias"], untaken: [1, 2] })
  })

  it.each(cells)("%s: lengths of each sequence, 0 among them", (cell) => {
    for (const direction of ["forward", "reverse", "bidirectional"] as const)
      check({
        cell,
        length: 52,
        batch: 4,
        features: 3,
        hidden: 8,
        direction,
        lengths: [52, 0, 7, 50],
        given: ["bias", "hidden", "cell"]
      })
    check({ cell, length: 1, batch: 2, features: 3, hidden: 8, lengths: [0, 1], given: ["hidden", "cell"] })
  })

  it.each(cells)("%s: sizes that are known only when it runs", (cell) => {
    for (const [length, batch] of [
      [1, 1],
      [9, 3],
      [50, 1]
    ] as const) {
      const shape = { cell, length, batch, features: 6, hidden: 8, given: ["bias", "hidden", "cell"] } as const
      check({ ...shape, symbols: { length: "length" } })
      check({ ...shape, direction: "bidirectional", symbols: { length: "length", batch: "batch" } })
    }
  })

  it.each(cells)("%s: other layouts", (cell) => {
    const order = [1, 2, 0]
    check({
      cell,
      length: 5,
      batch: 3,
      features: 6,
      hidden: 8,
      direction: "bidirectional",
      given: ["bias", "hidden", "cell"],
      layout: (what, index, view) => {
        // The input as [batch, features, length], the output as [length, batch, directions, hidden], states inside out.
        if (what === "operand" && index === 0) return Views.ordered(view.buffer, view.dtype, view.shape, order)
        if (what === "result" && index === 0) return Views.ordered(view.buffer, view.dtype, view.shape, [0, 2, 1, 3])
        if (what === "result" || index >= 5)
          return view.shape.length === 3 ? Views.ordered(view.buffer, view.dtype, view.shape, [2, 1, 0]) : view
        return view
      }
    })
    check({
      cell,
      length: 3,
      batch: 2,
      features: 6,
      hidden: 8,
      layout: (what, index, view) =>
        what === "result" && index === 0 ? Views.ordered(view.buffer, view.dtype, view.shape, [3, 0, 1, 2]) : view
    })
  })

  it.each(cells)("%s: what the inputs give to the gates", (cell) => {
    const shape = { cell, features: 0, projected: true } as const
    check({ ...shape, length: 1, batch: 1, hidden: 16, given: ["bias", "hidden", "cell"] }, [plain, wide])
    check({ ...shape, length: 1, batch: 3, hidden: 5, given: ["hidden"] })
    check({ ...shape, length: 53, batch: 1, hidden: 9, direction: "bidirectional", given: ["bias"] })
    check({ ...shape, length: 7, batch: 7, hidden: 36, direction: "reverse", given: ["bias", "hidden", "cell"] })
    check({ ...shape, length: 52, batch: 3, hidden: 8, lengths: [52, 0, 7], given: ["bias"] })
    // Whole vectors of units: a step reads them where they are.
    check({ ...shape, length: 6, batch: 9, hidden: 40, direction: "bidirectional" }, [plain, wide])
    check({ ...shape, length: 6, batch: 1, hidden: 24, direction: "bidirectional", linearBeforeReset: true })
    check({
      ...shape,
      length: 5,
      batch: 3,
      hidden: 16,
      direction: "bidirectional",
      given: ["bias", "hidden", "cell"],
      symbols: { length: "length", batch: "batch" },
      layout: (what, index, view) =>
        what === "operand" && index === 0 ? Views.ordered(view.buffer, view.dtype, view.shape, [1, 0, 2]) : view
    })
    check({
      ...shape,
      length: 5,
      batch: 2,
      hidden: 8,
      linearBeforeReset: true,
      direction: "bidirectional",
      given: ["bias", "hidden"],
      symbols: { length: "length", batch: "batch" },
      layout: (what, index, view) =>
        what === "operand" && index === 0 ? Views.ordered(view.buffer, view.dtype, view.shape, [1, 2, 0]) : view
    })
  })

  it("LSTM: peepholes, clipping, coupled gates", () => {
    const shape = { cell: "lstm", length: 6, batch: 2, features: 5, hidden: 9 } as const
    check({ ...shape, given: ["bias", "hidden", "cell", "peepholes"] })
    check({ ...shape, length: 1, hidden: 16, given: ["bias", "peepholes", "cell"] })
    check({ ...shape, given: ["bias"], clip: 0.3 })
    check({ ...shape, given: ["bias"], inputForget: true })
  })

  it("GRU: the reset gate after the product, clipping", () => {
    const shape = { cell: "gru", batch: 3, features: 5, given: ["bias", "hidden"] } as const
    for (const hidden of [8, 11])
      for (const length of [1, 6]) check({ ...shape, length, hidden, linearBeforeReset: true })
    check({ ...shape, length: 4, hidden: 8, linearBeforeReset: true, given: [] })
    check({ ...shape, length: 4, hidden: 8, clip: 0.25 }, [plain, wide])
  })

  it("RNN: every activation", () => {
    const activations: ReadonlyArray<Activation> = [
      { name: "relu", alpha: 0, beta: 0 },
      tanh,
      sigmoid,
      { name: "affine", alpha: 0.4, beta: 0.1 },
      { name: "leakyRelu", alpha: 0.01, beta: 0 },
      { name: "thresholdedRelu", alpha: 0.1, beta: 0 },
      { name: "scaledTanh", alpha: 1.7, beta: 0.6 },
      { name: "hardSigmoid", alpha: 0.2, beta: 0.5 },
      { name: "elu", alpha: 0.7, beta: 0 },
      { name: "softsign", alpha: 0, beta: 0 },
      { name: "softplus", alpha: 0, beta: 0 }
    ]
    for (const one of activations)
      check({ cell: "rnn", length: 2, batch: 2, features: 4, hidden: 8, activations: [one], given: ["bias"] })
  })
})
