/**
 * Everything that could run a problem on a device, the quickest expected first: our kernels and the vendors' calls.
 *
 * `candidates(product, model)[0]` ⇒ `{ _tag: "Kernel", template: "GemmSm90", defines: { TILE_N: 192, ... }, expected: ... }`
 */
import type { Candidate, Problem, VendorCandidate } from "./Candidate.ts"
import type { DeviceModel } from "./DeviceModel.ts"
import { ofConvolution, ofProduct } from "./ProductCandidates.ts"

export interface Options {
  /** Libraries that the host has (Doctor, Libraries). */
  readonly vendors: ReadonlyArray<"cuBLASLt" | "cuDNN">
  /** Kernels expected to take longer than this many times the best kernel are left out. */
  readonly slack: number
  /** At most so many kernels. */
  readonly most: number
}

export const defaults: Options = { vendors: [], slack: 1.6, most: 64 }

/**
 * A library's call is expected where our best kernel is, so that a tuner always measures it among the first; what it cannot
 * fuse costs another pass over the output.
 */
const vendorsOf = (
  problem: Problem,
  best: number,
  device: DeviceModel,
  vendors: Options["vendors"]
): ReadonlyArray<VendorCandidate> =>
  vendors.flatMap((library): ReadonlyArray<VendorCandidate> => {
    const convolution = problem._tag === "Convolution"
    if (convolution !== (library === "cuDNN")) return []
    const matrices = problem.epilogue?.matrices ?? 0
    const fuses =
      problem.epilogue === undefined
        ? "nothing"
        : convolution
          ? matrices > 0
            ? "bias, residual and activation"
            : "bias and activation"
          : "bias and activation"
    const outputBytes = problem._tag === "Product" ? problem.batch * problem.m * problem.n * 2 : 0
    const apart =
      !convolution && matrices > 0
        ? device.launchMicroseconds + (outputBytes * (2 + matrices)) / device.memoryBytesPerMicrosecond
        : 0
    return [
      {
        _tag: "Vendor",
        library,
        fuses,
        expected: { microseconds: best + apart, tensor: 0, ingest: 0, memory: 0, rounds: 1 }
      }
    ]
  })

/** Candidates in the order of their expected time; empty where nothing is legal and no library is there. */
export const candidates = (
  problem: Problem,
  device: DeviceModel,
  options: Partial<Options> = {}
): ReadonlyArray<Candidate> => {
  const { vendors, slack, most } = { ...defaults, ...options }
  const kernels = (problem._tag === "Product" ? ofProduct(problem, device) : ofConvolution(problem, device)).toSorted(
    (a, b) => a.expected.microseconds - b.expected.microseconds
  )
  const best = kernels[0]?.expected.microseconds
  const kept = best === undefined ? [] : kernels.filter((k) => k.expected.microseconds <= slack * best).slice(0, most)
  return [...kept, ...vendorsOf(problem, best ?? device.launchMicroseconds, device, vendors)].toSorted(
    (a, b) => a.expected.microseconds - b.expected.microseconds
  )
}
