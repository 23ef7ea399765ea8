/**
 * Encoding: what instructions of WebAssembly are made of: numbers in LEB128, expressions with their type and bytes, loads and
 * stores with their offset.
 */
export type ValueType = "i32" | "i64" | "f32" | "f64" | "v128"

/** Bytes, nested: concatenated once, when the module is written. */
export type Code = ReadonlyArray<number | Code>

export interface Expr<T extends ValueType = ValueType> {
  readonly type: T
  readonly code: Code
}

export type I32 = Expr<"i32">
export type I64 = Expr<"i64">
export type F32 = Expr<"f32">
export type F64 = Expr<"f64">
export type V128 = Expr<"v128">

/** LEB128 without sign. */
export const unsigned = (value: number): ReadonlyArray<number> => {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no unsigned integer`)
  const bytes: Array<number> = []
  let rest = value
  do {
    const low = rest % 128
    rest = Math.floor(rest / 128)
    bytes.push(rest > 0 ? low | 0x80 : low)
  } while (rest > 0)
  return bytes
}

/** LEB128 with sign. */
export const signed = (value: bigint): ReadonlyArray<number> => {
  const bytes: Array<number> = []
  let rest = value
  for (;;) {
    const low = Number(rest & 0x7fn)
    rest >>= 7n
    const done = (rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)
    bytes.push(done ? low : low | 0x80)
    if (done) return bytes
  }
}

export const bytesOf = (write: (view: DataView) => void, length: number): ReadonlyArray<number> => {
  const bytes = new Uint8Array(length)
  write(new DataView(bytes.buffer))
  return [...bytes]
}

export const expr = <T extends ValueType>(type: T, code: Code): Expr<T> => ({ type, code })
export const simd = (opcode: number): ReadonlyArray<number> => [0xfd, ...unsigned(opcode)]

export const operation =
  <R extends ValueType>(type: R, opcode: ReadonlyArray<number>) =>
  (...operands: ReadonlyArray<Expr>): Expr<R> =>
    expr(type, [...operands.map(({ code }) => code), opcode])

export const unary =
  <A extends ValueType, R extends ValueType>(type: R, opcode: ReadonlyArray<number>) =>
  (a: Expr<A>): Expr<R> =>
    operation(type, opcode)(a)
export const binary =
  <A extends ValueType, B extends ValueType, R extends ValueType>(type: R, opcode: ReadonlyArray<number>) =>
  (a: Expr<A>, b: Expr<B>): Expr<R> =>
    operation(type, opcode)(a, b)
export const ternary =
  <A extends ValueType, C extends ValueType, R extends ValueType>(type: R, opcode: ReadonlyArray<number>) =>
  (a: Expr<A>, b: Expr<A>, c: Expr<C>): Expr<R> =>
    operation(type, opcode)(a, b, c)

/** log2 of the natural alignment and the constant byte offset. */
export const memory = (align: number, offset: number): Code => [align, unsigned(offset)]
export const loading =
  <R extends ValueType>(type: R, opcode: ReadonlyArray<number>, align: number) =>
  (address: I32, offset = 0): Expr<R> =>
    expr(type, [address.code, opcode, memory(align, offset)])
export const storing =
  <A extends ValueType>(opcode: ReadonlyArray<number>, align: number) =>
  (address: I32, value: Expr<A>, offset = 0): Code => [address.code, value.code, opcode, memory(align, offset)]
