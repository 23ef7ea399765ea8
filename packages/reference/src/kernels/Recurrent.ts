// Kernels of the recurrent layers. States stay in float64 from step to step; only results are rounded.
//
// With bounds, every gate carries an error: its product's by the contraction rule, then times the slope of the activation
// near its value (linearised, with the curvature's remainder), so that bounds grow as the cell itself amplifies.
import type { DType } from "@anneal/ir/DType"
import * as Ops from "@anneal/ir/Ops"
import type { Activation } from "@anneal/ir/ops/Recurrent"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Elements from "../Elements.ts"
import * as Rounding from "../Rounding.ts"
import type { BoundedCall, Cell, Entry, KernelCall, Work } from "../Kernel.ts"
import * as Kernel from "../Kernel.ts"
import { activation, type ActivationFunction } from "./Activation.ts"

/** Float64 values with the error of each; `errors` is empty when none are tracked. */
interface Tracked {
  readonly values: Float64Array
  readonly errors: Float64Array
}

interface Attributes {
  readonly hidden: number
  readonly direction: "forward" | "reverse" | "bidirectional"
  readonly activations: ReadonlyArray<Activation>
  readonly clip: number | null
}

/** One direction's weights, a row an output: [gates · hidden, features] and [gates · hidden, hidden]. */
interface Weights {
  /** Undefined where x is what the inputs give to the gates. */
  readonly w: Tracked | undefined
  readonly r: Tracked
  /** [gates · hidden] each. */
  readonly biasW: Tracked
  readonly biasR: Tracked
  readonly peepholes: Tracked | undefined
}

interface Shapes {
  readonly length: number
  readonly batch: number
  readonly features: number
  readonly hidden: number
  readonly gates: number
  readonly directions: number
}

/** Arithmetic of one run: whether errors are tracked, and the unit roundoff of each operation. */
interface Arithmetic {
  readonly tracks: boolean
  readonly unit: number
}

const tracked = (cell: Cell, tracks: boolean): Tracked => {
  const values = Elements.numbers(cell.tensor)
  return { values, errors: tracks ? (cell.bound ?? new Float64Array(values.length)) : new Float64Array(0) }
}

/** The errors of what is exact. */
const exact = new Float64Array(0)

const part = ({ errors, values }: Tracked, start: number, length: number): Tracked => ({
  values: values.subarray(start, start + length),
  errors: errors.length === 0 ? errors : errors.subarray(start, start + length)
})

const none = (length: number, tracks: boolean): Tracked => ({
  values: new Float64Array(length),
  errors: new Float64Array(tracks ? length : 0)
})

const magnitudes = (values: Float64Array): Float64Array => {
  const result = new Float64Array(values.length)
  for (let i = 0; i < values.length; i++) result[i] = Math.abs(values[i] ?? 0)
  return result
}

/** A fixed factor [n, k]: each result is its row times another one. Errors are empty where it is exact. */
interface Factor {
  readonly k: number
  readonly n: number
  readonly matrix: Tracked
}

/** target += matrix · row: each sum one term after another; four sums side by side do not wait for each other. */
const addProduct = (row: Float64Array, { k, matrix, n }: Factor, target: Float64Array): void => {
  const { values } = matrix
  let j = 0
  for (; j + 4 <= n; j += 4) {
    let [s0, s1, s2, s3] = [target[j] ?? 0, target[j + 1] ?? 0, target[j + 2] ?? 0, target[j + 3] ?? 0]
    const [m0, m1, m2, m3] = [j * k, (j + 1) * k, (j + 2) * k, (j + 3) * k]
    for (let i = 0; i < k; i++) {
      const x = row[i] ?? 0
      s0 += x * (values[m0 + i] ?? 0)
      s1 += x * (values[m1 + i] ?? 0)
      s2 += x * (values[m2 + i] ?? 0)
      s3 += x * (values[m3 + i] ?? 0)
    }
    target[j] = s0
    target[j + 1] = s1
    target[j + 2] = s2
    target[j + 3] = s3
  }
  for (; j < n; j++) {
    let sum = target[j] ?? 0
    for (let i = 0; i < k; i++) sum += (row[i] ?? 0) * (values[j * k + i] ?? 0)
    target[j] = sum
  }
}

/** target += matrix · row, with errors: γ|x||w| + |x|·ew + ex·(|w| + ew). */
const multiplyRow = (row: Tracked, start: number, f: Factor, target: Tracked, a: Arithmetic): void => {
  const { k, matrix, n } = f
  const { errors: off, values } = part(row, start, k)
  addProduct(values, f, target.values)
  if (!a.tracks) return
  const size = magnitudes(values)
  // Two more roundings than terms: the sums with the bias and with the other product.
  const g = Rounding.gamma(k + 3, a.unit)
  const exact = matrix.errors.length === 0
  for (let j = 0; j < n; j++) {
    let [products, carried] = [0, 0]
    for (let i = 0, at = j * k; i < k; i++, at++) {
      const [x, w] = [size[i] ?? 0, Math.abs(matrix.values[at] ?? 0)]
      const error = exact ? 0 : (matrix.errors[at] ?? 0)
      products += x * w
      carried += x * error + (off[i] ?? 0) * (w + error)
    }
    target.errors[j] = (target.errors[j] ?? 0) + g * products + carried
  }
}

/** A number and its error. */
type Pair = readonly [value: number, error: number]

const apply = (f: ActivationFunction, [z, error]: Pair, { unit }: Arithmetic): Pair => {
  const value = f.value(z)
  const carried = error === 0 ? 0 : Math.min(f.range, f.slope(z, error) * error)
  return [value, carried + 2 * unit * Math.abs(value)]
}

const multiply = ([a, ea]: Pair, [b, eb]: Pair, { unit }: Arithmetic): Pair => [
  a * b,
  Math.abs(a) * eb + Math.abs(b) * ea + ea * eb + unit * Math.abs(a * b)
]
const plus = ([a, ea]: Pair, [b, eb]: Pair, { unit }: Arithmetic): Pair => [a + b, ea + eb + unit * Math.abs(a + b)]
const complement = ([a, ea]: Pair, { unit }: Arithmetic): Pair => [1 - a, ea + unit * Math.abs(1 - a)]
const at = ({ errors, values }: Tracked, i: number): Pair => [values[i] ?? 0, errors[i] ?? 0]
const put = (target: Tracked, i: number, [value, error]: Pair): void => {
  target.values[i] = value
  if (target.errors.length > 0) target.errors[i] = error
}
const clipped = ([z, error]: Pair, clip: number | null): Pair =>
  clip === null ? [z, error] : [Math.min(clip, Math.max(-clip, z)), error]

/** State of one sequence: h and, for an LSTM, c. */
interface State {
  readonly h: Tracked
  readonly c: Tracked
}

/** One step of one sequence: from the gates' inputs by x (with both biases where they add) to the next state, in place. */
type Step = (fromX: Tracked, state: State) => void

type MakeStep<A> = (
  attributes: A,
  weights: Weights,
  functions: ReadonlyArray<ActivationFunction>,
  a: Arithmetic
) => Step

const functionAt = (functions: ReadonlyArray<ActivationFunction>, i: number): ActivationFunction =>
  functions[i] ?? activation({ name: "tanh", alpha: 0, beta: 0 })

const addTo = (target: Tracked, extra: Tracked): void => {
  for (let i = 0; i < extra.values.length; i++) target.values[i] = (target.values[i] ?? 0) + (extra.values[i] ?? 0)
  for (let i = 0; i < extra.errors.length; i++) target.errors[i] = (target.errors[i] ?? 0) + (extra.errors[i] ?? 0)
}

/** target += row, which rounds as often as the sums of a product do beside its terms. */
const addRow = (row: Tracked, target: Tracked, { tracks, unit }: Arithmetic): void => {
  addTo(target, row)
  if (!tracks) return
  for (let i = 0; i < target.errors.length; i++)
    target.errors[i] = (target.errors[i] ?? 0) + Rounding.gamma(3, unit) * Math.abs(target.values[i] ?? 0)
}

const copyOf = ({ errors, values }: Tracked): Tracked => ({ values: values.slice(), errors: errors.slice() })

const lstmStep: MakeStep<Attributes & { readonly inputForget: boolean }> = (attributes, weights, functions, a) => {
  const { clip, hidden, inputForget } = attributes
  const recurrent = { matrix: weights.r, k: hidden, n: 4 * hidden }
  const [f, g, h] = [functionAt(functions, 0), functionAt(functions, 1), functionAt(functions, 2)]
  const { peepholes } = weights
  const withPeephole = (z: Pair, which: number, j: number, c: Pair): Pair =>
    peepholes === undefined ? z : plus(z, multiply(at(peepholes, which * hidden + j), c, a), a)
  return (fromX, state) => {
    const gates = copyOf(fromX)
    addTo(gates, weights.biasR)
    multiplyRow(state.h, 0, recurrent, gates, a)
    for (let j = 0; j < hidden; j++) {
      const before = at(state.c, j)
      const input = apply(f, clipped(withPeephole(at(gates, j), 0, j, before), clip), a)
      const forget = inputForget
        ? complement(input, a)
        : apply(f, clipped(withPeephole(at(gates, 2 * hidden + j), 2, j, before), clip), a)
      const candidate = apply(g, clipped(at(gates, 3 * hidden + j), clip), a)
      const cell = plus(multiply(forget, before, a), multiply(input, candidate, a), a)
      const output = apply(f, clipped(withPeephole(at(gates, hidden + j), 1, j, cell), clip), a)
      put(state.c, j, cell)
      put(state.h, j, multiply(output, apply(h, cell, a), a))
    }
  }
}

const gruStep: MakeStep<Attributes & { readonly linearBeforeReset: boolean }> = (attributes, weights, functions, a) => {
  const { clip, hidden, linearBeforeReset } = attributes
  const split = (from: number, gates: number): Factor => ({
    matrix: part(weights.r, from * hidden * hidden, gates * hidden * hidden),
    k: hidden,
    n: gates * hidden
  })
  const [updateAndReset, candidate] = [split(0, 2), split(2, 1)]
  const [f, g] = [functionAt(functions, 0), functionAt(functions, 1)]
  return (fromX, { h }) => {
    const gates = copyOf(part(fromX, 0, 2 * hidden))
    addTo(gates, part(weights.biasR, 0, 2 * hidden))
    multiplyRow(h, 0, updateAndReset, gates, a)
    const reset = none(hidden, a.tracks)
    for (let j = 0; j < hidden; j++) put(reset, j, apply(f, clipped(at(gates, hidden + j), clip), a))
    const inner = copyOf(part(weights.biasR, 2 * hidden, hidden))
    if (linearBeforeReset) {
      multiplyRow(h, 0, candidate, inner, a)
      for (let j = 0; j < hidden; j++) put(inner, j, multiply(at(reset, j), at(inner, j), a))
    } else {
      for (let j = 0; j < hidden; j++) put(reset, j, multiply(at(reset, j), at(h, j), a))
      multiplyRow(reset, 0, candidate, inner, a)
    }
    for (let j = 0; j < hidden; j++) {
      const update = apply(f, clipped(at(gates, j), clip), a)
      const fresh = apply(g, clipped(plus(at(inner, j), at(fromX, 2 * hidden + j), a), clip), a)
      put(h, j, plus(multiply(complement(update, a), fresh, a), multiply(update, at(h, j), a), a))
    }
  }
}

const rnnStep: MakeStep<Attributes> = ({ clip, hidden }, weights, functions, a) => {
  const recurrent = { matrix: weights.r, k: hidden, n: hidden }
  const f = functionAt(functions, 0)
  return (fromX, { h }) => {
    const gates = copyOf(fromX)
    addTo(gates, weights.biasR)
    multiplyRow(h, 0, recurrent, gates, a)
    for (let j = 0; j < hidden; j++) put(h, j, apply(f, clipped(at(gates, j), clip), a))
  }
}

// ---- whole layers -----------------------------------------------------------------------------------------------------

interface Layer<A> {
  readonly gates: number
  readonly hasCell: boolean
  readonly step: MakeStep<A>
}

type Cells = Work<ReadonlyArray<Cell>>

/** Steps of each sequence; all of them where no lengths are given. */
const lengthsOf = (lengths: Tensor | undefined, batch: number, length: number): ReadonlyArray<number> =>
  Array.from({ length: batch }, (_, b) => Math.min(length, Math.max(0, Number(lengths?.data[b] ?? length))))

function* run<A extends Attributes>(
  call: KernelCall<unknown>,
  attributes: A,
  cells: ReadonlyArray<Cell | undefined>,
  layer: Layer<A>,
  a: Arithmetic
): Cells {
  const { direction, hidden } = attributes
  const { gates, hasCell } = layer
  const given = (position: number): Tracked | undefined => {
    const cell = cells[position]
    return cell === undefined ? undefined : tracked(cell, a.tracks)
  }
  const need = <T>(operand: T | undefined, position: number): T =>
    operand ?? call.fail(`operand ${position} is missing`)
  const weightsOf = (position: number): Tracked | undefined => {
    const cell = cells[position]
    if (cell === undefined) return undefined
    return { values: Elements.numbers(cell.tensor), errors: a.tracks && cell.bound !== undefined ? cell.bound : exact }
  }
  const [x, w, r] = [need(given(0), 0), weightsOf(1), need(weightsOf(2), 2)]
  const [length = 0, batch = 0, features = 0] = call.input(0).shape
  const directions = direction === "bidirectional" ? 2 : 1
  const shapes: Shapes = { length, batch, features, hidden, gates, directions }
  const [bias, h0, c0, peepholes] = [given(3), given(5), given(6), given(7)]
  const width = gates * hidden
  const perDirection = attributes.activations.length / directions
  const y = none(length * directions * batch * hidden, a.tracks)
  const lastH = none(directions * batch * hidden, a.tracks)
  const lastC = none(hasCell ? directions * batch * hidden : 0, a.tracks)
  for (let d = 0; d < directions; d++) {
    const biasAt = (half: number): Tracked =>
      bias === undefined ? none(width, a.tracks) : part(bias, (2 * d + half) * width, width)
    const weights: Weights = {
      w: w === undefined ? undefined : part(w, d * width * features, width * features),
      r: part(r, d * width * hidden, width * hidden),
      biasW: biasAt(0),
      biasR: biasAt(1),
      peepholes: peepholes === undefined ? undefined : part(peepholes, d * 3 * hidden, 3 * hidden)
    }
    const functions = attributes.activations.slice(d * perDirection, (d + 1) * perDirection).map(activation)
    const step = layer.step(attributes, weights, functions, a)
    const input = weights.w === undefined ? undefined : { matrix: weights.w, k: features, n: width }
    const backward = direction === "reverse" || d === 1
    for (const [b, steps] of lengthsOf(cells[4]?.tensor, batch, length).entries()) {
      const slot = (d * batch + b) * hidden
      const start = (from: Tracked | undefined): Tracked =>
        from === undefined ? none(hidden, a.tracks) : copyOf(part(from, slot, hidden))
      const state: State = { h: start(h0), c: start(c0) }
      for (let s = 0; s < steps; s++) {
        const t = backward ? steps - 1 - s : s
        const fromX = copyOf(weights.biasW)
        const row = part(x, (t * batch + b) * features, features)
        if (input === undefined) addRow(part(row, d * width, width), fromX, a)
        else multiplyRow(row, 0, input, fromX, a)
        step(fromX, state)
        write(y, ((t * directions + d) * batch + b) * hidden, state.h)
        if (s % 16 === 15) yield
      }
      write(lastH, slot, state.h)
      if (hasCell) write(lastC, slot, state.c)
    }
  }
  const { dtype } = call.input(0)
  const states = [shapes.directions, shapes.batch, shapes.hidden]
  const results = [result(y, dtype, [length, directions, batch, hidden], a), result(lastH, dtype, states, a)]
  return hasCell ? [...results, result(lastC, dtype, states, a)] : results
}

const write = (target: Tracked, start: number, from: Tracked): void => {
  target.values.set(from.values, start)
  target.errors.set(from.errors, from.errors.length === 0 ? 0 : start)
}

const result = ({ errors, values }: Tracked, dtype: DType, shape: ReadonlyArray<number>, a: Arithmetic): Cell => {
  const tensor = Elements.fromNumbers(dtype, shape, values)
  return { tensor, bound: a.tracks ? Rounding.addHalfUlp(errors, Elements.numbers(tensor), dtype) : undefined }
}

const tensorsOf = function* (work: Cells): Work<ReadonlyArray<Tensor>> {
  const cells = yield* work
  return cells.map(({ tensor }) => tensor)
}

const exactCells = (call: KernelCall<unknown>): ReadonlyArray<Cell | undefined> =>
  call.inputs.map((tensor) => (tensor === undefined ? undefined : { tensor, bound: undefined }))
const boundedCells = (call: BoundedCall<unknown>): ReadonlyArray<Cell | undefined> =>
  call.inputs.map((tensor, i) => (tensor === undefined ? undefined : { tensor, bound: call.bounds[i] }))

const plain: Arithmetic = { tracks: false, unit: 0 }
const tracking = (call: BoundedCall<unknown>): Arithmetic => ({
  tracks: true,
  unit: call.unitRoundoff(call.input(0).dtype)
})

const lstm: Layer<Attributes & { readonly inputForget: boolean }> = { gates: 4, hasCell: true, step: lstmStep }
const gru: Layer<Attributes & { readonly linearBeforeReset: boolean }> = { gates: 3, hasCell: false, step: gruStep }
const rnn: Layer<Attributes> = { gates: 1, hasCell: false, step: rnnStep }

export const all: ReadonlyArray<Entry> = [
  Kernel.define(
    Ops.lstm,
    (call) => tensorsOf(run(call, call.attributes, exactCells(call), lstm, plain)),
    (call) => run(call, call.attributes, boundedCells(call), lstm, tracking(call))
  ),
  Kernel.define(
    Ops.gru,
    (call) => tensorsOf(run(call, call.attributes, exactCells(call), gru, plain)),
    (call) => run(call, call.attributes, boundedCells(call), gru, tracking(call))
  ),
  Kernel.define(
    Ops.rnn,
    (call) => tensorsOf(run(call, call.attributes, exactCells(call), rnn, plain)),
    (call) => run(call, call.attributes, boundedCells(call), rnn, tracking(call))
  )
]
