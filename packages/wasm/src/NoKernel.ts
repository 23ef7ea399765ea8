/**
 * NoKernel: why no kernel computes a region, for people: the property that none supports. What this says is in the engine's
 * report, beside the node that is left to the host.
 */
import * as Dims from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Program } from "@anneal/lower/Program"
import type { Convolution, Region } from "@anneal/lower/Region"
import * as Regions from "@anneal/lower/Region"
import * as ScalarCode from "./ScalarCode.ts"

const ofConvolution = (
  { accumulate, input, transposed, weight }: Convolution,
  buffers: Program["buffers"]
): string | undefined => {
  const what = transposed ? "transposed convolutions" : "convolutions"
  if (accumulate === "i32") return transposed ? "transposed convolutions of integers have no kernel" : undefined
  if (accumulate !== "f32")
    return `${what} are summed in f32, or of 8-bit integers in i32, and this one in ${accumulate}`
  if (input.dtype !== "f32") return `kernels of ${what} read f32, and the input is ${input.dtype}`
  if (weight.dtype !== "f32" && !DTypes.isNarrowFloat(weight.dtype))
    return `kernels of ${what} have weights that are floats of 32 bits or less, and these are ${weight.dtype}`
  const open = weight.shape.find((extent) => typeof extent !== "number")
  if (open !== undefined) return `the weight's extent ${Dims.format(open)} is not known before a run`
  if (buffers.get(weight.buffer)?.kind !== "constant")
    return `the weight is computed by the run, and kernels of ${what} have it packed before`
  return undefined
}

const ofRecurrent = (region: Extract<Region, { readonly kind: "recurrent" }>): string | undefined => {
  const [x, w, r, bias, lengths, ...states] = region.operands
  const wide = [x, w, r, bias, ...states].find((view) => view !== null && view !== undefined && view.dtype !== "f32")
  if (wide !== null && wide !== undefined) return `recurrent kernels compute f32, and one operand is ${wide.dtype}`
  if (lengths !== null && lengths !== undefined && !DTypes.isBig(lengths.dtype) && lengths.dtype !== "i32")
    return `lengths of sequences are i32 or i64, not ${lengths.dtype}`
  const features = x?.shape[2]
  if (features !== undefined && typeof features !== "number")
    return `the number of features, ${Dims.format(features)}, is not known before a run`
  return undefined
}

/** The first property that no kernel supports; a plain sentence where it is none of those that are known here. */
export const why = (region: Region, buffers: Program["buffers"]): string => {
  const known =
    ScalarCode.refusal(...Regions.expressions(region)) ??
    (region.kind === "convolution"
      ? ofConvolution(region, buffers)
      : region.kind === "recurrent"
        ? ofRecurrent(region)
        : undefined)
  return known ?? `there is no kernel for a ${region.kind} of this shape and layout`
}
