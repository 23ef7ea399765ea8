// From a graph to a program: groupings, layouts, memory, and the scalar form that code generators print.
export * as CudaText from "./CudaText.ts"
export * as MemoryPlan from "./MemoryPlan.ts"
export * as Program from "./Program.ts"
export * as Region from "./Region.ts"
export * as Scalar from "./Scalar.ts"
export * as View from "./View.ts"
