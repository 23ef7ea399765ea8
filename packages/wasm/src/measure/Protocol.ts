/**
 * Protocol: what a worker that runs candidates is asked, and what it answers. Plain data, so that it can be posted.
 */

/** One call of a kernel: its arguments, the last two (`begin`, `end`) included. */
export type Call = ReadonlyArray<number>

export interface Block {
  readonly address: number
  readonly bytes: number
}

/** What lies at an address before a kernel runs: shared memory that nobody changes, so that it is posted without a copy. */
export interface Piece {
  readonly address: number
  readonly bytes: Uint8Array
}

/** A block that a kernel writes results to. */
export interface Written extends Block {
  /** Bytes of an element. */
  readonly slot: number
  /** 1 for each element that is a result; undefined: all are. */
  readonly results: Uint8Array | undefined
  /** The region reads it, too: an element that is as it was may be right. */
  readonly read: boolean
}

/** Where a kernel may leave what. */
export interface Footprint {
  readonly written: ReadonlyArray<Written>
  readonly scratch: Block
}

/** One examination: what memory holds, and what is called. */
export interface Check {
  readonly footprint: Footprint
  readonly whole: Call
  readonly orders: ReadonlyArray<ReadonlyArray<Call>>
}

/** What memory holds before a kernel runs; every byte of the rest of it is `fill`. */
export interface Content {
  readonly pieces: ReadonlyArray<Piece>
  readonly fill: number
}

/** An examination at other sizes, in a memory of its own. */
export interface SizedCheck extends Check, Content {
  readonly symbols: Readonly<Record<string, number>>
  readonly pages: number
}

export type Request =
  /** A module over a memory of so many pages. */
  | {
      readonly kind: "load"
      readonly module: Uint8Array
      readonly symbols: Readonly<Record<string, number>>
      readonly pages: number
    }
  /** What memory holds before the next timing. */
  | ({ readonly kind: "place" } & Content)
  /**
   * For each of the checks, until the code stops by itself: makes the call for all units; and for each order, from the same
   * memory again, those for units in pieces, each with scratch memory as it was placed, as threads of their own would: their
   * results must be the same.
   */
  | { readonly kind: "check"; readonly checks: ReadonlyArray<Check & Content> }
  /** The code that is loaded, at each of these sizes, until it is wrong. */
  | { readonly kind: "sizes"; readonly checks: ReadonlyArray<SizedCheck> }
  /** So many calls, the lists in turn; nanoseconds. */
  | { readonly kind: "time"; readonly calls: ReadonlyArray<Call>; readonly iterations: number }

/** What can be seen in memory without knowing what results must be. */
export interface Findings {
  /** Address of a byte that is another than before, and neither of a result nor of scratch memory. */
  readonly stray?: number
  /** An element of a written block (by number) that is as it was. */
  readonly unwritten?: { readonly block: number; readonly element: number }
  /** Address of a byte that is another when the units come in pieces. */
  readonly different?: number
  /** The code stopped by itself when the units came in pieces. */
  readonly trap?: string
}

export type Answer =
  | { readonly kind: "ready" }
  /** `results`: the written blocks, as the call for all units left them. */
  | { readonly kind: "checked"; readonly results: ReadonlyArray<Uint8Array>; readonly findings: Findings }
  /** An answer for each of the checks, up to the first that is no result. */
  | { readonly kind: "examined"; readonly answers: ReadonlyArray<Answer> }
  | { readonly kind: "timed"; readonly nanoseconds: number }
  /** `trap`: the code stopped by itself; `refused`: it cannot be compiled. */
  | { readonly kind: "trap" | "refused"; readonly detail: string }
