// Einsum and Det.
//
// Einsum is brought to matrix products: repeated labels of an operand are its diagonal, labels that nobody else wants are
// summed, and operands are contracted from left to right.
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Emit } from "../Emit.ts"
import type { Context, Operator } from "../Operator.ts"

interface Term {
  readonly value: Value
  /** One label an axis; broadcast axes of an ellipsis are `…0`, `…1`, counted from the last. */
  readonly labels: ReadonlyArray<string>
}

const ellipsisLabels = (count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => `…${count - 1 - i}`)

const labelsOf = (c: Context, text: string, rank: number | undefined, ellipsis: number): ReadonlyArray<string> => {
  const [before = "", after] = text.split("...")
  if (after === undefined) return before.split("")
  const own = rank === undefined ? ellipsis : rank - before.length - after.length
  if (own < 0) return c.fail(`"${text}" has more labels than the operand axes`)
  return [...before.split(""), ...ellipsisLabels(own), ...after.split("")]
}

/** The diagonal of two axes with one label. */
const diagonal = (e: Emit, { labels, value }: Term): Term => {
  const at = labels.findIndex((label, axis) => labels.indexOf(label) !== axis)
  if (at === -1) return { labels, value }
  const first = labels.indexOf(labels[at] ?? "")
  const others = labels.map((_, axis) => axis).filter((axis) => axis !== at && axis !== first)
  const turned = e.transpose(value, [...others, first, at])
  const rest = turned.type.shape.slice(0, -2)
  const extent = turned.type.shape.at(-1) ?? 1
  const flat = e.reshape(turned, [...rest, Dim.mul(extent, extent)])
  const steps = e.mul(e.iota(extent, "i64"), e.size(Dim.add(extent, 1), "i64"))
  const picked = e.gather(flat, steps, rest.length)
  return diagonal(e, { value: picked, labels: [...others, first].map((axis) => labels[axis] ?? "") })
}

/** Axes in the order of the labels; missing ones have extent 1. */
const arranged = (e: Emit, { labels, value }: Term, wanted: ReadonlyArray<string>): Value => {
  const present = wanted.filter((label) => labels.includes(label))
  const order = present.map((label) => labels.indexOf(label))
  const turned = order.every((axis, i) => axis === i) ? value : e.transpose(value, order)
  const extents = new Map(present.map((label, i) => [label, turned.type.shape[i] ?? 1]))
  return e.reshape(
    turned,
    wanted.map((label) => extents.get(label) ?? 1)
  )
}

const summed = (e: Emit, { labels, value }: Term, kept: ReadonlySet<string>): Term => {
  const axes = labels.flatMap((label, axis) => (kept.has(label) ? [] : [axis]))
  if (axes.length === 0) return { labels, value }
  return { value: e.sum(value, axes, false), labels: labels.filter((label) => kept.has(label)) }
}

const contracted = (e: Emit, a: Term, b: Term, kept: ReadonlySet<string>): Term => {
  const shared = a.labels.filter((label) => b.labels.includes(label))
  const batch = shared.filter((label) => kept.has(label))
  const inner = shared.filter((label) => !kept.has(label))
  const left = a.labels.filter((label) => !shared.includes(label))
  const right = b.labels.filter((label) => !shared.includes(label))
  const extent = (label: string): Dim.Dim => {
    const of = ({ labels, value }: Term): Dim.Dim => value.type.shape[labels.indexOf(label)] ?? 1
    return of(a) === 1 ? of(b) : of(a)
  }
  const sizes = (labels: ReadonlyArray<string>): ReadonlyArray<Dim.Dim> => labels.map(extent)
  const whole = (labels: ReadonlyArray<string>): Dim.Dim => Dim.product(sizes(labels))
  const matrix = (term: Term, labels: ReadonlyArray<string>, rows: Dim.Dim, columns: Dim.Dim): Value => {
    const order = [...batch, ...labels]
    const full = e.expand(arranged(e, term, order), sizes(order))
    return e.reshape(full, [whole(batch), rows, columns])
  }
  const product = e.matmul(
    matrix(a, [...left, ...inner], whole(left), whole(inner)),
    matrix(b, [...inner, ...right], whole(inner), whole(right))
  )
  const labels = [...batch, ...left, ...right]
  return { labels, value: e.reshape(product, sizes(labels)) }
}

export const einsum: Operator = {
  name: "Einsum",
  since: [12],
  translate: (c) => {
    const { e } = c
    const equation = c.attribute.string("equation").replaceAll(" ", "")
    const [inputs = "", given] = equation.split("->")
    const texts = inputs.split(",")
    if (texts.length !== c.count) return c.fail(`"${equation}" has ${texts.length} operands, ${c.count} are given`)
    const terms = texts.map((text, index): Term => {
      const labels = labelsOf(c, text, c.rank(index), 0)
      if (labels.length !== c.rank(index)) return c.fail(`"${text}" does not fit a rank of ${c.rank(index)}`)
      return diagonal(e, { labels, value: c.input(index) })
    })
    const all = texts.flatMap((text, index) => labelsOf(c, text, c.rank(index), 0))
    const ellipsis = Math.max(0, ...all.map((label) => (label.startsWith("…") ? Number(label.slice(1)) + 1 : 0)))
    const implicit = [...new Set(all)].filter(
      (label) => !label.startsWith("…") && all.indexOf(label) === all.lastIndexOf(label)
    )
    const output =
      given === undefined ? [...ellipsisLabels(ellipsis), ...implicit.sort()] : labelsOf(c, given, undefined, ellipsis)
    const [first, ...rest] = terms
    if (first === undefined) return c.fail("takes at least one operand")
    const wantedAfter = (index: number): ReadonlySet<string> =>
      new Set([...output, ...rest.slice(index).flatMap(({ labels }) => labels)])
    let result = summed(e, first, wantedAfter(0))
    for (const [index, term] of rest.entries()) {
      const kept = wantedAfter(index + 1)
      const mine = summed(e, term, new Set([...kept, ...result.labels]))
      result = contracted(e, result, mine, kept)
    }
    return arranged(e, summed(e, result, new Set(output)), output)
  }
}

/** Elimination with partial pivoting; the extent of the matrices must be known. */
export const det: Operator = {
  name: "Det",
  since: [11],
  translate: (c) => {
    const { e } = c
    let rest = c.input(0)
    const rank = rest.type.shape.length
    const extent = rest.type.shape.at(-1) ?? 1
    if (!Dim.isStatic(extent))
      return c.unsupported("the determinant of matrices whose extent is not known before it runs")
    const batch = rest.type.shape.slice(0, -2)
    const [rowAxis, columnAxis] = [rank - 2, rank - 1]
    let result = e.expand(e.number(rest, 1), batch)
    for (let size = extent; size > 0; size--) {
      const column = e.part(rest, columnAxis, 0, 1)
      const at = e.b.one(Ops.argMax, [e.abs(column)], { axis: rowAxis, keepDims: true, select: "first" })
      const row = (index: Value): Value =>
        e.b.one(Ops.gatherElements, [rest, e.expand(index, [...batch, 1, size])], { axis: rowAxis })
      const pivotRow = row(at)
      const pivot = e.part(pivotRow, columnAxis, 0, 1)
      const isFirst = e.binary(Ops.equal, at, e.scalar("i64", 0))
      const signed = e.select(isFirst, pivot, e.neg(pivot))
      result = e.mul(result, e.reshape(signed, batch))
      if (size === 1) break
      // The first row takes the pivot's place; what is left below is eliminated.
      const steps = e.along(e.iota(size, "i64"), rank, rowAxis)
      const swapped = e.select(e.binary(Ops.equal, steps, at), e.part(rest, rowAxis, 0, 1), rest)
      const below = e.part(swapped, rowAxis, 1, size - 1)
      const isZero = e.binary(Ops.equal, pivot, e.number(pivot, 0))
      const divisor = e.select(isZero, e.number(pivot, 1), pivot)
      const factors = e.div(e.part(below, columnAxis, 0, 1), divisor)
      const tail = (x: Value): Value => e.part(x, columnAxis, 1, size - 1)
      rest = e.sub(tail(below), e.mul(factors, tail(pivotRow)))
    }
    return result
  }
}

export const all: ReadonlyArray<Operator> = [einsum, det]
