// Control flow: If, Loop, Scan. A condition that import knows takes its branch; otherwise the sub-graphs become isolated
// ones, with what they use from outside as operands.
import * as Dim from "@anneal/ir/Dim"
import type { Graph, Input, Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { TensorType } from "@anneal/ir/Type"
import * as Content from "../Content.ts"
import type { Context, Isolated, Operator, Result } from "../Operator.ts"

/** The same sub-graph taking one list of operands, some of which it may not use. */
const taking = (isolated: Isolated, wanted: ReadonlyArray<Value>, prefix: string): Graph => {
  const taken = new Set(isolated.graph.inputs.map(({ id }) => id))
  const inputs = wanted.map((value, position): Input => {
    const at = isolated.captured.findIndex(({ id }) => id === value.id)
    const own = at === -1 ? undefined : isolated.graph.inputs[at]
    if (own !== undefined) return own
    let id = `${prefix}${position}`
    for (let n = 0; taken.has(id) || defines(isolated.graph, id); n++) id = `${prefix}${position}_${n}`
    taken.add(id)
    return { name: id, id, type: value.type }
  })
  return { ...isolated.graph, inputs }
}

const defines = (graph: Graph, id: string): boolean =>
  graph.constants.has(id) || graph.nodes.some((node) => node.outputs.some((output) => output.id === id))

export const branch: Operator = {
  name: "If",
  since: [1, 11, 13],
  translate: (c) => {
    const condition = c.content(0)?.elements[0]
    if (typeof condition === "number") {
      const name = condition === 0 ? "else" : "then"
      return c.inline(c.attribute.graph(`${name}_branch`), name)
    }
    const yes = c.isolate(c.attribute.graph("then_branch"), "then", [])
    const no = c.isolate(c.attribute.graph("else_branch"), "else", [])
    if (yes.results.some((type, position) => type.shape.length !== no.results[position]?.shape.length))
      return assumed(c, condition)
    const captured = [...yes.captured, ...no.captured].filter(
      (value, position, list) => list.findIndex(({ id }) => id === value.id) === position
    )
    const [whenTrue = "", whenFalse = ""] = Ops.branch.graphs ?? []
    const graphs = { [whenTrue]: taking(yes, captured, "unused"), [whenFalse]: taking(no, captured, "unused") }
    return c.e.b.node(Ops.branch, [c.e.reshape(c.input(0), []), ...captured], {}, { graphs })
  }
}

/**
 * Branches whose results differ in rank, which no value can have: when the condition is an equality of sizes, the model
 * is imported for the case that they are equal (an extent of 1 squeezed away), and binding checks that they are.
 */
const assumed = (c: Context, condition: Content.Element | undefined): ReadonlyArray<Result> => {
  if (!(condition instanceof Content.Equality))
    return c.unsupported(
      "branches whose results differ in rank under a condition that is not known before it runs",
      "Pin the sizes that the condition depends on with --shapes."
    )
  const { left, right } = condition
  c.constrain(
    left,
    right,
    "the rank of its result depends on this equality, and was imported for the case that it holds"
  )
  return c.inline(c.attribute.graph("then_branch"), "then")
}

/** Iterations up to this many, of a loop whose count is known, are imported one by one when sequences are carried. */
const unrollLimit = 64

/**
 * A body imported with carried types that it keeps: extents that change from one iteration to the next become sizes that
 * only running knows.
 */
const settled = (
  c: Context,
  carried: ReadonlyArray<TensorType>,
  isolate: (types: ReadonlyArray<TensorType>) => Isolated,
  first: number
): { readonly isolated: Isolated; readonly types: ReadonlyArray<TensorType> } => {
  let types = carried
  for (let round = 0; round < 8; round++) {
    const isolated = isolate(types)
    let isStable = true
    types = types.map((type, position): TensorType => {
      const result = isolated.results[first + position] ?? type
      if (result.shape.length !== type.shape.length)
        return c.unsupported(
          `carried value ${position} changes its rank from ${type.shape.length} to ${result.shape.length}`
        )
      const shape = type.shape.map((dim, axis): Dim.Dim => {
        if (Dim.equal(dim, result.shape[axis] ?? 0) === true) return dim
        isStable = false
        return Dim.isSymbolic(dim) && Dim.symbols(dim).every(Dim.isUnbackedName) && round > 0 ? dim : c.unbacked()
      })
      return { dtype: type.dtype, shape }
    })
    if (isStable || round > 1) return { isolated, types }
  }
  return c.unsupported("carried values whose shapes do not settle")
}

export const loop: Operator = {
  name: "Loop",
  since: [1, 11, 13],
  translate: (c) => {
    const body = c.attribute.graph("body")
    const carried = Array.from({ length: c.count - 2 }, (_, index) => index + 2)
    const unrolled = carried.some((index) => c.any(index)?.kind !== "tensor") ? unroll(c) : undefined
    if (unrolled !== undefined) return unrolled
    const types = carried.map((index) => c.type(index))
    const before: ReadonlyArray<TensorType> = [
      { dtype: "i64", shape: [] },
      { dtype: "bool", shape: [] }
    ]
    const { isolated } = settled(c, types, (now) => c.isolate(body, "body", [...before, ...now]), 1)
    const trips = c.has(0) ? c.e.reshape(c.e.cast(c.input(0), "i64"), []) : undefined
    const condition = c.has(1) ? c.e.reshape(c.input(1), []) : undefined
    const initial = carried.map((index) => c.input(index))
    return c.e.b.node(
      Ops.loop,
      [trips, condition, ...initial, ...isolated.captured],
      { carried: carried.length },
      { graphs: { body: isolated.graph } }
    )
  }
}

/** A loop over sequences, iteration by iteration: the count and each condition must be known. */
const unroll = (c: Context): ReadonlyArray<Result> => {
  const help = "Only a loop whose number of iterations is known can carry sequences or optionals."
  const trips = c.has(0) ? c.content(0)?.elements[0] : Infinity
  if (typeof trips !== "number" || (trips > unrollLimit && trips !== Infinity))
    return c.unsupported(`a loop over sequences of ${typeof trips === "number" ? trips : "unknown"} iterations`, help)
  let condition: Content.Element | undefined = c.has(1) ? c.content(1)?.elements[0] : 1
  let state = Array.from(
    { length: c.count - 2 },
    (_, index) => c.any(index + 2) ?? c.fail(`input ${index + 2} is missing`)
  )
  for (let i = 0; i < trips && condition !== 0; i++) {
    if (condition === undefined || i >= unrollLimit) return c.unsupported("a condition that is not known", help)
    const isTrue = c.known({ dtype: "bool", shape: [], elements: [1] })
    const results = c.inline(c.attribute.graph("body"), `body${i}`, [c.known(Content.scalar(i)), isTrue, ...state])
    const [next, ...rest] = results
    condition = next?.kind === "tensor" ? next.content?.elements[0] : undefined
    state = rest
  }
  if (state.length > c.count - 2) return c.unsupported("a loop over sequences that also collects results", help)
  return state
}

/** Before opset 9 there was a batch axis and an input of lengths. */
export const scan: Operator = {
  name: "Scan",
  since: [8, 9],
  translate: (c) => {
    if (c.opset < 9) return scan8(c)
    const scanned = c.attribute.int("num_scan_inputs")
    const carried = c.count - scanned
    const list = (name: string, length: number): ReadonlyArray<number> =>
      c.attribute.ints(name) ?? Array.from({ length }, () => 0)
    const types = Array.from({ length: carried }, (_, index) => c.type(index))
    const inputAxes = list("scan_input_axes", scanned).map((axis, i) => c.axis(axis, c.rank(carried + i)))
    const slices = inputAxes.map((axis, i): TensorType => {
      const { dtype, shape } = c.type(carried + i)
      return { dtype, shape: shape.filter((_, at) => at !== axis) }
    })
    const { isolated } = settled(
      c,
      types,
      (now) => c.isolate(c.attribute.graph("body"), "body", [...now, ...slices]),
      0
    )
    const results = isolated.results.slice(carried)
    const outputAxes = list("scan_output_axes", results.length).map((axis, i) =>
      c.axis(axis, (results[i]?.shape.length ?? 0) + 1)
    )
    const reversed = (name: string, length: number): ReadonlyArray<boolean> =>
      list(name, length).map((direction) => direction !== 0)
    const inputs = Array.from({ length: c.count }, (_, index) => c.input(index))
    return c.e.b.node(
      Ops.scan,
      [...inputs, ...isolated.captured],
      {
        carried,
        scanned,
        inputAxes,
        inputReverse: reversed("scan_input_directions", scanned),
        outputAxes,
        outputReverse: reversed("scan_output_directions", results.length)
      },
      { graphs: { body: isolated.graph } }
    )
  }
}

/** Opset 8, for a batch of one: the batch axis is taken off and put back. */
const scan8 = (c: Context): ReadonlyArray<Result> => {
  const { e } = c
  const scanned = c.attribute.int("num_scan_inputs")
  const carried = c.count - 1 - scanned
  if (c.has(0)) return c.unsupported("Scan of opset 8 with lengths", "Export with opset 9 or newer.")
  const inputs = Array.from({ length: carried + scanned }, (_, index) => {
    const x = c.input(index + 1)
    if (x.type.shape[0] !== 1)
      return c.unsupported("Scan of opset 8 over a batch of more than one", "Export with opset 9 or newer.")
    return e.reshape(x, x.type.shape.slice(1))
  })
  const types = inputs.map(({ type }, index) =>
    index < carried ? type : { dtype: type.dtype, shape: type.shape.slice(1) }
  )
  const isolated = c.isolate(c.attribute.graph("body"), "body", types)
  const outputs = isolated.results.length - carried
  const reverse = (c.attribute.ints("directions") ?? Array.from({ length: scanned }, () => 0)).map((way) => way !== 0)
  const results = e.b.node(
    Ops.scan,
    [...inputs, ...isolated.captured],
    {
      carried,
      scanned,
      inputAxes: Array.from({ length: scanned }, () => 0),
      inputReverse: reverse,
      outputAxes: Array.from({ length: outputs }, () => 0),
      outputReverse: Array.from({ length: outputs }, () => false)
    },
    { graphs: { body: isolated.graph } }
  )
  return results.map((result) => e.reshape(result, [1, ...result.type.shape]))
}

export const all: ReadonlyArray<Operator> = [branch, loop, scan]
