// Kernels that write to positions: data with elements or slices replaced or combined. Updates are applied in row-major
// order of the indices, so a position that is written twice keeps the last; sums are kept in float64 until the end.
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import * as DTypes from "@anneal/ir/DType"
import * as Ops from "@anneal/ir/Ops"
import * as Elements from "../Elements.ts"
import type { Entry } from "../Kernel.ts"
import * as Kernel from "../Kernel.ts"
import * as Strided from "../Strided.ts"
import { elementPositions, tuplePositions } from "./Movement.ts"

export type Reduction = "none" | "add" | "mul" | "max" | "min"

const combine = (reduction: Reduction, a: number, b: number): number => {
  switch (reduction) {
    case "add":
      return a + b
    case "mul":
      return a * b
    case "max":
      return Math.max(a, b)
    case "min":
      return Math.min(a, b)
    default:
      return b
  }
}

const combineBig = (reduction: Reduction, a: bigint, b: bigint): bigint => {
  switch (reduction) {
    case "add":
      return a + b
    case "mul":
      return a * b
    case "max":
      return a > b ? a : b
    case "min":
      return a < b ? a : b
    default:
      return b
  }
}

/** Blocks of `block` updates written at block positions `targets`. */
const scatter = (
  data: Tensor,
  targets: ArrayLike<number>,
  block: number,
  updates: Tensor,
  reduction: Reduction
): Tensor => {
  if (reduction === "none") {
    const copy = data.data.slice()
    for (let i = 0; i < targets.length; i++)
      for (let j = 0; j < block; j++) copy[(targets[i] ?? 0) * block + j] = updates.data[i * block + j] ?? 0
    return { ...data, data: copy }
  }
  const [bigData, bigUpdates] = [Elements.bigs(data), Elements.bigs(updates)]
  if (bigData !== undefined && bigUpdates !== undefined) {
    const result = bigData.slice()
    for (let i = 0; i < targets.length; i++)
      for (let j = 0; j < block; j++) {
        const at = (targets[i] ?? 0) * block + j
        result[at] = combineBig(reduction, result[at] ?? 0n, bigUpdates[i * block + j] ?? 0n)
      }
    return { ...data, data: result }
  }
  const result = Elements.numbers(data).slice()
  const values = Elements.numbers(updates)
  // Integers of 32 bits or fewer multiply exactly by wrapping at every step.
  const wraps = reduction === "mul" && DTypes.isInteger(data.dtype)
  for (let i = 0; i < targets.length; i++)
    for (let j = 0; j < block; j++) {
      const at = (targets[i] ?? 0) * block + j
      const [a, b] = [result[at] ?? 0, values[i * block + j] ?? 0]
      result[at] = wraps ? Math.imul(a, b) : combine(reduction, a, b)
    }
  return Elements.fromNumbers(data.dtype, data.shape, result)
}

export interface Plan {
  /** Positions, counted in blocks. */
  readonly targets: ArrayLike<number>
  /** Elements a block. */
  readonly block: number
}

export const elementsPlan = (call: Kernel.KernelCall<{ readonly axis: number }>): Plan => {
  const [data, indices] = [call.input(0), call.input(1)]
  const axis = Strided.normalAxis(call.attributes.axis, data.shape.length)
  return { targets: elementPositions(data.shape, indices, axis, call.fail), block: 1 }
}

export const tuplesPlan = (call: Kernel.KernelCall<unknown>): Plan => {
  const [data, indices] = [call.input(0), call.input(1)]
  const block = Tensors.size(data.shape.slice(indices.shape.at(-1) ?? 1))
  return { targets: tuplePositions(data.shape, indices, 0, call.fail), block }
}

const checked = (call: Kernel.KernelCall<unknown>, { block, targets }: Plan): Tensor => {
  const updates = call.input(2)
  if (updates.data.length !== targets.length * block)
    call.fail(`${updates.data.length} updates for ${targets.length * block} positions`)
  return updates
}

export const all: ReadonlyArray<Entry> = [
  Kernel.define(Ops.scatterElements, (call) => {
    const plan = elementsPlan(call)
    return [scatter(call.input(0), plan.targets, 1, checked(call, plan), call.attributes.reduction)]
  }),
  Kernel.define(Ops.scatterNd, (call) => {
    const plan = tuplesPlan(call)
    return [scatter(call.input(0), plan.targets, plan.block, checked(call, plan), call.attributes.reduction)]
  })
]
