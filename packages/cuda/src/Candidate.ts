/**
 * What could run a piece of work: an instance of a kernel template, or a call of a vendor's library, each with the time that a
 * model expects. A tuner measures the first of them; without a tuner the first is taken.
 */

/** The element types that templates name. */
export type ElementType = "f16" | "bf16" | "tf32" | "float" | "e4m3" | "e5m2" | "s8" | "s32"

export const elementBytes = (type: ElementType): number =>
  ({ f16: 2, bf16: 2, tf32: 4, float: 4, e4m3: 1, e5m2: 1, s8: 1, s32: 4 })[type]

/** What happens to an output element, as text for the template, and how many matrices of the output's shape it reads. */
export interface Epilogue {
  readonly inputs: string
  readonly text: string
  readonly matrices: number
}

/** `D[b, m, n] = epilogue(sum over k of A[b, m, k] * B[b, n, k])`. Row strides in elements. */
export interface Product {
  readonly _tag: "Product"
  readonly m: number
  readonly n: number
  readonly k: number
  readonly batch: number
  readonly input: ElementType
  readonly output: ElementType
  readonly strides: { readonly a: number; readonly b: number; readonly d: number }
  /** B does not change between launches (weights), so its loads need not wait for the kernel before. */
  readonly constantB: boolean
  readonly epilogue?: Epilogue
}

/** NHWC, weights `[filters, taps, channels / groups]`. */
export interface Convolution {
  readonly _tag: "Convolution"
  readonly images: number
  readonly height: number
  readonly width: number
  readonly channels: number
  readonly filters: number
  readonly filter: readonly [number, number]
  readonly stride: number
  readonly padding: number
  readonly dilation: number
  readonly groups: number
  readonly transposed: boolean
  readonly input: "f16" | "bf16"
  readonly epilogue?: Epilogue
}

export type Problem = Product | Convolution

/** Microseconds that the model expects, and what each limit alone would take: the largest says what binds. */
export interface Expected {
  readonly microseconds: number
  readonly tensor: number
  readonly ingest: number
  readonly memory: number
  /** Tiles that the busiest multiprocessor computes one after another. */
  readonly rounds: number
}

/** An instance of `native/kernels/<template>.cu`: its macros are what a compiler hands to nvcc or NVRTC. */
export interface KernelCandidate {
  readonly _tag: "Kernel"
  readonly template: string
  readonly entry: string
  readonly defines: Readonly<Record<string, string | number>>
  readonly threads: number
  readonly sharedBytes: number
  readonly expected: Expected
}

/** A call of a library, behind the same interface: every algorithm that its heuristics name is one thing to measure. */
export interface VendorCandidate {
  readonly _tag: "Vendor"
  readonly library: "cuBLASLt" | "cuDNN"
  /** What the call fuses; the rest of the epilogue is a kernel of its own after it. */
  readonly fuses: "nothing" | "bias" | "bias and activation" | "bias, residual and activation"
  readonly expected: Expected
}

export type Candidate = KernelCandidate | VendorCandidate
