/**
 * Structure: what a region is apart from where its data lies, as text. Regions with one structure share a kernel's code.
 *
 * Buffers, offsets and ids are left out: kernels take addresses. Shapes, strides, dtypes, expressions and attributes stay.
 */
import * as Dim from "@anneal/ir/Dim"
import * as Op from "@anneal/ir/Op"
import type { Node } from "@anneal/ir/Graph"
import type { Region } from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import * as Predicate from "effect/Predicate"

const isView = (value: object): value is View => "buffer" in value && "strides" in value
const isNode = (value: object): value is Node => "op" in value && "lineage" in value
/** Expressions share parts; each is written once. */
const isShared = (value: object): boolean => "kind" in value && "dtype" in value

const writer = (): ((value: unknown) => string) => {
  const seen = new Map<object, number>()
  const write = (value: unknown): string => {
    if (Dim.isSymbolic(value)) return Dim.format(value)
    if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value)
    if (typeof value === "bigint") return `${value}n`
    if (Array.isArray(value)) return `[${value.map(write).join()}]`
    if (typeof value === "object" && value !== null) {
      if (isView(value)) return `${value.dtype}${write(value.shape)}${write(value.strides)}`
      if (isNode(value)) return nodeText(value, write)
      if (isShared(value)) {
        const known = seen.get(value)
        if (known !== undefined) return `#${known}`
        seen.set(value, seen.size)
      }
      const entries = Object.entries(value)
        .filter(([key, item]) => key !== "id" && key !== "members" && item !== undefined)
        .sort(([a], [b]) => (a < b ? -1 : 1))
      return `{${entries.map(([key, item]) => `${key}:${write(item)}`).join()}}`
    }
    return Predicate.isString(value) ? JSON.stringify(value) : String(value)
  }
  return write
}

const nodeText = (node: Node, write: (value: unknown) => string): string =>
  `${node.op.name}(${Op.attributesText(node.op, node.attributes)};${node.inputs.map((id) => (id === null ? "-" : "x")).join()};${node.outputs.map(({ type }) => `${type.dtype}${write(type.shape)}`).join()})`

const known = new WeakMap<Region, string>()

/** Equal for regions that any kernel computes with the same code. */
export const of = (region: Region): string => {
  const found = known.get(region) ?? writer()(region)
  known.set(region, found)
  return found
}

/** The text of a view: its type, shape and strides. */
export const ofView = (view: View): string => writer()(view)
