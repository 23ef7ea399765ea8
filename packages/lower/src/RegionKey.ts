/**
 * RegionKey: what a decision about a region depends on, as a hash: what it computes (not which buffers it reads), its
 * shapes and strides, and for whom code is made. Regions with one key are measured and generated once.
 */
import { sha256 } from "@anneal/ir/Digest"
import * as Dim from "@anneal/ir/Dim"
import * as Op from "@anneal/ir/Op"
import type { Buffer } from "./Program.ts"
import type { Region } from "./Region.ts"
import * as Regions from "./Region.ts"
import type { Scalar } from "./Scalar.ts"
import * as Scalars from "./Scalar.ts"
import type { Attributes } from "./ScalarOp.ts"
import type { View } from "./View.ts"

/** For whom: the target's name, its features, the version of what generates its code. */
export interface Generator {
  readonly target: string
  readonly features: ReadonlyArray<string>
  readonly version: string
}

/** Text of numbers that `JSON.stringify` would lose: −0, NaN, infinities, 64-bit integers. */
const numberText = (value: number | bigint): string =>
  typeof value === "bigint" ? `${value}n` : Object.is(value, -0) ? "-0" : String(value)

/** The expressions as numbered lines, each part once. */
export const scalarsText = (roots: ReadonlyArray<Scalar>): string => {
  const numbers = new Map<Scalar, number>()
  const at = (scalar: Scalar): string => `$${numbers.get(scalar) ?? -1}`
  const lines: Array<string> = []
  const byText = new Map<string, number>()
  for (const part of Scalars.parts(roots)) {
    const text = partText(part, at)
    const known = byText.get(text)
    numbers.set(part, known ?? lines.length)
    if (known !== undefined) continue
    byText.set(text, lines.length)
    lines.push(text)
  }
  return `${lines.join(";")};${roots.map(at).join(",")}`
}

const attributesText = (attributes: Attributes | undefined): string =>
  attributes === undefined ? "" : JSON.stringify(attributes)

const partText = (part: Scalar, at: (scalar: Scalar) => string): string => {
  switch (part.kind) {
    case "load": {
      const steps = part.indirect?.map(
        ({ extent, index, stride }) => `${at(index)}<${Dim.format(extent)}>*${Dim.format(stride)}`
      )
      return `${part.dtype} load ${part.operand} ${steps?.join("+") ?? ""}`
    }
    case "constant":
      return `${part.dtype} ${numberText(part.value)}`
    case "index":
      return `${part.dtype} index ${part.axis}`
    case "dim":
      return `${part.dtype} dim ${Dim.format(part.dim)}`
    case "previous":
      return `${part.dtype} previous ${part.name}`
    case "unary":
      return `${part.dtype} ${part.op} ${at(part.x)} ${attributesText(part.attributes)}`
    case "binary":
      return `${part.dtype} ${part.op} ${at(part.a)} ${at(part.b)} ${attributesText(part.attributes)}`
    case "fma":
      return `${part.dtype} fma ${at(part.a)} ${at(part.b)} ${at(part.c)}`
    case "select":
      return `${part.dtype} select ${at(part.condition)} ${at(part.a)} ${at(part.b)}`
    case "cast":
      return `${part.dtype} cast ${at(part.x)} ${part.saturate}`
  }
}

/** The fields of a region that are neither names nor views nor expressions, in a fixed order. */
const shapeText = (region: Region): string => {
  const dims = (list: ReadonlyArray<Dim.Dim>): string => `[${list.map(Dim.format).join()}]`
  switch (region.kind) {
    case "loop":
      return dims(region.domain)
    case "rows":
      return `${dims(region.outer)}${dims(region.inner)}`
    case "contraction":
      return `${dims(region.batch)}${dims([region.m, region.n, region.k])}${region.accumulate} ${region.zero.a} ${region.zero.b}`
    case "convolution": {
      const numbers = [region.strides, region.dilations].map((list) => list.join()).join("/")
      const pads = `${dims(region.padsBegin)}${dims(region.padsEnd)}`
      return `${Dim.format(region.batch)} ${region.groups} ${dims(region.out)}${numbers}${pads}${region.transposed} ${region.accumulate} ${region.zero.a} ${region.zero.b}`
    }
    case "window": {
      const numbers = [region.kernel, region.strides, region.dilations].map((list) => list.join()).join("/")
      return `${region.combine} ${region.includePad} ${dims(region.out)}${numbers}${dims(region.padsBegin)}${dims(region.padsEnd)}`
    }
    case "attention":
      return `${dims(region.batch)}${dims([region.queries, region.keys, region.dim, region.valueDim])}${numberText(region.scale)} ${region.causal}`
    case "recurrent":
      return JSON.stringify([
        region.cell,
        region.hidden,
        region.direction,
        region.activations,
        region.clip,
        region.flags
      ])
    case "whole":
      return `${region.node.op.name} ${Op.attributesText(region.node.op, region.node.attributes)}`
  }
}

const expressionsText = (region: Region): string => {
  switch (region.kind) {
    case "loop":
      return scalarsText(region.results.map(({ value }) => value))
    case "rows": {
      // Stages are named by their place, not by the values of the graph.
      const names = new Map(region.stages.map(({ name }, position) => [name, `s${position}`]))
      const seen = new Map<Scalar, Scalar>()
      const renamed = (scalar: Scalar): Scalar =>
        Scalars.map(
          scalar,
          (part) => (part.kind === "previous" ? { ...part, name: names.get(part.name) ?? part.name } : part),
          seen
        )
      const stages = region.stages.map((stage) =>
        stage.kind === "reduce" ? `${stage.kind} ${stage.combine} ${stage.dtype}` : stage.kind
      )
      const values = [...region.stages, ...region.results].map(({ value }) => renamed(value))
      return `${stages.join()}|${region.results.map(({ per }) => per).join()}|${scalarsText(values)}`
    }
    case "contraction":
    case "convolution":
    case "window":
      return scalarsText(region.epilogue.results.map(({ value }) => value))
    default:
      return ""
  }
}

/** The region as text without the names of nodes and buffers; `buffers` says which views are of constants. */
export const text = (region: Region, buffers: ReadonlyMap<string, Pick<Buffer, "kind">>): string => {
  const numbers = new Map<string, number>()
  const viewText = (view: View | null): string => {
    if (view === null) return "-"
    const number = numbers.get(view.buffer) ?? numbers.size
    numbers.set(view.buffer, number)
    const kind = buffers.get(view.buffer)?.kind
    const dims = (list: ReadonlyArray<Dim.Dim>): string => list.map(Dim.format).join()
    // Kernels are given addresses: of an offset only the alignment matters.
    const offset = typeof view.offset === "number" ? view.offset % 16 : "?"
    return `${kind === "constant" || kind === "prepared" ? "c" : "b"}${number} ${view.dtype} [${dims(view.shape)}] ${offset} (${dims(view.strides)})`
  }
  const views = [...Regions.reads(region), "|" as const, ...Regions.writes(region)].map((view) =>
    view === "|" ? view : viewText(view)
  )
  return [region.kind, shapeText(region), ...views, expressionsText(region)].join("\n")
}

/** SHA-256 of the region's text and of who makes code for it. */
export const make = (
  region: Region,
  buffers: ReadonlyMap<string, Pick<Buffer, "kind">>,
  { features, target, version }: Generator
): string =>
  sha256(new TextEncoder().encode([target, [...features].sort().join(), version, text(region, buffers)].join("\n")))
