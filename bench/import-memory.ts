// Peak memory of importing a large model, as a ratio to the file. Floor: 1 (the weights, once). Bound: 1.6.
//
//   node --conditions=@anneal/source bench/import-memory.ts [MiB]
//
// The import runs in a child process of its own; what an empty child takes is subtracted.
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type * as BuilderModule from "@anneal/ir/Builder"
import * as Import from "@anneal/onnx/Import"
import * as Effect from "effect/Effect"

const width = 1024

/** `layers` products of 4 MiB of weights each, as ONNX. What it needs is not loaded by the child that is measured. */
const model = async (layers: number): Promise<Uint8Array> => {
  const [Builder, Dim, Numbers, Ops, Type, Export] = await Promise.all([
    import("@anneal/ir/Builder"),
    import("@anneal/ir/Dim"),
    import("@anneal/ir/Numbers"),
    import("@anneal/ir/Ops"),
    import("@anneal/ir/Type"),
    import("@anneal/onnx/Export")
  ])
  const b: BuilderModule.GraphBuilder = Builder.make("large")
  let x = b.input("x", Type.make("f32", [Dim.symbol("batch"), width]))
  for (let layer = 0; layer < layers; layer++) {
    const weights = Float32Array.from({ length: width * width }, (_, i) => Math.fround(((i * 31 + layer) % 97) / 97))
    x = b.one(Ops.matmul, [x, b.tensor(Numbers.fromNumbers("f32", [width, width], weights), { name: `w${layer}` })], {})
  }
  b.output("y", x)
  return Effect.runPromise(Export.exportModel(b.finish()))
}

const child = (...args: ReadonlyArray<string>): number => {
  const run = spawnSync(
    process.execPath,
    ["--conditions=@anneal/source", fileURLToPath(import.meta.url), "--child", ...args],
    { encoding: "utf8" }
  )
  if (run.status !== 0) throw new Error(run.stderr)
  return Number(run.stdout)
}

if (process.argv[2] === "--child") {
  const path = process.argv[3]
  if (path !== undefined) await Effect.runPromise(Import.importBytes(readFileSync(path)))
  // Not getrusage: what it says of a child starts from the parent's peak.
  const peak = /VmHWM:\s*(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))
  console.log(Number(peak?.[1]) * 1024)
} else {
  const directory = mkdtempSync(join(tmpdir(), "anneal-import-"))
  try {
    const path = join(directory, "model.onnx")
    writeFileSync(path, await model(Math.round(Number(process.argv[2] ?? 200) / 4)))
    const size = statSync(path).size
    const [empty, peak] = [child(), child(path)]
    const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`
    console.log(`file ${mebibytes(size)}, empty process ${mebibytes(empty)}, peak with import ${mebibytes(peak)}`)
    console.log(
      `import takes ${((peak - empty) / size).toFixed(2)} times the file; the whole process ${(peak / size).toFixed(2)} times`
    )
  } finally {
    rmSync(directory, { recursive: true })
  }
}
