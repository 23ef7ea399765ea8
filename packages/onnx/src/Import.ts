// ONNX models to IR graphs: `importModel("model.onnx")` ⇒ Graph.
//
// Every node is translated by its operator (Operators.ts). Shape arithmetic is evaluated on the way (Content.ts), so that
// Shape → Gather → Concat → Reshape becomes a reshape to symbolic dims. An `If` whose condition is known becomes the branch
// that it takes. All nodes that cannot be imported are reported at once, with what their inputs are.
import type { Constant } from "@anneal/ir/Constant"
import * as Constants from "@anneal/ir/Constant"
import * as Digest from "@anneal/ir/Digest"
import * as Dim from "@anneal/ir/Dim"
import { IrError } from "@anneal/ir/Errors"
import type { Graph } from "@anneal/ir/Graph"
import { noLineage } from "@anneal/ir/Graph"
import type { TensorType } from "@anneal/ir/Type"
import * as Type from "@anneal/ir/Type"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type { Assembly } from "./Assembly.ts"
import * as Assemblies from "./Assembly.ts"
import * as Attributes from "./Attributes.ts"
import { makeContext, Refusal } from "./Context.ts"
import * as ElementType from "./ElementType.ts"
import * as Emit from "./Emit.ts"
import * as ExternalData from "./ExternalData.ts"
import type { FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto } from "./gen/onnx_pb.ts"
import * as Inputs from "./Inputs.ts"
import type { BadNode, UnsupportedOperator, UnsupportedType } from "./OnnxError.ts"
import type { OnnxError } from "./OnnxError.ts"
import { orThrow, refuse } from "./OnnxError.ts"
import type { Operand } from "./Operand.ts"
import { none, unknown } from "./Operand.ts"
import type { Isolated, Operator, Result } from "./Operator.ts"
import * as Operators from "./Operators.ts"
import * as Sparse from "./SparseTensorProto.ts"
import * as Tensor from "./TensorProto.ts"
import * as Wire from "./Wire.ts"

export interface ImportOptions extends Inputs.InputOptions {
  /** Name of the graph. Default: the model's own. */
  readonly name?: string
  /** What errors call the model. Default: the path, or "". */
  readonly source?: string
  /** Translations besides the built-in ones, or instead of them. */
  readonly operators?: ReadonlyArray<Operator>
}

/** Reads and imports a model: a file by its path, or bytes (whose weights must all be in them). */
export const importModel = (
  from: string | Uint8Array,
  options: ImportOptions = {}
): Effect.Effect<Graph, OnnxError, FileSystem.FileSystem> =>
  typeof from === "string"
    ? Wire.read(from).pipe(
        Effect.flatMap(({ model, path }) =>
          Effect.try({ try: () => toGraph(model, { source: path, ...options }, path), catch: orThrow })
        )
      )
    : importBytes(from, options)

/** Imports a model whose weights are all in the bytes. Keep the bytes unchanged while the graph is used. */
export const importBytes = (bytes: Uint8Array, options: ImportOptions = {}): Effect.Effect<Graph, OnnxError> =>
  Effect.try({ try: () => toGraph(Wire.decodeModel(bytes, options.source ?? ""), options), catch: orThrow })

/** The graph of a decoded model; `path` is its file, beside which external data lies. Throws `OnnxError`. */
export const toGraph = (model: ModelProto, options: ImportOptions = {}, path?: string): Graph => {
  const source = options.source ?? path ?? ""
  const main = model.graph
  if (main === undefined) return refuse(source, { _tag: "NotOnnx", detail: "it has no graph" })
  const importer = new Importer(model, options, source, path)
  return importer.model(main)
}

/** The names that a graph, a sub-graph or a function call sees; `assembly` is the IR graph its nodes go to. */
class Names {
  readonly assembly: Assembly
  private readonly own = new Map<string, Operand>()
  private readonly outer: Names | undefined
  constructor(assembly: Assembly, outer?: Names) {
    this.assembly = assembly
    this.outer = outer
  }
  define(name: string, operand: Operand): void {
    this.own.set(name, operand)
  }
  find(name: string): Operand | undefined {
    const mine = this.own.get(name)
    if (mine !== undefined || this.outer === undefined) return mine
    const outside = this.outer.find(name)
    if (outside === undefined || this.outer.assembly === this.assembly) return outside
    const adopted = this.assembly.adopt(outside)
    this.own.set(name, adopted)
    return adopted
  }
}

/** Where a node stands. */
interface Place {
  readonly names: Names
  /** Operator set versions by domain. */
  readonly opsets: ReadonlyMap<string, number>
  /** Attributes of the function call that the node is in the body of. */
  readonly call: Attributes.Attributes | undefined
  /** Path before the node's own name. */
  readonly prefix: string
  /** Functions whose bodies this is in, to refuse recursion. */
  readonly calls: ReadonlyArray<string>
}

const plainDomain = (domain: string): string => (domain === "ai.onnx" ? "" : domain)
const functionKey = (domain: string, name: string, overload: string): string =>
  JSON.stringify([plainDomain(domain), name, overload])

class Importer {
  private readonly options: ImportOptions
  private readonly source: string
  private readonly path: string | undefined
  private readonly opsets: ReadonlyMap<string, number>
  private readonly functions: ReadonlyMap<string, FunctionProto>
  private readonly operators: ReadonlyMap<string, Operator>
  private readonly counter = { next: 0 }
  private readonly constants = new Map<TensorProto, Constant>()
  private readonly unsupported = new Map<string, UnsupportedOperator>()
  private readonly types = new Map<string, UnsupportedType>()
  private readonly bad = new Map<string, BadNode>()

  constructor(model: ModelProto, options: ImportOptions, source: string, path: string | undefined) {
    this.options = options
    this.source = source
    this.path = path
    this.opsets = opsetsOf(model.opsetImport)
    this.functions = new Map(model.functions.map((f) => [functionKey(f.domain, f.name, f.overload), f]))
    this.operators = Operators.table(options.operators)
  }

  model(graph: GraphProto): Graph {
    const assembly = Assemblies.make(this.counter)
    const place: Place = { names: new Names(assembly), opsets: this.opsets, call: undefined, prefix: "", calls: [] }
    this.initializers(graph, place)
    this.inputs(graph, place)
    this.nodes(graph.node, place)
    this.reportProblems()
    assembly.enter(noLineage)
    const outputs = graph.output.flatMap(({ name }) => {
      const operand = place.names.find(name)
      if (operand?.kind === "tensor") return [{ name, value: operand.value() }]
      // A sequence leaves as its elements.
      if (operand?.kind === "none") return []
      if (operand?.kind === "sequence")
        return operand.items.map((item, index) => ({ name: `${name}[${index}]`, value: item.value() }))
      const detail = operand === undefined ? `no node makes "${name}"` : `"${name}" is no tensor`
      return refuse(this.source, { _tag: "BadNodes", nodes: [{ path: `output ${name}`, operator: "output", detail }] })
    })
    return assembly.finish(this.options.name ?? (graph.name === "" ? "model" : graph.name), outputs)
  }

  private reportProblems(): void {
    if (this.unsupported.size > 0)
      refuse(this.source, { _tag: "UnsupportedOperators", operators: [...this.unsupported.values()] })
    if (this.types.size > 0) refuse(this.source, { _tag: "UnsupportedTypes", uses: [...this.types.values()] })
    if (this.bad.size > 0) refuse(this.source, { _tag: "BadNodes", nodes: [...this.bad.values()] })
  }

  // ---- weights and inputs -----------------------------------------------------------------------------------------------

  private initializers(graph: GraphProto, { names }: Place): void {
    for (const proto of graph.initializer) names.define(proto.name, this.tensor(proto, names.assembly, proto.name))
    for (const proto of graph.sparseInitializer) {
      const { bytes, header } = Sparse.toDense(proto, this.source)
      const dtype = ElementType.fromCode(header.type.code)
      if (dtype === undefined) names.define(header.name, unknown(Tensor.typeText(header)))
      else {
        const constant = Constants.lazy(Digest.sha256(bytes), dtype, header.dims, () => bytes)
        names.define(header.name, names.assembly.ofConstant(constant, header.name))
      }
    }
  }

  private tensor(proto: TensorProto, assembly: Assembly, name?: string): Operand {
    const header = Tensor.header(proto, this.source)
    const dtype = ElementType.fromCode(header.type.code)
    if (dtype === undefined) return unknown(Tensor.typeText(header))
    const known = this.constants.get(proto)
    const constant = known ?? Constants.lazy("", dtype, header.dims, this.bytesOf(proto))
    if (known === undefined) {
      const digested = { ...constant, digest: Digest.sha256(constant.bytes()) }
      this.constants.set(proto, digested)
      return assembly.ofConstant(digested, name)
    }
    return assembly.ofConstant(constant, name)
  }

  private bytesOf(proto: TensorProto): () => Uint8Array {
    if (!Tensor.isExternal(proto)) {
      const bytes = Tensor.bytes(proto, this.source)
      return () => bytes
    }
    if (this.path === undefined)
      return refuse(this.source, {
        _tag: "ExternalData",
        tensor: proto.name,
        location: proto.externalData.find(({ key }) => key === "location")?.value ?? "",
        detail: "the model was given as bytes, so there is no folder to look in. Give its path instead"
      })
    const range = ExternalData.locate(proto, this.path)
    return () => ExternalData.read(range)
  }

  private inputs(graph: GraphProto, { names }: Place): void {
    const { operands, types } = Inputs.declare(graph, this.options, names.assembly, this.source)
    for (const [name, operand] of operands) names.define(name, operand)
    for (const use of types) this.types.set(use.where, use)
  }

  // ---- nodes --------------------------------------------------------------------------------------------------------------

  private nodes(nodes: ReadonlyArray<NodeProto>, place: Place): void {
    for (const [index, node] of nodes.entries()) {
      const path = `${place.prefix}${node.name === "" ? `${node.opType}_${index}` : node.name}`
      try {
        this.node(node, path, place)
      } catch (cause) {
        this.note(cause, node, path, place)
        for (const name of node.output) if (name !== "") place.names.define(name, unknown(`the result of ${path}`))
      }
    }
  }

  /** Takes down why a node could not be imported; anything but a refusal is thrown on. */
  private note(cause: unknown, node: NodeProto, path: string, place: Place): void {
    if (cause instanceof Refusal) {
      if (cause.kind === "followUp") return
      if (cause.kind === "type") this.types.set(path, { where: path, type: cause.detail })
      else if (cause.kind === "bad") this.bad.set(path, { path, operator: node.opType, detail: cause.detail })
      else
        this.unsupported.set(path, {
          path,
          domain: plainDomain(node.domain),
          operator: node.opType,
          opset: place.opsets.get(plainDomain(node.domain)) ?? 0,
          inputs: node.input.map((name) => this.typeText(name, place)),
          detail: cause.detail,
          help: cause.help
        })
    } else if (cause instanceof IrError || cause instanceof RangeError) {
      const detail = cause instanceof IrError ? cause.detail : cause.message
      this.bad.set(path, { path, operator: node.opType, detail })
    } else throw cause
  }

  private typeText(name: string, place: Place): string {
    if (name === "") return "none"
    const operand = place.names.find(name)
    if (operand?.kind === "tensor") return Type.format(operand.type)
    if (operand?.kind === "sequence") return `a sequence of ${operand.items.length}`
    return operand?.kind === "none" ? "none" : "?"
  }

  private node(node: NodeProto, path: string, place: Place): void {
    const { names } = place
    const attributes = Attributes.of(node, place.call)
    const inputs = node.input.map((name): Operand | undefined => {
      if (name === "") return undefined
      const found = names.find(name)
      if (found === undefined) throw new Refusal("bad", `its input "${name}" is made by no node before it`)
      return found
    })
    const key = functionKey(node.domain, node.opType, node.overload)
    const local = this.functions.get(key)
    if (local !== undefined) {
      this.call(local, key, inputs, node, attributes, path, place)
      return
    }
    const domain = plainDomain(node.domain)
    const operator = this.operators.get(Operators.key(domain, node.opType))
    if (operator === undefined) {
      for (const attribute of node.attribute) if (attribute.g !== undefined) this.scan(attribute.g, path, place)
      throw new Refusal("unsupported", "", helpFor(domain, node.opType))
    }
    for (const operand of inputs)
      if (operand?.kind === "unknown") {
        for (const attribute of node.attribute) if (attribute.g !== undefined) this.scan(attribute.g, path, place)
        if (operand.what.startsWith("the result of ")) throw new Refusal("followUp", operand.what)
        throw new Refusal("type", operand.what)
      }
    const builder = names.assembly.enter({ sources: [path], rewrites: [] })
    const mark = names.assembly.mark()
    const context = makeContext({
      path,
      node,
      opset: place.opsets.get(domain) ?? 0,
      inputs,
      e: Emit.make(builder),
      assembly: names.assembly,
      attributes,
      tensor: (proto) => this.tensor(proto, names.assembly),
      inline: (proto, name, given) => this.inline(proto, `${path}.${name}/`, place, given),
      isolate: (proto, name, types) => this.isolate(proto, `${path}.${name}/`, place, types),
      unbacked: () => Dim.unbacked(`u${this.counter.next++}`)
    })
    const translated = operator.translate(context)
    const results: ReadonlyArray<Result> = isList(translated) ? translated : [translated]
    this.define(node, results, mark, names)
  }

  private define(node: NodeProto, results: ReadonlyArray<Result>, mark: number, names: Names): void {
    const values = results.flatMap((result, position) => {
      const name = node.output[position]
      return "id" in result && name !== undefined && name !== "" ? [[result, name] as const] : []
    })
    const renamed = names.assembly.rename(mark, values)
    const now = new Map(values.map(([value], position) => [value.id, renamed[position] ?? value]))
    for (const [position, name] of node.output.entries()) {
      if (name === "") continue
      const result = results[position]
      if (result === undefined) throw new Refusal("bad", `it has no result ${position} ("${name}")`)
      if (!("id" in result)) names.define(name, result)
      else {
        const value = now.get(result.id) ?? result
        names.define(name, names.assembly.ofValue(value))
      }
    }
  }

  /** Notes the operators of a sub-graph that is not imported, so that the report is complete. */
  private scan(graph: GraphProto, path: string, place: Place): void {
    for (const [index, node] of graph.node.entries()) {
      const at = `${path}.${graph.name}/${node.name === "" ? `${node.opType}_${index}` : node.name}`
      const domain = plainDomain(node.domain)
      const isKnown =
        this.operators.has(Operators.key(domain, node.opType)) ||
        this.functions.has(functionKey(node.domain, node.opType, node.overload))
      if (!isKnown) this.note(new Refusal("unsupported", "", helpFor(domain, node.opType)), node, at, place)
      for (const attribute of node.attribute) if (attribute.g !== undefined) this.scan(attribute.g, at, place)
    }
  }

  // ---- functions and sub-graphs -------------------------------------------------------------------------------------------

  private call(
    f: FunctionProto,
    key: string,
    inputs: ReadonlyArray<Operand | undefined>,
    node: NodeProto,
    attributes: Attributes.Attributes,
    path: string,
    place: Place
  ): void {
    if (place.calls.includes(key)) throw new Refusal("bad", `the function ${f.name} calls itself`)
    const names = new Names(place.names.assembly)
    for (const [position, name] of f.input.entries()) names.define(name, inputs[position] ?? none)
    const call = new Map(f.attributeProto.map((attribute) => [attribute.name, attribute]))
    for (const [name, attribute] of attributes) call.set(name, attribute)
    const opsets = new Map([...place.opsets, ...opsetsOf(f.opsetImport)])
    this.nodes(f.node, { names, opsets, call, prefix: `${path}/`, calls: [...place.calls, key] })
    for (const [position, name] of node.output.entries()) {
      if (name === "") continue
      const inner = f.output[position]
      const result = inner === undefined ? undefined : names.find(inner)
      if (result === undefined) throw new Refusal("bad", `the function ${f.name} makes no result ${position}`)
      place.names.define(name, result)
    }
  }

  private inline(
    graph: GraphProto,
    prefix: string,
    place: Place,
    inputs: ReadonlyArray<Operand> = []
  ): ReadonlyArray<Operand> {
    const names = new Names(place.names.assembly, place.names)
    const inner: Place = { ...place, names, prefix }
    this.initializers(graph, inner)
    for (const [position, info] of graph.input.entries()) {
      const operand = inputs[position]
      if (operand !== undefined) names.define(info.name, operand)
    }
    this.nodes(graph.node, inner)
    return graph.output.map(({ name }) => names.find(name) ?? noResult(name))
  }

  private isolate(graph: GraphProto, prefix: string, place: Place, types: ReadonlyArray<TensorType>): Isolated {
    const assembly = Assemblies.make(this.counter)
    const names = new Names(assembly, place.names)
    const inner: Place = { ...place, names, prefix }
    this.initializers(graph, inner)
    for (const [position, type] of types.entries()) {
      const name = graph.input[position]?.name ?? `input_${position}`
      names.define(name, assembly.ofValue(assembly.input(name, type)))
    }
    this.nodes(graph.node, inner)
    const outputs = graph.output.map(({ name }) => {
      const operand = names.find(name) ?? noResult(name)
      if (operand.kind === "unknown") throw new Refusal("followUp", operand.what)
      if (operand.kind !== "tensor")
        throw new Refusal("unsupported", "a sub-graph gives a sequence or an optional", "Only tensors can leave one.")
      return { name, value: operand.value() }
    })
    return {
      graph: assembly.finish(graph.name, outputs),
      captured: assembly.captured(),
      results: outputs.map(({ value }) => value.type)
    }
  }
}

const isList = (results: Result | ReadonlyArray<Result>): results is ReadonlyArray<Result> => Array.isArray(results)

const noResult = (name: string): never => {
  throw new Refusal("bad", `no node of the sub-graph makes "${name}"`)
}

const opsetsOf = (
  imports: ReadonlyArray<{ readonly domain: string; readonly version: bigint }>
): ReadonlyMap<string, number> => {
  const found = new Map(imports.map(({ domain, version }) => [plainDomain(domain), Number(version)]))
  // IR versions before 3 name no operator set: version 1 of ai.onnx is meant.
  return found.size === 0 ? new Map([["", 1]]) : found
}

const helpFor = (domain: string, name: string): string => {
  const own = `a translation of ${name} in the option "operators"`
  if (domain === "" || domain.startsWith("ai.onnx")) return `Give ${own}, or export the model without it.`
  return domain === "com.microsoft"
    ? `onnxruntime makes such operators when it saves an optimised model: give the model from before that, or one saved at level "basic"; or give ${own}.`
    : `It is no standard operator: give ${own}, or export without ${domain} operators.`
}
