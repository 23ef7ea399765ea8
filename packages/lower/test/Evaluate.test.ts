// The definition of each scalar op is the oracle's: both are asked on the same elements.
import { assert, describe, it } from "@effect/vitest"
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Evaluate from "@anneal/lower/Evaluate"
import * as Builder from "@anneal/ir/Builder"
import * as Type from "@anneal/ir/Type"
import * as Interpret from "@anneal/lower/Interpret"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"
import { planned, runNode } from "./Agreement.ts"

const oracle = Reference.make()
const floats = [0, -0, 0.5, -0.5, 1.5, 2.5, -2.5, 1e-3, 3, -7, 120, 1e6, Infinity, -Infinity, NaN]
const integers = [0, 1, -1, 2, 3, 5, 7, -8, 31, 32, 33, 100, 127, -128]
const elements = (dtype: DType): ReadonlyArray<number> =>
  dtype === "bool"
    ? [0, 1]
    : DTypes.isFloat(dtype)
      ? floats
      : DTypes.isSigned(dtype)
        ? integers
        : integers.map(Math.abs)

/** Every element, or every pair of elements, through one op: by the oracle, and by the plan of a graph of that op. */
const same = (name: string, dtypes: ReadonlyArray<DType>, attributes = {}): void => {
  const op = Ops.table().get(name)
  if (op === undefined) return assert.fail(`no op ${name}`)
  const b = Builder.make("one")
  const [first] = dtypes
  if (first === undefined) return
  const lists = dtypes.map(elements)
  const [left = [], right] = lists
  const pairs = right === undefined ? left.map((a) => [a]) : left.flatMap((a) => right.map((c) => [a, c]))
  const inputs = dtypes.map((dtype, position) => b.input(`x${position}`, Type.make(dtype, [pairs.length])))
  b.output("y", b.one(op, inputs, attributes))
  const graph = b.finish()
  const tensors = dtypes.map((dtype, position) =>
    Numbers.fromNumbers(
      dtype,
      [pairs.length],
      pairs.map((pair) => pair[position] ?? 0)
    )
  )
  const [expected] = Effect.runSync(oracle.run(graph, tensors))
  const [found] = Interpret.run(planned(graph), tensors, runNode)
  assert.deepStrictEqual(found, expected, `${name} ${dtypes.join()}`)
}

describe("scalar ops mean what the IR's ops mean", () => {
  it("of one float", () => {
    for (const { name } of [
      Ops.neg,
      Ops.abs,
      Ops.sign,
      Ops.ceil,
      Ops.floor,
      Ops.round,
      Ops.exp,
      Ops.log,
      Ops.sqrt,
      Ops.reciprocal,
      Ops.tanh,
      Ops.erf,
      Ops.sigmoid,
      Ops.log1p,
      Ops.expm1,
      Ops.isNaN,
      Ops.sin,
      Ops.cosh,
      Ops.atan
    ])
      for (const dtype of ["f32", "f64", "f16", "bf16"] as const) same(name, [dtype])
    for (const positive of [true, false]) same("isInf", ["f32"], { positive, negative: !positive })
  })

  it("of one integer", () => {
    for (const { name } of [Ops.neg, Ops.abs, Ops.sign])
      for (const dtype of ["i8", "i32", "i64"] as const) same(name, [dtype])
    for (const dtype of ["u8", "i16", "u32", "i64"] as const) same("bitwiseNot", [dtype])
    same("not", ["bool"])
  })

  it("of two", () => {
    for (const { name } of [
      Ops.add,
      Ops.sub,
      Ops.mul,
      Ops.div,
      Ops.min,
      Ops.max,
      Ops.equal,
      Ops.less,
      Ops.lessOrEqual,
      Ops.greater,
      Ops.greaterOrEqual
    ])
      for (const dtype of ["f32", "f16", "i8", "u8", "i32", "i64", "u64"] as const) same(name, [dtype, dtype])
    for (const rounding of ["floor", "truncate"])
      for (const dtype of ["f32", "i32", "i64"] as const) same("mod", [dtype, dtype], { rounding })
    for (const { name } of [Ops.bitwiseAnd, Ops.bitwiseOr, Ops.bitwiseXor])
      for (const dtype of ["i8", "u32", "i64"] as const) same(name, [dtype, dtype])
    for (const { name } of [Ops.shiftLeft, Ops.shiftRight])
      for (const dtype of ["i32", "u8", "i64"] as const) same(name, [dtype, dtype])
    for (const { name } of [Ops.and, Ops.or, Ops.xor]) same(name, ["bool", "bool"])
    same("pow", ["f32", "f32"])
    same("pow", ["f32", "i32"])
    same("pow", ["i32", "i32"])
  })

  it("casts between all dtypes", () => {
    for (const from of DTypes.all) for (const to of DTypes.all) same("cast", [from], { to, saturate: true })
  })

  it("bits under another name", () => {
    for (const [from, to] of [
      ["f32", "i32"],
      ["i32", "f32"],
      ["f16", "u16"],
      ["i64", "f64"],
      ["u8", "i8"],
      ["i8", "bool"]
    ] as const)
      same("bitcast", [from], { to })
  })

  it("an element is rounded to its dtype", () => {
    assert.strictEqual(Evaluate.convert("f32", 0.1), Math.fround(0.1))
    assert.strictEqual(Evaluate.convert("i8", 200), -56)
    assert.strictEqual(Evaluate.convert("u64", -1n), 18446744073709551615n)
    assert.strictEqual(Evaluate.convert("bool", NaN), 1)
    assert.strictEqual(Evaluate.convert("i32", NaN), 0)
  })
})
