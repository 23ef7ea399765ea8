// Multinomial: classes drawn from rows of logarithms of probabilities [batch, classes] ⇒ [batch, samples].
//
// A class is drawn by the number of running totals of the probabilities that a uniform number has passed.
import * as Ops from "@anneal/ir/Ops"
import * as ElementType from "../ElementType.ts"
import type { Operator } from "../Operator.ts"
import { seedOf } from "./Random.ts"

export const multinomial: Operator = {
  name: "Multinomial",
  since: [7, 22],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const [batch = 1, classes = 1] = x.type.shape
    const samples = c.attribute.int("sample_size", 1)
    const code = c.attribute.int("dtype", 6)
    const to = ElementType.fromCode(code)
    if (to !== "i32" && to !== "i64") return c.fail(`dtype ${ElementType.nameOf(code)} is no index`)
    const probabilities = e.b.one(Ops.softmax, [e.cast(x, "f32")], { axis: 1 })
    const totals = e.b.one(Ops.cumulativeSum, [probabilities], { axis: 1, exclusive: false, reverse: false })
    const draws = e.b.one(Ops.randomUniform, [], { shape: [batch, samples, 1], dtype: "f32", seed: seedOf(c) })
    const passed = e.binary(Ops.greaterOrEqual, draws, e.reshape(totals, [batch, 1, classes]))
    const index = e.sum(e.cast(passed, to), [2], false)
    // Rounding may leave the last total below 1.
    return e.min(index, e.cast(e.sub(e.size(classes, "i64"), e.scalar("i64", 1)), to))
  }
}

export const all: ReadonlyArray<Operator> = [multinomial]
