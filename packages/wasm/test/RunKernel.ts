/**
 * RunKernel: runs one kernel of a region on given buffers, in a memory where every buffer lies between red zones, and checks
 * after it that nothing else was written.
 *
 *   run(region, kernel, buffers, { features, symbols }) ⇒ the buffers after it
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

export type Symbols = ReadonlyMap<string, number>

/** What is in each buffer, by its id. Buffers that are only written need be there, too. */
export type Buffers = ReadonlyMap<string, { readonly dtype: DType; readonly data: TypedArray }>

export const sizeOf = (dim: Dim.Dim, symbols: Symbols): number => {
  const size = Dim.evaluate(dim, symbols)
  if (size === undefined) throw new Error(`${Dim.format(dim)} has no value`)
  return size
}

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

/** The elements of a view, row-major in its own axes. */
export const elementsOf = (view: View, buffers: Buffers, symbols: Symbols): Tensor => {
  const shape = view.shape.map((extent) => sizeOf(extent, symbols))
  const source = buffers.get(view.buffer)?.data
  const place = placeIn(view, symbols)
  const data = DTypes.allocate(view.dtype, Tensors.size(shape))
  let at = 0
  for (const point of points(shape)) data[at++] = source?.[place(point)] ?? 0
  return { dtype: view.dtype, shape, data }
}

export interface RunOptions {
  readonly features: Features
  readonly symbols?: Symbols
  /** Units of one call; all at once when left out. The calls are made last piece first. */
  readonly piece?: number
  /** For timing: the kernel is called again and again, so long; the best time of one call comes back. */
  readonly repeat?: number
}

const redZone = 128
const pattern = 0xa5

export interface Ran {
  readonly buffers: ReadonlyMap<string, TypedArray>
  /** Best time of a call, milliseconds; NaN unless asked for. */
  readonly time: number
}

/** Modules of kernels that were run before: a kernel is often run in several ways. */
const modules = new WeakMap<Kernel, Map<string, Module>>()

const moduleOf = (kernel: Kernel, features: Features, names: ReadonlyArray<string>): Module => {
  const known = modules.get(kernel) ?? new Map<string, Module>()
  modules.set(kernel, known)
  const key = `${JSON.stringify(features)} ${names.join()}`
  const found = known.get(key)
  if (found !== undefined) return found
  const module = new ModuleBuilder({ shared: false, maximumPages: 65536 })
  const globals = new Map(names.map((name) => [name, module.importGlobal(`d_${name}`, "i32")]))
  const func = kernel.emit(new Emission(module, features, globals), "kernel")
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

export const runTimed = (region: Region, kernel: Kernel, buffers: Buffers, options: RunOptions): Ran => {
  const { features, symbols = new Map<string, number>() } = options
  const names = [...symbols.keys()].sort()
  const compiled = moduleOf(kernel, features, names)

  // One buffer after another, each between red zones, at addresses that are multiples of the slot and of nothing more.
  let top = redZone
  const place = (bytes: number, slot: number): number => {
    const address = Math.ceil(top / 64) * 64 + slot
    top = address + bytes + redZone
    return address
  }
  const places = new Map(
    [...buffers].map(([id, { data, dtype }]) => [id, place(data.byteLength, DTypes.slotBytes(dtype))])
  )
  const packed = kernel.packed.map(({ bytes, pack, read }) => {
    const view = reads(region)[read]
    if (view === undefined || view === null) throw new Error(`nothing is read at ${read}`)
    const content = pack(elementsOf(view, buffers, symbols))
    if (content.byteLength !== bytes) throw new Error(`packed ${content.byteLength} bytes, declared ${bytes}`)
    return { address: place(bytes, 64), content }
  })
  const scratchBytes = sizeOf(kernel.scratch, symbols)
  const scratch = place(scratchBytes, 64)

  const pages = Math.ceil((top + redZone) / 65536)
  const memory = new host.Memory({ initial: pages, maximum: 65536 })
  const bytes = new Uint8Array(memory.buffer)
  bytes.fill(pattern)
  const byId = (id: string): number => places.get(id) ?? 0
  for (const [id, { data }] of buffers)
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), byId(id))
  for (const { address, content } of packed) bytes.set(content, address)

  const addressOf = (view: View | null): number =>
    view === null ? 0 : byId(view.buffer) + sizeOf(view.offset, symbols) * DTypes.slotBytes(view.dtype)
  const values = names.map((name): [string, number] => [`d_${name}`, symbols.get(name) ?? 0])
  const instance = new host.Instance(compiled, {
    env: { memory, ...Object.fromEntries(values) }
  })
  const { run: call } = instance.exports
  if (typeof call !== "function") throw new Error("the kernel is not there")
  const addresses = [
    ...reads(region).map(addressOf),
    ...writes(region).map(addressOf),
    ...packed.map(({ address }) => address),
    scratch
  ]
  const units = sizeOf(kernel.units, symbols)
  // No units at all, at either end, write nothing.
  const untouched = bytes.slice()
  call(...addresses, 0, 0)
  call(...addresses, units, units)
  if (Buffer.compare(untouched, bytes) !== 0) throw new Error("a call for no units wrote something")
  const { piece = units, repeat } = options
  let time = Number.NaN
  if (repeat !== undefined) {
    const end = performance.now() + repeat
    time = Infinity
    while (performance.now() < end) {
      const start = performance.now()
      call(...addresses, 0, units)
      time = Math.min(time, performance.now() - start)
    }
  } else if (piece === units) call(...addresses, 0, units)
  else
    for (let begin = Math.floor((units - 1) / piece) * piece; begin >= 0; begin -= piece)
      call(...addresses, begin, Math.min(units, begin + piece))

  checkOutside(bytes, [
    ...[...buffers].map(([id, { data }]) => [byId(id), data.byteLength] as const),
    ...packed.map(({ address, content }) => [address, content.byteLength] as const),
    [scratch, scratchBytes]
  ])
  for (const { address, content } of packed)
    for (const [i, byte] of content.entries())
      if (bytes[address + i] !== byte) throw new Error(`packed constant was overwritten at ${i}`)
  const written = new Set(writes(region).map((view) => view?.buffer))
  const after = new Map(
    [...buffers].map(([id, { data, dtype }]): [string, TypedArray] => [
      id,
      DTypes.view(dtype, bytes.slice(byId(id), byId(id) + data.byteLength).buffer, 0, data.length)
    ])
  )
  for (const [id, { data }] of buffers) {
    if (written.has(id)) continue
    const now = new Uint8Array(after.get(id)?.buffer ?? new ArrayBuffer(0))
    const before = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    if (before.some((byte, i) => now[i] !== byte)) throw new Error(`the operand ${id} was overwritten`)
  }
  return { buffers: after, time }
}

export const run = (
  region: Region,
  kernel: Kernel,
  buffers: Buffers,
  options: RunOptions
): ReadonlyMap<string, TypedArray> => runTimed(region, kernel, buffers, options).buffers

/** Everything outside the pieces must still be the pattern. */
const checkOutside = (bytes: Uint8Array, pieces: ReadonlyArray<readonly [address: number, length: number]>): void => {
  let at = 0
  const check = (to: number): void => {
    for (; at < to; at++) if (bytes[at] !== pattern) throw new Error(`wrote outside of all buffers, at address ${at}`)
  }
  for (const [address, length] of [...pieces].sort(([a], [b]) => a - b)) {
    check(address)
    at = address + length
  }
  check(bytes.length)
}
