import { assert, describe, it } from "@effect/vitest"
import * as Op from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Kernels from "@anneal/reference/Kernels"

describe("Kernels", () => {
  it("has one kernel for each primitive op, and none for a composite", () => {
    const primitives = Ops.all.filter(Op.isPrimitive).map((op) => op.name)
    const names = Kernels.all.map(({ op }) => op.name)
    assert.deepStrictEqual([...names].sort(), [...primitives].sort())
    assert.strictEqual(new Set(names).size, names.length)
  })
})
