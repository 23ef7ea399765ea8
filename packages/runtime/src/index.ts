// Load and run an engine: sessions, executors, profiles, the memory plan, tensors in NumPy's files.
export * as Executor from "./Executor.ts"
export * as MemoryPlan from "./MemoryPlan.ts"
export * as Npy from "./Npy.ts"
export * as NpyError from "./NpyError.ts"
export * as Npz from "./Npz.ts"
export * as Profiles from "./Profiles.ts"
export * as RuntimeError from "./RuntimeError.ts"
export * as Session from "./Session.ts"
