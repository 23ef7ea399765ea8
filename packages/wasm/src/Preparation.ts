/**
 * Preparation: what depends on constants alone, computed by the build where that costs the file little, and while loading
 * otherwise.
 *
 *   prepare: turns = sin(positions · frequencies)   ⇒   turns is a constant, and there is nothing to prepare
 *
 * Plain code computes it, which gives the same bytes on every machine.
 */
import type { Constant } from "@anneal/ir/Constant"
import * as Constants from "@anneal/ir/Constant"
import * as DTypes from "@anneal/ir/DType"
import * as MemoryPlan from "@anneal/lower/MemoryPlan"
import type { Buffer, Program } from "@anneal/lower/Program"
import type { Region } from "@anneal/lower/Region"
import * as Assemble from "./Assemble.ts"
import { alignment, maximumPages } from "./Heap.ts"
import type { Kernel } from "./Kernel.ts"
import type { Packs } from "./PackedConstants.ts"
import * as Target from "./Target.ts"
import { host } from "./WebAssembly.ts"

/** Bytes of the file that a millisecond of each load is worth. */
const worth = 256 * 1024
/** Code that runs once is not optimised yet: so many times what is predicted. */
const unoptimised = 2
/** Bytes of memory that the build may take for it. */
const mostMemory = 2 ** 30
const pageBytes = 65_536

export interface Prepared {
  /** The program, without what the build has computed. */
  readonly program: Program
  /** Whether the build computed it. */
  readonly stored: boolean
  /** What was decided, and why, for people. */
  readonly why: string
}

const rounded = (bytes: number): number => Math.ceil(bytes / alignment) * alignment

const amount = (bytes: number): string =>
  bytes < 2 ** 20 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`

const touchedBy = (steps: Program["steps"]): ReadonlySet<string> =>
  new Set(
    MemoryPlan.flatten(steps)
      .flatMap(MemoryPlan.touches)
      .map(({ buffer }) => buffer)
  )

/** What is prepared and read by runs. */
const keptOf = ({ buffers, steps }: Program): ReadonlyArray<Buffer> => {
  const read = touchedBy(steps)
  return [...buffers.values()].filter(({ id, kind }) => kind === "prepared" && read.has(id))
}

/** The bytes of the buffers that runs read, as constants; undefined: it would take too much memory. */
const compute = (
  program: Program,
  kept: ReadonlyArray<Buffer>,
  kernel: (region: Region) => Kernel
): ReadonlyMap<string, Constant> | undefined => {
  const packs: Packs = new Map()
  const own = touchedBy(program.prepare)
  const alone: Program = {
    ...program,
    buffers: new Map([...program.buffers].filter(([id]) => own.has(id))),
    steps: [],
    inputs: [],
    outputs: []
  }
  const { image, module } = Assemble.assemble(alone, { features: Target.plain, kernel, packs })
  const packed = new Map([...packs.values()].map(({ bytes, digest }) => [digest, bytes]))
  const contents = image.buffers.map(({ id, kind, source }): Uint8Array | undefined => {
    if (source === null) return undefined
    const constant = program.buffers.get(id)?.constant
    if (kind === "packed" || constant === undefined) return packed.get(source)
    const { data } = Constants.load(constant)
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  })
  const places = new Map<string, number>()
  let end = alignment
  const allocate = (bytes: number): number => {
    const begin = end
    end += rounded(bytes)
    return begin
  }
  const table = allocate(4 * image.words)
  const addresses = image.buffers.map(({ dtype, id, kind, size }, place) => {
    const elements = kind === "prepared" && typeof size === "number" ? size : 0
    const address = allocate(contents[place]?.length ?? elements * DTypes.slotBytes(dtype))
    places.set(id, address)
    return address
  })
  const scratch = end
  const needed = scratch + (typeof image.scratch === "number" ? image.scratch : 0) + alignment
  if (needed > mostMemory) return undefined
  const memory = new host.Memory({ initial: Math.ceil(needed / pageBytes) + 1, maximum: maximumPages })
  const { prepare } = new host.Instance(new host.Module(module), { env: { memory } }).exports
  if (typeof prepare !== "function") throw new Error("the code has nothing to prepare with")
  const bytes = new Uint8Array(memory.buffer)
  const words = new Int32Array(memory.buffer, table, image.words)
  for (const [place, { slot }] of image.buffers.entries()) {
    const content = contents[place]
    if (content !== undefined) bytes.set(content, addresses[place] ?? 0)
    if (slot !== null) words[slot] = addresses[place] ?? 0
  }
  prepare(table, 0, scratch)
  return new Map(
    kept.map(({ dtype, id, size }) => {
      const elements = typeof size === "number" ? size : 0
      const data = DTypes.view(dtype, memory.buffer, places.get(id) ?? 0, elements).slice()
      return [id, Constants.fromTensor({ dtype, shape: [elements], data })]
    })
  )
}

/**
 * The program as it is written into an engine. `kernel`: of plain code, with its predicted cost. Undefined: nothing depends on
 * constants alone.
 */
export const of = (program: Program, kernel: (region: Region) => Kernel): Prepared | undefined => {
  const regions = MemoryPlan.flatten(program.prepare).flatMap((step) => (step.kind === "region" ? [step.region] : []))
  if (regions.length === 0) return undefined
  const kept = keptOf(program)
  const bytes = kept.reduce(
    (sum, { dtype, size }) => sum + (typeof size === "number" ? DTypes.byteLength(dtype, size) : Infinity),
    0
  )
  const predicted = regions.reduce((sum, region) => sum + kernel(region).cost, 0)
  const milliseconds = (unoptimised * predicted) / 1e6
  const time = `${milliseconds.toPrecision(2)} ms`
  const pays = Number.isFinite(milliseconds) && bytes <= milliseconds * worth
  const constants = pays ? compute(program, kept, kernel) : undefined
  if (constants === undefined)
    return {
      program,
      stored: false,
      why: pays
        ? `computed after loading: the build would need more than ${amount(mostMemory)} of memory for it`
        : `computed after loading: ${amount(bytes)} of the file would save some ${time}, less than 1 ms for ${amount(worth)}`
    }
  const gone = new Set([...program.buffers.values()].flatMap(({ id, kind }) => (kind === "prepared" ? [id] : [])))
  const buffers = new Map([...program.buffers].filter(([id]) => !gone.has(id)))
  for (const buffer of kept) {
    const constant = constants.get(buffer.id)
    if (constant !== undefined) buffers.set(buffer.id, { ...buffer, kind: "constant", constant })
  }
  return {
    program: { ...program, buffers, prepare: [] },
    stored: true,
    why: `computed by the build: ${amount(bytes)} of the file save some ${time} of each load, 1 ms or more for ${amount(worth)}`
  }
}
