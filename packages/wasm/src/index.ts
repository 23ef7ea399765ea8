// The embedded default target: generated WebAssembly SIMD.
export * as Instruction from "./Instruction.ts"
export * as ModuleBuilder from "./ModuleBuilder.ts"
