// The peer onnxruntime-node: its CPU provider (MLAS), which uses whatever the processor has (AVX2, AVX-512, VNNI).
import { createRequire } from "node:module"
import * as OnnxRuntime from "./OnnxRuntime.ts"
import type { Library } from "./Protocol.ts"

const name: string = "onnxruntime-node"

export const load = async (): Promise<Library> => {
  const module: { readonly default: OnnxRuntime.Ort } = await import(name)
  const ort = module.default
  const { version }: { readonly version: string } = createRequire(import.meta.url)(`${name}/package.json`)
  return OnnxRuntime.library(ort, version, (file, threads) =>
    ort.InferenceSession.create(file, {
      executionProviders: ["cpu"],
      graphOptimizationLevel: "all",
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      logSeverityLevel: 3
    })
  )
}
