// Faults planted in kernels of rows, loops, attention, pools and whole nodes: each is found before it is timed.
import { f32, f32x4 } from "@anneal/wasm/Instruction"
import { describe } from "@effect/vitest"
import type { Planted } from "./FaultFamilies.ts"
import { tests } from "./FaultFamilies.ts"
import * as Plant from "./PlantedFaults.ts"
import { anyRegion, at, poke } from "./SpoiledRegion.ts"

const faults: ReadonlyArray<Planted> = [
  [
    "rows",
    "the row's maximum is not taken off, infinities come",
    Plant.beside("after", (f, args) => f.do(f32.store(at(args, 1), f32.div(f32.const(0), f32.const(0)))))
  ],
  [
    "rows",
    "the last lane of a row is wrong",
    Plant.beside("after", (f, args) => f.do(f32.store(at(args, 1), f32.const(0.5), 4 * 42)))
  ],
  ["rows", "one sum is a difference", Plant.instead(f32x4.add, f32x4.sub, -1)],
  ["rows", "one product is a sum", Plant.instead(f32x4.mul, f32x4.add, -1)],
  ["loop", "one product is a sum", Plant.instead(f32x4.mul, f32x4.add, 0)],
  ["loop", "a minus is lost: zeros of the other sign and more", Plant.instead(f32x4.add, f32x4.max, 0)],
  ["loop", "an element is written behind the result", poke(1, 4 * 123)],
  [
    "loop",
    "operand and result are confused",
    Plant.called((args) => args.map((arg, i) => (i === 0 ? at(args, 1) : i === 1 ? at(args, 0) : arg)))
  ],
  [
    "attention",
    "the scale is missing",
    anyRegion((region) => (region.kind === "attention" ? { ...region, scale: 1 } : region))
  ],
  [
    "attention",
    "it hides later keys",
    anyRegion((region) => (region.kind === "attention" ? { ...region, causal: true } : region))
  ],
  [
    "attention",
    "the last key is left out",
    anyRegion((region) => (region.kind === "attention" ? { ...region, keys: 18 } : region))
  ],
  [
    "attention",
    "keys and values are confused",
    Plant.called((args) => args.map((arg, i) => (i === 1 ? at(args, 2) : arg)))
  ],
  [
    "window",
    "the mean in place of the maximum",
    anyRegion((region) => (region.kind === "window" ? { ...region, combine: "average" } : region))
  ],
  [
    "window",
    "the window is two wide",
    anyRegion((region) => (region.kind === "window" ? { ...region, kernel: [3, 2] } : region))
  ],
  [
    "window",
    "padding is on the other side",
    anyRegion((region) => (region.kind === "window" ? { ...region, padsBegin: [0, 0] } : region))
  ]
]

describe("faults planted in rows, loops, attention and pools", () => {
  tests(faults)
})
