import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CudaError, fromThrown, reasonOf } from "@anneal/cuda/CudaError"

const thrown = (properties: object): Error => Object.assign(new Error("thrown"), properties)

describe("CudaError", () => {
  for (const [code, tag] of [
    ["CUDA_ERROR_OUT_OF_MEMORY", "OutOfMemory"],
    ["CUDA_ERROR_INVALID_VALUE", "Refused"],
    ["CUDA_ERROR_ILLEGAL_ADDRESS", "ContextBroken"],
    ["CUDA_ERROR_LAUNCH_FAILED", "ContextBroken"],
    ["ANNEAL_STALE_HANDLE", "NotAlive"],
    ["ANNEAL_WRONG_KIND", "NotAlive"],
    ["ANNEAL_WRONG_DEVICE", "WrongDevice"],
    ["ANNEAL_BUSY", "StillInUse"],
    ["ANNEAL_HAS_CHILDREN", "StillInUse"],
    ["ANNEAL_OUT_OF_RANGE", "OutOfRange"],
    ["ANNEAL_SYMBOL_MISSING", "Missing"],
    ["NVRTC_ERROR_COMPILATION", "CompileFailed"],
    ["NVJITLINK_ERROR_6", "CompileFailed"]
  ] as const)
    it(`maps ${code} to ${tag}`, () => assert.strictEqual(reasonOf(code)._tag, tag))

  it("takes over what the addon threw, a compiler's messages included", () => {
    const error = fromThrown(
      thrown({
        code: "NVRTC_ERROR_COMPILATION",
        call: "nvrtcCompileProgram",
        doing: "compile gelu.cu with NVRTC",
        description: "NVRTC_ERROR_COMPILATION",
        result: 6,
        log: "gelu.cu(3): error: x is undefined"
      })
    )
    assert.instanceOf(error, CudaError)
    assert.include(error?.message ?? "", "compile gelu.cu with NVRTC: ")
    assert.include(error?.message ?? "", "gelu.cu(3): error: x is undefined")
  })

  it("names the call, and says what to do when the context is broken", () => {
    const error = fromThrown(
      thrown({
        code: "CUDA_ERROR_ILLEGAL_ADDRESS",
        call: "cuEventQuery",
        doing: "wait for a stream",
        description: "illegal access"
      })
    )
    assert.include(
      error?.message ?? "",
      "wait for a stream: illegal access (CUDA_ERROR_ILLEGAL_ADDRESS from cuEventQuery)"
    )
    assert.include(error?.message ?? "", "process of its own")
  })

  it("leaves other errors alone", () => {
    assert.isUndefined(fromThrown(new TypeError("no")))
    assert.isUndefined(fromThrown("no"))
    assert.isUndefined(fromThrown(thrown({ code: "ENOENT" })))
  })

  it.effect("is caught by tag and by reason", () =>
    Effect.gen(function* () {
      const error = fromThrown(thrown({ code: "ANNEAL_BUSY", call: "", doing: "free 8 bytes", description: "busy" }))
      const caught = yield* Effect.fail(
        error ?? new CudaError({ doing: "", description: "", code: "", call: "", reason: reasonOf("") })
      ).pipe(Effect.catchTag("CudaError", (found) => Effect.succeed(found.reason._tag)))
      assert.strictEqual(caught, "StillInUse")
    })
  )
})
