/** RecurrentRows: rows of states, inputs and outputs, copied and cleared. */
import type * as Dim from "@anneal/ir/Dim"
import type { Emission } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { f32, i32, memoryFill, v128 } from "../Instruction.ts"
import type { FunctionBuilder, Local } from "../ModuleBuilder.ts"

/** Rows of f32. */
export interface Rows {
  readonly at: I32
  /** Bytes. */
  readonly row: Dim.Dim | I32
  readonly unit: Dim.Dim
}

/** `count` rows of `width` f32 each, from one place to another. */
export const copyRows = (
  f: FunctionBuilder,
  emission: Emission,
  count: I32,
  width: number,
  from: Rows,
  to: Rows
): void => {
  const size = (value: Dim.Dim | I32): I32 =>
    typeof value === "object" && "code" in value ? value : emission.hoisted(f, value)
  const [source, target] = [f.let(from.at), f.let(to.at)]
  const [fromRow, toRow] = [size(from.row), size(to.row)]
  const adjacent = from.unit === 4 && to.unit === 4
  f.range(0, count, 1, () => {
    const whole = adjacent ? width - (width % 4) : 0
    const at = (base: Local<"i32">, unit: Dim.Dim, i: I32): I32 => i32.add(f.get(base), i32.mul(i, size(unit)))
    f.range(0, whole, 4, (i) => f.do(v128.store(at(target, 4, f.get(i)), v128.load(at(source, 4, f.get(i))))))
    f.range(whole, width, 1, (i) =>
      f.do(f32.store(at(target, to.unit, f.get(i)), f32.load(at(source, from.unit, f.get(i)))))
    )
    f.set(source, i32.add(f.get(source), fromRow))
    f.set(target, i32.add(f.get(target), toRow))
  })
}

/** `count` rows of `width` zeros. */
export const zeroRows = (f: FunctionBuilder, emission: Emission, count: I32, width: number, to: Rows): void => {
  const size = (value: Dim.Dim | I32): I32 =>
    typeof value === "object" && "code" in value ? value : emission.hoisted(f, value)
  const target = f.let(to.at)
  f.range(0, count, 1, () => {
    if (to.unit === 4) f.do(memoryFill(f.get(target), i32.const(0), i32.const(width * 4)))
    else
      f.range(0, width, 1, (i) =>
        f.do(f32.store(i32.add(f.get(target), i32.mul(f.get(i), size(to.unit))), f32.const(0)))
      )
    f.set(target, i32.add(f.get(target), size(to.row)))
  })
}
