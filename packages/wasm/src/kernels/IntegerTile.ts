/**
 * IntegerTile: the innermost loops of 8-bit products, a register tile of rows × columns accumulated in i32.
 *
 *   tile[r][c] = Σ_k a[r][k] · b[k][c]
 *
 * Rows of a lie one after another, each padded with zeros to whole steps. b is in panels of `columns`: for each step of k,
 * the step's elements of each column side by side.
 *
 * - `widened`: elements of 16 bits (or b of 8, widened when loaded), 2 a step: `i32x4.dot_i16x8_s`. Any 8-bit operands.
 * - `seven`: elements of 8 bits, 4 a step, one operand in 0 … 127. Either `i32x4.relaxed_dot_i8x16_i7x16_add_s`, which is
 *   one instruction on processors with AVX-VNNI or ARM's dot products; or `i16x8.relaxed_dot_i8x16_i7x16_s`, `depth` of which
 *   are summed in 16 bits before they are widened (the sums never leave 16 bits): faster where there is no such instruction.
 */
import type { I32, V128 } from "../Instruction.ts"
import { i16x8, i32, i32x4, v128 } from "../Instruction.ts"
import type { FunctionBuilder, Func, Local, ModuleBuilder } from "../ModuleBuilder.ts"
import { zeros } from "./GemmTile.ts"

export type IntegerArithmetic =
  | { readonly kind: "widened"; readonly storedBytes: 1 | 2 }
  | {
      readonly kind: "seven"
      /** Which operand is in 0 … 127. */
      readonly seven: "a" | "b"
      /** Products of 16 bits that are summed before they are widened; 0: the instruction adds to sums of 32 bits. */
      readonly depth: number
    }

/** Elements of k that one step takes. */
export const stepOf = (arithmetic: IntegerArithmetic): number => (arithmetic.kind === "widened" ? 2 : 4)

/** Bytes of one element of a's rows, as the tile reads them. */
export const rowElementBytes = (arithmetic: IntegerArithmetic): number => (arithmetic.kind === "widened" ? 2 : 1)

/** Bytes that one step takes of one column of a panel. */
export const columnStepBytes = (arithmetic: IntegerArithmetic): number =>
  arithmetic.kind === "widened" ? 2 * arithmetic.storedBytes : 4

export interface TileShape {
  readonly rows: number
  /** A multiple of 4. */
  readonly columns: number
  readonly arithmetic: IntegerArithmetic
  /** Steps in one round of the loop. */
  readonly unroll: number
}

/** How far apart rows of a are, in bytes, and the steps of k: integers, or values at run time. */
export interface TileSizes {
  readonly rowBytes: number | I32
  readonly steps: number | I32
}

const isNumber = (value: number | I32): value is number => typeof value === "number"

/**
 * `name(a, b, tile)`: all steps of k for one tile; the sums go to `tile`, [rows][columns] of i32. Sizes that are not
 * integers are parameters after these, bytes from row to row and steps.
 */
export const tileFunction = (
  module: ModuleBuilder,
  name: string,
  shape: TileShape,
  sizes: { readonly rowBytes: number; readonly steps: number } | undefined
): Func =>
  module.func(name, sizes === undefined ? ["i32", "i32", "i32", "i32", "i32"] : ["i32", "i32", "i32"], [], (f) => {
    const parameter = (index: number): Local<"i32"> => ({ type: "i32", index })
    const given: TileSizes = sizes ?? { rowBytes: f.get(parameter(3)), steps: f.get(parameter(4)) }
    tile(f, shape, given, parameter(0), parameter(1), f.get(parameter(2)))
  })

/**
 * `name(a, b, tiles, count)`: `count` tiles one below another, rows of a and sums without a gap between them. One call for
 * all: where k is short, calls take as long as products.
 */
export const columnOfTiles = (
  module: ModuleBuilder,
  name: string,
  shape: TileShape,
  sizes: { readonly rowBytes: number; readonly steps: number }
): Func =>
  module.func(name, ["i32", "i32", "i32", "i32"], [], (f) => {
    const parameter = (index: number): Local<"i32"> => ({ type: "i32", index })
    const [a, b, target] = [parameter(0), parameter(1), parameter(2)]
    f.range(0, f.get(parameter(3)), 1, () => {
      tile(f, shape, sizes, f.let(f.get(a)), f.let(f.get(b)), f.get(target))
      f.set(a, i32.add(f.get(a), i32.const(shape.rows * sizes.rowBytes)))
      f.set(target, i32.add(f.get(target), i32.const(shape.rows * shape.columns * 4)))
    })
  })

const tile = (
  f: FunctionBuilder,
  shape: TileShape,
  sizes: TileSizes,
  a: Local<"i32">,
  b: Local<"i32">,
  target: I32
): void => {
  const { arithmetic, columns, rows } = shape
  const vectors = columns / 4
  const rowStep = stepOf(arithmetic) * rowElementBytes(arithmetic)
  const panelStep = columns * columnStepBytes(arithmetic)
  const accumulators = Array.from({ length: rows }, () => Array.from({ length: vectors }, () => f.local("v128")))
  // In a loop, they hold the sums of the tile before.
  for (const acc of accumulators.flat()) f.set(acc, zeros)
  const { rowBytes, steps } = sizes
  // Rows at a constant distance are reached from one pointer; others have a pointer each.
  const pointers = isNumber(rowBytes)
    ? [a]
    : Array.from({ length: rows }, (_, r) => (r === 0 ? a : f.let(i32.add(f.get(a), i32.mul(rowBytes, i32.const(r))))))
  const splat = (row: number, step: number): V128 =>
    isNumber(rowBytes)
      ? v128.load32_splat(f.get(a), row * rowBytes + step * rowStep)
      : v128.load32_splat(f.get(pointers[row] ?? a), step * rowStep)
  const advance = (count: number): void => {
    for (const pointer of pointers) f.set(pointer, i32.add(f.get(pointer), i32.const(count * rowStep)))
    f.set(b, i32.add(f.get(b), i32.const(count * panelStep)))
  }
  const emit = (count: number): void => {
    if (arithmetic.kind === "widened") for (let s = 0; s < count; s++) widenedStep(s)
    else if (arithmetic.depth === 0) for (let s = 0; s < count; s++) addingStep(s, arithmetic)
    else
      for (let s = 0; s < count; s += arithmetic.depth) sevenSteps(s, Math.min(arithmetic.depth, count - s), arithmetic)
  }
  const ones = f.local("v128")
  if (arithmetic.kind === "seven" && arithmetic.depth > 0) f.set(ones, i16x8.splat(i32.const(1)))
  const column = f.local("v128")
  const bs = Array.from({ length: vectors }, () => f.local("v128"))
  const widenedStep = (s: number): void => {
    for (const [v, local] of bs.entries()) {
      const at = s * panelStep + v * 4 * columnStepBytes(arithmetic)
      f.set(local, panelStep === columns * 4 ? v128.load(f.get(b), at) : v128.load8x8_s(f.get(b), at))
    }
    for (const [r, row] of accumulators.entries()) {
      f.set(column, splat(r, s))
      for (const [v, acc] of row.entries()) {
        const local = bs[v] ?? column
        f.set(acc, i32x4.add(f.get(acc), i32x4.dot_i16x8_s(f.get(column), f.get(local))))
      }
    }
  }
  const addingStep = (s: number, { seven }: { readonly seven: "a" | "b" }): void => {
    for (const [v, local] of bs.entries()) f.set(local, v128.load(f.get(b), s * panelStep + v * 16))
    for (const [r, row] of accumulators.entries()) {
      f.set(column, splat(r, s))
      for (const [v, acc] of row.entries()) {
        const [x, y] = [f.get(column), f.get(bs[v] ?? column)]
        f.set(
          acc,
          i32x4.relaxed_dot_i8x16_i7x16_add_s(...(seven === "a" ? ([y, x] as const) : ([x, y] as const)), f.get(acc))
        )
      }
    }
  }
  const products = Array.from({ length: arithmetic.kind === "seven" && arithmetic.depth > 1 ? vectors : 0 }, () =>
    Array.from({ length: rows }, () => f.local("v128"))
  )
  const sevenSteps = (from: number, count: number, { seven }: { readonly seven: "a" | "b" }): void => {
    const product = (vector: V128): V128 =>
      seven === "a"
        ? i16x8.relaxed_dot_i8x16_i7x16_s(vector, f.get(column))
        : i16x8.relaxed_dot_i8x16_i7x16_s(f.get(column), vector)
    // An extending pairwise sum would say the same; it has no 256-bit form in V8's revectorizer, and is no faster.
    const widened = (sum: V128): V128 => i32x4.dot_i16x8_s(sum, f.get(ones))
    for (let s = from; s < from + count; s++) {
      for (const [v, local] of bs.entries()) f.set(local, v128.load(f.get(b), s * panelStep + v * 16))
      for (const [r, row] of accumulators.entries()) {
        f.set(column, splat(r, s))
        for (const [v, acc] of row.entries()) {
          const next = product(f.get(bs[v] ?? column))
          if (count === 1) {
            f.set(acc, i32x4.add(f.get(acc), widened(next)))
            continue
          }
          const partial = products[v]?.[r] ?? column
          if (s === from) f.set(partial, next)
          else if (s < from + count - 1) f.set(partial, i16x8.add(f.get(partial), next))
          else f.set(acc, i32x4.add(f.get(acc), widened(i16x8.add(f.get(partial), next))))
        }
      }
    }
  }

  const round = shape.unroll
  if (isNumber(steps)) {
    const rounds = Math.floor(steps / round)
    if (rounds > 1) {
      const left = f.let(i32.const(rounds))
      f.loop((again) => {
        emit(round)
        advance(round)
        f.brIf(again, f.tee(left, i32.sub(f.get(left), i32.const(1))))
      })
      emit(steps % round)
    } else emit(steps)
  } else {
    const left = f.let(steps)
    f.block((out) =>
      f.loop((again) => {
        f.brIf(out, i32.lt_s(f.get(left), i32.const(round)))
        emit(round)
        advance(round)
        f.set(left, i32.sub(f.get(left), i32.const(round)))
        f.br(again)
      })
    )
    f.block((out) =>
      f.loop((again) => {
        f.brIf(out, i32.eqz(f.get(left)))
        emit(1)
        advance(1)
        f.set(left, i32.sub(f.get(left), i32.const(1)))
        f.br(again)
      })
    )
  }
  for (const [r, row] of accumulators.entries())
    for (const [v, acc] of row.entries()) f.do(v128.store(target, f.get(acc), (r * vectors + v) * 16))
}
