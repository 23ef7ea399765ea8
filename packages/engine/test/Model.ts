// A small model for the tests of this package: y = relu(x·w + bias) scaled, with one weight that is left as it is and
// one that a rewrite has consumed.
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type { Graph } from "@anneal/ir/Graph"
import * as Hash from "@anneal/ir/Hash"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import type { AssembleInput } from "@anneal/engine/Engine"
import * as Manifest from "@anneal/engine/Manifest"

const from = (...sources: ReadonlyArray<string>) => ({ lineage: { sources, rewrites: [] } })

const ramp = (count: number) => Array.from({ length: count }, (_, i) => i / 7 - 1)

/** The model as a user has it: matmul, add, multiplication by a per-channel scale. */
export const source = (): Graph => {
  const b = Builder.make("net")
  const x = b.input("x", Type.make("f32", [Dim.symbol("batch"), 3]))
  const w = b.tensor(Numbers.fromNumbers("f32", [3, 4], ramp(12)), { id: "w", name: "fc.weight" })
  const bias = b.tensor(Numbers.fromNumbers("f32", [4], [1, 2, 3, 4]), { id: "bias", name: "fc.bias" })
  const scale = b.tensor(Numbers.fromNumbers("f32", [4], [2, 2, 4, 4]), { id: "scale", name: "scale" })
  const product = b.one(Ops.matmul, [x, w], {}, from("fc"))
  const scaled = b.one(Ops.mul, [product, scale], {}, from("scaling"))
  const sum = b.one(Ops.add, [scaled, bias], {}, from("shift"))
  b.output("y", b.one(Ops.relu, [sum], {}, from("act")))
  return b.finish()
}

/** The same after a pass has folded the scale into the weight. */
export const optimised = (): Graph => {
  const b = Builder.make("net")
  const x = b.input("x", Type.make("f32", [Dim.symbol("batch"), 3]))
  const folded = ramp(12).map((value, i) => value * (i % 4 < 2 ? 2 : 4))
  const w = b.tensor(Numbers.fromNumbers("f32", [3, 4], folded), { id: "w" })
  const bias = b.tensor(Numbers.fromNumbers("f32", [4], [1, 2, 3, 4]), { id: "bias", name: "fc.bias" })
  const lineage = { sources: ["fc", "scaling"], rewrites: ["foldScale"] }
  const product = b.one(Ops.matmul, [x, w], {}, { lineage })
  const sum = b.one(Ops.add, [product, bias], {}, from("shift"))
  b.output("y", b.one(Ops.relu, [sum], {}, from("act")))
  return b.finish()
}

export const profiles: ReadonlyArray<Manifest.Profile> = [
  { name: "small", dims: { batch: { min: 1, opt: 1, max: 2 } } },
  { name: "large", dims: { batch: { min: 8, opt: 16, max: 32 } } }
]

export const input = (graph = optimised(), strip = false): AssembleInput => ({
  about: Manifest.aboutModel("net", Hash.content(source())),
  source: source(),
  variants: [{ name: "reference", target: "reference", features: [], graph, profiles }],
  strip
})
