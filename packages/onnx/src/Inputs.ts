// The inputs of a model as inputs of its graph: f32[batch, 3] from FLOAT and { dim_param: "batch" }, { dim_value: 3 }.
//
// A sequence becomes an input an element (`x[0]`, `x[1]`), once its length is given; an optional is its value or nothing.
import * as Constants from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import type * as Tensors from "@anneal/ir/Tensor"
import type { Assembly } from "./Assembly.ts"
import * as ElementType from "./ElementType.ts"
import type { GraphProto, TypeProto, ValueInfoProto } from "./gen/onnx_pb.ts"
import type { UnsupportedType } from "./OnnxError.ts"
import { refuse } from "./OnnxError.ts"
import type { Operand, TensorOperand } from "./Operand.ts"
import { none, unknown } from "./Operand.ts"

/** An extent: a number, or the name of a size (or an expression of names). */
export type Extent = number | string

export interface InputOptions {
  /** Shapes of inputs by name: pin symbolic sizes, or give ranks that the model leaves out. */
  readonly shapes?: Readonly<Record<string, ReadonlyArray<Extent>>>
  /**
   * Inputs that become constants of these values: shapes, axes and other inputs that decide the graph itself. They are no
   * inputs of the graph then.
   */
  readonly constants?: Readonly<Record<string, Tensors.Tensor>>
  /** For each input that is a sequence, the shapes of its elements. */
  readonly sequences?: Readonly<Record<string, ReadonlyArray<ReadonlyArray<Extent>>>>
  /** Optional inputs without a value. */
  readonly absent?: ReadonlyArray<string>
}

export interface Declared {
  readonly operands: ReadonlyMap<string, Operand>
  readonly types: ReadonlyArray<UnsupportedType>
}

/** A tensor, a sequence of tensors, or what else it is; an optional is what it holds. */
type Kind =
  | { readonly kind: "tensor" | "sequence"; readonly dtype: DType; readonly type: TypeProto }
  | { readonly kind: "other"; readonly what: string }

const kindOf = (type: TypeProto | undefined): Kind => {
  switch (type?.value.case) {
    case "tensorType": {
      const code = type.value.value.elemType
      const dtype = ElementType.fromCode(code)
      return dtype === undefined ? { kind: "other", what: ElementType.nameOf(code) } : { kind: "tensor", dtype, type }
    }
    case "optionalType":
      return kindOf(type.value.value.elemType)
    case "sequenceType": {
      const inner = kindOf(type.value.value.elemType)
      if (inner.kind === "other") return { kind: "other", what: `a sequence of ${inner.what}` }
      return inner.kind === "sequence"
        ? { kind: "other", what: "a sequence of sequences" }
        : { ...inner, kind: "sequence" }
    }
    case "mapType":
      return { kind: "other", what: "a map" }
    case "sparseTensorType":
      return { kind: "other", what: "a sparse tensor" }
    case "opaqueType":
      return { kind: "other", what: "opaque" }
    default:
      return { kind: "other", what: "of no type" }
  }
}

/** Adds the inputs to the assembly. Throws `OnnxError`: `WrongShapes`, `InputShapes`, each with all of them. */
export const declare = (graph: GraphProto, options: InputOptions, assembly: Assembly, source: string): Declared => {
  const initialized = new Set(graph.initializer.map(({ name }) => name))
  const wanted = graph.input.filter(({ name }) => !initialized.has(name))
  const operands = new Map<string, Operand>()
  const types: Array<UnsupportedType> = []
  const shapeless: Array<string> = []
  const problems = unknownNames(wanted, options)
  const input = (name: string, dtype: DType, shape: ReadonlyArray<Dim.Dim>): TensorOperand =>
    assembly.ofValue(assembly.input(name, { dtype, shape }))
  const refuseType = (info: ValueInfoProto, type: string): void => {
    operands.set(info.name, unknown(type))
    types.push({ where: `input ${info.name}`, type })
  }
  for (const info of wanted) {
    const { name } = info
    const kind = kindOf(info.type)
    const pinned = options.constants?.[name]
    const items = options.sequences?.[name]
    if (options.absent?.includes(name) === true) operands.set(name, none)
    else if (kind.kind === "other") refuseType(info, kind.what)
    else if (kind.kind === "sequence") {
      if (items === undefined) refuseType(info, 'a sequence (give its elements\' shapes in the option "sequences")')
      else {
        const elements = items.map((shape, index) => input(`${name}[${index}]`, kind.dtype, shape.map(dimOf)))
        operands.set(name, { kind: "sequence", items: elements })
      }
    } else if (pinned !== undefined) {
      if (pinned.dtype !== kind.dtype) problems.push(`input "${name}" is ${kind.dtype}, its constant ${pinned.dtype}`)
      operands.set(name, assembly.ofConstant(Constants.fromTensor(pinned), name))
    } else {
      const shape = shapeOf(name, kind.type, options, problems)
      if (shape === undefined) shapeless.push(name)
      else operands.set(name, input(name, kind.dtype, shape))
    }
  }
  if (problems.length > 0) refuse(source, { _tag: "WrongShapes", problems })
  if (shapeless.length > 0) refuse(source, { _tag: "InputShapes", inputs: shapeless })
  return { operands, types }
}

const unknownNames = (wanted: ReadonlyArray<ValueInfoProto>, options: InputOptions): Array<string> => {
  const given = [options.shapes, options.constants, options.sequences].flatMap((names) => Object.keys(names ?? {}))
  return [...given, ...(options.absent ?? [])]
    .filter((name) => !wanted.some((info) => info.name === name))
    .map((name) => `there is no input "${name}"; the inputs are ${wanted.map((info) => info.name).join(", ")}`)
}

const dimOf = (extent: Extent): Dim.Dim => (typeof extent === "number" ? extent : Dim.parse(extent))

/** The given shape where it fits the declared one, else the declared one; undefined without either. */
const shapeOf = (
  name: string,
  type: TypeProto,
  options: InputOptions,
  problems: Array<string>
): ReadonlyArray<Dim.Dim> | undefined => {
  const declared = declaredShape(name, type)
  const given = options.shapes?.[name]?.map(dimOf)
  if (given === undefined) return declared
  if (declared !== undefined && declared.length !== given.length)
    problems.push(`input "${name}" has ${declared.length} axes, ${given.length} extents are given`)
  for (const [axis, extent] of given.entries()) {
    const own = declared?.[axis]
    if (own !== undefined && Dim.isStatic(own) && Dim.equal(own, extent) === false)
      problems.push(`axis ${axis} of input "${name}" is ${own} in the model, ${Dim.format(extent)} is given`)
  }
  return given
}

/** Sizes without a name are called `INPUT_AXIS`. */
const declaredShape = (name: string, type: TypeProto): ReadonlyArray<Dim.Dim> | undefined => {
  const tensor = type.value.case === "tensorType" ? type.value.value : undefined
  return tensor?.shape?.dim.map(({ value }, axis): Dim.Dim => {
    if (value.case === "dimValue" && value.value >= 0n) return Number(value.value)
    if (value.case === "dimParam" && value.value !== "")
      return Dim.symbol(Dim.isUnbackedName(value.value) ? `${value.value}_` : value.value)
    return Dim.symbol(`${name}_${axis}`)
  })
}
