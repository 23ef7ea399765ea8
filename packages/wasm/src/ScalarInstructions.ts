/** Instructions of WebAssembly on single integers and floats. */
import type { Expr, F32, F64, I32, I64, ValueType } from "./Encoding.ts"
import { binary, bytesOf, expr, loading, signed, storing, unary } from "./Encoding.ts"

/** Comparisons from an opcode on, arithmetic from another: the specification lists both widths in one order. */
const integers = <T extends "i32" | "i64">(type: T, compare: number, compute: number) => {
  const order = (step: number) => binary<T, T, "i32">("i32", [compare + step])
  const one = (step: number) => unary<T, T>(type, [compute + step])
  const two = (step: number) => binary<T, T, T>(type, [compute + step])
  return {
    eqz: unary<T, "i32">("i32", [compare]),
    eq: order(1),
    ne: order(2),
    lt_s: order(3),
    lt_u: order(4),
    gt_s: order(5),
    gt_u: order(6),
    le_s: order(7),
    le_u: order(8),
    ge_s: order(9),
    ge_u: order(10),
    clz: one(0),
    ctz: one(1),
    popcnt: one(2),
    add: two(3),
    sub: two(4),
    mul: two(5),
    div_s: two(6),
    div_u: two(7),
    rem_s: two(8),
    rem_u: two(9),
    and: two(10),
    or: two(11),
    xor: two(12),
    shl: two(13),
    shr_s: two(14),
    shr_u: two(15),
    rotl: two(16),
    rotr: two(17)
  }
}

const floats = <T extends "f32" | "f64">(type: T, compare: number, compute: number) => {
  const order = (step: number) => binary<T, T, "i32">("i32", [compare + step])
  const one = (step: number) => unary<T, T>(type, [compute + step])
  const two = (step: number) => binary<T, T, T>(type, [compute + step])
  return {
    eq: order(0),
    ne: order(1),
    lt: order(2),
    gt: order(3),
    le: order(4),
    ge: order(5),
    abs: one(0),
    neg: one(1),
    ceil: one(2),
    floor: one(3),
    trunc: one(4),
    nearest: one(5),
    sqrt: one(6),
    add: two(7),
    sub: two(8),
    mul: two(9),
    div: two(10),
    min: two(11),
    max: two(12),
    copysign: two(13)
  }
}

/** What both widths of integers have, and both of floats. */
export type Integers<T extends "i32" | "i64"> = ReturnType<typeof integers<T>>
export type Floats<T extends "f32" | "f64"> = ReturnType<typeof floats<T>>

/** A 32-bit integer; given as unsigned or signed. */
const i32const = (value: number): I32 => expr("i32", [0x41, signed(BigInt(value | 0))])

export const i32 = {
  ...integers("i32", 0x45, 0x67),
  const: i32const,
  load: loading("i32", [0x28], 2),
  load8_s: loading("i32", [0x2c], 0),
  load8_u: loading("i32", [0x2d], 0),
  load16_s: loading("i32", [0x2e], 1),
  load16_u: loading("i32", [0x2f], 1),
  store: storing<"i32">([0x36], 2),
  store8: storing<"i32">([0x3a], 0),
  store16: storing<"i32">([0x3b], 1),
  wrap_i64: unary<"i64", "i32">("i32", [0xa7]),
  trunc_f32_s: unary<"f32", "i32">("i32", [0xa8]),
  trunc_f64_s: unary<"f64", "i32">("i32", [0xaa]),
  reinterpret_f32: unary<"f32", "i32">("i32", [0xbc]),
  extend8_s: unary<"i32", "i32">("i32", [0xc0]),
  extend16_s: unary<"i32", "i32">("i32", [0xc1]),
  trunc_sat_f32_s: unary<"f32", "i32">("i32", [0xfc, 0]),
  trunc_sat_f32_u: unary<"f32", "i32">("i32", [0xfc, 1]),
  trunc_sat_f64_s: unary<"f64", "i32">("i32", [0xfc, 2]),
  trunc_sat_f64_u: unary<"f64", "i32">("i32", [0xfc, 3])
}

export const i64 = {
  ...integers("i64", 0x50, 0x79),
  const: (value: bigint): I64 => expr("i64", [0x42, signed(BigInt.asIntN(64, value))]),
  load: loading("i64", [0x29], 3),
  load8_s: loading("i64", [0x30], 0),
  load8_u: loading("i64", [0x31], 0),
  load16_s: loading("i64", [0x32], 1),
  load16_u: loading("i64", [0x33], 1),
  load32_s: loading("i64", [0x34], 2),
  load32_u: loading("i64", [0x35], 2),
  store: storing<"i64">([0x37], 3),
  store8: storing<"i64">([0x3c], 0),
  store16: storing<"i64">([0x3d], 1),
  store32: storing<"i64">([0x3e], 2),
  extend_i32_s: unary<"i32", "i64">("i64", [0xac]),
  extend_i32_u: unary<"i32", "i64">("i64", [0xad]),
  reinterpret_f64: unary<"f64", "i64">("i64", [0xbd]),
  extend8_s: unary<"i64", "i64">("i64", [0xc2]),
  extend16_s: unary<"i64", "i64">("i64", [0xc3]),
  extend32_s: unary<"i64", "i64">("i64", [0xc4]),
  trunc_sat_f32_s: unary<"f32", "i64">("i64", [0xfc, 4]),
  trunc_sat_f32_u: unary<"f32", "i64">("i64", [0xfc, 5]),
  trunc_sat_f64_s: unary<"f64", "i64">("i64", [0xfc, 6]),
  trunc_sat_f64_u: unary<"f64", "i64">("i64", [0xfc, 7])
}

export const f32 = {
  ...floats("f32", 0x5b, 0x8b),
  const: (value: number): F32 => expr("f32", [0x43, bytesOf((view) => view.setFloat32(0, value, true), 4)]),
  load: loading("f32", [0x2a], 2),
  store: storing<"f32">([0x38], 2),
  convert_i32_s: unary<"i32", "f32">("f32", [0xb2]),
  convert_i32_u: unary<"i32", "f32">("f32", [0xb3]),
  convert_i64_s: unary<"i64", "f32">("f32", [0xb4]),
  convert_i64_u: unary<"i64", "f32">("f32", [0xb5]),
  demote_f64: unary<"f64", "f32">("f32", [0xb6]),
  reinterpret_i32: unary<"i32", "f32">("f32", [0xbe])
}

export const f64 = {
  ...floats("f64", 0x61, 0x99),
  const: (value: number): F64 => expr("f64", [0x44, bytesOf((view) => view.setFloat64(0, value, true), 8)]),
  load: loading("f64", [0x2b], 3),
  store: storing<"f64">([0x39], 3),
  convert_i32_s: unary<"i32", "f64">("f64", [0xb7]),
  convert_i32_u: unary<"i32", "f64">("f64", [0xb8]),
  convert_i64_s: unary<"i64", "f64">("f64", [0xb9]),
  convert_i64_u: unary<"i64", "f64">("f64", [0xba]),
  promote_f32: unary<"f32", "f64">("f64", [0xbb]),
  reinterpret_i64: unary<"i64", "f64">("f64", [0xbf])
}

/** `a` where the condition is not 0, else `b`. */
export const select = <T extends ValueType>(condition: I32, a: Expr<T>, b: Expr<T>): Expr<T> =>
  // `select` without a type takes numbers and vectors alike.
  expr(a.type, [a.code, b.code, condition.code, 0x1b])
