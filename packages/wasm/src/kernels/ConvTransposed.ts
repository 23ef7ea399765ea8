/**
 * ConvTransposed: transposed convolutions as ordinary ones, one for each class of output positions modulo the steps.
 *
 *   out[s · q + r] = Σ_t x[q + first + t · e] · w[taps(r)[t]]      gcd(s, d) = g, e = d / g
 *
 * Only taps that meet an element of the input are multiplied; every output is written once. Each class is computed by the
 * best kernel for it.
 */
import * as Dim from "@anneal/ir/Dim"
import * as Tensor from "@anneal/ir/Tensor"
import type { Convolution, Region } from "@anneal/lower/Region"
import * as Scalars from "@anneal/lower/Scalar"
import type { View } from "@anneal/lower/View"
import type { Emission, Features } from "../Emission.ts"
import { i32, select } from "../Instruction.ts"
import type { I32 } from "../Instruction.ts"
import type { Kernel, Packed, TypicalSizes } from "../Kernel.ts"
import type { Func, FunctionBuilder, Local } from "../ModuleBuilder.ts"
import * as ConvDepthwise from "./ConvDepthwise.ts"
import * as ConvGemm from "./ConvGemm.ts"
import * as ConvWinograd from "./ConvWinograd.ts"
import { toFloat32 } from "./GemmPack.ts"
import { byteStride, viewsOf } from "./GemmProduct.ts"

const firstSpatial = 3

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))

/** What one residue along one axis sees. */
interface Residue {
  readonly residue: number
  /** Taps in the order in which their inputs lie; empty: the sum is 0. */
  readonly taps: ReadonlyArray<number>
  /** The input of the first tap, from q. */
  readonly first: number
  readonly dilation: number
}

const residuesOf = (stride: number, dilation: number, kernel: number, pad: number): ReadonlyArray<Residue> =>
  Array.from({ length: stride }, (_, residue) => {
    const place = (tap: number): number => (residue + pad - tap * dilation) / stride
    const taps = Array.from({ length: kernel }, (__, tap) => tap).filter((tap) => Number.isInteger(place(tap)))
    const [last] = taps.slice(-1)
    return {
      residue,
      taps: taps.reverse(),
      first: last === undefined ? 0 : place(last),
      dilation: dilation / gcd(stride, dilation)
    }
  })

/** One class: a residue for each axis, and the convolution that computes it. */
interface Class {
  readonly residues: ReadonlyArray<Residue>
  readonly region: Convolution
}

/** A view of every s-th element along the spatial axes. Where it begins is added to addresses. */
const strided = (view: View, shape: ReadonlyArray<Dim.Dim>, strides: ReadonlyArray<number>): View => ({
  ...view,
  shape: [...view.shape.slice(0, firstSpatial), ...shape],
  strides: view.strides.map((stride, axis) =>
    Dim.mul(stride, axis < firstSpatial ? 1 : (strides[axis - firstSpatial] ?? 1))
  )
})

const classOf = (region: Convolution, residues: ReadonlyArray<Residue>): Class => {
  const { epilogue, input, out, strides, weight } = region
  const own = out.map((extent, axis) => {
    const [stride, residue] = [strides[axis] ?? 1, residues[axis]?.residue ?? 0]
    return Dim.max(0, Dim.ceilDiv(Dim.sub(extent, residue), stride))
  })
  const kernel = residues.map(({ taps }) => Math.max(1, taps.length))
  const padsEnd = own.map((extent, axis) => {
    const [residue, source] = [residues[axis], input.shape[firstSpatial + axis] ?? 1]
    const reach = ((kernel[axis] ?? 1) - 1) * (residue?.dilation ?? 1)
    const beyond = Dim.sub(Dim.sum([extent, reach, residue?.first ?? 0]), source)
    return typeof beyond === "number" ? Math.max(0, beyond) : beyond
  })
  const seen = new Map<Scalars.Scalar, Scalars.Scalar>()
  const reindexed = (value: Scalars.Scalar): Scalars.Scalar =>
    Scalars.map(
      value,
      (part) => {
        if (part.kind !== "index" || part.axis < firstSpatial) return part
        const { dtype } = part
        const number = (x: number): Scalars.Scalar => Scalars.constant(dtype, dtype === "i64" ? BigInt(x) : x)
        const [stride, residue] = [
          strides[part.axis - firstSpatial] ?? 1,
          residues[part.axis - firstSpatial]?.residue ?? 0
        ]
        return Scalars.binary("add", Scalars.binary("mul", part, number(stride)), number(residue))
      },
      seen
    )
  return {
    residues,
    region: {
      ...region,
      transposed: false,
      out: own,
      strides: strides.map(() => 1),
      dilations: residues.map(({ dilation }) => dilation),
      padsBegin: residues.map(({ first }) => (first === 0 ? 0 : -first)),
      padsEnd,
      weight: { ...weight, shape: [...weight.shape.slice(0, firstSpatial), ...kernel] },
      epilogue: {
        operands: epilogue.operands.map((view) => strided(view, own, strides)),
        results: epilogue.results.map(({ value, view }) => ({
          view: strided(view, own, strides),
          value: reindexed(value)
        }))
      }
    }
  }
}

const classesOf = (region: Convolution, pads: ReadonlyArray<number>): ReadonlyArray<Class> =>
  region.out
    .map((_, axis) =>
      residuesOf(
        region.strides[axis] ?? 1,
        region.dilations[axis] ?? 1,
        Number(region.weight.shape[firstSpatial + axis] ?? 1),
        pads[axis] ?? 0
      )
    )
    .reduce<ReadonlyArray<ReadonlyArray<Residue>>>(
      (sofar, axis) => sofar.flatMap((before) => axis.map((residue) => [...before, residue])),
      [[]]
    )
    .map((residues) => classOf(region, residues))
    .filter((one) => !one.region.out.includes(0))

/** The weights of a class: its taps in its order, zeros where it has none. */
const pick = (elements: Tensor.Tensor, residues: ReadonlyArray<Residue>): Tensor.Tensor => {
  const source = toFloat32(elements)
  const kernel = elements.shape.slice(firstSpatial)
  const filters = Tensor.size(elements.shape.slice(0, firstSpatial))
  const taps = Tensor.size(kernel)
  const strides = Tensor.strides(kernel)
  const offsets = residues.reduce<ReadonlyArray<number | undefined>>(
    (sofar, { taps: own }, axis) =>
      sofar.flatMap((offset) =>
        own.length === 0
          ? [undefined]
          : own.map((tap) => (offset === undefined ? undefined : offset + tap * (strides[axis] ?? 0)))
      ),
    [0]
  )
  const data = new Float32Array(filters * offsets.length)
  for (let filter = 0; filter < filters; filter++)
    offsets.forEach((offset, place) => {
      if (offset !== undefined) data[filter * offsets.length + place] = source[filter * taps + offset] ?? 0
    })
  const shape = [...elements.shape.slice(0, firstSpatial), ...residues.map(({ taps: own }) => Math.max(1, own.length))]
  return Tensor.make("f32", shape, data)
}

const packedOf = ({ residues }: Class, packed: Packed): Packed => ({
  ...packed,
  layout: `taps ${residues.map(({ taps }) => taps.join(".")).join("/")} ${packed.layout}`,
  pack: (elements) => packed.pack(pick(elements, residues))
})

/** The kernel's function: hands each class its share of the units. */
const emitClasses = (
  emission: Emission,
  name: string,
  region: Convolution,
  parts: ReadonlyArray<{ readonly one: Class; readonly kernel: Kernel }>
): Func => {
  const views = viewsOf(region.epilogue)
  const functions = parts.map(({ kernel }, index) => kernel.emit(emission, `${name}.${index}`))
  const packs = parts.reduce((count, { kernel }) => count + kernel.packed.length, 0)
  const count = 2 + views.length + packs + 3
  return emission.module.func(name, new Array<"i32">(count).fill("i32"), [], (f) => {
    const parameter = (index: number): Local<"i32"> => ({ type: "i32", index })
    const [begin, end] = [parameter(count - 2), parameter(count - 1)]
    const first = f.let(i32.const(0))
    let pack = 2 + views.length
    parts.forEach(({ kernel, one }, index) => {
      const func = functions[index]
      if (func === undefined) throw new RangeError(`the kernel has no part ${index}`)
      const units = f.get(f.let(emission.dim(kernel.units)))
      const from = atLeastZero(f, i32.sub(f.get(begin), f.get(first)))
      const left = i32.sub(f.get(end), f.get(first))
      const to = f.let(select(i32.lt_s(f.get(f.let(left)), units), left, units))
      const addresses = views.map((view, place) => {
        const shift = Dim.sum(
          one.residues.map(({ residue }, axis) => Dim.mul(byteStride(view, firstSpatial + axis), residue))
        )
        const base = f.get(parameter(2 + place))
        return shift === 0 ? base : i32.add(base, emission.dim(shift))
      })
      const packed = kernel.packed.map(() => f.get(parameter(pack++)))
      f.if(i32.lt_s(from, f.get(to)), () =>
        f.run(func, [
          f.get(parameter(0)),
          f.get(parameter(1)),
          ...addresses,
          ...packed,
          f.get(parameter(count - 3)),
          from,
          f.get(to)
        ])
      )
      f.set(first, i32.add(f.get(first), units))
    })
  })
}

const atLeastZero = (f: FunctionBuilder, x: I32): I32 => {
  const kept = f.get(f.let(x))
  return f.get(f.let(select(i32.gt_s(kept, i32.const(0)), kept, i32.const(0))))
}

/** So many kernels are offered: each takes every class's first, second … choice. */
const offered = 2

export const candidates = (region: Region, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  if (!ConvGemm.isPlain(region) || !region.transposed) return []
  const pads = region.padsBegin.filter((pad) => typeof pad === "number")
  if (pads.length !== region.out.length) return []
  const choices = classesOf(region, pads).map((one) => ({
    one,
    kernels: [ConvGemm, ConvDepthwise, ConvWinograd]
      .flatMap((source) => source.candidates(one.region, typical, features))
      .sort((x, y) => x.cost - y.cost)
  }))
  if (choices.length === 0 || choices.some(({ kernels }) => kernels.length === 0)) return []
  return Array.from({ length: offered }, (_, choice): Kernel => {
    const parts = choices.flatMap(({ kernels, one }) => {
      const kernel = kernels[Math.min(choice, kernels.length - 1)]
      return kernel === undefined ? [] : [{ one, kernel }]
    })
    return {
      name: "conv-transposed",
      config: { classes: parts.map(({ kernel }) => ({ name: kernel.name, config: kernel.config })) },
      cost: parts.reduce((sum, { kernel }) => sum + kernel.cost, 0),
      packed: parts.flatMap(({ kernel, one }) => kernel.packed.map((packed) => packedOf(one, packed))),
      scratch: parts.reduce<Dim.Dim>((most, { kernel }) => Dim.max(most, kernel.scratch), 0),
      units: Dim.sum(parts.map(({ kernel }) => kernel.units)),
      emit: (emission, name) => emitClasses(emission, name, region, parts)
    }
  })
}
