/**
 * The CUDA part of `anneal doctor`: the addon, the driver, the devices, the libraries with versions and paths, what is
 * missing and what that costs. It never fails: what cannot be found is part of the report.
 */
import * as Effect from "effect/Effect"
import type { CudaError } from "./CudaError.ts"
import type { DeviceInfo } from "./DeviceInfo.ts"
import { attempt } from "./internal/attempt.ts"
import * as Libraries from "./Libraries.ts"
import type { NativeShape } from "./Native.ts"
import * as Native from "./Native.ts"

export interface LibraryReport {
  readonly name: Libraries.LibraryName
  readonly title: string
  readonly found: boolean
  readonly path: string
  readonly version: string
  /** Why it was not found. */
  readonly reason: string
  readonly purpose: string
  readonly cost: string
}

export interface Report {
  readonly addon: { readonly found: boolean; readonly path: string; readonly reason: string }
  readonly libraries: ReadonlyArray<LibraryReport>
  readonly devices: ReadonlyArray<DeviceInfo>
  /** What is missing, and what that costs; empty when everything is there. */
  readonly missing: ReadonlyArray<string>
}

const absent = (spec: Libraries.LibrarySpec, reason: string): LibraryReport => ({
  name: spec.name,
  title: spec.title,
  found: false,
  path: "",
  version: "",
  reason,
  purpose: spec.purpose,
  cost: spec.cost
})

const driverReport = (native: NativeShape): Effect.Effect<{ report: LibraryReport; devices: number }> => {
  const spec = Libraries.specOf("cuda")
  return native.openDriver.pipe(
    Effect.map((found) => ({
      report: {
        ...absent(spec, ""),
        found: true,
        path: found.path,
        version: Libraries.versionText("cuda", [found.version])
      },
      devices: found.devices
    })),
    Effect.catch((error: CudaError) => Effect.succeed({ report: absent(spec, error.description), devices: 0 }))
  )
}

const libraryReport = (
  native: NativeShape,
  name: Exclude<Libraries.LibraryName, "cuda">
): Effect.Effect<LibraryReport> => {
  const spec = Libraries.specOf(name)
  return native.openLibrary(name).pipe(
    Effect.map((found) =>
      found.found
        ? { ...absent(spec, ""), found: true, path: found.path, version: Libraries.versionText(name, found.version) }
        : absent(spec, found.reasons[0] ?? "not found")
    ),
    Effect.catch((error: CudaError) => Effect.succeed(absent(spec, error.description)))
  )
}

const withoutAddon = (error: Native.NativeUnavailable): Report => ({
  addon: { found: false, path: "", reason: error.message },
  libraries: Libraries.specs.map((spec) => absent(spec, "not looked for: the addon is needed to open it")),
  devices: [],
  missing: [`the native addon: ${error.reason}. Without it ${Libraries.specOf("cuda").cost}`]
})

const withAddon = (native: NativeShape): Effect.Effect<Report> =>
  Effect.gen(function* () {
    const driver = yield* driverReport(native)
    const libraries = [driver.report]
    for (const name of ["nvrtc", "nvJitLink", "cublasLt", "cudnn"] as const)
      libraries.push(yield* libraryReport(native, name))
    const missing = libraries
      .filter((library) => !library.found)
      .map((library) => `${library.title}: ${library.reason}. Without it ${library.cost}`)
    const devices: Array<DeviceInfo> = []
    for (let ordinal = 0; ordinal < driver.devices; ordinal++) {
      const described = yield* attempt(() => native.driver.describe(ordinal)).pipe(
        Effect.catch((error) => Effect.succeed(error.message))
      )
      if (typeof described === "string") missing.push(described)
      else devices.push(described)
    }
    if (driver.report.found && driver.devices === 0)
      missing.push(
        "a device: the driver is there and reports none. Is it visible to this process (CUDA_VISIBLE_DEVICES)?"
      )
    return { addon: { found: true, path: native.path, reason: "" }, libraries, devices, missing }
  })

/** Looks at this machine. Opens every library; takes a second or so where all are there. */
export const examine = (options: Native.Options = {}): Effect.Effect<Report> =>
  Native.load(options).pipe(
    Effect.flatMap(withAddon),
    Effect.catchTag("NativeUnavailable", (error) => Effect.succeed(withoutAddon(error)))
  )

const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`
const kibibytes = (bytes: number): string => `${Math.round(bytes / 1024)} KiB`

/** The report as lines for a terminal. */
export const toText = (report: Report): string => {
  const lines = [
    "CUDA",
    `  addon      ${report.addon.found ? report.addon.path : `not usable: ${report.addon.reason}`}`
  ]
  for (const library of report.libraries) {
    const state = library.found ? `${library.version}, ${library.path}` : `not found (${library.reason})`
    lines.push(`  ${library.title.padEnd(11)}${state}`)
  }
  for (const device of report.devices) {
    const { multiprocessors, l2Bytes, sharedBytesPerBlockOptIn } = device.attributes
    lines.push(
      `  device ${device.ordinal}   ${device.name}, sm_${device.computeCapability}, ${gibibytes(device.totalBytes)}, ` +
        `${multiprocessors} multiprocessors, L2 ${kibibytes(l2Bytes)}, shared memory ${kibibytes(sharedBytesPerBlockOptIn)} a block`
    )
  }
  if (report.missing.length === 0) lines.push("  nothing is missing")
  for (const what of report.missing) lines.push(`  missing    ${what}`)
  return lines.join("\n")
}
