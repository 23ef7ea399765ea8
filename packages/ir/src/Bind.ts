// Binding: from the concrete shapes of the inputs to the value of every symbol, and from there to concrete types and
// attributes. Unbacked symbols are bound later, by the nodes that define them.
import * as Dim from "./Dim.ts"
import * as Schema from "effect/Schema"
import type { Graph, Input } from "./Graph.ts"
import * as Op from "./Op.ts"

/** Values of symbols. */
export type Bindings = ReadonlyMap<string, number>

/** Inputs that do not fit the graph. All problems at once. */
export class BindError extends Schema.TaggedError<BindError>()("BindError", {
  graph: Schema.String,
  problems: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `The inputs do not fit ${this.graph}:\n  ${this.problems.join("\n  ")}`
  }
}

/**
 * Solves the input dims for their symbols. `known` are bindings from outside (a sub-graph knows its parent's). Throws
 * `BindError`: wrong rank, a static extent that differs, two values for one symbol, a constraint that does not hold.
 */
export const bind = (
  graph: Graph,
  shapes: ReadonlyArray<ReadonlyArray<number> | undefined>,
  known: Bindings = new Map()
): Map<string, number> => {
  const bindings = new Map(known)
  const problems: Array<string> = []
  const waiting: Array<{
    readonly input: Input
    readonly axis: number
    readonly dim: Dim.Dim
    readonly extent: number
  }> = []
  for (const [position, input] of graph.inputs.entries()) {
    const shape = shapes[position]
    if (shape === undefined) problems.push(`input ${input.name} is missing`)
    else if (shape.length !== input.type.shape.length)
      problems.push(
        `input ${input.name} has rank ${shape.length} ([${shape.join()}]), expected [${input.type.shape.map(Dim.format).join(", ")}]`
      )
    else
      for (const [axis, dim] of input.type.shape.entries()) waiting.push({ input, axis, dim, extent: shape[axis] ?? 0 })
  }
  // A dim such as 2*n may become solvable only after another input has given m.
  for (let progress = true; progress;) {
    progress = false
    for (const { dim, extent } of waiting) {
      const solved = Dim.solve(dim, extent, bindings)
      if (solved === undefined || bindings.has(solved.name)) continue
      bindings.set(solved.name, solved.value)
      progress = true
    }
  }
  for (const { axis, dim, extent, input } of waiting) {
    const expected = Dim.evaluate(dim, bindings)
    if (expected === extent) continue
    const wanted =
      expected === undefined ? `${Dim.format(dim)}, which has no solution` : `${Dim.format(dim)} = ${expected}`
    problems.push(`input ${input.name}: axis ${axis} is ${extent}, expected ${Dim.isStatic(dim) ? dim : wanted}`)
  }
  if (problems.length === 0) problems.push(...brokenConstraints(graph, bindings))
  if (problems.length > 0) throw new BindError({ graph: graph.name, problems })
  return bindings
}

/** Constraints that the bindings contradict; those with symbols still open are left for later. */
export const brokenConstraints = (graph: Graph, bindings: Bindings): ReadonlyArray<string> =>
  graph.constraints.flatMap(({ left, right, what }) => {
    const [a, b] = [Dim.evaluate(left, bindings), Dim.evaluate(right, bindings)]
    return a === undefined || b === undefined || a === b
      ? []
      : [`${what}: ${Dim.format(left)} = ${a} is not ${Dim.format(right)} = ${b}`]
  })

/** A shape in numbers; throws `BindError` when a symbol is not bound. */
export const shape = (dims: ReadonlyArray<Dim.Dim>, bindings: Bindings, at: string): Array<number> =>
  dims.map((dim) => extent(dim, bindings, at))

export const extent = (dim: Dim.Dim, bindings: Bindings, at: string): number => {
  const value = Dim.evaluate(dim, bindings)
  if (value === undefined) throw new BindError({ graph: at, problems: [`${Dim.format(dim)} has no value yet`] })
  return value
}

/** Attributes with every dim as a number. */
export const attributes = <A>(symbolic: A, bindings: Bindings, at: string): A =>
  Op.mapDims(symbolic, (dim) => extent(dim, bindings, at))
