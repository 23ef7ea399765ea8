// Signals: DFT, STFT, HannWindow, HammingWindow, BlackmanWindow, MelWeightMatrix.
//
// A discrete Fourier transform is a product with the matrix of e^(−2πi·kn/N). The angles are taken of kn mod N, in f64.
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import type { Value } from "@anneal/ir/Graph"
import * as Maths from "@anneal/ir/Math"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as ElementType from "../ElementType.ts"
import type { Emit } from "../Emit.ts"
import type { Operator } from "../Operator.ts"

const turn = 6.283185307179586

/** cos and sin of 2π·rc/N for rows r and columns c. */
const circle = (e: Emit, rows: Dim.Dim, columns: Dim.Dim, length: Dim.Dim, dtype: DType) => {
  const products = e.mul(e.reshape(e.iota(rows, "i64"), [rows, 1]), e.iota(columns, "i64"))
  const steps = e.b.one(Ops.mod, [products, e.size(length, "i64")], { rounding: "floor" })
  const angles = e.mul(e.cast(steps, "f64"), e.div(e.scalar("f64", turn), e.size(length, "f64")))
  return { cos: e.cast(e.unary(Ops.cos, angles), dtype), sin: e.cast(e.unary(Ops.sin, angles), dtype) }
}

/** The last axis before the complex one: cut or filled with zeros to a length. */
const fitted = (e: Emit, x: Value, length: Dim.Dim): Value => {
  const axis = x.type.shape.length - 2
  const extent = x.type.shape[axis] ?? 1
  if (Dim.equal(extent, length) === true) return x
  const kept = Dim.min(extent, length)
  const cut = Dim.equal(kept, extent) === true ? x : e.part(x, axis, 0, kept)
  const after = x.type.shape.map((_, i) => (i === axis ? Dim.sub(length, kept) : 0))
  return e.b.one(Ops.pad, [cut], { before: after.map(() => 0), after, mode: "constant" })
}

const halfOf = (length: Dim.Dim): Dim.Dim => Dim.add(Dim.floorDiv(length, 2), 1)

/** x `[.., n, 1 or 2]`, transformed along the last axis but one ⇒ `[.., bins, 2]`. */
const forward = (e: Emit, given: Value, length: Dim.Dim, isOneSided: boolean, isInverse: boolean): Value => {
  const x = fitted(e, given, length)
  const rank = x.type.shape.length
  const bins = isOneSided ? halfOf(length) : length
  const { cos, sin } = circle(e, length, bins, length, x.type.dtype)
  const isComplex = x.type.shape.at(-1) === 2
  const part = (which: number): Value => e.reshape(e.part(x, rank - 1, which, 1), x.type.shape.slice(0, -1))
  // Forward: (a + ib)(cos − i sin); inverse: (a + ib)(cos + i sin) / N.
  const real = part(0)
  const sign = isInverse ? e.neg(sin) : sin
  let [re, im] = [e.matmul(real, cos), e.neg(e.matmul(real, sign))]
  if (isComplex) {
    const imaginary = part(1)
    re = e.add(re, e.matmul(imaginary, sign))
    im = e.add(im, e.matmul(imaginary, cos))
  }
  const column = (value: Value): Value => e.reshape(value, [...value.type.shape, 1])
  const result = e.concat([column(re), column(im)], rank - 1)
  return isInverse ? e.div(result, e.size(length, x.type.dtype)) : result
}

/** Half a spectrum `[.., bins, 2]` to the real signal of the given length `[.., n, 1]`. */
const realInverse = (e: Emit, given: Value, length: Dim.Dim): Value => {
  const bins = halfOf(length)
  const x = fitted(e, given, bins)
  const rank = x.type.shape.length
  const { dtype } = x.type
  const { cos, sin } = circle(e, bins, length, length, dtype)
  const index = e.iota(bins, "i64")
  const isEdge = e.binary(
    Ops.or,
    e.binary(Ops.equal, index, e.scalar("i64", 0)),
    e.binary(Ops.equal, e.mul(index, e.scalar("i64", 2)), e.size(length, "i64"))
  )
  const weight = e.select(isEdge, e.scalar(dtype, 1), e.scalar(dtype, 2))
  const part = (which: number): Value =>
    e.mul(e.reshape(e.part(x, rank - 1, which, 1), x.type.shape.slice(0, -1)), weight)
  const sum = e.sub(e.matmul(part(0), cos), e.matmul(part(1), sin))
  const result = e.div(sum, e.size(length, dtype))
  return e.reshape(result, [...result.type.shape, 1])
}

/** The axis is an attribute before opset 20, the third input since. */
export const dft: Operator = {
  name: "DFT",
  since: [17, 20],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const rank = x.type.shape.length
    const given = c.opset < 20 ? c.attribute.int("axis", 1) : (c.integers(2)?.[0] ?? -2)
    const axis = c.axis(given, rank)
    const [isInverse, isOneSided] = [c.attribute.flag("inverse", false), c.attribute.flag("onesided", false)]
    const order = x.type.shape.map((_, i) => (i === axis ? rank - 2 : i === rank - 2 ? axis : i))
    const moved = axis === rank - 2 ? x : e.transpose(x, order)
    const extent = x.type.shape[axis] ?? 1
    const natural = isInverse && isOneSided ? Dim.mul(Dim.sub(extent, 1), 2) : extent
    const length = c.has(1) ? (c.dims(1)[0] ?? natural) : natural
    const result =
      isInverse && isOneSided ? realInverse(e, moved, length) : forward(e, moved, length, isOneSided, isInverse)
    return axis === rank - 2 ? result : e.transpose(result, order)
  }
}

/** Frames of `signal [batch, length, 1 or 2]`, each windowed and transformed ⇒ `[batch, frames, bins, 2]`. */
export const stft: Operator = {
  name: "STFT",
  since: [17],
  translate: (c) => {
    const { e } = c
    const signal = c.input(0)
    const step = c.dims(1)[0] ?? c.fail("the frame step is missing")
    const window = c.optional(2)
    const frame = c.has(3) ? c.dims(3)[0] : window?.type.shape[0]
    if (frame === undefined) return c.fail("neither a window nor a frame length is given")
    const [batch = 1, length = 1, parts = 1] = signal.type.shape
    const frames = Dim.add(Dim.floorDiv(Dim.sub(length, frame), step), 1)
    const starts = e.mul(e.iota(frames, "i64"), e.size(step, "i64"))
    const at = e.add(e.reshape(starts, [frames, 1]), e.iota(frame, "i64"))
    const cut = e.reshape(e.gather(signal, at, 1), [batch, frames, frame, parts])
    const windowed = window === undefined ? cut : e.mul(cut, e.reshape(e.cast(window, cut.type.dtype), [frame, 1]))
    return forward(e, windowed, frame, c.attribute.flag("onesided", true), false)
  }
}

/** a0 − a1·cos(2πn/N) + a2·cos(4πn/N); N is one less when symmetric. */
const window = (name: string, [a0, a1, a2]: readonly [number, number, number]): Operator => ({
  name,
  since: [17],
  translate: (c) => {
    const { e } = c
    const code = c.attribute.int("output_datatype", 1)
    const dtype = ElementType.fromCode(code) ?? c.unsupported(`a window of ${ElementType.nameOf(code)}`)
    const size = c.dims(0)[0] ?? c.fail("the size is missing")
    const span = c.attribute.flag("periodic", true) ? size : Dim.sub(size, 1)
    const angles = e.div(e.mul(e.iota(size, "f64"), e.scalar("f64", turn)), e.size(span, "f64"))
    const first = e.sub(e.scalar("f64", a0), e.mul(e.scalar("f64", a1), e.unary(Ops.cos, angles)))
    const twice = e.unary(Ops.cos, e.mul(angles, e.scalar("f64", 2)))
    return e.cast(a2 === 0 ? first : e.add(first, e.mul(e.scalar("f64", a2), twice)), dtype)
  }
})

const hertzToMel = (hertz: number): number => (2595 * Maths.log(1 + hertz / 700)) / Maths.log(10)
const melToHertz = (mel: number): number => 700 * (Maths.exp((mel / 2595) * Maths.log(10)) - 1)

/** Triangular filters evenly spaced on the mel scale, `[bins of the spectrum, mel bins]`. */
export const melWeightMatrix: Operator = {
  name: "MelWeightMatrix",
  since: [17],
  translate: (c) => {
    const known = (index: number): number => c.numbers(index)?.[0] ?? c.fail(`input ${index} is missing`)
    const [mels, length, rate, low, high] = [known(0), known(1), known(2), known(3), known(4)]
    const code = c.attribute.int("output_datatype", 1)
    const dtype = ElementType.fromCode(code) ?? c.unsupported(`a matrix of ${ElementType.nameOf(code)}`)
    const bins = Math.floor(length / 2) + 1
    const [lowMel, highMel] = [hertzToMel(low), hertzToMel(high)]
    const step = (highMel - lowMel) / (mels + 2)
    const edges = Array.from({ length: mels + 2 }, (_, i) =>
      Math.floor(((length + 1) * melToHertz(lowMel + i * step)) / rate)
    )
    const weights = new Float64Array(bins * mels)
    for (let mel = 0; mel < mels; mel++) {
      const [left = 0, centre = 0, right = 0] = edges.slice(mel, mel + 3)
      if (centre === left) weights[centre * mels + mel] = 1
      else for (let i = left; i <= centre; i++) weights[i * mels + mel] = (i - left) / (centre - left)
      if (right > centre) for (let i = centre; i < right; i++) weights[i * mels + mel] = (right - i) / (right - centre)
    }
    return c.e.b.tensor(Numbers.fromNumbers(dtype, [bins, mels], weights))
  }
}

export const all: ReadonlyArray<Operator> = [
  dft,
  stft,
  window("HannWindow", [0.5, 0.5, 0]),
  window("HammingWindow", [25 / 46, 21 / 46, 0]),
  window("BlackmanWindow", [0.42, 0.5, 0.08]),
  melWeightMatrix
]
