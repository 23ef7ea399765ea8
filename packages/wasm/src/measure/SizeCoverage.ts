/**
 * SizeCoverage: at which further sizes a candidate is checked. Regions whose kernels are of one name and configuration have
 * their code from one generator: each is checked at one other size, and at those that none of them was checked at before.
 */
import type { Bindings } from "@anneal/ir/Bind"
import * as Tuners from "@anneal/pipeline/Tuner"
import type { Kernel } from "../Kernel.ts"
import type { Subject } from "./Trial.ts"

export class SizeCoverage {
  readonly #checked = new Map<string, Set<number>>()

  /** Those of the subject's further sizes that this kernel of it is to be checked at. */
  choose({ config, name }: Kernel, { further = [], region }: Subject): ReadonlyArray<Bindings> {
    const key = `${region.kind} ${Tuners.identify({ name, config })}`
    const checked = this.#checked.get(key) ?? new Set()
    this.#checked.set(key, checked)
    return further.filter((sizes, place) => {
      const values = [...sizes.values()]
      if (place > 0 && values.every((value) => checked.has(value))) return false
      for (const value of values) checked.add(value)
      return true
    })
  }
}
