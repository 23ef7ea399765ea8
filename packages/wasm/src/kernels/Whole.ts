/**
 * Whole: kernels of single nodes that are no loops over elements: running sums, scatters, the k best, resizing, long padding.
 */
import type { Node } from "@anneal/ir/Graph"
import type { TensorType } from "@anneal/ir/Type"
import type { Region, Whole } from "@anneal/lower/Region"
import * as View from "@anneal/lower/View"
import type { Features } from "../Emission.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import * as WholeCumulative from "./WholeCumulative.ts"
import * as WholePad from "./WholePad.ts"
import * as WholeResize from "./WholeResize.ts"
import * as WholeScatter from "./WholeScatter.ts"
import * as WholeTopK from "./WholeTopK.ts"

type Source = (region: Whole, typical: TypicalSizes) => Kernel | undefined

const sources: ReadonlyArray<Source> = [
  WholeCumulative.kernel,
  WholeScatter.kernel,
  WholeTopK.kernel,
  WholeResize.kernel,
  WholePad.kernel
]

/** Kernels for a whole node; none for other regions, or nodes that are not among these. */
export const candidates = (region: Region, typical: TypicalSizes, _features: Features): ReadonlyArray<Kernel> =>
  region.kind === "whole" ? sources.flatMap((source) => source(region, typical) ?? []) : []

/** Whether there is a kernel for the node; types of its operands, then of its results. */
export const claims = (node: Node, types: ReadonlyArray<TensorType | undefined>): boolean => {
  const view = (type: TensorType | undefined, place: number) =>
    type === undefined ? null : View.contiguous(`${place}`, type.dtype, type.shape)
  const count = types.length - node.outputs.length
  const region: Whole = {
    kind: "whole",
    id: node.outputs[0]?.id ?? "",
    members: [node],
    node,
    operands: types.slice(0, count).map(view),
    results: types.slice(count).map(view)
  }
  return sources.some((source) => source(region, new Map()) !== undefined)
}
