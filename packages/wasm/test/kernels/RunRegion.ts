/**
 * RunRegion: runs a kernel over tensors of any dtype, in a memory where every buffer, packed constant and scratch area lies
 * between red zones, its units in any order and in parts, and says what it wrote.
 */
import * as DType from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import * as Tensor from "@anneal/ir/Tensor"
import type { Region } from "@anneal/lower/Region"
import { reads, writes } from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import type { Features } from "@anneal/wasm/Emission"
import { Emission } from "@anneal/wasm/Emission"
import type { Kernel } from "@anneal/wasm/Kernel"
import { ModuleBuilder } from "@anneal/wasm/ModuleBuilder"
import { host } from "@anneal/wasm/WebAssembly"

export const plain: Features = { relaxed: false, wide: false, threads: false }
export const relaxed: Features = { relaxed: true, wide: false, threads: false }
export const wide: Features = { relaxed: true, wide: true, threads: false }

export type Symbols = ReadonlyMap<string, number>
/** Elements of each buffer by its id. */
export type Buffers = ReadonlyMap<string, DType.TypedArray>

export const sizeOf = (dim: Dim.Dim, symbols: Symbols): number => {
  const size = Dim.evaluate(dim, symbols)
  if (size === undefined) throw new Error(`${Dim.format(dim)} has no value`)
  return size
}

/** Integers from `least` to `greatest`: mulberry32. */
export const integers = (seed: number): ((least: number, greatest: number) => number) => {
  let state = seed
  return (least, greatest) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return least + Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * (greatest - least + 1))
  }
}

/** Every point of a shape in row-major order; one array, changed. */
export const points = function* (shape: ReadonlyArray<number>): Generator<ReadonlyArray<number>> {
  if (shape.some((extent) => extent === 0)) return
  const point = shape.map(() => 0)
  for (;;) {
    yield point
    let axis = shape.length - 1
    for (; axis >= 0; axis--) {
      point[axis] = (point[axis] ?? 0) + 1
      if ((point[axis] ?? 0) < (shape[axis] ?? 0)) break
      point[axis] = 0
    }
    if (axis < 0) return
  }
}

export const shapeOf = (view: View, symbols: Symbols): ReadonlyArray<number> =>
  view.shape.map((extent) => sizeOf(extent, symbols))

/** The element of a buffer at a point of a view. */
export const placeIn = (view: View, symbols: Symbols): ((point: ReadonlyArray<number>) => number) => {
  const strides = view.strides.map((stride) => sizeOf(stride, symbols))
  const offset = sizeOf(view.offset, symbols)
  return (point) => point.reduce((sum, index, axis) => sum + index * (strides[axis] ?? 0), offset)
}

/** One past the last element that a view reaches. */
export const reach = (view: View, symbols: Symbols): number => {
  const place = placeIn(view, symbols)
  const shape = shapeOf(view, symbols)
  if (shape.includes(0)) return 0
  const last = shape.map((extent, axis) => (sizeOf(view.strides[axis] ?? 0, symbols) > 0 ? extent - 1 : 0))
  return place(last) + 1
}

/** What a view shows, row-major. */
export const elementsOf = (view: View, buffer: DType.TypedArray, symbols: Symbols): Tensor.Tensor => {
  const tensor = Tensor.zeros(view.dtype, shapeOf(view, symbols))
  const place = placeIn(view, symbols)
  let at = 0
  for (const point of points(tensor.shape)) tensor.data[at++] = buffer[place(point)] ?? 0
  return tensor
}

/** A buffer whose elements at the view's points are the tensor's; other elements are 0. */
export const bufferOf = (view: View, tensor: Tensor.Tensor, symbols: Symbols): DType.TypedArray => {
  const data = DType.allocate(view.dtype, reach(view, symbols))
  const place = placeIn(view, symbols)
  let at = 0
  for (const point of points(tensor.shape)) data[place(point)] = tensor.data[at++] ?? 0
  return data
}

const zone = 256
const poison = 0xa5

export interface Run {
  /** What each result's view shows; null for a result that nobody takes. */
  readonly results: ReadonlyArray<Tensor.Tensor | null>
  /** Runs it again, for timing: all units, or some. */
  readonly again: (begin?: number, end?: number) => void
  readonly units: number
  /** The results as they are now, after runs again. */
  readonly now: () => ReadonlyArray<Tensor.Tensor | null>
  readonly moduleBytes: number
}

let salt = 0

/**
 * Runs all units, in `parts` calls, the last first. Throws where anything but results and scratch memory changed. Buffers
 * of results begin as `buffers` says (state that is read and written), else poisoned.
 */
export const run = (
  region: Region,
  kernel: Kernel,
  features: Features,
  buffers: Buffers,
  options: { readonly symbols?: Symbols; readonly parts?: number } = {}
): Run => {
  const symbols = options.symbols ?? new Map<string, number>()
  const module = new ModuleBuilder({ shared: false, maximumPages: 65536 })
  const globals = new Map([...symbols.keys()].sort().map((name) => [name, module.importGlobal(name, "i32")] as const))
  const inner = kernel.emit(new Emission(module, features, globals), "kernel")
  module.func(
    "run",
    inner.params,
    [],
    (f, params) =>
      f.run(
        inner,
        params.map((local) => f.get(local))
      ),
    { export: true }
  )
  // Equal modules share their code in the host: timings would begin warm.
  module.func(`salt${salt++}`, [], [], () => {}, { export: true })
  const moduleBytes = module.toBytes()

  const lengths = new Map<string, number>()
  for (const view of [...reads(region), ...writes(region)]) {
    if (view === null) continue
    const bytes = reach(view, symbols) * DType.slotBytes(view.dtype)
    const given = buffers.get(view.buffer)?.byteLength ?? 0
    lengths.set(view.buffer, Math.max(bytes, given, lengths.get(view.buffer) ?? 0))
  }
  let end = 1024
  const place = (length: number): number => {
    const at = end + zone
    end = Math.ceil((at + length + zone) / 64) * 64
    return at
  }
  const addresses = new Map([...lengths].map(([id, length]) => [id, place(length)] as const))
  const packed = kernel.packed.map((one) => ({ one, at: place(one.bytes) }))
  const scratchBytes = sizeOf(kernel.scratch, symbols)
  const scratch = place(scratchBytes)
  const memory = new host.Memory({ initial: Math.ceil(end / 65536) + 1, maximum: 65536 })
  const bytes = new Uint8Array(memory.buffer)
  bytes.fill(poison)
  const put = (at: number, data: DType.TypedArray): void =>
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at)
  for (const [id, data] of buffers) put(addresses.get(id) ?? 0, data)
  for (const { at, one } of packed) {
    const view = reads(region)[one.read]
    const data = view === undefined || view === null ? undefined : buffers.get(view.buffer)
    if (view === undefined || view === null || data === undefined) throw new Error(`${one.layout} packs no operand`)
    const made = one.pack(elementsOf(view, data, symbols))
    if (made.byteLength !== one.bytes) throw new Error(`${one.layout}: ${made.byteLength} bytes, not ${one.bytes}`)
    bytes.set(made, at)
  }
  const before = bytes.slice()
  const instance = new host.Instance(new host.Module(moduleBytes), {
    env: {
      memory,
      ...Object.fromEntries(
        [...symbols].map(([name, value]) => [name, new host.Global({ value: "i32", mutable: false }, value)])
      )
    }
  })
  const { run: entry } = instance.exports
  if (typeof entry !== "function") throw new Error("not exported")
  const isPacked = new Set(kernel.packed.map(({ read }) => read))
  const address = (view: View | null): number =>
    view === null ? 0 : (addresses.get(view.buffer) ?? 0) + sizeOf(view.offset, symbols) * DType.slotBytes(view.dtype)
  const begins = [
    ...reads(region).map((view, read) => (isPacked.has(read) ? 0 : address(view))),
    ...writes(region).map(address),
    ...packed.map(({ at }) => at),
    scratch
  ]
  if (begins.length + 2 !== inner.params.length)
    throw new Error(`${inner.params.length} parameters, ${begins.length + 2} are given`)
  const units = sizeOf(kernel.units, symbols)
  const parts = Math.max(1, Math.min(options.parts ?? 1, units))
  for (let part = parts - 1; part >= 0; part--)
    entry(...begins, Math.floor((part * units) / parts), Math.floor(((part + 1) * units) / parts))

  const mine = new Uint8Array(bytes.length)
  mine.fill(1, scratch, scratch + scratchBytes)
  for (const view of writes(region)) {
    if (view === null) continue
    const size = DType.slotBytes(view.dtype)
    const at = placeIn(view, symbols)
    for (const point of points(shapeOf(view, symbols))) {
      const first = (addresses.get(view.buffer) ?? 0) + at(point) * size
      mine.fill(1, first, first + size)
    }
  }
  const [words, wordsBefore] = [new BigUint64Array(memory.buffer), new BigUint64Array(before.buffer)]
  for (let word = 0; word < words.length; word++) {
    if (words[word] === wordsBefore[word]) continue
    for (let i = word * 8; i < word * 8 + 8; i++)
      if (bytes[i] !== before[i] && mine[i] === 0)
        throw new Error(`wrote address ${i}, which is no result (scratch: ${scratch} … ${scratch + scratchBytes})`)
  }
  const now = (): ReadonlyArray<Tensor.Tensor | null> =>
    writes(region).map((view) => {
      if (view === null) return null
      const length = (lengths.get(view.buffer) ?? 0) / DType.slotBytes(view.dtype)
      const data = DType.view(view.dtype, memory.buffer, addresses.get(view.buffer) ?? 0, length)
      return elementsOf(view, data, symbols)
    })
  return {
    results: now(),
    now,
    again: (begin = 0, end = units) => void entry(...begins, begin, end),
    units,
    moduleBytes: moduleBytes.length
  }
}
