/**
 * Shapes on the command line, as `trtexec` writes them: `x:1x3x224x224,mask:1x77`. A scalar is `s:scalar`; an extent may
 * be a name where the importer is to keep it open: `x:batchx3`.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Shapes } from "@anneal/runtime/Profiles"
import { UsageError } from "./UsageError.ts"

/** Extents by input, integers or names. Throws `UsageError`. */
export const parse = (option: string, texts: ReadonlyArray<string>): ReadonlyMap<string, ReadonlyArray<Dim.Dim>> => {
  const shapes = new Map<string, ReadonlyArray<Dim.Dim>>()
  for (const text of texts.flatMap((one) => one.split(","))) {
    const colon = text.lastIndexOf(":")
    const name = text.slice(0, colon).trim()
    const extents = text.slice(colon + 1).trim()
    if (colon < 1 || extents === "")
      throw new UsageError({ detail: `${option} ${text}: expected NAME:1x3x224x224 (several joined by commas)` })
    if (shapes.has(name)) throw new UsageError({ detail: `${option}: ${name} is given twice` })
    shapes.set(name, extents === "scalar" ? [] : extents.split("x").map((extent) => parseExtent(option, text, extent)))
  }
  return shapes
}

const parseExtent = (option: string, text: string, extent: string): Dim.Dim => {
  if (/^\d+$/.test(extent)) return Number(extent)
  if (/^[A-Za-z_]\w*$/.test(extent) && !Dim.isUnbackedName(extent)) return Dim.symbol(extent)
  throw new UsageError({ detail: `${option} ${text}: "${extent}" is neither a size nor a name` })
}

/** Shapes that must be numbers. Throws `UsageError`. */
export const parseNumbers = (option: string, texts: ReadonlyArray<string>): Shapes =>
  new Map(
    [...parse(option, texts)].map(([name, shape]) => {
      const numbers = shape.filter(Dim.isStatic)
      if (numbers.length !== shape.length)
        throw new UsageError({ detail: `${option} ${name}: every extent must be a number here` })
      return [name, numbers]
    })
  )

/** `512MiB`, `2GB`, `1048576`. Throws `UsageError`. */
export const parseBytes = (option: string, text: string): number => {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(i?b)?$/i.exec(text.trim())
  const power = ["", "k", "m", "g", "t"].indexOf((match?.[2] ?? "").toLowerCase())
  if (match === null || power < 0)
    throw new UsageError({ detail: `${option} ${text}: expected a size such as 512MiB or 2GB` })
  const base = match[3]?.toLowerCase() === "b" ? 1000 : 1024
  return Math.floor(Number(match[1]) * base ** power)
}
