/**
 * Candidates: the kernels that can compute a region, of all kinds that there are. Adding one: write its file, add its
 * line, write its test.
 */
import type { Region } from "@anneal/lower/Region"
import * as Regions from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import type { Features } from "./Emission.ts"
import type { Kernel, TypicalSizes } from "./Kernel.ts"
import * as Attention from "./kernels/Attention.ts"
import * as ConvAtrous from "./kernels/ConvAtrous.ts"
import * as ConvDepthwise from "./kernels/ConvDepthwise.ts"
import * as ConvGemm from "./kernels/ConvGemm.ts"
import * as ConvTransposed from "./kernels/ConvTransposed.ts"
import * as ConvWinograd from "./kernels/ConvWinograd.ts"
import * as Gemm from "./kernels/Gemm.ts"
import * as Gemv from "./kernels/Gemv.ts"
import * as IntegerContraction from "./kernels/IntegerContraction.ts"
import * as IntegerConvolution from "./kernels/IntegerConvolution.ts"
import * as Loop from "./kernels/Loop.ts"
import * as ProductRows from "./kernels/ProductRows.ts"
import * as Recurrent from "./kernels/Recurrent.ts"
import * as Rows from "./kernels/Rows.ts"
import * as Whole from "./kernels/Whole.ts"
import * as Window from "./kernels/Window.ts"

/** Kernels for a region, none when it is not of their kind. */
export type Source = (region: Region, typical: TypicalSizes, features: Features) => ReadonlyArray<Kernel>

export const sources: ReadonlyArray<Source> = [
  Attention.candidates,
  Gemm.candidates,
  Gemv.candidates,
  ConvGemm.candidates,
  ConvAtrous.candidates,
  ConvDepthwise.candidates,
  ConvTransposed.candidates,
  ConvWinograd.candidates,
  IntegerContraction.candidates,
  IntegerConvolution.candidates,
  Loop.candidates,
  Recurrent.candidates,
  Rows.candidates,
  Window.candidates,
  Whole.candidates
]

/** Kernels that are offered where there is no other: they take every product, and are slower than those of one kind. */
export const lastResorts: ReadonlyArray<Source> = [ProductRows.candidates]

/**
 * Kernels of somebody else's, offered beside ours. They stand in locks, journals and reports under their owner's name
 * (`@me/fast-relu@1.2.0/relu-unrolled`): with another version nothing that was decided, measured or found right of them holds.
 */
export const owned = (owner: string, source: Source): Source => {
  const under = (kernel: Kernel): Kernel => ({ ...kernel, name: `${owner}/${kernel.name}` })
  return (region, typical, features) => source(region, typical, features).map(under)
}

/** The view that a packed constant is made from. */
export const readOf = (region: Region, place: number): View | undefined => Regions.reads(region)[place] ?? undefined

/** Least predicted cost first; the order does not depend on the machine. */
export const candidates = (
  region: Region,
  typical: TypicalSizes,
  features: Features,
  from: ReadonlyArray<Source> = sources
): ReadonlyArray<Kernel> =>
  from
    .flatMap((source) => source(region, typical, features))
    .map((kernel, place) => ({ kernel, place }))
    .sort((a, b) => a.kernel.cost - b.kernel.cost || a.place - b.place)
    .map(({ kernel }) => kernel)
