/**
 * Places: tensors in and out of the memory, through views with strides: for what the host computes between two runs of
 * generated code.
 */
import * as DTypes from "@anneal/ir/DType"
import type { DType } from "@anneal/ir/DType"
import * as Tensor from "@anneal/ir/Tensor"

/** A view with all sizes known. `address`: of element [0, …, 0], bytes; strides in elements. */
export interface Place {
  readonly address: number
  readonly dtype: DType
  readonly shape: ReadonlyArray<number>
  readonly strides: ReadonlyArray<number>
}

/** Calls back with each element's number in row-major order and its distance from the first, in elements. */
const each = ({ shape, strides }: Place, visit: (index: number, distance: number) => void): void => {
  const count = Tensor.size(shape)
  const at = new Array<number>(shape.length).fill(0)
  let distance = 0
  for (let index = 0; index < count; index++) {
    visit(index, distance)
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const step = strides[axis] ?? 0
      const next = (at[axis] ?? 0) + 1
      distance += step
      if (next < (shape[axis] ?? 1)) {
        at[axis] = next
        break
      }
      at[axis] = 0
      distance -= step * next
    }
  }
}

/** The least and greatest distance of any element from the first. */
const reach = ({ shape, strides }: Place): readonly [least: number, greatest: number] => {
  let [least, greatest] = [0, 0]
  for (const [axis, extent] of shape.entries()) {
    const end = (extent - 1) * (strides[axis] ?? 0)
    if (end < 0) least += end
    else greatest += end
  }
  return [least, greatest]
}

const elements = (place: Place, buffer: ArrayBufferLike) => {
  const [least, greatest] = reach(place)
  const start = place.address + least * DTypes.slotBytes(place.dtype)
  return { data: DTypes.view(place.dtype, buffer, start, greatest - least + 1), zero: -least }
}

/** A copy of what is there, row-major. */
export const read = (place: Place, buffer: ArrayBufferLike): Tensor.Tensor => {
  const result = Tensor.zeros(place.dtype, place.shape)
  if (result.data.length === 0) return result
  const { data, zero } = elements(place, buffer)
  each(place, (index, distance) => {
    result.data[index] = data[zero + distance] ?? 0
  })
  return result
}

/** Puts a tensor of the same shape there. */
export const write = (place: Place, buffer: ArrayBufferLike, tensor: Tensor.Tensor): void => {
  if (tensor.data.length === 0) return
  const { data, zero } = elements(place, buffer)
  each(place, (index, distance) => {
    data[zero + distance] = tensor.data[index] ?? 0
  })
}
