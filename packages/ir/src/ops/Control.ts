// Control flow. Sub-graphs are isolated: whatever they use is an operand, passed in order.
import * as Schema from "effect/Schema"
import * as Dims from "../Dim.ts"
import type { Dim } from "../Dim.ts"
import type { Graph } from "../Graph.ts"
import { index } from "../Graph.ts"
import * as Op from "../Op.ts"
import type { TensorType } from "../Type.ts"
import * as Type from "../Type.ts"

/** Types of a sub-graph's outputs. */
const outputTypes = (graph: Graph | undefined): ReadonlyArray<TensorType> => {
  if (graph === undefined) return []
  const types = index(graph)
  return graph.outputs.map(({ id }) => types.type(id))
}

/** Dims on which both agree stay; where they differ the size is only known when running. */
const join = (a: TensorType, b: TensorType, fresh: () => Dim, fail: (detail: string) => never): TensorType => {
  if (a.dtype !== b.dtype) return fail(`one branch gives ${a.dtype}, the other ${b.dtype}`)
  if (a.shape.length !== b.shape.length)
    return fail(`one branch gives rank ${a.shape.length}, the other ${b.shape.length}`)
  return {
    dtype: a.dtype,
    shape: a.shape.map((dim, axis) => (Dims.equal(dim, b.shape[axis] ?? 0) === true ? dim : fresh()))
  }
}

/** A size that a body's own data decides has no name outside of it: there it is a new one. */
const visibleOutside = (
  type: TensorType,
  inputs: ReadonlyArray<TensorType | undefined>,
  fresh: () => Dim
): TensorType => {
  const known = new Set(inputs.flatMap((input) => input?.shape.flatMap(Dims.symbols) ?? []))
  const isKnown = (name: string): boolean => !Dims.isUnbackedName(name) || known.has(name)
  return { dtype: type.dtype, shape: type.shape.map((dim) => (Dims.symbols(dim).every(isKnown) ? dim : fresh())) }
}

/** A sub-graph's type outside of it: a size that only its own data decides is a new one there. */
const outside = (
  type: TensorType,
  operands: ReadonlyArray<TensorType | undefined>,
  fresh: () => Dim
): ReadonlyArray<Dim> => {
  const known = new Set(operands.flatMap((operand) => (operand === undefined ? [] : Type.symbols(operand))))
  const isInner = (name: string): boolean => Dims.isUnbackedName(name) && !known.has(name)
  return type.shape.map((dim) => (Dims.symbols(dim).some(isInner) ? fresh() : dim))
}

/** Operands: a bool scalar, then what both branches take. */
export const branch = Op.define({
  name: "if",
  summary: "one of two sub-graphs",
  attributes: Op.NoAttributes,
  operands: [{ name: "condition" }, { name: "captured", variadic: true }],
  graphs: ["then", "else"],
  error: { kind: "run" },
  binds: true,
  infer: ({ fail, fresh, graphs, input, inputs }) => {
    if (input(0).dtype !== "bool") fail("the condition is bool")
    const [yes, no] = [graphs["then"], graphs["else"]]
    for (const graph of [yes, no])
      if (graph?.inputs.length !== inputs.length - 1)
        fail(`a branch takes ${graph?.inputs.length} values, ${inputs.length - 1} are given`)
    const [a, b] = [outputTypes(yes), outputTypes(no)]
    if (a.length !== b.length) fail(`one branch gives ${a.length} results, the other ${b.length}`)
    return a.map((type, position) => join(type, b[position] ?? type, fresh, fail))
  }
})

/**
 * Operands: trip count (i64 scalar, optional), condition (bool scalar, optional), `carried` values, then captured ones.
 * Body: iteration (i64 scalar), condition, carried, captured → condition, carried, scanned. Results: the last carried
 * values, then each scanned value of all iterations stacked along a new first axis.
 */
export const loop = Op.define({
  name: "loop",
  summary: "a sub-graph while a condition holds, at most so many times",
  attributes: Schema.Struct({ carried: Schema.Int }),
  operands: [
    { name: "trips", optional: true },
    { name: "condition", optional: true },
    { name: "carriedAndCaptured", variadic: true }
  ],
  graphs: ["body"],
  error: { kind: "run" },
  binds: true,
  infer: ({ attributes: { carried }, fail, fresh, graphs, inputs }) => {
    const body = graphs["body"]
    const results = outputTypes(body)
    const given = inputs.length - 2
    if (body?.inputs.length !== given + 2) fail(`the body takes ${body?.inputs.length} values, ${given + 2} are given`)
    if (results.length < carried + 1) fail(`the body gives ${results.length} results for ${carried} carried values`)
    if (results[0]?.dtype !== "bool") fail("the body's first result is the condition")
    const last = results.slice(1, carried + 1).map((type, position) => {
      const before = inputs[position + 2] ?? fail(`carried value ${position} is missing`)
      return join(before, type, fresh, fail)
    })
    const count = results.length > carried + 1 ? fresh() : 0
    const scanned = results.slice(carried + 1).map((type) => visibleOutside(type, inputs, fresh))
    return [
      ...last,
      ...scanned.map((type): TensorType => ({
        dtype: type.dtype,
        shape: [count, ...outside(type, inputs, fresh)]
      }))
    ]
  }
})

/**
 * Operands: `carried` values, `scanned` tensors, captured ones. Body: carried, one slice of each scanned tensor,
 * captured → carried, one slice of each result.
 */
export const scan = Op.define({
  name: "scan",
  summary: "a sub-graph for each slice along an axis, with carried state",
  attributes: Schema.Struct({
    carried: Schema.Int,
    scanned: Schema.Int,
    inputAxes: Op.Ints,
    inputReverse: Schema.Array(Schema.Boolean),
    outputAxes: Op.Ints,
    outputReverse: Schema.Array(Schema.Boolean)
  }),
  operands: [{ name: "carriedScannedCaptured", variadic: true }],
  graphs: ["body"],
  error: { kind: "run" },
  infer: ({ attributes, constrain, fail, fresh, graphs, inputs }) => {
    const { carried, inputAxes, outputAxes, scanned } = attributes
    const body = graphs["body"]
    if (body?.inputs.length !== inputs.length)
      fail(`the body takes ${body?.inputs.length} values, ${inputs.length} are given`)
    let length: Dim | undefined
    for (const [position, axis] of inputAxes.entries()) {
      const dim = inputs[carried + position]?.shape[axis] ?? fail(`scanned value ${position} has no axis ${axis}`)
      length = length === undefined ? dim : constrain(length, dim, "lengths of the scanned values")
    }
    if (length === undefined || scanned < 1) return fail("scans at least one value")
    const extent = length
    const results = outputTypes(body)
    return results.map((type, position): TensorType => {
      if (position < carried) return inputs[position] ?? type
      const axis = outputAxes[position - carried] ?? 0
      const shape = [...outside(type, inputs, fresh)]
      shape.splice(axis < 0 ? axis + shape.length + 1 : axis, 0, extent)
      return { dtype: type.dtype, shape }
    })
  }
})

export const all: ReadonlyArray<Op.OpDefinition> = [branch, loop, scan]
