/**
 * Draw: contents of the buffers that a region reads: random numbers of the kind that networks hold, or edges (zeros of both
 * signs, tiny and large ones, the ends of integer types), by seed.
 */
import * as Constants from "@anneal/ir/Constant"
import type { DType, TypedArray } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Dim } from "@anneal/ir/Dim"
import * as Float from "@anneal/ir/Float"
import * as Numbers from "@anneal/ir/Numbers"
import type * as Interpret from "@anneal/lower/Interpret"
import type { Program } from "@anneal/lower/Program"
import type { Region } from "@anneal/lower/Region"
import * as Regions from "@anneal/lower/Region"
import type { Range } from "./IndexRanges.ts"
import * as IndexRanges from "./IndexRanges.ts"
import * as Recorded from "./Recorded.ts"

/** `calibration`: what was recorded of the user's data, and random where nothing was. */
export type Kind = "random" | "edges" | "calibration"

/** Uniform in [0, 1): mulberry32. */
export const generator = (seed: number): (() => number) => {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Ranges by number of the read: indices are inside what they index, integers of products where more is known of them. */
const rangesOf = (region: Region, size: (dim: Dim) => number): ReadonlyMap<number, Range> => {
  const first = region.kind === "contraction" || region.kind === "convolution" ? 2 : region.kind === "window" ? 1 : 0
  const found = new Map(IndexRanges.of(region, Regions.expressions(region), first, size))
  if (region.kind === "contraction" || region.kind === "convolution")
    for (const [read, range] of [region.ranges?.a, region.ranges?.b].entries())
      if (range !== undefined) found.set(read, { least: range[0], greatest: range[1] })
  return found
}

/** Elements by value: as they are, or float64. */
export type Elements = Interpret.Elements | Float32Array

/** A view with every dim as a number. */
export interface Placed extends Omit<Interpret.Placed, "data"> {
  readonly data: Elements
}

export interface Drawn {
  readonly dtype: DType
  /** As it lies in memory: shared, to be posted to any number of workers without a copy, unless it is the model's own. */
  readonly data: TypedArray
  readonly elements: Elements
}

const elementsOf = (dtype: DType, data: TypedArray): Elements =>
  data instanceof BigInt64Array || data instanceof BigUint64Array || data instanceof Float32Array
    ? data
    : Numbers.toNumbers({ dtype, shape: [data.length], data })

/** Room for so many elements, shared. */
const allocate = (dtype: DType, length: number): TypedArray =>
  DTypes.view(dtype, new SharedArrayBuffer(length * DTypes.slotBytes(dtype)), 0, length)

const mostFresh = 65_521
const edgeFloats = [0, -0, 1, -1, 0.5, -0.5, 1e-3, -1e-3, 1e-30, -1e-30, 1e-42, 3, -7, 100, -100, 1000, -1e4, 88, -88]

const float = (kind: Kind, random: () => number): number => {
  if (kind === "edges" && random() < 0.7) return edgeFloats[Math.floor(random() * edgeFloats.length)] ?? 0
  // The sum of four is near enough to normal.
  return (random() + random() + random() + random() - 2) * 1.7
}

/**
 * At least so many floats of a kind, in shared memory: drawn once for all buffers, which are pieces of it that begin at
 * different places. Beyond `mostFresh` they come again.
 */
export type Pool = (kind: Kind, length: number) => Float32Array

export const pool = (): Pool => {
  const known = new Map<Kind, Float32Array>()
  return (kind, length) => {
    const found = known.get(kind)
    if (found !== undefined && found.length >= length) return found
    const made = new Float32Array(new SharedArrayBuffer(4 * Math.max(mostFresh, length)))
    const fresh = found ?? new Float32Array(mostFresh)
    if (found === undefined) {
      const random = generator(7)
      for (let i = 0; i < mostFresh; i++) fresh[i] = float(kind, random)
    }
    made.set(fresh)
    // Whole rounds only, so that what comes again does so at the same distance.
    repeat(made, fresh.length - (fresh.length % mostFresh))
    known.set(kind, made)
    return made
  }
}

/** `data` with what it holds up to `fresh` again and again. */
const repeat = (data: TypedArray, fresh: number): void => {
  const { length } = data
  for (let filled = fresh; filled < length; filled *= 2) data.copyWithin(filled, 0, Math.min(filled, length - filled))
}

const drawFloats = (kind: Kind, length: number, from: Pool, random: () => number): Float32Array => {
  const begin = Math.floor(random() * mostFresh)
  return from(kind, begin + length).subarray(begin, begin + length)
}

const draw = (dtype: DType, length: number, kind: Kind, range: Range | undefined, random: () => number): TypedArray => {
  const data = allocate(dtype, length)
  const pick = (): number => {
    if (range !== undefined) return range.least + Math.floor(random() * (range.greatest - range.least + 1))
    if (dtype === "bool") return random() < 0.5 ? 0 : 1
    if (DTypes.isFloat(dtype)) return float(kind, random)
    const { max, min } = DTypes.integerRange(dtype)
    if (DTypes.bits(dtype) <= 8) {
      const [least, greatest] = [Number(min), Number(max)]
      if (kind === "edges" && random() < 0.5) return random() < 0.5 ? least : greatest
      return least + Math.floor(random() * (greatest - least + 1))
    }
    const reach = kind === "edges" && random() < 0.2 ? 2 ** 31 - 1 : 100
    const value = Math.floor((2 * random() - 1) * reach)
    return DTypes.isSigned(dtype) ? value : Math.abs(value)
  }
  // Beyond so many the numbers come again, at other distances from any power of two.
  const fresh = Math.min(length, mostFresh)
  for (let i = 0; i < fresh; i++) {
    const value = pick()
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[i] = BigInt(value)
    else data[i] = DTypes.isNarrowFloat(dtype) ? Float.encode(dtype, value) : value
  }
  repeat(data, fresh)
  return data
}

const drawn = (dtype: DType, data: TypedArray): Drawn => ({ dtype, data, elements: elementsOf(dtype, data) })

/** What is drawn: a region's buffers at the sizes that it is measured at. */
export interface Subject {
  readonly region: Region
  readonly program: Program
  readonly size: (dim: Dim) => number
}

const readBuffers = ({ program, region }: Subject) => {
  const reads = new Map<string, Array<number>>()
  for (const [read, view] of Regions.reads(region).entries())
    if (view !== null) reads.set(view.buffer, [...(reads.get(view.buffer) ?? []), read])
  return [...reads].flatMap(([id, of]) => {
    const buffer = program.buffers.get(id)
    return buffer === undefined ? [] : [{ id, reads: of, buffer }]
  })
}

/** What a buffer may hold that several views read: indices of rows and of columns may lie side by side. */
const common = (ranges: ReadonlyMap<number, Range>, reads: ReadonlyArray<number>): Range | undefined => {
  const [first, ...rest] = reads.flatMap((read) => ranges.get(read) ?? [])
  if (first === undefined) return undefined
  return rest.reduce(
    (all, one) => ({ least: Math.max(all.least, one.least), greatest: Math.min(all.greatest, one.greatest) }),
    first
  )
}

/** The buffers that hold constants of the model. */
export const constants = (subject: Subject): ReadonlyMap<string, Drawn> =>
  new Map(
    readBuffers(subject).flatMap(({ buffer: { constant, dtype }, id }) =>
      constant === undefined ? [] : [[id, drawn(dtype, Constants.load(constant).data)]]
    )
  )

/** Whether elements are what the region can take. */
const isWithin = (data: TypedArray, range: Range | undefined): boolean =>
  range === undefined || data.every((value: number | bigint) => value >= range.least && value <= range.greatest)

/** What was recorded, again and again. */
const repeated = (dtype: DType, length: number, recorded: TypedArray): TypedArray => {
  const data = allocate(dtype, length)
  const fresh = Math.min(length, recorded.length)
  const bytes = new Uint8Array(recorded.buffer, recorded.byteOffset, fresh * DTypes.slotBytes(dtype))
  new Uint8Array(data.buffer).set(bytes)
  repeat(data, fresh)
  return data
}

/** Whether anything that the region reads was recorded. */
export const isRecorded = (subject: Subject, recorded: Recorded.Recorded): boolean =>
  readBuffers(subject).some(({ buffer }) => Recorded.contentsOf(recorded, buffer) !== undefined)

/** The buffers that the region reads and that hold no constants. */
export const buffers = (
  subject: Subject,
  kind: Kind,
  { pool: from, recorded }: { readonly pool: Pool; readonly recorded: Recorded.Recorded },
  random: () => number
): ReadonlyMap<string, Drawn> => {
  const ranges = rangesOf(subject.region, subject.size)
  return new Map(
    readBuffers(subject).flatMap(({ buffer, id, reads }) => {
      const { constant, dtype } = buffer
      if (constant !== undefined) return []
      const [length, range] = [subject.size(buffer.size), common(ranges, reads)]
      const known = kind === "calibration" ? Recorded.contentsOf(recorded, buffer) : undefined
      if (known !== undefined && DTypes.stores(dtype, known) && isWithin(known, range))
        return [[id, drawn(dtype, repeated(dtype, length, known))]]
      const data =
        dtype === "f32" && range === undefined
          ? drawFloats(kind, length, from, random)
          : draw(dtype, length, kind, range, random)
      return [[id, drawn(dtype, data)]]
    })
  )
}
