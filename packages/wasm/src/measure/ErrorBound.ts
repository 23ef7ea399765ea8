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

const rounding = (dtype: DType, value: Element, ulps: number): number =>
  DTypes.isFloat(dtype) ? 2 * ulps * (2 * unitRoundoff(dtype) * Math.abs(Number(value)) + least(dtype)) : 0

/** The most that `f` moves from `y` when each argument moves by its error: looked at in the corners. */
const moved = (f: (xs: ReadonlyArray<number>) => Element, xs: ReadonlyArray<Approximate>, y: Element): number => {
  if (xs.every(({ error }) => error === 0)) return 0
  if (xs.some(({ error }) => !Number.isFinite(error))) return Infinity
  let most = 0
  for (let corner = 0; corner < 2 ** xs.length; corner++) {
    const at = xs.map(({ error, value }, place) => Number(value) + ((corner >> place) & 1 ? error : -error))
    const difference = Math.abs(Number(f(at)) - Number(y))
    // A corner outside the domain says nothing good.
    most = Math.max(most, Number.isNaN(difference) && !Number.isNaN(Number(y)) ? Infinity : difference)
  }
  return Number.isNaN(most) ? 0 : most
}

const comparisons = new Set(["equal", "less", "lessOrEqual", "greater", "greaterOrEqual"])

type Rule = (at: (part: Scalar) => Approximate, value: Element) => number

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

const ruleOf = (part: Scalar, size: (dim: Dim) => number, previous: (name: string) => Approximate): Rule => {
  switch (part.kind) {
    case "load":
    case "constant":
    case "index":
    case "dim":
      return () => 0
    case "previous":
      return () => previous(part.name).error
    case "unary": {
      const f = alone(part, size)
      const ulps = ulpsOf(part.op)
      const exact = !DTypes.isFloat(part.dtype) || ["neg", "abs", "sign", "ceil", "floor", "round"].includes(part.op)
      return (at, value) => moved(f, [at(part.x)], value) + (exact ? 0 : rounding(part.dtype, value, ulps))
    }
    case "binary": {
      if (comparisons.has(part.op))
        return (at) => {
          const [a, b] = [at(part.a), at(part.b)]
          if (a.error === 0 && b.error === 0) return 0
          return Math.abs(Number(a.value) - Number(b.value)) <= a.error + b.error ? 1 : 0
        }
      if (part.op === "min" || part.op === "max") return (at) => Math.max(at(part.a).error, at(part.b).error)
      if (DTypes.isFloat(part.dtype) && (part.op === "add" || part.op === "sub"))
        return (at, value) => at(part.a).error + at(part.b).error + rounding(part.dtype, value, 1)
      if (DTypes.isFloat(part.dtype) && part.op === "mul")
        return (at, value) => {
          const [a, b] = [at(part.a), at(part.b)]
          if (a.error === 0 && b.error === 0) return rounding(part.dtype, value, 1)
          const carried = Math.abs(Number(a.value)) * b.error + Math.abs(Number(b.value)) * a.error + a.error * b.error
          return (Number.isNaN(carried) ? Infinity : carried) + rounding(part.dtype, value, 1)
        }
      const f = alone(part, size)
      const float = DTypes.isFloat(part.dtype)
      const ulps = ulpsOf(part.op)
      return (at, value) => moved(f, [at(part.a), at(part.b)], value) + (float ? rounding(part.dtype, value, ulps) : 0)
    }
    case "fma":
      return (at, value) => {
        const [a, b, c] = [at(part.a), at(part.b), at(part.c)]
        const [x, y] = [Math.abs(Number(a.value)), Math.abs(Number(b.value))]
        // A host without the instruction rounds the product, too.
        return (
          x * b.error +
          y * a.error +
          a.error * b.error +
          c.error +
          rounding(part.dtype, value, 1) +
          rounding(part.dtype, x * y, 1)
        )
      }
    case "select":
      return (at) => {
        const [condition, a, b] = [at(part.condition), at(part.a), at(part.b)]
        const chosen = condition.value === 0 ? b.error : a.error
        return condition.error === 0 ? chosen : Math.max(a.error, b.error) + Math.abs(Number(a.value) - Number(b.value))
      }
    case "cast": {
      const f = alone(part, size)
      const float = DTypes.isFloat(part.dtype)
      return (at, value) => {
        const x = at(part.x)
        return moved(f, [x], value) + (float ? rounding(part.dtype, value, 1) : 0)
      }
    }
  }
}

/** The expressions as a function of the point: their values by definition, and how far a kernel's may be from them. */
export const compile = (roots: ReadonlyArray<Scalar>, size: (dim: Dim) => number) => {
  const all = Scalars.parts(roots)
  const values = Evaluate.compile(all, size)
  const slots = new Map(all.map((part, slot) => [part, slot]))
  const found = all.map((): Approximate => ({ value: 0, error: 0 }))
  const at = (part: Scalar): Approximate => found[slots.get(part) ?? -1] ?? { value: 0, error: 0 }
  const present: { previous: Environment["previous"] } = { previous: () => ({ value: 0, error: 0 }) }
  const rules = all.map((part) => ruleOf(part, size, (name) => present.previous(name)))
  return ({ index, load, previous }: Environment): ReadonlyArray<Approximate> => {
    present.previous = previous
    const made = values({ index, load, previous: (name) => previous(name).value })
    for (const [slot, rule] of rules.entries()) {
      const value = made[slot] ?? 0
      found[slot] = { value, error: rule(at, value) }
    }
    return roots.map(at)
  }
}
