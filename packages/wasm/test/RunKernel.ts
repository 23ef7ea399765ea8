/**
 * RunKernel: runs one kernel of a region, in a memory where every buffer, packed constant and scratch area lies between red
 * zones, and checks that nothing but the elements of its results (and scratch memory) was written.
 *
 *   run(region, kernel, buffers, { features, symbols })  ⇒  the buffers after it
 *   prepare(region, kernel, features, contents)          ⇒  units to run in any order, results, check
 */
import * as Dim from "@anneal/ir/Dim"
import type { DType, TypedArray } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import type { Region } from "@anneal/lower/Region"
import { reads, writes } from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import type { Features } from "@anneal/wasm/Emission"
import { Emission } from "@anneal/wasm/Emission"
import type { Kernel } from "@anneal/wasm/Kernel"
import { ModuleBuilder } from "@anneal/wasm/ModuleBuilder"
import type { Module } from "@anneal/wasm/WebAssembly"
import { host } from "@anneal/wasm/WebAssembly"

export const plain: Features = { relaxed: false, wide: false, threads: false }
export const relaxed: Features = { relaxed: true, wide: false, threads: false }
export const wide: Features = { relaxed: true, wide: true, threads: false }

export type Symbols = ReadonlyMap<string, number>
const noSymbols: Symbols = new Map()

/** What is in each buffer, by its id. */
export type Contents = ReadonlyMap<string, TypedArray>
export type Buffers = ReadonlyMap<string, { readonly dtype: DType; readonly data: TypedArray }>

// ---- views ----------------------------------------------------------------------------------------------------------

export const sizeOf = (dim: Dim.Dim, symbols: Symbols): number => {
  const size = Dim.evaluate(dim, symbols)
  if (size === undefined) throw new Error(`${Dim.format(dim)} has no value`)
  return size
}

export const shapeOf = (view: View, symbols: Symbols): ReadonlyArray<number> =>
  view.shape.map((extent) => sizeOf(extent, symbols))

/** All points of a shape, the last axis fastest: one array, which changes. */
export const points = function* (shape: ReadonlyArray<number>): Generator<ReadonlyArray<number>> {
  if (shape.some((extent) => extent <= 0)) return
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

/** The place of an element in its buffer. */
export const placeIn = (view: View, symbols: Symbols): ((point: ReadonlyArray<number>) => number) => {
  const strides = view.strides.map((stride) => sizeOf(stride, symbols))
  const offset = sizeOf(view.offset, symbols)
  return (point) => point.reduce((sum, index, axis) => sum + index * (strides[axis] ?? 0), offset)
}

/** One past the last element that a view reaches. */
export const reach = (view: View, symbols: Symbols): number => {
  const shape = shapeOf(view, symbols)
  if (shape.includes(0)) return 0
  const last = shape.map((extent, axis) => (sizeOf(view.strides[axis] ?? 0, symbols) > 0 ? extent - 1 : 0))
  return placeIn(view, symbols)(last) + 1
}

/** What a view shows of its buffer, row-major in its own axes. */
export const elementsOf = (view: View, buffer: TypedArray | undefined, symbols: Symbols): Tensor => {
  const tensor = Tensors.zeros(view.dtype, shapeOf(view, symbols))
  const place = placeIn(view, symbols)
  let at = 0
  for (const point of points(tensor.shape)) tensor.data[at++] = buffer?.[place(point)] ?? 0
  return tensor
}

/** A buffer whose elements at the view's points are the tensor's; other elements are 0. */
export const bufferOf = (view: View, tensor: Tensor, symbols: Symbols): TypedArray => {
  const data = DTypes.allocate(view.dtype, reach(view, symbols))
  const place = placeIn(view, symbols)
  let at = 0
  for (const point of points(tensor.shape)) data[place(point)] = tensor.data[at++] ?? 0
  return data
}

/** The elements that a region writes: a row's own result is one element, also of a row without elements. */
const written = (region: Region): ReadonlyArray<View | null> =>
  region.kind !== "rows"
    ? writes(region)
    : region.results.map(({ per, view }) =>
        per === "row" ? { ...view, shape: [...region.outer, ...region.inner.map(() => 1)] } : view
      )

// ---- memory ---------------------------------------------------------------------------------------------------------

const redZone = 128
const poison = 0xa5

/** Modules of kernels that were run before: a kernel is often run in several ways. */
const modules = new WeakMap<Kernel, Map<string, Module>>()

const moduleOf = (kernel: Kernel, features: Features, names: ReadonlyArray<string>, parameters: number): Module => {
  const known = modules.get(kernel) ?? new Map<string, Module>()
  modules.set(kernel, known)
  const key = `${JSON.stringify(features)} ${names.join()}`
  const found = known.get(key)
  if (found !== undefined) return found
  const module = new ModuleBuilder({ shared: false, maximumPages: 65536 })
  const globals = new Map(names.map((name) => [name, module.importGlobal(name, "i32")]))
  const func = kernel.emit(new Emission(module, features, globals), "kernel")
  if (func.params.length !== parameters)
    throw new Error(`the kernel takes ${func.params.length} parameters, ${parameters} are given`)
  module.func(
    "run",
    func.params,
    [],
    (f, params) =>
      f.run(
        func,
        params.map((param) => f.get(param))
      ),
    { export: true }
  )
  const made = new host.Module(module.toBytes())
  known.set(key, made)
  return made
}

/** The operands' elements as a packing is given them: along an axis of open size that does not move, one. */
const packedElements = (view: View, buffer: TypedArray | undefined, symbols: Symbols): Tensor =>
  elementsOf(
    {
      ...view,
      shape: view.shape.map((extent, axis) => (view.strides[axis] === 0 && typeof extent !== "number" ? 1 : extent))
    },
    buffer,
    symbols
  )

export interface Prepared {
  readonly units: number
  /** Runs units `begin` to `end`. */
  readonly run: (begin: number, end: number) => void
  /** Throws when anything was written that is no element of a result. */
  readonly check: () => void
  /** Everything as it was before the first run. */
  readonly reset: () => void
  /** What each result's view shows now; null for a result that nobody takes. */
  readonly results: () => ReadonlyArray<Tensor | null>
  /** A copy of a buffer as it is now. */
  readonly buffer: (id: string) => TypedArray
}

/**
 * Compiles a kernel and lays its operands out in a memory of their own. Buffers begin with their contents, and poisoned where
 * none are given. Calls for no units were made, and changed nothing.
 */
export const prepare = (
  region: Region,
  kernel: Kernel,
  features: Features,
  contents: Contents,
  symbols: Symbols = noSymbols
): Prepared => {
  const views = [...reads(region), ...written(region)]
  const names = [...symbols.keys()].sort()
  const module = moduleOf(kernel, features, names, views.length + kernel.packed.length + 3)

  // One area after another, at addresses that are multiples of the slot and of nothing more.
  let top = redZone
  const place = (bytes: number, slot: number): number => {
    const address = Math.ceil(top / 64) * 64 + slot
    top = address + bytes + redZone
    return address
  }
  const buffers = new Map<string, { readonly dtype: DType; readonly address: number; readonly length: number }>()
  for (const view of views) {
    if (view === null || buffers.has(view.buffer)) continue
    const reached = views.map((one) => (one?.buffer === view.buffer ? reach(one, symbols) : 0))
    const length = Math.max(contents.get(view.buffer)?.length ?? 0, ...reached)
    const slot = DTypes.slotBytes(view.dtype)
    buffers.set(view.buffer, { dtype: view.dtype, length, address: place(length * slot, slot) })
  }
  const packed = kernel.packed.map(({ bytes, layout, pack, read }) => {
    const view = reads(region)[read]
    const content = view === undefined || view === null ? undefined : contents.get(view.buffer)
    if (view === undefined || view === null || content === undefined) throw new Error(`${layout} packs no operand`)
    const made = pack(packedElements(view, content, symbols))
    if (made.byteLength !== bytes) throw new Error(`${layout}: ${made.byteLength} bytes, ${bytes} were declared`)
    return { address: place(bytes, 64), content: made }
  })
  const scratchBytes = sizeOf(kernel.scratch, symbols)
  const scratch = place(scratchBytes, 64)

  const memory = new host.Memory({ initial: Math.ceil((top + redZone) / 65536), maximum: 65536 })
  const bytes = new Uint8Array(memory.buffer)
  bytes.fill(poison)
  for (const [id, data] of contents) {
    const address = buffers.get(id)?.address
    if (address !== undefined) bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), address)
  }
  for (const { address, content } of packed) bytes.set(content, address)
  const before = bytes.slice()

  /** 1 where a result lies, or scratch memory. */
  const mine = new Uint8Array(bytes.length)
  mine.fill(1, scratch, scratch + scratchBytes)
  for (const view of written(region)) {
    if (view === null) continue
    const slot = DTypes.slotBytes(view.dtype)
    const at = placeIn(view, symbols)
    for (const point of points(shapeOf(view, symbols))) {
      const first = (buffers.get(view.buffer)?.address ?? 0) + at(point) * slot
      mine.fill(1, first, first + slot)
    }
  }
  const words = new BigUint64Array(memory.buffer)
  const wordsBefore = new BigUint64Array(before.buffer)
  /** Throws where bytes differ that `isAllowed` does not allow. */
  const compare = (isAllowed: (address: number) => boolean): void => {
    for (let word = 0; word < words.length; word++) {
      if (words[word] === wordsBefore[word]) continue
      for (let at = word * 8; at < word * 8 + 8; at++)
        if (bytes[at] !== before[at] && !isAllowed(at))
          throw new Error(`wrote address ${at}, which it may not (scratch: ${scratch} … ${scratch + scratchBytes})`)
    }
  }

  const sizes = names.map((name): [string, number] => [name, symbols.get(name) ?? 0])
  const { run: entry } = new host.Instance(module, { env: { memory, ...Object.fromEntries(sizes) } }).exports
  if (typeof entry !== "function") throw new Error("the kernel is not there")
  // An operand that is packed is read as it was packed only.
  const isPacked = new Set(kernel.packed.map(({ read }) => read))
  const addresses = [
    ...views.map((view, position) =>
      view === null || (position < reads(region).length && isPacked.has(position))
        ? 0
        : (buffers.get(view.buffer)?.address ?? 0) + sizeOf(view.offset, symbols) * DTypes.slotBytes(view.dtype)
    ),
    ...packed.map(({ address }) => address),
    scratch
  ]
  const units = sizeOf(kernel.units, symbols)
  const run = (begin: number, end: number): void => void entry(...addresses, begin, end)
  run(0, 0)
  run(units, units)
  compare((at) => at >= scratch && at < scratch + scratchBytes)

  const buffer = (id: string): TypedArray => {
    const found = buffers.get(id)
    if (found === undefined) throw new Error(`no buffer ${id}`)
    const { address, dtype, length } = found
    const copy = bytes.slice(address, address + length * DTypes.slotBytes(dtype))
    return DTypes.view(dtype, copy.buffer, 0, length)
  }
  return {
    units,
    run,
    buffer,
    check: () => compare((at) => mine[at] === 1),
    reset: () => bytes.set(before),
    results: () => writes(region).map((view) => (view === null ? null : elementsOf(view, buffer(view.buffer), symbols)))
  }
}

/** Runs all units in pieces of so many, the last piece first, and checks. */
const runPieces = ({ check, run: call, units }: Prepared, piece: number): void => {
  if (piece >= units) call(0, units)
  else
    for (let begin = Math.floor((units - 1) / piece) * piece; begin >= 0; begin -= piece)
      call(begin, Math.min(units, begin + piece))
  check()
}

export interface RunOptions {
  readonly features: Features
  readonly symbols?: Symbols
  /** Units of one call; all at once when left out. The calls are made last piece first. */
  readonly piece?: number
}

/** All buffers after the kernel has run. Buffers that are only written begin with their contents, too. */
export const run = (region: Region, kernel: Kernel, buffers: Buffers, options: RunOptions): Contents => {
  const { features, piece = Infinity, symbols } = options
  const contents = new Map([...buffers].map(([id, { data }]) => [id, data]))
  const prepared = prepare(region, kernel, features, contents, symbols)
  runPieces(prepared, piece)
  const touched = new Set([...reads(region), ...writes(region)].flatMap((view) => (view === null ? [] : [view.buffer])))
  return new Map([...contents].map(([id, data]) => [id, touched.has(id) ? prepared.buffer(id) : data]))
}

/** The results after all units have run in so many calls, the last first. */
export const resultsOf = (
  region: Region,
  kernel: Kernel,
  features: Features,
  contents: Contents,
  options: { readonly symbols?: Symbols; readonly parts?: number } = {}
): ReadonlyArray<Tensor | null> => {
  const prepared = prepare(region, kernel, features, contents, options.symbols)
  runPieces(prepared, Math.max(1, Math.ceil(prepared.units / (options.parts ?? 1))))
  return prepared.results()
}
