/**
 * ThreadProtocol: what the calling thread and its workers say to each other: words of shared memory for runs, messages for
 * everything else. The words lie in a memory of the pool's own, never in that of an engine: workers serve many engines.
 */
import type { Memory, Module } from "./WebAssembly.ts"

/** Places of the words; those that different threads write lie in different cache lines. */
export const Word = {
  /** Goes up with each order. */
  epoch: 0,
  /** 0: go and take messages; 1: run. */
  command: 1,
  program: 2,
  part: 3,
  table: 4,
  arena: 5,
  scratch: 6,
  /** Bytes from one thread's scratch memory to the next. */
  stride: 7,
  threads: 8,
  /** Address of the run's `Failure` words, in the memory of its engine: generated code looks there. */
  failure: 9,
  /** Workers that have finished the order. */
  done: 32,
  /** Workers that sleep until the epoch changes. */
  sleepers: 48
} as const

/** Words in all. */
export const words = 64

/** Words of an engine's memory. */
export const Failure = {
  /** 0: all is well; n: thread n − 1 has stopped; −1: one did not come. */
  failed: 0,
  step: 1
} as const

export const failureWords = 2

export type ToWorker =
  | { readonly kind: "begin"; readonly control: SharedArrayBuffer; readonly thread: number }
  | { readonly kind: "load"; readonly program: number; readonly module: Module; readonly memory: Memory }
  | { readonly kind: "forget"; readonly programs: ReadonlyArray<number> }
  /** Waits for orders after this epoch. */
  | { readonly kind: "arm"; readonly epoch: number }
