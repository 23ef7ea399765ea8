/** GemmStrassenLefts: what Strassen's algorithm (`GemmStrassen.ts`) makes of A in scratch memory, for a unit's rows. */
import type { Emission } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { i32, select, v128 } from "../Instruction.ts"
import type { Func, Local } from "../ModuleBuilder.ts"
import type { Shape } from "./GemmStrassenShape.ts"
import { scratchOf } from "./GemmStrassenShape.ts"
import { forward, ints, parameter } from "./GemmStrassenTiles.ts"
import { zeros } from "./GemmTile.ts"

/** `(a, scratch, row, here) ⇒ whether any sum is no number`: what is made of rows of A, or A's parts as they are. */
export const emitLefts = (emission: Emission, name: string, shape: Shape, sumsA: Func): Func => {
  const { k, levels, m, madeBytes, parts, rowBytes } = shape
  const layout = scratchOf(shape)
  return emission.module.func(`${name}.lefts`, ints(4), ["i32"], (f) => {
    const [a, scratch, row, here] = [parameter(0), parameter(1), parameter(2), parameter(3)]
    const at = (bytes: number): I32 => i32.add(f.get(scratch), i32.const(bytes))
    const [rows, all] = [f.let(emission.dim(shape.rows)), f.let(emission.dim(m))]
    f.range(layout.zeros, layout.bytes, 16, (bytes) => f.do(v128.store(i32.add(f.get(scratch), f.get(bytes)), zeros)))
    const odd = f.let(i32.const(0))
    const sums = (quarters: ReadonlyArray<I32>, to: I32, apart: number, count: number): void =>
      f.set(odd, i32.or(f.get(odd), f.call("i32", sumsA, [...quarters, to, i32.const(apart), i32.const(count / 8)])))
    const halves = (pointer: I32, bytes: number): ReadonlyArray<I32> => [pointer, i32.add(pointer, i32.const(bytes))]
    /** Where a row of a part is. */
    const partOf = (part: number | I32, r: Local<"i32">): Local<"i32"> => {
      const first = typeof part === "number" ? i32.mul(f.get(rows), i32.const(part)) : i32.mul(f.get(rows), part)
      const index = f.let(i32.add(first, i32.add(f.get(row), f.get(r))))
      return f.let(
        select(
          i32.lt_s(f.get(index), f.get(all)),
          i32.add(f.get(a), i32.mul(f.get(index), i32.const(rowBytes))),
          at(layout.zeros)
        )
      )
    }
    f.range(0, f.get(here), 1, (r) => {
      const to = f.let(i32.add(at(layout.lefts), i32.mul(f.get(r), i32.const(madeBytes))))
      if (levels === 1) {
        const [upper, lower] = [partOf(0, r), partOf(1, r)]
        sums([...halves(f.get(upper), k * 4), ...halves(f.get(lower), k * 4)], f.get(to), layout.a, k)
        return
      }
      const half = 2 * k * 4
      for (const inner of [0, 1] as const) {
        const [upper, lower] = [partOf(inner, r), partOf(2 + inner, r)]
        const target = at(layout.outerLefts + inner * 7 * half)
        sums([...halves(f.get(upper), half), ...halves(f.get(lower), half)], target, half, 2 * k)
      }
      f.range(0, 7, 1, (outer) => {
        const upper = f.let(i32.add(at(layout.outerLefts), i32.mul(f.get(outer), i32.const(half))))
        const lower = i32.add(f.get(upper), i32.const(7 * half))
        const target = i32.add(f.get(to), i32.mul(f.get(outer), i32.const(7 * layout.a)))
        sums([...halves(f.get(upper), k * 4), ...halves(lower, k * 4)], target, layout.a, k)
      })
    })
    f.if(f.get(odd), () =>
      f.range(0, f.get(here), 1, (r) =>
        f.range(0, parts, 1, (part) => {
          const source = partOf(f.get(part), r)
          const to = f.let(i32.add(at(layout.lefts), i32.mul(f.get(r), i32.const(madeBytes))))
          f.set(to, i32.add(f.get(to), i32.mul(f.get(part), i32.const(parts * layout.a))))
          f.range(0, parts, 1, () => {
            f.range(0, k * 4, 16, (offset) =>
              f.do(v128.store(i32.add(f.get(to), f.get(offset)), v128.load(i32.add(f.get(source), f.get(offset)))))
            )
            forward(f, source, k * 4)
            forward(f, to, layout.a)
          })
        })
      )
    )
    f.return(f.get(odd))
  })
}
