// Builds a graph node by node: infers each type, names each value, notes the constraints.
//
// `b.input("x", t)`, `b.one(Ops.relu, [x])`, `b.output("y", y)`, `b.finish()`.
import type { Constant } from "./Constant.ts"
import * as Constants from "./Constant.ts"
import * as Dim from "./Dim.ts"
import { refuse } from "./Errors.ts"
import * as Graphs from "./Graph.ts"
import type { Alias, ConstantEntry, Constraint, Graph, Input, Lineage, Node, Output, Value } from "./Graph.ts"
import { infer } from "./Infer.ts"
import type { Attributes, OpDefinition } from "./Op.ts"
import type { Tensor } from "./Tensor.ts"
import type { TensorType } from "./Type.ts"

export interface NodeOptions {
  readonly graphs?: Readonly<Record<string, Graph>>
  readonly lineage?: Lineage
  /** Wanted ids of the results; a taken one gets a suffix. Default: the op's name and a number. */
  readonly ids?: ReadonlyArray<string>
}

/** Where fresh value ids and unbacked symbols come from. */
export interface Names {
  /** A value id that is free, made from the wanted one. */
  readonly value: (wanted: string) => string
  readonly unbacked: () => Dim.Dim
}

/**
 * Names that avoid the taken ones; deterministic. Unbacked symbols are numbered by a counter that a model's graph and
 * its sub-graphs share, so that one name means one size.
 */
export const makeNames = (taken: Iterable<string> = [], counter: { next: number } = { next: 0 }): Names => {
  const used = new Set(taken)
  const suffixes = new Map<string, number>()
  return {
    value: (wanted) => {
      let id = wanted
      for (let n = suffixes.get(wanted) ?? 0; used.has(id); n++) {
        id = `${wanted}_${n}`
        suffixes.set(wanted, n + 1)
      }
      used.add(id)
      return id
    },
    unbacked: () => Dim.unbacked(`u${counter.next++}`)
  }
}

/** The part of a builder that expansions and rewrites use: it adds nodes and constants, and knows types. */
export interface Builder {
  /** Adds a node; gives its results. Throws `IrError`. */
  readonly node: <A extends Attributes>(
    op: OpDefinition<A>,
    inputs: ReadonlyArray<Value | undefined>,
    attributes: A,
    options?: NodeOptions
  ) => ReadonlyArray<Value>
  /** The first result of `node`. */
  readonly one: <A extends Attributes>(
    op: OpDefinition<A>,
    inputs: ReadonlyArray<Value | undefined>,
    attributes: A,
    options?: NodeOptions
  ) => Value
  readonly constant: (constant: Constant, options?: { readonly id?: string; readonly name?: string }) => Value
  /** A constant over a tensor in memory. */
  readonly tensor: (tensor: Tensor, options?: { readonly id?: string; readonly name?: string }) => Value
}

export interface GraphBuilder extends Builder {
  readonly input: (name: string, type: TensorType, options?: { readonly id?: string }) => Value
  readonly output: (name: string, value: Value) => void
  readonly alias: (alias: Alias) => void
  readonly constrain: (constraint: Constraint) => void
  /** The type of a value of this graph. */
  readonly finish: () => Graph
  readonly names: Names
}

/** What a builder writes to. */
export interface Sink {
  readonly node: (node: Node) => void
  readonly constant: (id: string, entry: ConstantEntry) => void
  readonly constraint: (constraint: Constraint) => void
}

/** A builder over a sink; every node gets `lineage` unless it brings its own. */
export const over = (sink: Sink, names: Names, lineage: Lineage = Graphs.noLineage): Builder => {
  const node: Builder["node"] = (op, inputs, attributes, options) => {
    const graphs = options?.graphs ?? {}
    const at = (options?.lineage ?? lineage).sources[0]
    const types = inputs.map((value) => value?.type)
    const inferred = infer(op, types, attributes, graphs, names.unbacked, at)
    const outputs = inferred.types.map((type, position): Value => ({
      id: names.value(options?.ids?.[position] ?? op.name),
      type
    }))
    sink.node({
      op,
      inputs: trimmed(inputs).map((value) => value?.id ?? null),
      outputs,
      attributes,
      graphs,
      lineage: options?.lineage ?? lineage
    })
    for (const constraint of inferred.constraints) sink.constraint(constraint)
    return outputs
  }
  const constant: Builder["constant"] = (value, options) => {
    const id = names.value(options?.id ?? "c")
    sink.constant(id, options?.name === undefined ? { constant: value } : { constant: value, name: options.name })
    return { id, type: { dtype: value.dtype, shape: value.shape } }
  }
  return {
    node,
    one: (op, inputs, attributes, options) =>
      node(op, inputs, attributes, options)[0] ?? refuse("WrongArity", `${op.name} has no result`),
    constant,
    tensor: (tensor, options) => constant(Constants.fromTensor(tensor), options)
  }
}

const trimmed = (inputs: ReadonlyArray<Value | undefined>): ReadonlyArray<Value | undefined> => {
  let length = inputs.length
  while (length > 0 && inputs[length - 1] === undefined) length--
  return inputs.slice(0, length)
}

/** An empty graph to build. */
export const make = (name: string, options?: { readonly names?: Names; readonly lineage?: Lineage }): GraphBuilder => {
  const names = options?.names ?? makeNames()
  const inputs: Array<Input> = []
  const outputs: Array<Output> = []
  const nodes: Array<Node> = []
  const constants = new Map<string, ConstantEntry>()
  const constraints: Array<Constraint> = []
  const aliases: Array<Alias> = []
  const builder = over(
    {
      node: (node) => void nodes.push(node),
      constant: (id, entry) => void constants.set(id, entry),
      constraint: (constraint) => void constraints.push(constraint)
    },
    names,
    options?.lineage
  )
  return {
    ...builder,
    names,
    input: (inputName, type, inputOptions) => {
      const id = names.value(inputOptions?.id ?? inputName)
      inputs.push({ name: inputName, id, type })
      return { id, type }
    },
    output: (outputName, value) => void outputs.push({ name: outputName, id: value.id }),
    alias: (alias) => void aliases.push(alias),
    constrain: (constraint) => void constraints.push(constraint),
    finish: () => ({ name, inputs, outputs, constants, nodes, constraints, aliases })
  }
}
