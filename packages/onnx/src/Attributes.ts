// The attributes of a node by name and type, those that a function's body takes from its call resolved.
import type { AttributeProto, GraphProto, NodeProto, TensorProto } from "./gen/onnx_pb.ts"

export type Attributes = ReadonlyMap<string, AttributeProto>

/** Attributes by name. In a function, `outer` are the call's; a reference to one that the call leaves out is absent. */
export const of = (node: NodeProto, outer: Attributes | undefined): Attributes => {
  const found = new Map<string, AttributeProto>()
  for (const attribute of node.attribute) {
    if (attribute.refAttrName === "") found.set(attribute.name, attribute)
    else {
      const given = outer?.get(attribute.refAttrName)
      if (given !== undefined) found.set(attribute.name, given)
    }
  }
  return found
}

const decoder = new TextDecoder()

/** Typed reading; a default makes an attribute optional, without one it must be there. */
export interface Reader {
  readonly has: (name: string) => boolean
  readonly int: (name: string, otherwise?: number) => number
  readonly flag: (name: string, otherwise: boolean) => boolean
  readonly float: (name: string, otherwise?: number) => number
  readonly string: (name: string, otherwise?: string) => string
  /** Undefined when absent. Integers beyond ±(2⁵³ − 1) are saturated. */
  readonly ints: (name: string) => ReadonlyArray<number> | undefined
  readonly floats: (name: string) => ReadonlyArray<number> | undefined
  readonly strings: (name: string) => ReadonlyArray<string> | undefined
  readonly tensor: (name: string) => TensorProto | undefined
  readonly graph: (name: string) => GraphProto
}

export const reader = (attributes: Attributes, fail: (detail: string) => never): Reader => {
  const required = <A>(name: string, value: A | undefined, otherwise: A | undefined): A =>
    value ?? otherwise ?? fail(`the attribute "${name}" is missing`)
  // INT64_MAX stands for "to the end": saturated, it still does.
  const integer = (value: bigint): number =>
    Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(value)))
  const one = <A>(name: string, read: (attribute: AttributeProto) => A): A | undefined => {
    const attribute = attributes.get(name)
    return attribute === undefined ? undefined : read(attribute)
  }
  const int = (name: string, otherwise?: number): number =>
    required(
      name,
      one(name, (attribute) => integer(attribute.i)),
      otherwise
    )
  return {
    has: (name) => attributes.has(name),
    int,
    flag: (name, otherwise) => int(name, otherwise ? 1 : 0) !== 0,
    float: (name, otherwise) =>
      required(
        name,
        one(name, (attribute) => attribute.f),
        otherwise
      ),
    string: (name, otherwise) =>
      required(
        name,
        one(name, (attribute) => decoder.decode(attribute.s)),
        otherwise
      ),
    ints: (name) => one(name, (attribute) => attribute.ints.map(integer)),
    floats: (name) => one(name, (attribute) => attribute.floats),
    strings: (name) => one(name, (attribute) => attribute.strings.map((text) => decoder.decode(text))),
    tensor: (name) => one(name, (attribute) => attribute.t),
    graph: (name) =>
      required(
        name,
        one(name, (attribute) => attribute.g),
        undefined
      )
  }
}
