// An op is a contract: attributes (a Schema), operands, type inference, input domain, error rule, and either a primitive
// (the oracle has a kernel for it) or an expansion into smaller ops.
//
// Ops are values. A node refers to its op's definition, so nothing is looked up in a registry; a plug-in's op is
// declared like any other and is nobody's special case.
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import type { Builder } from "./Builder.ts"
import * as Dim from "./Dim.ts"
import type { DType } from "./DType.ts"
import * as DTypes from "./DType.ts"
import { refuse } from "./Errors.ts"
import type { Graph, Value } from "./Graph.ts"
import type { TensorType } from "./Type.ts"

export type Attributes = Readonly<Record<string, unknown>>

// ---- attribute schemas ----------------------------------------------------------------------------------------------

const isDim = (value: unknown): value is Dim.Dim => typeof value === "number" || value instanceof Dim.SymbolicDim

/** A dim: an integer or, in text and JSON, an expression such as `"2*batch"`. */
export const DimSchema: Schema.Codec<Dim.Dim, number | string> = Schema.Union([Schema.Int, Schema.String]).pipe(
  Schema.decodeTo(
    Schema.declare<Dim.Dim>(isDim),
    SchemaTransformation.transform({
      decode: (encoded: number | string): Dim.Dim => (typeof encoded === "number" ? encoded : Dim.parse(encoded)),
      encode: (dim: Dim.Dim): number | string => (typeof dim === "number" ? dim : Dim.format(dim))
    })
  )
)
export const Dims = Schema.Array(DimSchema)
export const Ints = Schema.Array(Schema.Int)
export const DTypeSchema: Schema.Codec<DType, DType> = Schema.Literals(DTypes.all)
/** No attributes. */
export const NoAttributes = Schema.Struct({})

// ---- operands, domains, error rules ---------------------------------------------------------------------------------

export interface Operand {
  readonly name: string
  /** May be left out (the node's input is then null). */
  readonly optional?: boolean
  /** Stands for any number of operands; only the last may. */
  readonly variadic?: boolean
}

/** What values an operand may take so that the op is defined; random inputs of checks are drawn from it. */
export type Domain =
  | { readonly kind: "any" }
  /** Finite values in [min, max]. */
  | { readonly kind: "range"; readonly min: number; readonly max: number }
  /** An index along an axis of extent `extent`; negative ones count from the end when `negative`. */
  | { readonly kind: "index"; readonly extent: Dim.Dim; readonly negative: boolean }
  /** Values away from zero. */
  | { readonly kind: "nonZero" }

export const any: Domain = { kind: "any" }

/**
 * How an error in becomes an error out; `packages/reference` interprets it while it runs a graph with bounds.
 *
 * - `exact`: integers, booleans, shapes: no error, and none can come in.
 * - `movement`: output elements are input elements; the kernel is applied to the error tensors of the `data` operands.
 * - `elementwise`: per element: `ulps` of rounding of the result, plus the errors in times the local slope. `slope` is
 *   the bound of |∂f/∂x_i| near `xs`, given the errors in.
 * - `selection`: max, min and their reductions: the error is at most the largest error of the candidates.
 * - `contraction`: bilinear in the first two operands over `depth` terms: γ(depth)·Σ|a||b| + Σ|a|·eb + ea·|b| + ea·eb.
 * - `sum`: linear reduction over `depth` terms.
 * - `discontinuous`: the result jumps: it may differ, by any amount, only where the inputs are within their errors of a
 *   tie; elsewhere it has no error.
 * - `expansion`: the bound of the composite's expansion.
 * - `run`: the kernel computes its own bound (control flow, recurrent cells, plug-ins).
 */
export type ErrorRule =
  | { readonly kind: "exact" }
  | { readonly kind: "movement"; readonly data: ReadonlyArray<number> | "all" }
  | { readonly kind: "elementwise"; readonly ulps: number; readonly slope: Slope }
  | { readonly kind: "selection" }
  | { readonly kind: "contraction" }
  | { readonly kind: "sum" }
  | { readonly kind: "discontinuous" }
  | { readonly kind: "expansion" }
  | { readonly kind: "run" }

/** Bound of |∂f/∂x_i| for the elements `xs` that may each be off by `errors`, where f(xs) = y. */
export type Slope = (operand: number, xs: ReadonlyArray<number>, errors: ReadonlyArray<number>, y: number) => number

// ---- definition -----------------------------------------------------------------------------------------------------

export interface InferContext<A> {
  readonly attributes: A
  /** Types of the operands; undefined for one left out. */
  readonly inputs: ReadonlyArray<TensorType | undefined>
  readonly graphs: Readonly<Record<string, Graph>>
  /** The operand's type; refuses with `WrongArity` when it was left out. */
  readonly input: (index: number) => TensorType
  /** A new unbacked symbol, for a size that only the data decides. */
  readonly fresh: () => Dim.Dim
  /** Notes that two dims must be equal; refuses when they cannot be. Returns the more informative of them. */
  readonly constrain: (a: Dim.Dim, b: Dim.Dim, what: string) => Dim.Dim
  /** Refuses with `TypeMismatch`. */
  readonly fail: (detail: string) => never
}

export interface OpDefinition<A extends Attributes = Attributes> {
  /** The field's name, in camel case; unique. */
  readonly name: string
  /** One line: what it computes. */
  readonly summary: string
  readonly attributes: Schema.Codec<A, unknown>
  readonly operands: ReadonlyArray<Operand>
  /** Names of the sub-graphs that the op holds. */
  readonly graphs?: ReadonlyArray<string>
  /** Types of the results. Throws `IrError` by `context.fail`. */
  infer(context: InferContext<A>): ReadonlyArray<TensorType>
  /** Domain of an operand; `any` when not given. */
  domain?(operand: number, types: ReadonlyArray<TensorType | undefined>, attributes: A): Domain
  readonly error: ErrorRule
  /** The type that a target accumulates in, for a result computed from elements of `dtype`. Default: see `accumulator`. */
  accumulation?(dtype: DType): DType
  /** The composite in smaller ops; absent for a primitive. Must give the same types as `infer`. */
  expand?(builder: Builder, inputs: ReadonlyArray<Value | undefined>, attributes: A): ReadonlyArray<Value>
  /** Results that the data size (unbacked dims), or state outside the inputs: never folded or shared blindly. */
  readonly binds?: boolean
  /** `a op b = b op a`. */
  readonly commutative?: boolean
}

/** The declared op itself; a function, so that a definition's attribute type is inferred from its schema. */
export const define = <A extends Attributes>(definition: OpDefinition<A>): OpDefinition<A> => definition

export const isPrimitive = (op: OpDefinition): boolean => op.expand === undefined

/** The accumulation type of a contraction or reduction: narrow floats in f32, narrow integers in i32. */
export const accumulator = (op: OpDefinition, dtype: DType): DType => {
  if (op.accumulation !== undefined) return op.accumulation(dtype)
  if (DTypes.isNarrowFloat(dtype)) return "f32"
  if (DTypes.isInteger(dtype) && DTypes.bits(dtype) < 32) return DTypes.isSigned(dtype) ? "i32" : "u32"
  return dtype
}

export const isDiscontinuous = (op: OpDefinition): boolean => op.error.kind === "discontinuous"

/** Checks attributes against the op's schema; for attributes from outside (text, plug-ins, JSON). */
export const decodeAttributes = <A extends Attributes>(op: OpDefinition<A>, encoded: unknown, at?: string): A => {
  try {
    return Schema.decodeUnknownSync(op.attributes)(encoded, { errors: "all" })
  } catch (cause) {
    return refuse("BadAttribute", `${op.name}: ${cause instanceof Error ? cause.message : String(cause)}`, at)
  }
}

/** Attributes as JSON: dims as integers or expressions. */
export const encodeAttributes = (op: OpDefinition, attributes: Attributes): unknown =>
  Schema.encodeSync(op.attributes)(attributes)

/** Attributes as JSON text. −0 stays −0, which `JSON.stringify` alone would make 0. */
export const attributesText = (op: OpDefinition, attributes: Attributes): string =>
  JSON.stringify(encodeAttributes(op, attributes), (_, value: unknown) =>
    Object.is(value, -0) ? negativeZero : value
  ).replaceAll(JSON.stringify(negativeZero), "-0")

/** Stands for −0 on the way; no attribute has this text. */
const negativeZero = "\u0000-0"

/** Every symbol that an attribute mentions, at any depth, sorted. */
export const attributeSymbols = (attributes: unknown): ReadonlyArray<string> => {
  const found = new Set<string>()
  const visit = (value: unknown): void => {
    if (value instanceof Dim.SymbolicDim) for (const name of Dim.symbols(value)) found.add(name)
    else if (Array.isArray(value)) for (const item of value) visit(item)
    else if (typeof value === "object" && value !== null) for (const item of Object.values(value)) visit(item)
  }
  visit(attributes)
  return [...found].sort()
}

/** The attributes with every dim rewritten, at any depth. Attributes without symbolic dims come back as they are. */
export const mapDims = <A>(attributes: A, map: (dim: Dim.Dim) => Dim.Dim): A => {
  const visit = (value: unknown): unknown => {
    if (value instanceof Dim.SymbolicDim) return map(value)
    if (Array.isArray(value)) {
      const items: ReadonlyArray<unknown> = value
      const next = items.map(visit)
      return next.some((item, index) => item !== items[index]) ? next : value
    }
    if (typeof value === "object" && value !== null) {
      const entries = Object.entries(value).map(([key, item]): readonly [string, unknown] => [key, visit(item)])
      const before: Readonly<Record<string, unknown>> = { ...value }
      return entries.some(([key, item]) => item !== before[key]) ? Object.fromEntries(entries) : value
    }
    return value
  }
  // The shape of the object is kept: only dims are replaced, by dims.
  return visit(attributes) as A
}
