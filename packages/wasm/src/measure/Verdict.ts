/**
 * Verdict: what is wrong with a candidate, in words: something written that is not a result, a result that is not what the
 * definition says, an element that was not written.
 */
import type { Bindings } from "@anneal/ir/Bind"
import type { DType, TypedArray } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Numbers from "@anneal/ir/Numbers"
import type { Program } from "@anneal/lower/Program"
import type { Rejected } from "@anneal/pipeline/Measurer"
import * as Measurer from "@anneal/pipeline/Measurer"
import type * as Schema from "effect/Schema"
import type * as Draw from "./Draw.ts"
import type { Exam } from "./Exams.ts"
import type { Output, Setup } from "./Placing.ts"
import { zone } from "./Placing.ts"
import type { Answer } from "./Protocol.ts"
import type { Subject } from "./Trial.ts"

export const rejected = (reason: Rejected["reason"], detail: string, evidence: Schema.Json = null): Rejected =>
  new Measurer.Rejected({ reason, detail, evidence })

const describeNumber = (value: number | bigint): Schema.Json =>
  typeof value === "bigint" || !Number.isFinite(value) ? String(value) : value

const strayWrite = (stray: number, { blocks }: Setup, kind: Draw.Kind): Rejected => {
  const inside = [...blocks].find(([, { address, bytes }]) => stray >= address - zone && stray < address + bytes + zone)
  const where =
    inside === undefined ? "outside of all buffers" : `${stray - inside[1].address} bytes into %${inside[0]}`
  return rejected("StrayWrite", `it wrote ${where}, which it has no business with`, { address: stray, draw: kind })
}

/** Elements of the results, by value. */
const reader = (program: Program, outputs: ReadonlyArray<Output>, results: ReadonlyArray<Uint8Array>) => {
  const views = new Map<string, { readonly dtype: DType; readonly data: TypedArray }>()
  for (const [place, { buffer, slot }] of outputs.entries()) {
    const [bytes, dtype] = [results[place], program.buffers.get(buffer)?.dtype]
    if (bytes !== undefined && dtype !== undefined)
      views.set(buffer, { dtype, data: DTypes.view(dtype, bytes.buffer, bytes.byteOffset, bytes.length / slot) })
  }
  return (buffer: string, at: number): number | bigint => {
    const found = views.get(buffer)
    if (found === undefined) return NaN
    const { data, dtype } = found
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) return data[at] ?? 0n
    if (DTypes.isNarrowFloat(dtype))
      return Numbers.toNumbers({ dtype, shape: [1], data: data.subarray(at, at + 1) })[0] ?? NaN
    return data[at] ?? NaN
  }
}

/** The first result that is not what the definition says. */
const wrong = (
  program: Program,
  outputs: ReadonlyArray<Output>,
  { expected, kind }: Exam,
  results: ReadonlyArray<Uint8Array>
): Rejected | undefined => {
  const read = reader(program, outputs, results)
  for (const { at, bound, buffer, value } of expected) {
    const found = read(buffer, at)
    if (found === value || (found !== found && value !== value)) continue
    const [a, b] = [Number(found), Number(value)]
    const bounded = Number.isFinite(a) || !Number.isFinite(b) || !Number.isFinite(bound)
    if (bounded && (bound === Infinity || Math.abs(a - b) <= bound)) continue
    const evidence: Schema.Json = {
      buffer,
      element: at,
      expected: describeNumber(value),
      found: describeNumber(found),
      bound: describeNumber(bound),
      draw: kind
    }
    return bounded
      ? rejected("Wrong", `element ${at} of %${buffer} is ${a}, it should be ${b} within ${bound}`, evidence)
      : rejected("NotFinite", `element ${at} of %${buffer} is ${a}, it should be ${b}`, evidence)
  }
  return undefined
}

/** The first thing that is wrong with what a candidate did; undefined: it is right. */
export const of = (
  { program }: Subject,
  made: Setup,
  outputs: ReadonlyArray<Output>,
  exam: Exam,
  { findings, results }: Extract<Answer, { readonly kind: "checked" }>
): Rejected | undefined => {
  const { different, stray, trap, unwritten } = findings
  if (stray !== undefined) return strayWrite(stray, made, exam.kind)
  const problem = wrong(program, outputs, exam, results)
  if (problem !== undefined) return problem
  if (unwritten !== undefined) {
    const { buffer } = outputs[unwritten.block] ?? { buffer: "?" }
    const { element } = unwritten
    return rejected("Wrong", `element ${element} of %${buffer} was not written`, { buffer, element })
  }
  if (trap !== undefined) return rejected("Trap", `units one by one: ${trap}`, { draw: exam.kind })
  if (different === undefined) return undefined
  const where = [...made.blocks].find(([, { address, bytes }]) => different >= address && different < address + bytes)
  const at = where === undefined ? "" : ` from byte ${different - where[1].address} of %${where[0]}`
  return rejected("Wrong", `units one by one give other results${at}: threads would disturb each other`, {
    address: different,
    draw: exam.kind
  })
}

/** What is wrong at these sizes. */
export const atSizes = ({ detail, evidence, reason }: Rejected, sizes: Bindings): Rejected =>
  rejected(reason, `at ${[...sizes].map(([name, size]) => `${name} = ${size}`).join(", ")}: ${detail}`, {
    sizes: Object.fromEntries(sizes),
    found: evidence
  })
