// The peer onnxruntime-web: its wasm provider (128-bit SIMD, threads). In a process of its own and with the provider
// named: beside onnxruntime-node, or without a name, it would run the native engine.
import { readFile } from "node:fs/promises"
import { createRequire } from "node:module"
import * as OnnxRuntime from "./OnnxRuntime.ts"
import type { Library } from "./Protocol.ts"

const name: string = "onnxruntime-web"

export const load = async (): Promise<Library> => {
  const module: { readonly default: OnnxRuntime.Ort } = await import(name)
  const ort = module.default
  const manifest = createRequire(import.meta.url)
    .resolve(name)
    .replace(/dist\/.*$/, "package.json")
  const { version }: { readonly version: string } = createRequire(import.meta.url)(manifest)
  return OnnxRuntime.library(ort, version, async (file, threads) => {
    ort.env.wasm.numThreads = threads
    return ort.InferenceSession.create(await readFile(file), {
      executionProviders: ["wasm"],
      graphOptimizationLevel: "all",
      logSeverityLevel: 3
    })
  })
}
