/**
 * RecurrentArrangement: what the inputs give to the gates, given as it is, put where a step wants it, with the bias.
 *
 *   x [rows][gates][hidden]  ⇒  target [rows][blocks][gates][lanes]
 */
import type { Emission } from "../Emission.ts"
import type { I32, V128 } from "../Instruction.ts"
import { f32, f32x4, i32, v128 } from "../Instruction.ts"
import type { Func, Local } from "../ModuleBuilder.ts"
import type { RecurrentPanels } from "./RecurrentPanels.ts"

/** `name(x, rowBytes, rows, _, bias, target)`: parameters, biases and targets as those of `projection`. */
export const arrangement = (
  emission: Emission,
  name: string,
  panels: RecurrentPanels,
  beside: { readonly bias: number; readonly target: number }
): Func =>
  emission.module.func(name, ["i32", "i32", "i32", "i32", "i32", "i32"], [], (f, params) => {
    const [x, rowBytes, rows, , bias, target] = params.map(({ index }): I32 => f.get({ type: "i32", index }))
    if (x === undefined || rowBytes === undefined || rows === undefined || bias === undefined || target === undefined)
      return
    const { gates, hidden, lanes } = panels
    const unitBytes = lanes * 4
    const [whole, rest] = [Math.floor(hidden / lanes), hidden % lanes]
    const row = f.let(x)
    const to = f.let(target)
    f.range(0, rows, 1, () => {
      const from = f.let(f.get(row))
      const biases = f.let(bias)
      const forward = (local: Local<"i32">, bytes: number): void =>
        f.set(local, i32.add(f.get(local), i32.const(bytes)))
      const next = (): void => {
        forward(from, unitBytes)
        forward(biases, beside.bias * unitBytes)
        forward(to, beside.target * unitBytes)
      }
      const vector = (gate: number, part: number): V128 => {
        const given = v128.load(f.get(from), gate * hidden * 4 + part * 16)
        return beside.bias === 0 ? given : f32x4.add(given, v128.load(f.get(biases), gate * unitBytes + part * 16))
      }
      f.range(0, whole, 1, () => {
        for (const gate of gates.keys())
          for (let part = 0; part < lanes / 4; part++)
            f.do(v128.store(f.get(to), vector(gate, part), gate * unitBytes + part * 16))
        next()
      })
      // Units beyond the last are 0.
      if (rest > 0) {
        for (const gate of gates.keys())
          for (let lane = 0; lane < lanes; lane++) {
            const at = gate * unitBytes + lane * 4
            const given = f32.load(f.get(from), gate * hidden * 4 + lane * 4)
            const sum = beside.bias === 0 ? given : f32.add(given, f32.load(f.get(biases), at))
            f.do(f32.store(f.get(to), lane < rest ? sum : f32.const(0), at))
          }
        next()
      }
      f.set(row, i32.add(f.get(row), rowBytes))
    })
  })
