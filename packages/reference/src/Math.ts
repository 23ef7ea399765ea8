/** Deterministic elementary functions, from `@anneal/ir/Math`, under the name that kernels import. */
export * from "@anneal/ir/Math"
