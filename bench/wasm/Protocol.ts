// What the bench and its worker processes say to each other. Every contestant is a process of its own that stays alive
// and is asked, in turns, for short batches of runs: what drifts (clock, neighbours) drifts for all of them alike.
//
//   → load (model, inputs)      ← loaded (milliseconds of import, create, first run; outputs)
//   → turn (milliseconds)       ← timed (milliseconds of each run)
//   → infer (inputs)            ← inferred (outputs), to measure accuracy
//   → footprint                 ← footprint (bytes)
//
// Messages are cloned (`serialization: "advanced"`), so tensors travel as typed arrays.
import type { Tensor } from "@anneal/ir/Tensor"

/** Tensors by the model's own names. */
export type Tensors = Readonly<Record<string, Tensor>>

/**
 * How an inference is called: `run` as the library's documentation has it; `promise` through a promise for each call,
 * where that is something else than `run`; `bound` with buffers that were bound before, where the library has that.
 */
export type Call = "run" | "promise" | "bound"

/** Bytes of the process, as the system counts them. */
export interface Footprint {
  readonly resident: number
  /** The most that was resident so far. */
  readonly peak: number
}

export type Request =
  | { readonly _tag: "load"; readonly file: string; readonly inputs: Tensors; readonly threads: number }
  | { readonly _tag: "turn"; readonly call: Call; readonly milliseconds: number; readonly atLeast: number }
  | { readonly _tag: "infer"; readonly inputs: Tensors }
  | { readonly _tag: "footprint" }

export interface Loaded {
  readonly _tag: "loaded"
  readonly version: string
  /** Milliseconds: loading the library's code; the session; its first inference. */
  readonly importing: number
  readonly creating: number
  readonly first: number
  /** Before the library was imported, after, and after the first inference. */
  readonly footprints: { readonly empty: Footprint; readonly imported: Footprint; readonly loaded: Footprint }
  readonly outputs: Tensors
  readonly calls: ReadonlyArray<Call>
  /** Bytes of weights plus plan, where the library says so. */
  readonly planned: number | null
  /** Bytes that the library holds for this model, where it says so. */
  readonly taken: number | null
}

export type Reply =
  | Loaded
  | { readonly _tag: "timed"; readonly times: Float64Array }
  | { readonly _tag: "inferred"; readonly outputs: Tensors }
  | { readonly _tag: "footprint"; readonly footprint: Footprint }
  | { readonly _tag: "failed"; readonly detail: string }

/** A session of one library, as the worker drives it. */
export interface Runner {
  readonly version: string
  readonly planned: number | null
  readonly taken: number | null
  /** Repeats an inference until the clock passes `until` and at least `atLeast` were made; gives each one's milliseconds. */
  readonly calls: Readonly<Partial<Record<Call, (until: number, atLeast: number) => Promise<ReadonlyArray<number>>>>>
}

/** What a contestant's module exports: imports its library, then creates sessions. */
export interface Library {
  readonly create: (file: string, threads: number) => Promise<Session>
}

export interface Session {
  readonly infer: (inputs: Tensors) => Promise<Tensors>
  /** What repeats an inference on the same inputs, and what the library says of itself: asked when nothing is timed. */
  readonly runner: (inputs: Tensors) => Promise<Runner>
}
