/** How the bounds of a node's operands become those of its results: the type of a rule, and what rules share. */
import type { DType } from "@anneal/ir/DType"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import * as Elements from "./Elements.ts"
import type { BoundedCall, Kernel, Work } from "./Kernel.ts"
import { settled } from "./Run.ts"
import * as Strided from "./Strided.ts"

/** One bound an element; undefined: all are 0. */
export type Bound = Float64Array | undefined

export interface RuleCall extends BoundedCall {
  readonly kernel: Kernel
  readonly results: ReadonlyArray<Tensor>
  /** Whether bounds are for any target that keeps the contract, rather than for the oracle's own arithmetic. */
  readonly isContract: boolean
}

/** Bounds of the results, in arrays that the rule made. */
export type BoundRule = (call: RuleCall) => ReadonlyArray<Bound> | Work<ReadonlyArray<Bound>>

export const hasErrors = (bound: Bound): boolean => {
  if (bound === undefined) return false
  for (let i = 0; i < bound.length; i++) if (bound[i] !== 0) return true
  return false
}

/** Whether any operand has an error. */
export const hasInputErrors = (call: RuleCall): boolean => call.bounds.some(hasErrors)

/** The result, which is there because the kernel ran. */
export const resultOf = (call: RuleCall, position = 0): Tensor =>
  call.results[position] ?? call.fail(`the kernel gives no result ${position}`)

/** The operand's bound as an array. */
export const boundOf = (call: RuleCall, position: number): Float64Array =>
  call.bounds[position] ?? new Float64Array(call.inputs[position]?.data.length ?? 0)

/** The operand's values broadcast to a shape. */
export const valuesAt = (call: RuleCall, position: number, shape: ReadonlyArray<number>): Float64Array => {
  const input = call.input(position)
  return Strided.expandedArray(Elements.numbers(input), input.shape, shape)
}

/** The operand's bound broadcast to a shape. */
export const boundAt = (call: RuleCall, position: number, shape: ReadonlyArray<number>): Float64Array =>
  Strided.expandedArray(boundOf(call, position), call.input(position).shape, shape)

export const magnitudes = (values: Float64Array): Float64Array => {
  const result = new Float64Array(values.length)
  for (let i = 0; i < values.length; i++) result[i] = Math.abs(values[i] ?? 0)
  return result
}

/** Numbers as a tensor of f64. */
export const tensorOf = (shape: ReadonlyArray<number>, data: Float64Array): Tensor => ({ dtype: "f64", shape, data })

/** Runs the node's own kernel on f64 tensors in place of some operands; gives the numbers of the first result. */
export function* rerun(
  call: RuleCall,
  inputs: ReadonlyArray<Tensor | undefined>,
  attributes: RuleCall["attributes"] = call.attributes
): Work<Float64Array> {
  const dtype: DType = "f64"
  const outputTypes = call.outputTypes.map((type, i) => (i === 0 ? { ...type, dtype } : type))
  const results = yield* settled(
    call.kernel.run({
      ...call,
      attributes,
      inputs,
      outputTypes,
      input: (position) => inputs[position] ?? call.fail(`operand ${position} is missing`)
    })
  )
  const first = results[0]
  return first === undefined ? new Float64Array(0) : ownNumbers(first, inputs)
}

/** Numbers that no operand shares. */
const ownNumbers = (result: Tensor, inputs: ReadonlyArray<Tensor | undefined>): Float64Array => {
  const numbers = Elements.numbers(result)
  return inputs.some((input) => input?.data === numbers) ? numbers.slice() : numbers
}

/** An array full of Infinity: nothing can be said. */
export const unknown = (tensor: Tensor): Float64Array => new Float64Array(Tensors.size(tensor.shape)).fill(Infinity)
