/**
 * Scalar: what happens to one element, as an expression. Both code generators print it: as WebAssembly SIMD over
 * neighbouring elements, and as CUDA C++.
 *
 *   relu(acc + bias[n])  ⇒  binary max (binary add (previous "accumulator") (load 0)) (constant 0)
 *
 * The meaning of each op is that of the IR's op of the same name on elements of the dtype. Rounding is explicit: `fma`
 * rounds once, everything else rounds each result to its dtype; a generator may not contract or reorder.
 *
 * Expressions share parts by reference: what is the same object is the same value at a point, and is computed once. Whoever
 * walks one remembers what it has seen (`map` does), or takes time that doubles with each level of sharing.
 */
import type { Dim } from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import type { Attributes, Binary, Unary } from "./ScalarOp.ts"

/** A step in an operand that the data decides: `index` (i32 or i64; negative ones count from the end) times `stride`. */
export interface Indirection {
  readonly index: Scalar
  readonly extent: Dim
  /** Elements. */
  readonly stride: Dim
}

export type Scalar =
  /** The element of a region's operand at the present point of its domain, displaced by the indirections. */
  | {
      readonly kind: "load"
      readonly dtype: DType
      readonly operand: number
      readonly indirect?: ReadonlyArray<Indirection>
    }
  /** Narrow floats are given by value, not by bits. */
  | { readonly kind: "constant"; readonly dtype: DType; readonly value: number | bigint }
  /** The present index along an axis of the domain. */
  | { readonly kind: "index"; readonly dtype: "i32" | "i64"; readonly axis: number }
  /** A size, as a number. */
  | { readonly kind: "dim"; readonly dtype: DType; readonly dim: Dim }
  /** What an earlier part of the region made here: `accumulator`, or the name of a stage. */
  | { readonly kind: "previous"; readonly dtype: DType; readonly name: string }
  | {
      readonly kind: "unary"
      readonly dtype: DType
      readonly op: Unary
      readonly x: Scalar
      readonly attributes?: Attributes
    }
  | {
      readonly kind: "binary"
      readonly dtype: DType
      readonly op: Binary
      readonly a: Scalar
      readonly b: Scalar
      readonly attributes?: Attributes
    }
  /** a · b + c, rounded once. */
  | { readonly kind: "fma"; readonly dtype: DType; readonly a: Scalar; readonly b: Scalar; readonly c: Scalar }
  | {
      readonly kind: "select"
      readonly dtype: DType
      readonly condition: Scalar
      readonly a: Scalar
      readonly b: Scalar
    }
  /** The IR's cast; `saturate` as there. */
  | { readonly kind: "cast"; readonly dtype: DType; readonly x: Scalar; readonly saturate: boolean }

export const load = (operand: number, dtype: DType): Scalar => ({ kind: "load", operand, dtype })
export const constant = (dtype: DType, value: number | bigint): Scalar => ({ kind: "constant", dtype, value })
export const previous = (name: string, dtype: DType): Scalar => ({ kind: "previous", name, dtype })
export const unary = (op: Unary, x: Scalar, dtype: DType = x.dtype): Scalar => ({ kind: "unary", op, x, dtype })
export const binary = (op: Binary, a: Scalar, b: Scalar, dtype: DType = a.dtype): Scalar => ({
  kind: "binary",
  op,
  a,
  b,
  dtype
})
export const cast = (x: Scalar, dtype: DType, saturate = true): Scalar =>
  x.dtype === dtype ? x : { kind: "cast", x, dtype, saturate }

export const dim = (size: Dim, dtype: DType): Scalar =>
  typeof size === "number"
    ? { kind: "constant", dtype, value: dtype === "i64" || dtype === "u64" ? BigInt(size) : size }
    : { kind: "dim", dtype, dim: size }
export const select = (condition: Scalar, a: Scalar, b: Scalar): Scalar => ({
  kind: "select",
  dtype: a.dtype,
  condition,
  a,
  b
})

/** The parts that an expression is made of directly. */
export const children = (scalar: Scalar): ReadonlyArray<Scalar> => {
  switch (scalar.kind) {
    case "constant":
    case "index":
    case "dim":
    case "previous":
      return []
    case "load":
      return scalar.indirect?.map(({ index }) => index) ?? []
    case "unary":
    case "cast":
      return [scalar.x]
    case "binary":
      return [scalar.a, scalar.b]
    case "fma":
      return [scalar.a, scalar.b, scalar.c]
    case "select":
      return [scalar.condition, scalar.a, scalar.b]
  }
}

/** Every part of the expressions once, parts before what is made of them. */
export const parts = (roots: ReadonlyArray<Scalar>): ReadonlyArray<Scalar> => {
  const found = new Set<Scalar>()
  const visit = (scalar: Scalar): void => {
    if (found.has(scalar)) return
    for (const child of children(scalar)) visit(child)
    found.add(scalar)
  }
  for (const root of roots) visit(root)
  return [...found]
}

/** Rebuilds the expression bottom up; `change` is asked once for each part after its own parts were changed. */
export const map = (
  scalar: Scalar,
  change: (scalar: Scalar) => Scalar,
  seen: Map<Scalar, Scalar> = new Map()
): Scalar => {
  const visit = (one: Scalar): Scalar => map(one, change, seen)
  const rebuilt = (): Scalar => {
    switch (scalar.kind) {
      case "constant":
      case "index":
      case "dim":
      case "previous":
        return scalar
      case "load":
        return scalar.indirect === undefined
          ? scalar
          : { ...scalar, indirect: scalar.indirect.map((step) => ({ ...step, index: visit(step.index) })) }
      case "unary":
      case "cast":
        return { ...scalar, x: visit(scalar.x) }
      case "binary":
        return { ...scalar, a: visit(scalar.a), b: visit(scalar.b) }
      case "fma":
        return { ...scalar, a: visit(scalar.a), b: visit(scalar.b), c: visit(scalar.c) }
      case "select":
        return { ...scalar, condition: visit(scalar.condition), a: visit(scalar.a), b: visit(scalar.b) }
    }
  }
  const known = seen.get(scalar)
  if (known !== undefined) return known
  const changed = change(rebuilt())
  seen.set(scalar, changed)
  return changed
}
