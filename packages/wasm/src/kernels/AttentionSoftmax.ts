/**
 * AttentionSoftmax: one row of scores of one block of keys becomes exponentials, online: the greatest score and the sum of
 * exponentials so far are kept, and what was made with a smaller greatest score shrinks.
 *
 *   m' = max(m, max s),  p = e^(s − m'),  l' = l · e^(m − m') + Σ p
 *
 * Scores are q·k · scale + mask. Where every score so far is −∞, p is 0 (not NaN): a later block may have more. A row
 * that stays without any ends with l = 0, and its result is 0/0 = NaN, as the op's expansion says.
 *
 * Source: Milakov and Gimelshein, Online normalizer calculation for softmax, 2018.
 */
import type { F32, I32, V128 } from "../Instruction.ts"
import { f32, f32x4, i32, select, v128 } from "../Instruction.ts"
import * as Lanes from "../Lanes.ts"
import type { Emission } from "../Emission.ts"
import type { Func, Local } from "../ModuleBuilder.ts"
import * as VectorMath from "../VectorMath.ts"
import { Writer } from "../Writer.ts"

export interface SoftmaxRow {
  readonly scale: number
  /** Bytes from key to key of the mask: known, or a parameter; undefined without a mask. */
  readonly maskStep: number | "parameter" | undefined
}

/** Parameters of a row's function, all i32, in this order. */
export interface SoftmaxArguments {
  /** Scores, then exponentials. */
  readonly scores: I32
  /** Keys of the block, and how many of them this row sees; the others count as −∞. */
  readonly count: I32
  readonly visible: I32
  /** The row's mask at the block's first key. */
  readonly mask: I32
  readonly maskStep: I32
  /** Addresses of this row's m, l and shrink factor. */
  readonly greatest: I32
  readonly sum: I32
  readonly shrink: I32
}

const order: ReadonlyArray<keyof SoftmaxArguments> = [
  "scores",
  "count",
  "visible",
  "mask",
  "maskStep",
  "greatest",
  "sum",
  "shrink"
]

export const argumentsOf = (values: SoftmaxArguments): ReadonlyArray<I32> => order.map((name) => values[name])

const exp = (w: Writer, x: V128): V128 => {
  const result = VectorMath.unary(w, "exp", x)
  if (result === undefined) throw new Error("exp has no code")
  return result
}

const across = (w: Writer, vector: V128, join: (a: F32, b: F32) => F32): F32 => {
  const kept = w.keep(vector)
  const lane = (index: number): F32 => f32x4.extract_lane(kept, index)
  return join(join(lane(0), lane(1)), join(lane(2), lane(3)))
}

export const softmaxFunction = (emission: Emission, name: string, row: SoftmaxRow): Func =>
  emission.module.func(name, new Array<"i32">(order.length).fill("i32"), [], (f) => {
    const given = (argument: keyof SoftmaxArguments): Local<"i32"> => ({ type: "i32", index: order.indexOf(argument) })
    const step = row.maskStep === "parameter" ? f.get(given("maskStep")) : row.maskStep
    write(new Writer(f, emission), {
      scale: row.scale,
      scores: given("scores"),
      count: f.get(given("count")),
      visible: f.get(given("visible")),
      mask: step === undefined ? undefined : { address: given("mask"), step },
      greatest: f.get(given("greatest")),
      sum: f.get(given("sum")),
      shrink: f.get(given("shrink"))
    })
  })

interface Row {
  readonly scale: number
  readonly scores: Local<"i32">
  readonly count: I32
  readonly visible: I32
  readonly mask: { readonly address: Local<"i32">; readonly step: number | I32 } | undefined
  readonly greatest: I32
  readonly sum: I32
  readonly shrink: I32
}

const write = (w: Writer, row: Row): void => {
  const { f } = w
  const { count, mask, scale, scores, visible } = row
  const factor = w.splatF32(scale)
  // Whole vectors of keys that are seen.
  const whole = f.get(f.let(i32.and(visible, i32.const(-4))))
  const padded = f.get(f.let(i32.and(i32.add(count, i32.const(3)), i32.const(-4))))
  const place = (base: Local<"i32">, index: I32): I32 => i32.add(f.get(base), i32.shl(index, i32.const(2)))
  const masks = (index: I32): I32 => {
    if (mask === undefined) return i32.const(0)
    return mask.step === 4
      ? place(mask.address, index)
      : i32.add(f.get(mask.address), i32.mul(index, typeof mask.step === "number" ? i32.const(mask.step) : mask.step))
  }
  const most = f.let(w.splatF32(-Infinity))
  f.range(0, whole, 4, (i) => {
    const at = f.get(f.let(place(scores, f.get(i))))
    const raw = f32x4.mul(v128.load(at), factor)
    const added = ((): V128 => {
      if (mask === undefined) return raw
      const [values] =
        mask.step === 4
          ? [v128.load(masks(f.get(i)))]
          : mask.step === 0
            ? [v128.load32_splat(f.get(mask.address))]
            : Lanes.loadStrided(w, "f32", masks(f.get(i)), mask.step)
      return f32x4.add(raw, values)
    })()
    const score = w.keep(added)
    f.do(v128.store(at, score))
    f.set(most, f32x4.max(f.get(most), score))
  })
  const greatest = f.let(across(w, f.get(most), (a, b) => f32.max(a, b)))
  // The keys left over, one by one, and −∞ for those that are not seen.
  f.range(whole, visible, 1, (i) => {
    const at = f.get(f.let(place(scores, f.get(i))))
    const raw = f32.mul(f32.load(at), f32.const(scale))
    const score = f.get(f.let(mask === undefined ? raw : f32.add(raw, f32.load(masks(f.get(i))))))
    f.do(f32.store(at, score))
    f.set(greatest, f32.max(f.get(greatest), score))
  })
  f.range(visible, padded, 1, (i) => f.do(f32.store(place(scores, f.get(i)), f32.const(-Infinity))))

  const before = f.get(f.let(f32.load(row.greatest)))
  const now = f.get(f.let(f32.max(before, f.get(greatest))))
  const safe = f.get(f.let(select(f32.eq(now, f32.const(-Infinity)), f32.const(0), now)))
  const base = f.get(f.let(f32x4.splat(safe)))
  const shrink = f.get(f.let(f32x4.extract_lane(exp(w, f32x4.splat(f32.sub(before, safe))), 0)))
  const sum = f.let(w.splatF32(0))
  f.range(0, padded, 4, (i) => {
    const at = f.get(f.let(place(scores, f.get(i))))
    const p = w.keep(exp(w, f32x4.sub(v128.load(at), base)))
    f.do(v128.store(at, p))
    f.set(sum, f32x4.add(f.get(sum), p))
  })
  const total = across(w, f.get(sum), (a, b) => f32.add(a, b))
  f.do(f32.store(row.sum, f32.add(f32.mul(f32.load(row.sum), shrink), total)))
  f.do(f32.store(row.greatest, now))
  f.do(f32.store(row.shrink, shrink))
}
