// Template: one way to add nodes to a graph that is being generated. A plug-in's op joins the generated graphs by one:
//
//   Template.make("double", ({ b, pick }) => { const x = pick(isFloat); return x && [b.one(double, [x], {})] })
import type * as Builder from "@anneal/ir/Builder"
import type { DType } from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import type { Attributes, OpDefinition } from "@anneal/ir/Op"
import type { TensorType } from "@anneal/ir/Type"
import type { Random } from "./Random.ts"

export interface Site {
  /** Nodes added by it get a path of their own as lineage. */
  readonly b: Builder.Builder
  readonly random: Random
  /** A value made so far of which `fits` holds, recent ones more often; undefined when there is none. */
  readonly pick: (fits: (type: TensorType) => boolean) => Value | undefined
}

export interface Template {
  readonly name: string
  /** Adds nodes and gives the values that later ones may use; undefined when nothing here suits it. */
  readonly build: (site: Site) => ReadonlyArray<Value> | undefined
}

export const make = (name: string, build: Template["build"]): Template => ({ name, build })

// ---- what templates ask for -----------------------------------------------------------------------------------------

export const isFloat = ({ dtype }: TensorType): boolean => DTypes.isFloat(dtype)
/** f32 or f64. */
export const isWide = ({ dtype }: TensorType): boolean => dtype === "f32" || dtype === "f64"
export const isInteger = ({ dtype }: TensorType): boolean => dtype === "i32" || dtype === "i64"
export const isStatic = ({ shape }: TensorType): boolean => shape.every(Dim.isStatic)
export const hasRank =
  (least: number, most = 8) =>
  ({ shape }: TensorType): boolean =>
    shape.length >= least && shape.length <= most
export const all =
  (...tests: ReadonlyArray<(type: TensorType) => boolean>) =>
  (type: TensorType): boolean =>
    tests.every((test) => test(type))

/** The extent of a static axis; negative axes count from the end. Undefined for a symbolic one. */
export const extent = ({ type }: Value, axis: number): number | undefined => {
  const dim = type.shape.at(axis)
  return dim !== undefined && Dim.isStatic(dim) ? dim : undefined
}

// ---- what templates put in ------------------------------------------------------------------------------------------

/** A constant of small values: quarters between −2 and 2, so that sums of a few are exact. */
export const weights = ({ b, random }: Site, dtype: DType, shape: ReadonlyArray<number>): Value => {
  const size = shape.reduce((a, c) => a * c, 1)
  const integer = !DTypes.isFloat(dtype)
  const values = Array.from({ length: size }, () => (integer ? random.integer(-3, 3) : random.integer(-8, 8) / 4))
  return b.tensor(Numbers.fromNumbers(dtype, shape, values))
}

export const scalar = ({ b }: Site, dtype: DType, value: number): Value => b.tensor(Numbers.scalar(dtype, value))

/** The value, limited to where an op's first operand is defined; undefined for an op that only refuses single points. */
export const inDomain = <A extends Attributes>(
  op: OpDefinition<A>,
  attributes: A,
  value: Value,
  clip: (value: Value, low: number, high: number) => Value
): Value | undefined => {
  const domain = op.domain?.(0, [value.type], attributes) ?? { kind: "any" }
  if (domain.kind === "range") return clip(value, domain.min, domain.max)
  return domain.kind === "any" ? value : undefined
}
