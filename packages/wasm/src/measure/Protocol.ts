/**
 * Protocol: what a worker that runs candidates is asked, and what it answers. Plain data, so that it can be posted.
 */

/** One call of a kernel: its arguments, the last two (`begin`, `end`) included. */
export type Call = ReadonlyArray<number>

export type Request =
  /** A module over a memory that begins as `image`: whole pages, shared, which nobody changes. */
  | {
      readonly kind: "load"
      readonly module: Uint8Array
      readonly image: Uint8Array
      readonly symbols: Readonly<Record<string, number>>
    }
  /** Makes the calls and gives the memory back, as it is after them. */
  | { readonly kind: "check"; readonly calls: ReadonlyArray<Call> }
  /** So many calls, the lists in turn; nanoseconds. */
  | { readonly kind: "time"; readonly calls: ReadonlyArray<Call>; readonly iterations: number }

export type Answer =
  | { readonly kind: "loaded" }
  | { readonly kind: "checked"; readonly memory: Uint8Array }
  | { readonly kind: "timed"; readonly nanoseconds: number }
  /** `trap`: the code stopped by itself; `refused`: it cannot be compiled. */
  | { readonly kind: "trap" | "refused"; readonly detail: string }
