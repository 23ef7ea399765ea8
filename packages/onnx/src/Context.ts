// What a translation gets, over an ONNX node and the assembly that it is translated into.
import * as Constants from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import type { Tensor } from "@anneal/ir/Tensor"
import type { Assembly } from "./Assembly.ts"
import * as Attributes from "./Attributes.ts"
import * as Content from "./Content.ts"
import type { Emit } from "./Emit.ts"
import type { NodeProto, TensorProto } from "./gen/onnx_pb.ts"
import type { Operand, TensorOperand } from "./Operand.ts"
import type { Context } from "./Operator.ts"

/**
 * Why a node is not imported: it breaks ONNX's rules, has no translation, uses a type that the IR does not have, or its
 * input comes from such a node. The importer collects these; nothing else catches them.
 */
export class Refusal extends Error {
  readonly kind: "bad" | "unsupported" | "type" | "followUp"
  readonly detail: string
  readonly help: string
  constructor(kind: Refusal["kind"], detail: string, help = "") {
    super(detail)
    this.kind = kind
    this.detail = detail
    this.help = help
  }
}

export interface Parts extends Pick<Context, "inline" | "isolate" | "unbacked"> {
  readonly path: string
  readonly node: NodeProto
  readonly opset: number
  readonly inputs: ReadonlyArray<Operand | undefined>
  readonly e: Emit
  readonly assembly: Assembly
  readonly attributes: Attributes.Attributes
  readonly tensor: (proto: TensorProto) => Operand
}

export const makeContext = (parts: Parts): Context => {
  const { assembly, e, inputs, node } = parts
  const fail = (detail: string): never => {
    throw new Refusal("bad", detail)
  }
  const notKnown = (index: number): never =>
    unsupported(
      `input ${index} ("${node.input[index]}") is not known before it runs`,
      'Make it a constant of the model, or give its value in the option "constants" when importing.'
    )
  const unsupported = (detail: string, help = "Export the model without it."): never => {
    throw new Refusal("unsupported", detail, help)
  }
  const has = (index: number): boolean => {
    const operand = inputs[index]
    return operand !== undefined && operand.kind !== "none"
  }
  const tensorOf = (operand: Operand | undefined, what: string): TensorOperand => {
    if (operand?.kind === "tensor") return operand
    if (operand === undefined || operand.kind === "none") return fail(`${what} is missing`)
    if (operand.kind === "unknown") throw new Refusal("type", operand.what)
    return fail(`${what} is a sequence`)
  }
  const operand = (index: number): TensorOperand => tensorOf(inputs[index], `input ${index}`)
  const content = (index: number): Content.Content | undefined => (has(index) ? operand(index).content : undefined)
  const read = (value: Value): ReadonlyArray<Dim.Dim> => {
    const { shape } = value.type
    const size = Dim.product(shape)
    if (shape.length > 1 || !Dim.isStatic(size))
      return unsupported(`sizes in a tensor of shape [${shape.map(Dim.format).join(", ")}]`)
    return assembly.read(e.cast(value, "i64"), size)
  }
  const numbers = (index: number): ReadonlyArray<number> | undefined => {
    if (!has(index)) return undefined
    const elements = content(index)?.elements ?? constantNumbers(operand(index))
    if (elements === undefined) return notKnown(index)
    return elements.map((element) =>
      typeof element === "number" || typeof element === "bigint" ? Number(element) : notKnown(index)
    )
  }
  return {
    path: parts.path,
    opset: parts.opset,
    e,
    count: inputs.length,
    has,
    operand,
    any: (index) => inputs[index],
    sequence: (index) => {
      const found = inputs[index]
      return found?.kind === "sequence" ? found : fail(`input ${index} is no sequence`)
    },
    input: (index) => operand(index).value(),
    optional: (index) => (has(index) ? operand(index).value() : undefined),
    type: (index) => operand(index).type,
    rank: (index) => operand(index).type.shape.length,
    axis: (axis, rank) => {
      const normal = axis < 0 ? axis + rank : axis
      return normal >= 0 && normal < rank ? normal : fail(`axis ${axis} is outside a rank of ${rank}`)
    },
    content,
    dims: (index) => {
      const known = content(index)
      if (known === undefined) return read(operand(index).value())
      return Content.dims(known) ?? fail(`input ${index} holds numbers that are no sizes`)
    },
    read,
    integers: (index) => {
      const found = numbers(index)
      return found?.every(Number.isInteger) === false
        ? fail(`input ${index} holds numbers that are no integers`)
        : found
    },
    numbers,
    constant: (index): Tensor | undefined => {
      const given = has(index) ? operand(index) : undefined
      if (given?.constant !== undefined) return Constants.load(given.constant)
      return given?.content === undefined ? undefined : Content.toTensor(given.content)
    },
    wanted: (index) => (node.output[index] ?? "") !== "",
    outputs: node.output.length,
    attribute: Attributes.reader(parts.attributes, fail),
    known: (known) => assembly.ofContent(known),
    ofValue: (value) => assembly.ofValue(value),
    tensor: (proto) => tensorOf(parts.tensor(proto), "a tensor attribute"),
    fail,
    unsupported,
    constrain: (left, right, what) => assembly.constrain({ left, right, what: `${parts.path}: ${what}` }),
    inline: parts.inline,
    isolate: parts.isolate,
    unbacked: parts.unbacked
  }
}

const constantNumbers = ({ constant }: TensorOperand): ReadonlyArray<number> | undefined =>
  constant === undefined ? undefined : Array.from(Numbers.toNumbers(Constants.load(constant)))
