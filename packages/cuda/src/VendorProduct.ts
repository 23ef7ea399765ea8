/**
 * cuBLASLt's products behind the interface of our own: prepared once for a problem, with every algorithm that the library's heuristics name,
 * each of which a tuner measures like a kernel; submitted to a stream, captured or not.
 *
 *     const product = yield* VendorProduct.make({ m, n, k, input: "f16", output: "f16", epilogue: "bias and gelu", ... })
 *     yield* VendorProduct.submit(product, 0, stream, { a, b, d, bias, workspace })
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Buffer } from "./Buffer.ts"
import type { ElementType, Product } from "./Candidate.ts"
import { refuse, type CudaError } from "./CudaError.ts"
import { Device } from "./Device.ts"
import type { Handle, ProductCalls } from "./Driver.ts"
import { attempt, attemptPromise, scoped } from "./internal/attempt.ts"
import type { Stream } from "./Stream.ts"

/** What the library does to an element after the sum: the bias is one of D's type for each column; GELU is by tanh. */
export type VendorEpilogue = "none" | "bias" | "bias and relu" | "bias and gelu"

/** `D[b, m, n] = epilogue(sum over k of A[b, m, k] * B[b, n, k])`, batches dense one after another. */
export interface Problem extends Pick<Product, "m" | "n" | "k" | "batch" | "input" | "output" | "strides"> {
  readonly epilogue: VendorEpilogue
  /** For fp8: sums in the tensor cores' own precision, as our kernels without PROMOTE. */
  readonly fastAccumulation: boolean
  /** Algorithms that want more are left out. */
  readonly mostWorkspaceBytes: number
}

export interface VendorProduct {
  readonly handle: Handle
  readonly calls: ProductCalls
  /** Workspace of each algorithm, the library's best guess first. */
  readonly workspaceBytes: ReadonlyArray<number>
}

export interface Operand {
  readonly buffer: Buffer
  /** Bytes, 0 where left out. */
  readonly offset?: number
}

export interface Operands {
  readonly a: Operand
  readonly b: Operand
  readonly d: Operand
  readonly bias?: Operand
  readonly workspace?: Operand
}

// cuBLASLt's numbers (native/src/cublaslt_abi.h).
const types: Readonly<Record<ElementType, number>> = {
  f16: 2,
  bf16: 14,
  tf32: 0,
  float: 0,
  e4m3: 28,
  e5m2: 29,
  s8: 3,
  s32: 10
}
const epilogues: Readonly<Record<VendorEpilogue, number>> = {
  none: 1,
  bias: 4,
  "bias and relu": 6,
  "bias and gelu": 36
}

/** Asks the heuristics; fails with reason `Missing` where there is no cuBLASLt. No algorithm at all is an empty list. */
export const make = (problem: Problem): Effect.Effect<VendorProduct, CudaError, Device | Scope.Scope> =>
  Effect.gen(function* () {
    const { driver, context } = yield* Device
    const missing = yield* attemptPromise(driver.products.open)
    if (missing.length > 0)
      return yield* Effect.fail(refuse("ANNEAL_LIBRARY_MISSING", "prepare a product of cuBLASLt", missing.join("; ")))
    const numbers = Float64Array.of(
      types[problem.input],
      types[problem.output],
      problem.m,
      problem.n,
      problem.k,
      problem.batch,
      problem.strides.a,
      problem.strides.b,
      problem.strides.d,
      epilogues[problem.epilogue],
      problem.fastAccumulation ? 1 : 0,
      problem.mostWorkspaceBytes
    )
    return yield* scoped(
      driver,
      attempt((): VendorProduct => ({ ...driver.products.prepare(context, numbers), calls: driver.products })),
      driver.products.destroy
    )
  })

/** Submits algorithm `algorithm` of the product. */
export const submit = (
  product: VendorProduct,
  algorithm: number,
  stream: Stream,
  operands: Operands
): Effect.Effect<void, CudaError> =>
  attempt(() => {
    const places = [operands.a, operands.b, operands.d, operands.bias, operands.workspace].flatMap((operand) =>
      operand === undefined ? [0, 0] : [operand.buffer.handle, operand.offset ?? 0]
    )
    product.calls.submit(product.handle, algorithm, stream.handle, Float64Array.from(places))
  })
