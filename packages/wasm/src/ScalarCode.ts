/**
 * ScalarCode: prints a `Scalar` as WebAssembly, for four neighbouring elements at once or for one.
 *
 *   vector(w, [relu(previous("accumulator") + load 0)], environment)  ⇒  f32x4.pmax(f32x4.add(acc, v128.load …), 0)
 *
 * Common subexpressions of the expressions that are given together are computed once. What an operand's element, an earlier
 * value or an index is here, the environment says. All results are in locals: nothing is read after the first store.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import * as ScalarOp from "@anneal/lower/ScalarOp"
import type { Expr } from "./Instruction.ts"
import { i64 } from "./Instruction.ts"
import type { Lanes } from "./Lanes.ts"
import * as LanesOf from "./Lanes.ts"
import { kindOf } from "./Lanes.ts"
import * as ScalarFolding from "./ScalarFolding.ts"
import * as ScalarLibrary from "./ScalarLibrary.ts"
import * as SingleOps from "./SingleOps.ts"
import * as VectorOps from "./VectorOps.ts"
import type { Writer } from "./Writer.ts"

export type Load = Extract<Scalar, { readonly kind: "load" }>

/** Where leaves come from; `V` is `Lanes` for four elements, `Expr` for one. Forms: see `Lanes.ts`. */
export interface Environment<V> {
  /** The element (or elements) of an operand. `evaluate` is for the indices of indirections. */
  readonly load: (load: Load, evaluate: (index: Scalar) => V) => V
  readonly previous: (name: string, dtype: DType) => V
  /** The index along an axis, as i32 or i64. */
  readonly index: (axis: number, dtype: "i32" | "i64") => V
}

/** Why no code can be made for it; undefined where it can. */
export const refusal = (...scalars: ReadonlyArray<Scalar>): string | undefined => {
  for (const scalar of Scalars.parts(scalars)) {
    if (scalar.kind === "unary" && scalar.x.dtype === "f64" && ScalarOp.isElementary(scalar.op))
      return `${scalar.op} in f64 has no code`
    if (scalar.kind === "binary" && scalar.op === "pow") {
      if (scalar.a.dtype === "f64") return "pow in f64 has no code"
      if (DTypes.isInteger(scalar.a.dtype) && !DTypes.isInteger(scalar.b.dtype))
        return "pow of an integer to a float has no code"
    }
  }
  return undefined
}

// ---- evaluation -----------------------------------------------------------------------------------------------------

type Of<K extends Scalar["kind"]> = Extract<Scalar, { readonly kind: K }>

/** The operations of one form, four elements or one. */
interface Form<V> {
  readonly keep: (value: V) => V
  readonly constant: (dtype: DType, value: number | bigint) => V
  /** A number that is the same for all elements. */
  readonly uniform: (dtype: DType, value: Expr) => V
  readonly bitcast: (from: DType, to: DType, x: V) => V
  readonly unary: (op: Exclude<ScalarOp.Unary, "bitcast">, scalar: Of<"unary">, x: V) => V
  readonly binary: (scalar: Of<"binary">, a: V, b: V) => V
  readonly integerPower: (scalar: Of<"binary">, base: V, exponent: V) => V
  readonly fma: (dtype: DType, a: V, b: V, c: V) => V
  readonly choose: (condition: V, a: V, b: V) => V
  /** `stored`: for `Lanes.storeBytes` alone. */
  readonly cast: (scalar: Of<"cast">, x: V, stored: boolean) => V
}

/** Names an expression by its structure, so that equal ones are computed once. */
class Structure {
  readonly #names = new Map<string, number>()
  readonly #known = new Map<Scalar, number>()

  of(scalar: Scalar): number {
    const known = this.#known.get(scalar)
    if (known !== undefined) return known
    const text = this.#describe(scalar)
    const name = this.#names.get(text) ?? this.#names.size
    this.#names.set(text, name)
    this.#known.set(scalar, name)
    return name
  }

  #describe(scalar: Scalar): string {
    const { dtype, kind } = scalar
    switch (kind) {
      case "load": {
        const steps = (scalar.indirect ?? []).map(({ index, stride }) => `${this.of(index)}*${Dim.format(stride)}`)
        return `load ${dtype} ${scalar.operand} ${steps.join()}`
      }
      case "constant":
        return `constant ${dtype} ${typeof scalar.value} ${Object.is(scalar.value, -0) ? "-0" : scalar.value}`
      case "index":
        return `index ${dtype} ${scalar.axis}`
      case "dim":
        return `dim ${dtype} ${Dim.format(scalar.dim)}`
      case "previous":
        return `previous ${dtype} ${scalar.name}`
      case "unary":
        return `${scalar.op} ${dtype} ${JSON.stringify(scalar.attributes ?? {})} ${this.of(scalar.x)}`
      case "binary":
        return `${scalar.op} ${dtype} ${JSON.stringify(scalar.attributes ?? {})} ${this.of(scalar.a)} ${this.of(scalar.b)}`
      case "fma":
        return `fma ${dtype} ${this.of(scalar.a)} ${this.of(scalar.b)} ${this.of(scalar.c)}`
      case "select":
        return `select ${dtype} ${this.of(scalar.condition)} ${this.of(scalar.a)} ${this.of(scalar.b)}`
      case "cast":
        return `cast ${dtype} ${scalar.saturate} ${this.of(scalar.x)}`
    }
  }
}

const evaluateAll = <V>(
  w: Writer,
  form: Form<V>,
  given: ReadonlyArray<Scalar>,
  environment: Environment<V>,
  stored: boolean
): ReadonlyArray<V> => {
  const scalars = ScalarFolding.fold(given, w.emission.features.relaxed)
  const structure = new Structure()
  const uses = new Map<number, number>()
  const count = (scalar: Scalar): void => {
    const name = structure.of(scalar)
    const before = uses.get(name) ?? 0
    uses.set(name, before + 1)
    if (before === 0) Scalars.children(scalar).forEach(count)
  }
  scalars.forEach(count)
  const values = new Map<number, V>()
  const make = (scalar: Scalar, isStored: boolean): V => {
    switch (scalar.kind) {
      case "load":
        return environment.load(scalar, evaluate)
      case "previous":
        return environment.previous(scalar.name, scalar.dtype)
      case "index":
        return environment.index(scalar.axis, scalar.dtype)
      case "constant":
        return form.constant(scalar.dtype, scalar.value)
      case "dim":
        return form.uniform(scalar.dtype, SingleOps.cast(w, "i32", scalar.dtype, w.emission.dim(scalar.dim), true))
      case "unary": {
        const x = evaluate(scalar.x)
        const { op } = scalar
        return op === "bitcast" ? form.bitcast(scalar.x.dtype, scalar.dtype, x) : form.unary(op, scalar, x)
      }
      case "binary": {
        const [a, b] = [evaluate(scalar.a), evaluate(exponentOf(scalar))]
        return isIntegerPower(scalar) ? form.integerPower(scalar, a, b) : form.binary(scalar, a, b)
      }
      case "fma":
        return form.fma(scalar.dtype, evaluate(scalar.a), evaluate(scalar.b), evaluate(scalar.c))
      case "select":
        return form.choose(evaluate(scalar.condition), evaluate(scalar.a), evaluate(scalar.b))
      case "cast":
        return form.cast(scalar, evaluate(scalar.x), isStored)
    }
  }
  const evaluate = (scalar: Scalar, isStored = false): V => {
    const name = structure.of(scalar)
    const known = values.get(name)
    if (known !== undefined) return known
    const isShared = (uses.get(name) ?? 0) > 1
    const value = make(scalar, isStored && !isShared)
    const shared = isShared ? form.keep(value) : value
    values.set(name, shared)
    return shared
  }
  return scalars.map((scalar) => form.keep(evaluate(scalar, stored)))
}

const vectors = (w: Writer): Form<Lanes> => ({
  keep: (value) => LanesOf.map(value, (part) => w.keep(part)),
  constant: (dtype, value) => VectorOps.constant(w, dtype, value),
  uniform: (dtype, value) => LanesOf.splat(dtype, w.keep(value)),
  bitcast: (from, to, x) => VectorOps.bitcast(w, from, to, x),
  unary: (op, { attributes, x }, value) => VectorOps.unary(w, op, x.dtype, value, attributes),
  binary: ({ a, attributes, b, op }, x, y) => VectorOps.binary(w, op, a.dtype, x, y, attributes, [a, b]),
  integerPower: (scalar, base, exponent) => {
    const operands = [
      { dtype: scalar.a.dtype, lanes: base },
      { dtype: exponentOf(scalar).dtype, lanes: exponent }
    ]
    return LanesOf.lanewise(w, scalar.dtype, operands, ([x, y]) => integerPower(w, scalar, x, y))
  },
  fma: (dtype, a, b, c) => VectorOps.fma(w, dtype, a, b, c),
  choose: (condition, a, b) => VectorOps.choose(w, condition, a, b),
  cast: ({ dtype, saturate, x }, value, stored) =>
    VectorOps.cast(w, x.dtype, dtype, value, saturate, { within: interval(x), stored })
})

const singles = (w: Writer): Form<Expr> => ({
  keep: (value) => w.keep(value),
  constant: SingleOps.constant,
  uniform: (_, value) => value,
  bitcast: (from, to, x) => SingleOps.bitcast(w, from, to, x),
  unary: (op, { attributes, x }, value) => SingleOps.unary(w, op, x.dtype, value, attributes),
  binary: ({ a, attributes, op }, x, y) => SingleOps.binary(w, op, a.dtype, x, y, attributes),
  integerPower: (scalar, base, exponent) => integerPower(w, scalar, base, exponent),
  fma: (dtype, a, b, c) => SingleOps.fma(w, dtype, a, b, c),
  choose: SingleOps.choose,
  cast: ({ dtype, saturate, x }, value) => SingleOps.cast(w, x.dtype, dtype, value, saturate)
})

/**
 * Four neighbouring elements of each expression, in locals. `stored`: integers of 8 bits are for `Lanes.storeBytes` alone,
 * which takes their low bits.
 */
export const vector = (
  w: Writer,
  scalars: ReadonlyArray<Scalar>,
  environment: Environment<Lanes>,
  { stored = false }: { readonly stored?: boolean } = {}
): ReadonlyArray<Lanes> => evaluateAll(w, vectors(w), scalars, environment, stored)

/** One element of each expression, in locals. */
export const single = (
  w: Writer,
  scalars: ReadonlyArray<Scalar>,
  environment: Environment<Expr>
): ReadonlyArray<Expr> => evaluateAll(w, singles(w), scalars, environment, false)

type Power = Of<"binary">

const isIntegerPower = ({ a, op }: Power): boolean => op === "pow" && DTypes.isInteger(a.dtype)

/** A power's exponent may have another dtype: integers take it in 64 bits, floats in their base's form. */
const exponentOf = (scalar: Power): Scalar => {
  const { a, b, op } = scalar
  if (op !== "pow") return b
  const wide: DType = LanesOf.isUnsigned(b.dtype) ? "u64" : "i64"
  // Narrow bases are computed in f32: the exponent is not rounded to them.
  const dtype: DType = DTypes.isInteger(a.dtype) ? wide : kindOf(a.dtype) === "f64" ? "f64" : "f32"
  return Scalars.cast(b, dtype)
}

const integerPower = (w: Writer, { a, b, dtype }: Power, base: Expr = i64.const(0n), exponent: Expr = base): Expr => {
  const wide = SingleOps.cast(w, a.dtype, LanesOf.isUnsigned(a.dtype) ? "u64" : "i64", base, true)
  const power = ScalarLibrary.integerPower(w.emission, DTypes.isSigned(a.dtype), DTypes.isSigned(b.dtype))
  return SingleOps.cast(w, "i64", dtype, w.f.call("i64", power, [wide, exponent]), true)
}

/** Bounds of an expression (NaN apart). */
const interval = (scalar: Scalar): readonly [number, number] => {
  if (scalar.kind === "constant") return [Number(scalar.value), Number(scalar.value)]
  if (scalar.kind === "cast" && !DTypes.isFloat(scalar.x.dtype) && DTypes.bits(scalar.x.dtype) <= 16) {
    const { max, min } = DTypes.integerRange(scalar.x.dtype)
    return [Number(min), Number(max)]
  }
  if (scalar.kind === "unary") {
    if (scalar.op === "tanh" || scalar.op === "erf" || scalar.op === "sign") return [-1, 1]
    if (scalar.op === "sigmoid") return [0, 1]
    if (scalar.op === "round" || scalar.op === "floor" || scalar.op === "ceil") {
      const [low, high] = interval(scalar.x)
      return [Math.floor(low), Math.ceil(high)]
    }
  }
  if (scalar.kind === "binary" && (scalar.op === "min" || scalar.op === "max")) {
    const [a, b] = [interval(scalar.a), interval(scalar.b)]
    const pick = scalar.op === "min" ? Math.min : Math.max
    return [pick(a[0], b[0]), pick(a[1], b[1])]
  }
  return [-Infinity, Infinity]
}
