/**
 * MemoryPlan: where the buffers of a program lie in the arena, for given sizes.
 *
 *   a lives in steps 0 … 2, b in 1 … 4, c in 3 … 5   ⇒   a at 0, b after a, c at 0 again
 *
 * Greedy (Pisarchyk and Lee 2020, "Efficient Memory Management for Deep Neural Net Inference"): one buffer after another,
 * in a few orders (the largest first, the longest first, …), each into the smallest gap that is free during its life. The best
 * order is then repaired: what lies highest goes first. The smallest plan is kept. The lower bound is the largest sum of buffers
 * that live at once; no plan can need less.
 */
import type { Bindings } from "@anneal/ir/Bind"
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Buffer, Program, Step } from "./Program.ts"
import * as Regions from "./Region.ts"
import type { View } from "./View.ts"

/** Steps in which a buffer is in use, both ends included, in the order of `flatten`. */
export interface Life {
  readonly first: number
  readonly last: number
}

export interface Placement {
  readonly buffer: string
  /** Bytes from the arena's begin. */
  readonly offset: number
  readonly bytes: number
  readonly life: Life
}

export interface MemoryPlan {
  readonly placements: ReadonlyMap<string, Placement>
  /** What steps need while they run, in the order of `flatten`; undefined: nothing. */
  readonly scratch: ReadonlyArray<Placement | undefined>
  /** Bytes of the arena. */
  readonly peak: number
  /** Bytes of the buffers that live at once, at the worst step. */
  readonly lowerBound: number
  /** That step. */
  readonly worst: number
  /** Number of steps. */
  readonly steps: number
}

/** A size that the bindings do not decide. */
export class UnboundSize extends Error {
  override readonly name = "UnboundSize"
  constructor(buffer: string, size: Dim.Dim) {
    super(`the size of %${buffer}, ${Dim.format(size)}, is not decided by the shapes of the inputs`)
  }
}

/** Every step, those of branches after the branch, in order. */
export const flatten = (steps: ReadonlyArray<Step>): ReadonlyArray<Step> =>
  steps.flatMap((step) =>
    step.kind === "branch" ? [step, ...flatten(step.whenTrue), ...flatten(step.whenFalse)] : [step]
  )

const isView = (one: View | { readonly host: string } | null): one is View => one !== null && "buffer" in one

/** The views that a step touches itself (a branch: its condition; its steps come after it). */
export const touches = (step: Step): ReadonlyArray<View> => {
  switch (step.kind) {
    case "region":
      return [...Regions.reads(step.region), ...Regions.writes(step.region)].filter(isView)
    case "branch":
      return [step.condition]
    case "host":
      return [...step.operands, ...step.results].filter(isView)
  }
}

/**
 * When each buffer of the arena is in use. A value that is made before a branch and used in it lives to the branch's end:
 * only one side runs, and what comes after must still find it. Inputs live from the begin, outputs to the end.
 */
export const lives = (program: Program): ReadonlyMap<string, Life> => {
  const found = new Map<string, Life>()
  const use = (buffer: string, place: number): void => {
    const known = found.get(buffer)
    found.set(buffer, {
      first: Math.min(known?.first ?? place, place),
      last: Math.max(known?.last ?? place, place)
    })
  }
  let place = 0
  const visit = (steps: ReadonlyArray<Step>): void => {
    for (const step of steps) {
      for (const { buffer } of touches(step)) use(buffer, place)
      place++
      if (step.kind !== "branch") continue
      const before = new Set(found.keys())
      visit(step.whenTrue)
      visit(step.whenFalse)
      // What both sides write, and what was there before, must not be given away between the sides.
      const both = writtenBy(step.whenTrue)
      for (const buffer of writtenBy(step.whenFalse)) if (both.has(buffer)) use(buffer, place - 1)
      for (const buffer of before) if ((found.get(buffer)?.last ?? 0) >= place) use(buffer, place - 1)
    }
  }
  visit(program.steps)
  for (const view of program.inputs) use(view.buffer, 0)
  for (const view of program.outputs) if (isView(view)) use(view.buffer, Math.max(place - 1, 0))
  return new Map([...found].filter(([buffer]) => program.buffers.get(buffer)?.kind !== "constant"))
}

const writtenBy = (steps: ReadonlyArray<Step>): ReadonlySet<string> => {
  const written = new Set<string>()
  for (const step of flatten(steps)) {
    const views =
      step.kind === "region" ? Regions.writes(step.region) : step.kind === "host" ? step.results : ([] as const)
    for (const view of views) if (isView(view)) written.add(view.buffer)
  }
  return written
}

export const bytesOf = (buffer: Buffer, bindings: Bindings): number => {
  const count = Dim.evaluate(buffer.size, bindings)
  if (count === undefined) throw new UnboundSize(buffer.id, buffer.size)
  return count * DTypes.slotBytes(buffer.dtype)
}

export interface PlanOptions {
  /** Bytes; a power of two. Vectors load past a buffer's end at most up to it. Default 64. */
  readonly alignment?: number
  /** Buffers that lie elsewhere (the caller's own memory); they take no place in the arena. */
  readonly elsewhere?: ReadonlySet<string>
  /** Bytes that a step needs while it runs, and nobody before and after it. Default: none. */
  readonly scratch?: (step: Step) => number
}

const overlaps = (a: Life, b: Life): boolean => a.first <= b.last && b.first <= a.last

/** The plan at given sizes. Throws `UnboundSize`. */
export const plan = (program: Program, bindings: Bindings, options: PlanOptions = {}): MemoryPlan => {
  const alignment = options.alignment ?? 64
  const rounded = (bytes: number): number => Math.ceil(bytes / alignment) * alignment
  const values = [...lives(program)].flatMap(([id, life]): ReadonlyArray<Wanted> => {
    const buffer = program.buffers.get(id)
    if (buffer === undefined || options.elsewhere?.has(id) === true) return []
    return [{ buffer: id, life, bytes: bytesOf(buffer, bindings) }]
  })
  const inOrder = flatten(program.steps)
  const scratch = inOrder.map((step, place): Wanted | undefined => {
    const bytes = options.scratch?.(step) ?? 0
    return bytes === 0 ? undefined : { buffer: `step ${place}`, life: { first: place, last: place }, bytes }
  })
  const placed = best([...values, ...scratch.filter((one) => one !== undefined)], rounded)
  const places = new Map(placed.map(({ wanted, ...one }) => [wanted, one]))
  const steps = inOrder.length
  const alive = new Array<number>(Math.max(steps, 1)).fill(0)
  for (const { bytes, life } of placed)
    for (let step = life.first; step <= life.last; step++) alive[step] = (alive[step] ?? 0) + bytes
  const lowerBound = Math.max(...alive)
  return {
    placements: new Map(
      values.flatMap((one) => {
        const place = places.get(one)
        return place === undefined ? [] : [[one.buffer, place] as const]
      })
    ),
    scratch: scratch.map((one) => (one === undefined ? undefined : places.get(one))),
    peak: placed.reduce((peak, { bytes, offset }) => Math.max(peak, offset + rounded(bytes)), 0),
    lowerBound,
    worst: alive.indexOf(lowerBound),
    steps
  }
}

type Wanted = Pick<Placement, "buffer" | "bytes" | "life">

const span = ({ life }: Wanted): number => life.last - life.first + 1

/** Which buffer is placed first; what comes later takes the gaps. Ties by name: a plan depends on nothing but the program. */
const orders: ReadonlyArray<(a: Wanted, b: Wanted) => number> = [
  (a, b) => b.bytes - a.bytes,
  (a, b) => b.bytes * span(b) - a.bytes * span(a),
  (a, b) => span(b) - span(a) || b.bytes - a.bytes,
  (a, b) => a.life.first - b.life.first || b.bytes - a.bytes,
  (a, b) => b.life.last - a.life.last || b.bytes - a.bytes
]

type Placed = Placement & { readonly wanted: Wanted }

interface Packing {
  readonly order: ReadonlyArray<Wanted>
  readonly placed: ReadonlyArray<Placed>
  readonly peak: number
}

/** Pairs of buffers that repairs may look at: some milliseconds. */
const mostPairs = 2_000_000
const mostRepairs = 64

/** The smallest of the plans that are tried; the first of equals. By address. */
const best = (wanted: ReadonlyArray<Wanted>, rounded: (bytes: number) => number): ReadonlyArray<Placed> => {
  const pack = (order: ReadonlyArray<Wanted>): Packing => {
    const placed: Array<Placed> = []
    for (const one of order) placed.push({ ...one, offset: gapFor(one, placed, rounded), wanted: one })
    const peak = placed.reduce((most, { bytes, offset }) => Math.max(most, offset + rounded(bytes)), 0)
    return { order, placed, peak }
  }
  const smaller = (a: Packing, b: Packing): Packing => (b.peak < a.peak ? b : a)
  let found = orders
    .map((order) => pack([...wanted].sort((a, b) => order(a, b) || (a.buffer < b.buffer ? -1 : 1))))
    .reduce(smaller)
  let last = found
  const repairs = Math.min(mostRepairs, Math.floor(mostPairs / (wanted.length * wanted.length + 1)))
  for (let repair = 0; repair < repairs; repair++) {
    const highest = last.placed.find(({ bytes, offset }) => offset > 0 && offset + rounded(bytes) === last.peak)
    if (highest === undefined) break
    last = pack([highest.wanted, ...last.order.filter((one) => one !== highest.wanted)])
    found = smaller(found, last)
  }
  return found.placed.toSorted((a, b) => a.offset - b.offset)
}

/** The lowest place among the smallest gaps that are free during the buffer's life. */
const gapFor = (
  { bytes, life }: Pick<Placement, "bytes" | "life">,
  placed: ReadonlyArray<Placement>,
  rounded: (bytes: number) => number
): number => {
  const rivals = placed.filter((other) => overlaps(life, other.life)).sort((a, b) => a.offset - b.offset)
  let best: { readonly offset: number; readonly size: number } | undefined
  let end = 0
  for (const rival of rivals) {
    const size = rival.offset - end
    if (size >= rounded(bytes) && (best === undefined || size < best.size)) best = { offset: end, size }
    end = Math.max(end, rival.offset + rounded(rival.bytes))
  }
  return best?.offset ?? end
}

/**
 * The plan as text: a line for each range of addresses, a column for each step (or several steps, where there are many),
 * `#` where the range is in use.
 */
export const picture = (
  plan: MemoryPlan,
  size: { readonly lines: number; readonly columns: number } = { lines: 16, columns: 72 }
): string => {
  const columns = Math.max(1, Math.min(size.columns, plan.steps))
  const lines = Math.max(1, size.lines)
  const height = Math.max(1, plan.peak / lines)
  const rows: Array<string> = []
  const everything = [...plan.placements.values(), ...plan.scratch.filter((one) => one !== undefined)]
  for (let line = lines - 1; line >= 0; line--) {
    const [low, high] = [line * height, (line + 1) * height]
    let cells = ""
    for (let column = 0; column < columns; column++) {
      const first = Math.floor((column * plan.steps) / columns)
      const last = Math.max(first, Math.ceil(((column + 1) * plan.steps) / columns) - 1)
      const used = everything.some(
        ({ bytes, life, offset }) =>
          bytes > 0 && offset < high && offset + bytes > low && overlaps(life, { first, last })
      )
      cells += used ? "#" : "·"
    }
    rows.push(`${Math.round(low).toString().padStart(11)} ${cells}`)
  }
  const ratio = plan.lowerBound === 0 ? 1 : plan.peak / plan.lowerBound
  return [
    `arena ${plan.peak} bytes, ${ratio.toFixed(3)} of the lower bound ${plan.lowerBound} (at step ${plan.worst} of ${plan.steps})`,
    ...rows
  ].join("\n")
}
