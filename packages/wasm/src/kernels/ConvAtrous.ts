/**
 * ConvAtrous: dilated convolutions as plain ones.
 *
 *   out[d · q + p] = Σ_t x[d · (q + t) + p − pad] · w[t]     one plain convolution for each phase p, 0 ≤ p < d
 *
 * Phases of one size are one kernel, called at several addresses, which may be minimal filtering. Taps that meet nothing but
 * padding are left out: 3 × 3 in steps of 36 on 14 × 14 is 1 × 1.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Convolution, Region } from "@anneal/lower/Region"
import type { Features } from "../Emission.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import type { Taps } from "./ConvClasses.ts"
import { emitParts, firstSpatial, packedOf, shiftOf, strided } from "./ConvClasses.ts"
import * as ConvDepthwise from "./ConvDepthwise.ts"
import * as ConvGemm from "./ConvGemm.ts"
import * as ConvWinograd from "./ConvWinograd.ts"
import { typicalSize } from "./GemmCost.ts"
import * as GemmEpilogue from "./GemmEpilogue.ts"
import { viewsOf } from "./GemmProduct.ts"

/** Sizes along one axis, all known. */
interface Sizes {
  readonly source: number
  readonly out: number
  readonly taps: number
  readonly pad: number
  readonly stride: number
  readonly dilation: number
}

/** Outputs along one axis that are apart by `every`, and those that begin elsewhere but are computed in the same way. */
interface Phases {
  readonly every: number
  readonly source: number
  readonly out: number
  readonly taps: ReadonlyArray<number>
  readonly pad: number
  readonly stride: number
  readonly dilation: number
  /** The first output and the first element of the input. */
  readonly places: ReadonlyArray<{ readonly out: number; readonly input: number }>
}

/** The taps that meet an element of the input, as a range; one where there is none. */
const living = ({ dilation, out, pad, source, stride, taps }: Sizes): ReadonlyArray<number> => {
  const all = Array.from({ length: taps }, (_, tap) => tap)
  const meets = (tap: number): boolean => {
    const first = tap * dilation - pad
    // The least index at or after 0 that is reached in steps.
    const least = first >= 0 ? first : ((first % stride) + stride) % stride
    return least < source && least <= first + (out - 1) * stride
  }
  const alive = all.filter(meets)
  const [from = 0, to = from] = [alive[0], alive.at(-1)]
  return all.slice(from, to + 1)
}

/** One phase: dead taps are left out. */
const phase = (sizes: Sizes, every: number, place: Phases["places"][number]): Phases => {
  const taps = living(sizes)
  const pad = sizes.pad - (taps[0] ?? 0) * sizes.dilation
  const { out, source, stride } = sizes
  return { every, source, out, taps, pad, stride, dilation: taps.length === 1 ? 1 : sizes.dilation, places: [place] }
}

const phasesOf = (sizes: Sizes): ReadonlyArray<Phases> => {
  const { dilation, out, pad, source, stride } = sizes
  const whole = phase(sizes, 1, { out: 0, input: 0 })
  if (stride !== 1 || whole.dilation === 1) return [whole]
  const found = new Map<string, Phases>()
  for (let place = 0; place < Math.min(dilation, out); place++) {
    const input = (((place - pad) % dilation) + dilation) % dilation
    const own: Sizes = {
      ...sizes,
      source: Math.max(0, Math.ceil((source - input) / dilation)),
      out: Math.ceil((out - place) / dilation),
      pad: (input - (place - pad)) / dilation,
      dilation: 1
    }
    const made = phase(own, dilation, { out: place, input: own.source === 0 ? 0 : input })
    const key = [made.source, made.out, made.pad, ...made.taps].join()
    const known = found.get(key)
    found.set(key, known === undefined ? made : { ...known, places: [...known.places, ...made.places] })
  }
  return [...found.values()]
}

const sizesOf = (region: Convolution): ReadonlyArray<Sizes> | undefined => {
  const sizes = region.out.flatMap((out, axis): ReadonlyArray<Sizes> => {
    const [source, taps] = [region.input.shape[firstSpatial + axis], region.weight.shape[firstSpatial + axis]]
    const [pad, stride, dilation] = [region.padsBegin[axis], region.strides[axis], region.dilations[axis]]
    if (typeof out !== "number" || typeof source !== "number" || typeof taps !== "number") return []
    if (typeof pad !== "number" || stride === undefined || dilation === undefined) return []
    return out === 0 || source === 0 ? [] : [{ source, out, taps, pad, stride, dilation }]
  })
  return sizes.length === region.out.length ? sizes : undefined
}

/** All ways to take one of each. */
const combined = <A>(lists: ReadonlyArray<ReadonlyArray<A>>): ReadonlyArray<ReadonlyArray<A>> =>
  lists.reduce<ReadonlyArray<ReadonlyArray<A>>>(
    (sofar, list) => sofar.flatMap((before) => list.map((one) => [...before, one])),
    [[]]
  )

const regionOf = (region: Convolution, axes: ReadonlyArray<Phases>): Convolution => {
  const [out, every] = [axes.map((axis) => axis.out), axes.map((axis) => axis.every)]
  const { epilogue, input, weight } = region
  return {
    ...region,
    out,
    input: strided(
      input,
      axes.map(({ source }) => source),
      every
    ),
    strides: axes.map(({ stride }) => stride),
    dilations: axes.map(({ dilation }) => dilation),
    padsBegin: axes.map(({ pad }) => pad),
    padsEnd: axes.map((axis) => {
      const reach = (axis.out - 1) * axis.stride + (axis.taps.length - 1) * axis.dilation + 1
      return Math.max(0, reach - axis.pad - axis.source)
    }),
    weight: { ...weight, shape: [...weight.shape.slice(0, firstSpatial), ...axes.map(({ taps }) => taps.length)] },
    epilogue: {
      operands: epilogue.operands.map((view) => strided(view, out, every)),
      results: epilogue.results.map(({ value, view }) => ({ value, view: strided(view, out, every) }))
    }
  }
}

/**
 * Nanoseconds that phases lose where input and results do not stay in the second cache: elements of a phase lie far apart, and are
 * not fetched ahead (WaveNet's layers of 4,096 × 32 → 64: 0.12 a byte).
 */
const apartOf = (
  { batch, groups, weight }: Convolution,
  sizes: ReadonlyArray<Sizes>,
  typical: TypicalSizes
): number => {
  const [, outChannels = 1, channels = 1] = weight.shape.map((extent) => typicalSize(extent, typical))
  const elements = (channel: number, extent: (one: Sizes) => number): number =>
    channel * sizes.reduce((count, one) => count * extent(one), groups * typicalSize(batch, typical))
  const bytes = 4 * (elements(channels, ({ source }) => source) + elements(outChannels, ({ out }) => out))
  return bytes > 700_000 ? bytes * 0.12 : 0
}

/** More phases than these are as many calls, each of which reads the weights. */
const mostParts = 64
/** So many kernels are offered: each takes every class's first, second … choice. */
const offered = 2

export const candidates = (region: Region, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  if (!ConvGemm.isPlain(region) || region.transposed || GemmEpilogue.usesIndices(region.epilogue)) return []
  if (region.dilations.every((step) => step === 1)) return []
  const sizes = sizesOf(region)
  if (sizes === undefined) return []
  const classes = combined(sizes.map(phasesOf)).map((axes) => ({
    axes,
    places: combined(axes.map(({ places }) => places)),
    taps: axes.map(({ taps }): Taps[number] => taps)
  }))
  if (classes.reduce((count, { places }) => count + places.length, 0) > mostParts) return []
  const choices = classes.map(({ axes }) => {
    const own = regionOf(region, axes)
    return [ConvGemm, ConvDepthwise, ConvWinograd]
      .flatMap((source) => source.candidates(own, typical, features))
      .sort((x, y) => x.cost - y.cost)
  })
  if (choices.some((kernels) => kernels.length === 0)) return []
  const views = viewsOf(region.epilogue)
  const apart = apartOf(region, sizes, typical)
  return Array.from({ length: offered }, (_, choice): Kernel => {
    const taken = choices.flatMap((kernels) => kernels.slice(Math.min(choice, kernels.length - 1)).slice(0, 1))
    const parts = classes.flatMap(({ places }, kernel) =>
      places.map((place) => ({
        kernel,
        input: shiftOf(
          region.input,
          place.map(({ input }) => input)
        ),
        views: views.map((view) =>
          shiftOf(
            view,
            place.map(({ out }) => out)
          )
        )
      }))
    )
    const times = (index: number): number => classes[index]?.places.length ?? 0
    return {
      name: "conv-atrous",
      config: {
        classes: taken.map(({ config, name }, index) => ({
          name,
          config,
          phases: times(index),
          taps: (classes[index]?.taps ?? []).map(({ length }) => length)
        }))
      },
      cost: taken.reduce((sum, { cost }, index) => sum + cost * times(index), parts.length > 1 ? apart : 0),
      packed: taken.flatMap(({ packed }, index) => packed.map((one) => packedOf(one, classes[index]?.taps ?? []))),
      scratch: taken.reduce<Kernel["scratch"]>((most, { scratch }) => Dim.max(most, scratch), 0),
      units: Dim.sum(parts.map(({ kernel }) => taken[kernel]?.units ?? 0)),
      emit: (emission, name) => emitParts(emission, name, region, taken, parts)
    }
  })
}
