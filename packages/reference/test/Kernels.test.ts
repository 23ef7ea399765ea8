import { assert, describe, it } from "@effect/vitest"
import * as Op from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Discontinuous from "@anneal/reference/bounds/Discontinuous"
import * as OwnRules from "@anneal/reference/bounds/OwnRules"
import * as Kernels from "@anneal/reference/Kernels"

describe("Kernels", () => {
  it("has one kernel for each primitive op, and none for a composite", () => {
    const primitives = Ops.all.filter(Op.isPrimitive).map((op) => op.name)
    const names = Kernels.all.map(({ op }) => op.name)
    assert.deepStrictEqual([...names].sort(), [...primitives].sort())
    assert.strictEqual(new Set(names).size, names.length)
  })
  it("has a rule of bounds for each op whose error rule is its own", () => {
    const carrying = new Set(
      Kernels.all.filter(({ kernel }) => kernel.runBounded !== undefined).map(({ op }) => op.name)
    )
    const own = Ops.all.filter(({ error }) => error.kind === "run").map((op) => op.name)
    const jumping = Ops.all.filter(({ error }) => error.kind === "discontinuous").map((op) => op.name)
    assert.deepStrictEqual(
      own.filter((name) => !carrying.has(name) && !OwnRules.rules.has(name)),
      []
    )
    assert.deepStrictEqual(
      jumping.filter((name) => !Discontinuous.rules.has(name)),
      []
    )
  })
})
