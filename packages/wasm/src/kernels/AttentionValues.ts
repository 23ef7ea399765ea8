/**
 * AttentionValues: results += exponentials · values, for a few queries and a block of keys, in registers.
 *
 *   result[r] = result[r] · shrink[r] + Σ_key p[r][key] · v[key]
 */
import type { I32 } from "../Instruction.ts"
import { f32x4, i32, v128 } from "../Instruction.ts"
import type { Local } from "../ModuleBuilder.ts"
import type { Writer } from "../Writer.ts"

export interface ValueTile {
  readonly rows: number
  /** Vectors of a row of values. */
  readonly vectors: number
  /** Most sums that registers hold. */
  readonly registers: number
  /** Exponentials, [rows], `scoreRow` bytes apart. */
  readonly scores: Local<"i32">
  readonly scoreRow: number
  readonly count: I32
  readonly values: Local<"i32">
  /** Bytes from key to key of the values. */
  readonly step: number | I32
  /** Results, [rows], `resultRow` bytes apart. */
  readonly results: Local<"i32">
  readonly resultRow: number
  readonly shrink: Local<"i32">
}

const unroll = 4

export const addValues = (w: Writer, tile: ValueTile): void => {
  const { f } = w
  const { count, resultRow, results, rows, scoreRow, shrink } = tile
  const step = typeof tile.step === "number" ? i32.const(tile.step) : tile.step
  const near = typeof tile.step === "number" && tile.step >= 0 ? tile.step : undefined
  const most = Math.max(1, Math.min(tile.vectors, rows > 1 ? 2 : 8, Math.floor(tile.registers / rows)))
  /** `width` vectors, from `at` bytes on in every row. */
  const columns = (width: number, at: I32): void => {
    const target = f.let(i32.add(f.get(results), at))
    // Few sums wait for each other: then neighbouring keys have sums of their own.
    const phases = rows * width <= 2 ? 4 : rows * width <= 4 ? 2 : 1
    const sums = Array.from({ length: phases }, () =>
      Array.from({ length: rows }, () => Array.from({ length: width }, () => f.local("v128")))
    )
    const [begin = []] = sums
    const factor = f.local("v128")
    begin.forEach((row, r) => {
      f.set(factor, v128.load32_splat(f.get(shrink), r * 4))
      row.forEach((sum, v) => f.set(sum, f32x4.mul(v128.load(f.get(target), r * resultRow + v * 16), f.get(factor))))
    })
    for (const phase of sums.slice(1)) for (const row of phase) for (const sum of row) f.set(sum, w.splatF32(0))
    const held = Array.from({ length: width }, () => f.local("v128"))
    const splat = f.local("v128")
    const value = f.let(i32.add(f.get(tile.values), at))
    const score = f.let(f.get(tile.scores))
    const key = (index: number, pointer: Local<"i32">, offset: number): void => {
      const own = sums[index % phases] ?? begin
      held.forEach((local, v) => f.set(local, v128.load(f.get(pointer), offset + v * 16)))
      own.forEach((row, r) => {
        f.set(splat, v128.load32_splat(f.get(score), r * scoreRow + index * 4))
        row.forEach((sum, v) => f.set(sum, w.madd(f.get(held[v] ?? splat), f.get(splat), f.get(sum))))
      })
    }
    const keys = (many: number): void => {
      for (let i = 0; i < many; i++) {
        key(i, value, near === undefined ? 0 : i * near)
        if (near === undefined) f.set(value, i32.add(f.get(value), step))
      }
      if (near !== undefined) f.set(value, i32.add(f.get(value), i32.const(many * near)))
      f.set(score, i32.add(f.get(score), i32.const(many * 4)))
    }
    const left = f.let(count)
    f.block((out) =>
      f.loop((again) => {
        f.brIf(out, i32.lt_s(f.get(left), i32.const(unroll)))
        keys(unroll)
        f.set(left, i32.sub(f.get(left), i32.const(unroll)))
        f.br(again)
      })
    )
    f.range(0, f.get(left), 1, () => keys(1))
    for (let span = phases / 2; span >= 1; span /= 2)
      for (let phase = 0; phase < span; phase++)
        sums[phase]?.forEach((row, r) =>
          row.forEach((sum, v) => {
            const other = sums[phase + span]?.[r]?.[v]
            if (other !== undefined) f.set(sum, f32x4.add(f.get(sum), f.get(other)))
          })
        )
    begin.forEach((row, r) =>
      row.forEach((sum, v) => f.do(v128.store(f.get(target), f.get(sum), r * resultRow + v * 16)))
    )
  }
  const whole = tile.vectors - (tile.vectors % most)
  f.range(0, whole * 16, most * 16, (at) => columns(most, f.get(at)))
  if (tile.vectors > whole) columns(tile.vectors - whole, i32.const(whole * 16))
}
