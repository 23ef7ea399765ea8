/**
 * GemmPack: the right operand of a product in panels, [outer…][n / NR][k…][NR], padded with zeros to whole panels.
 *
 *   b[n, k]  ⇒  panel p, step k: b[p·NR … p·NR + NR − 1, k]
 */
import * as DType from "@anneal/ir/DType"
import * as Float from "@anneal/ir/Float"
import * as Tensor from "@anneal/ir/Tensor"
import type { Packed } from "../Kernel.ts"

export interface PanelsOf {
  readonly read: number
  /** Extents of the view's own axes; 1 where it repeats. */
  readonly shape: ReadonlyArray<number>
  /** Axes by what they are to the product: each list from the outermost. Every axis that does not repeat is in one. */
  readonly outer: ReadonlyArray<number>
  readonly n: number
  readonly k: ReadonlyArray<number>
  /** Columns of a panel. */
  readonly columns: number
}

const extents = (shape: ReadonlyArray<number>, axes: ReadonlyArray<number>): number =>
  axes.reduce((count, axis) => count * (shape[axis] ?? 1), 1)

/** Offsets of all points of some axes, the last one running fastest. */
export const offsets = (
  shape: ReadonlyArray<number>,
  strides: ReadonlyArray<number>,
  axes: ReadonlyArray<number>
): ReadonlyArray<number> =>
  axes.reduce<ReadonlyArray<number>>(
    (points, axis) =>
      points.flatMap((point) =>
        Array.from({ length: shape[axis] ?? 1 }, (_, index) => point + index * (strides[axis] ?? 0))
      ),
    [0]
  )

/** Elements as float32, narrow floats widened. */
export const toFloat32 = (elements: Tensor.Tensor): Float32Array => {
  const { data, dtype } = elements
  if (dtype === "f32" && data instanceof Float32Array) return data
  if (DType.isNarrowFloat(dtype) && (data instanceof Uint16Array || data instanceof Uint8Array))
    return Float.decodeArray(dtype, data)
  throw new TypeError(`panels of ${dtype} are not made`)
}

export const panelBytes = (k: number, columns: number): number => 4 * k * columns

export const panels = (of: PanelsOf): Packed => {
  const { columns, k, n, outer, read, shape } = of
  const count = shape[n] ?? 1
  const steps = extents(shape, k)
  const across = Math.ceil(count / columns)
  const bytes = extents(shape, outer) * across * panelBytes(steps, columns)
  return {
    read,
    layout: `panels n=${n} k=${k.join("-")} nr=${columns}`,
    bytes,
    pack: (elements) => {
      const source = toFloat32(elements)
      // Axes that repeat may have been given in full: their first element serves.
      const strides = Tensor.strides(elements.shape)
      const target = new Float32Array(bytes / 4)
      const own = strides[n] ?? 0
      const ks = offsets(shape, strides, k)
      let at = 0
      for (const begin of offsets(shape, strides, outer))
        for (let panel = 0; panel < across; panel++)
          for (const step of ks)
            for (let lane = 0; lane < columns; lane++) {
              const column = panel * columns + lane
              if (column < count) target[at] = source[begin + column * own + step] ?? 0
              at++
            }
      return new Uint8Array(target.buffer)
    }
  }
}
