// Templates of operators that other templates leave out: logic and bits, the rarer functions, powers and remainders, elements
// at many positions, recurrent layers after any three axes.
import * as Numbers from "@anneal/ir/Numbers"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import type { Activation } from "@anneal/ir/ops/Recurrent"
import type { Template } from "./Template.ts"
import {
  all as both,
  extent,
  hasRank,
  inDomain,
  isInteger,
  isStatic,
  isWide,
  make,
  scalar,
  weights
} from "./Template.ts"

const rarer: ReadonlyArray<OpDefinition<{}>> = [
  Ops.acos,
  Ops.acosh,
  Ops.asin,
  Ops.asinh,
  Ops.atanh,
  Ops.ceil,
  Ops.cosh,
  Ops.reciprocal,
  Ops.tan,
  Ops.isNaN
]

const functions = make("rarer function", (site) => {
  const { b, pick, random } = site
  const [x, op] = [pick(isWide), random.pick(rarer)]
  if (x === undefined || op === undefined) return undefined
  const inside = inDomain(op, {}, x, (value, low, high) =>
    b.one(
      Ops.clip,
      [value, scalar(site, value.type.dtype, low), scalar(site, value.type.dtype, Math.min(high, low + 9))],
      {}
    )
  )
  return inside === undefined ? undefined : [b.one(op, [inside], {})]
})

/** Comparisons, and what they say together. */
const logic = make("logic", (site) => {
  const { b, pick, random } = site
  const x = pick(isWide)
  if (x === undefined) return undefined
  const at = (limit: number) => scalar(site, x.type.dtype, limit)
  const [low, high] = [b.one(Ops.greater, [x, at(-1)], {}), b.one(Ops.lessOrEqual, [x, at(1)], {})]
  const op = random.pick([Ops.and, Ops.or, Ops.xor]) ?? Ops.and
  const mask = b.one(op, [low, random.chance(0.3) ? b.one(Ops.not, [high], {}) : high], {})
  return [mask, b.one(Ops.select, [mask, x, at(0)], {})]
})

const bits = make("bits", (site) => {
  const { b, pick, random } = site
  const x = pick(isInteger)
  if (x === undefined) return undefined
  const { dtype } = x.type
  const by = scalar(site, dtype, random.integer(0, 7))
  const op =
    random.pick([Ops.shiftLeft, Ops.shiftRight, Ops.bitwiseAnd, Ops.bitwiseOr, Ops.bitwiseXor]) ?? Ops.bitwiseAnd
  const moved = b.one(op, [x, by], {})
  return [random.chance(0.4) ? b.one(Ops.bitwiseNot, [moved], {}) : moved]
})

/** |x| to a small power; what is left over of a division by a constant. */
const powers = make("power or remainder", (site) => {
  const { b, pick, random } = site
  const x = pick((type) => isWide(type) || isInteger(type))
  if (x === undefined) return undefined
  const { dtype } = x.type
  if (isInteger(x.type) || random.chance(0.4)) {
    const rounding = random.chance(0.5) ? "floor" : "truncate"
    return [b.one(Ops.mod, [x, scalar(site, dtype, random.integer(2, 5))], { rounding })]
  }
  const base = b.one(Ops.add, [b.one(Ops.abs, [x], {}), scalar(site, dtype, 0.5)], {})
  return [b.one(Ops.pow, [base, scalar(site, dtype, random.pick([0.5, 1, 2, 3, -1, 1.5]) ?? 2)], {})]
})

/** Rows of positions, each of one axis or of two. */
const positions = make("elements by position", (site) => {
  const { b, pick, random } = site
  const x = pick(both(isWide, isStatic, hasRank(2, 4), ({ shape }) => !shape.includes(0)))
  if (x === undefined) return undefined
  const deep = random.integer(1, 2)
  const rows = random.integer(1, 4)
  const extents = Array.from({ length: deep }, (_, axis) => extent(x, axis) ?? 1)
  const listed = Array.from({ length: rows }, () => extents.map((size) => random.integer(0, size - 1)))
  const indices = b.tensor(Numbers.fromNumbers("i64", [rows, deep], listed.flat()))
  const taken = b.one(Ops.gatherNd, [x, indices], { batchDims: 0 })
  const reduction = random.pick(["add", "max", "min"] as const) ?? "add"
  return [taken, b.one(Ops.scatterNd, [x, indices, taken], { reduction })]
})

const sigmoid: Activation = { name: "sigmoid", alpha: 0, beta: 0 }
const tanh: Activation = { name: "tanh", alpha: 0, beta: 0 }

/** A layer over any three axes, whose extents may be open. */
const sequence = make("recurrent layer", (site) => {
  const { b, pick, random } = site
  const x = pick(
    both(
      ({ dtype }) => dtype === "f32",
      hasRank(2, 3),
      ({ shape }) => !shape.includes(0)
    )
  )
  const features = x === undefined ? undefined : extent(x, -1)
  if (x === undefined || features === undefined) return undefined
  const steps = x.type.shape.length === 3 ? x : b.one(Ops.reshape, [x], { shape: [x.type.shape[0] ?? 1, 1, features] })
  const hidden = random.integer(1, 9)
  const direction = random.pick(["forward", "reverse", "bidirectional"] as const) ?? "bidirectional"
  const ways = direction === "bidirectional" ? 2 : 1
  const isLstm = random.chance(0.5)
  const gates = (isLstm ? 4 : 3) * hidden
  const operands = [
    steps,
    weights(site, "f32", [ways, gates, features]),
    weights(site, "f32", [ways, gates, hidden]),
    random.chance(0.5) ? weights(site, "f32", [ways, 2 * gates]) : undefined
  ]
  const shared = { hidden, direction, clip: null }
  const repeated = (list: ReadonlyArray<Activation>) => Array.from({ length: ways }, () => list).flat()
  const [all, last] = isLstm
    ? b.node(Ops.lstm, operands, { ...shared, activations: repeated([sigmoid, tanh, tanh]), inputForget: false })
    : b.node(Ops.gru, operands, {
        ...shared,
        activations: repeated([sigmoid, tanh]),
        linearBeforeReset: random.chance(0.5)
      })
  return [all, last].flatMap((value) => (value === undefined ? [] : [value]))
})

export const all: ReadonlyArray<Template> = [functions, logic, bits, powers, positions, sequence]
