// A property of all passes together: on graphs made at random, the oracle's outputs before and after agree within the
// bounds of both, in whatever order the passes meet what they know.
import { assert, describe, it } from "@effect/vitest"
import type { GraphBuilder } from "@anneal/ir/Builder"
import * as Builders from "@anneal/ir/Builder"
import type { Dim } from "@anneal/ir/Dim"
import * as Dims from "@anneal/ir/Dim"
import type { Graph, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Tensor from "@anneal/ir/Tensor"
import * as Text from "@anneal/ir/Text"
import * as Type from "@anneal/ir/Type"
import * as Verify from "@anneal/ir/Verify"
import * as All from "@anneal/passes/All"
import { Oracle } from "@anneal/pipeline/Oracle"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"

/** Whole numbers below a limit, the same for one seed. */
const numbers = (seed: number) => {
  let state = (seed * 2_654_435_761 + 1) >>> 0
  return (limit: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 4_294_967_296) * limit)
  }
}
type Draw = ReturnType<typeof numbers>

const pick = <T>(draw: Draw, list: readonly [T, ...ReadonlyArray<T>]): T => list[draw(list.length)] ?? list[0]
const shuffle = (draw: Draw, size: number): ReadonlyArray<number> => {
  const left = Array.from({ length: size }, (_, index) => index)
  return Array.from({ length: size }, () => left.splice(draw(left.length), 1)[0] ?? 0)
}

const scalar = (b: GraphBuilder, draw: Draw): Value => {
  const shape = pick<ReadonlyArray<number>>(draw, [[], [1], [1, 1]])
  return b.tensor(Numbers.fromNumbers("f32", shape, [pick(draw, [0, 1, -1, 2, 0.5, 6, -0])]))
}

/** A constant that broadcasts against a value: some of its axes are 1. */
const broadcast = (b: GraphBuilder, draw: Draw, x: Value): Value => {
  const shape = x.type.shape.map((dim) => (typeof dim === "number" && draw(2) === 0 ? dim : 1))
  const values = Array.from({ length: Tensor.size(shape) }, () => (draw(17) - 8) / 4)
  return b.tensor(Numbers.fromNumbers("f32", shape, values))
}

const axisOf = (draw: Draw, x: Value): number => draw(x.type.shape.length)
const product = (dims: ReadonlyArray<Dim>): Dim => Dims.product(dims)

/** One more node on some value. */
const steps: ReadonlyArray<(b: GraphBuilder, draw: Draw, x: Value, other: Value) => Value | undefined> = [
  (b, draw, x) => b.one(pick(draw, [Ops.relu, Ops.neg, Ops.abs, Ops.tanh, Ops.sigmoid, Ops.exp]), [x], {}),
  (b, draw, x) => b.one(pick(draw, [Ops.add, Ops.mul, Ops.sub, Ops.max, Ops.min]), [x, scalar(b, draw)], {}),
  (b, draw, x) => b.one(pick(draw, [Ops.add, Ops.mul, Ops.max]), [scalar(b, draw), x], {}),
  (b, draw, x) => b.one(pick(draw, [Ops.add, Ops.mul, Ops.sub]), [x, broadcast(b, draw, x)], {}),
  (b, draw, x) => b.one(Ops.transpose, [x], { permutation: shuffle(draw, x.type.shape.length) }),
  (b, draw, x) => {
    const { shape } = x.type
    const at = draw(shape.length + 1)
    return b.one(Ops.reshape, [x], { shape: [...shape.slice(0, at), 1, ...shape.slice(at)] })
  },
  (b, _, x) => {
    const { shape } = x.type
    if (shape.length < 2) return undefined
    return b.one(Ops.reshape, [x], { shape: [product(shape.slice(0, 2)), ...shape.slice(2)] })
  },
  (b, draw, x) => {
    const op = pick(draw, [Ops.reduceSum, Ops.reduceMean, Ops.reduceMax])
    return x.type.shape.length < 2 ? undefined : b.one(op, [x], { axes: [axisOf(draw, x)], keepDims: draw(3) > 0 })
  },
  (b, draw, x) => (x.type.shape.length < 1 ? undefined : b.one(Ops.softmax, [x], { axis: axisOf(draw, x) })),
  (b, draw, x) => {
    if (x.type.shape.length < 1) return undefined
    const axis = axisOf(draw, x)
    const zeros = x.type.shape.map(() => 0)
    const after = zeros.map((_, index) => (index === axis ? 1 : 0))
    return b.one(Ops.pad, [x], { before: zeros, after, mode: "constant" })
  },
  (b, draw, x) => {
    const axis = draw(x.type.shape.length)
    const extent = x.type.shape[axis]
    if (typeof extent !== "number" || extent < 2) return undefined
    const start = draw(2)
    return b.one(Ops.slice, [x], {
      starts: x.type.shape.map((_, index) => (index === axis ? start : 0)),
      sizes: x.type.shape.map((dim, index) => (index === axis ? extent - 1 : dim)),
      steps: x.type.shape.map(() => 1)
    })
  },
  (b, draw, x, other) => {
    const same = Type.equal(x.type, other.type) === true
    return same ? b.one(pick(draw, [Ops.add, Ops.mul, Ops.sub, Ops.max]), [x, other], {}) : undefined
  },
  (b, draw, x, other) => {
    const same = Type.equal(x.type, other.type) === true && x.type.shape.length > 0
    return same ? b.one(Ops.concat, [x, other], { axis: axisOf(draw, x) }) : undefined
  },
  (b, draw, x) => {
    const rows = x.type.shape.at(-1)
    if (typeof rows !== "number" || x.type.shape.length < 2) return undefined
    const columns = 1 + draw(3)
    const values = Array.from({ length: rows * columns }, () => (draw(17) - 8) / 8)
    return b.one(Ops.matmul, [x, b.tensor(Numbers.fromNumbers("f32", [rows, columns], values))], {})
  },
  (b, _, x) => b.one(Ops.mul, [x, b.one(Ops.sigmoid, [x], {})], {}),
  (b, _, x) => b.one(Ops.pow, [x, b.tensor(Numbers.scalar("f32", 2))], {})
]

const make = (seed: number): Graph => {
  const draw = numbers(seed)
  const b = Builders.make(`random ${seed}`)
  const values: [Value, ...Array<Value>] = [
    b.input("x", Type.make("f32", [2, 3, 4])),
    b.input("z", Type.make("f32", [Dims.symbol("n"), 2, 3]))
  ]
  for (let count = 0; count < 24; count++) {
    const x = values[Math.max(0, values.length - 1 - draw(4))] ?? values[0]
    const other = values[draw(values.length)] ?? values[0]
    if (x.type.shape.length > 5) continue
    const next = steps[draw(steps.length)]?.(b, draw, x, other)
    if (next !== undefined) values.push(next)
  }
  const outputs = new Set([values.at(-1) ?? values[0], values[draw(values.length)] ?? values[0]])
  for (const [index, value] of [...outputs].entries()) b.output(`y${index}`, value)
  return b.finish()
}

const input = (seed: number, shape: ReadonlyArray<number>): Tensor.Tensor => {
  const draw = numbers(seed + 1000)
  return Numbers.fromNumbers(
    "f32",
    shape,
    Array.from({ length: Tensor.size(shape) }, () => (draw(33) - 16) / 8)
  )
}

/** Elements that an exact rewrite must carry through as they are. */
const special = (seed: number, shape: ReadonlyArray<number>): Tensor.Tensor => {
  const draw = numbers(seed + 2000)
  const values = [0, -0, 1, -1, 2.5, Number.NaN, Infinity, -Infinity, 1e-40, 3e38] as const
  return Numbers.fromNumbers(
    "f32",
    shape,
    Array.from({ length: Tensor.size(shape) }, () => pick(draw, values))
  )
}

const seeds = Array.from({ length: 60 }, (_, index) => index)
const exact = All.passes.filter(({ claim }) => claim === "exact")

describe("graphs made at random", () => {
  for (const seed of seeds)
    it.effect(`seed ${seed}: exact passes change no bit`, () =>
      Effect.gen(function* () {
        const before = make(seed)
        const { graph: after } = yield* All.rewriteAll(before, exact)
        const oracle = yield* Oracle
        const inputs = [special(seed, [2, 3, 4]), special(seed + 1, [3, 2, 3])]
        const [a, c] = [yield* oracle.run(before, inputs), yield* oracle.run(after, inputs)]
        for (const [position, tensor] of a.entries()) {
          const [xs, ys] = [tensor, c[position] ?? tensor].map(Numbers.toNumbers)
          assert.deepStrictEqual([...(ys ?? [])], [...(xs ?? [])], `${Text.print(before)}\n${Text.print(after)}`)
          assert.isTrue((xs ?? []).every((x, index) => Object.is(x, ys?.[index])))
        }
      }).pipe(Effect.provide(Reference.layer()))
    )

  for (const seed of seeds)
    it.effect(`seed ${seed}: outputs agree within their bounds`, () =>
      Effect.gen(function* () {
        const before = make(seed)
        Verify.check(before, "the generator")
        const { graph: after } = yield* All.rewriteAll(before)
        Verify.check(after, "the passes")
        const given = Graphs.allConstants(before)
        const rounded = new Set([...Graphs.allConstants(after).keys()].filter((digest) => !given.has(digest)))
        const oracle = yield* Oracle
        const inputs = [input(seed, [2, 3, 4]), input(seed + 1, [3, 2, 3])]
        const [a, c] = [
          yield* oracle.runWithBounds(before, inputs),
          yield* oracle.runWithBounds(after, inputs, { rounded })
        ]
        for (const [position, tensor] of a.outputs.entries()) {
          const [xs, ys] = [tensor, c.outputs[position] ?? tensor].map(Numbers.toNumbers)
          assert.deepStrictEqual(c.outputs[position]?.shape, tensor.shape)
          for (const [index, x] of (xs ?? []).entries()) {
            const y = ys?.[index] ?? Number.NaN
            const allowed = (a.bounds[position]?.[index] ?? 0) + (c.bounds[position]?.[index] ?? 0)
            if (Object.is(x, y) || x === y || !Number.isFinite(x) || !Number.isFinite(allowed)) continue
            assert.isAtMost(
              Math.abs(x - y),
              allowed,
              `output ${position}, element ${index}\n${Text.print(before)}\n${Text.print(after)}`
            )
          }
        }
      }).pipe(Effect.provide(Reference.layer()))
    )
})
