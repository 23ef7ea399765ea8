/**
 * ProductHarness: runs kernels of contractions and convolutions on memory with red zones, and computes the same regions in
 * float64, straight from their definition.
 */
import * as Dim from "@anneal/ir/Dim"
import * as Tensor from "@anneal/ir/Tensor"
import type { Contraction, Convolution, Region } from "@anneal/lower/Region"
import { reads, writes } from "@anneal/lower/Region"
import type { Scalar } from "@anneal/lower/Scalar"
import type { View } from "@anneal/lower/View"
import type { Features } from "@anneal/wasm/Emission"
import { Emission } from "@anneal/wasm/Emission"
import type { Kernel } from "@anneal/wasm/Kernel"
import { ModuleBuilder } from "@anneal/wasm/ModuleBuilder"
import { host } from "@anneal/wasm/WebAssembly"

export type Symbols = ReadonlyMap<string, number>
export type Buffers = ReadonlyMap<string, Float32Array>

export const plain: Features = { relaxed: false, wide: false, threads: false }
export const relaxed: Features = { relaxed: true, wide: false, threads: false }
export const wide: Features = { relaxed: true, wide: true, threads: false }

export const sizeOf = (dim: Dim.Dim, symbols: Symbols): number => {
  const size = Dim.evaluate(dim, symbols)
  if (size === undefined) throw new Error(`${Dim.format(dim)} has no value`)
  return size
}

/** A generator of numbers in −1 … 1: mulberry32. */
export const random = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1
  }
}

/** Elements that a view reaches, from its buffer's begin; one past the last. */
const reach = (view: View, symbols: Symbols): number =>
  view.shape.some((extent) => sizeOf(extent, symbols) === 0)
    ? 0
    : view.shape.reduce<number>(
        (last, extent, axis) => {
          const stride = sizeOf(view.strides[axis] ?? 0, symbols)
          return last + Math.max(0, (sizeOf(extent, symbols) - 1) * stride)
        },
        sizeOf(view.offset, symbols)
      ) + 1

/** Random contents for every buffer of a region. */
export const fill = (region: Region, symbols: Symbols, next: () => number): Buffers => {
  const buffers = new Map<string, Float32Array>()
  for (const view of [...reads(region), ...writes(region)]) {
    if (view === null) continue
    const length = Math.max(reach(view, symbols), buffers.get(view.buffer)?.length ?? 0)
    buffers.set(view.buffer, new Float32Array(length))
  }
  for (const data of buffers.values()) for (let i = 0; i < data.length; i++) data[i] = next()
  return buffers
}

// ---- float64 --------------------------------------------------------------------------------------------------------

const evaluate = (
  scalar: Scalar,
  at: { readonly load: (operand: number) => number; readonly sum: number; readonly point: ReadonlyArray<number> }
): number => {
  const go = (one: Scalar): number => evaluate(one, at)
  switch (scalar.kind) {
    case "load":
      return at.load(scalar.operand)
    case "constant":
      return Number(scalar.value)
    case "previous":
      return at.sum
    case "index":
      return at.point[scalar.axis] ?? 0
    case "cast":
      return go(scalar.x)
    case "unary":
      if (scalar.op === "tanh") return Math.tanh(go(scalar.x))
      if (scalar.op === "neg") return -go(scalar.x)
      break
    case "binary": {
      const [a, b] = [go(scalar.a), go(scalar.b)]
      if (scalar.op === "add") return a + b
      if (scalar.op === "sub") return a - b
      if (scalar.op === "mul") return a * b
      if (scalar.op === "max") return Math.max(a, b)
      if (scalar.op === "min") return Math.min(a, b)
      break
    }
    default:
  }
  throw new Error(`the harness does not know ${scalar.kind}`)
}

const points = function* (shape: ReadonlyArray<number>): Generator<ReadonlyArray<number>> {
  if (shape.some((extent) => extent === 0)) return
  const point = shape.map(() => 0)
  for (;;) {
    yield [...point]
    let axis = shape.length - 1
    for (; axis >= 0; axis--) {
      point[axis] = (point[axis] ?? 0) + 1
      if ((point[axis] ?? 0) < (shape[axis] ?? 0)) break
      point[axis] = 0
    }
    if (axis < 0) return
  }
}

const placeIn = (view: View, symbols: Symbols): ((point: ReadonlyArray<number>) => number) => {
  const strides = view.strides.map((stride) => sizeOf(stride, symbols))
  const offset = sizeOf(view.offset, symbols)
  return (point) => point.reduce((sum, index, axis) => sum + index * (strides[axis] ?? 0), offset)
}

/** The sum at a point of the epilogue's domain, and the sum of its products' magnitudes. */
type Sum = (point: ReadonlyArray<number>) => readonly [sum: number, magnitude: number]

const contractionSum = (region: Contraction, symbols: Symbols, buffers: Buffers): Sum => {
  const [a, b] = [region.a, region.b]
  const [placeA, placeB] = [placeIn(a, symbols), placeIn(b, symbols)]
  const [dataA, dataB] = [buffers.get(a.buffer), buffers.get(b.buffer)]
  const k = sizeOf(region.k, symbols)
  const [strideA, strideB] = [sizeOf(a.strides.at(-1) ?? 0, symbols), sizeOf(b.strides.at(-1) ?? 0, symbols)]
  return (point) => {
    const batch = point.slice(0, -2)
    const [m, n] = [point.at(-2) ?? 0, point.at(-1) ?? 0]
    const [beginA, beginB] = [placeA([...batch, m, 0]), placeB([...batch, n, 0])]
    let sum = 0
    let magnitude = 0
    for (let i = 0; i < k; i++) {
      const product = (dataA?.[beginA + i * strideA] ?? NaN) * (dataB?.[beginB + i * strideB] ?? NaN)
      sum += product
      magnitude += Math.abs(product)
    }
    return [sum, magnitude]
  }
}

const convolutionSum = (region: Convolution, symbols: Symbols, buffers: Buffers): Sum => {
  const { dilations, input, padsBegin, strides, transposed, weight } = region
  const [placeX, placeW] = [placeIn(input, symbols), placeIn(weight, symbols)]
  const [x, w] = [buffers.get(input.buffer), buffers.get(weight.buffer)]
  const channels = sizeOf(input.shape[2] ?? 1, symbols)
  const extents = input.shape.slice(3).map((extent) => sizeOf(extent, symbols))
  const kernel = weight.shape.slice(3).map((extent) => sizeOf(extent, symbols))
  const pads = padsBegin.map((pad) => sizeOf(pad, symbols))
  const taps = [...points(kernel)]
  const [strideX, strideW] = [sizeOf(input.strides[2] ?? 0, symbols), sizeOf(weight.strides[2] ?? 0, symbols)]
  return (point) => {
    const [n = 0, g = 0, o = 0, ...out] = point
    let sum = 0
    let magnitude = 0
    for (const tap of taps) {
      const from = out.map((index, axis) => {
        const [stride = 1, dilation = 1, pad = 0] = [strides[axis], dilations[axis], pads[axis]]
        const step = (tap[axis] ?? 0) * dilation
        return transposed ? (index + pad - step) / stride : index * stride + step - pad
      })
      if (from.some((index, axis) => !Number.isInteger(index) || index < 0 || index >= (extents[axis] ?? 0))) continue
      const [beginX, beginW] = [placeX([n, g, 0, ...from]), placeW([g, o, 0, ...tap])]
      for (let c = 0; c < channels; c++) {
        const product = (x?.[beginX + c * strideX] ?? NaN) * (w?.[beginW + c * strideW] ?? NaN)
        sum += product
        magnitude += Math.abs(product)
      }
    }
    return [sum, magnitude]
  }
}

export interface Expected {
  readonly values: Float64Array
  /** Sum of magnitudes of each element's products. */
  readonly magnitudes: Float64Array
}

/** Each result of the region in float64, row-major over the epilogue's domain. */
export const expected = (
  region: Contraction | Convolution,
  symbols: Symbols,
  buffers: Buffers
): ReadonlyArray<Expected> => {
  const shape = (region.epilogue.results[0]?.view.shape ?? []).map((extent) => sizeOf(extent, symbols))
  const sum =
    region.kind === "contraction" ? contractionSum(region, symbols, buffers) : convolutionSum(region, symbols, buffers)
  const operands = region.epilogue.operands.map((view) => {
    const [place, data] = [placeIn(view, symbols), buffers.get(view.buffer)]
    return (point: ReadonlyArray<number>) => data?.[place(point)] ?? NaN
  })
  const results = region.epilogue.results.map(() => ({
    values: new Float64Array(Tensor.size(shape)),
    magnitudes: new Float64Array(Tensor.size(shape))
  }))
  let at = 0
  for (const point of points(shape)) {
    const [total, magnitude] = sum(point)
    region.epilogue.results.forEach(({ value }, result) => {
      const target = results[result]
      if (target === undefined) return
      target.values[at] = evaluate(value, { load: (operand) => operands[operand]?.(point) ?? NaN, sum: total, point })
      target.magnitudes[at] = magnitude
    })
    at++
  }
  return results
}

// ---- running --------------------------------------------------------------------------------------------------------

const redZone = 256
const poison = 0x7fc0dead

const elementsOf = (view: View, buffer: Float32Array, symbols: Symbols): Tensor.Tensor => {
  const shape = view.shape.map((extent, axis) =>
    view.strides[axis] === 0 && typeof extent !== "number" ? 1 : sizeOf(extent, symbols)
  )
  const place = placeIn(view, symbols)
  const data = new Float32Array(Tensor.size(shape))
  let at = 0
  for (const point of points(shape)) data[at++] = buffer[place(point)] ?? NaN
  return Tensor.make("f32", shape, data)
}

export interface Running {
  /** Runs units `begin` to `end`. */
  readonly run: (begin: number, end: number) => void
  readonly units: number
  /** Elements of each result, row-major over the domain. */
  readonly results: () => ReadonlyArray<Float32Array>
  /** Throws when anything was written that is no result. */
  readonly check: () => void
  /** Writes the poison over the results again. */
  readonly reset: () => void
  readonly bytes: Uint8Array
}

let salt = 0

/** Compiles a kernel and lays its operands out in a memory of their own. */
export const prepare = (
  region: Region,
  kernel: Kernel,
  features: Features,
  symbols: Symbols,
  buffers: Buffers
): Running => {
  const module = new ModuleBuilder({ shared: false, maximumPages: 65536 })
  const globals = new Map([...symbols.keys()].map((name) => [name, module.importGlobal(name, "i32")] as const))
  const emission = new Emission(module, features, globals)
  const inner = kernel.emit(emission, "kernel")
  const parameters = inner.params.length
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
  // A different module each time: the host shares the code of equal ones.
  module.func(`salt${salt++}`, [], [], () => {}, { export: true })
  const bytes = module.toBytes()
  const written = new Set(writes(region).flatMap((view) => (view === null ? [] : [view.buffer])))
  let end = 1024
  const place = (length: number): number => {
    const at = end + redZone
    end = Math.ceil((at + length + redZone) / 64) * 64
    return at
  }
  const addresses = new Map([...buffers].map(([id, data]) => [id, place(data.byteLength)] as const))
  const packed = kernel.packed.map((one) => ({ at: place(one.bytes), one }))
  const scratchBytes = sizeOf(kernel.scratch, symbols)
  const scratch = place(scratchBytes)
  const memory = new host.Memory({ initial: Math.ceil((end + redZone) / 65536) + 1, maximum: 65536 })
  const words = new Int32Array(memory.buffer)
  const floats = new Float32Array(memory.buffer)
  words.fill(poison)
  for (const [id, data] of buffers) if (!written.has(id)) floats.set(data, (addresses.get(id) ?? 0) / 4)
  const inOut = new Set(
    reads(region).flatMap((view) => (view !== null && written.has(view.buffer) ? [view.buffer] : []))
  )
  for (const { at, one } of packed) {
    const view = reads(region)[one.read]
    if (view === undefined || view === null) throw new Error(`${one.layout} packs no operand`)
    const made = one.pack(elementsOf(view, buffers.get(view.buffer) ?? new Float32Array(0), symbols))
    if (made.byteLength !== one.bytes)
      throw new Error(`${one.layout}: ${made.byteLength} bytes, ${one.bytes} were said`)
    new Uint8Array(memory.buffer).set(made, at)
  }
  const reset = (): void => {
    for (const id of written) {
      const data = buffers.get(id)
      const at = (addresses.get(id) ?? 0) / 4
      if (data === undefined) continue
      if (inOut.has(id)) floats.set(data, at)
      else words.fill(poison, at, at + data.length)
    }
  }
  reset()
  const before = words.slice()
  /** 1 where a result lies. */
  const mine = new Uint8Array(words.length)
  for (const view of writes(region)) {
    if (view === null) continue
    const at = placeIn(view, symbols)
    for (const point of points(view.shape.map((extent) => sizeOf(extent, symbols))))
      mine[(addresses.get(view.buffer) ?? 0) / 4 + at(point)] = 1
  }
  const instance = new host.Instance(new host.Module(bytes), {
    env: {
      memory,
      ...Object.fromEntries(
        [...symbols].map(([name, value]) => [name, new host.Global({ value: "i32", mutable: false }, value)])
      )
    }
  })
  const { run } = instance.exports
  if (typeof run !== "function") throw new Error("not exported")
  const packedReads = new Set(kernel.packed.map(({ read }) => read))
  const views = [...reads(region).map((view, read) => (packedReads.has(read) ? null : view)), ...writes(region)]
  const begins = [
    ...views.map((view) => (view === null ? 0 : (addresses.get(view.buffer) ?? 0) + 4 * sizeOf(view.offset, symbols))),
    ...packed.map(({ at }) => at),
    scratch
  ]
  if (begins.length + 2 !== parameters) throw new Error(`${parameters} parameters, ${begins.length + 2} wanted`)
  return {
    run: (begin, stop) => void run(...begins, begin, stop),
    units: sizeOf(kernel.units, symbols),
    bytes,
    reset,
    results: () =>
      writes(region).map((view) => {
        if (view === null) return new Float32Array(0)
        const address = addresses.get(view.buffer) ?? 0
        const length = buffers.get(view.buffer)?.length ?? 0
        const { data } = elementsOf(view, floats.subarray(address / 4, address / 4 + length), symbols)
        return data instanceof Float32Array ? data : new Float32Array(0)
      }),
    check: () => {
      for (let word = 0; word < words.length; word++) {
        if (words[word] === before[word] || mine[word] === 1) continue
        const address = word * 4
        if (address >= scratch && address < scratch + scratchBytes) continue
        throw new Error(`wrote ${address}, which is no result (scratch ${scratch} … ${scratch + scratchBytes})`)
      }
    }
  }
}

/** Largest error of each result against float64, as a share of its bound γ·(Σ|products| + |value|) + tiny. */
export const errorShare = (
  got: ReadonlyArray<Float32Array>,
  want: ReadonlyArray<Expected>,
  steps: number,
  factor = 1
): number => {
  let worst = 0
  want.forEach(({ magnitudes, values }, result) =>
    values.forEach((value, at) => {
      const bound = factor * (steps + 8) * 2 ** -24 * ((magnitudes[at] ?? 0) + Math.abs(value)) + 1e-6
      const error = Math.abs((got[result]?.[at] ?? NaN) - value) / bound
      if (!(error <= worst)) worst = Number.isNaN(error) ? Infinity : error
    })
  )
  return worst
}
