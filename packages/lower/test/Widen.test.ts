// Narrow floats on a target that has kernels for f32 only: nothing is left to the host, results are the oracle's.
import { assert, describe, it } from "@effect/vitest"
import * as Builder from "@anneal/ir/Builder"
import type { Graph, Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"
import * as MemoryPlan from "@anneal/lower/MemoryPlan"
import type { Program } from "@anneal/lower/Program"
import * as Regions from "@anneal/lower/Region"
import * as Rules from "@anneal/lower/Rules"
import { difference, planned } from "./Agreement.ts"

type Narrow = "f16" | "bf16"

const f32Only: Rules.Rules = {
  ...Rules.everything,
  has: (kind, dtype) => kind === "loop" || kind === "rows" || dtype === "f32"
}

const noise = (dtype: Narrow, shape: ReadonlyArray<number>, seed: number): Tensor =>
  Numbers.fromNumbers(
    dtype,
    shape,
    Array.from({ length: Tensors.size(shape) }, (_, i) => Math.sin((i + 1) * (seed + 1.7)))
  )

type Make = (b: ReturnType<typeof Builder.make>, x: Value, weight: (shape: ReadonlyArray<number>) => Value) => Value

const window = { strides: [1, 1], padsBegin: [1, 1], padsEnd: [1, 1], dilations: [1, 1] }

const cases: ReadonlyArray<readonly [name: string, shape: ReadonlyArray<number>, make: Make]> = [
  ["a product with a weight", [3, 5], (b, x, weight) => b.one(Ops.matmul, [x, weight([5, 4])], {})],
  [
    "a product with a weight that is turned around, an epilogue in the narrow float",
    [3, 5],
    (b, x, weight) => {
      const w = b.one(Ops.transpose, [weight([4, 5])], { permutation: [1, 0] })
      return b.one(Ops.tanh, [b.one(Ops.add, [b.one(Ops.matmul, [x, w], {}), weight([4])], {})], {})
    }
  ],
  ["a product of a value with itself", [2, 4, 4], (b, x) => b.one(Ops.matmul, [x, x], {})],
  [
    "two convolutions and a pool in a row",
    [1, 2, 6, 5],
    (b, x, weight) => {
      const first = b.one(Ops.conv, [x, weight([3, 2, 3, 3]), weight([3])], { ...window, groups: 1 })
      const [pooled] = b.node(Ops.maxPool, [b.one(Ops.relu, [first], {})], {
        kernel: [2, 2],
        ...window,
        padsBegin: [0, 0],
        padsEnd: [0, 0],
        ceil: false,
        indexOrder: "rowMajor"
      })
      if (pooled === undefined) throw new Error("a pool has a result")
      return b.one(Ops.conv, [pooled, weight([2, 3, 1, 1]), undefined], {
        ...window,
        padsBegin: [0, 0],
        padsEnd: [0, 0],
        groups: 1
      })
    }
  ]
]

const graphOf = (dtype: Narrow, shape: ReadonlyArray<number>, make: Make): Graph => {
  const b = Builder.make("narrow")
  const x = b.input("x", Type.make(dtype, shape))
  let seed = 0
  b.output(
    "y",
    make(b, x, (of) => b.tensor(noise(dtype, of, ++seed)))
  )
  return b.finish()
}

const hosts = (program: Program) => MemoryPlan.flatten(program.steps).filter(({ kind }) => kind === "host")

describe("Widen", () => {
  for (const dtype of ["f16", "bf16"] as const)
    it.each(cases)(`${dtype}: %s`, (_, shape, make) => {
      const graph = graphOf(dtype, shape, make)
      const program = planned(graph, { rules: f32Only })
      assert.deepStrictEqual(hosts(program), [])
      assert.isUndefined(difference(graph, [noise(dtype, shape, 100)], { rules: f32Only }))
      // Kernels have weights in their own order only where those are constants, whatever lay before the product.
      for (const step of MemoryPlan.flatten(program.steps)) {
        if (step.kind !== "region" || step.region.kind !== "convolution") continue
        const weight = Regions.reads(step.region)[1]
        assert.strictEqual(program.buffers.get(weight?.buffer ?? "")?.kind, "constant")
        assert.strictEqual(weight?.dtype, "f32")
      }
    })

  it("leaves alone what the target computes in the narrow float, what it refuses, and f32", () => {
    const [, shape, make] = cases[0] ?? assert.fail("no case")
    const graph = graphOf("f16", shape, make)
    const regions = (rules: Rules.Rules) =>
      MemoryPlan.flatten(planned(graph, { rules }).steps).map((step) =>
        step.kind === "region" ? `${step.region.kind} ${Regions.reads(step.region)[0]?.dtype}` : step.kind
      )
    assert.deepStrictEqual(regions(Rules.everything), ["contraction f16"])
    assert.deepStrictEqual(regions(f32Only), ["loop f16", "contraction f32"])
    assert.deepStrictEqual(regions({ ...f32Only, refuses: ({ op }) => (op.name === "matmul" ? "no" : undefined) }), [
      "host"
    ])
  })
})
