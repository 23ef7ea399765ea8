// slice(lstm(x), last step)  ⇒  the forward direction's last state, beside one step of the backward direction
//
// Who takes the last step of a recurrent layer's outputs needs all steps of the forward direction, whose last state that is, and
// the first step alone of the backward one; who takes the first step the other way round. Layers without lengths, whose states as
// they end nobody takes.
import type { Builder } from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type { Editor } from "@anneal/ir/Editor"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { Activation } from "@anneal/ir/ops/Recurrent"
import * as Type from "@anneal/ir/Type"
import type { Local } from "./Driver.ts"
import * as Driver from "./Driver.ts"
import * as Rewrite from "./Rewrite.ts"

const name = "trimRecurrent"

/** What leads from the outputs to the one step that is taken. */
interface Path {
  readonly moves: ReadonlyArray<{ readonly node: Node; /** The steps' axis of its result. */ readonly axis: number }>
  /** Takes the step, along `axis` of its operand. */
  readonly end: Node
  readonly axis: number
  readonly step: "first" | "last"
}

const isLast = (at: Dim.Dim, length: Dim.Dim): boolean => Dim.equal(Dim.add(at, 1), length) === true

/** Which step a node takes alone. */
const stepOf = (node: Node, editor: Editor, axis: number, length: Dim.Dim): Path["step"] | undefined => {
  if (Graphs.isOp(node, Ops.slice)) {
    const { sizes, starts } = node.attributes
    if (sizes[axis] !== 1) return undefined
    const start = starts[axis] ?? 0
    return start === 0 ? "first" : isLast(start, length) ? "last" : undefined
  }
  if (!Graphs.isOp(node, Ops.gather)) return undefined
  const rank = editor.inputs(node)[0]?.type.shape.length ?? 0
  const along = node.attributes.axis < 0 ? node.attributes.axis + rank : node.attributes.axis
  const indices = along === axis ? editor.read(node.inputs[1]) : undefined
  const [index, ...more] = indices === undefined ? [] : Numbers.toNumbers(indices)
  if (index === undefined || more.length > 0) return undefined
  return index === 0 ? "first" : index === -1 || isLast(index, length) ? "last" : undefined
}

/** The one way from `value` to a step of it. */
const pathFrom = (editor: Editor, value: Value, axis: number, length: Dim.Dim): Path | undefined => {
  const [user, ...others] = editor.users(value.id)
  const result = user?.outputs[0]
  if (user === undefined || result === undefined || others.length > 0 || editor.isOutput(value.id)) return undefined
  const step = stepOf(user, editor, axis, length)
  if (step !== undefined) return { moves: [], end: user, axis, step }
  const next = Graphs.isOp(user, Ops.transpose)
    ? user.attributes.permutation.indexOf(axis)
    : user.op.name === Ops.reshape.name
      ? reshapedAxis(value.type.shape, result.type.shape, axis)
      : undefined
  const path = next === undefined ? undefined : pathFrom(editor, result, next, length)
  return path === undefined || next === undefined
    ? undefined
    : { ...path, moves: [{ node: user, axis: next }, ...path.moves] }
}

/** Where an axis is after a reshape that leaves it an axis of its own. */
const reshapedAxis = (
  before: ReadonlyArray<Dim.Dim>,
  after: ReadonlyArray<Dim.Dim>,
  axis: number
): number | undefined => {
  const outside = Dim.product(before.slice(0, axis))
  const found = after.findIndex(
    (extent, place) =>
      Dim.equal(extent, before[axis] ?? 0) === true && Dim.equal(Dim.product(after.slice(0, place)), outside) === true
  )
  return found < 0 ? undefined : found
}

/** The part of a value at one index of an axis, the axis kept. */
const partOf = (b: Builder, value: Value, axis: number, start: Dim.Dim): Value => {
  const { shape } = value.type
  return b.one(Ops.slice, [value], {
    starts: shape.map((_, at) => (at === axis ? start : 0)),
    sizes: shape.map((extent, at) => (at === axis ? 1 : extent)),
    steps: shape.map(() => 1)
  })
}

interface Place {
  readonly directions: number
  readonly direction: number
  readonly backward: boolean
  readonly step: Path["step"]
}

/** Whether a direction comes to the step at its end. */
const needsAll = ({ backward, step }: Place): boolean => backward === (step === "first")

interface Attributes {
  readonly direction: "forward" | "reverse" | "bidirectional"
  readonly activations: ReadonlyArray<Activation>
}

/** One direction of a layer, over `operands`. */
const layer = (b: Builder, node: Node, operands: ReadonlyArray<Value | undefined>, own: Attributes) => {
  if (Graphs.isOp(node, Ops.lstm)) return b.node(Ops.lstm, operands, { ...node.attributes, ...own })
  if (Graphs.isOp(node, Ops.gru)) return b.node(Ops.gru, operands, { ...node.attributes, ...own })
  return Graphs.isOp(node, Ops.rnn) ? b.node(Ops.rnn, operands, { ...node.attributes, ...own }) : []
}

/** One direction's state when it has come to the step: its outputs there, as [1, 1, batch, hidden]. */
const directionAt = (
  b: Builder,
  node: Node,
  given: Attributes,
  inputs: ReadonlyArray<Value | undefined>,
  place: Place
): Value => {
  const [x, ...others] = inputs
  const own = others.map((value) =>
    value === undefined || place.directions === 1 ? value : partOf(b, value, 0, place.direction)
  )
  if (x === undefined) throw new RangeError("a recurrent layer has inputs")
  const all = needsAll(place)
  const [length = 1, batch = 1] = x.type.shape
  const steps = all ? x : partOf(b, x, 0, place.step === "first" ? 0 : Dim.sub(length, 1))
  const each = given.activations.length / place.directions
  const [, state] = layer(b, node, [steps, ...own], {
    direction: all && place.backward ? "reverse" : "forward",
    activations: given.activations.slice(place.direction * each, (place.direction + 1) * each)
  })
  if (state === undefined) throw new RangeError(`${node.op.name} is no recurrent layer`)
  return b.one(Ops.reshape, [state], { shape: [1, 1, batch, state.type.shape[2] ?? 1] })
}

/** The moves over one step instead of all. */
const replayed = (b: Builder, { axis, end, moves }: Path, editor: Editor, from: Value): Value => {
  let value = from
  for (const { axis: at, node } of moves)
    value = Graphs.isOp(node, Ops.transpose)
      ? b.one(Ops.transpose, [value], node.attributes)
      : b.one(Ops.reshape, [value], {
          shape: (node.outputs[0]?.type.shape ?? []).map((extent, place) => (place === at ? 1 : extent))
        })
  if (Graphs.isOp(end, Ops.slice)) {
    const starts = end.attributes.starts.map((start, place) => (place === axis ? 0 : start))
    return b.one(Ops.slice, [value], { ...end.attributes, starts })
  }
  const indices = editor.inputs(end)[1]
  const zero = b.tensor(
    Numbers.fromNumbers(indices?.type.dtype ?? "i64", Type.staticShape(indices?.type ?? Type.scalar("i64")) ?? [], [0])
  )
  return b.one(Ops.gather, [value, zero], { axis })
}

const trim: Local = {
  ops: ["lstm", "gru", "rnn"],
  apply: (node, editor) => {
    const given = attributesOf(node)
    const [y, ...states] = node.outputs
    const inputs = editor.inputs(node)
    const [x] = inputs
    if (given === undefined || y === undefined || x === undefined || inputs[4] !== undefined) return false
    if (states.some(({ id }) => editor.isOutput(id) || editor.users(id).length > 0)) return false
    const [length = 1] = x.type.shape
    if (length === 1) return false
    const path = pathFrom(editor, y, 0, length)
    if (path === undefined) return false
    const directions = given.direction === "bidirectional" ? 2 : 1
    const places = Array.from({ length: directions }, (_, direction): Place => ({
      directions,
      direction,
      backward: given.direction === "reverse" || direction === 1,
      step: path.step
    }))
    if (places.every(needsAll)) return false
    // Without w, each direction has its own columns of x.
    if (inputs[1] === undefined && directions > 1) return false
    editor.replace(
      path.end,
      name,
      (b) => {
        const [first, second] = places.map((place) => directionAt(b, node, given, inputs, place))
        if (first === undefined) return [undefined]
        const both = second === undefined ? first : b.one(Ops.concat, [first, second], { axis: 1 })
        return [replayed(b, path, editor, both)]
      },
      [path.end, node, ...path.moves.map((move) => move.node)]
    )
    return true
  }
}

const attributesOf = (node: Node): Attributes | undefined =>
  Graphs.isOp(node, Ops.lstm) || Graphs.isOp(node, Ops.gru) || Graphs.isOp(node, Ops.rnn) ? node.attributes : undefined

export const trimRecurrent: Rewrite.Rewrite<{}> = Rewrite.plain({
  name,
  version: 1,
  claim: "exact",
  summary: "one end of a recurrent layer's outputs ⇒ one step of the direction that begins there",
  ...Rewrite.noConfig,
  rewriting: () => Driver.settle([trim])
})
