// The built-in rewrites: each a pass of its own, and the list that is their default order.
export * as All from "./All.ts"
export * as Driver from "./Driver.ts"
export * as Rewrite from "./Rewrite.ts"
