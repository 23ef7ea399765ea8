/**
 * Everything that can go wrong with a device, as one error with a `reason`.
 *
 * `allocate 85899345920 bytes: out of memory (CUDA_ERROR_OUT_OF_MEMORY from cuMemAlloc_v2)`  ⇒
 * `CudaError { doing: "allocate …", reason: { _tag: "OutOfMemory" } }`
 *
 * Codes: CUDA Driver API, `CUresult`; NVRTC, `nvrtcResult`; ANNEAL_… where the addon or the recording device refused the
 * call before any driver saw it.
 */
import * as Schema from "effect/Schema"

/** The device, or the host's page-locked memory, has no room for what was asked. */
export const OutOfMemory = Schema.TaggedStruct("OutOfMemory", {})

/** The driver refused the call; nothing is broken. */
export const Refused = Schema.TaggedStruct("Refused", {})

/** The object was released before, or is of another kind. */
export const NotAlive = Schema.TaggedStruct("NotAlive", {})

/** Two objects of different devices in one call. */
export const WrongDevice = Schema.TaggedStruct("WrongDevice", {})

/** Something still depends on the object: work under way, a wait, or objects made from it. */
export const StillInUse = Schema.TaggedStruct("StillInUse", {})

/** An argument is not what the call takes. */
export const BadArgument = Schema.TaggedStruct("BadArgument", {})

/** A range reaches past the end of its memory. */
export const OutOfRange = Schema.TaggedStruct("OutOfRange", {})

/** A library, or an entry point of it, is not on this machine. */
export const Missing = Schema.TaggedStruct("Missing", {})

/** A compiler or linker refused its input. */
export const CompileFailed = Schema.TaggedStruct("CompileFailed", { log: Schema.String })

/** A kernel did something that ended the whole context: no later call of this process on this device will work. */
export const ContextBroken = Schema.TaggedStruct("ContextBroken", {})

/** Two accesses that may touch the same bytes in no certain order, or a read of bytes that nothing wrote. */
export const Hazard = Schema.TaggedStruct("Hazard", { kind: Schema.Literals(["race", "overlap", "uninitialised"]) })

export const Reason = Schema.Union([
  OutOfMemory,
  Refused,
  NotAlive,
  WrongDevice,
  StillInUse,
  BadArgument,
  OutOfRange,
  Missing,
  CompileFailed,
  ContextBroken,
  Hazard
])
export type Reason = typeof Reason.Type

/** A call on a device failed. `doing` says what was wanted, with its figures; `call` the entry point, if one was reached. */
export class CudaError extends Schema.TaggedError<CudaError>()("CudaError", {
  doing: Schema.String,
  description: Schema.String,
  code: Schema.String,
  call: Schema.String,
  reason: Reason
}) {
  override get message(): string {
    const where = this.call === "" ? this.code : `${this.code} from ${this.call}`
    const advice = adviceFor(this.reason)
    const log = this.reason._tag === "CompileFailed" && this.reason.log !== "" ? `\n${this.reason.log}` : ""
    return `${this.doing}: ${this.description} (${where})${advice === "" ? "" : `. ${advice}`}${log}`
  }
}

const adviceFor = (reason: Reason): string => {
  switch (reason._tag) {
    case "OutOfMemory":
      return "Free buffers, trim the pools, or plan for less memory"
    case "ContextBroken":
      return "This process cannot use the device any more: run what may crash in a process of its own (Isolated)"
    case "Missing":
      return "`anneal doctor` says what is missing and where it was looked for"
    default:
      return ""
  }
}

// After these the driver answers every call on the context with the same error (CUDA Driver API, CUresult).
const breaking: ReadonlySet<string> = new Set([
  "CUDA_ERROR_ILLEGAL_ADDRESS",
  "CUDA_ERROR_LAUNCH_TIMEOUT",
  "CUDA_ERROR_ASSERT",
  "CUDA_ERROR_HARDWARE_STACK_ERROR",
  "CUDA_ERROR_ILLEGAL_INSTRUCTION",
  "CUDA_ERROR_MISALIGNED_ADDRESS",
  "CUDA_ERROR_INVALID_ADDRESS_SPACE",
  "CUDA_ERROR_INVALID_PC",
  "CUDA_ERROR_LAUNCH_FAILED",
  "CUDA_ERROR_ECC_UNCORRECTABLE",
  "CUDA_ERROR_CONTEXT_IS_DESTROYED"
])

const own: Readonly<Record<string, Reason>> = {
  ANNEAL_STALE_HANDLE: NotAlive.make({}),
  ANNEAL_WRONG_KIND: NotAlive.make({}),
  ANNEAL_WRONG_DEVICE: WrongDevice.make({}),
  ANNEAL_BUSY: StillInUse.make({}),
  ANNEAL_HAS_CHILDREN: StillInUse.make({}),
  ANNEAL_BAD_ARGUMENT: BadArgument.make({}),
  ANNEAL_OUT_OF_RANGE: OutOfRange.make({}),
  ANNEAL_LIBRARY_MISSING: Missing.make({}),
  ANNEAL_SYMBOL_MISSING: Missing.make({}),
  CUDA_ERROR_OUT_OF_MEMORY: OutOfMemory.make({})
}

/** The reason that belongs to a code. `log` is a compiler's messages. */
export const reasonOf = (code: string, log = ""): Reason => {
  const known = own[code]
  if (known !== undefined) return known
  if (breaking.has(code)) return ContextBroken.make({})
  if (log !== "" || code.startsWith("NVRTC_ERROR_") || code.startsWith("NVJITLINK_ERROR_"))
    return CompileFailed.make({ log })
  return Refused.make({})
}

/** An error of our own making, for the recording device and for checks in TypeScript. */
export const refuse = (code: string, doing: string, description: string): CudaError =>
  new CudaError({ doing, description, code, call: "", reason: reasonOf(code) })

const textOf = (value: object, key: string): string => {
  const found: unknown = Reflect.get(value, key)
  return typeof found === "string" ? found : ""
}

/** What the addon threw, as a `CudaError`; undefined when it is not one of the addon's errors. */
export const fromThrown = (thrown: unknown): CudaError | undefined => {
  if (thrown instanceof CudaError) return thrown
  if (!(thrown instanceof Error) || !("code" in thrown) || !("doing" in thrown)) return undefined
  const code = textOf(thrown, "code")
  return new CudaError({
    doing: textOf(thrown, "doing"),
    description: textOf(thrown, "description"),
    code,
    call: textOf(thrown, "call"),
    reason: reasonOf(code, textOf(thrown, "log"))
  })
}
