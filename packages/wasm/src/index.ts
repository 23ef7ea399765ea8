// The embedded default target: generated WebAssembly SIMD. What needs Node is in modules of its own: NodeThreads, measure/Measure.
export * as Compile from "./Compile.ts"
export * as Executor from "./Executor.ts"
export * as Features from "./Features.ts"
export * as Instruction from "./Instruction.ts"
export * as ModuleBuilder from "./ModuleBuilder.ts"
export * as Target from "./Target.ts"
