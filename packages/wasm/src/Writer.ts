/**
 * Writer: where code of expressions goes (a function of a module), with its constants: splats that are made once a
 * function.
 */
import type { Emission } from "./Emission.ts"
import type { Expr, F32, I32, V128, ValueType } from "./Instruction.ts"
import { f32x4, i32, v128 } from "./Instruction.ts"
import type { FunctionBuilder } from "./ModuleBuilder.ts"

const local = 0x20

/** Whether evaluating it again costs nothing: a local or a constant of 32 bits. */
const isCheap = ({ code, type }: Expr): boolean =>
  code[0] === local || (code[0] === 0x41 && type === "i32") || (code[0] === 0x43 && type === "f32")

/** The value in a local, for more than one use. */
export const keep = <T extends ValueType>(f: FunctionBuilder, value: Expr<T>): Expr<T> =>
  isCheap(value) ? value : f.get(f.let(value))

const bytes = (write: (view: DataView) => void): ReadonlyArray<number> => {
  const data = new Uint8Array(16)
  write(new DataView(data.buffer))
  return [...data]
}

const four = [0, 4, 8, 12]

export class Writer {
  readonly f: FunctionBuilder
  readonly emission: Emission

  constructor(f: FunctionBuilder, emission: Emission) {
    this.f = f
    this.emission = emission
  }

  i32(value: number): I32 {
    return i32.const(value)
  }

  splatF32(value: number): V128 {
    return this.f.constant(v128.const(bytes((view) => four.forEach((at) => view.setFloat32(at, value, true)))))
  }

  splatI32(value: number): V128 {
    return this.f.constant(v128.const(bytes((view) => four.forEach((at) => view.setInt32(at, value, true)))))
  }

  splatF64(value: number): V128 {
    return this.f.constant(v128.const(bytes((view) => [0, 8].forEach((at) => view.setFloat64(at, value, true)))))
  }

  splatI64(value: bigint): V128 {
    return this.f.constant(v128.const(bytes((view) => [0, 8].forEach((at) => view.setBigInt64(at, value, true)))))
  }

  /** 0, 1, 2, 3. */
  steps(): V128 {
    return this.f.constant(v128.const(bytes((view) => four.forEach((at, lane) => view.setInt32(at, lane, true)))))
  }

  /** a · b + c: rounded once where the host has relaxed SIMD (and the hardware fuses), else twice. */
  madd(a: V128, b: V128, c: V128): V128 {
    return this.emission.features.relaxed ? f32x4.relaxed_madd(a, b, c) : f32x4.add(f32x4.mul(a, b), c)
  }

  /** c − a · b, as `madd`. */
  nmadd(a: V128, b: V128, c: V128): V128 {
    return this.emission.features.relaxed ? f32x4.relaxed_nmadd(a, b, c) : f32x4.sub(c, f32x4.mul(a, b))
  }

  /** A value that more than one expression uses. */
  keep<T extends ValueType>(value: Expr<T>): Expr<T> {
    return keep(this.f, value)
  }

  /** The first of four equal lanes. */
  first(vector: V128): F32 {
    return f32x4.extract_lane(vector, 0)
  }
}
