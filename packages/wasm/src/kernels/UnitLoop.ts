/**
 * UnitLoop: the function of a kernel around the code of one of its units.
 *
 * Several units are calls of a function of their own: an engine that compiles twice (V8: quickly first, well later) goes on
 * with the better code at the next call, and not only when the whole kernel is called again.
 */
import type { Dim } from "@anneal/ir/Dim"
import type { Emission } from "../Emission.ts"
import type { Func, FunctionBuilder, Local } from "../ModuleBuilder.ts"

/** Writes what all units share, and gives the code of one. */
export type UnitCode = (f: FunctionBuilder) => (unit: Local<"i32">) => void

const local = (index: number): Local<"i32"> => ({ type: "i32", index })

/** `parameters`: all of the kernel's, `begin` and `end` the last two. In the unit's code the others have the same index. */
export const unitLoop = (emission: Emission, name: string, parameters: number, units: Dim, code: UnitCode): Func => {
  const types = (count: number): ReadonlyArray<"i32"> => new Array<"i32">(count).fill("i32")
  const [begin, end] = [local(parameters - 2), local(parameters - 1)]
  if (units === 1)
    return emission.module.func(name, types(parameters), [], (f) => {
      const unit = code(f)
      f.range(f.get(begin), f.get(end), 1, unit)
    })
  const one = emission.module.func(`${name}.unit`, types(parameters - 1), [], (f) => code(f)(local(parameters - 2)))
  return emission.module.func(name, types(parameters), [], (f) => {
    const others = Array.from({ length: parameters - 2 }, (_, index) => f.get(local(index)))
    f.range(f.get(begin), f.get(end), 1, (unit) => f.run(one, [...others, f.get(unit)]))
  })
}
