/**
 * IntegerPanels: constant operands of 8-bit products in the form that `IntegerTile` reads, and their columns' terms.
 *
 *   [outer][columns / c][steps][c][elements of a step], then a term (i32) for each column, [outer][columns, rounded up to c]
 */
import type { Tensor } from "@anneal/ir/Tensor"
import type { IntegerScheme } from "./IntegerScheme.ts"
import { nameOf } from "./IntegerScheme.ts"
import { columnStepBytes, stepOf } from "./IntegerTile.ts"

export interface PanelShape {
  /** Matrices: groups, or the batch of a contraction. */
  readonly outer: number
  /** Columns of one matrix. */
  readonly n: number
  readonly k: number
  /** Columns of a panel. */
  readonly columns: number
  readonly scheme: IntegerScheme
}

export const stepsOf = ({ k, scheme }: PanelShape): number => Math.ceil(k / stepOf(scheme.arithmetic))
export const panelsOf = ({ columns, n }: PanelShape): number => Math.ceil(n / columns)

/** Bytes of one panel. */
export const panelBytes = (shape: PanelShape): number =>
  stepsOf(shape) * shape.columns * columnStepBytes(shape.scheme.arithmetic)

/** Bytes of all panels; the terms begin there. */
export const termsOffset = (shape: PanelShape): number => shape.outer * panelsOf(shape) * panelBytes(shape)

/** Bytes of everything. */
export const bytesOf = (shape: PanelShape): number =>
  termsOffset(shape) + shape.outer * panelsOf(shape) * shape.columns * 4

export const layoutOf = ({ columns, scheme }: PanelShape): string =>
  `integer-panels ${nameOf(scheme.arithmetic).replace(/-(add|2|4)$/, "")} columns=${columns} offset=${scheme.offset.a},${scheme.offset.b} zero=${scheme.zero.a},${scheme.zero.b}`

/** Where element (outer, column, k) of a tensor is. */
export type Place = (outer: number, column: number, k: number) => number

export const pack = (shape: PanelShape, elements: Tensor, place: Place): Uint8Array => {
  const { columns, k, n, outer, scheme } = shape
  const { offset, zero } = scheme
  const bytes = new Uint8Array(bytesOf(shape))
  const step = stepOf(scheme.arithmetic)
  const size = columnStepBytes(scheme.arithmetic) / step
  const view = new DataView(bytes.buffer)
  const panels = panelsOf(shape)
  const terms = termsOffset(shape)
  for (let o = 0; o < outer; o++)
    for (let column = 0; column < n; column++) {
      const [panel, lane] = [Math.floor(column / columns), column % columns]
      const start = (o * panels + panel) * panelBytes(shape)
      let sum = 0
      for (let i = 0; i < k; i++) {
        const value = Number(elements.data[place(o, column, i)] ?? 0)
        sum += value - zero.b
        const at = start + ((Math.floor(i / step) * columns + lane) * step + (i % step)) * size
        if (size === 2) view.setInt16(at, value - offset.b, true)
        else view.setInt8(at, value - offset.b)
      }
      view.setInt32(terms + ((o * panels + panel) * columns + lane) * 4, Math.imul(offset.a - zero.a, sum | 0), true)
    }
  return bytes
}
