/**
 * ScalarOp: the operations of `Scalar`, in one table; names, families and what each one takes are types made from it.
 * Generators write a case for each op of a family, without a default: an op that is added here is an error of the compiler in
 * each of them until it has its code.
 *
 *   UnaryOn<"integer">  ⇒  "neg" | "abs" | "sign" | "bitwiseNot"
 *
 * Each is the IR's op of the same name, element by element; `ofIr` is that op.
 */
import type { OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"

/** Elements that an operation is defined on: floats of all widths, integers of all widths, bools. */
export type Operand = "float" | "integer" | "bool"

/**
 * | family     |                                                                                    |
 * | ---------- | ---------------------------------------------------------------------------------- |
 * | exact      | one of the dtype's own numbers: nothing is rounded, infinities stay                |
 * | rounded    | rounded once                                                                       |
 * | elementary | approximated by a series, within the target's bound                                |
 * | test       | gives a bool                                                                       |
 * | bits       | the same bits as another dtype: it is about two dtypes, so generators ask for both |
 */
export type Family = "exact" | "rounded" | "elementary" | "test" | "bits"

interface Definition {
  readonly family: Family
  readonly takes: ReadonlyArray<Operand>
}

const floats = ["float"] as const
const numbers = ["float", "integer"] as const
const integers = ["integer"] as const
const bools = ["bool"] as const
const all = ["float", "integer", "bool"] as const

const exact = <T extends ReadonlyArray<Operand>>(takes: T) => ({ family: "exact", takes }) as const
const rounded = <T extends ReadonlyArray<Operand>>(takes: T) => ({ family: "rounded", takes }) as const
const test = <T extends ReadonlyArray<Operand>>(takes: T) => ({ family: "test", takes }) as const
const elementary = { family: "elementary", takes: floats } as const

const unaries = {
  neg: exact(numbers),
  abs: exact(numbers),
  sign: exact(numbers),
  ceil: exact(floats),
  floor: exact(floats),
  /** Half to even. */
  round: exact(floats),
  sqrt: rounded(floats),
  reciprocal: rounded(floats),
  exp: elementary,
  log: elementary,
  log1p: elementary,
  expm1: elementary,
  sin: elementary,
  cos: elementary,
  tan: elementary,
  asin: elementary,
  acos: elementary,
  atan: elementary,
  sinh: elementary,
  cosh: elementary,
  tanh: elementary,
  asinh: elementary,
  acosh: elementary,
  atanh: elementary,
  erf: elementary,
  sigmoid: elementary,
  isNaN: test(floats),
  /** Of the signs that its attributes say. */
  isInf: test(floats),
  not: test(bools),
  bitwiseNot: exact(integers),
  bitcast: { family: "bits", takes: all }
} as const satisfies Readonly<Record<string, Definition>>

const binaries = {
  add: rounded(numbers),
  sub: rounded(numbers),
  mul: rounded(numbers),
  /** By the integer 0: 0. */
  div: rounded(numbers),
  /** Rounded as its attributes say; by the integer 0: 0. */
  mod: rounded(numbers),
  /** The exponent may have another dtype. */
  pow: rounded(numbers),
  /** NaN if either is. Of bools, which only reductions combine: and, or. */
  min: exact(all),
  max: exact(all),
  and: test(bools),
  or: test(bools),
  xor: test(bools),
  bitwiseAnd: exact(integers),
  bitwiseOr: exact(integers),
  bitwiseXor: exact(integers),
  shiftLeft: exact(integers),
  shiftRight: exact(integers),
  equal: test(all),
  less: test(numbers),
  lessOrEqual: test(numbers),
  greater: test(numbers),
  greaterOrEqual: test(numbers)
} as const satisfies Readonly<Record<string, Definition>>

type Unaries = typeof unaries
type Binaries = typeof binaries

export type Unary = keyof Unaries
export type Binary = keyof Binaries

/** Functions that are approximated. */
export type Elementary = { [O in Unary]: Unaries[O]["family"] extends "elementary" ? O : never }[Unary]

/** Those of one operand that are defined on such elements; `bitcast` apart. */
export type UnaryOn<T extends Operand> = {
  [O in Exclude<Unary, "bitcast">]: T extends Unaries[O]["takes"][number] ? O : never
}[Exclude<Unary, "bitcast">]

/** Those of two operands that are defined on such elements. */
export type BinaryOn<T extends Operand> = {
  [O in Binary]: T extends Binaries[O]["takes"][number] ? O : never
}[Binary]

/** Comparisons of numbers: they give bool. */
export type Comparison = Extract<
  BinaryOn<"float">,
  { [O in Binary]: Binaries[O]["family"] extends "test" ? O : never }[Binary]
>

/** The IR's definition of each. */
export const ofIr: { readonly [O in Unary | Binary]: OpDefinition } = Ops

export const isUnary = (name: string): name is Unary => Object.hasOwn(unaries, name)
export const isBinary = (name: string): name is Binary => Object.hasOwn(binaries, name)
export const isElementary = (op: string): op is Elementary => isUnary(op) && unaries[op].family === "elementary"

/** Whether the result is always one of the dtype's numbers, so that nothing is rounded (or saturated) to it. */
export const isExact = (op: Unary | Binary): boolean =>
  (isUnary(op) ? unaries[op].family : binaries[op].family) === "exact"

const has = (takes: ReadonlyArray<Operand>, operand: Operand): boolean => takes.includes(operand)

export const isUnaryOn = <T extends Operand>(op: Unary, operand: T): op is UnaryOn<T> =>
  op !== "bitcast" && has(unaries[op].takes, operand)
export const isBinaryOn = <T extends Operand>(op: Binary, operand: T): op is BinaryOn<T> =>
  has(binaries[op].takes, operand)
export const isComparison = (op: Binary): op is Comparison =>
  binaries[op].family === "test" && has(binaries[op].takes, "float")

/** All of them, in the table's order. */
export const allUnary: ReadonlyArray<Unary> = Object.keys(unaries).filter(isUnary)
export const allBinary: ReadonlyArray<Binary> = Object.keys(binaries).filter(isBinary)

/** What an operation says beside its operands. */
export interface Attributes {
  /** Of `mod`: with the sign of the divisor (floor, where nothing is said) or of the dividend. */
  readonly rounding?: "floor" | "truncate"
  /** Of `isInf`: whether an infinity of this sign counts; it does where nothing is said. */
  readonly positive?: boolean
  readonly negative?: boolean
}

export const isFloored = (attributes: Attributes | undefined): boolean => attributes?.rounding !== "truncate"
export const countsPositive = (attributes: Attributes | undefined): boolean => attributes?.positive !== false
export const countsNegative = (attributes: Attributes | undefined): boolean => attributes?.negative !== false
