/**
 * Instructions of WebAssembly as typed expressions: an expression knows its type and its bytes.
 *
 *   f32x4.add(v128.load(address, 16), acc)  ⇒  … fd 00 04 10 … fd e4 01
 *
 * Source: WebAssembly Core Specification 3.0 (fixed-width SIMD, relaxed SIMD) and the threads proposal.
 */
export type { Code, Expr, F32, F64, I32, I64, V128, ValueType } from "./Encoding.ts"
export { signed, unsigned } from "./Encoding.ts"
export type { Integers, Floats } from "./ScalarInstructions.ts"
export { i32, i64, f32, f64, select } from "./ScalarInstructions.ts"
export { v128, shuffle, i8x16, i16x8, i32x4, i64x2, f32x4, f64x2 } from "./VectorInstructions.ts"
export { memoryCopy, memoryFill, atomic } from "./MemoryInstructions.ts"
