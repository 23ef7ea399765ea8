// Faults planted in generated kernels of every family: each is found before the candidate is timed, by name. The same
// measurer takes the kernel that it was planted in.
import { i32 } from "@anneal/wasm/Instruction"
import { describe } from "@effect/vitest"
import type { Planted } from "./FaultFamilies.ts"
import { tests } from "./FaultFamilies.ts"
import * as Plant from "./PlantedFaults.ts"
import { minus } from "./PlantedFaults.ts"
import { at, endless, last, poke, resultOf, shifted } from "./SpoiledRegion.ts"
import { areRight, families } from "./FaultFamilies.ts"

const faults: ReadonlyArray<Planted> = [
  // What a kernel is called with.
  ...Object.keys(families).flatMap((family) => {
    const result = resultOf[family] ?? 1
    return [
      [family, "the last unit is left out", Plant.called((args) => last(args, (end) => minus(end, 1)))],
      [family, "an operand is overwritten", poke(0 + (family === "winograd" ? 2 : 0), 4)],
      [family, "results lie an element too far", shifted(result, 4)]
    ] as const
  }),
  // What stops.
  [
    "conv",
    "it stops at the last unit",
    Plant.beside("after", (f, args) => f.if(i32.gt_s(at(args, -1), at(args, -2)), () => f.unreachable()))
  ],
  ["depthwise", "it reads far outside", Plant.called((args) => [i32.const(0x7fff0000), ...args.slice(1)])],
  [
    "integer",
    "it writes far outside",
    Plant.called((args) => args.map((arg, i) => (i === 4 ? i32.const(0x7fff0000) : arg)))
  ],
  [
    "rows",
    "only one in several calls is right",
    Plant.called((args) =>
      [...args.slice(0, -2), i32.const(0), at(args, -1)].map((arg, i) =>
        i === args.length - 1 ? i32.sub(arg, at(args, -2)) : arg
      )
    )
  ]
]

describe("generated kernels", () => {
  areRight()
})

describe("faults planted in every family", () => {
  tests(faults)
})

describe("kernels that do not end", () => {
  tests([["gemm", "it never ends", endless]], families, ["Hang"], 1_000)
})
