// Operators that are one elementwise op of two operands: Add(a, b) ⇒ add(a, b). With known content, evaluated.
//
// Before opset 7 the operands broadcast only when asked, `axis` aligning the second one.
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Content from "../Content.ts"
import type { Context, Operator, Result } from "../Operator.ts"

type Evaluate = (dtype: DType, a: Content.Element, b: Content.Element) => Content.Element | undefined

const list: ReadonlyArray<
  readonly [name: string, op: OpDefinition<{}>, evaluate?: Evaluate, result?: DType, identity?: number]
> = [
  ["Add", Ops.add, Content.add],
  ["Sub", Ops.sub, Content.sub],
  ["Mul", Ops.mul, Content.mul],
  ["And", Ops.and, Content.and],
  ["Or", Ops.or, Content.or],
  ["Xor", Ops.xor, Content.xor],
  ["BitwiseAnd", Ops.bitwiseAnd],
  ["BitwiseOr", Ops.bitwiseOr],
  ["BitwiseXor", Ops.bitwiseXor],
  ["Equal", Ops.equal, Content.equal, "bool"],
  ["Greater", Ops.greater, Content.greater, "bool"],
  ["GreaterOrEqual", Ops.greaterOrEqual, Content.greaterOrEqual, "bool"],
  ["Less", Ops.less, Content.less, "bool"],
  ["LessOrEqual", Ops.lessOrEqual, Content.lessOrEqual, "bool"],
  ["Pow", Ops.pow]
]

/** Both operands, the second with the axes that the old `axis` attribute aligns it to. */
const operands = (c: Context): readonly [Value, Value] => {
  const [a, b] = [c.input(0), c.input(1)]
  if (c.opset >= 7 || !c.attribute.has("axis") || !c.attribute.flag("broadcast", false)) return [a, b]
  const rank = a.type.shape.length
  const axis = c.axis(c.attribute.int("axis"), rank)
  const trailing = Math.max(0, rank - axis - b.type.shape.length)
  return [a, c.e.reshape(b, [...b.type.shape, ...Array.from({ length: trailing }, (): Dim.Dim => 1)])]
}

/** The content of both inputs combined; undefined where either is not known. */
export const evaluate = (c: Context, f: Evaluate, result?: DType): Result | undefined => {
  const [a, b] = [c.content(0), c.content(1)]
  const known = a === undefined || b === undefined ? undefined : Content.binary(a, b, f, result ?? a.dtype)
  return known === undefined ? undefined : c.known(known)
}

export const all: ReadonlyArray<Operator> = list.map(([name, op, f, result]) => ({
  name,
  since: [1, 7],
  translate: (c) => (f === undefined ? undefined : evaluate(c, f, result)) ?? c.e.b.one(op, operands(c), {})
}))

export const div: Operator = {
  name: "Div",
  since: [1, 7],
  translate: (c) => {
    const assume = (dim: Dim.Dim) => c.constrain(Dim.max(dim, 0), dim, "a size that is divided is not negative")
    return evaluate(c, Content.divAssuming(assume)) ?? c.e.b.one(Ops.div, operands(c), {})
  }
}

export const mod: Operator = {
  name: "Mod",
  since: [10],
  translate: (c) => {
    const truncate = c.attribute.flag("fmod", false)
    const known = truncate ? undefined : evaluate(c, Content.mod)
    if (known !== undefined) return known
    return c.e.b.one(Ops.mod, [c.input(0), c.input(1)], { rounding: truncate ? "truncate" : "floor" })
  }
}

export const bitShift: Operator = {
  name: "BitShift",
  since: [11],
  translate: (c) => {
    const direction = c.attribute.string("direction")
    if (direction !== "LEFT" && direction !== "RIGHT")
      return c.fail(`direction "${direction}" is neither LEFT nor RIGHT`)
    return c.e.binary(direction === "LEFT" ? Ops.shiftLeft : Ops.shiftRight, c.input(0), c.input(1))
  }
}

const folded = (c: Context, combine: (a: Value, b: Value) => Value): Value => {
  let result = c.input(0)
  for (let i = 1; i < c.count; i++) result = combine(result, c.input(i))
  return result
}

const extreme = (name: string, op: OpDefinition<{}>, f: Evaluate): Operator => ({
  name,
  since: [1, 8],
  translate: (c) => {
    if (c.count === 1) return c.operand(0)
    const known = c.count === 2 ? evaluate(c, f) : undefined
    return known ?? folded(c, (a, b) => c.e.binary(op, a, b))
  }
})
export const max = extreme("Max", Ops.max, Content.max)
export const min = extreme("Min", Ops.min, Content.min)

export const sum: Operator = {
  name: "Sum",
  since: [1, 8],
  translate: (c) => (c.count === 1 ? c.operand(0) : folded(c, c.e.add))
}

export const mean: Operator = {
  name: "Mean",
  since: [1, 8],
  translate: (c) => {
    const total = folded(c, c.e.add)
    return DTypes.isFloat(total.type.dtype) ? c.e.div(total, c.e.number(total, c.count)) : c.fail("takes floats")
  }
}

export const where: Operator = {
  name: "Where",
  since: [9],
  translate: (c) => {
    const condition = c.content(0)
    const [a, b] = [c.content(1), c.content(2)]
    if (condition !== undefined && a !== undefined && b !== undefined) {
      const yes = Content.binary(condition, a, (_, test, x) => (test === 0 ? 0n : x), a.dtype)
      const no = Content.binary(condition, b, (_, test, x) => (test === 0 ? x : 0n), a.dtype)
      const known =
        yes === undefined || no === undefined
          ? undefined
          : Content.binary(yes, no, (_, x, y) => (x === 0n ? y : x), a.dtype)
      if (known !== undefined) return c.known(known)
    }
    return c.e.select(c.input(0), c.input(1), c.input(2))
  }
}
