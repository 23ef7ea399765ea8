// slice(slice x)  ⇒  slice x;   slice(concat(a, b)) inside b  ⇒  slice b;   concat(x[0:2], x[2:4])  ⇒  x[0:4]
import * as Dim from "@anneal/ir/Dim"
import type { Editor } from "@anneal/ir/Editor"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as Rewrite from "./Rewrite.ts"

const name = "combineConcatSlice"

type Box = Parameters<(typeof Ops.slice)["infer"]>[0]["attributes"]

const isEqual = (a: Dim.Dim | undefined, b: Dim.Dim | undefined): boolean =>
  a !== undefined && b !== undefined && Dim.equal(a, b) === true

const sliceOfSlice: Local = {
  ops: ["slice"],
  apply: (node, editor) => {
    const inner = editor.producer(node.inputs[0])
    if (!Graphs.isOp(node, Ops.slice) || !Graphs.isOp(inner, Ops.slice)) return false
    const [x] = editor.inputs(inner)
    if (x === undefined) return false
    const box: Box = {
      starts: node.attributes.starts.map((start, axis) =>
        Dim.add(inner.attributes.starts[axis] ?? 0, Dim.mul(start, inner.attributes.steps[axis] ?? 1))
      ),
      sizes: node.attributes.sizes,
      steps: node.attributes.steps.map((step, axis) => step * (inner.attributes.steps[axis] ?? 1))
    }
    editor.replace(node, `${name}/slices`, (b) => [b.one(Ops.slice, [x], box)], [node, inner])
    return true
  }
}

const axisOf = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis)

/** A slice that lies in one part of a concat. */
const sliceOfConcat: Local = {
  ops: ["slice"],
  apply: (node, editor) => {
    const concat = editor.producer(node.inputs[0])
    if (!Graphs.isOp(node, Ops.slice) || !Graphs.isOp(concat, Ops.concat)) return false
    const { sizes, starts, steps } = node.attributes
    const axis = axisOf(concat.attributes.axis, sizes.length)
    const [start, size] = [starts[axis], sizes[axis]]
    if (start === undefined || size === undefined || steps[axis] !== 1 || Dim.isPositive(size) !== true) return false
    let offset: Dim.Dim = 0
    for (const part of editor.inputs(concat)) {
      const extent = part?.type.shape[axis]
      if (part === undefined || extent === undefined) return false
      const local = Dim.sub(start, offset)
      if (Dim.isNonNegative(local) === true && Dim.lessOrEqual(Dim.add(local, size), extent) === true) {
        const box: Box = { starts: starts.map((one, at) => (at === axis ? local : one)), sizes, steps }
        editor.replace(node, `${name}/part`, (b) => [b.one(Ops.slice, [part], box)], [node, concat])
        return true
      }
      offset = Dim.add(offset, extent)
    }
    return false
  }
}

/** The slice that a part of a concat is, when it cuts nothing but the concat's axis. */
const cutOf = (
  editor: Editor,
  id: string | null,
  axis: number
): { readonly x: Value; readonly start: Dim.Dim; readonly size: Dim.Dim; readonly node: Node } | undefined => {
  const node = editor.producer(id)
  if (!Graphs.isOp(node, Ops.slice)) return undefined
  const [x] = editor.inputs(node)
  const { sizes, starts, steps } = node.attributes
  const [start, size] = [starts[axis], sizes[axis]]
  if (x === undefined || start === undefined || size === undefined || steps.some((step) => step !== 1)) return undefined
  const isWhole = sizes.every((dim, at) => at === axis || (isEqual(starts[at], 0) && isEqual(dim, x.type.shape[at])))
  return isWhole ? { x, start, size, node } : undefined
}

/** Neighbouring slices of one value, put together again. */
const concatOfSlices: Local = {
  ops: ["concat"],
  apply: (node, editor) => {
    const output = node.outputs[0]
    if (!Graphs.isOp(node, Ops.concat) || output === undefined || node.inputs.length < 2) return false
    const rank = output.type.shape.length
    const axis = axisOf(node.attributes.axis, rank)
    const cuts = node.inputs.map((id) => cutOf(editor, id, axis))
    const [first] = cuts
    if (first === undefined) return false
    let end = first.start
    for (const cut of cuts) {
      if (cut?.x.id !== first.x.id || !isEqual(cut.start, end)) return false
      end = Dim.add(cut.start, cut.size)
    }
    const { shape } = first.x.type
    const box: Box = {
      starts: shape.map((_, at) => (at === axis ? first.start : 0)),
      sizes: shape.map((dim, at) => (at === axis ? Dim.sub(end, first.start) : dim)),
      steps: shape.map(() => 1)
    }
    const from = [node, ...cuts.flatMap((cut) => (cut === undefined ? [] : [cut.node]))]
    editor.replace(node, `${name}/neighbours`, (b) => [b.one(Ops.slice, [first.x], box)], from)
    return true
  }
}

/** concat(concat(a, b), c) along one axis. */
const concatOfConcat: Local = {
  ops: ["concat"],
  apply: (node, editor) => {
    const output = node.outputs[0]
    if (!Graphs.isOp(node, Ops.concat) || output === undefined) return false
    const rank = output.type.shape.length
    const axis = axisOf(node.attributes.axis, rank)
    const inner = editor.inputs(node).map((value) => {
      const producer = editor.producer(value?.id)
      const isOwn = value !== undefined && editor.isOnlyUsedBy(value.id, node)
      return isOwn && Graphs.isOp(producer, Ops.concat) && axisOf(producer.attributes.axis, rank) === axis
        ? producer
        : value
    })
    if (!inner.some((one) => one !== undefined && "op" in one)) return false
    const parts = inner.flatMap((one) => (one === undefined ? [] : "op" in one ? editor.inputs(one) : [one]))
    const from = [node, ...inner.flatMap((one) => (one !== undefined && "op" in one ? [one] : []))]
    editor.replace(node, `${name}/concats`, (b) => [b.one(Ops.concat, parts, { axis })], from)
    return true
  }
}

export const combineConcatSlice: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "exact",
  summary: "slices of slices, of concats, and concats of neighbouring slices ⇒ one",
  ...Rewrite.noConfig,
  rewriting: () => Driver.settle([sliceOfSlice, sliceOfConcat, concatOfSlices, concatOfConcat])
})
