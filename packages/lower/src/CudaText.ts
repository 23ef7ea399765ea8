/**
 * CudaText: loop and rows regions as CUDA C++, printed from the same scalar form as everything else.
 *
 *   loop [n]: relu(load 0)  ⇒  extern "C" __global__ void k(const float* r0, float* w0) { … w0[i0] = maximum(r0[i0], 0.0f); }
 *
 * Rounding is spelt out (`__fadd_rn`, `__fmaf_rn`), so no flag of the compiler changes a result. A loop takes an element a
 * thread, in a grid-stride loop; rows take a block each, their inner axes across its threads. Plain and right first: tiles,
 * vectors and one-pass norms are the CUDA target's own templates.
 */
import * as DTypes from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Loop, Rows, Stage } from "./Region.ts"
import * as Regions from "./Region.ts"
import {
  dimText,
  type Environment,
  isDouble,
  literal,
  print,
  refuse,
  register,
  rounded,
  storage,
  stored,
  symbolText
} from "./CudaScalar.ts"
import type { Scalar } from "./Scalar.ts"
import type { View } from "./View.ts"

export { preamble } from "./CudaPreamble.ts"
export { NotPrintable } from "./CudaScalar.ts"

/** Threads of a block in kernels for rows. */
export const rowThreads = 256

const address = ({ offset, strides }: View, indices: ReadonlyArray<string>): string =>
  [
    dimText(offset),
    ...strides.flatMap((stride, axis) => (stride === 0 ? [] : [`${indices[axis] ?? "0"} * ${dimText(stride)}`]))
  ].join(" + ")

/** Every symbol that a region's sizes mention, sorted: the last arguments of its kernel, as 64-bit integers. */
export const symbols = (region: Loop | Rows): ReadonlyArray<string> => {
  const views = [...Regions.reads(region), ...Regions.writes(region)].filter((view) => view !== null)
  const dims = [
    region.kind === "loop" ? region.domain : [region.outer, region.inner].flat(),
    views.map(({ offset }) => offset),
    views.flatMap(({ strides }) => strides)
  ].flat()
  return [...new Set(dims.flatMap((dim) => Dim.symbols(dim)))].sort()
}

const signature = (region: Loop | Rows, name: string): string => {
  const views = [
    ...region.operands.map((view, place) => `const ${storage[view.dtype]}* __restrict__ r${place}`),
    ...region.results.map(({ view }, place) => `${storage[view.dtype]}* __restrict__ w${place}`),
    ...symbols(region).map((symbol) => `long long ${symbolText(symbol)}`)
  ]
  return `extern "C" __global__ void ${name}(${views.join(", ")})`
}

/** Index variables of the axes from a linear index, the last axis fastest. */
const unravel = (linear: string, domain: ReadonlyArray<Dim.Dim>, prefix: string): ReadonlyArray<string> => {
  const lines = [`long long ${prefix}rest = ${linear};`]
  for (const [back, extent] of [...domain].reverse().entries()) {
    const axis = domain.length - 1 - back
    lines.push(`long long ${prefix}${axis} = ${prefix}rest % ${dimText(extent)}; ${prefix}rest /= ${dimText(extent)};`)
  }
  return lines
}

const indent = (lines: ReadonlyArray<string>, by = "  "): ReadonlyArray<string> => lines.map((line) => `${by}${line}`)

/** One element a thread, in a grid-stride loop: any grid is right. */
export const loop = (region: Loop, name: string): string => {
  const axes = region.domain.map((_, axis) => `i${axis}`)
  const env: Environment = {
    load: (operand, displaced) => {
      const view = region.operands[operand] ?? refuse(`no operand ${operand}`)
      return `r${operand}[${address(view, axes)}${displaced}]`
    },
    index: (axis) => axes[axis] ?? refuse(`no axis ${axis}`),
    previous: (name_) => refuse(`a loop has nothing before it: ${name_}`)
  }
  // All are computed before any is stored: a result may take the place of an operand.
  const values = region.results.map(
    ({ value, view }, place) => `${register(view.dtype)} v${place} = ${print(value, env)};`
  )
  const stores = region.results.map(
    ({ view }, place) => `w${place}[${address(view, axes)}] = ${stored(view.dtype, `v${place}`)};`
  )
  return [
    `${signature(region, name)} {`,
    `  long long count = ${dimText(Dim.product(region.domain))};`,
    "  for (long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x; at < count; at += gridDim.x * (long long)blockDim.x) {",
    ...indent([...unravel("at", region.domain, "i"), ...values, ...stores], "    "),
    "  }",
    "}",
    ""
  ].join("\n")
}

const combining = (
  stage: Extract<Stage, { readonly kind: "reduce" }>
): { readonly start: string; readonly join: (a: string, b: string) => string } => {
  const { combine, dtype } = stage
  const type = register(dtype)
  const add = DTypes.isFloat(dtype) ? (isDouble(dtype) ? "__dadd_rn" : "__fadd_rn") : undefined
  const mul = DTypes.isFloat(dtype) ? (isDouble(dtype) ? "__dmul_rn" : "__fmul_rn") : undefined
  const range = DTypes.isFloat(dtype) ? undefined : DTypes.integerRange(dtype)
  switch (combine) {
    case "sum":
      return {
        start: `(${type})0`,
        join: (a, b) => (add === undefined ? `(${type})(${a} + ${b})` : `${add}(${a}, ${b})`)
      }
    case "prod":
      return {
        start: `(${type})1`,
        join: (a, b) => (mul === undefined ? `(${type})(${a} * ${b})` : `${mul}(${a}, ${b})`)
      }
    case "max":
      return {
        start: range === undefined ? literal(dtype, -Infinity) : literal(dtype, range.min),
        join: (a, b) => `maximum<${type}>(${a}, ${b})`
      }
    case "min":
      return {
        start: range === undefined ? literal(dtype, Infinity) : literal(dtype, range.max),
        join: (a, b) => `minimum<${type}>(${a}, ${b})`
      }
    default:
      return refuse(`${combine} is not printed`)
  }
}

/** A block for each row, its threads along the inner axes; sums by a tree in shared memory, in a fixed order. */
export const rows = (region: Rows, name: string): string => {
  const outer = region.outer.map((_, axis) => `o${axis}`)
  const inner = region.inner.map((_, axis) => `i${axis}`)
  const axes = [...outer, ...inner]
  const byName = new Map(region.stages.map((stage) => [stage.name, stage]))
  const env: Environment = {
    load: (operand, displaced) => {
      const view = region.operands[operand] ?? refuse(`no operand ${operand}`)
      return `r${operand}[${address(view, axes)}${displaced}]`
    },
    index: (axis) => axes[axis] ?? refuse(`no axis ${axis}`),
    // An element stage is computed again where it is used.
    previous: (stage) => {
      const found = byName.get(stage) ?? refuse(`no stage ${stage}`)
      return found.kind === "element" ? `(${print(found.value, env)})` : `t_${symbolText(stage)}`
    }
  }
  const along = (body: ReadonlyArray<string>): ReadonlyArray<string> => [
    "for (long long at = threadIdx.x; at < width; at += blockDim.x) {",
    ...indent([...unravel("at", region.inner, "i"), ...body]),
    "}"
  ]
  const stages = region.stages.flatMap((stage): ReadonlyArray<string> => {
    const local = `t_${symbolText(stage.name)}`
    if (stage.kind === "element") return []
    if (stage.kind === "row") return [`${register(stage.value.dtype)} ${local} = ${print(stage.value, env)};`]
    const { join, start } = combining(stage)
    const type = register(stage.dtype)
    return [
      `__shared__ ${type} shared_${local}[${rowThreads}];`,
      `${type} ${local} = ${start};`,
      ...along([`${local} = ${join(local, print(stage.value, env))};`]),
      `shared_${local}[threadIdx.x] = ${local};`,
      "__syncthreads();",
      `for (int half = blockDim.x / 2; half > 0; half /= 2) {`,
      `  if (threadIdx.x < half) shared_${local}[threadIdx.x] = ${join(`shared_${local}[threadIdx.x]`, `shared_${local}[threadIdx.x + half]`)};`,
      "  __syncthreads();",
      "}",
      `${local} = ${rounded(stage.dtype, `shared_${local}[0]`)};`,
      "__syncthreads();"
    ]
  })
  const store = (place: number, view: View, value: Scalar): string =>
    `w${place}[${address(view, axes)}] = ${stored(view.dtype, print(value, env))};`
  const elements = region.results.flatMap(({ per, value, view }, place) =>
    per === "element" ? [store(place, view, value)] : []
  )
  const once = region.results.flatMap(({ per, value, view }, place) =>
    per === "row" ? [store(place, view, value)] : []
  )
  return [
    `// Launch with ${rowThreads} threads a block.`,
    `${signature(region, name)} {`,
    `  long long count = ${dimText(Dim.product(region.outer))};`,
    `  long long width = ${dimText(Dim.product(region.inner))};`,
    "  for (long long row = blockIdx.x; row < count; row += gridDim.x) {",
    ...indent(unravel("row", region.outer, "o"), "    "),
    ...indent(stages, "    "),
    ...indent(elements.length === 0 ? [] : along(elements), "    "),
    ...indent(once.length === 0 ? [] : ["if (threadIdx.x == 0) {", ...indent(once), "}"], "    "),
    "    __syncthreads();",
    "  }",
    "}",
    ""
  ].join("\n")
}
