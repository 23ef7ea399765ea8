/**
 * IntegerWinogradPlan: sizes of one kernel of minimal filtering in integers, where its parts lie in scratch memory, and its
 * weights: transformed, in panels.
 */
import * as Tensor from "@anneal/ir/Tensor"
import type { Convolution } from "@anneal/lower/Region"
import type { Packed } from "../Kernel.ts"
import type { PanelShape } from "./IntegerPanels.ts"
import * as Panels from "./IntegerPanels.ts"
import type { IntegerScheme } from "./IntegerScheme.ts"
import type { IntegerWinogradForm } from "./IntegerWinogradForm.ts"
import * as Forms from "./IntegerWinogradForm.ts"

export interface WinogradPlan {
  readonly region: Convolution
  /** Of lines and of positions; a single spatial axis is one of positions. */
  readonly forms: readonly [IntegerWinogradForm, IntegerWinogradForm]
  readonly channels: number
  readonly filters: number
  /** Tiles of a unit, down and across. */
  readonly down: number
  readonly across: number
  /** A register tile: tiles and filters. */
  readonly rows: number
  readonly columns: number
}

export const lanes = 8
/** Nothing more is to be taken off: transformed operands are what they are. */
export const scheme: IntegerScheme = {
  arithmetic: { kind: "widened", storedBytes: 2 },
  offset: { a: 0, b: 0 },
  zero: { a: 0, b: 0 }
}

export const sides = ({ forms }: WinogradPlan): readonly [number, number] => [
  Forms.pointsOf(forms[0]),
  Forms.pointsOf(forms[1])
]
export const pointCount = (plan: WinogradPlan): number => sides(plan)[0] * sides(plan)[1]
export const paddedChannels = ({ channels }: WinogradPlan): number => Math.ceil(channels / lanes) * lanes

export const panelCount = ({ columns, filters }: WinogradPlan): number => Math.ceil(filters / columns)

/** A panel's matrices of all points one after another: they are read in this order. */
export const panelShape = (plan: WinogradPlan): PanelShape => ({
  outer: panelCount(plan) * pointCount(plan),
  n: plan.columns,
  k: plan.channels,
  columns: plan.columns,
  scheme
})

/** Two values of a list for spatial axes: a missing axis of lines has the other value. */
export const two = <A>(values: ReadonlyArray<A>, missing: A): readonly [A, A] => {
  const [first = missing, second] = values
  return second === undefined ? [missing, first] : [first, second]
}

/** What weights were transformed by. */
const transformOf = (forms: WinogradPlan["forms"]): string =>
  forms.map(({ outputs, step, taps }) => `${outputs}.${taps}/${step / outputs}`).join(" ")

/** Weights of all points, [panel][point][step][column]: exact, of 16 bits. */
export const packedOf = (plan: WinogradPlan): Packed => {
  const { channels, filters, forms, region } = plan
  const shape = panelShape(plan)
  const [byLines, byTaps] = [forms[0].weights, forms[1].weights]
  return {
    read: 1,
    layout: `integer-winograd ${transformOf(forms)} ${Panels.layoutOf(shape)} taken=${region.zero.b}`,
    bytes: Panels.bytesOf(shape),
    pack: (elements) => {
      const steps = Tensor.strides(elements.shape)
      const [filterStep = 0, channelStep = 0, ...spatial] = steps.slice(1)
      const [lineStep, tapStep] = two(spatial, 0)
      const points = pointCount(plan)
      const data = new Int16Array(points * filters * channels)
      for (let filter = 0; filter < filters; filter++)
        for (let channel = 0; channel < channels; channel++)
          for (const [i, down] of byLines.entries())
            for (const [j, across] of byTaps.entries()) {
              let sum = 0
              for (const [line, a] of down.entries())
                for (const [tap, b] of across.entries()) {
                  const place = filter * filterStep + channel * channelStep + line * lineStep + tap * tapStep
                  sum += a * b * (Number(elements.data[place] ?? 0) - region.zero.b)
                }
              data[((i * byTaps.length + j) * filters + filter) * channels + channel] = sum
            }
      const transformed = Tensor.make("i16", [points, filters, channels], data)
      return Panels.pack(shape, transformed, (index, column, channel) => {
        const filter = Math.floor(index / points) * plan.columns + column
        // Columns beyond the last filter are of no element, which counts as 0.
        return filter < filters ? ((index % points) * filters + filter) * channels + channel : -1
      })
    }
  }
}

/** Bytes from one point's part to the next: not such a multiple that all points of a tile share few lines of the cache. */
const apart = (bytes: number): number => (bytes % 512 === 0 ? bytes + 64 : bytes)

/** Bytes of scratch memory, one part after another. */
export const partsOf = (plan: WinogradPlan) => {
  const { across, columns, down, forms } = plan
  const channels = paddedChannels(plan)
  const [blockLines, blockPositions] = [down * forms[0].outputs, across * forms[1].outputs]
  const inputLines = (down - 1) * forms[0].step + Forms.reachOf(forms[0])
  const inputPositions = (across - 1) * forms[1].step + Forms.reachOf(forms[1])
  const line = inputPositions * channels * 2
  const strip = inputLines * line
  const tiles = down * across
  const point = apart(tiles * channels * 2)
  const inputs = pointCount(plan) * point
  const panelPoint = apart(tiles * columns * 4)
  const products = pointCount(plan) * panelPoint
  const outputLine = blockPositions * columns * 4
  const outputs = blockLines * outputLine
  return {
    inputLines,
    inputPositions,
    line,
    point,
    panelPoint,
    outputLine,
    strip,
    inputs,
    products,
    outputs,
    total: strip + inputs + products + outputs
  }
}
