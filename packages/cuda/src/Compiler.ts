/**
 * CUDA C++ to cubin or PTX with NVRTC, and several inputs to one cubin with nvJitLink, on the machine itself.
 *
 *     const { image } = yield* Compiler.compile({ source, name: "gelu.cu", architecture: "sm_90a" })
 *     const module = yield* Module.load(image)
 *
 * Both are optional libraries: without them `CudaError` has the reason `Missing`. Source: NVRTC and nvJitLink references.
 */
import * as Effect from "effect/Effect"
import type { CudaError } from "./CudaError.ts"
import { Native } from "./Native.ts"
import type { LinkInput } from "./Native.ts"

export interface Request {
  readonly source: string
  /** Shown in messages. */
  readonly name: string
  /** `sm_90a` gives a cubin for it; `compute_90a` gives PTX. */
  readonly architecture: string
  readonly options?: ReadonlyArray<string>
  /** C++ names (`gemm<128, 64>`) whose mangled names are wanted. */
  readonly expressions?: ReadonlyArray<string>
  /** Headers by the name under which the source includes them. */
  readonly headers?: Readonly<Record<string, string>>
}

export interface Compiled {
  readonly image: Uint8Array
  readonly log: string
  /** The mangled name of each expression. */
  readonly names: ReadonlyMap<string, string>
}

/** Compiles off the event loop. Fails with `CompileFailed`, the compiler's messages in it. */
export const compile = (request: Request): Effect.Effect<Compiled, CudaError, Native> =>
  Effect.flatMap(Native, (native) => {
    const expressions = request.expressions ?? []
    return native
      .compile({
        source: request.source,
        name: request.name,
        options: [`--gpu-architecture=${request.architecture}`, "--std=c++17", ...(request.options ?? [])],
        expressions,
        headers: request.headers ?? {},
        format: request.architecture.startsWith("compute_") ? "ptx" : "cubin"
      })
      .pipe(
        Effect.map(({ image, log, lowered }) => ({
          image,
          log,
          names: new Map(expressions.map((expression, index) => [expression, lowered[index] ?? expression]))
        }))
      )
  })

/** Links to one cubin for `architecture`. */
export const link = (
  architecture: string,
  inputs: ReadonlyArray<LinkInput>,
  options: ReadonlyArray<string> = []
): Effect.Effect<{ readonly image: Uint8Array; readonly log: string }, CudaError, Native> =>
  Effect.flatMap(Native, (native) => native.link([`-arch=${architecture}`, ...options], inputs))
