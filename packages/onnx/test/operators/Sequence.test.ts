import { create } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import type { Tensor } from "@anneal/ir/Tensor"
import { ModelProtoSchema } from "@anneal/onnx/gen/onnx_pb"
import * as Import from "@anneal/onnx/Import"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"
import { f32, i64, values } from "./OneOperator.ts"

type Step = readonly [output: string, op: string, inputs: ReadonlyArray<string>, attributes?: Record<string, number>]

/** Runs nodes one after another over the given tensors; `y` is the result. */
const run = (steps: ReadonlyArray<Step>, given: Readonly<Record<string, Tensor>>): Tensor | undefined => {
  const model = create(ModelProtoSchema, {
    irVersion: 10n,
    opsetImport: [{ domain: "", version: 18n }],
    graph: {
      name: "steps",
      node: steps.map(([output, opType, input, attributes = {}]) => ({
        name: output,
        opType,
        input: [...input],
        output: [output],
        attribute: Object.entries(attributes).map(([name, value]) => ({ name, type: 2 as const, i: BigInt(value) }))
      })),
      input: Object.entries(given).map(([name, { dtype, shape }]) => ({
        name,
        type: {
          value: {
            case: "tensorType" as const,
            value: {
              elemType: dtype === "i64" ? 7 : 1,
              shape: { dim: shape.map((extent) => ({ value: { case: "dimValue" as const, value: BigInt(extent) } })) }
            }
          }
        }
      })),
      output: [{ name: "y" }]
    }
  })
  const constants = Object.fromEntries(Object.entries(given).filter(([, { dtype }]) => dtype === "i64"))
  const graph = Import.toGraph(model, { constants })
  return Effect.runSync(
    Reference.make().run(
      graph,
      graph.inputs.flatMap(({ name }) => given[name] ?? [])
    )
  )[0]
}

const x = f32([2, 5], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])

describe("sequences", () => {
  it("are cut from a tensor and joined again", () => {
    const steps: ReadonlyArray<Step> = [
      ["parts", "SplitToSequence", ["x", "size"], { axis: 1 }],
      ["y", "ConcatFromSequence", ["parts"], { axis: 0 }]
    ]
    assert.throws(() => run(steps, { x, size: i64([], [2]) }), /concat|parts/)
    const even = f32([2, 4], [0, 1, 2, 3, 4, 5, 6, 7])
    assert.deepStrictEqual(values(run(steps, { x: even, size: i64([], [2]) })), [0, 1, 4, 5, 2, 3, 6, 7])
  })

  it("give the last, smaller part by a position from the end", () => {
    const steps: ReadonlyArray<Step> = [
      ["parts", "SplitToSequence", ["x", "size"], { axis: 1 }],
      ["y", "SequenceAt", ["parts", "last"]]
    ]
    assert.deepStrictEqual(values(run(steps, { x, size: i64([], [2]), last: i64([], [-1]) })), [4, 9])
  })

  it("stack elements that are inserted and erased", () => {
    const steps: ReadonlyArray<Step> = [
      ["pair", "SequenceConstruct", ["x", "z"]],
      ["three", "SequenceInsert", ["pair", "w", "first"]],
      ["two", "SequenceErase", ["three", "middle"]],
      ["y", "ConcatFromSequence", ["two"], { axis: 0, new_axis: 1 }]
    ]
    const [a, b, c] = [f32([1], [1]), f32([1], [2]), f32([1], [3])]
    const found = run(steps, { x: a, z: b, w: c, first: i64([], [0]), middle: i64([], [1]) })
    assert.deepStrictEqual(found?.shape, [2, 1])
    assert.deepStrictEqual(values(found), [3, 2])
  })

  it("have lengths, and optionals are there or not", () => {
    const length: ReadonlyArray<Step> = [
      ["parts", "SplitToSequence", ["x"], { axis: 1, keepdims: 0 }],
      ["y", "SequenceLength", ["parts"]]
    ]
    assert.deepStrictEqual(values(run(length, { x })), [5])
    const optional: ReadonlyArray<Step> = [
      ["some", "Optional", ["x"]],
      ["y", "OptionalHasElement", ["some"]]
    ]
    assert.deepStrictEqual(values(run(optional, { x })), [1])
    const content: ReadonlyArray<Step> = [
      ["some", "Optional", ["x"]],
      ["y", "OptionalGetElement", ["some"]]
    ]
    assert.deepStrictEqual(values(run(content, { x })), values(x))
  })
})
