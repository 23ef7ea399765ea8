/**
 * RecurrentProduct: products of rows with panels of recurrent weights.
 *
 *   acc[row][vector] += Σ_k row[k] · panel[k][vector]
 *
 * Two uses: all inputs of a run of steps at once (rows × a few vectors in registers), and the step's own product, where
 * one pass gives all gates of the panel's units.
 */
import type { I32, V128 } from "../Instruction.ts"
import { f32x4, i32, shuffle, v128 } from "../Instruction.ts"
import type { Func, Local } from "../ModuleBuilder.ts"
import type { Emission } from "../Emission.ts"
import { Writer } from "../Writer.ts"
import type { RecurrentPanels } from "./RecurrentPanels.ts"
import { blocks, panelBytes, termBytes } from "./RecurrentPanels.ts"

/** Vectors of a term of a panel. */
const vectorsOf = (panels: RecurrentPanels): number => termBytes(panels) / 16

const unroll = 4

export interface Accumulation {
  /** Pointers to the rows' first terms; moved. */
  readonly rows: ReadonlyArray<Local<"i32">>
  /** Pointer to the first term of the first panel; moved. */
  readonly panel: Local<"i32">
  /** Bytes from `panel` to each vector, and for each row the vector's sum. */
  readonly columns: ReadonlyArray<{ readonly offset: number; readonly sums: ReadonlyArray<Local<"v128">> }>
  readonly k: number
  readonly termBytes: number
  /** Sums of each element: terms go to them in turns, so that few columns don't wait for their own last sum. */
  readonly phases?: number
}

/** Adds k terms to the sums. */
export const accumulate = (w: Writer, accumulation: Accumulation): void => {
  const { columns: given, k, panel, phases = 1, rows, termBytes: step } = accumulation
  const { f } = w
  const splats = rows.map(() => f.local("v128"))
  const vectors = given.map(() => f.local("v128"))
  const further = Array.from({ length: phases - 1 }, () =>
    given.map(({ offset, sums }) => ({ offset, sums: sums.map(() => f.let(w.splatF32(0))) }))
  )
  const turns = [given, ...further]
  const whole = f.local("v128")
  const terms = (count: number): void => {
    const isWhole = !w.emission.features.wide && count % 4 === 0
    for (let i = 0; i < count; i++) {
      const columns = turns[i % phases] ?? given
      const load = (offset: number): V128 => v128.load(f.get(panel), offset + i * step)
      if (rows.length === 1) {
        const [row, splat] = [rows[0], splats[0]]
        if (row === undefined || splat === undefined) continue
        const lane = i % 4
        // Of four terms that were loaded together: with few columns, loads are what there is least of.
        const at = lane * 4
        if (isWhole && lane === 0) f.set(whole, v128.load(f.get(row), i * 4))
        f.set(
          splat,
          isWhole
            ? shuffle(
                f.get(whole),
                f.get(whole),
                [0, 1, 2, 3].flatMap(() => [at, at + 1, at + 2, at + 3])
              )
            : v128.load32_splat(f.get(row), i * 4)
        )
        for (const { offset, sums } of columns)
          for (const sum of sums) f.set(sum, w.madd(load(offset), f.get(splat), f.get(sum)))
        continue
      }
      for (const [c, { offset }] of columns.entries()) f.set(vectors[c] ?? f.local("v128"), load(offset))
      for (const [r, row] of rows.entries()) {
        const splat = splats[r] ?? f.local("v128")
        f.set(splat, v128.load32_splat(f.get(row), i * 4))
        for (const [c, { sums }] of columns.entries()) {
          const [sum, vector] = [sums[r], vectors[c]]
          if (sum !== undefined && vector !== undefined) f.set(sum, w.madd(f.get(vector), f.get(splat), f.get(sum)))
        }
      }
    }
  }
  const rounds = Math.floor(k / unroll)
  if (rounds > 1) {
    const left = f.let(i32.const(rounds))
    f.loop((again) => {
      terms(unroll)
      for (const row of rows) f.set(row, i32.add(f.get(row), i32.const(4 * unroll)))
      f.set(panel, i32.add(f.get(panel), i32.const(step * unroll)))
      f.brIf(again, f.tee(left, i32.sub(f.get(left), i32.const(1))))
    })
    terms(k % unroll)
  } else terms(k)
  for (const columns of further)
    for (const [c, { sums }] of given.entries())
      for (const [r, sum] of sums.entries()) {
        const more = columns[c]?.sums[r]
        if (more !== undefined) f.set(sum, f32x4.add(f.get(sum), f.get(more)))
      }
}

const rowTiles = [6, 2, 1] as const

/**
 * `name(x, rowBytes, rows, panels, bias, target)`: target[row][panel][vector] = bias[panel][vector] + Σ_k x[row][k] ·
 * panels[panel][k][vector], all panels of one direction. Blocks of the target and of the bias may have more gates than the
 * panels, after theirs; `bias` with 0 gates is none.
 */
export const projection = (
  emission: Emission,
  name: string,
  panels: RecurrentPanels,
  gates: { readonly bias: number; readonly target: number }
): Func => {
  const vectors = vectorsOf(panels)
  const widest = emission.features.wide ? 4 : 2
  const blockBytes = gates.target * panels.lanes * 4
  const rowBytesOfTarget = blocks(panels) * blockBytes
  return emission.module.func(name, ["i32", "i32", "i32", "i32", "i32", "i32"], [], (f, params) => {
    const w = new Writer(f, emission)
    const [x, rowBytes, rows, panel, bias, target] = params.map(({ index }): I32 => f.get({ type: "i32", index }))
    if (
      x === undefined ||
      rowBytes === undefined ||
      rows === undefined ||
      panel === undefined ||
      bias === undefined ||
      target === undefined
    )
      return
    f.range(0, blocks(panels), 1, (block) => {
      const weights = f.let(i32.add(panel, i32.mul(f.get(block), i32.const(panelBytes(panels)))))
      const biases = f.let(i32.add(bias, i32.mul(f.get(block), i32.const(gates.bias * panels.lanes * 4))))
      const done = f.let(i32.const(0))
      for (const tile of rowTiles) {
        f.block((out) =>
          f.loop((again) => {
            f.brIf(out, i32.lt_s(i32.sub(rows, f.get(done)), i32.const(tile)))
            const source = f.let(i32.add(x, i32.mul(f.get(done), rowBytes)))
            const to = f.let(
              i32.add(
                i32.add(target, i32.mul(f.get(done), i32.const(rowBytesOfTarget))),
                i32.mul(f.get(block), i32.const(blockBytes))
              )
            )
            // Few vectors and many rows, or one row and as many vectors as there are registers for.
            const at = tile === 6 ? widest : tile === 2 ? 2 * widest : 4 * widest
            for (let first = 0; first < vectors; first += at) {
              const count = Math.min(at, vectors - first)
              const pointers = Array.from({ length: tile }, (_, r) =>
                f.let(r === 0 ? f.get(source) : i32.add(f.get(source), i32.mul(rowBytes, i32.const(r))))
              )
              const columns = Array.from({ length: count }, (_, c) => ({
                offset: (first + c) * 16,
                sums: pointers.map(() => f.local("v128"))
              }))
              for (const { offset, sums } of columns) {
                const initial = gates.bias === 0 ? w.splatF32(0) : v128.load(f.get(biases), offset)
                for (const sum of sums) f.set(sum, initial)
              }
              const moving = f.let(f.get(weights))
              accumulate(w, {
                rows: pointers,
                panel: moving,
                columns,
                k: panels.k,
                termBytes: termBytes(panels)
              })
              for (let r = 0; r < tile; r++)
                for (const { offset, sums } of columns) {
                  const sum = sums[r]
                  if (sum !== undefined) f.do(v128.store(f.get(to), f.get(sum), r * rowBytesOfTarget + offset))
                }
            }
            f.set(done, i32.add(f.get(done), i32.const(tile)))
            f.br(again)
          })
        )
      }
    })
  })
}
