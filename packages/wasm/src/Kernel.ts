/**
 * Kernel: one way to compute a region, before any code is written. A region has several; the tuner chooses.
 *
 * The function that `emit` makes takes i32 addresses (bytes) of element [0, …, 0] of each view in `Region.reads` and then
 * `Region.writes` (0 for null, and for a read that is packed: such a kernel reads the packed form alone), then of each
 * packed constant, then of the scratch memory, then `begin` and `end`: the units that this call is to compute,
 * 0 ≤ begin ≤ end ≤ units. Units may be computed in any order and by different threads at once, each with scratch memory
 * of its own.
 */
import type { Dim } from "@anneal/ir/Dim"
import type { Tensor } from "@anneal/ir/Tensor"
import type * as Schema from "effect/Schema"
import type { Emission } from "./Emission.ts"
import type { Func } from "./ModuleBuilder.ts"

/** A constant in the form that a kernel reads. */
export interface Packed {
  /** Which of `Region.reads` it is made from; that view's buffer is a constant. */
  readonly read: number
  /** Names the form, for sharing and for the engine's manifest: `gemm-b nr=8`. */
  readonly layout: string
  readonly bytes: number
  /** Elements of the form are computed from several of the constant: nobody need look for an order that it puts them in. */
  readonly computes?: true
  /** The bytes; a pure function of the elements of the view, given row-major in the view's own axes. */
  readonly pack: (elements: Tensor) => Uint8Array
}

export interface Kernel {
  /** The tactic: `gemm-packed`, `conv-winograd-4x4`, `loop`. */
  readonly name: string
  /** Its parameters, as they stand in the lock file. */
  readonly config: Schema.Json
  /** Predicted nanoseconds on one thread, at the sizes that the region is tuned for; heuristics take the least. */
  readonly cost: number
  readonly packed: ReadonlyArray<Packed>
  /** Bytes of scratch memory for one thread. */
  readonly scratch: Dim
  /** Pieces that can be computed apart; 1: it cannot be divided. */
  readonly units: Dim
  readonly emit: (emission: Emission, name: string) => Func
}

/** What kernels know of the sizes that they will run at when symbols are free: the values to predict costs with. */
export type TypicalSizes = ReadonlyMap<string, number>
