/**
 * Demand: of what a convolution or window computes, and of the elementwise work after it, only what somebody reads.
 *
 *   conv [1, 16, 14, 14] → relu → maxPool 3×3, stride 3 [1, 16, 4, 4]  ⇒  conv and relu of [1, 16, 12, 12]
 *
 * Elements at the end of spatial axes that no window, slice or other reader comes to. Sizes must be known.
 */
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type { Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { TensorType } from "@anneal/ir/Type"
import * as Type from "@anneal/ir/Type"
import type { Flat } from "./Flatten.ts"
import type { Fusion } from "./Program.ts"
import * as Recipe from "./Recipe.ts"
import type { Work } from "./Scope.ts"

type KindOf = (node: Node) => Work["kind"]
type Extents = ReadonlyArray<number>

/**
 * `kindOf`: what a node is on the target: who takes it whole or runs it on the host makes all of its result. `record` notes
 * one and gives whether it is to be made.
 */
export const rewrite = (
  flat: Flat,
  kindOf: KindOf,
  record: (fusion: Omit<Fusion, "taken">, refused: boolean) => boolean
): Flat => {
  const needs = needsOf(flat, kindOf, record)
  if (needs.size === 0) return flat
  const types = new Map(flat.types)
  const origin = new Map(flat.origin)
  const names = Builder.makeNames(types.keys())
  const nodes = flat.nodes.flatMap((node): ReadonlyArray<Node> => {
    const output = node.outputs[0]
    const need = output === undefined ? undefined : needs.get(output.id)
    const added: Array<Node> = []
    const add = (made: Node): void => {
      added.push(made)
      origin.set(made, flat.origin.get(node) ?? node)
      for (const { id, type } of made.outputs) types.set(id, type)
    }
    const shape = need ?? output?.type.shape ?? []
    const recipe = isElementwise(node, flat.types)
    // An elementwise node reads no more of its operands than it makes.
    const inputs = node.inputs.map((id, position) => {
      const type = id === null ? undefined : types.get(id)
      if (id === null || type === undefined || !recipe || (isGrid(node) && position > 0)) return id
      const offset = shape.length - type.shape.length
      const sizes = type.shape.map((extent, axis) => (extent === 1 ? 1 : (shape[axis + offset] ?? extent)))
      if (sizes.every((size, axis) => Dim.equal(size, type.shape[axis] ?? 0) === true)) return id
      const part = names.value(`${id}.part`)
      add({
        op: Ops.slice,
        attributes: { starts: sizes.map(() => 0), sizes, steps: sizes.map(() => 1) },
        graphs: {},
        lineage: node.lineage,
        inputs: [id],
        outputs: [{ id: part, type: { dtype: type.dtype, shape: sizes } }]
      })
      return part
    })
    const isSame = need === undefined && inputs.every((id, position) => id === node.inputs[position])
    if (isSame) return [node]
    const { attributes, graphs, lineage, op, outputs } = node
    const shrunk = outputs.map(({ id, type }) => ({
      id,
      type: need === undefined ? type : { dtype: type.dtype, shape: need }
    }))
    add({ op, attributes, graphs, lineage, inputs, outputs: shrunk })
    return added
  })
  return { ...flat, nodes, types, origin }
}

const isGrid = (node: Node): boolean => node.op.name === "quantize" || node.op.name === "dequantize"

const isElementwise = (node: Node, types: ReadonlyMap<string, TensorType>): boolean => {
  const recipe = Recipe.ofNode(node, types)
  return recipe !== undefined && recipe.displaced.length === 0 && recipe.indices.length === 0
}

/** The extents that readers come to, of values that are larger. */
const needsOf = (flat: Flat, kindOf: KindOf, record: (fusion: Omit<Fusion, "taken">, refused: boolean) => boolean) => {
  const read = new Map<string, Extents>()
  const shrunk = new Map<string, Extents>()
  const staticOf = (id: string): Extents | undefined => {
    const type = flat.types.get(id)
    return type === undefined ? undefined : Type.staticShape(type)
  }
  /** Notes that so much of a value is read; all of it where that is not said. */
  const note = (id: string, extents: Extents | undefined): void => {
    const whole = staticOf(id)
    if (whole === undefined) return
    const before = read.get(id)
    const now = extents ?? whole
    read.set(
      id,
      whole.map((extent, axis) => Math.min(extent, Math.max(before?.[axis] ?? 0, now[axis] ?? extent)))
    )
  }
  for (const { id } of flat.outputs) note(id, undefined)
  for (const node of [...flat.nodes].reverse()) {
    const output = node.outputs[0]
    const whole = output === undefined ? undefined : staticOf(output.id)
    const wanted = output === undefined ? undefined : read.get(output.id)
    let made = whole
    if (output !== undefined && whole !== undefined && wanted !== undefined && mayShrink(node, kindOf, flat.types)) {
      // Batch and channels stay: kernels are made for all of them.
      const need = whole.map((extent, axis) =>
        axis < 2 || extent === 0 ? extent : Math.max(1, wanted[axis] ?? extent)
      )
      if (
        need.some((extent, axis) => extent < (whole[axis] ?? 0)) &&
        decided(node, output.id, output.type, need, record)
      ) {
        shrunk.set(output.id, need)
        made = need
      }
    }
    for (const [position, id] of node.inputs.entries())
      if (id !== null) note(id, partOf(node, position, kindOf(node), made, staticOf(id), flat.types))
  }
  return shrunk
}

const decided = (
  node: Node,
  id: string,
  type: TensorType,
  need: Extents,
  record: (fusion: Omit<Fusion, "taken">, refused: boolean) => boolean
): boolean => {
  const left = Dim.sub(Type.size(type), Dim.product(need))
  return record(
    {
      id: `demand ${id}`,
      kind: "demand",
      members: [id],
      reason: `nobody reads more than [${need.join()}] of this ${node.op.name}`,
      saving: Dim.mul(left, DTypes.slotBytes(type.dtype))
    },
    false
  )
}

const mayShrink = (node: Node, kindOf: KindOf, types: ReadonlyMap<string, TensorType>): boolean => {
  const kind = kindOf(node)
  if (kind === "convolution") return node.op.name === "conv"
  return kind === "window" || (kind === "loop" && isElementwise(node, types))
}

/** The extents of an operand that a node reads when it makes so much; undefined: all. */
const partOf = (
  node: Node,
  position: number,
  kind: Work["kind"],
  made: Extents | undefined,
  operand: Extents | undefined,
  types: ReadonlyMap<string, TensorType>
): Extents | undefined => {
  if (made === undefined || operand === undefined) return undefined
  if (Graphs.isOp(node, Ops.slice)) {
    const { sizes, starts, steps } = node.attributes
    return operand.map((extent, axis) => {
      const [start, size, step] = [starts[axis] ?? 0, sizes[axis] ?? 0, steps[axis] ?? 1]
      if (typeof start !== "number" || typeof size !== "number") return extent
      return size === 0 ? 0 : Math.max(start, start + (size - 1) * step) + 1
    })
  }
  const isConvolution = Graphs.isOp(node, Ops.conv)
  // Who else takes a pool may tell positions too, which are other numbers in a smaller operand.
  const isCut = kind === "convolution" || kind === "window"
  if (
    isCut &&
    position === 0 &&
    (isConvolution || Graphs.isOp(node, Ops.maxPool) || Graphs.isOp(node, Ops.averagePool))
  ) {
    const kernel = isConvolution ? types.get(node.inputs[1] ?? "")?.shape.slice(2) : windowOf(node)
    const { dilations, padsBegin, strides } = node.attributes
    return operand.map((extent, axis) => {
      if (axis < 2) return extent
      const [size, before] = [kernel?.[axis - 2], padsBegin[axis - 2]]
      if (typeof size !== "number" || typeof before !== "number") return extent
      const last = ((made[axis] ?? 1) - 1) * (strides[axis - 2] ?? 1) + (size - 1) * (dilations[axis - 2] ?? 1) - before
      return Math.min(extent, last + 1)
    })
  }
  if (!isElementwise(node, types) || (isGrid(node) && position > 0)) return undefined
  const offset = made.length - operand.length
  return operand.map((extent, axis) => (extent === 1 ? 1 : (made[axis + offset] ?? extent)))
}

const windowOf = (node: Node): ReadonlyArray<number> | undefined =>
  Graphs.isOp(node, Ops.maxPool) || Graphs.isOp(node, Ops.averagePool) ? node.attributes.kernel : undefined
