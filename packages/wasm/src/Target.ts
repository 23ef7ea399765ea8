/**
 * Target: what WebAssembly SIMD runs, for passes and quantisation, and the rules by which `lower` cuts a graph for it.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Node } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Rules, ScalarOp } from "@anneal/lower/Rules"
import * as ScalarOps from "@anneal/lower/ScalarOp"
import type { TargetService } from "@anneal/pipeline/Target"
import * as Target from "@anneal/pipeline/Target"
import * as Layer from "effect/Layer"
import type { Features } from "./Emission.ts"
import * as FloatPreference from "./FloatPreference.ts"
import * as Whole from "./kernels/Whole.ts"
import { featureNames, generator } from "./Payloads.ts"
import * as ScalarCode from "./ScalarCode.ts"

export const name = "wasm"

/** Whether there is scalar code for it: asked of the printer itself, with an expression of that kind. */
const computes = (op: ScalarOp, dtype: DType): boolean => {
  const x = { kind: "load", operand: 0, dtype } as const
  if (ScalarOps.isUnary(op)) return ScalarCode.refusal({ kind: "unary", op, x, dtype }) === undefined
  if (ScalarOps.isBinary(op)) return ScalarCode.refusal({ kind: "binary", op, a: x, b: x, dtype }) === undefined
  return true
}

/** Element types that products of the region's kind have kernels for. */
const has: Rules["has"] = (kind, dtype) => {
  switch (kind) {
    case "loop":
    case "rows":
      return true
    case "contraction":
    case "convolution":
      return dtype === "f32" || dtype === "f64" || dtype === "i32" || dtype === "i8" || dtype === "u8"
    case "window":
      return dtype === "f32" || dtype === "i8" || dtype === "u8"
    case "attention":
    case "recurrent":
      return dtype === "f32"
  }
}

/**
 * How a graph is cut for this target. `refuses`: nodes without a kernel after all. `claims`: nodes that somebody else's
 * kernels compute whole.
 */
export const rules = (
  options: { readonly refuses?: (node: Node) => string | undefined; readonly claims?: Rules["claims"] } = {}
): Rules => ({
  name,
  version: generator,
  computes,
  has,
  claims: (node, types) => Whole.claims(node, types) || options.claims?.(node, types) === true,
  activations: "channelsLast",
  readsBoundary: true,
  ...(options.refuses === undefined ? {} : { refuses: options.refuses })
})

const perTensor = { per: "tensor" } as const
const perAxis = { per: "axis" } as const

/** What the target is, on hosts with these features. */
export const make = (features: Features): TargetService => ({
  name,
  identity: {
    name,
    version: generator,
    config: { features: [...featureNames(features)], floatPreference: FloatPreference.version }
  },
  features: featureNames(features),
  quantization: {
    activations: [
      { bits: 8, symmetric: false, granularity: perTensor, scale: "f32", range: "static" },
      { bits: 8, symmetric: true, granularity: perTensor, scale: "f32", range: "static" }
    ],
    weights: [
      // Seven bits of weights fit the relaxed dot product of bytes, whatever the activations are.
      { bits: 8, usedBits: 7, symmetric: true, granularity: perAxis, scale: "f32", range: "static" },
      { bits: 8, symmetric: true, granularity: perAxis, scale: "f32", range: "static" },
      { bits: 8, symmetric: true, granularity: perTensor, scale: "f32", range: "static" }
    ]
  },
  supports: (op, dtypes) => {
    if (op.name === Ops.matmul.name || op.name === Ops.conv.name)
      return dtypes.every((dtype) => dtype === "f32" || dtype === "f16" || DTypes.isInteger(dtype))
    return true
  },
  prefersFloat: FloatPreference.reason,
  memory: { total: 2 ** 32 - 65_536, perAllocation: 2 ** 32 - 65_536 }
})

/** Every host that this target is for has this much. */
export const plain: Features = { relaxed: false, wide: false, threads: true }
/** Node 22 and later, browsers of 2024 and later. */
export const relaxed: Features = { relaxed: true, wide: false, threads: true }
/** The same with V8's revectorizer. */
export const wide: Features = { relaxed: true, wide: true, threads: true }

export const layer: Layer.Layer<Target.Target> = Layer.succeed(Target.Target, make(plain))
