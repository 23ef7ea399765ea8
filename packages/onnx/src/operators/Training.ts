// Optimizer steps of ai.onnx.preview.training: Adagrad, Adam, Momentum. Inputs: rate, step count, then for each kind of
// state one tensor a parameter; results: the new ones in the same order.
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Context, Operator } from "../Operator.ts"

const domain = "ai.onnx.preview.training"

/** The inputs from the third on, as `kinds` lists of one length. */
const groups = (c: Context, kinds: number): ReadonlyArray<ReadonlyArray<Value>> => {
  const each = (c.count - 2) / kinds
  if (!Number.isInteger(each)) return c.fail(`${c.count - 2} tensors do not divide into ${kinds} kinds`)
  return Array.from({ length: kinds }, (_, kind) =>
    Array.from({ length: each }, (_unused, i) => c.input(2 + kind * each + i))
  )
}

/** One list a kind of result, flat. */
const results = (each: ReadonlyArray<ReadonlyArray<Value>>): ReadonlyArray<Value> =>
  (each[0] ?? []).flatMap((_, kind) => each.flatMap((list) => list[kind] ?? []))

/** G + norm_coefficient · X. */
const regularised = (c: Context, x: Value, gradient: Value): Value =>
  c.e.add(c.e.mul(c.e.number(x, c.attribute.float("norm_coefficient", 0)), x), gradient)

/** Whether the step count is above 0, as a choice of values. */
const after = (c: Context, yes: Value, no: Value): Value =>
  c.e.select(c.e.binary(Ops.greater, c.e.reshape(c.input(1), []), c.e.scalar("i64", 0)), yes, no)

export const adagrad: Operator = {
  name: "Adagrad",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const [xs = [], gradients = [], squares = []] = groups(c, 3)
    const rate = e.reshape(c.input(0), [])
    const steps = e.cast(e.reshape(c.input(1), []), rate.type.dtype)
    const decay = e.add(e.number(rate, 1), e.mul(steps, e.number(rate, c.attribute.float("decay_factor", 0))))
    return results(
      xs.map((x, i) => {
        const gradient = regularised(c, x, gradients[i] ?? x)
        const sum = e.add(squares[i] ?? x, e.mul(gradient, gradient))
        const spread = e.add(e.sqrt(sum), e.number(x, c.attribute.float("epsilon", Math.fround(1e-6))))
        return [e.sub(x, e.div(e.mul(e.div(rate, decay), gradient), spread)), sum]
      })
    )
  }
}

export const adam: Operator = {
  name: "Adam",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const [xs = [], gradients = [], means = [], squares = []] = groups(c, 4)
    const [alpha, beta] = [c.attribute.float("alpha", Math.fround(0.9)), c.attribute.float("beta", Math.fround(0.999))]
    const rate = e.reshape(c.input(0), [])
    const steps = e.cast(e.reshape(c.input(1), []), rate.type.dtype)
    const one = e.number(rate, 1)
    const left = (factor: number): Value => e.sub(one, e.binary(Ops.pow, e.number(rate, factor), steps))
    const adjusted = after(c, e.div(e.mul(rate, e.sqrt(left(beta))), left(alpha)), rate)
    return results(
      xs.map((x, i) => {
        const gradient = regularised(c, x, gradients[i] ?? x)
        const blend = (before: Value, now: Value, factor: number): Value =>
          e.add(e.mul(before, e.number(x, factor)), e.mul(now, e.number(x, 1 - factor)))
        const mean = blend(means[i] ?? x, gradient, alpha)
        const square = blend(squares[i] ?? x, e.mul(gradient, gradient), beta)
        const spread = e.add(e.sqrt(square), e.number(x, c.attribute.float("epsilon", Math.fround(1e-6))))
        const moved = e.sub(x, e.div(e.mul(adjusted, mean), spread))
        const kept = 1 - c.attribute.float("norm_coefficient_post", 0)
        return [kept === 1 ? moved : e.mul(moved, e.number(x, kept)), mean, square]
      })
    )
  }
}

export const momentum: Operator = {
  name: "Momentum",
  domain,
  since: [1],
  translate: (c) => {
    const { e } = c
    const [xs = [], gradients = [], velocities = []] = groups(c, 3)
    const rate = e.reshape(c.input(0), [])
    const [alpha, beta] = [c.attribute.float("alpha"), c.attribute.float("beta")]
    const factor = after(c, e.number(rate, beta), e.number(rate, 1))
    const isNesterov = c.attribute.string("mode") === "nesterov"
    return results(
      xs.map((x, i) => {
        const gradient = regularised(c, x, gradients[i] ?? x)
        const velocity = e.add(e.mul(velocities[i] ?? x, e.number(x, alpha)), e.mul(factor, gradient))
        const step = isNesterov ? e.add(gradient, e.mul(velocity, e.number(x, alpha))) : velocity
        return [e.sub(x, e.mul(rate, step)), velocity]
      })
    )
  }
}

export const all: ReadonlyArray<Operator> = [adagrad, adam, momentum]
