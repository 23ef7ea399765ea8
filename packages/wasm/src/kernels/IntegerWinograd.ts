/**
 * IntegerWinograd: convolutions of 8-bit integers by minimal filtering along one or two axes, exact in i32: 1.7 to 4 times
 * fewer products than by definition, of 16-bit integers (`i32x4.dot_i16x8_s`).
 */
import * as Dim from "@anneal/ir/Dim"
import type { Convolution } from "@anneal/lower/Region"
import type { Features } from "../Emission.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import { expected } from "./IntegerBlocking.ts"
import { costOf as epilogueCost } from "./IntegerEpilogue.ts"
import { rangeOf } from "./IntegerScheme.ts"
import { emit } from "./IntegerWinogradCode.ts"
import type { IntegerWinogradForm } from "./IntegerWinogradForm.ts"
import * as Forms from "./IntegerWinogradForm.ts"
import type { WinogradPlan } from "./IntegerWinogradPlan.ts"
import { lanes, packedOf, paddedChannels, partsOf, two } from "./IntegerWinogradPlan.ts"

/** `4x4`, `1x2`: outputs of a tile. */
const nameOf = (forms: WinogradPlan["forms"]): string => `${forms[0].outputs}x${forms[1].outputs}`

/** Whether every number stays where it must. */
const isExact = (region: Convolution, forms: WinogradPlan["forms"], channels: number): boolean => {
  const [a, b] = [rangeOf(region.input.dtype), rangeOf(region.weight.dtype)]
  if (a === undefined || b === undefined) return false
  const farthest = ([least_, greatest_]: readonly [number, number], zero: number): number =>
    Math.max(Math.abs(least_ - zero), Math.abs(greatest_ - zero))
  const x = farthest(region.ranges?.a ?? a, region.zero.a)
  const y = farthest(region.ranges?.b ?? b, region.zero.b)
  const [lines, positions] = forms
  const terms = lines.taps * positions.taps * channels
  return (
    x * Forms.gain(lines.input) * Forms.gain(positions.input) <= 32767 &&
    y * Forms.gain(lines.weights) * Forms.gain(positions.weights) <= 32767 &&
    terms * x * y * 2 ** Forms.removal(lines.factor * positions.factor).shift < 2 ** 31
  )
}

/** Kernels of a supported integer convolution (see `IntegerConvolution`); none where minimal filtering is not for it. */
export const candidates = (region: Convolution, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  const [, filters, channels, ...kernel] = region.weight.shape
  const isOne = (value: number): boolean => value === 1
  if (region.groups !== 1 || kernel.length < 1 || kernel.length > 2) return []
  if (!region.dilations.every(isOne)) return []
  if (typeof filters !== "number" || typeof channels !== "number" || channels < 4) return []
  const [taps, strides] = [two(kernel, 1), two(region.strides, 1)]
  const formsOf = (axis: 0 | 1): ReadonlyArray<IntegerWinogradForm> => {
    const [extent, stride] = [taps[axis], strides[axis]]
    if (typeof extent !== "number") return []
    if (extent === 1) return stride === 1 ? [Forms.one] : []
    return Forms.formsFor(extent, stride)
  }
  const [outLines, outPositions] = two(region.out, 1)
  const [lines, positions] = [expected(outLines, typical), expected(outPositions, typical)]
  const batch = expected(region.batch, typical)
  const pairs = formsOf(0).flatMap((a) => formsOf(1).map((b) => [a, b] as const))
  return pairs
    .filter(([a, b]) => a.outputs * b.outputs > 1 && (a === Forms.one || b === Forms.one || a.outputs === b.outputs))
    .filter((forms) => isExact(region, forms, channels))
    .map((forms): Kernel => {
      const [high, wide] = [Math.ceil(lines / forms[0].outputs), Math.ceil(positions / forms[1].outputs)]
      const columns =
        filters % 16 === 0 ? (features.wide ? 16 : 8) : Math.min(features.wide ? 16 : 12, Math.ceil(filters / 4) * 4)
      const rows = columns <= 8 ? 5 : columns <= 12 ? 3 : features.wide ? 5 : 2
      // As many tiles as stay near with all their points, so that weights are read seldom.
      const points = Forms.pointsOf(forms[0]) * Forms.pointsOf(forms[1])
      const near = Math.max(4, Math.min(64, Math.floor((512 * 1024) / (points * channels * 2))))
      const across = Math.min(wide, near)
      const down = Math.max(1, Math.min(high, Math.floor(near / across)))
      const plan: WinogradPlan = { region, forms, channels, filters, down, across, rows, columns }
      const tiles = Math.ceil(high / down) * down * Math.ceil(wide / across) * across * batch
      const filled = Math.ceil(filters / columns) * columns
      const work = (tiles * points * channels * filled) / (features.wide ? 95 : 48)
      const transforms =
        ((tiles * paddedChannels(plan)) / lanes) * points * 0.55 + ((tiles * filters) / 4) * points * 0.5
      return {
        name: `integer-winograd-${nameOf(forms)}`,
        config: { down, across, rows, columns },
        cost: 100 + work + transforms + batch * lines * positions * filters * epilogueCost(region.epilogue),
        packed: [packedOf(plan)],
        scratch: partsOf(plan).total,
        units: Dim.product([
          region.batch,
          Dim.ceilDiv(outLines, down * forms[0].outputs),
          Dim.ceilDiv(outPositions, across * forms[1].outputs)
        ]),
        emit: (emission, name) => emit(emission, name, plan)
      }
    })
}
