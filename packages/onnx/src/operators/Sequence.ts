// Sequences and optionals whose structure is known at import: each element is a tensor of its own.
import * as Dim from "@anneal/ir/Dim"
import * as Content from "../Content.ts"
import type { Operand, SequenceOperand, TensorOperand } from "../Operand.ts"
import { none } from "../Operand.ts"
import type { Context, Operator } from "../Operator.ts"
import { joined, partSizes } from "./Concat.ts"

const sequence = (items: ReadonlyArray<TensorOperand>): SequenceOperand => ({ kind: "sequence", items })

/** A known position; negative ones count from the end. */
const position = (c: Context, index: number, length: number, otherwise: number): number => {
  const given = c.has(index) ? c.integers(index)?.[0] : undefined
  if (given === undefined) return otherwise
  const at = given < 0 ? given + length : given
  return at >= 0 && at <= length ? at : c.fail(`position ${given} is outside a sequence of ${length}`)
}

const isTrue = (c: Context, value: boolean): Operand => c.known({ dtype: "bool", shape: [], elements: [value ? 1 : 0] })

const map = (c: Context): ReadonlyArray<Operand> => {
  const { items } = c.sequence(0)
  const body = c.attribute.graph("body")
  const results = items.map((item, index) => {
    const others = Array.from({ length: c.count - 1 }, (_, i): Operand => {
      const given = c.any(i + 1) ?? none
      if (given.kind !== "sequence") return given
      return given.items[index] ?? c.fail(`sequence ${i + 1} is shorter than the first`)
    })
    return c.inline(body, `body${index}`, [item, ...others])
  })
  return body.output.map((_, output) =>
    sequence(
      results.map((result) => {
        const found = result[output]
        return found?.kind === "tensor" ? found : c.fail("the body gives something that is no tensor")
      })
    )
  )
}

/** Parts of given sizes, or of one size, or single slices. */
const splitToSequence = (c: Context): Operand => {
  const x = c.operand(0)
  const { shape } = x.type
  const axis = c.axis(c.attribute.int("axis", 0), shape.length)
  const extent = shape[axis] ?? 0
  const static_ = (dim: Dim.Dim): number =>
    Dim.isStatic(dim) ? dim : c.unsupported("a sequence whose length is not known before it runs")
  const isPlain = !c.has(1)
  const given = isPlain ? undefined : c.dims(1)
  const isScalar = !isPlain && c.rank(1) === 0
  const size = isPlain ? 1 : isScalar ? static_(given?.[0] ?? 1) : 0
  const count = Math.ceil(static_(size === 0 ? 0 : extent) / Math.max(1, size))
  const equal = Array.from({ length: count }, (_, i) => Math.min(size, static_(extent) - i * size))
  let start: Dim.Dim = 0
  return sequence(
    partSizes(c, extent, size === 0 ? given : equal, 1).map((part) => {
      const cut = c.e.part(x.value(), axis, start, part)
      start = Dim.add(start, part)
      const isDropped = isPlain && !c.attribute.flag("keepdims", true)
      return c.ofValue(
        isDropped
          ? c.e.reshape(
              cut,
              shape.filter((_, i) => i !== axis)
            )
          : cut
      )
    })
  )
}

const concatFromSequence = (c: Context) => {
  const { items } = c.sequence(0)
  const [first] = items
  if (first === undefined) return c.fail("the sequence is empty")
  const isNew = c.attribute.flag("new_axis", false)
  const axis = c.axis(c.attribute.int("axis"), first.type.shape.length + (isNew ? 1 : 0))
  if (!isNew) return joined(c, items, axis)
  const raised = items.map((item) => {
    const shape = [...item.type.shape]
    shape.splice(axis, 0, 1)
    return c.ofValue(c.e.reshape(item.value(), shape))
  })
  return joined(c, raised, axis)
}

export const all: ReadonlyArray<Operator> = [
  { name: "SequenceEmpty", since: [11], translate: () => sequence([]) },
  {
    name: "SequenceConstruct",
    since: [11],
    translate: (c) => sequence(Array.from({ length: c.count }, (_, index) => c.operand(index)))
  },
  {
    name: "SequenceAt",
    since: [11],
    translate: (c) => {
      const { items } = c.sequence(0)
      return items[position(c, 1, items.length, 0)] ?? c.fail(`the sequence has only ${items.length} elements`)
    }
  },
  {
    name: "SequenceInsert",
    since: [11],
    translate: (c) => {
      const { items } = c.sequence(0)
      const at = position(c, 2, items.length, items.length)
      return sequence([...items.slice(0, at), c.operand(1), ...items.slice(at)])
    }
  },
  {
    name: "SequenceErase",
    since: [11],
    translate: (c) => {
      const { items } = c.sequence(0)
      const at = position(c, 1, items.length, items.length - 1)
      return sequence(items.filter((_, index) => index !== at))
    }
  },
  {
    name: "SequenceLength",
    since: [11],
    translate: (c) => c.known(Content.scalar(c.sequence(0).items.length))
  },
  { name: "SplitToSequence", since: [11], translate: splitToSequence },
  { name: "ConcatFromSequence", since: [11], translate: concatFromSequence },
  { name: "SequenceMap", since: [17], translate: map },
  { name: "Optional", since: [15], translate: (c) => c.any(0) ?? none },
  {
    name: "OptionalGetElement",
    since: [15, 18],
    translate: (c) => (c.has(0) ? (c.any(0) ?? none) : c.fail("the optional has no value"))
  },
  { name: "OptionalHasElement", since: [15, 18], translate: (c) => isTrue(c, c.has(0)) }
]
