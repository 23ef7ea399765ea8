// Kernels of random tensors: element i of a node is element i of the Philox stream of its seed and the run's.
import * as Tensors from "@anneal/ir/Tensor"
import * as Ops from "@anneal/ir/Ops"
import * as Elements from "../Elements.ts"
import type { Entry } from "../Kernel.ts"
import * as Kernel from "../Kernel.ts"
import * as Random from "../Random.ts"

const mask = (1n << 53n) - 1n

/** One stream for each pair of seeds; a run's seed of 0 leaves the node's own. */
const streamOf = (node: number, run: number): number => Number((BigInt(node) + BigInt(run) * 0x9e3779b97f4a7n) & mask)

const random = (op: typeof Ops.randomUniform, draw: (seed: number, length: number) => Float64Array): Entry =>
  Kernel.define(op, (call) => {
    const { dtype, seed, shape } = call.attributes
    return [Elements.fromNumbers(dtype, shape, draw(streamOf(seed, call.seed), Tensors.size(shape)))]
  })

export const all: ReadonlyArray<Entry> = [
  random(Ops.randomUniform, Random.uniforms),
  random(Ops.randomNormal, Random.normals)
]
