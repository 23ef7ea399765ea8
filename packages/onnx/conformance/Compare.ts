// Whether a result is the expected one: floats within a tolerance, integers and bools exactly.
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Numbers from "@anneal/ir/Numbers"
import type { Tensor } from "@anneal/ir/Tensor"

export interface Tolerance {
  readonly relative: number
  readonly absolute: number
}

/** A unit in the last place of the narrow formats is more than the tolerance for f32. */
const tolerances: { readonly [D in DType]?: Tolerance } = {
  f32: { relative: 1e-3, absolute: 1e-5 },
  f64: { relative: 1e-3, absolute: 1e-5 },
  f16: { relative: 2 ** -9, absolute: 1e-3 },
  bf16: { relative: 2 ** -6, absolute: 1e-2 },
  f8e4m3: { relative: 2 ** -3, absolute: 2 ** -9 },
  f8e5m2: { relative: 2 ** -2, absolute: 2 ** -16 }
}

/** What differs first, or undefined when nothing does. */
export const difference = (found: Tensor, expected: Tensor, given?: Tolerance): string | undefined => {
  if (found.dtype !== expected.dtype) return `dtype ${found.dtype}, expected ${expected.dtype}`
  if (found.shape.join() !== expected.shape.join())
    return `shape [${found.shape.join()}], expected [${expected.shape.join()}]`
  if (!DTypes.isFloat(found.dtype)) {
    const at = found.data.findIndex((value, index) => value !== expected.data[index])
    return at === -1 ? undefined : `element ${at} is ${found.data[at]}, expected ${expected.data[at]}`
  }
  const tolerance = given ?? tolerances[found.dtype] ?? { relative: 0, absolute: 0 }
  const [a, b] = [Numbers.toNumbers(found), Numbers.toNumbers(expected)]
  for (const [index, value] of a.entries()) {
    const wanted = b[index] ?? 0
    if (Object.is(value, wanted) || value === wanted) continue
    const isNear = Math.abs(value - wanted) <= tolerance.absolute + tolerance.relative * Math.abs(wanted)
    if (!isNear && !(Number.isNaN(value) && Number.isNaN(wanted)))
      return `element ${index} is ${value}, expected ${wanted}`
  }
  return undefined
}
