// Why a node is left to the host: the property that no kernel supports is named.
import * as Builder from "@anneal/ir/Builder"
import type { DType } from "@anneal/ir/DType"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import * as Compile from "@anneal/wasm/Compile"
import * as Target from "@anneal/wasm/Target"
import { expect, it } from "@effect/vitest"

const attributes = { strides: [1, 1], padsBegin: [0, 0], padsEnd: [0, 0], dilations: [1, 1], groups: 1 } as const

/** Why the only node of a graph is on the host, in its last program. */
const whyOf = (make: (b: ReturnType<typeof Builder.make>) => void): ReadonlyArray<string> => {
  const b = Builder.make("net")
  make(b)
  const { planned } = Compile.plan(b.finish(), { flavours: [Target.plain] })
  return (planned.at(-1)?.program.steps ?? []).flatMap((step) => (step.kind === "host" ? [step.why] : []))
}

const conv = (dtype: DType, dynamic: boolean) => (b: ReturnType<typeof Builder.make>) => {
  const x = b.input("x", Type.make(dtype, [1, 3, 8, 8]))
  const w = dynamic
    ? b.input("w", Type.make(dtype, [4, 3, 3, 3]))
    : b.tensor(Numbers.fromNumbers(dtype, [4, 3, 3, 3], new Array<number>(108).fill(1)))
  b.output("y", b.one(Ops.conv, [x, w], attributes))
}

it("of a convolution", () => {
  expect(whyOf(conv("f64", false))).toEqual([expect.stringContaining("f64")])
  expect(whyOf(conv("f32", true))).toEqual([expect.stringContaining("the weight is computed by the run")])
  expect(whyOf(conv("f32", false))).toEqual([])
})
