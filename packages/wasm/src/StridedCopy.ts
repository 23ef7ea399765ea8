/**
 * StridedCopy: rows of 32-bit elements from one place of a memory to another, with a distance of their own between rows and
 * between elements. Weights are put into a kernel's order by it: the host's own loops are interpreted while an engine loads.
 *
 *   copy(to, from, rows, rowStep, count, step, pitch)   bytes;  to[r·pitch + 4·i] = from[r·rowStep + i·step]
 */
import { bytesOf } from "./Features.ts"
import { withSharedMemory } from "./SharedImport.ts"
import type { Memory } from "./WebAssembly.ts"
import { host } from "./WebAssembly.ts"

/** Addresses and distances in bytes; at least one row and one element. */
export type StridedCopy = (
  to: number,
  from: number,
  rows: number,
  rowStep: number,
  count: number,
  step: number,
  pitch: number
) => void

/** Written by `ModuleBuilder` in the test. */
export const module =
  "0061736d01000000010b0160077f7f7f7f7f7f7f0002120103656e76066d656d6f72790201008080040302010007080104636f707900000a52015001037f03402000210720012108200020044102746a2109034020072008280200360200200820056a2108200741046a22072009490d000b200020066a2100200120036a2101200241016b22020d000b0b"

/** Over this memory. */
export const make = (memory: Memory, shared: boolean): StridedCopy => {
  const bytes = bytesOf(module)
  const compiled = new host.Module(shared ? withSharedMemory(bytes) : bytes)
  const { copy } = new host.Instance(compiled, { env: { memory } }).exports
  if (typeof copy !== "function") throw new Error("the module for copies exports no copy")
  return (...args) => void copy(...args)
}
