// Slice: numpy's x[start:end:step] on some axes, negative positions counted from the end, clamped to the extent.
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Content from "../Content.ts"
import type { Context, Operator } from "../Operator.ts"

/** min and max that see through what is provable. */
const least = (a: Dim.Dim, b: Dim.Dim): Dim.Dim =>
  Dim.lessOrEqual(a, b) === true ? a : Dim.lessOrEqual(b, a) === true ? b : Dim.min(a, b)
const greatest = (a: Dim.Dim, b: Dim.Dim): Dim.Dim =>
  Dim.lessOrEqual(a, b) === true ? b : Dim.lessOrEqual(b, a) === true ? a : Dim.max(a, b)

/** A position that may count from the end as one from the start: s < 0 ? s + extent : s, exact for any sign. */
const fromStart = (position: Dim.Dim, extent: Dim.Dim): Dim.Dim => {
  const sign = Dim.isNonNegative(position)
  if (sign === true) return position
  if (sign === false) return Dim.add(position, extent)
  const isNegative = least(greatest(Dim.neg(position), 0), 1)
  return Dim.add(position, Dim.mul(extent, isNegative))
}

/** Exporters write 10⁹, 2³¹ − 1 or 2⁶³ − 1 for "to the end": no axis of a tensor in memory is longer. */
const isPosition = (value: number): boolean => Math.abs(value) < 1e9

interface Box {
  readonly start: Dim.Dim
  readonly size: Dim.Dim
}

/** The slice of one axis from known positions; beyond 2⁵³ is beyond any extent. */
const box = (start: Content.Element, end: Content.Element, step: number, extent: Dim.Dim, c: Context): Box => {
  const at = (element: Content.Element, low: Dim.Dim, high: Dim.Dim): Dim.Dim => {
    const isBeyond = typeof element === "bigint" || (typeof element === "number" && !isPosition(element))
    if (isBeyond) return element > 0 ? high : low
    if (element instanceof Content.Fraction || element instanceof Content.Equality)
      return c.fail("positions are integers")
    return least(greatest(fromStart(element, extent), low), high)
  }
  const last = Dim.sub(extent, 1)
  const [from, to] = step > 0 ? [at(start, 0, extent), at(end, 0, extent)] : [at(start, 0, last), at(end, -1, last)]
  const room = step > 0 ? Dim.sub(to, from) : Dim.sub(from, to)
  const size = greatest(Dim.ceilDiv(room, Math.abs(step)), 0)
  return { start: size === 0 ? 0 : from, size }
}

/** The same from positions that only the data knows, computed by the graph and then read. */
const computed = (
  c: Context,
  starts: Value,
  ends: Value,
  steps: ReadonlyArray<number>,
  extents: ReadonlyArray<Dim.Dim>
) => {
  const { e } = c
  const whole = c.known(Content.vector(extents)).value()
  const zero = e.scalar("i64", 0)
  if (steps.some((step) => step < 0))
    return c.unsupported("a negative step between positions that are not known before it runs")
  const at = (given: Value): Value => {
    const positions = e.cast(given, "i64")
    const counted = e.add(positions, e.mul(whole, e.max(e.min(e.neg(positions), e.scalar("i64", 1)), zero)))
    return e.min(e.max(counted, zero), whole)
  }
  const from = at(starts)
  const to = e.max(at(ends), from)
  const [begin, stop] = [c.read(from), c.read(to)]
  return begin.map((start, i): Box => ({ start, size: Dim.ceilDiv(Dim.sub(stop[i] ?? 0, start), steps[i] ?? 1) }))
}

const boxes = (c: Context, axes: ReadonlyArray<number>, steps: ReadonlyArray<number>): ReadonlyArray<Box> => {
  const { shape } = c.type(0)
  const extents = axes.map((axis) => shape[axis] ?? 0)
  if (c.opset < 10) {
    const [starts, ends] = [c.attribute.ints("starts") ?? [], c.attribute.ints("ends") ?? []]
    return extents.map((extent, i) => box(starts[i] ?? 0, ends[i] ?? 0, steps[i] ?? 1, extent, c))
  }
  const [starts, ends] = [c.content(1), c.content(2)]
  if (starts === undefined || ends === undefined) return computed(c, c.input(1), c.input(2), steps, extents)
  return extents.map((extent, i) => box(starts.elements[i] ?? 0, ends.elements[i] ?? 0, steps[i] ?? 1, extent, c))
}

/** Starts and ends are attributes before opset 10. */
export const slice: Operator = {
  name: "Slice",
  since: [1, 10],
  translate: (c) => {
    const operand = c.operand(0)
    const { shape } = operand.type
    const given = c.opset < 10 ? c.attribute.ints("axes") : c.integers(3)
    const count = c.opset < 10 ? (c.attribute.ints("starts")?.length ?? 0) : Number(c.type(1).shape[0] ?? 1)
    const axes = (given ?? Array.from({ length: count }, (_, i) => i)).map((axis) => c.axis(axis, shape.length))
    const steps = (c.opset < 10 ? undefined : c.integers(4)) ?? axes.map(() => 1)
    if (steps.includes(0)) return c.fail("a step of 0")
    const found = boxes(c, axes, steps)
    const of = (axis: number): number => axes.lastIndexOf(axis)
    const starts = shape.map((_, axis) => found[of(axis)]?.start ?? 0)
    const sizes = shape.map((dim, axis) => found[of(axis)]?.size ?? dim)
    const strides = shape.map((_, axis) => steps[of(axis)] ?? 1)
    if (operand.content !== undefined && [...starts, ...sizes].every(Dim.isStatic)) {
      const known = Content.slice(operand.content, starts.map(Number), sizes.map(Number), strides)
      if (known !== undefined) return c.known(known)
    }
    return c.e.slice(operand.value(), starts, sizes, strides)
  }
}
