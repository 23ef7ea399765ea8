// Faults of kernels for any size that show at some sizes only, none of them the one that the kernel is chosen for: what is
// left over when a tile of so many does not fit. Each is found before the candidate is timed, and the size is named.
import * as Builder from "@anneal/ir/Builder"
import * as Dims from "@anneal/ir/Dim"
import type { Graph } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import type { Region } from "@anneal/lower/Region"
import * as Regions from "@anneal/lower/Region"
import * as Compile from "@anneal/wasm/Compile"
import type { I32 } from "@anneal/wasm/Instruction"
import { i32 } from "@anneal/wasm/Instruction"
import type { Kernel } from "@anneal/wasm/Kernel"
import * as Target from "@anneal/wasm/Target"
import { describe, expect, it } from "@effect/vitest"
import type { Family, Planted } from "./FaultFamilies.ts"
import { areRight, tests } from "./FaultFamilies.ts"
import type { Fault } from "./PlantedFaults.ts"
import { at } from "./SpoiledRegion.ts"

const n = Dims.symbol("n")

type Net = ReturnType<typeof Builder.make>
type Ref = ReturnType<Net["input"]>

const net = (shape: ReadonlyArray<Dims.Dim>, make: (b: Net, x: Ref) => Ref): Graph => {
  const b = Builder.make("net")
  b.output("y", make(b, b.input("x", Type.make("f32", shape))))
  return b.finish()
}

const weights = (b: Net, ...shape: ReadonlyArray<number>): Ref => {
  const size = shape.reduce((product, extent) => product * extent, 1)
  const values = Array.from({ length: size }, (_, i) => (((i * 37) % 61) - 30) / 40)
  return b.tensor(Numbers.fromNumbers("f32", shape, values))
}

const conv = { strides: [1, 1], padsBegin: [1, 1], padsEnd: [1, 1], dilations: [1, 1], groups: 1 } as const
const pool = { kernel: [2, 2], strides: [2, 2], padsBegin: [0, 0], padsEnd: [0, 0], dilations: [1, 1] } as const

/** The first region of a kind in the program for any size, with its kernel. */
const dynamic = (graph: Graph, kind: Region["kind"]): Family => {
  const { offers, planned } = Compile.plan(graph, { flavours: [Target.plain] })
  const all = [...Compile.subjects(planned, offers, Target.plain).values()]
  const subject = all.find(({ further = [], region }) => region.kind === kind && further.length > 0)
  const kernel = subject?.kernels[0]
  if (subject === undefined || kernel === undefined) throw new Error(`no ${kind} for any size`)
  return { subject, kernel }
}

const families: Readonly<Record<string, () => Family>> = {
  gemm: () =>
    dynamic(
      net([n, 24], (b, x) => b.one(Ops.matmul, [x, weights(b, 24, 20)], {})),
      "contraction"
    ),
  columns: () =>
    dynamic(
      net([24, n], (b, x) => b.one(Ops.matmul, [weights(b, 20, 24), x], {})),
      "contraction"
    ),
  depth: () => {
    const b = Builder.make("net")
    const [x, y] = [b.input("x", Type.make("f32", [7, n])), b.input("w", Type.make("f32", [n, 9]))]
    b.output("y", b.one(Ops.matmul, [x, y], {}))
    return dynamic(b.finish(), "contraction")
  },
  batch: () =>
    dynamic(
      net([n, 4, 7, 6], (b, x) => b.one(Ops.conv, [x, weights(b, 8, 4, 3, 3)], conv)),
      "convolution"
    ),
  width: () =>
    dynamic(
      net([1, 4, 7, n], (b, x) => b.one(Ops.conv, [x, weights(b, 8, 4, 3, 3)], conv)),
      "convolution"
    ),
  window: () =>
    dynamic(
      net([n, 3, 8, 8], (b, x) => b.one(Ops.averagePool, [x], { ...pool, ceil: false, includePad: false })),
      "window"
    ),
  loop: () =>
    dynamic(
      net([n, 5], (b, x) => b.one(Ops.mul, [b.one(Ops.add, [x, x], {}), x], {})),
      "loop"
    ),
  rows: () =>
    dynamic(
      net([3, n], (b, x) => b.one(Ops.softmax, [x], { axis: 1 })),
      "rows"
    ),
  whole: () =>
    dynamic(
      net([n, 9], (b, x) => b.one(Ops.cumulativeSum, [x], { axis: 1, exclusive: false, reverse: false })),
      "whole"
    )
}

/** What is left over of `n` by a tile is `rest`: the last element of the result then is another one. */
const remainder =
  (tile: number, rest: number): Fault =>
  (kernel: Kernel, region) => ({
    ...kernel,
    emit: (emission, name) => {
      const inner = kernel.emit(emission, `${name} inner`)
      const [result] = Regions.writes(region)
      if (result === undefined || result === null) throw new Error("it writes nothing")
      const last = Dims.add(Dims.product(result.shape), -1)
      return emission.module.func(name, inner.params, [], (f, params) => {
        const args = params.map(({ index }): I32 => f.get({ type: "i32", index }))
        f.run(inner, args)
        const place = i32.add(at(args, Regions.reads(region).length), i32.mul(emission.dim(last), i32.const(4)))
        f.if(i32.eq(i32.rem_u(emission.dim(n), i32.const(tile)), i32.const(rest)), () =>
          f.do(i32.store(place, i32.xor(i32.load(place), i32.const(0x400000))))
        )
      })
    }
  })

/** Remainders that the size that kernels are chosen for does not leave. */
const rests: ReadonlyArray<readonly [tile: number, rest: number]> = [
  [4, 1],
  [4, 3],
  [6, 5],
  [8, 7],
  [12, 11],
  [16, 15],
  [16, 13]
]

describe("kernels for any size", () => {
  areRight(families)
})

describe("faults at other sizes", () => {
  tests(
    Object.keys(families).flatMap((family) =>
      rests.map(([tile, rest]): Planted => [
        family,
        `${rest} left over of a tile of ${tile}`,
        remainder(tile, rest),
        "at n = "
      ])
    ),
    families
  )
})

it("leaves every remainder of every tile up to sixteen", () => {
  const { further = [], typical } = families["loop"]?.().subject ?? {}
  const sizes = [typical, ...further].map((one) => one?.get("n") ?? 0)
  for (let tile = 2; tile <= 16; tile++)
    for (let rest = 0; rest < tile; rest++)
      expect(
        sizes.some((size) => size % tile === rest),
        `${rest} of ${tile}`
      ).toBe(true)
})
