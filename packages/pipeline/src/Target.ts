/**
 * Target: what an engine is built for, as data: which ops and types it runs, which quantisation schemes, how much
 * memory. Passes and quantisation ask it; generated code is the business of the targets' own packages.
 */
import type * as DType from "@anneal/ir/DType"
import type { Node } from "@anneal/ir/Graph"
import type { Attributes, OpDefinition } from "@anneal/ir/Op"
import type { TensorType } from "@anneal/ir/Type"
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { Identified } from "./Key.ts"

/** One way of quantising that a target runs. */
export const QuantScheme = Schema.Struct({
  /** Width of the integers: 4 or 8. */
  bits: Schema.Literals([4, 8]),
  /**
   * Bits that values use of those, where it is fewer (a reduced range): 7 of 8 are −63 … 63, or 0 … 127 with a zero
   * point. For machines whose products of a byte and seven bits are faster than those of two bytes.
   */
  usedBits: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 2, maximum: 8 }))),
  /** Zero point is 0. */
  symmetric: Schema.Boolean,
  /** What shares a scale. */
  granularity: Schema.Union([
    Schema.Struct({ per: Schema.Literal("tensor") }),
    Schema.Struct({ per: Schema.Literal("axis") }),
    Schema.Struct({ per: Schema.Literal("block"), size: Schema.Int })
  ]),
  scale: Schema.Literals(["f32", "f16", "bf16"]),
  /** Ranges from calibration, or measured while running. */
  range: Schema.Literals(["static", "dynamic"])
})
export type QuantScheme = typeof QuantScheme.Type

/** Schemes for the two sides of a product. */
export interface QuantSchemes {
  readonly activations: ReadonlyArray<QuantScheme>
  readonly weights: ReadonlyArray<QuantScheme>
}

export interface TargetService extends Identified {
  readonly name: string
  /** Names of what the machine has: `simd128`, `relaxed-simd`, `sm_90a`; sorted. */
  readonly features: ReadonlyArray<string>
  readonly quantization: QuantSchemes
  /** Whether the target runs this op whole on these element types (results after operands). */
  readonly supports: <A extends Attributes>(op: OpDefinition<A>, dtypes: ReadonlyArray<DType.DType>) => boolean
  /**
   * Why this product runs faster on floats than on integers, given its operands' types; undefined: it does not. Left out:
   * integers are never slower. Quantisation leaves such products alone.
   */
  readonly prefersFloat?: (node: Node, operands: ReadonlyArray<TensorType | undefined>) => string | undefined
  /** Bytes; undefined: no limit known. */
  readonly memory: { readonly total: number | undefined; readonly perAllocation: number | undefined }
}

export class Target extends Context.Service<Target, TargetService>()("@anneal/pipeline/Target") {}

const perTensor = { per: "tensor" } as const
const perAxis = { per: "axis" } as const

/** The reference executor: runs everything, one op at a time, INT8 with static per-tensor activations, per-axis weights. */
export const reference: TargetService = {
  name: "reference",
  identity: { name: "reference", version: 1, config: {} },
  features: [],
  quantization: {
    activations: [
      { bits: 8, symmetric: false, granularity: perTensor, scale: "f32", range: "static" },
      { bits: 8, symmetric: true, granularity: perTensor, scale: "f32", range: "static" }
    ],
    weights: [
      { bits: 8, symmetric: true, granularity: perAxis, scale: "f32", range: "static" },
      { bits: 8, symmetric: true, granularity: perTensor, scale: "f32", range: "static" }
    ]
  },
  supports: () => true,
  memory: { total: undefined, perAllocation: undefined }
}

export const layerReference: Layer.Layer<Target> = Layer.succeed(Target, reference)
