import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type * as Graph from "@anneal/ir/Graph"
import * as Hash from "@anneal/ir/Hash"
import * as Op from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Text from "@anneal/ir/Text"
import * as Type from "@anneal/ir/Type"
import { assert, describe, it } from "@effect/vitest"

const [n, h, w] = [Dim.symbol("n"), Dim.symbol("h"), Dim.symbol("w")]

/** The result types of one node, as text. */
const infer = <A extends Op.Attributes>(
  op: Op.OpDefinition<A>,
  inputs: ReadonlyArray<Type.TensorType>,
  attributes: A
): ReadonlyArray<string> => {
  const b = Builder.make("g")
  const operands = inputs.map((type, position) => b.input(`x${position}`, type))
  return b.node(op, operands, attributes).map(({ type }) => Type.format(type))
}
const f32 = (...shape: ReadonlyArray<Dim.Dim>): Type.TensorType => Type.make("f32", shape)
const i64 = (...shape: ReadonlyArray<Dim.Dim>): Type.TensorType => Type.make("i64", shape)

describe("ops", () => {
  it("have unique names and operands that make sense", () => {
    assert.strictEqual(new Set(Ops.all.map(({ name }) => name)).size, Ops.all.length)
    for (const op of Ops.all)
      for (const [position, operand] of op.operands.entries())
        assert.isTrue(operand.variadic !== true || position === op.operands.length - 1, op.name)
  })

  it("infer symbolic shapes", () => {
    const window = { strides: [2, 2], padsBegin: [1, 1], padsEnd: [1, 1], dilations: [1, 1] }
    assert.deepStrictEqual(infer(Ops.conv, [f32(n, 3, h, w), f32(8, 3, 3, 3)], { ...window, groups: 1 }), [
      "f32[n, 8, floor((h+1)/2), floor((w+1)/2)]"
    ])
    assert.deepStrictEqual(
      infer(Ops.maxPool, [f32(1, 4, 7, 7)], { ...window, kernel: [3, 3], ceil: true, indexOrder: "rowMajor" }),
      ["f32[1, 4, 4, 4]", "i64[1, 4, 4, 4]"]
    )
    // A window that would start in the end padding is left out, whatever the extent: 2 gives 1, 3 gives 2.
    const ceil = { ...window, strides: [3, 2], kernel: [2, 3], ceil: true, indexOrder: "rowMajor" } as const
    assert.deepStrictEqual(infer(Ops.maxPool, [f32(1, 4, h, w)], ceil).at(0), "f32[1, 4, floor(h/3)+1, floor(w/2)+1]")
    assert.deepStrictEqual(
      infer(Ops.convTranspose, [f32(n, 8, h, 5), f32(8, 2, 3, 3)], {
        ...window,
        groups: 2,
        outputPadding: [1, 1]
      }),
      ["f32[n, 4, 2*h, 10]"]
    )
    assert.deepStrictEqual(infer(Ops.concat, [f32(n, 2), f32(n, 3)], { axis: 1 }), ["f32[n, 5]"])
    assert.deepStrictEqual(infer(Ops.gather, [f32(10, n), i64(2, h)], { axis: 0 }), ["f32[2, h, n]"])
    assert.deepStrictEqual(infer(Ops.matmul, [f32(n, 1, 4, 5), f32(7, 5, 6)], {}), ["f32[n, 7, 4, 6]"])
    assert.deepStrictEqual(infer(Ops.reduceMean, [f32(n, h, w)], { axes: [1], keepDims: true }), ["f32[n, 1, w]"])
    assert.deepStrictEqual(infer(Ops.nonZero, [f32(n, h)], {}), ["i64[2, u0]"])
    assert.deepStrictEqual(infer(Ops.topK, [f32(n, 9)], { k: 3, axis: -1, largest: true, sorted: true }), [
      "f32[n, 3]",
      "i64[n, 3]"
    ])
  })

  it("refuse what is wrong, saying what", () => {
    const wrong: ReadonlyArray<readonly [() => unknown, RegExp]> = [
      [() => infer(Ops.transpose, [f32(2, 3)], { permutation: [0, 0] }), /no permutation of 2 axes/],
      [() => infer(Ops.reshape, [f32(2, 3)], { shape: [7] }), /number of elements: 6 is not 7/],
      [() => infer(Ops.slice, [f32(4)], { starts: [2], sizes: [3], steps: [1] }), /leaves an extent of 4/],
      [() => infer(Ops.pad, [f32(4)], { before: [-1], after: [0], mode: "constant" }), /negative padding/],
      [() => infer(Ops.concat, [f32(2, 3), f32(3, 3)], { axis: 1 }), /axis 0 of the parts: 2 is not 3/],
      [() => infer(Ops.gather, [f32(4), f32(2)], { axis: 0 }), /indices are i32 or i64/],
      [() => infer(Ops.softmax, [f32(4)], { axis: 1 }), /axis 1 is outside a rank of 1/],
      [() => infer(Ops.add, [f32(2)], {}), /operand 1 \(b\) is missing/],
      [() => infer(Ops.relu, [f32(2), f32(2)], {}), /takes at most 1 operands/]
    ]
    for (const [run, message] of wrong) assert.throws(run, message)
  })

  it("keep the sign of a zero attribute in text and hashes", () => {
    const make = (alpha: number): Graph.Graph => {
      const b = Builder.make("g")
      b.output("y", b.one(Ops.leakyRelu, [b.input("x", f32(2))], { alpha }))
      return b.finish()
    }
    assert.notStrictEqual(Hash.content(make(0)), Hash.content(make(-0)))
    const parsed = Text.parse(Text.print(make(-0)), { ops: Ops.table() })
    assert.isTrue(Object.is(parsed.nodes[0]?.attributes["alpha"], -0))
  })

  it("read attributes from JSON, and refuse wrong ones with their place", () => {
    const attributes = Op.decodeAttributes(Ops.reshape, { shape: [2, "2*n"] })
    assert.deepStrictEqual(Op.encodeAttributes(Ops.reshape, attributes), { shape: [2, "2*n"] })
    assert.throws(() => Op.decodeAttributes(Ops.conv, { strides: [1.5] }), /conv: [\s\S]*strides/)
    assert.deepStrictEqual(Op.attributeSymbols(attributes), ["n"])
    const bound = Op.mapDims(attributes, (dim) => Dim.evaluate(dim, new Map([["n", 4]])) ?? dim)
    assert.deepStrictEqual(bound, { shape: [2, 8] })
  })
})
