// The oracle: what a graph means, in numbers. `Reference.layer()` is its layer; `Kernel.define` makes a plug-in's kernel.
export * as Bounds from "./Bounds.ts"
export * as Kernel from "./Kernel.ts"
export * as Kernels from "./Kernels.ts"
export * as Math from "./Math.ts"
export * as Random from "./Random.ts"
export * as Reference from "./Reference.ts"
