/**
 * GemmStage: panels of a right operand that is no constant, made in scratch memory while running.
 *
 *   b[n, k]  ⇒  scratch[panel][k][NR]
 *
 * Columns behind the last are left as they are: no result is made of them.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Emission } from "../Emission.ts"
import type { I32, V128 } from "../Instruction.ts"
import { f32, i32, shuffle, v128 } from "../Instruction.ts"
import type { FunctionBuilder, Local } from "../ModuleBuilder.ts"
import type { Stage } from "./GemmProduct.ts"
import type { Size } from "./GemmTile.ts"
import { advance, offsetBy, step, value } from "./GemmTile.ts"

const pairsLow = [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23]
const pairsHigh = [8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31]
const lowHalves = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]
const highHalves = [8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31]

/** Four rows of four as four columns of four. */
export const transposed = (
  f: FunctionBuilder,
  rows: readonly [V128, V128, V128, V128]
): readonly [V128, V128, V128, V128] => {
  const keep = (vector: V128): V128 => f.get(f.let(vector))
  const [a, b, c, d] = [keep(rows[0]), keep(rows[1]), keep(rows[2]), keep(rows[3])]
  const [ab, cd] = [keep(shuffle(a, b, pairsLow)), keep(shuffle(c, d, pairsLow))]
  const [abHigh, cdHigh] = [keep(shuffle(a, b, pairsHigh)), keep(shuffle(c, d, pairsHigh))]
  return [
    shuffle(ab, cd, lowHalves),
    shuffle(ab, cd, highHalves),
    shuffle(abHigh, cdHigh, lowHalves),
    shuffle(abHigh, cdHigh, highHalves)
  ]
}

export interface Strides {
  readonly n: Size
  readonly k: Size
}

/** One element of each column of a group after the other, for any strides. */
const slowly = (
  f: FunctionBuilder,
  from: I32,
  to: I32,
  strides: Strides,
  columns: Size,
  begin: I32,
  end: I32,
  panelRow: number
): void => {
  const source = f.let(offsetBy(f, from, begin, strides.k))
  const target = f.let(i32.add(to, i32.mul(begin, i32.const(panelRow))))
  f.range(begin, end, 1, () => {
    const element = f.let(f.get(source))
    f.range(0, value(f, columns), 1, (column) => {
      f.do(f32.store(i32.add(f.get(target), i32.shl(f.get(column), i32.const(2))), f32.load(f.get(element))))
      advance(f, element, 1, strides.n)
    })
    advance(f, source, 1, strides.k)
    f.set(target, i32.add(f.get(target), i32.const(panelRow)))
  })
}

/** A panel whose columns lie side by side, row by row: each line of memory is read once. */
const sideBySide = (
  f: FunctionBuilder,
  from: Local<"i32">,
  to: Local<"i32">,
  stride: Size,
  steps: Size,
  nr: number
): void => {
  const [source, target] = [f.let(f.get(from)), f.let(f.get(to))]
  f.range(0, value(f, steps), 1, () => {
    for (let at = 0; at < nr * 4; at += 16) f.do(v128.store(f.get(target), v128.load(f.get(source), at), at))
    advance(f, source, 1, stride)
    f.set(target, i32.add(f.get(target), i32.const(nr * 4)))
  })
}

/** Four columns: by 4 × 4 where k is contiguous, by vectors where the columns are. */
const fourColumns = (f: FunctionBuilder, from: I32, to: I32, strides: Strides, steps: Size, panelRow: number): void => {
  const source = f.let(from)
  const target = f.let(to)
  if (strides.n === 4) {
    f.range(0, value(f, steps), 1, () => {
      f.do(v128.store(f.get(target), v128.load(f.get(source))))
      advance(f, source, 1, strides.k)
      f.set(target, i32.add(f.get(target), i32.const(panelRow)))
    })
    return
  }
  if (strides.k === 4) {
    const whole = typeof steps === "number" ? i32.const(steps & ~3) : f.get(f.let(i32.and(f.get(steps), i32.const(~3))))
    const at = (column: number): V128 => v128.load(step(f, f.get(source), column, strides.n))
    f.range(0, whole, 4, () => {
      transposed(f, [at(0), at(1), at(2), at(3)]).forEach((row, k) =>
        f.do(v128.store(f.get(target), row, k * panelRow))
      )
      f.set(source, i32.add(f.get(source), i32.const(16)))
      f.set(target, i32.add(f.get(target), i32.const(4 * panelRow)))
    })
    slowly(f, from, to, strides, 4, whole, value(f, steps), panelRow)
    return
  }
  slowly(f, from, to, strides, 4, i32.const(0), value(f, steps), panelRow)
}

/** A whole panel of `nr` columns, `steps` of k. Strides in bytes. */
export const packPanel = (
  f: FunctionBuilder,
  from: Local<"i32">,
  to: Local<"i32">,
  strides: Strides,
  steps: Size,
  nr: number
): void => {
  if (strides.n === 4) return sideBySide(f, from, to, strides.k, steps, nr)
  for (let group = 0; group < nr; group += 4)
    fourColumns(
      f,
      step(f, f.get(from), group, strides.n),
      i32.add(f.get(to), i32.const(group * 4)),
      strides,
      steps,
      nr * 4
    )
}

/** Makes the panels of a unit's columns at the begin of its scratch memory. Strides in bytes. */
export const packPanels =
  (n: Dim.Dim, k: Dim.Dim, extent: Dim.Dim, nr: number): Stage =>
  (f, emission: Emission, { b, column, columns, scratch }) => {
    const size = (dim: Dim.Dim): Size => (typeof dim === "number" ? dim : f.let(emission.dim(dim)))
    const strides = { n: size(n), k: size(k) }
    const steps = size(extent)
    const panelBytes = size(Dim.mul(extent, nr * 4))
    const panelRow = nr * 4
    const source = f.let(offsetBy(f, f.get(b), column, strides.n))
    const target = f.let(f.get(scratch))
    const left = f.let(value(f, columns))
    const lastPanel = (columnsOfPanel: Local<"i32">): void => {
      for (let group = 0; group < nr; group += 4) {
        const from = step(f, f.get(source), group, strides.n)
        const to = i32.add(f.get(target), i32.const(group * 4))
        const rest = f.let(i32.sub(f.get(columnsOfPanel), i32.const(group)))
        f.if(
          i32.ge_s(f.get(rest), i32.const(4)),
          () => fourColumns(f, from, to, strides, steps, panelRow),
          () =>
            f.if(i32.gt_s(f.get(rest), i32.const(0)), () =>
              slowly(f, from, to, strides, rest, i32.const(0), value(f, steps), panelRow)
            )
        )
      }
    }
    f.block((out) =>
      f.loop((again) => {
        f.brIf(out, i32.lt_s(f.get(left), i32.const(nr)))
        packPanel(f, source, target, strides, steps, nr)
        advance(f, source, nr, strides.n)
        f.set(target, i32.add(f.get(target), value(f, panelBytes)))
        f.set(left, i32.sub(f.get(left), i32.const(nr)))
        f.br(again)
      })
    )
    if (!(typeof columns === "number" && columns % nr === 0))
      f.if(i32.gt_s(f.get(left), i32.const(0)), () => lastPanel(left))
    f.set(b, f.get(scratch))
  }
