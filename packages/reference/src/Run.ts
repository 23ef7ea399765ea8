/**
 * Run: executes a graph on concrete tensors, node by node in order.
 *
 * Symbols are bound by the shapes of the inputs; those that the data decides, by the nodes whose results mention them.
 * Composites run as their expansion. A value is let go after its last use. Each result is checked against its type. The run
 * is a generator that yields between nodes, and inside long ones, so that its driver can pause or stop it.
 */
import * as Bind from "@anneal/ir/Bind"
import * as Builder from "@anneal/ir/Builder"
import * as Constant from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import { IrError } from "@anneal/ir/Errors"
import type { Graph, Node } from "@anneal/ir/Graph"
import * as Float from "@anneal/ir/Float"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Op from "@anneal/ir/Op"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import { OracleError } from "@anneal/pipeline/Oracle"
import type { BoundedCall, Cell, Kernel, OutputType, Work } from "./Kernel.ts"

/** How results of a primitive get their bounds; `unitRoundoff` is of the arithmetic that the bounds are for. */
export interface BoundMode {
  readonly run: (kernel: Kernel, call: BoundedCall) => Work<ReadonlyArray<Cell>>
  readonly unitRoundoff: (node: Node, dtype: DType) => number
}

/** What runs of one oracle share: kernels, and what is derived from graphs, once a graph. */
export interface Machine {
  readonly kernels: ReadonlyMap<string, Kernel>
  readonly plans: WeakMap<Graph, Plan>
  /** Constants that were read, as tensors. */
  readonly constants: WeakMap<Constant.Constant, Tensor>
  /** By node, the last expansion and the operand types that it is for. */
  readonly expansions: WeakMap<Node, { readonly key: string; readonly graph: Graph }>
  /** Numbers the unbacked symbols of expansions, apart from those of any model. */
  readonly unbacked: { next: number }
}

export const machine = (kernels: ReadonlyMap<string, Kernel>): Machine => ({
  kernels,
  plans: new WeakMap(),
  constants: new WeakMap(),
  expansions: new WeakMap(),
  unbacked: { next: 1_000_000_000 }
})

/** One run. */
export interface Run {
  readonly machine: Machine
  readonly seed: number
  readonly bounds: BoundMode | undefined
  /** Digests of float constants that are off by up to a unit in the last place. */
  readonly rounded: ReadonlySet<string>
}

export type OnValue = (id: string, tensor: Tensor) => void

/** For each node, the values that nothing needs after it. */
interface Plan {
  readonly lastUses: ReadonlyArray<ReadonlyArray<string>>
}

const makePlan = (graph: Graph): Plan => {
  const last = new Map<string, number>()
  for (const [position, node] of graph.nodes.entries()) {
    for (const { id } of node.outputs) last.set(id, position)
    for (const id of node.inputs) if (id !== null) last.set(id, position)
  }
  for (const { id } of graph.outputs) last.delete(id)
  const lastUses: Array<Array<string>> = graph.nodes.map(() => [])
  for (const [id, position] of last) lastUses[position]?.push(id)
  return { lastUses }
}

const planOf = ({ plans }: Machine, graph: Graph): Plan => {
  const found = plans.get(graph) ?? makePlan(graph)
  plans.set(graph, found)
  return found
}

const fail = (reason: OracleError["reason"], detail: string, node?: Node): never => {
  throw new OracleError(node === undefined ? { reason, detail } : { reason, detail, node: Graphs.nodeName(node) })
}

const formatShape = ({ dtype, shape }: Tensor): string => `${dtype}[${shape.join(", ")}]`

// ---- graphs -----------------------------------------------------------------------------------------------------------

const bindInputs = (graph: Graph, inputs: ReadonlyArray<Cell>, known: Bind.Bindings): Map<string, number> => {
  for (const [position, input] of graph.inputs.entries()) {
    const given = inputs[position]?.tensor
    if (given === undefined) continue
    if (given.dtype !== input.type.dtype)
      fail("WrongInput", `input ${input.name} is ${formatShape(given)}, expected ${Type.format(input.type)}`)
    if (!DTypes.stores(given.dtype, given.data) || given.data.length !== Tensors.size(given.shape))
      fail("WrongInput", `input ${input.name}: the data of ${formatShape(given)} has ${given.data.length} elements`)
  }
  if (inputs.length > graph.inputs.length)
    fail("WrongInput", `${inputs.length} inputs were given, ${graph.name} takes ${graph.inputs.length}`)
  const shapes = graph.inputs.map((_, position) => inputs[position]?.tensor.shape)
  try {
    const bindings = Bind.bind({ ...graph, constraints: [] }, shapes, known)
    checkConstraints(graph, bindings)
    return bindings
  } catch (error) {
    if (error instanceof Bind.BindError) return fail("WrongInput", error.message)
    throw error
  }
}

const checkConstraints = (graph: Graph, bindings: Bind.Bindings, node?: Node): void => {
  const broken = Bind.brokenConstraints(graph, bindings)
  if (broken.length > 0) fail("Constraint", broken.join("; "), node)
}

/** Runs a graph; `known` are the bindings of the graph around it. Throws `OracleError`. */
export function* runGraph(
  run: Run,
  graph: Graph,
  inputs: ReadonlyArray<Cell>,
  known: Bind.Bindings,
  onValue?: OnValue
): Work<ReadonlyArray<Cell>> {
  const bindings = bindInputs(graph, inputs, known)
  const values = new Map<string, Cell>()
  for (const [position, input] of graph.inputs.entries()) {
    const cell = inputs[position]
    if (cell === undefined) continue
    values.set(input.id, cell)
    onValue?.(input.id, cell.tensor)
  }
  const valueOf = (id: string): Cell => {
    const found = values.get(id)
    if (found !== undefined) return found
    const entry = graph.constants.get(id)
    if (entry === undefined) return fail("Kernel", `%${id} is used before it has a value in ${graph.name}`)
    const tensor = constantOf(run.machine, entry.constant)
    const isRounded = run.bounds !== undefined && run.rounded.has(entry.constant.digest)
    const cell: Cell = { tensor, bound: isRounded ? lastPlace(tensor) : undefined }
    values.set(id, cell)
    return cell
  }
  const { lastUses } = planOf(run.machine, graph)
  for (const [position, node] of graph.nodes.entries()) {
    const operands = node.inputs.map((id) => (id === null ? undefined : valueOf(id)))
    const results = yield* runNode(run, graph, node, operands, bindings)
    for (const [index, output] of node.outputs.entries()) {
      const cell = results[index]
      if (cell === undefined) continue
      values.set(output.id, cell)
      onValue?.(output.id, cell.tensor)
    }
    for (const id of lastUses[position] ?? []) values.delete(id)
    yield
  }
  return graph.outputs.map(({ id }) => valueOf(id))
}

const constantOf = ({ constants }: Machine, constant: Constant.Constant): Tensor => {
  const found = constants.get(constant) ?? Constant.load(constant)
  constants.set(constant, found)
  return found
}

/** One unit in the last place of each element; undefined for integers, which are exact. */
const lastPlace = (tensor: Tensor): Float64Array | undefined => {
  const { dtype } = tensor
  if (!DTypes.isFloat(dtype)) return undefined
  const values = Numbers.toNumbers(tensor)
  const places = new Float64Array(values.length)
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0
    places[i] = Number.isFinite(value) ? Float.ulp(value, dtype) : 0
  }
  return places
}

// ---- nodes ------------------------------------------------------------------------------------------------------------

function* runNode(
  run: Run,
  graph: Graph,
  node: Node,
  operands: ReadonlyArray<Cell | undefined>,
  bindings: Map<string, number>
): Work<ReadonlyArray<Cell>> {
  try {
    const results = yield* compute(run, node, operands, bindings)
    checkResults(graph, node, results, bindings)
    return results
  } catch (error) {
    return rethrow(error, node)
  }
}

/** Every failure as an `OracleError` that names the node. A defect of ours is not one of them. */
const rethrow = (error: unknown, node: Node): never => {
  if (error instanceof OracleError)
    throw error.node === undefined
      ? new OracleError({ reason: error.reason, detail: error.detail, node: Graphs.nodeName(node) })
      : error
  if (error instanceof Bind.BindError) return fail("Unbound", error.problems.join("; "), node)
  if (error instanceof IrError) return fail("Kernel", error.message, node)
  if (error instanceof RangeError && /allocation|array length|buffer length/i.test(error.message)) {
    const sizes = node.outputs.map(({ type }) => Type.format(type)).join(", ")
    return fail("Memory", `no memory for the results ${sizes}: ${error.message}`, node)
  }
  if (error instanceof RangeError) return fail("Kernel", error.message, node)
  throw error
}

function* compute(
  run: Run,
  node: Node,
  operands: ReadonlyArray<Cell | undefined>,
  bindings: Bind.Bindings
): Work<ReadonlyArray<Cell>> {
  const { op } = node
  const kernel = run.machine.kernels.get(op.name)
  const wantsExpansion = run.bounds !== undefined && op.error.kind === "expansion"
  if (op.expand !== undefined && (kernel === undefined || wantsExpansion)) {
    const present = operands.flatMap((cell) => (cell === undefined ? [] : [cell]))
    return yield* runGraph(run, expansionOf(run.machine, node, operands, bindings), present, bindings)
  }
  if (kernel === undefined)
    return fail(
      "NoKernel",
      `op ${op.name} has neither a kernel nor an expansion; give its kernel to the oracle's layer`,
      node
    )
  const call = makeCall(run, node, operands, bindings)
  if (run.bounds !== undefined) return yield* run.bounds.run(kernel, call)
  const tensors = yield* settled(kernel.run(call))
  return tensors.map((tensor): Cell => ({ tensor, bound: undefined }))
}

/** The result of a kernel, which may be work. */
export function* settled<A>(result: ReadonlyArray<A> | Work<ReadonlyArray<A>>): Work<ReadonlyArray<A>> {
  return "next" in result ? yield* result : result
}

const makeCall = (
  run: Run,
  node: Node,
  operands: ReadonlyArray<Cell | undefined>,
  bindings: Bind.Bindings
): BoundedCall => {
  const outputTypes = node.outputs.map(({ type }): OutputType => ({
    dtype: type.dtype,
    shape: concreteShape(type.shape, bindings, node),
    extents: type.shape.map((dim) => Dim.evaluate(dim, bindings))
  }))
  const failCall = (detail: string): never => fail("Kernel", detail, node)
  const cell = (position: number): Cell =>
    operands[position] ?? failCall(`operand ${position} (${node.op.operands[position]?.name ?? "?"}) is missing`)
  return {
    node,
    // The symbols of readDims get their values from its result: until then it has none to evaluate.
    attributes:
      node.op.name === "readDims" ? node.attributes : Bind.attributes(node.attributes, bindings, Graphs.nodeName(node)),
    inputs: operands.map((operand) => operand?.tensor),
    bounds: operands.map((operand) => operand?.bound),
    outputTypes,
    cell,
    input: (position) => cell(position).tensor,
    shape: (position) => outputTypes[position]?.shape ?? failCall(`the shape of result ${position} is not known`),
    fail: failCall,
    seed: run.seed,
    unitRoundoff: (dtype) => run.bounds?.unitRoundoff(node, dtype) ?? 0,
    runGraph: (name, inputs) => {
      const graph = node.graphs[name] ?? failCall(`sub-graph "${name}" is missing`)
      return runGraph(run, graph, inputs, bindings)
    }
  }
}

const concreteShape = (
  dims: ReadonlyArray<Dim.Dim>,
  bindings: Bind.Bindings,
  node: Node
): ReadonlyArray<number> | undefined => {
  const shape: Array<number> = []
  for (const [axis, dim] of dims.entries()) {
    const extent = Dim.evaluate(dim, bindings)
    if (extent === undefined) return undefined
    if (extent < 0)
      return fail("Constraint", `axis ${axis} of the result, ${Dim.format(dim)}, would be ${extent}`, node)
    shape.push(extent)
  }
  return shape
}

const expansionOf = (
  { expansions, unbacked }: Machine,
  node: Node,
  operands: ReadonlyArray<Cell | undefined>,
  bindings: Bind.Bindings
): Graph => {
  const types = operandTypes(operands)
  const symbols = Op.attributeSymbols(node.attributes).map((name) => `${name}=${bindings.get(name)}`)
  const key = [...types.map((type) => (type === undefined ? "-" : Type.format(type))), ...symbols].join()
  const found = expansions.get(node)
  if (found?.key === key) return found.graph
  const builder = Builder.make(node.op.name, { names: Builder.makeNames([], unbacked), lineage: node.lineage })
  const inputs = types.map((type, position) =>
    type === undefined ? undefined : builder.input(node.op.operands[position]?.name ?? `operand${position}`, type)
  )
  const attributes = Bind.attributes(node.attributes, bindings, Graphs.nodeName(node))
  const results = node.op.expand?.(builder, inputs, attributes) ?? []
  for (const [position, value] of results.entries()) builder.output(`${position}`, value)
  const graph = builder.finish()
  expansions.set(node, { key, graph })
  return graph
}

/** An expansion is built on the shapes at hand: it is then free of symbols, whatever the operands' own types say. */
const operandTypes = (operands: ReadonlyArray<Cell | undefined>) =>
  operands.map((operand) => (operand === undefined ? undefined : Type.make(operand.tensor.dtype, operand.tensor.shape)))

/** Binds the symbols that these results decide, and compares the results with their types. */
const checkResults = (graph: Graph, node: Node, results: ReadonlyArray<Cell>, bindings: Map<string, number>): void => {
  const before = bindings.size
  bindSymbols(node, results, bindings)
  if (results.length < node.outputs.length)
    fail("Kernel", `the kernel gives ${results.length} results, the node has ${node.outputs.length}`, node)
  for (const [position, { type }] of node.outputs.entries()) {
    const tensor = results[position]?.tensor
    if (tensor === undefined) continue
    const shape = concreteShape(type.shape, bindings, node)
    const same = shape !== undefined && shape.join() === tensor.shape.join() && tensor.dtype === type.dtype
    if (!same || tensor.data.length !== Tensors.size(tensor.shape) || !DTypes.stores(tensor.dtype, tensor.data))
      fail(
        "Kernel",
        `result ${position} is ${formatShape(tensor)}, its type is ${Type.format(type)}${shape === undefined ? "" : ` = [${shape.join(", ")}]`}`,
        node
      )
  }
  if (bindings.size > before) checkConstraints(graph, bindings, node)
}

const bindSymbols = (node: Node, results: ReadonlyArray<Cell>, bindings: Map<string, number>): void => {
  const symbols = node.attributes["symbols"]
  if (node.op.name === "readDims" && Array.isArray(symbols)) {
    const items: ReadonlyArray<unknown> = symbols
    const elements = results[0]?.tensor.data
    for (const [i, dim] of items.entries()) {
      if (!Dim.isSymbolic(dim)) continue
      const value = Number(elements?.[i])
      const solved = Dim.solve(dim, value, bindings)
      if (solved !== undefined) bindings.set(solved.name, solved.value)
      else if (Dim.evaluate(dim, bindings) !== value)
        fail("Constraint", `element ${i} is ${value}, which ${Dim.format(dim)} cannot be`, node)
    }
  }
  for (const [position, { type }] of node.outputs.entries())
    for (const [axis, dim] of type.shape.entries()) {
      const extent = results[position]?.tensor.shape[axis]
      if (typeof dim === "number" || extent === undefined) continue
      const solved = Dim.solve(dim, extent, bindings)
      if (solved !== undefined) bindings.set(solved.name, solved.value)
    }
}
