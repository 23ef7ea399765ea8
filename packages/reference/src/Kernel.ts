/**
 * Kernel: how the oracle computes one primitive op, from concrete tensors to concrete tensors.
 *
 *   Kernel.define(Ops.neg, (call) => [negated(call.input(0))])
 *
 * A kernel is given the node, its attributes with every dim as a number, and its operands; it gives the results. It never
 * changes an operand. What it refuses (an index out of range) it refuses by `call.fail`, which names the node.
 */
import type * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import type { Node } from "@anneal/ir/Graph"
import type { Attributes, OpDefinition } from "@anneal/ir/Op"
import type { Tensor } from "@anneal/ir/Tensor"

/** A computation that offers to pause where it yields: the executor then lets others run, or is interrupted. */
export type Work<A> = Generator<void, A>

/** A value while a graph runs with error bounds. */
export interface Cell {
  readonly tensor: Tensor
  /** Absolute bound of each element's distance from the exact result; undefined where all are exact (or not asked for). */
  readonly bound: Float64Array | undefined
}

/** Attributes in which every dim is a number. */
export type Concrete<A> = A extends Dim.SymbolicDim
  ? never
  : A extends ReadonlyArray<infer Item>
    ? ReadonlyArray<Concrete<Item>>
    : A extends object
      ? { readonly [Key in keyof A]: Concrete<A[Key]> }
      : A

export interface OutputType {
  readonly dtype: DType
  /** Undefined where a size is decided by the data. */
  readonly shape: ReadonlyArray<number> | undefined
  /** Each extent that is known. */
  readonly extents: ReadonlyArray<number | undefined>
}

export interface KernelCall<A = Attributes> {
  readonly node: Node
  readonly attributes: Concrete<A>
  readonly inputs: ReadonlyArray<Tensor | undefined>
  readonly outputTypes: ReadonlyArray<OutputType>
  /** The operand; fails when it was left out. */
  readonly input: (position: number) => Tensor
  /** The shape of a result that does not depend on data. */
  readonly shape: (position: number) => ReadonlyArray<number>
  /** Fails with an `OracleError` that names the node. */
  readonly fail: (detail: string) => never
  /** Seed of the run. */
  readonly seed: number
  /** Runs a sub-graph of the node. */
  readonly runGraph: (name: string, inputs: ReadonlyArray<Cell>) => Work<ReadonlyArray<Cell>>
}

/** A call with the bounds of the operands, for kernels that compute their own bound. */
export interface BoundedCall<A = Attributes> extends KernelCall<A> {
  readonly bounds: ReadonlyArray<Float64Array | undefined>
  /** The operand with its bound. */
  readonly cell: (position: number) => Cell
  /** Unit roundoff of the arithmetic that the bound is for, for results of a dtype. */
  readonly unitRoundoff: (dtype: DType) => number
}

export interface Kernel<A = Attributes> {
  run(call: KernelCall<A>): ReadonlyArray<Tensor> | Work<ReadonlyArray<Tensor>>
  /** Results with their bounds; for an op whose error rule is `run`. */
  runBounded?(call: BoundedCall<A>): ReadonlyArray<Cell> | Work<ReadonlyArray<Cell>>
}

/** A kernel and the op that it is for. */
export interface Entry {
  readonly op: OpDefinition
  readonly kernel: Kernel
}

/** A kernel for an op; the attribute type is the op's. */
export const define = <A extends Attributes>(
  op: OpDefinition<A>,
  run: Kernel<A>["run"],
  runBounded?: NonNullable<Kernel<A>["runBounded"]>
): Entry => ({ op, kernel: runBounded === undefined ? { run } : { run, runBounded } })

/** Kernels by the op's name. */
export const table = (entries: ReadonlyArray<Entry>): ReadonlyMap<string, Kernel> =>
  new Map(entries.map(({ op, kernel }) => [op.name, kernel]))
