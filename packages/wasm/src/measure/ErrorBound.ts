/**
 * ErrorBound: expressions at one point with a bound on how far a kernel's result may be from the definition's. Operands are
 * exact; what earlier parts of a region made comes with its own bound.
 *
 *   a + b    ⇒   error of a + error of b + 2 u |a + b|      (u: half a unit in the last place; each side rounds once)
 *   f(x)     ⇒   the most that f moves when x moves by its error + twice f's ulps by contract
 *   x < y    ⇒   nothing, or anything where x and y are within their errors of each other
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Dim } from "@anneal/ir/Dim"
import * as Float from "@anneal/ir/Float"
import * as Ops from "@anneal/ir/Ops"
import type { Element } from "@anneal/lower/Evaluate"
import * as Evaluate from "@anneal/lower/Evaluate"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"

export interface Approximate {
  readonly value: Element
  readonly error: number
}

export interface Environment {
  readonly load: (operand: number, displacement: number) => Element
  readonly index: (axis: number) => number
  readonly previous: (name: string) => Approximate
}

/** Half a unit in the last place of 1; 0 for integers. */
export const unitRoundoff = (dtype: DType): number => (DTypes.isFloat(dtype) ? Float.unitRoundoff(dtype) : 0)

/** The least normal number; below it the error is absolute. */
const least = (dtype: DType): number => (DTypes.isFloat(dtype) ? Float.ulp(0, dtype) : 0)

const table = Ops.table()

/** Units in the last place that an op's contract allows. */
const ulpsOf = (op: string): number => {
  const rule = table.get(op)?.error
  return rule?.kind === "elementwise" ? Math.max(1, rule.ulps) : 1
}

/** How far apart two roundings of a value may be. */
const rounding = (dtype: DType, ulps: number): ((value: Element) => number) => {
  if (!DTypes.isFloat(dtype)) return () => 0
  const [relative, absolute] = [4 * ulps * unitRoundoff(dtype), 2 * ulps * least(dtype)]
  return (value) => relative * Math.abs(Number(value)) + absolute
}

/** The most that `f` moves from `y` when each argument moves by its error: looked at in the corners. */
const moved = (f: (xs: ReadonlyArray<number>) => Element, xs: ReadonlyArray<Operand>, y: Element): number => {
  let greatest = 0
  for (const x of xs) greatest = Math.max(greatest, x.error())
  if (greatest === 0) return 0
  if (!Number.isFinite(greatest)) return Infinity
  let most = 0
  for (let corner = 0; corner < 2 ** xs.length; corner++) {
    const at = xs.map((x, place) => Number(x.value()) + ((corner >> place) & 1 ? x.error() : -x.error()))
    const difference = Math.abs(Number(f(at)) - Number(y))
    // A corner outside the domain says nothing good.
    most = Math.max(most, Number.isNaN(difference) && !Number.isNaN(Number(y)) ? Infinity : difference)
  }
  return Number.isNaN(most) ? 0 : most
}

const comparisons = new Set(["equal", "less", "lessOrEqual", "greater", "greaterOrEqual"])

/** A part at the present point. */
interface Operand {
  readonly value: () => Element
  readonly error: () => number
}

/** How far off a part's value may be, by its operands at the present point. */
type Rule = (value: Element) => number

const exactly: Rule = () => 0

/** A part as a function of its own operands. */
const alone = (part: Extract<Scalar, { readonly kind: "unary" | "binary" | "cast" }>, size: (dim: Dim) => number) => {
  const operand = (name: string, dtype: DType): Scalar => ({ kind: "previous", name, dtype })
  const made: Scalar =
    part.kind === "binary"
      ? { ...part, a: operand("0", part.a.dtype), b: operand("1", part.b.dtype) }
      : { ...part, x: operand("0", part.x.dtype) }
  const run = Evaluate.compile([made], size)
  return (xs: ReadonlyArray<number>): Element =>
    run({ load: () => 0, index: () => 0, previous: (name) => xs[Number(name)] ?? 0 })[0] ?? 0
}

const ruleOf = (
  part: Scalar,
  size: (dim: Dim) => number,
  of: (part: Scalar) => Operand,
  previous: (name: string) => number
): Rule => {
  switch (part.kind) {
    case "load":
    case "constant":
    case "index":
    case "dim":
      return exactly
    case "previous":
      return () => previous(part.name)
    case "unary": {
      const [f, x] = [alone(part, size), of(part.x)]
      const exact = !DTypes.isFloat(part.dtype) || ["neg", "abs", "sign", "ceil", "floor", "round"].includes(part.op)
      const rounded = exact ? exactly : rounding(part.dtype, ulpsOf(part.op))
      return (value) => moved(f, [x], value) + rounded(value)
    }
    case "binary": {
      const [a, b] = [of(part.a), of(part.b)]
      if (comparisons.has(part.op))
        return () => {
          const errors = a.error() + b.error()
          return errors !== 0 && Math.abs(Number(a.value()) - Number(b.value())) <= errors ? 1 : 0
        }
      if (part.op === "min" || part.op === "max") return () => Math.max(a.error(), b.error())
      const rounded = rounding(part.dtype, 1)
      if (DTypes.isFloat(part.dtype) && (part.op === "add" || part.op === "sub"))
        return (value) => a.error() + b.error() + rounded(value)
      if (DTypes.isFloat(part.dtype) && part.op === "mul")
        return (value) => {
          const [left, right] = [a.error(), b.error()]
          if (left === 0 && right === 0) return rounded(value)
          const carried = Math.abs(Number(a.value())) * right + Math.abs(Number(b.value())) * left + left * right
          return (Number.isNaN(carried) ? Infinity : carried) + rounded(value)
        }
      const f = alone(part, size)
      const allowed = rounding(part.dtype, ulpsOf(part.op))
      return (value) => moved(f, [a, b], value) + allowed(value)
    }
    case "fma": {
      const [a, b, c] = [of(part.a), of(part.b), of(part.c)]
      const rounded = rounding(part.dtype, 1)
      return (value) => {
        const [x, y] = [Math.abs(Number(a.value())), Math.abs(Number(b.value()))]
        const [left, right] = [a.error(), b.error()]
        // A host without the instruction rounds the product, too.
        return x * right + y * left + left * right + c.error() + rounded(value) + rounded(x * y)
      }
    }
    case "select": {
      const [condition, a, b] = [of(part.condition), of(part.a), of(part.b)]
      return () => {
        const chosen = condition.value() === 0 ? b.error() : a.error()
        return condition.error() === 0
          ? chosen
          : Math.max(a.error(), b.error()) + Math.abs(Number(a.value()) - Number(b.value()))
      }
    }
    case "cast": {
      const [f, x] = [alone(part, size), of(part.x)]
      const rounded = rounding(part.dtype, 1)
      return (value) => moved(f, [x], value) + rounded(value)
    }
  }
}

/** The expressions as a function of the point: their values by definition, and how far a kernel's may be from them. */
export const compile = (roots: ReadonlyArray<Scalar>, size: (dim: Dim) => number) => {
  const all = Scalars.parts(roots)
  const values = Evaluate.compile(all, size)
  const slots = new Map(all.map((part, slot) => [part, slot]))
  let made: ReadonlyArray<Element> = []
  const errors = new Float64Array(all.length)
  const of = (part: Scalar): Operand => {
    const slot = slots.get(part) ?? -1
    return { value: () => made[slot] ?? 0, error: () => errors[slot] ?? 0 }
  }
  /** What earlier parts of the region are off by: known once their values are asked for. */
  const before = new Map<string, number>()
  const rules = all.map((part) => ruleOf(part, size, of, (name) => before.get(name) ?? 0))
  const results = roots.map(of)
  return ({ index, load, previous }: Environment): ReadonlyArray<Approximate> => {
    made = values({
      index,
      load,
      previous: (name) => {
        const { error, value } = previous(name)
        before.set(name, error)
        return value
      }
    })
    for (let slot = 0; slot < rules.length; slot++) errors[slot] = rules[slot]?.(made[slot] ?? 0) ?? 0
    return results.map((one) => ({ value: one.value(), error: one.error() }))
  }
}
