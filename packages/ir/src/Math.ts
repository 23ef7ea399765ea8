/**
 * Elementary functions in float64 that give the same bits on every machine and engine.
 *
 *   exp(1) ⇒ 2.718281828459045
 *
 * The `Math` of JavaScript may differ between engines in all of these. Ours are made of + − × ÷ √, exact roundings and bit
 * moves only, each with one result by IEEE 754; their tables come from integer arithmetic when the module loads. Errors stay
 * below 1 ulp. Special values are those of IEEE 754 and C, also where JavaScript's differ (`pow(1, NaN)` is 1).
 */
export { cosh, exp, expm1, sinh, tanh } from "./internal/Exponential.ts"
export { erf } from "./internal/ErrorFunction.ts"
export { acosh, asinh, atanh, log, log10, log1p, log2, pow } from "./internal/Logarithm.ts"
export { acos, asin, atan, atan2, cos, sin, tan } from "./internal/Trigonometry.ts"
