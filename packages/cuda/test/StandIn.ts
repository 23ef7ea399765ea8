/** The built addon with the stand-in driver, for tests; undefined, with a message, where it is not built. */
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import type * as Native from "@anneal/cuda/Native"

const build = fileURLToPath(new URL("../../../native/build/", import.meta.url))

export const addonPath = `${build}anneal_cuda.node`
export const driverPath = `${build}libfake_cuda.so`

export const standIn: Native.Options | undefined =
  existsSync(addonPath) && existsSync(driverPath)
    ? { paths: [addonPath], environment: { ANNEAL_LIBCUDA: driverPath, ANNEAL_NVRTC: driverPath } }
    : undefined

if (standIn === undefined) console.warn("the native addon is not built (npm run build:native): its tests are skipped")

/** An image of the stand-in driver, and the same signatures for the recording device. */
export const image = [
  "fake-image",
  "kernel fill 8 4 4",
  "kernel copy 8 8",
  "kernel slow",
  "kernel hang",
  "kernel crash",
  "global table 64",
  ""
].join("\n")
export const kernels = {
  fill: {
    parameters: [
      [0, 8],
      [8, 4],
      [12, 4]
    ]
  },
  copy: {
    parameters: [
      [0, 8],
      [8, 8]
    ]
  },
  slow: { parameters: [] },
  hang: { parameters: [] },
  crash: { parameters: [] },
  table: { globalBytes: 64 }
} as const
