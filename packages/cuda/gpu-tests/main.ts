/**
 * What the addon does on a device: what the doctor finds, each feature once, lifecycles, isolated kernels, launch costs.
 *
 *     node --expose-gc --conditions=@anneal/source packages/cuda/gpu-tests/main.ts
 *
 * or, on a host without the project's packages, as a bundle: main.mjs, child.mjs and anneal_cuda.node in one folder
 * (docs/native.md).
 *
 * Options: `--rounds=N` (10,000), `--json=FILE`. Exit code 1 when anything is not as it must be.
 */
import { writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Doctor from "@anneal/cuda/Doctor"
import * as Device from "@anneal/cuda/Device"
import * as Compiler from "@anneal/cuda/Compiler"
import * as Isolated from "@anneal/cuda/Isolated"
import * as Native from "@anneal/cuda/Native"
import * as Features from "./Features.ts"
import { architecture, source } from "./kernels.ts"
import * as LaunchCost from "./LaunchCost.ts"
import * as Lifecycle from "./Lifecycle.ts"
import * as Products from "./Products.ts"

const option = (name: string): string | undefined =>
  process.argv.find((argument) => argument.startsWith(`--${name}=`))?.slice(name.length + 3)
const rounds = Number(option("rounds") ?? 10_000)
const childEntry = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "./child.ts" : "./child.mjs", import.meta.url)
)

const problems: Array<string> = []
const check = (ok: boolean, what: string): void => {
  console.log(`${ok ? "ok    " : "FAILED"} ${what}`)
  if (!ok) problems.push(what)
}

const isolated = (name: string, deadline: Duration.Input) =>
  Isolated.run({ entry: childEntry, payload: name, deadline }).pipe(
    Effect.match({ onSuccess: (value) => `answered ${String(value)}`, onFailure: (error) => error.message })
  )

const program = Effect.gen(function* () {
  const report = yield* Doctor.examine()
  console.log(Doctor.toText(report))
  const device = yield* Device.Device
  const real = !device.info.name.startsWith("Stand-in")
  const { image } = yield* Compiler.compile({
    source,
    name: "kernels.cu",
    architecture: architecture(device.info.computeCapability)
  })

  if (real) {
    console.log("\n== features")
    for (const [name, ok] of yield* Features.run(image)) check(ok, name)
    for (const [name, ok] of yield* Products.run) check(ok, name)
  }

  console.log("\n== isolated kernels")
  const outcomes: Record<string, string> = {}
  for (const name of ["fill", "hang", "crash"])
    outcomes[name] = yield* isolated(name, name === "hang" ? "4 seconds" : "10 seconds")
  for (const [name, outcome] of Object.entries(outcomes)) console.log(`       ${name}: ${outcome}`)
  check(outcomes["fill"] === "answered 7", "a kernel that is right answers")
  check(
    outcomes["hang"]?.includes('did not end in "kernel hang"') === true,
    "a kernel that never ends is reported by name"
  )
  check(
    outcomes["crash"]?.includes('in "kernel crash"') === true,
    "a kernel that writes past the end is reported by name"
  )

  console.log("\n== launch costs")
  const costs = yield* LaunchCost.run(image)
  for (const cost of costs)
    console.log(
      `       ${cost.what}: median ${cost.median.toFixed(3)} µs (p10 ${cost.p10.toFixed(3)}, p90 ${cost.p90.toFixed(3)})`
    )

  console.log(`\n== lifecycles, ${rounds} rounds`)
  const rows = yield* Effect.promise(() => Lifecycle.run(device.driver, 0, device.context, image, rounds))
  for (const row of rows) {
    const figures = `${row.rounds} rounds of ${row.microseconds.toFixed(1)} µs; device ${row.deviceBytes} B, host ${(row.hostBytes / 1024).toFixed(0)} KiB, handles ${row.handles}`
    check(row.deviceBytes === 0 && row.handles === 0 && row.hostBytes < 8 * 2 ** 20, `${row.kind}: ${figures}`)
  }
  const json = option("json")
  if (json !== undefined) writeFileSync(json, JSON.stringify({ report, outcomes, costs, rows }, null, 1))
}).pipe(Effect.scoped, Effect.provide(Device.layerNative(0)), Effect.provide(Native.layer))

await Effect.runPromise(program)
console.log(problems.length === 0 ? "\nall as it must be" : `\n${problems.length} problems`)
process.exit(problems.length === 0 ? 0 : 1)
