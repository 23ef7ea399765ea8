/**
 * SpoiledRegion: faults that are told by the region: generated for another one, called with other arguments.
 */
import type { Contraction, Convolution, Region } from "@anneal/lower/Region"
import * as Scalars from "@anneal/lower/Scalar"
import { f32 } from "@anneal/wasm/Instruction"
import type { Fault } from "./PlantedFaults.ts"
import * as Plant from "./PlantedFaults.ts"
import type { minus } from "./PlantedFaults.ts"
import { plus } from "./PlantedFaults.ts"

export const convs = (change: (region: Convolution) => Region): Fault =>
  Plant.generatedFor((region) => (region.kind === "convolution" ? change(region) : region))
export const products = (change: (region: Contraction) => Region): Fault =>
  Plant.generatedFor((region) => (region.kind === "contraction" ? change(region) : region))
export const anyRegion = Plant.generatedFor

/** Another value in place of the first result's. */
export const valued = (region: Region, change: (value: Scalars.Scalar) => Scalars.Scalar): Region => {
  switch (region.kind) {
    case "contraction":
    case "convolution":
    case "window": {
      const results = region.epilogue.results.map((one) => ({ ...one, value: change(one.value) }))
      return { ...region, epilogue: { ...region.epilogue, results } }
    }
    case "loop":
      return { ...region, results: region.results.map((one) => ({ ...one, value: change(one.value) })) }
    case "rows":
      return { ...region, results: region.results.map((one) => ({ ...one, value: change(one.value) })) }
    default:
      return region
  }
}

/** Every part that `change` knows is another. */
export const parted = (change: (part: Scalars.Scalar) => Scalars.Scalar | undefined) => (value: Scalars.Scalar) => {
  const visit = (one: Scalars.Scalar): Scalars.Scalar => {
    const made = change(one)
    if (made !== undefined) return made
    switch (one.kind) {
      case "unary":
      case "cast":
        return { ...one, x: visit(one.x) }
      case "binary":
        return { ...one, a: visit(one.a), b: visit(one.b) }
      default:
        return one
    }
  }
  return visit(value)
}

export const withoutClamp = parted((part) => (part.kind === "binary" && part.op === "max" ? part.a : undefined))
export const withoutBias = parted((part) =>
  part.kind === "binary" && part.op === "add" && part.b.kind === "load" ? part.a : undefined
)
export const last = <A>(items: ReadonlyArray<A>, change: (item: A) => A): ReadonlyArray<A> =>
  items.map((item, place) => (place === items.length - 1 ? change(item) : item))
export const at = (args: ReadonlyArray<Expr>, place: number): Expr => {
  const found = args.at(place)
  if (found === undefined) throw new Error("there is no such argument")
  return found
}
type Expr = Parameters<typeof minus>[0]
/** Where the result lies: after the reads. */
export const resultOf: Readonly<Record<string, number>> = {
  gemm: 3,
  conv: 3,
  depthwise: 3,
  winograd: 3,
  integer: 4,
  attention: 4,
  window: 1,
  loop: 1,
  rows: 1,
  whole: 1
}
export const shifted = (place: number, bytes: number): Fault =>
  Plant.called((args) => args.map((arg, i) => (i === place ? plus(arg, bytes) : arg)))
export const endless: Fault = Plant.beside("after", (f) => f.loop((again) => f.br(again)))
export const poke = (place: number, offset: number): Fault =>
  Plant.beside("after", (f, args) => f.do(f32.store(at(args, place), f32.const(7), offset)))
export const shuffled = (bytes: Uint8Array): Uint8Array =>
  Uint8Array.from(bytes.subarray(4).length > 0 ? [...bytes.subarray(4), ...bytes.subarray(0, 4)] : bytes)
