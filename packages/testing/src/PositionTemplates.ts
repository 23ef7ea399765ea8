// Templates of elements by position and by type: slices with steps and signs, pads of every mode, parts side by side,
// indices that are data, reshapes to any factors, conversions and arithmetic between all types. For targets, as
// `LayerTemplates`, which has them in its list.
import type { DType } from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import type { Site, Template } from "./Template.ts"
import {
  all as both,
  extent,
  hasRank,
  isFloat,
  isInteger,
  isStatic,
  isWide,
  make,
  scalar,
  weights
} from "./Template.ts"

const anyOf = <A>({ random }: Site, first: A, ...rest: ReadonlyArray<A>): A => random.pick([first, ...rest]) ?? first

const strided = make("strided", ({ b, pick, random }) => {
  const x = pick(both(isStatic, hasRank(1), ({ shape }) => !shape.includes(0)))
  if (x === undefined) return undefined
  const extents = x.type.shape.map((_, axis) => extent(x, axis) ?? 1)
  const steps = extents.map(() => anyOfNumbers(random.integer(0, 4)))
  const starts = extents.map((size, axis) =>
    (steps[axis] ?? 1) < 0 ? size - 1 - random.integer(0, size - 1) : random.integer(0, size - 1)
  )
  const sizes = extents.map((size, axis) => {
    const [step, start] = [steps[axis] ?? 1, starts[axis] ?? 0]
    const room = step > 0 ? size - 1 - start : start
    return random.integer(1, Math.floor(room / Math.abs(step)) + 1)
  })
  return [b.one(Ops.slice, [x], { starts, sizes, steps })]
})
const anyOfNumbers = (way: number): number => [1, 1, 2, -1, -2][way] ?? 1

const padding = make("padding", (site) => {
  const { b, pick, random } = site
  const x = pick(both(isWide, isStatic, hasRank(1, 5), ({ shape }) => !shape.includes(0)))
  if (x === undefined) return undefined
  const mode = anyOf(site, "constant" as const, "reflect" as const, "edge" as const, "wrap" as const)
  const extents = x.type.shape.map((_, axis) => extent(x, axis) ?? 1)
  const amounts = () => extents.map((size) => random.integer(0, mode === "constant" ? 2 : Math.min(2, size - 1)))
  const [before, after] = [amounts(), amounts()]
  const left = extents.every((size, axis) => size + (before[axis] ?? 0) + (after[axis] ?? 0) > 0)
  return left ? [b.one(Ops.pad, [x, undefined], { before, after, mode })] : undefined
})

const parts = make("parts", (site) => {
  const { b, pick, random } = site
  const x = pick(both(hasRank(1, 5), isStatic))
  if (x === undefined) return undefined
  const axis = random.integer(0, x.type.shape.length - 1)
  const fits = ({ dtype, shape }: Type.TensorType): boolean =>
    dtype === x.type.dtype &&
    shape.length === x.type.shape.length &&
    shape.every((dim, i) => i === axis || dim === x.type.shape[i])
  const others = Array.from({ length: random.integer(1, 3) }, () => pick(fits) ?? x)
  return [b.one(Ops.concat, random.shuffled([x, ...others]), { axis })]
})

/** Indices from data: positions of extremes, or constants of several shapes, with some from the end. */
const gathered = make("gathered", (site) => {
  const { b, pick, random } = site
  const x = pick(both(hasRank(1, 4), isStatic, ({ shape }) => !shape.includes(0)))
  if (x === undefined) return undefined
  const axis = random.integer(0, x.type.shape.length - 1)
  const size = extent(x, axis) ?? 1
  const some = (shape: ReadonlyArray<number>) => {
    const count = shape.reduce((a, c) => a * c, 1)
    const values = Array.from({ length: count }, () => random.integer(-size, size - 1))
    return b.tensor(Numbers.fromNumbers(anyOf(site, "i64", "i32"), shape, values))
  }
  const way = random.integer(0, 3)
  if (way === 0) return [b.one(Ops.gather, [x, some(anyOf<Array<number>>(site, [], [2, 2], [3, 1]))], { axis })]
  if (way === 1) {
    const shape = x.type.shape.map((_, i) => random.integer(1, extent(x, i) ?? 1))
    return [b.one(Ops.gatherElements, [x, some(shape)], { axis })]
  }
  if (way === 2 && (isFloat(x.type) || isInteger(x.type))) {
    const found = b.one(Ops.argMax, [x], { axis, keepDims: true, select: "first" })
    return [found, b.one(Ops.gatherElements, [x, found], { axis })]
  }
  const [first] = x.type.shape
  if (!isFloat(x.type) || typeof first !== "number") return undefined
  const updates = weights(
    site,
    x.type.dtype,
    x.type.shape.map((_, i) => (i === axis ? 1 : (extent(x, i) ?? 1)))
  )
  const indices = b.tensor(
    Numbers.fromNumbers(
      "i64",
      updates.type.shape.filter(Dim.isStatic),
      Array.from({ length: countOf(updates) }, () => random.integer(-size, size - 1))
    )
  )
  const reduction = anyOf(site, "none" as const, "add" as const, "max" as const)
  return [b.one(Ops.scatterElements, [x, indices, updates], { axis, reduction })]
})

const countOf = ({ type }: Value): number => type.shape.reduce<number>((a, dim) => a * (Dim.isStatic(dim) ? dim : 1), 1)

const reshaped = make("reshaped", ({ b, pick, random }) => {
  const x = pick(both(isStatic, hasRank(0, 6)))
  if (x === undefined) return undefined
  const count = countOf(x)
  if (count === 0) return undefined
  const shape: Array<number> = []
  let rest = count
  while (rest > 1 && shape.length < 4) {
    const divisors = Array.from({ length: rest }, (_, i) => i + 1).filter((d) => rest % d === 0)
    const next = random.pick(divisors) ?? rest
    shape.push(next)
    rest /= next
  }
  if (rest > 1 || random.chance(0.2)) shape.push(rest)
  return [b.one(Ops.reshape, [x], { shape: random.shuffled(shape) })]
})

const conversion = make("conversion", (site) => {
  const { b, pick, random } = site
  const x = pick(() => true)
  const to = random.pick<DType>(["f16", "bf16", "f64", "f32", "i32", "i64", "i8", "u8", "bool"])
  if (x === undefined || to === undefined) return undefined
  // What is out of range, and a fraction on its way to an integer, are another matter.
  if (isFloat(x.type) && !isFloat({ dtype: to, shape: [] }) && to !== "bool") {
    const low = scalar(site, x.type.dtype, to === "u8" ? 0 : -100)
    return [b.one(Ops.cast, [b.one(Ops.clip, [x, low, scalar(site, x.type.dtype, 100)], {})], { to, saturate: false })]
  }
  return [b.one(Ops.cast, [x], { to, saturate: false })]
})

const arithmetic = make("arithmetic", (site) => {
  const { b, pick, random } = site
  const x = pick(({ dtype }) => dtype !== "bool")
  if (x === undefined) return undefined
  const y = pick((type) => type.dtype === x.type.dtype && Type.equal(type, x.type) === true) ?? x
  const op = random.pick([Ops.add, Ops.sub, Ops.mul, Ops.min, Ops.max])
  const test = random.pick([Ops.equal, Ops.less, Ops.greaterOrEqual])
  if (op === undefined || test === undefined) return undefined
  if (random.chance(0.6)) return [b.one(op, [x, y], {})]
  const condition = b.one(test, [x, y], {})
  return [condition, b.one(Ops.select, [random.chance(0.3) ? b.one(Ops.not, [condition], {}) : condition, y, x], {})]
})

const counted = make("counted", ({ b, pick, random }) => {
  const x = pick(both(isFloat, hasRank(1)))
  const last = x?.type.shape.at(-1)
  if (x === undefined || last === undefined) return undefined
  const positions = b.one(Ops.iota, [], { size: last, dtype: random.chance(0.5) ? "i64" : "i32" })
  return [b.one(Ops.add, [x, b.one(Ops.cast, [positions], { to: x.type.dtype, saturate: false })], {})]
})

export const all: ReadonlyArray<Template> = [
  strided,
  padding,
  parts,
  gathered,
  reshaped,
  conversion,
  arithmetic,
  counted
]
