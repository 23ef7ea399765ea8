// Faults planted in kernels of convolutions: each is found before it is timed.
import { f32x4 } from "@anneal/wasm/Instruction"
import { describe } from "@effect/vitest"
import type { Planted } from "./FaultFamilies.ts"
import { tests } from "./FaultFamilies.ts"
import * as Plant from "./PlantedFaults.ts"
import { convs, shuffled, valued, withoutBias, withoutClamp } from "./SpoiledRegion.ts"

const faults: ReadonlyArray<Planted> = [
  ["conv", "the step is one", convs((region) => ({ ...region, strides: [2, 1] }))],
  ["conv", "the padding is on the other side", convs((region) => ({ ...region, padsBegin: [0, 0] }))],
  ["conv", "taps lie further apart", convs((region) => ({ ...region, dilations: [2, 1] }))],
  ["conv", "the bias is missing", convs((region) => valued(region, withoutBias))],
  ["conv", "the activation is missing", convs((region) => valued(region, withoutClamp))],
  [
    "conv",
    "the weight's taps are turned",
    Plant.packing((bytes) => new Uint8Array(new Float32Array(bytes.buffer).toReversed().buffer))
  ],
  ["conv", "the last row of results is left out", convs((region) => ({ ...region, out: [5, 5] }))],
  ["conv", "the panels are turned by an element", Plant.packing(shuffled)],
  ["depthwise", "the padding is on the other side", convs((region) => ({ ...region, padsBegin: [2, 0] }))],
  ["depthwise", "channels use the weights of the next", Plant.packing(shuffled)],
  ["depthwise", "the activation is missing", convs((region) => valued(region, withoutClamp))],
  [
    "winograd",
    "a transformed weight is off by one in a thousand",
    Plant.packing((bytes) => {
      const values = new Float32Array(bytes.buffer)
      values.set([(values[0] ?? 0) * 1.001 + 0.01], 0)
      return bytes
    })
  ],
  ["winograd", "one sum of the transform is taken off", Plant.instead(f32x4.add, f32x4.sub, 0)],
  ["winograd", "one difference of the transform is a sum", Plant.instead(f32x4.sub, f32x4.add, 0)],
  ["winograd", "the bias is missing", convs((region) => valued(region, withoutBias))],
  ["winograd", "it needs more scratch memory than it says", (kernel) => ({ ...kernel, scratch: 64 })]
]

describe("faults planted in convolutions", () => {
  tests(faults)
})
