// The type of a value: a dtype and a shape of symbolic dims, written `f32[batch, 3, 2*h]`.
import * as Dim from "./Dim.ts"
import type { DType } from "./DType.ts"
import * as DTypes from "./DType.ts"
import { refuse } from "./Errors.ts"

export interface TensorType {
  readonly dtype: DType
  readonly shape: ReadonlyArray<Dim.Dim>
}

export const make = (dtype: DType, shape: ReadonlyArray<Dim.Dim>): TensorType => ({ dtype, shape })

export const scalar = (dtype: DType): TensorType => ({ dtype, shape: [] })

export const rank = (type: TensorType): number => type.shape.length

/** Number of elements, symbolic. */
export const size = (type: TensorType): Dim.Dim => Dim.product(type.shape)

/** The shape when every dim is a plain integer. */
export const staticShape = (type: TensorType): ReadonlyArray<number> | undefined =>
  type.shape.every(Dim.isStatic) ? type.shape : undefined

/** Equal, different, or not known (some pair of dims cannot be decided). */
export const equal = (a: TensorType, b: TensorType): boolean | undefined => {
  if (a.dtype !== b.dtype || a.shape.length !== b.shape.length) return false
  let known: boolean | undefined = true
  for (const [axis, dim] of a.shape.entries()) {
    const same = Dim.equal(dim, b.shape[axis] ?? 0)
    if (same === false) return false
    if (same === undefined) known = undefined
  }
  return known
}

/** Symbols of all dims, sorted. */
export const symbols = (type: TensorType): ReadonlyArray<string> =>
  [...new Set(type.shape.flatMap((dim) => [...Dim.symbols(dim)]))].sort()

export const substitute = (type: TensorType, by: ReadonlyMap<string, Dim.Dim>): TensorType => ({
  dtype: type.dtype,
  shape: type.shape.map((dim) => Dim.substitute(dim, by))
})

export const format = (type: TensorType): string => `${type.dtype}[${type.shape.map(Dim.format).join(", ")}]`

/** The inverse of `format`. Dims are parsed by `Dim.parse`; commas inside parentheses or quotes belong to a dim. */
export const parse = (text: string): TensorType => {
  const match = /^\s*([a-z0-9]+)\s*\[([\s\S]*)\]\s*$/.exec(text)
  const dtype = match?.[1]
  if (!DTypes.is(dtype)) return refuse("Syntax", `"${text}" is not a type such as f32[batch, 3]`)
  const body = match?.[2] ?? ""
  return { dtype, shape: body.trim() === "" ? [] : splitTopLevel(body).map((part) => Dim.parse(part.trim())) }
}

const splitTopLevel = (text: string): ReadonlyArray<string> => {
  const parts: Array<string> = []
  let depth = 0
  let quoted = false
  let start = 0
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (char === '"') quoted = !quoted
    else if (quoted) continue
    else if (char === "(") depth++
    else if (char === ")") depth--
    else if (char === "," && depth === 0) {
      parts.push(text.slice(start, i))
      start = i + 1
    }
  }
  parts.push(text.slice(start))
  return parts
}
