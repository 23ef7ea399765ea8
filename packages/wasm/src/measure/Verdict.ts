/**
 * Verdict: what is wrong with the memory that a candidate leaves: something written that is not a result, a result that is
 * not what the definition says, an element that was not written.
 */
import type { TypedArray } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Numbers from "@anneal/ir/Numbers"
import type { Region } from "@anneal/lower/Region"
import * as Regions from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import type { Rejected } from "@anneal/pipeline/Measurer"
import * as Measurer from "@anneal/pipeline/Measurer"
import type * as Schema from "effect/Schema"
import type * as Draw from "./Draw.ts"
import type { Setup } from "./Placing.ts"
import { fill, zone } from "./Placing.ts"
import type { Expected } from "./RegionOracle.ts"
import * as RegionOracle from "./RegionOracle.ts"
import type { Subject, Trial } from "./Trial.ts"

export const rejected = (reason: Rejected["reason"], detail: string, evidence: Schema.Json = null): Rejected =>
  new Measurer.Rejected({ reason, detail, evidence })

/** Runs of elements that lie one after another in a view. */
const eachRun = (view: View, size: Trial["size"], visit: (at: number, count: number) => void): void => {
  const shape = view.shape.map(size)
  const strides = view.strides.map(size)
  let count = 1
  let axes = shape.length
  while (axes > 0 && (shape[axes - 1] === 1 || strides[axes - 1] === count)) count *= shape[--axes] ?? 1
  RegionOracle.eachAddress(
    { ...view, shape: view.shape.slice(0, axes), strides: view.strides.slice(0, axes) },
    size,
    (at) => visit(at, count)
  )
}

/** `memory` with everything as it was in `start` but the results and scratch: what a right kernel leaves. */
/** The first byte that differs; undefined: none. */
export const firstDifference = (a: Uint8Array, b: Uint8Array): number | undefined => {
  if (Buffer.compare(a, b) === 0) return undefined
  const at = a.findIndex((byte, place) => byte !== b[place])
  return at < 0 ? undefined : at
}

/** The first byte that is another than before, and neither of a result nor of scratch memory. */
const strayByte = (trial: Trial, region: Region, made: Setup, memory: Uint8Array): number | undefined => {
  const { image } = made.request
  /** Per buffer that is written: what it may look like, in its own bytes. */
  const allowed = new Map<string, { readonly address: number; readonly bytes: Uint8Array }>()
  for (const view of Regions.writes(region)) {
    const block = view === null ? undefined : made.blocks.get(view.buffer)
    if (view === null || block === undefined) continue
    const { address, bytes } = block
    const own = allowed.get(view.buffer) ?? { address, bytes: image.slice(address, address + bytes) }
    allowed.set(view.buffer, own)
    const width = DTypes.slotBytes(view.dtype)
    eachRun(view, trial.size, (at, count) => {
      const [from, to, length] = [address + at * width, at * width, count * width]
      // Results that lie apart are many short runs.
      if (length > 32) own.bytes.set(memory.subarray(from, from + length), to)
      else for (let byte = 0; byte < length; byte++) own.bytes[to + byte] = memory[from + byte] ?? 0
    })
  }
  const { address, bytes } = made.scratch
  const parts = [...allowed.values(), { address, bytes: memory.subarray(address, address + bytes) }]
  let from = 0
  const untilOf = (until: number): number | undefined => {
    const at = firstDifference(image.subarray(from, until), memory.subarray(from, until))
    return at === undefined ? undefined : from + at
  }
  for (const part of parts.toSorted((a, b) => a.address - b.address)) {
    const stray = untilOf(part.address)
    if (stray !== undefined) return stray
    from = part.address + part.bytes.length
    const at = firstDifference(part.bytes, memory.subarray(part.address, from))
    if (at !== undefined) return part.address + at
  }
  return untilOf(memory.length)
}

const describeNumber = (value: number | bigint): Schema.Json =>
  typeof value === "bigint" || !Number.isFinite(value) ? String(value) : value

/** The first thing that is wrong with what a candidate wrote. */
export const wrong = (
  subject: Subject,
  trial: Trial,
  made: Setup,
  memory: Uint8Array,
  expected: ReadonlyArray<Expected>,
  kind: Draw.Kind
): Rejected | undefined => {
  const { program, region } = subject
  const stray = strayByte(trial, region, made, memory)
  if (stray !== undefined) {
    const inside = [...made.blocks].find(
      ([, { address, bytes }]) => stray >= address - zone && stray < address + bytes + zone
    )
    const where =
      inside === undefined ? "outside of all buffers" : `${stray - inside[1].address} bytes into %${inside[0]}`
    return rejected("StrayWrite", `it wrote ${where}, which it has no business with`, { address: stray, draw: kind })
  }
  const views = new Map<string, TypedArray>()
  const foundAt = (buffer: string, at: number): number | bigint => {
    const block = made.blocks.get(buffer)
    const dtype = program.buffers.get(buffer)?.dtype
    if (block === undefined || dtype === undefined) return NaN
    const slot = DTypes.slotBytes(dtype)
    const view =
      views.get(buffer) ??
      DTypes.view(
        dtype,
        Uint8Array.from(memory.subarray(block.address, block.address + block.bytes)).buffer,
        0,
        block.bytes / slot
      )
    views.set(buffer, view)
    if (view instanceof BigInt64Array || view instanceof BigUint64Array) return view[at] ?? 0n
    if (DTypes.isNarrowFloat(dtype))
      return Numbers.toNumbers({ dtype, shape: [1], data: view.subarray(at, at + 1) })[0] ?? NaN
    return view[at] ?? NaN
  }
  for (const { at, bound, buffer, value } of expected) {
    const found = foundAt(buffer, at)
    if (found === value || (found !== found && value !== value)) continue
    const evidence: Schema.Json = {
      buffer,
      element: at,
      expected: describeNumber(value),
      found: describeNumber(found),
      bound: describeNumber(bound),
      draw: kind
    }
    const [a, b] = [Number(found), Number(value)]
    if (!Number.isFinite(a) && Number.isFinite(b) && Number.isFinite(bound))
      return rejected("NotFinite", `element ${at} of %${buffer} is ${a}, it should be ${b}`, evidence)
    if (bound === Infinity || Math.abs(a - b) <= bound) continue
    return rejected("Wrong", `element ${at} of %${buffer} is ${a}, it should be ${b} within ${bound}`, evidence)
  }
  return undefined
}

/** The first element that both runs left as it was: nobody wrote it. */
export const unwritten = (region: Region, trial: Trial, made: Setup, memory: Uint8Array): Rejected | undefined => {
  const read = new Set(Regions.reads(region).flatMap((view) => (view === null ? [] : [view.buffer])))
  let found: Rejected | undefined
  for (const view of Regions.writes(region)) {
    const block = view === null ? undefined : made.blocks.get(view.buffer)
    if (view === null || block === undefined || read.has(view.buffer)) continue
    const width = DTypes.slotBytes(view.dtype)
    // One byte of the pattern may be a right result; four in a row are not, often enough to matter.
    if (width < 4) continue
    eachRun(view, trial.size, (at, count) => {
      if (found !== undefined) return
      const begin = block.address + at * width
      // Most runs hold no byte of the pattern at their elements' begin.
      for (let element = 0; element < count; element++) {
        const byte = begin + element * width
        if (memory[byte] !== fill || memory[byte + 1] !== fill || memory[byte + 2] !== fill) continue
        let whole = true
        for (let rest = 3; whole && rest < width; rest++) whole = memory[byte + rest] === fill
        if (!whole) continue
        const evidence = { buffer: view.buffer, element: at + element }
        found = rejected("Wrong", `element ${at + element} of %${view.buffer} was not written`, evidence)
        return
      }
    })
  }
  return found
}
