/**
 * RecurrentPanels: weights of recurrent layers with their gates side by side, so that one pass over k gives every gate of a
 * few hidden units.
 *
 *   w [directions, gates · hidden, k]  ⇒  [directions][hidden / lanes][k][gates][lanes]
 *
 * Units beyond `hidden` have weights 0. Vectors of one number a gate and unit (biases, peepholes) are panels with k = 1.
 */
import type { Tensor } from "@anneal/ir/Tensor"
import type { I32 } from "../Instruction.ts"
import { f32, i32, select } from "../Instruction.ts"
import type { FunctionBuilder, Local } from "../ModuleBuilder.ts"

/** A row of w: `sources` are its gates (several: their sum), in ONNX's order. */
export interface PanelGate {
  readonly sources: ReadonlyArray<number>
}

export interface RecurrentPanels {
  readonly directions: number
  readonly hidden: number
  /** Units side by side: 4, or 8 in two vectors. */
  readonly lanes: number
  /** Terms of one product; 1 for biases and peepholes. */
  readonly k: number
  /** Gates in the matrix, in units of `hidden` rows. */
  readonly rows: number
  readonly gates: ReadonlyArray<PanelGate>
}

export const blocks = ({ hidden, lanes }: RecurrentPanels): number => Math.ceil(hidden / lanes)

/** Bytes from one term of a panel to the next. */
export const termBytes = ({ gates, lanes }: RecurrentPanels): number => gates.length * lanes * 4
export const panelBytes = (panels: RecurrentPanels): number => panels.k * termBytes(panels)
export const directionBytes = (panels: RecurrentPanels): number => blocks(panels) * panelBytes(panels)
export const bytesOf = (panels: RecurrentPanels): number => panels.directions * directionBytes(panels)

export const layoutOf = ({ gates, lanes, rows }: RecurrentPanels): string =>
  `recurrent-panels lanes=${lanes} gates=${gates.map(({ sources }) => sources.join("+")).join()} of ${rows}`

export const pack = (panels: RecurrentPanels, elements: Tensor): Uint8Array => {
  const { directions, gates, hidden, k, lanes, rows } = panels
  const data = new Float32Array(bytesOf(panels) / 4)
  let at = 0
  for (let d = 0; d < directions; d++)
    for (let block = 0; block < blocks(panels); block++)
      for (let i = 0; i < k; i++)
        for (const { sources } of gates)
          for (let lane = 0; lane < lanes; lane++) {
            const unit = block * lanes + lane
            let sum = 0
            if (unit < hidden)
              for (const gate of sources) sum += Number(elements.data[((d * rows + gate) * hidden + unit) * k + i] ?? 0)
            data[at++] = sum
          }
  return new Uint8Array(data.buffer)
}

/** Bytes from one direction, row and term of the matrix to the next. */
export interface MatrixSteps {
  readonly direction: I32
  readonly row: I32
  readonly term: I32
}

/** The same at run time, for weights that are no constants. */
export const emitPack = (
  f: FunctionBuilder,
  panels: RecurrentPanels,
  source: I32,
  steps: MatrixSteps,
  target: I32
): void => {
  const { directions, gates, hidden, k, lanes } = panels
  const at = f.let(target)
  const get = (local: Local<"i32">): I32 => f.get(local)
  f.range(0, directions, 1, (d) =>
    f.range(0, blocks(panels), 1, (block) =>
      f.range(0, k, 1, (i) => {
        const term = f.let(i32.add(source, i32.add(i32.mul(get(d), steps.direction), i32.mul(get(i), steps.term))))
        for (const { sources } of gates)
          f.range(0, lanes, 1, (lane) => {
            const unit = f.let(i32.add(i32.mul(get(block), i32.const(lanes)), get(lane)))
            const inside = i32.lt_s(get(unit), i32.const(hidden))
            const element = (gate: number) =>
              f32.load(
                i32.add(
                  get(term),
                  i32.mul(i32.add(select(inside, get(unit), i32.const(0)), i32.const(gate * hidden)), steps.row)
                )
              )
            const sum = sources.map(element).reduce((a, b) => f32.add(a, b))
            f.do(f32.store(get(at), select(inside, sum, f32.const(0))))
            f.set(at, i32.add(get(at), i32.const(4)))
          })
      })
    )
  )
}
