// IR graphs to ONNX: Graph ⇒ ModelProto bytes, so that others' tools can run and check what the passes made.
//
// A composite without an ONNX operator is written as its expansion. Symbolic dims become `dim_param`s; where a tensor is
// wanted (the shape of a Reshape), they are computed from the shapes of inputs. IR types narrower than ONNX's newest are
// all in opset 21; an op that needs a newer one raises the version.
import { create } from "@bufbuild/protobuf"
import * as Builders from "@anneal/ir/Builder"
import * as Constants from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import type { Graph, Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import type { TensorType } from "@anneal/ir/Type"
import * as Effect from "effect/Effect"
import * as ElementType from "./ElementType.ts"
import type { AttributeValue, Export, ExportContext, NodeAttributes } from "./Exporter.ts"
import * as Control from "./exports/Control.ts"
import * as Elementwise from "./exports/Elementwise.ts"
import * as Movement from "./exports/Movement.ts"
import * as Network from "./exports/Network.ts"
import type { AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto } from "./gen/onnx_pb.ts"
import {
  AttributeProto_AttributeType as Kind,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  ValueInfoProtoSchema
} from "./gen/onnx_pb.ts"
import type { OnnxError } from "./OnnxError.ts"
import { orThrow, refuse } from "./OnnxError.ts"
import * as TensorProtos from "./TensorProto.ts"
import * as Wire from "./Wire.ts"

export interface ExportOptions {
  /** Version of ai.onnx; raised where an op needs a newer one. Default 21. */
  readonly opset?: number
}

/** Every op that has an ONNX operator; the others are composites and are expanded. */
const table: ReadonlyMap<string, Export> = new Map(
  [...Elementwise.all, ...Movement.all, ...Network.all, ...Control.all].map((entry) => [entry.op.name, entry])
)

/** The bytes of a model. Fails with `NotExportable` where ONNX cannot say what the graph does. */
export const exportModel = (graph: Graph, options: ExportOptions = {}): Effect.Effect<Uint8Array, OnnxError> =>
  Effect.try({ try: () => Wire.encodeModel(toModel(graph, options)), catch: orThrow })

/** The model as a message. Throws `OnnxError`. */
export const toModel = (graph: Graph, options: ExportOptions = {}): ModelProto => {
  const writer = new Writer(options.opset ?? 21)
  const main = writer.model(graph)
  return create(ModelProtoSchema, {
    irVersion: 10n,
    producerName: "anneal",
    graph: main,
    opsetImport: [{ domain: "", version: BigInt(writer.opset) }]
  })
}

/** A graph being written: what its values and sizes are called, and what has been added. */
interface Scope {
  readonly outer: Scope | undefined
  readonly names: Map<string, string>
  readonly types: Map<string, TensorType>
  readonly nodes: Array<NodeProto>
  readonly initializers: Array<TensorProto>
  /** Where to read a symbol: the extent of a value's axis, or an element of an int64 vector or scalar. */
  readonly sizes: Map<string, { readonly value: string; readonly axis: number; readonly isElement: boolean }>
  /** int64 scalars that hold a dim, by its text. */
  readonly computed: Map<string, string>
  readonly lineage: { current: string }
}

class Writer {
  opset: number
  private readonly taken = new Set<string>()

  constructor(opset: number) {
    this.opset = opset
  }

  model(graph: Graph): GraphProto {
    const scope = emptyScope(undefined)
    for (const input of graph.inputs) this.taken.add(input.name)
    for (const output of graph.outputs) this.taken.add(output.name)
    for (const input of graph.inputs) bind(scope, input.id, input.name, input.type)
    return this.graph(
      graph,
      scope,
      graph.inputs.map((input) => info(input.name, input.type)),
      true
    )
  }

  /** Writes constants, nodes and outputs; the inputs are bound already. */
  private graph(graph: Graph, scope: Scope, inputs: ReadonlyArray<ValueInfoProto>, isMain: boolean): GraphProto {
    for (const [id, entry] of graph.constants) {
      const name = this.fresh(entry.name ?? id)
      bind(scope, id, name, Graphs.constantType(entry))
      scope.initializers.push(initializer(name, Constants.load(entry.constant)))
    }
    const view = Graphs.index(graph)
    // A result that leaves takes the user's name for it.
    const leaving = new Map<string, string>()
    if (isMain)
      for (const output of graph.outputs)
        if (view.producer(output.id) !== undefined && !leaving.has(output.id)) leaving.set(output.id, output.name)
    for (const node of graph.nodes) {
      for (const output of node.outputs)
        bind(scope, output.id, leaving.get(output.id) ?? this.fresh(output.id), output.type)
      const isUsed = (id: string): boolean => view.users(id).length > 0 || view.isOutput(id)
      this.node(node, scope, isUsed)
      this.defineSizes(node, scope)
    }
    const outputs = graph.outputs.map((output) => {
      const own = nameOf(scope, output.id)
      const type = view.type(output.id)
      const isOwn = isMain ? own === output.name : view.producer(output.id) !== undefined
      if (isOwn) return info(own, type)
      const name = isMain ? output.name : this.fresh(output.name)
      this.add(scope, "Identity", [own], [name], {})
      return info(name, type)
    })
    return create(GraphProtoSchema, {
      name: graph.name === "" ? "graph" : graph.name,
      node: scope.nodes,
      initializer: scope.initializers,
      input: [...inputs],
      output: outputs
    })
  }

  private fresh(wanted: string): string {
    let name = wanted === "" ? "value" : wanted
    for (let n = 0; this.taken.has(name); n++) name = `${wanted}_${n}`
    this.taken.add(name)
    return name
  }

  private node(node: Node, scope: Scope, isUsed: (id: string) => boolean): void {
    const entry = table.get(node.op.name)
    const inputs = node.inputs.map((id) => (id === null ? "" : nameOf(scope, id)))
    const types = node.inputs.map((id) => (id === null ? undefined : scope.types.get(id)))
    scope.lineage.current = node.lineage.sources[0] ?? ""
    if (entry === undefined || !Network.isDirect(node, types)) {
      this.expansion(node, types, scope)
      return
    }
    entry.write(this.context(node, inputs, types, scope, isUsed), node)
  }

  /** Writes the composite's expansion in the node's place. */
  private expansion(node: Node, types: ReadonlyArray<TensorType | undefined>, scope: Scope): void {
    if (node.op.expand === undefined) return notExportable(node, "there is no ONNX operator for it")
    const builder = Builders.make(node.op.name, { lineage: node.lineage })
    const operands = types.map((type, position): Value | undefined =>
      type === undefined ? undefined : builder.input(`operand${position}`, type)
    )
    const results = node.op.expand(builder, operands, node.attributes)
    const inner = builder.finish()
    const names = new Map<string, string>()
    for (const [position, operand] of operands.entries()) {
      const id = node.inputs[position]
      if (operand !== undefined && typeof id === "string") names.set(operand.id, nameOf(scope, id))
    }
    for (const [id, { constant }] of inner.constants) {
      const name = this.fresh(`${node.outputs[0]?.id ?? ""}_${id}`)
      names.set(id, name)
      scope.initializers.push(initializer(name, Constants.load(constant)))
    }
    for (const [position, result] of results.entries()) {
      const output = node.outputs[position]
      if (output !== undefined) names.set(result.id, nameOf(scope, output.id))
    }
    const child: Scope = { ...scope, names: new Map(names), types: new Map() }
    for (const operand of operands) if (operand !== undefined) child.types.set(operand.id, operand.type)
    for (const [id, entry] of inner.constants) child.types.set(id, Graphs.constantType(entry))
    for (const step of inner.nodes) {
      for (const output of step.outputs) {
        child.types.set(output.id, output.type)
        if (!child.names.has(output.id))
          child.names.set(output.id, this.fresh(`${node.outputs[0]?.id ?? ""}_${output.id}`))
      }
      this.node(step, child, () => true)
    }
    for (const [position, result] of results.entries()) {
      const operand = operands.find((value) => value?.id === result.id)
      const output = node.outputs[position]
      if (operand !== undefined && output !== undefined)
        this.add(scope, "Identity", [nameOf(child, operand.id)], [nameOf(scope, output.id)], {})
    }
  }

  private add(
    scope: Scope,
    operator: string,
    inputs: ReadonlyArray<string>,
    outputs: ReadonlyArray<string>,
    attributes: NodeAttributes
  ): void {
    const place = scope.lineage.current
    scope.nodes.push(
      create(NodeProtoSchema, {
        opType: operator,
        name: place === "" ? "" : this.freshNode(place),
        input: trimmed(inputs),
        output: trimmed(outputs),
        attribute: Object.entries(attributes).flatMap(([name, value]) =>
          value === undefined ? [] : [attributeProto(name, value)]
        )
      })
    )
  }

  private readonly nodeNames = new Map<string, number>()
  private freshNode(place: string): string {
    const count = this.nodeNames.get(place) ?? 0
    this.nodeNames.set(place, count + 1)
    return count === 0 ? place : `${place}#${count}`
  }

  private context(
    node: Node,
    inputs: ReadonlyArray<string>,
    types: ReadonlyArray<TensorType | undefined>,
    scope: Scope,
    isUsed: (id: string) => boolean
  ): ExportContext {
    const fail = (detail: string): never => notExportable(node, detail)
    const add: ExportContext["add"] = (operator, given, attributes = {}) => {
      const name = this.fresh(`${node.outputs[0]?.id ?? node.op.name}_${operator}`)
      this.add(scope, operator, given, [name], attributes)
      return name
    }
    const constant: ExportContext["constant"] = (tensor) => {
      const name = this.fresh(`${node.outputs[0]?.id ?? node.op.name}_c`)
      scope.initializers.push(initializer(name, tensor))
      return name
    }
    const integers = (values: ReadonlyArray<number>): string => constant(Numbers.integers(values))
    const dim = (value: Dim.Dim): string => this.dim(value, scope, node)
    return {
      inputs,
      types,
      type: (index) => types[index] ?? fail(`operand ${index} is missing`),
      outputs: node.outputs,
      graphs: node.graphs,
      wanted: (index) => isUsed(node.outputs[index]?.id ?? ""),
      add,
      result: (operator, given, attributes = {}, count = 1) =>
        this.add(
          scope,
          operator,
          given,
          node.outputs.slice(0, count).map(({ id }, index) => (index === 0 || isUsed(id) ? nameOf(scope, id) : "")),
          attributes
        ),
      constant,
      integers,
      scalar: (dtype, value) => constant(Numbers.scalar(dtype, value)),
      dim,
      dims: (dims) => {
        const numbers = dims.filter(Dim.isStatic)
        if (numbers.length === dims.length) return integers(numbers)
        const parts = dims.map((value) => add("Unsqueeze", [dim(value), integers([0])]))
        return parts.length === 1 ? (parts[0] ?? "") : add("Concat", parts, { axis: 0 })
      },
      static: (dims, what) =>
        dims.map((value) =>
          Dim.isStatic(value) ? value : fail(`${what} of ${Dim.format(value)} must be a number in ONNX`)
        ),
      require: (opset) => {
        this.opset = Math.max(this.opset, opset)
      },
      subgraph: (graph, own, captured) => this.subgraph(graph, own, captured, scope),
      fail
    }
  }

  private subgraph(graph: Graph, own: number, captured: ReadonlyArray<string>, outer: Scope): GraphProto {
    const scope = emptyScope(outer)
    const inputs = graph.inputs.flatMap((input, position) => {
      const name = position < own ? this.fresh(input.name) : (captured[position - own] ?? "")
      bind(scope, input.id, name, input.type)
      return position < own ? [info(name, input.type)] : []
    })
    return this.graph(graph, scope, inputs, false)
  }

  // ---- sizes ----------------------------------------------------------------------------------------------------------

  /** Sizes that a node gives names to: `readDims`, and unbacked extents of results. */
  private defineSizes(node: Node, scope: Scope): void {
    const symbols = node.op.name === Ops.readDims.name ? node.attributes["symbols"] : undefined
    const value = nameOf(scope, node.outputs[0]?.id ?? "")
    if (Array.isArray(symbols)) {
      const items: ReadonlyArray<unknown> = symbols
      for (const [axis, symbol] of items.entries())
        if (Dim.isSymbolic(symbol)) define(scope, symbol, { value, axis, isElement: true })
    }
  }

  /** The name of an int64 scalar that holds a dim. */
  private dim(dim: Dim.Dim, scope: Scope, node: Node): string {
    const key = Dim.format(dim)
    for (let at: Scope | undefined = scope; at !== undefined; at = at.outer) {
      const known = at.computed.get(key)
      if (known !== undefined) return known
    }
    const name = this.computeDim(dim, scope, node)
    scope.computed.set(key, name)
    return name
  }

  private computeDim(dim: Dim.Dim, scope: Scope, node: Node): string {
    const add = (operator: string, inputs: ReadonlyArray<string>, attributes: NodeAttributes = {}): string => {
      const name = this.fresh(`size_${operator}`)
      this.add(scope, operator, inputs, [name], attributes)
      return name
    }
    const number = (value: number): string => {
      const name = this.fresh("size")
      scope.initializers.push(initializer(name, Numbers.scalar("i64", value)))
      return name
    }
    if (typeof dim === "number") return number(dim)
    const each = (dims: ReadonlyArray<Dim.Dim>): ReadonlyArray<string> =>
      dims.map((part) => this.dim(part, scope, node))
    const terms = dim.terms.map(({ coefficient, factors }) => {
      const parts = coefficient === 1 && factors.length > 0 ? [] : [this.dim(coefficient, scope, node)]
      for (const { atom, power } of factors) {
        let value: string
        if (atom.kind === "symbol") value = this.symbol(atom.name, scope, node)
        else if ("args" in atom) value = add(atom.kind === "min" ? "Min" : "Max", each(atom.args))
        else {
          const [dividend = "", divisor = ""] = each([atom.dividend, atom.divisor])
          const rest = add("Mod", [dividend, divisor])
          // Div truncates; taking the remainder off first makes it exact, so that it rounds down.
          value = atom.kind === "mod" ? rest : add("Div", [add("Sub", [dividend, rest]), divisor])
        }
        for (let i = 0; i < power; i++) parts.push(value)
      }
      return parts.reduce((a, b) => add("Mul", [a, b]))
    })
    return terms.reduce((a, b) => add("Add", [a, b]))
  }

  private symbol(name: string, scope: Scope, node: Node): string {
    for (let at: Scope | undefined = scope; at !== undefined; at = at.outer) {
      const known = at.sizes.get(name)
      if (known === undefined) continue
      const make = (operator: string, inputs: ReadonlyArray<string>, attributes: NodeAttributes = {}): string => {
        const result = this.fresh(`${name}_${operator}`)
        this.add(scope, operator, inputs, [result], attributes)
        return result
      }
      const source = known.isElement ? known.value : make("Shape", [known.value])
      const flat = known.isElement ? make("Reshape", [source, this.integerConstant(scope, [-1], name)]) : source
      return make("Gather", [flat, this.integerConstant(scope, known.axis, name)], { axis: 0 })
    }
    return notExportable(node, `no input and no result has the size ${name} as an extent`)
  }

  private integerConstant(scope: Scope, value: number | ReadonlyArray<number>, near: string): string {
    const name = this.fresh(`${near}_at`)
    const tensor = typeof value === "number" ? Numbers.scalar("i64", value) : Numbers.integers(value)
    scope.initializers.push(initializer(name, tensor))
    return name
  }
}

const emptyScope = (outer: Scope | undefined): Scope => ({
  outer,
  names: new Map(),
  types: new Map(),
  nodes: [],
  initializers: [],
  sizes: new Map(),
  computed: new Map(),
  lineage: { current: "" }
})

/** Names a value; extents that are plain symbols can be read from it from now on. */
const bind = (scope: Scope, id: string, name: string, type: TensorType): void => {
  scope.names.set(id, name)
  scope.types.set(id, type)
  for (const [axis, dim] of type.shape.entries())
    if (Dim.isSymbolic(dim)) define(scope, dim, { value: name, axis, isElement: false })
}

const define = (
  scope: Scope,
  dim: Dim.SymbolicDim,
  place: { readonly value: string; readonly axis: number; readonly isElement: boolean }
): void => {
  const [name] = Dim.symbols(dim)
  if (name === undefined || Dim.equal(dim, Dim.isUnbackedName(name) ? Dim.unbacked(name) : Dim.symbol(name)) !== true)
    return
  for (let at: Scope | undefined = scope; at !== undefined; at = at.outer) if (at.sizes.has(name)) return
  scope.sizes.set(name, place)
}

const nameOf = (scope: Scope, id: string): string => {
  for (let at: Scope | undefined = scope; at !== undefined; at = at.outer) {
    const name = at.names.get(id)
    if (name !== undefined) return name
  }
  return id
}

const notExportable = (node: Node, detail: string): never =>
  refuse("", { _tag: "NotExportable", node: Graphs.nodeName(node), op: node.op.name, detail })

const trimmed = (names: ReadonlyArray<string>): Array<string> => {
  let length = names.length
  while (length > 0 && names[length - 1] === "") length--
  return names.slice(0, length)
}

const initializer = (name: string, tensor: Tensor): TensorProto =>
  TensorProtos.encode(name, ElementType.toDataType(tensor.dtype), tensor.shape, Tensors.toBytes(tensor))

const info = (name: string, { dtype, shape }: TensorType): ValueInfoProto =>
  create(ValueInfoProtoSchema, {
    name,
    type: {
      value: {
        case: "tensorType",
        value: {
          elemType: ElementType.toDataType(dtype).code,
          shape: {
            dim: shape.map((dim) => ({
              value:
                typeof dim === "number"
                  ? { case: "dimValue" as const, value: BigInt(dim) }
                  : { case: "dimParam" as const, value: dimParam(dim) }
            }))
          }
        }
      }
    }
  })

/** A plain symbol's own name; an expression's text. */
const dimParam = (dim: Dim.SymbolicDim): string => {
  const [name, ...others] = Dim.symbols(dim)
  return name !== undefined && others.length === 0 && Dim.format(dim) === Dim.format(Dim.symbol(name))
    ? name
    : Dim.format(dim)
}

const encoder = new TextEncoder()
const isNumbers = (value: ReadonlyArray<number> | ReadonlyArray<string>): value is ReadonlyArray<number> =>
  value.every((item) => typeof item === "number")
const isList = (value: AttributeValue): value is ReadonlyArray<number> | ReadonlyArray<string> => Array.isArray(value)

const attributeProto = (name: string, value: AttributeValue): AttributeProto => {
  if (typeof value === "number") return create(AttributeProtoSchema, { name, type: Kind.INT, i: BigInt(value) })
  if (typeof value === "string")
    return create(AttributeProtoSchema, { name, type: Kind.STRING, s: encoder.encode(value) })
  if (isList(value)) {
    if (isNumbers(value)) return create(AttributeProtoSchema, { name, type: Kind.INTS, ints: value.map(BigInt) })
    const strings = value.map((text) => encoder.encode(text))
    return create(AttributeProtoSchema, { name, type: Kind.STRINGS, strings })
  }
  if ("float" in value) return create(AttributeProtoSchema, { name, type: Kind.FLOAT, f: value.float })
  if ("floats" in value) return create(AttributeProtoSchema, { name, type: Kind.FLOATS, floats: [...value.floats] })
  if ("tensor" in value)
    return create(AttributeProtoSchema, { name, type: Kind.TENSOR, t: initializer("", value.tensor) })
  return create(AttributeProtoSchema, { name, type: Kind.GRAPH, g: value.graph })
}
