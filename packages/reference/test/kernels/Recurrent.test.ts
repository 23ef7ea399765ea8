import { assert, describe, it } from "@effect/vitest"
import * as Ops from "@anneal/ir/Ops"
import { draws, runAll, tensor, values } from "../OneNode.ts"

const [length, batch, features, hidden] = [3, 2, 2, 2]
const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z))
const named = (name: "sigmoid" | "tanh" | "relu") => ({ name, alpha: 0, beta: 0 })
const f64 = (shape: ReadonlyArray<number>, seed: number) =>
  tensor(
    "f64",
    shape,
    draws(
      shape.reduce((a, b) => a * b, 1),
      seed
    )
  )

const x = f64([length, batch, features], 1)
const at = (list: ReadonlyArray<number>, i: number): number => list[i] ?? NaN

/** One gate of one unit, from the definition. */
const gate = (
  xs: ReadonlyArray<number>,
  hs: ReadonlyArray<number>,
  w: ReadonlyArray<number>,
  r: ReadonlyArray<number>,
  row: number
): number => {
  let total = 0
  for (let k = 0; k < features; k++) total += at(xs, k) * at(w, row * features + k)
  for (let k = 0; k < hidden; k++) total += at(hs, k) * at(r, row * hidden + k)
  return total
}

const closeTo = (found: ReadonlyArray<number>, expected: ReadonlyArray<number>): void => {
  assert.strictEqual(found.length, expected.length)
  for (const [i, value] of found.entries()) assert.closeTo(value, at(expected, i), 1e-12, `element ${i}`)
}

describe("lstm", () => {
  const w = f64([1, 4 * hidden, features], 2)
  const r = f64([1, 4 * hidden, hidden], 3)
  const bias = f64([1, 8 * hidden], 4)
  const peepholes = f64([1, 3 * hidden], 5)
  const attributes = {
    hidden,
    direction: "reverse" as const,
    activations: [named("sigmoid"), named("tanh"), named("tanh")],
    clip: null,
    inputForget: false
  }

  it("equals its equations, backwards, with biases, peepholes and lengths", () => {
    const lengths = tensor("i32", [batch], [3, 2])
    const results = runAll(Ops.lstm, [x, w, r, bias, lengths, undefined, undefined, peepholes], attributes)
    const [ws, rs, bs, ps, xs] = [w, r, bias, peepholes, x].map(values)
    const y = Array.from({ length: length * batch * hidden }, () => 0)
    const [lastH, lastC]: [Array<number>, Array<number>] = [[], []]
    for (const [b, steps] of [3, 2].entries()) {
      let [h, c] = [Array.from({ length: hidden }, () => 0), Array.from({ length: hidden }, () => 0)]
      for (let t = steps - 1; t >= 0; t--) {
        const row = (xs ?? []).slice((t * batch + b) * features, (t * batch + b + 1) * features)
        const before = h
        const z = (g: number, j: number): number => {
          const at4 = g * hidden + j
          return gate(row, before, ws ?? [], rs ?? [], at4) + at(bs ?? [], at4) + at(bs ?? [], 4 * hidden + at4)
        }
        const cells = c.map((old, j) => {
          const input = sigmoid(z(0, j) + at(ps ?? [], j) * old)
          const forget = sigmoid(z(2, j) + at(ps ?? [], 2 * hidden + j) * old)
          return forget * old + input * Math.tanh(z(3, j))
        })
        h = cells.map((cell, j) => sigmoid(z(1, j) + at(ps ?? [], hidden + j) * cell) * Math.tanh(cell))
        c = cells
        for (const [j, value] of h.entries()) y[(t * batch + b) * hidden + j] = value
      }
      lastH.push(...h)
      lastC.push(...c)
    }
    assert.deepStrictEqual(
      results.map(({ shape }) => shape),
      [
        [length, 1, batch, hidden],
        [1, batch, hidden],
        [1, batch, hidden]
      ]
    )
    for (const [i, expected] of [y, lastH, lastC].entries()) closeTo(values(results[i]), expected)
  })

  it("couples the gates and clips their inputs", () => {
    const narrow = { ...attributes, direction: "forward" as const, clip: 0.1, inputForget: true }
    const initial = f64([1, batch, hidden], 6)
    const one = f64([1, batch, features], 7)
    const [, , cell] = runAll(Ops.lstm, [one, w, r, undefined, undefined, undefined, initial], narrow)
    const [ws, rs, xs, before] = [w, r, one, initial].map(values)
    const clip = (z: number): number => Math.max(-0.1, Math.min(0.1, z))
    const expected = (before ?? []).map((old, i) => {
      const [b, j] = [Math.floor(i / hidden), i % hidden]
      const row = (xs ?? []).slice(b * features, (b + 1) * features)
      const input = sigmoid(clip(gate(row, [0, 0], ws ?? [], rs ?? [], j)))
      return (1 - input) * old + input * Math.tanh(clip(gate(row, [0, 0], ws ?? [], rs ?? [], 3 * hidden + j)))
    })
    closeTo(values(cell), expected)
  })
})

describe("gru and rnn", () => {
  const w = f64([1, 3 * hidden, features], 8)
  const r = f64([1, 3 * hidden, hidden], 9)
  const bias = f64([1, 6 * hidden], 10)

  for (const linearBeforeReset of [false, true])
    it(`gru equals its equations, linearBeforeReset ${linearBeforeReset}`, () => {
      const attributes = {
        hidden,
        direction: "forward" as const,
        activations: [named("sigmoid"), named("tanh")],
        clip: null,
        linearBeforeReset
      }
      const [, last] = runAll(Ops.gru, [x, w, r, bias], attributes)
      const [ws, rs, bs, xs] = [w, r, bias, x].map(values)
      const expected: Array<number> = []
      for (let b = 0; b < batch; b++) {
        let h = Array.from({ length: hidden }, () => 0)
        for (let t = 0; t < length; t++) {
          const row = (xs ?? []).slice((t * batch + b) * features, (t * batch + b + 1) * features)
          const both = (g: number, j: number): number =>
            at(bs ?? [], g * hidden + j) + at(bs ?? [], (3 + g) * hidden + j)
          const before = h
          const z = before.map((_, j) => sigmoid(gate(row, before, ws ?? [], rs ?? [], j) + both(0, j)))
          const reset = before.map((_, j) => sigmoid(gate(row, before, ws ?? [], rs ?? [], hidden + j) + both(1, j)))
          const fresh = before.map((_, j) => {
            const unit = 2 * hidden + j
            const [own, other] = [at(bs ?? [], unit), at(bs ?? [], 5 * hidden + j)]
            if (linearBeforeReset)
              return Math.tanh(
                gate(row, [0, 0], ws ?? [], rs ?? [], unit) +
                  own +
                  at(reset, j) * (gate([0, 0], before, ws ?? [], rs ?? [], unit) + other)
              )
            const faded = before.map((value, k) => value * at(reset, k))
            return Math.tanh(gate(row, faded, ws ?? [], rs ?? [], unit) + own + other)
          })
          h = before.map((old, j) => (1 - at(z, j)) * at(fresh, j) + at(z, j) * old)
        }
        expected.push(...h)
      }
      closeTo(values(last), expected)
    })

  it("rnn runs both directions", () => {
    const attributes = {
      hidden,
      direction: "bidirectional" as const,
      activations: [named("tanh"), named("relu")],
      clip: null
    }
    const [both] = [f64([2, hidden, features], 11)]
    const recurrent = f64([2, hidden, hidden], 12)
    const [y, last] = runAll(Ops.rnn, [x, both, recurrent], attributes)
    const [ws, rs, xs] = [both, recurrent, x].map(values)
    const backward = (ws ?? []).slice(hidden * features)
    const backwardR = (rs ?? []).slice(hidden * hidden)
    const expected: Array<number> = []
    for (let b = 0; b < batch; b++) {
      let h = Array.from({ length: hidden }, () => 0)
      for (let t = length - 1; t >= 0; t--) {
        const row = (xs ?? []).slice((t * batch + b) * features, (t * batch + b + 1) * features)
        const before = h
        h = before.map((_, j) => Math.max(0, gate(row, before, backward, backwardR, j)))
      }
      expected.push(...h)
    }
    closeTo(values(last).slice(batch * hidden), expected)
    // The backward direction's last state is its result at the first step.
    closeTo(values(y).slice(batch * hidden, 2 * batch * hidden), expected)
  })
})

describe("what the inputs give to the gates, without w", () => {
  const directions = 2
  type Given = ReadonlyArray<ReturnType<typeof f64> | undefined>
  const shared = { hidden, direction: "bidirectional" as const, clip: null }
  const twice = (...names: ReadonlyArray<"sigmoid" | "tanh">) => [...names, ...names].map(named)
  const layers = [
    {
      name: "lstm",
      gates: 4,
      run: (given: Given) =>
        runAll(Ops.lstm, given, { ...shared, activations: twice("sigmoid", "tanh", "tanh"), inputForget: false })
    },
    {
      name: "gru",
      gates: 3,
      run: (given: Given) =>
        runAll(Ops.gru, given, { ...shared, activations: twice("sigmoid", "tanh"), linearBeforeReset: true })
    },
    { name: "rnn", gates: 1, run: (given: Given) => runAll(Ops.rnn, given, { ...shared, activations: twice("tanh") }) }
  ]
  for (const { gates, name, run } of layers)
    it(`${name} is the layer of the product`, () => {
      const width = gates * hidden
      const w = f64([directions, width, features], 21)
      const [xs, ws] = [values(x), values(w)]
      const product = Array.from({ length: length * batch * directions * width }, (_, i) => {
        const [place, row] = [Math.floor(i / (directions * width)), i % (directions * width)]
        let sum = 0
        for (let k = 0; k < features; k++) sum += at(xs, place * features + k) * at(ws, row * features + k)
        return sum
      })
      const others = [
        f64([directions, width, hidden], 22),
        f64([directions, 2 * width], 23),
        tensor("i32", [batch], [length, 1])
      ]
      const wanted = run([x, w, ...others])
      const found = run([tensor("f64", [length, batch, directions * width], product), undefined, ...others])
      assert.strictEqual(found.length, wanted.length)
      for (const [i, result] of found.entries()) closeTo(values(result), values(wanted[i]))
    })
})
