import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Doctor from "@anneal/cuda/Doctor"
import * as Libraries from "@anneal/cuda/Libraries"
import { addonPath, driverPath, standIn } from "./StandIn.ts"

const nowhere = {
  ANNEAL_LIBCUDA: "libnowhere-cuda.so.1",
  ANNEAL_NVRTC: "libnowhere-nvrtc.so",
  ANNEAL_NVJITLINK: "libnowhere-nvJitLink.so",
  ANNEAL_CUBLASLT: "libnowhere-cublasLt.so",
  ANNEAL_CUDNN: "libnowhere-cudnn.so"
}

describe("Doctor", () => {
  it.live("reports a machine where the addon is not built", () =>
    Effect.gen(function* () {
      const report = yield* Doctor.examine({ paths: ["/nowhere/anneal_cuda.node"] })
      assert.isFalse(report.addon.found)
      assert.deepStrictEqual(report.devices, [])
      assert.strictEqual(report.missing.length, 1)
      assert.include(report.missing[0] ?? "", "npm run build:native")
      assert.include(Doctor.toText(report), "addon      not usable")
    })
  )

  it.live.skipIf(standIn === undefined)("reports a machine without a GPU: what is missing, and what that costs", () =>
    Effect.gen(function* () {
      const report = yield* Doctor.examine({ paths: [addonPath], environment: nowhere })
      assert.isTrue(report.addon.found)
      assert.deepStrictEqual(
        report.libraries.map((library) => library.found),
        [false, false, false, false, false]
      )
      assert.strictEqual(report.missing.length, 5)
      for (const [index, spec] of Libraries.specs.entries()) {
        assert.include(report.missing[index] ?? "", spec.cost)
        assert.include(report.missing[index] ?? "", "libnowhere")
      }
      assert.include(Doctor.toText(report), "CUDA driver")
    })
  )

  it.live.skipIf(standIn === undefined)("names driver, devices and libraries where they are", () =>
    Effect.gen(function* () {
      const environment = { ...nowhere, ANNEAL_LIBCUDA: driverPath, ANNEAL_NVRTC: driverPath }
      const report = yield* Doctor.examine({ paths: [addonPath], environment })
      assert.deepStrictEqual(
        report.libraries.map(({ name, found, version }) => [name, found, version]),
        [
          ["cuda", true, "13.0"],
          ["nvrtc", true, "13.0"],
          ["nvJitLink", false, ""],
          ["cublasLt", false, ""],
          ["cudnn", false, ""]
        ]
      )
      assert.deepStrictEqual(
        report.devices.map((device) => [device.ordinal, device.computeCapability]),
        [
          [0, 90],
          [1, 90]
        ]
      )
      const text = Doctor.toText(report)
      assert.include(text, "Stand-in device, sm_90, 1.0 GiB, 132 multiprocessors")
      assert.include(text, driverPath)
    })
  )
})

describe("Libraries", () => {
  it("tries a named library alone, else the loader's names and then the toolkit's folder", () => {
    const spec = Libraries.specOf("nvrtc")
    assert.deepStrictEqual(Libraries.candidates(spec, { ANNEAL_NVRTC: "/x.so" }), ["/x.so"])
    const names = Libraries.candidates(spec, { CUDA_PATH: "/opt/cuda" })
    assert.strictEqual(names[0], "libnvrtc.so.13")
    assert.include(names, "/opt/cuda/lib64/libnvrtc.so.12")
  })

  it("writes versions as people do", () => {
    assert.strictEqual(Libraries.versionText("cuda", [13000]), "13.0")
    assert.strictEqual(Libraries.versionText("cuda", [12040]), "12.4")
    assert.strictEqual(Libraries.versionText("nvrtc", [13, 0]), "13.0")
    assert.strictEqual(Libraries.versionText("cudnn", [91400]), "9.14.0")
    assert.strictEqual(Libraries.versionText("cublasLt", [130100]), "13.1.0")
    assert.strictEqual(Libraries.versionText("cudnn", []), "unknown")
  })
})
