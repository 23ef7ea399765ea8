import * as Dim from "@anneal/ir/Dim"
import { assert, describe, it } from "@effect/vitest"

const a = Dim.symbol("a")
const b = Dim.symbol("b")
const w = Dim.symbol("w")
const x = Dim.symbol("x")
const y = Dim.symbol("y")

const simplifies = (expected: string, dim: Dim.Dim) => assert.strictEqual(Dim.format(dim), expected)

describe("canonical form", () => {
  it("collects terms and folds constants", () => {
    simplifies("2*a*b+1", Dim.sum([Dim.mul(a, b), Dim.mul(b, a), 1]))
    simplifies("a^2+2*a*b+b^2", Dim.mul(Dim.add(a, b), Dim.add(b, a)))
    simplifies("0", Dim.sub(Dim.mul(a, b), Dim.mul(b, a)))
    simplifies("-a+1", Dim.sub(1, a))
    simplifies("24", Dim.product([2, 3, 4]))
    simplifies("1", Dim.product([]))
    assert.isTrue(Dim.isStatic(Dim.sub(Dim.add(a, 3), a)))
    assert.isFalse(Object.is(Dim.mul(-1, 0), -0))
  })

  it("refuses integers that float64 does not hold", () => {
    assert.throws(() => Dim.mul(2 ** 40, Dim.mul(a, 2 ** 40)), RangeError)
    assert.throws(() => Dim.add(a, 0.5), RangeError)
    assert.throws(() => Dim.add(2 ** 53 - 1, 1), RangeError)
  })

  it("names symbols", () => {
    simplifies('"batch size"', Dim.symbol("batch size"))
    simplifies("u0", Dim.unbacked("u0"))
    assert.isTrue(Dim.isUnbackedName("u12"))
    assert.isFalse(Dim.isUnbackedName("unit"))
    assert.throws(() => Dim.unbacked("n"), /u0, u1/)
    assert.throws(() => Dim.symbol(""), RangeError)
    assert.isTrue(Dim.isSymbolic(a))
    assert.isFalse(Dim.isSymbolic("a"))
  })

  it("orders totally", () => {
    const sorted = [b, 3, Dim.add(a, 1), a, -1].sort(Dim.compare).map(Dim.format)
    assert.deepStrictEqual(sorted, ["-1", "3", "a", "a+1", "b"])
  })
})

describe("division", () => {
  it("divides exactly", () => {
    simplifies("2*b", Dim.floorDiv(Dim.mul(4, b), 2))
    simplifies("a+1", Dim.floorDiv(Dim.add(Dim.mul(a, b), b), b))
    simplifies("a", Dim.floorDiv(Dim.mul(a, Dim.add(b, 1)), Dim.add(b, 1)))
    simplifies("12*a", Dim.floorDiv(Dim.product([a, b, 12]), b))
    simplifies("a", Dim.floorDiv(a, 1))
    simplifies("-a", Dim.floorDiv(a, -1))
    simplifies("-3", Dim.floorDiv(5, -2))
    simplifies("3", Dim.ceilDiv(5, 2))
    simplifies("0", Dim.floorDiv(0, b))
  })

  it("brings convolution sizes to one form", () => {
    simplifies("floor((w+1)/2)", Dim.add(Dim.floorDiv(Dim.sub(w, 1), 2), 1))
    simplifies("floor((w+1)/2)", Dim.ceilDiv(w, 2))
    simplifies("floor((w+1)/2)-1", Dim.add(Dim.floorDiv(Dim.sub(w, 3), 2), 1))
    simplifies("floor(w/2)+w", Dim.floorDiv(Dim.mul(3, w), 2))
    simplifies("floor(w/2)", Dim.floorDiv(Dim.add(Dim.mul(2, w), 1), 4))
  })

  it("nests", () => {
    simplifies("floor(x/4)", Dim.floorDiv(Dim.floorDiv(x, 2), 2))
    simplifies("floor((x+2)/4)", Dim.floorDiv(Dim.add(Dim.floorDiv(x, 2), 1), 2))
    simplifies("floor(x/(2*y))", Dim.floorDiv(Dim.floorDiv(x, y), 2))
  })

  it("cancels common factors", () => {
    simplifies("floor(x/y)", Dim.floorDiv(Dim.mul(a, x), Dim.mul(a, y)))
    simplifies("floor(y/2)+y", Dim.floorDiv(Dim.product([6, x, y]), Dim.mul(4, x)))
    simplifies("a*mod(x,y)", Dim.mod(Dim.mul(a, x), Dim.mul(a, y)))
  })

  it("takes remainders", () => {
    simplifies("0", Dim.mod(Dim.mul(4, b), 2))
    simplifies("2*mod(b,2)", Dim.mod(Dim.mul(2, b), 4))
    simplifies("mod(b+1,3)", Dim.mod(Dim.add(Dim.mul(4, b), 7), 3))
    simplifies("mod(x,2)", Dim.mod(Dim.mod(x, 4), 2))
    simplifies("mod(x,4)", Dim.mod(Dim.mod(x, 4), 8))
    simplifies("0", Dim.floorDiv(Dim.mod(x, 4), 4))
    simplifies("1", Dim.mod(-5, 3))
    simplifies("0", Dim.mod(Dim.mul(a, b), b))
  })

  it("refuses a divisor of 0", () => {
    assert.throws(() => Dim.floorDiv(a, 0), /division of a by 0/)
    assert.throws(() => Dim.mod(3, 0), RangeError)
    assert.throws(() => Dim.substitute(Dim.floorDiv(a, b), new Map([["b", 0]])), RangeError)
  })
})

describe("minimum and maximum", () => {
  it("uses what is known about signs", () => {
    simplifies("a", Dim.min(a, a))
    simplifies("a", Dim.max(a, 0))
    simplifies("0", Dim.min(a, 0))
    simplifies("a+1", Dim.max(a, Dim.add(a, 1)))
    simplifies("floor(x/2)", Dim.min(x, Dim.floorDiv(x, 2)))
    simplifies("x", Dim.min(x, Dim.max(x, y)))
    simplifies("min(5,x,y)", Dim.min(Dim.min(y, 5), Dim.min(x, 7)))
    simplifies("2", Dim.min(2, 3))
  })
})

describe("questions", () => {
  const ranges: Dim.Ranges = new Map([
    ["a", { min: 1, max: 8 }],
    ["b", { min: 2, max: 2 }]
  ])

  it("answers yes, no or unknown", () => {
    assert.isTrue(Dim.equal(Dim.add(a, b), Dim.add(b, a)))
    assert.isFalse(Dim.equal(a, Dim.add(a, 1)))
    assert.isFalse(Dim.equal(Dim.mul(2, a), Dim.add(Dim.mul(2, b), 1)))
    assert.isUndefined(Dim.equal(a, b))
    assert.isUndefined(Dim.equal(a, 1))
    assert.isTrue(Dim.equal(b, 2, ranges))
    assert.isFalse(Dim.equal(a, 9, ranges))
    assert.isFalse(Dim.equal(a, 0, ranges))
    assert.isTrue(Dim.equal(Dim.mod(x, 4), Dim.sub(x, Dim.mul(4, Dim.floorDiv(x, 4)))))
  })

  it("compares", () => {
    assert.isTrue(Dim.lessOrEqual(a, Dim.add(a, b)))
    assert.isFalse(Dim.lessOrEqual(Dim.add(a, 1), a))
    assert.isUndefined(Dim.lessOrEqual(a, b))
    assert.isTrue(Dim.lessOrEqual(Dim.floorDiv(x, 3), x))
    assert.isTrue(Dim.lessOrEqual(Dim.mod(x, y), x))
    assert.isTrue(Dim.lessOrEqual(x, Dim.mul(x, a), ranges))
    assert.isTrue(Dim.isNonNegative(a))
    assert.isUndefined(Dim.isPositive(a))
    assert.isTrue(Dim.isPositive(a, ranges))
    assert.isFalse(Dim.isPositive(Dim.sub(a, 8), ranges))
  })

  it("bounds", () => {
    assert.deepStrictEqual(Dim.bounds(Dim.add(Dim.mul(2, a), 1), ranges), { min: 3, max: 17 })
    assert.deepStrictEqual(Dim.bounds(Dim.sub(x, a), ranges), { min: -8, max: Infinity })
    assert.deepStrictEqual(Dim.bounds(Dim.mod(x, 7)), { min: 0, max: 6 })
  })

  it("lists symbols, substitutes and evaluates", () => {
    const dim = Dim.add(Dim.floorDiv(w, 2), Dim.mul(b, a))
    assert.deepStrictEqual(Dim.symbols(dim), ["a", "b", "w"])
    simplifies("a*b+x", Dim.substitute(dim, new Map([["w", Dim.mul(2, x)]])))
    simplifies(
      "floor(w/2)+6",
      Dim.substitute(
        dim,
        new Map<string, Dim.Dim>([
          ["a", 2],
          ["b", 3]
        ])
      )
    )
    assert.strictEqual(
      Dim.evaluate(
        dim,
        new Map([
          ["a", 2],
          ["b", 3],
          ["w", 5]
        ])
      ),
      8
    )
    assert.isUndefined(Dim.evaluate(dim, new Map([["a", 2]])))
    assert.isUndefined(
      Dim.evaluate(
        Dim.floorDiv(a, b),
        new Map([
          ["a", 2],
          ["b", 0]
        ])
      )
    )
  })

  it("solves for one symbol", () => {
    assert.deepStrictEqual(Dim.solve(Dim.mul(2, a), 6, new Map()), { name: "a", value: 3 })
    assert.deepStrictEqual(Dim.solve(Dim.parse("a*b+b+1"), 13, new Map([["b", 3]])), { name: "a", value: 3 })
    assert.isUndefined(Dim.solve(Dim.mul(2, a), 7, new Map()))
    assert.isUndefined(Dim.solve(Dim.add(a, 5), 3, new Map()))
    assert.isUndefined(Dim.solve(Dim.mul(a, b), 6, new Map()))
    assert.isUndefined(Dim.solve(Dim.mul(a, a), 9, new Map()))
    assert.isUndefined(Dim.solve(Dim.mul(a, b), 0, new Map([["b", 0]])))
    assert.isUndefined(Dim.solve(Dim.floorDiv(a, 2), 3, new Map()))
  })
})

describe("text", () => {
  it("reads what a person writes", () => {
    simplifies("2*a*b+2*a+1", Dim.parse(" 2 * a*( b + 1) +1 "))
    simplifies("floor((w+1)/2)", Dim.parse("ceil(w/2)"))
    simplifies('"a b"+x.1', Dim.parse('x.1 + "a b"'))
    simplifies("min(3,a)", Dim.parse("min(a, 3, a+1)"))
    simplifies("a^2", Dim.parse("a*a"))
    simplifies("min", Dim.parse("min"))
    simplifies("-4", Dim.parse("-4"))
  })

  it.each([
    ["", /expected a number, a name or "\(" at position 0, found the end/],
    ["a+*b", /position 2, found "\*"/],
    ["a b", /an operator or the end at position 2/],
    ["floor(a+1/2)", /parentheses around the sum/],
    ["mod(a,0)", /a divisor that is not 0 at position 6/],
    ["sin(a)", /floor, ceil, mod, min or max/],
    ["(a", /"\)" at position 2, found the end/],
    ["a^0", /power from 1/],
    ["a?", /position 1, found "\?"/],
    ['"a', /position 0/],
    ['""', /not empty/],
    ["9007199254740993", /2\^53 - 1/],
    ["(".repeat(5000), /nested/]
  ])("refuses %j", (text, message) => {
    assert.throws(() => Dim.parse(text), message)
    assert.throws(() => Dim.parse(text), RangeError)
  })
})

// A dim, and its value by plain arithmetic on the same tree.
interface Case {
  readonly dim: Dim.Dim
  readonly value: (values: ReadonlyMap<string, number>) => number
}

const names = ["a", "b", "n-1", "u0"]

// Numbers in [0, 1) from a 32-bit linear congruential generator.
const generator = (seed: number) => {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

const floored = (p: number, q: number) => (q === 0 ? Number.NaN : Math.floor(p / q))

const operations: ReadonlyArray<readonly [(p: Dim.Dim, q: Dim.Dim) => Dim.Dim, (p: number, q: number) => number]> = [
  [Dim.add, (p, q) => p + q],
  [Dim.sub, (p, q) => p - q],
  [Dim.mul, (p, q) => p * q],
  [Dim.floorDiv, floored],
  [Dim.ceilDiv, (p, q) => (q === 0 ? Number.NaN : Math.ceil(p / q))],
  [Dim.mod, (p, q) => p - q * floored(p, q)],
  [Dim.min, Math.min],
  [Dim.max, Math.max]
]

const randomCase = (random: () => number, depth: number): Case => {
  const pick = random()
  if (depth === 0 || pick < 0.15) {
    if (random() < 0.4) {
      const constant = Math.floor(random() * 13) - 4
      return { dim: constant, value: () => constant }
    }
    const name = names[Math.floor(random() * names.length)] ?? "a"
    return { dim: Dim.symbol(name), value: (values) => values.get(name) ?? Number.NaN }
  }
  const [onDims, onNumbers] = operations[Math.floor(random() * operations.length)] ?? [Dim.add, (p, q) => p + q]
  const left = randomCase(random, depth - 1)
  const right = randomCase(random, depth - 1)
  if (right.dim === 0) return left
  return {
    dim: onDims(left.dim, right.dim),
    value: (values) => onNumbers(left.value(values), right.value(values))
  }
}

const assignments = (random: () => number): ReadonlyArray<ReadonlyMap<string, number>> =>
  Array.from({ length: 12 }, () => new Map(names.map((name) => [name, Math.floor(random() * 10)])))

describe("laws on random dims", () => {
  const random = generator(20260)
  const cases = Array.from({ length: 3000 }, (_, index) => randomCase(random, 1 + (index % 4)))

  it("keeps the value of each expression", () => {
    let checked = 0
    for (const { dim, value } of cases) {
      for (const values of assignments(random)) {
        const expected = value(values)
        if (Number.isNaN(expected)) continue
        checked++
        assert.strictEqual(Dim.evaluate(dim, values), expected + 0, `${Dim.format(dim)} at ${[...values].join(" ")}`)
      }
    }
    assert.isAbove(checked, 20_000)
  })

  it("reads back what it writes, and is canonical again", () => {
    for (const { dim } of cases) {
      assert.strictEqual(Dim.format(Dim.parse(Dim.format(dim))), Dim.format(dim))
      const same = new Map(names.map((name) => [name, Dim.symbol(name)]))
      assert.strictEqual(Dim.format(Dim.substitute(dim, same)), Dim.format(dim))
    }
  })

  it("reads canonical text as it stands, and other text with the right values", () => {
    for (const { dim } of cases) {
      // A blank, so that what was written before is not remembered.
      const read = Dim.parseCanonical(` ${Dim.format(dim)}`)
      assert.strictEqual(Dim.format(read), Dim.format(dim))
      for (const values of assignments(random))
        assert.strictEqual(Dim.evaluate(read, values), Dim.evaluate(dim, values))
    }
    const other = Dim.parseCanonical("floor(4*a/2) + max(a, a+1) + mod(7, 4)")
    assert.strictEqual(Dim.evaluate(other, new Map([["a", 5]])), 10 + 6 + 3)
    assert.throws(() => Dim.parseCanonical("floor(a/0)"), /divisor/)
  })

  it("bounds contain the value", () => {
    const ranges: Dim.Ranges = new Map(names.map((name, index) => [name, { min: index, max: 9 }]))
    for (const { dim } of cases) {
      for (const interval of [Dim.bounds(dim), Dim.bounds(dim, ranges)]) {
        for (const values of assignments(random)) {
          const clamped = new Map([...values].map(([name, each]) => [name, Math.max(each, ranges.get(name)?.min ?? 0)]))
          const found = Dim.evaluate(dim, clamped)
          if (found === undefined) continue
          assert.isTrue(interval.min <= found && found <= interval.max, `${found} in ${Dim.format(dim)}`)
        }
      }
    }
  })

  it("answers about equality and order soundly", () => {
    const ranges: Dim.Ranges = new Map([["a", { min: 1, max: 9 }]])
    const answers = { yes: 0, no: 0 }
    for (const [index, { dim: left }] of cases.entries()) {
      const right = cases[(index * 7 + 1) % cases.length]?.dim ?? 0
      const other = index % 3 === 0 ? Dim.add(left, Dim.mod(right, 3)) : right
      const isEqual = Dim.equal(left, other, ranges)
      const isLess = Dim.lessOrEqual(left, other, ranges)
      if (isEqual === true || isLess === true) answers.yes++
      if (isEqual === false || isLess === false) answers.no++
      for (const values of assignments(random)) {
        if (values.get("a") === 0) continue
        const [p, q] = [Dim.evaluate(left, values), Dim.evaluate(other, values)]
        if (p === undefined || q === undefined) continue
        const where = `${Dim.format(left)} and ${Dim.format(other)} at ${[...values].join(" ")}`
        if (isEqual !== undefined) assert.strictEqual(p === q, isEqual, where)
        if (isLess !== undefined) assert.strictEqual(p <= q, isLess, where)
      }
    }
    assert.isAbove(answers.yes, 500)
    assert.isAbove(answers.no, 500)
  })

  it("obeys the ring's laws as polynomials", () => {
    for (let index = 0; index + 2 < 1500; index += 3) {
      const [p, q, r] = [cases[index]?.dim ?? 0, cases[index + 1]?.dim ?? 0, cases[index + 2]?.dim ?? 0]
      simplifies(Dim.format(Dim.add(p, q)), Dim.add(q, p))
      simplifies(Dim.format(Dim.mul(p, q)), Dim.mul(q, p))
      simplifies(Dim.format(Dim.mul(p, Dim.add(q, r))), Dim.add(Dim.mul(p, q), Dim.mul(p, r)))
      simplifies("0", Dim.sub(Dim.add(p, q), Dim.add(q, p)))
      simplifies(Dim.format(Dim.min(p, q)), Dim.min(q, p))
    }
  })
})

it("gives up a proof that is a wide tree: sizes of crops and pads whose sign is open", () => {
  const side = (name: string, extent: number) => {
    const over = Dim.sub(Dim.symbol(name), extent)
    const half = (dim: Dim.Dim) => Dim.floorDiv(Dim.max(0, dim), 2)
    const [begin, end] = [Dim.sub(half(over), half(Dim.neg(over))), Dim.sub(half(Dim.neg(over)), half(over))]
    return [begin, end, Dim.sub(begin, over), Dim.add(end, over)]
      .map((dim, place) => Dim.mul(place % 3 === 0 ? 1 : -1, Dim.max(0, dim)))
      .reduce<Dim.Dim>(Dim.add, extent)
  }
  const begin = performance.now()
  const elements = Dim.mul(3, Dim.mul(side("u0", 20), side("u1", 8)))
  assert.isUndefined(Dim.equal(elements, 480))
  assert.isBelow(performance.now() - begin, 2000)
})
