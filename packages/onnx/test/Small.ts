// Small models for tests: `model({ inputs: { x: [1, "n"] }, nodes: [node("Relu", ["x"], ["y"])], outputs: ["y"] })`.
import { create, type MessageInitShape } from "@bufbuild/protobuf"
import type { AttributeProtoSchema, FunctionProtoSchema, ModelProto, NodeProtoSchema } from "@anneal/onnx/gen/onnx_pb"
import { ModelProtoSchema } from "@anneal/onnx/gen/onnx_pb"

export type Extent = number | string | null
export type NodeInit = MessageInitShape<typeof NodeProtoSchema>
export type AttributeInit = MessageInitShape<typeof AttributeProtoSchema>

const encoder = new TextEncoder()

const isInts = (value: ReadonlyArray<number> | AttributeInit): value is ReadonlyArray<number> => Array.isArray(value)

const attribute = (name: string, value: number | ReadonlyArray<number> | string | AttributeInit): AttributeInit => {
  if (typeof value === "number") return { name, type: 2, i: BigInt(value) }
  if (typeof value === "string") return { name, type: 3, s: encoder.encode(value) }
  if (isInts(value)) return { name, type: 7, ints: value.map(BigInt) }
  return { ...value, name }
}

/** Attributes: integers, lists of integers, strings, or a message's fields. */
export const node = (
  opType: string,
  input: Array<string>,
  output: Array<string>,
  attributes: Record<string, number | ReadonlyArray<number> | string | AttributeInit> = {},
  name = ""
): NodeInit => ({
  opType,
  input,
  output,
  name,
  attribute: Object.entries(attributes).map(([key, value]) => attribute(key, value))
})

const tensorType = (elemType: number, shape: ReadonlyArray<Extent> | undefined) => ({
  value: {
    case: "tensorType" as const,
    value: {
      elemType,
      ...(shape === undefined
        ? {}
        : {
            shape: {
              dim: shape.map((extent) =>
                extent === null
                  ? {}
                  : {
                      value:
                        typeof extent === "number"
                          ? { case: "dimValue" as const, value: BigInt(extent) }
                          : { case: "dimParam" as const, value: extent }
                    }
              )
            }
          })
    }
  }
})

/** A sub-graph as an attribute. */
export const subgraph = (
  name: string,
  inputs: ReadonlyArray<string>,
  nodes: ReadonlyArray<NodeInit>,
  outputs: ReadonlyArray<string>
): AttributeInit => ({
  type: 5,
  g: {
    name,
    input: inputs.map((input) => ({ name: input })),
    node: [...nodes],
    output: outputs.map((output) => ({ name: output }))
  }
})

/** A float scalar as an attribute. */
export const floatTensor = (value: number): AttributeInit => ({
  type: 4,
  t: { dataType: 1, rawData: new Uint8Array(Float32Array.of(value).buffer) }
})

export const model = (given: {
  readonly opset?: number
  /** float inputs; undefined: no shape is declared. */
  readonly inputs?: Record<string, ReadonlyArray<Extent> | undefined>
  /** int64 inputs. */
  readonly integers?: Record<string, ReadonlyArray<Extent>>
  readonly nodes: ReadonlyArray<NodeInit>
  readonly outputs: ReadonlyArray<string>
  /** int64 vectors. */
  readonly initializers?: Record<string, ReadonlyArray<number>>
  readonly functions?: ReadonlyArray<MessageInitShape<typeof FunctionProtoSchema>>
}): ModelProto =>
  create(ModelProtoSchema, {
    irVersion: 10n,
    opsetImport: [
      { domain: "", version: BigInt(given.opset ?? 21) },
      { domain: "local", version: 1n }
    ],
    functions: [...(given.functions ?? [])],
    graph: {
      name: "small",
      input: [
        ...Object.entries(given.inputs ?? {}).map(([name, shape]) => ({ name, type: tensorType(1, shape) })),
        ...Object.entries(given.integers ?? {}).map(([name, shape]) => ({ name, type: tensorType(7, shape) }))
      ],
      output: given.outputs.map((name) => ({ name })),
      node: [...given.nodes],
      initializer: Object.entries(given.initializers ?? {}).map(([name, values]) => ({
        name,
        dataType: 7,
        dims: [BigInt(values.length)],
        rawData: new Uint8Array(BigInt64Array.from(values, BigInt).buffer)
      }))
    }
  })
