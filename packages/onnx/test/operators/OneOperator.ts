// Models of one node, imported and run on the oracle: what the tests of operators share.
//
//   run({ op: "Softmax", attributes: { axis: 1 } }, [f32([1, 2], [0, 0])])  ⇒  [tensor [0.5, 0.5]]
import { create } from "@bufbuild/protobuf"
import type { DType } from "@anneal/ir/DType"
import type { Graph } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import type { Tensor } from "@anneal/ir/Tensor"
import * as ElementType from "@anneal/onnx/ElementType"
import type { AttributeProto, OperatorSetIdProto, ValueInfoProto } from "@anneal/onnx/gen/onnx_pb"
import {
  AttributeProtoSchema,
  ModelProtoSchema,
  OperatorSetIdProtoSchema,
  ValueInfoProtoSchema
} from "@anneal/onnx/gen/onnx_pb"
import * as Import from "@anneal/onnx/Import"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"

/** Integers, `{ float }`, text, lists of integers, of floats and of texts. */
export type Attribute =
  | number
  | string
  | ReadonlyArray<number>
  | { readonly float: number }
  | { readonly floats: ReadonlyArray<number> }
  | { readonly strings: ReadonlyArray<string> }

export interface Node {
  readonly op: string
  readonly domain?: string
  /** Version of the node's operator set; 27 for ai.onnx, else 1. */
  readonly opset?: number
  readonly attributes?: Readonly<Record<string, Attribute>>
  /** Number of results. Default 1. */
  readonly outputs?: number
  /** Inputs by position that become constants of the model. */
  readonly constants?: ReadonlyArray<number>
  /** Shapes of inputs by position, with names of sizes, in place of the tensors' own. */
  readonly shapes?: Readonly<Record<number, ReadonlyArray<number | string>>>
}

const attribute = (name: string, value: Attribute): AttributeProto => {
  if (typeof value === "number") return create(AttributeProtoSchema, { name, type: 2, i: BigInt(value) })
  const encoder = new TextEncoder()
  if (typeof value === "string") return create(AttributeProtoSchema, { name, type: 3, s: encoder.encode(value) })
  if ("float" in value) return create(AttributeProtoSchema, { name, type: 1, f: value.float })
  if ("floats" in value) return create(AttributeProtoSchema, { name, type: 6, floats: [...value.floats] })
  if ("strings" in value)
    return create(AttributeProtoSchema, { name, type: 8, strings: value.strings.map((text) => encoder.encode(text)) })
  return create(AttributeProtoSchema, { name, type: 7, ints: value.map(BigInt) })
}

const opset = (domain: string, version: number): OperatorSetIdProto =>
  create(OperatorSetIdProtoSchema, { domain, version: BigInt(version) })

const info = (name: string, dtype: DType, shape: ReadonlyArray<number | string>): ValueInfoProto => {
  const dim = shape.map((extent) =>
    typeof extent === "number"
      ? ({ value: { case: "dimValue", value: BigInt(extent) } } as const)
      : ({ value: { case: "dimParam", value: extent } } as const)
  )
  const elemType = ElementType.toDataType(dtype).code
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: "tensorType", value: { elemType, shape: { dim } } } }
  })
}

const inputName = (index: number): string => `x${index}`

/** The graph of the node over inputs of the tensors' types; a missing tensor is an optional input left out. */
export const graphOf = (node: Node, inputs: ReadonlyArray<Tensor | undefined>): Graph => {
  const given = inputs.flatMap((tensor, index) => (tensor === undefined ? [] : [{ tensor, index }]))
  const domain = node.domain ?? ""
  const others = domain === "" ? [] : [opset(domain, node.opset ?? 1)]
  const names = Array.from({ length: node.outputs ?? 1 }, (_, index) => `y${index}`)
  const model = create(ModelProtoSchema, {
    irVersion: 10n,
    opsetImport: [opset("", domain === "" ? (node.opset ?? 27) : 27), ...others],
    graph: {
      name: "one",
      node: [
        {
          opType: node.op,
          name: "node",
          domain,
          input: inputs.map((tensor, index) => (tensor === undefined ? "" : inputName(index))),
          output: names,
          attribute: Object.entries(node.attributes ?? {}).map(([name, value]) => attribute(name, value))
        }
      ],
      input: given.map(({ index, tensor }) =>
        info(inputName(index), tensor.dtype, node.shapes?.[index] ?? tensor.shape)
      ),
      output: names.map((name) => create(ValueInfoProtoSchema, { name }))
    }
  })
  const constants = given.flatMap(({ index, tensor }): ReadonlyArray<readonly [string, Tensor]> =>
    node.constants?.includes(index) === true ? [[inputName(index), tensor]] : []
  )
  return Import.toGraph(model, { constants: Object.fromEntries(constants) })
}

const oracle = Reference.make()

/** The results of the node. */
export const run = (node: Node, inputs: ReadonlyArray<Tensor | undefined>): ReadonlyArray<Tensor> => {
  const graph = graphOf(node, inputs)
  const given = graph.inputs.flatMap(({ name }) => inputs[Number(name.slice(1))] ?? [])
  return Effect.runSync(oracle.run(graph, given))
}

export const tensor = (dtype: DType, shape: ReadonlyArray<number>, values: ReadonlyArray<number>): Tensor =>
  Numbers.fromNumbers(dtype, shape, values)
export const f32 = (shape: ReadonlyArray<number>, values: ReadonlyArray<number>): Tensor => tensor("f32", shape, values)
export const i64 = (shape: ReadonlyArray<number>, values: ReadonlyArray<number>): Tensor => tensor("i64", shape, values)

export const values = (found: Tensor | undefined): ReadonlyArray<number> =>
  found === undefined ? [] : [...Numbers.toNumbers(found)]

/** Pseudo-random numbers in [−1, 1), the same each time. */
export const draws = (count: number, seed = 1): ReadonlyArray<number> => {
  let state = seed >>> 0
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.fround(state / 2 ** 31 - 1)
  })
}

/** A tensor of such numbers. */
export const random = (shape: ReadonlyArray<number>, seed = 1): Tensor =>
  f32(
    shape,
    draws(
      shape.reduce((product, extent) => product * extent, 1),
      seed
    )
  )

/** The greatest distance of the elements; Infinity when the lengths differ or one is not a number. */
export const distance = (found: ReadonlyArray<number>, expected: ReadonlyArray<number>): number =>
  found.length === expected.length
    ? found.reduce((most, value, i) => {
        const apart = Math.abs(value - (expected[i] ?? Number.NaN))
        return apart === apart ? Math.max(most, value === expected[i] ? 0 : apart) : Infinity
      }, 0)
    : Infinity
