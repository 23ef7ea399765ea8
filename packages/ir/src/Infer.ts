// Type inference of one node, and the constraints on dims that it notes on the way.
import * as Dim from "./Dim.ts"
import { IrError, refuse } from "./Errors.ts"
import type { Constraint, Graph } from "./Graph.ts"
import type { Attributes, OpDefinition, Operand } from "./Op.ts"
import type { TensorType } from "./Type.ts"
import * as Type from "./Type.ts"

export interface Inferred {
  readonly types: ReadonlyArray<TensorType>
  readonly constraints: ReadonlyArray<Constraint>
}

/** Checks the operands against the op's contract and infers the results. Throws `IrError`, naming `at`. */
export const infer = <A extends Attributes>(
  op: OpDefinition<A>,
  inputs: ReadonlyArray<TensorType | undefined>,
  attributes: A,
  graphs: Readonly<Record<string, Graph>>,
  fresh: () => Dim.Dim,
  at?: string
): Inferred => {
  checkArity(op.name, op.operands, op.graphs ?? [], inputs, graphs, at)
  const constraints: Array<Constraint> = []
  const fail = (detail: string): never =>
    refuse(
      "TypeMismatch",
      `${op.name}(${inputs.map((type) => (type ? Type.format(type) : "none")).join(", ")}): ${detail}`,
      at
    )
  const types = op.infer({
    attributes,
    inputs,
    graphs,
    input: (position) =>
      inputs[position] ?? fail(`operand ${position} (${op.operands[position]?.name ?? "?"}) is missing`),
    fresh,
    fail,
    constrain: (a, b, what) => {
      const same = Dim.equal(a, b)
      if (same === false) return fail(`${what}: ${Dim.format(a)} is not ${Dim.format(b)}`)
      if (same === undefined) constraints.push({ left: a, right: b, what })
      return typeof a === "number" ? a : b
    }
  })
  for (const type of types)
    for (const dim of type.shape)
      if (typeof dim === "number" && (!Number.isSafeInteger(dim) || dim < 0))
        fail(`the result would have the shape ${Type.format(type)}`)
  return { types, constraints }
}

const checkArity = (
  name: string,
  operands: ReadonlyArray<Operand>,
  wanted: ReadonlyArray<string>,
  inputs: ReadonlyArray<TensorType | undefined>,
  graphs: Readonly<Record<string, Graph>>,
  at: string | undefined
): void => {
  const variadic = operands.at(-1)?.variadic === true
  if (inputs.length > operands.length && !variadic)
    refuse("WrongArity", `${name} takes at most ${operands.length} operands, ${inputs.length} were given`, at)
  for (const [position, operand] of operands.entries())
    if (operand.optional !== true && operand.variadic !== true && inputs[position] === undefined)
      refuse("WrongArity", `${name}: operand ${position} (${operand.name}) is missing`, at)
  for (const graph of wanted)
    if (graphs[graph] === undefined) refuse("WrongArity", `${name}: sub-graph "${graph}" is missing`, at)
}

/** Broadcasts shapes as numpy does; dims that cannot be decided must turn out equal, which becomes a constraint. */
export const broadcast = (
  shapes: ReadonlyArray<ReadonlyArray<Dim.Dim>>,
  constrain: (a: Dim.Dim, b: Dim.Dim, what: string) => Dim.Dim
): ReadonlyArray<Dim.Dim> => {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length))
  const result: Array<Dim.Dim> = []
  for (let axis = 0; axis < rank; axis++) {
    let dim: Dim.Dim = 1
    for (const shape of shapes) {
      const other = shape[axis - rank + shape.length]
      if (other === undefined || other === 1) continue
      dim = dim === 1 ? other : constrain(dim, other, `broadcast of axis ${axis}`)
    }
    result.push(dim)
  }
  return result
}

/** Axis in [0, rank) from one that may count from the end; refuses one outside. */
export const normalizeAxis = (axis: number, rank: number, fail: (detail: string) => never): number => {
  const normal = axis < 0 ? axis + rank : axis
  return normal >= 0 && normal < rank ? normal : fail(`axis ${axis} is outside a rank of ${rank}`)
}

/** Whether an error is one of the IR's. */
export const isIrError = (error: unknown): error is IrError => error instanceof IrError
