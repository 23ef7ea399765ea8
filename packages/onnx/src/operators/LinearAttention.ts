// LinearAttention and CausalConvWithState: the recurrent layers of hybrid language models.
//
// A state S [keyDim, valueDim] a head; each step decays it, writes k ⊗ v (or what is new in v: the delta rule) and reads q·S.
// Source: ONNX LinearAttention and CausalConvWithState 27; Yang et al. 2024 (gated delta networks).
import * as Builders from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Graph, Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { TensorType } from "@anneal/ir/Type"
import * as Emits from "../Emit.ts"
import type { Context, Operator } from "../Operator.ts"
import { scaled } from "./Attention.ts"

interface Step {
  readonly batch: Dim.Dim
  readonly queryHeads: number
  readonly heads: number
  readonly keyDim: Dim.Dim
  readonly valueDim: Dim.Dim
  readonly scale: number
  readonly dtype: DType
  /** What one step gets besides q, k and v, by the update rule. */
  readonly decay: TensorType | undefined
  readonly beta: TensorType | undefined
}

/** One step: state, then a slice of q, k, v, the decay's factor and beta, where the rule has them ⇒ state, result. */
const body = (c: Context, step: Step): Graph => {
  const { batch, dtype, heads, keyDim, queryHeads, scale, valueDim } = step
  const b = Builders.make("step", { lineage: { sources: [c.path], rewrites: [] } })
  const e = Emits.make(b)
  const input = (name: string, type: TensorType | undefined): Value | undefined =>
    type === undefined ? undefined : b.input(name, type)
  const given = (name: string, ...shape: ReadonlyArray<Dim.Dim>): Value => b.input(name, { dtype, shape })
  const state = given("state", batch, heads, keyDim, valueDim)
  const q = given("q", batch, queryHeads, keyDim)
  const k = given("k", batch, heads, keyDim)
  const v = given("v", batch, heads, valueDim)
  const decay = input("decay", step.decay)
  const beta = input("beta", step.beta)
  const column = e.reshape(k, [batch, heads, keyDim, 1])
  const decayed = decay === undefined ? state : e.mul(state, e.reshape(decay, [...decay.type.shape, 1]))
  let written = e.reshape(v, [batch, heads, 1, valueDim])
  if (beta !== undefined) {
    const found = e.matmul(e.reshape(k, [batch, heads, 1, keyDim]), decayed)
    written = e.mul(e.reshape(beta, [...beta.type.shape, 1]), e.sub(written, found))
  }
  const next = e.add(decayed, e.matmul(column, written))
  const group = queryHeads / heads
  const read = e.matmul(e.reshape(q, [batch, heads, group, keyDim]), next)
  const result = e.mul(e.reshape(read, [batch, queryHeads, valueDim]), e.scalar(dtype, scale))
  b.output("state", next)
  b.output("result", result)
  return b.finish()
}

const rules = ["linear", "gated", "delta", "gated_delta"]

export const linearAttention: Operator = {
  name: "LinearAttention",
  since: [27],
  translate: (c) => {
    const { e } = c
    const [query, key, value] = [c.input(0), c.input(1), c.input(2)]
    const [batch = 1, steps = 1, hidden = 1] = query.type.shape
    const [queryHeads, heads] = [c.attribute.int("q_num_heads"), c.attribute.int("kv_num_heads")]
    if (queryHeads % heads !== 0) return c.fail(`${queryHeads} query heads are no multiple of ${heads} key heads`)
    const rule = c.attribute.string("update_rule", "gated_delta")
    if (!rules.includes(rule)) return c.fail(`update_rule "${rule}" is not known`)
    const keyDim = Dim.floorDiv(hidden, queryHeads)
    const valueDim = Dim.floorDiv(value.type.shape[2] ?? 1, heads)
    const dtype: DType = DTypes.isNarrowFloat(query.type.dtype) ? "f32" : query.type.dtype
    const apart = (x: Value, count: number): Value =>
      e.reshape(e.cast(x, dtype), [batch, steps, count, Dim.floorDiv(x.type.shape[2] ?? 1, count)])
    // A gate: one number a head, or one a head and key; beta may be one for all heads.
    const decay = rule.startsWith("gated") ? e.exp(apart(c.input(4), heads)) : undefined
    const given = rule.endsWith("delta") ? c.input(5) : undefined
    const beta = given === undefined ? undefined : apart(given, given.type.shape[2] === 1 ? 1 : heads)
    const { q, scale } = scaled(c, apart(query, queryHeads))
    const shape = [batch, heads, keyDim, valueDim]
    const past = c.optional(3)
    const state = past === undefined ? e.expand(e.scalar(dtype, 0), shape) : e.reshape(e.cast(past, dtype), shape)
    const scanned = [q, apart(key, heads), apart(value, heads), decay, beta].filter((x) => x !== undefined)
    const slice = (x: Value | undefined): TensorType | undefined =>
      x === undefined ? undefined : { dtype, shape: x.type.shape.filter((_, axis) => axis !== 1) }
    const sizes = { batch, queryHeads, heads, keyDim, valueDim, scale, dtype }
    const [last, results] = e.b.node(
      Ops.scan,
      [state, ...scanned],
      {
        carried: 1,
        scanned: scanned.length,
        inputAxes: scanned.map(() => 1),
        inputReverse: scanned.map(() => false),
        outputAxes: [1],
        outputReverse: [false]
      },
      { graphs: { body: body(c, { ...sizes, decay: slice(decay), beta: slice(beta) }) } }
    )
    if (last === undefined || results === undefined) return c.fail("the scan has no results")
    const y = e.reshape(results, [batch, steps, Dim.mul(valueDim, queryHeads)])
    return [e.cast(y, query.type.dtype), e.cast(last, query.type.dtype)]
  }
}

/** A depthwise convolution that sees this step and the ones before; the last `kernel − 1` inputs are the next state. */
export const causalConvWithState: Operator = {
  name: "CausalConvWithState",
  since: [27],
  translate: (c) => {
    const { e } = c
    const [x, w] = [c.input(0), c.input(1)]
    const [, channels = 1, steps = 1] = x.type.shape
    const [, , kernel = 1] = w.type.shape
    const groups = Dim.isStatic(channels)
      ? channels
      : c.unsupported("channels whose number is not known before it runs")
    const before = Dim.sub(kernel, 1)
    const past = c.optional(3)
    const attributes = { before: [0, 0, before], after: [0, 0, 0], mode: "constant" } as const
    const whole = past === undefined ? e.b.one(Ops.pad, [x], attributes) : e.concat([past, x], 2)
    const result = e.b.one(Ops.conv, [whole, w, c.optional(2)], {
      strides: [1],
      padsBegin: [0],
      padsEnd: [0],
      dilations: [1],
      groups
    })
    const activation = c.attribute.string("activation", "none")
    if (activation !== "none" && activation !== "silu" && activation !== "swish")
      return c.fail(`activation "${activation}" is not known`)
    const y = activation === "none" ? result : e.unary(Ops.silu, result)
    return [y, e.part(whole, 2, steps, before)]
  }
}

export const all: ReadonlyArray<Operator> = [linearAttention, causalConvWithState]
