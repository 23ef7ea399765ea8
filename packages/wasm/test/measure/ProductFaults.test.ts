// Faults planted in kernels of products, of floats and of integers: each is found before it is timed.
import * as Scalars from "@anneal/lower/Scalar"
import { f32, f32x4 } from "@anneal/wasm/Instruction"
import { describe } from "@effect/vitest"
import type { Planted } from "./FaultFamilies.ts"
import { tests } from "./FaultFamilies.ts"
import * as Plant from "./PlantedFaults.ts"
import { at, parted, products, shifted, shuffled, valued, withoutBias, withoutClamp } from "./SpoiledRegion.ts"

const faults: ReadonlyArray<Planted> = [
  ["gemm", "the bias is missing", products((region) => valued(region, withoutBias))],
  ["gemm", "the activation is missing", products((region) => valued(region, withoutClamp))],
  [
    "gemm",
    "the activation comes before the bias",
    products((region) =>
      valued(region, () =>
        Scalars.binary(
          "add",
          Scalars.binary("max", Scalars.previous("accumulator", "f32"), Scalars.constant("f32", 0)),
          Scalars.load(0, "f32")
        )
      )
    )
  ],
  ["gemm", "a step of the sum is left out", products((region) => ({ ...region, k: 28 }))],
  [
    "gemm",
    "rows of the left operand lie an element too far apart",
    products((region) => ({ ...region, a: { ...region.a, strides: [28, 1] } }))
  ],
  ["gemm", "columns at the edge are left out", products((region) => ({ ...region, n: 36 }))],
  ["gemm", "the panels are turned by an element", Plant.packing(shuffled)],
  ["gemm", "the last panel is empty", Plant.packing((bytes) => bytes.fill(0, bytes.length - 64))],
  ["gemm", "one sum is taken off instead of added", Plant.instead(f32x4.add, f32x4.sub, 0)],
  ["gemm", "one product is a sum", Plant.instead(f32x4.mul, f32x4.add, 0)],
  [
    "gemm",
    "a store is left out",
    Plant.stores(
      (place) => place === 1,
      () => []
    )
  ],
  [
    "gemm",
    "a store is done twice, the second time further on",
    Plant.beside("after", (f, args) => f.do(f32.store(at(args, 3), f32.load(at(args, 3)), 4)))
  ],
  [
    "gemm",
    "sums begin with what was there",
    Plant.beside("after", (f, args) => f.do(f32.store(at(args, 3), f32.add(f32.load(at(args, 3)), f32.const(1e-3)))))
  ],
  // Integers.
  ["integer", "the zero point is one too small", products((region) => ({ ...region, zero: { a: 116, b: 0 } }))],
  ["integer", "a step of the sum is left out", products((region) => ({ ...region, k: 44 }))],
  [
    "integer",
    "halves are rounded down",
    products((region) =>
      valued(
        region,
        parted((part) => (part.kind === "unary" && part.op === "round" ? { ...part, op: "floor" } : undefined))
      )
    )
  ],
  [
    "integer",
    "results wrap in place of being clamped",
    products((region) =>
      valued(region, (value) =>
        value.kind === "cast"
          ? Scalars.cast(
              Scalars.unary(
                "round",
                Scalars.binary(
                  "mul",
                  Scalars.cast(Scalars.previous("accumulator", "i32"), "f32"),
                  Scalars.load(0, "f32")
                )
              ),
              "u8",
              false
            )
          : value
      )
    )
  ],
  ["integer", "the scales of the next channels are used", shifted(2, 4)],
  ["integer", "the bias is missing", products((region) => valued(region, withoutBias))]
]

describe("faults planted in products", () => {
  tests(faults)
})
