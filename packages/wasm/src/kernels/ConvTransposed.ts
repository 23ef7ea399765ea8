/**
 * ConvTransposed: transposed convolutions as ordinary ones, one for each class of output positions modulo the steps.
 *
 *   out[s · q + r] = Σ_t x[q + first + t · e] · w[taps(r)[t]]      gcd(s, d) = g, e = d / g
 *
 * Only taps that meet an element of the input are multiplied; every output is written once. Each class is computed by the
 * best kernel for it.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Convolution, Region } from "@anneal/lower/Region"
import * as Scalars from "@anneal/lower/Scalar"
import type { Features } from "../Emission.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import { emitParts, firstSpatial, packedOf, shiftOf, strided } from "./ConvClasses.ts"
import * as ConvDepthwise from "./ConvDepthwise.ts"
import * as ConvGemm from "./ConvGemm.ts"
import * as ConvWinograd from "./ConvWinograd.ts"
import { viewsOf } from "./GemmProduct.ts"

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
      packed: parts.flatMap(({ kernel, one }) =>
        kernel.packed.map((packed) =>
          packedOf(
            packed,
            one.residues.map(({ taps }) => taps)
          )
        )
      ),
      scratch: parts.reduce<Dim.Dim>((most, { kernel }) => Dim.max(most, kernel.scratch), 0),
      units: Dim.sum(parts.map(({ kernel }) => kernel.units)),
      emit: (emission, name) =>
        emitParts(
          emission,
          name,
          region,
          parts.map(({ kernel }) => kernel),
          parts.map(({ one }, index) => {
            const place = one.residues.map(({ residue }) => residue)
            return { kernel: index, input: 0, views: viewsOf(region.epilogue).map((view) => shiftOf(view, place)) }
          })
        )
    }
  })
}
