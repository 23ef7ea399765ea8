import * as Builder from "@anneal/ir/Builder"
import * as DTypes from "@anneal/ir/DType"
import * as Type from "@anneal/ir/Type"
import * as Scalar from "@anneal/lower/Scalar"
import * as ScalarOp from "@anneal/lower/ScalarOp"
import * as Evaluate from "@anneal/lower/Evaluate"
import { describe, expect, it } from "vitest"

const operands = { float: "f32", integer: "i32", bool: "bool" } as const
const kinds = ["float", "integer", "bool"] as const
const attributes = { isInf: { positive: true, negative: true }, mod: { rounding: "floor" } }

/** The dtype of the IR's result on such operands; undefined where its type inference refuses them. */
const resultOf = (name: ScalarOp.Unary | ScalarOp.Binary, arity: number, kind: ScalarOp.Operand) => {
  const b = Builder.make("one")
  const inputs = Array.from({ length: arity }, (_, at) => b.input(`x${at}`, Type.make(operands[kind], [2])))
  const said = name === "isInf" || name === "mod" ? attributes[name] : name === "bitcast" ? { to: operands[kind] } : {}
  try {
    const y = b.one(ScalarOp.ofIr[name], inputs, said)
    b.output("y", y)
    return b.finish().nodes.at(-1)?.outputs[0]?.type.dtype
  } catch {
    return undefined
  }
}

describe("ScalarOp", () => {
  it.each(ScalarOp.allUnary)("%s is defined where the IR's op is, and gives what it gives", (op) => {
    expect(ScalarOp.ofIr[op].name).toBe(op)
    for (const kind of kinds) {
      const result = resultOf(op, 1, kind)
      if (op === "bitcast") expect(result).toBe(operands[kind])
      else expect(result !== undefined, kind).toBe(ScalarOp.isUnaryOn(op, kind))
    }
  })

  it.each(ScalarOp.allBinary)("%s is defined where the IR's op is, and gives what it gives", (op) => {
    expect(ScalarOp.ofIr[op].name).toBe(op)
    for (const kind of kinds) {
      // Reductions combine bools by these two; the IR's ops of two operands take numbers.
      if (kind === "bool" && (op === "min" || op === "max")) continue
      const result = resultOf(op, 2, kind)
      expect(result !== undefined, kind).toBe(ScalarOp.isBinaryOn(op, kind))
      if (kind !== "bool" && result !== undefined) expect(result === "bool").toBe(ScalarOp.isComparison(op))
    }
  })

  it("has no name twice and knows no others", () => {
    const names = [...ScalarOp.allUnary, ...ScalarOp.allBinary]
    expect(new Set(names).size).toBe(names.length)
    for (const name of ["matmul", "toString", "__proto__", ""]) {
      expect(ScalarOp.isUnary(name) || ScalarOp.isBinary(name)).toBe(false)
      expect(ScalarOp.isElementary(name)).toBe(false)
    }
  })

  it("evaluates each on every dtype that it takes, and refuses the others", () => {
    for (const dtype of DTypes.all) {
      const kind = dtype === "bool" ? "bool" : DTypes.isFloat(dtype) ? "float" : "integer"
      const environment: Evaluate.Environment = {
        load: () => (DTypes.isBig(dtype) ? 1n : 1),
        index: () => 0,
        previous: () => 0
      }
      const value = (scalar: Scalar.Scalar) => Evaluate.compile([scalar], () => 0)(environment)[0]
      const x = Scalar.load(0, dtype)
      for (const op of ScalarOp.allUnary)
        if (ScalarOp.isUnaryOn(op, kind)) expect(value(Scalar.unary(op, x)), `${op} ${dtype}`).toBeDefined()
      for (const op of ScalarOp.allBinary)
        if (ScalarOp.isBinaryOn(op, kind)) expect(value(Scalar.binary(op, x, x)), `${op} ${dtype}`).toBeDefined()
    }
    const big = Evaluate.compile([Scalar.unary("exp", Scalar.load(0, "i64"))], () => 0)
    expect(() => big({ load: () => 1n, index: () => 0, previous: () => 0 })).toThrow("exp is not defined on i64")
    const float = Evaluate.compile([Scalar.binary("xor", Scalar.load(0, "f32"), Scalar.load(0, "f32"))], () => 0)
    expect(() => float({ load: () => 1, index: () => 0, previous: () => 0 })).toThrow("xor is no operation on floats")
  })
})
