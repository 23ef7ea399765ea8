/**
 * Walker: puts constants into their packed order, in WebAssembly of its own: a host's loops are interpreted while an engine
 * loads. A walk is a list of records, a level of its loops each, outermost first, and a cell for the coordinate of each axis:
 *
 *   walk(record, levels, to, from)      bytes; record: size, step, stride, span, extent, cell
 *
 * A level makes `size` steps, fewer where its coordinate leaves the axis: `stride` further in the constant, `span` in the
 * packed form, `step` along the axis.
 */
import { bytesOf } from "./Features.ts"
import type { Walk } from "./Packing.ts"
import { withSharedMemory } from "./SharedImport.ts"
import type { Memory } from "./WebAssembly.ts"
import { host } from "./WebAssembly.ts"

/** Bytes of an element. */
export const width = 4
/** 32-bit words of a level. */
const recordWords = 6

/** Puts a walk's packed form to `to`, which holds zeros where nothing goes; `from`: the constant. Bytes. */
export type Walker = (walk: Walk, to: number, from: number) => void

/** Bytes of the table that a walk needs. */
export const tableBytes = ({ digits, extents }: Walk): number => 4 * (recordWords * digits.length + extents.length)

/** Written by `ModuleBuilder` in the test. */
export const module =
  "0061736d0100000001080160047f7f7f7f0002120103656e76066d656d6f7279020100808004030201000708010477616c6b00000a8c0201890201097f20002802082104200028021421052005280200210620002802042107200028021020066b2108200841004c04400f0b20002802002109200820076a41016b20076e210a200a20094b04402009210a0b200141014604402004410446044002400340200a4104490d0120022003fd000400fd0b0400200241106a2102200341106a2103200a41046b210a0c000b0b200a4504400f0b0b034020022003280200360200200241046a2102200320046a2103200a41016b220a0d000b05200028020c210b2006210c03402005200c360200200041186a200141016b2002200310002002200b6a2102200320046a2103200c20076a210c200a41016b220a0d000b200520063602000b0b"

/** Over this memory, with a table at `table`, of the largest walk's bytes. */
export const make = (memory: Memory, shared: boolean, table: number): Walker => {
  const bytes = bytesOf(module)
  const compiled = new host.Module(shared ? withSharedMemory(bytes) : bytes)
  const { walk } = new host.Instance(compiled, { env: { memory } }).exports
  if (typeof walk !== "function") throw new Error("the module for walks exports no walk")
  return ({ digits, extents, offset, strides }, to, from) => {
    const words = new Int32Array(memory.buffer, table)
    const begin = from + width * offset
    if (digits.length === 0) {
      words[to / width - table / width] = words[begin / width - table / width] ?? 0
      return
    }
    const cells = recordWords * digits.length
    words.fill(0, cells, cells + extents.length)
    let span = width
    for (let level = digits.length - 1; level >= 0; level--) {
      const { axis = 0, size = 0, step = 1 } = digits[level] ?? {}
      const stride = width * step * (strides[axis] ?? 0)
      words.set([size, step, stride, span, extents[axis] ?? 1, table + 4 * (cells + axis)], recordWords * level)
      span *= size
    }
    walk(table, digits.length, to, begin)
  }
}
