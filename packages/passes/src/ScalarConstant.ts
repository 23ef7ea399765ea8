// Constants that hold one number, whatever their rank: `[]`, `[1]` and `[1, 1, 1]` all do; and those that repeat one.
import type { Editor } from "@anneal/ir/Editor"
import type { DType } from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import * as Graph from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Tensor from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"

/** Constants of more elements are not read to see whether they repeat one number. */
const splatElements = 64

type Id = string | null | undefined

/** The number of a constant of one element; undefined for anything else, and for integers beyond 2⁵³. */
export const read = (editor: Editor, id: Id): number | undefined => {
  const entry = editor.constant(id)
  if (entry === undefined || Tensor.size(entry.constant.shape) !== 1) return undefined
  return exactNumber(editor.read(id))
}

/** The number that every element of a small constant is, or of one that `expand` or `reshape` spreads. */
export const splat = (editor: Editor, id: Id): number | undefined => {
  const entry = editor.constant(id)
  if (entry === undefined) {
    const producer = editor.producer(id)
    if (Graph.isOp(producer, Ops.expand) || Graph.isOp(producer, Ops.reshape)) return splat(editor, producer.inputs[0])
    return undefined
  }
  const size = Tensor.size(entry.constant.shape)
  if (size < 1 || size > splatElements) return undefined
  const tensor = editor.read(id)
  const first = exactNumber(tensor)
  if (tensor === undefined || first === undefined) return undefined
  return Numbers.toNumbers(tensor).every((value) => Object.is(value, first)) ? first : undefined
}

const exactNumber = (tensor: Tensor.Tensor | undefined): number | undefined => {
  const value = tensor === undefined ? undefined : Numbers.toNumbers(tensor)[0]
  if (tensor === undefined || value === undefined) return undefined
  return typeof tensor.data[0] === "bigint" && !Number.isSafeInteger(value) ? undefined : value
}

/** Relative distance within which a constant of a dtype counts as a wanted real number: a few roundings. */
const closeness: { readonly [D in DType]?: number } = { f64: 2 ** -50, f32: 2 ** -21, f16: 2 ** -9, bf16: 2 ** -6 }

/** Whether a number read from a constant of `dtype` is `wanted`, rounded. */
export const isAbout = (value: number, wanted: number, dtype: DType): boolean =>
  Math.abs(value - wanted) <= Math.abs(wanted) * (closeness[dtype] ?? 0)

/** Whether a value has exactly the type of another: what may take its place without a reshape. */
export const sameType = (a: Value, b: Value): boolean => Type.equal(a.type, b.type) === true
