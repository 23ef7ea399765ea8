/**
 * ThreadProtocol: what the calling thread and its workers say to each other: words of shared memory for runs, messages for
 * everything else.
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
  /** 0: all is well; n: thread n − 1 has stopped; −1: one did not come. */
  failed: 16,
  failedStep: 17,
  /** Workers that have finished the run. */
  done: 32,
  /** Workers that sleep until the epoch changes. */
  sleepers: 48
} as const

/** Words in all. */
export const words = 64

export type ToWorker =
  | { readonly kind: "begin"; readonly memory: Memory; readonly control: number; readonly thread: number }
  /** The next program; programs are numbered as they come. */
  | { readonly kind: "load"; readonly module: Module }
  /** Waits for orders after this epoch. */
  | { readonly kind: "arm"; readonly epoch: number }
