// Whether two lists of tensors agree within error bounds: element by element, the difference is at most the sum of both
// bounds. What is not finite before, or has no bound, is not compared.
import * as Numbers from "@anneal/ir/Numbers"
import type { Bounded } from "@anneal/pipeline/Oracle"

/** The first element that differs by more than it may, as text; undefined when all agree. */
export const firstDifference = (a: Bounded, b: Bounded): string | undefined => {
  for (const [position, left] of a.outputs.entries()) {
    const right = b.outputs[position]
    if (right === undefined) return `result ${position} is missing`
    if (left.shape.join() !== right.shape.join())
      return `result ${position} has shape [${right.shape.join()}], expected [${left.shape.join()}]`
    const [xs, ys] = [Numbers.toNumbers(left), Numbers.toNumbers(right)]
    for (let i = 0; i < xs.length; i++) {
      const [x, y] = [xs[i] ?? 0, ys[i] ?? 0]
      const allowed = (a.bounds[position]?.[i] ?? 0) + (b.bounds[position]?.[i] ?? 0)
      if (!Number.isFinite(x) || allowed === Infinity || Math.abs(x - y) <= allowed) continue
      return `element ${i} of result ${position} is ${y}, expected ${x}; they may differ by ${allowed}`
    }
  }
  return undefined
}

/** Share of elements that have a finite bound; 1 when there is no element. */
export const boundedShare = ({ bounds }: Bounded): number => {
  let [finite, total] = [0, 0]
  for (const list of bounds)
    for (const bound of list) {
      total++
      if (Number.isFinite(bound)) finite++
    }
  return total === 0 ? 1 : finite / total
}
