// Faults that only threads meet, planted in kernels of every family that is divided: units that overlap, that are left out,
// that build on each other. A call for all units gives the right results; each is found before the kernel is timed.
import * as Builder from "@anneal/ir/Builder"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import type { Contraction, Region } from "@anneal/lower/Region"
import * as Scalars from "@anneal/lower/Scalar"
import * as Views from "@anneal/lower/View"
import type { I32 } from "@anneal/wasm/Instruction"
import { f32, i32, select } from "@anneal/wasm/Instruction"
import type { Kernel } from "@anneal/wasm/Kernel"
import type { Func, FunctionBuilder } from "@anneal/wasm/ModuleBuilder"
import { describe, expect, it } from "@effect/vitest"
import * as Cases from "../kernels/ContractionCases.ts"
import { convolution } from "../kernels/ConvolutionCases.ts"
import { requantised } from "../kernels/IntegerReference.ts"
import type { Family, Planted } from "./FaultFamilies.ts"
import { areRight, around, byHand, nameOf, planned, tests } from "./FaultFamilies.ts"
import type { Fault } from "./PlantedFaults.ts"
import { minus, plus } from "./PlantedFaults.ts"
import { at } from "./SpoiledRegion.ts"

const divided = (family: Family): Family => {
  const { kernels } = family.subject
  const kernel = kernels.find(
    ({ name, units }) => name === family.kernel.name && typeof units === "number" && units > 2
  )
  if (kernel === undefined)
    throw new Error(`none of ${kernels.map(({ name, units }) => `${name} (${String(units)})`).join()} is divided`)
  return { ...family, kernel }
}

const products = Cases.contraction({ m: 203, n: 301, k: 97 })
const convolved = convolution({ channels: 13, outChannels: 24, size: [45, 37], kernel: [3, 3], pads: [1, 1] })
const filtered = convolution({ channels: 16, outChannels: 16, size: [46, 47], kernel: [3, 3], pads: [1, 1] })
const byChannel = convolution({
  channels: 37,
  outChannels: 37,
  groups: 37,
  size: [53, 41],
  kernel: [3, 3],
  pads: [1, 1]
})
const domain = [401, 77]
const bytes: Contraction = {
  kind: "contraction",
  id: "y",
  members: [],
  batch: [],
  m: 401,
  n: 77,
  k: 445,
  a: Views.contiguous("a", "u8", [401, 445]),
  b: Views.contiguous("b", "i8", [77, 445]),
  zero: { a: 117, b: 0 },
  accumulate: "i32",
  epilogue: {
    operands: [
      Views.expand(Views.contiguous("scale", "f32", [77]), domain),
      Views.expand(Views.contiguous("bias", "f32", [77]), domain)
    ],
    results: [{ view: Views.contiguous("y", "u8", domain), value: requantised }]
  }
}
const heads: Region = {
  kind: "attention",
  id: "y",
  members: [],
  batch: [6],
  queries: 37,
  keys: 41,
  dim: 32,
  valueDim: 24,
  q: Views.contiguous("q", "f32", [6, 37, 32]),
  k: Views.contiguous("k", "f32", [6, 41, 32]),
  v: Views.contiguous("v", "f32", [6, 41, 24]),
  mask: undefined,
  scale: 0.3,
  causal: false,
  result: Views.contiguous("y", "f32", [6, 37, 24])
}
const pool: Region = {
  kind: "window",
  id: "y",
  members: [],
  combine: "max",
  includePad: false,
  input: Views.contiguous("x", "f32", [1, 37, 61, 53]),
  out: [31, 27],
  kernel: [3, 3],
  strides: [2, 2],
  dilations: [1, 1],
  padsBegin: [1, 1],
  padsEnd: [1, 1],
  epilogue: {
    operands: [],
    results: [{ view: Views.contiguous("y", "f32", [1, 37, 31, 27]), value: Scalars.previous("accumulator", "f32") }]
  }
}
/** y = y + x, where y lies. */
const inPlace: Region = {
  kind: "loop",
  id: "y",
  members: [],
  domain: [211, 301],
  operands: [Views.contiguous("x", "f32", [211, 301]), Views.contiguous("y", "f32", [211, 301])],
  results: [
    {
      view: Views.contiguous("y", "f32", [211, 301]),
      value: Scalars.binary("add", Scalars.load(0, "f32"), Scalars.load(1, "f32"))
    }
  ]
}

const elementwise = () => {
  const b = Builder.make("net")
  const x = b.input("x", Type.make("f32", [211, 301]))
  b.output("y", b.one(Ops.add, [b.one(Ops.mul, [x, x], {}), x], {}))
  return b.finish()
}
const softmax = () => {
  const b = Builder.make("net")
  b.output("y", b.one(Ops.softmax, [b.input("x", Type.make("f32", [211, 143]))], { axis: 1 }))
  return b.finish()
}

const families: Readonly<Record<string, () => Family>> = {
  gemm: () => divided(byHand(products, ["b"], "gemm-packed")),
  conv: () => divided(byHand(convolved, ["w"], nameOf(convolved, "conv-gemm"))),
  winograd: () => divided(byHand(filtered, ["w"], nameOf(filtered, "conv-winograd"))),
  depthwise: () => divided(byHand(byChannel, ["w"], "conv-depthwise")),
  integer: () => divided(byHand(bytes, ["b"], nameOf(bytes, "integer"))),
  attention: () => divided(byHand(heads, [], nameOf(heads, "attention"))),
  window: () => divided(byHand(pool, [], nameOf(pool, "window"))),
  loop: () => divided(planned(elementwise(), "loop")),
  rows: () => divided(planned(softmax(), "rows")),
  "in place": () => divided(byHand(inPlace, [], nameOf(inPlace, "loop")))
}

// ---- faults ---------------------------------------------------------------------------------------------------------

interface Parts {
  readonly f: FunctionBuilder
  readonly args: ReadonlyArray<I32>
  readonly begin: I32
  readonly end: I32
  readonly units: number
  readonly run: (begin: I32, end: I32, args?: ReadonlyArray<I32>) => void
}

/** What a call for some units does, in place of computing them. */
const dividing =
  (body: (parts: Parts) => void): Fault =>
  (kernel: Kernel) => ({
    ...kernel,
    emit: (emission, name): Func => {
      const { units } = kernel
      if (typeof units !== "number") throw new Error("its units are not known")
      const inner = kernel.emit(emission, `${name} inner`)
      return emission.module.func(name, inner.params, [], (f, params) => {
        const all = params.map(({ index }): I32 => f.get({ type: "i32", index }))
        const args = all.slice(0, -2)
        const run: Parts["run"] = (begin, end, given = args) => f.run(inner, [...given, begin, end])
        body({ f, args, begin: at(all, -2), end: at(all, -1), units, run })
      })
    }
  })

const one = i32.const(1)
const isAll = ({ begin, end, units }: Parts): I32 => i32.and(i32.eqz(begin), i32.eq(end, i32.const(units)))

/** Units that come one at a time are computed otherwise. */
const alone = (body: (parts: Parts) => void): Fault =>
  dividing((parts) => {
    const { begin, end, f, run } = parts
    f.if(
      isAll(parts),
      () => run(begin, end),
      () => body(parts)
    )
  })

const firstOperand = (args: ReadonlyArray<I32>, bytes: number): ReadonlyArray<I32> =>
  args.map((arg, place) => (place === 0 ? plus(arg, bytes) : arg))

/** In every family. */
const everywhere: ReadonlyArray<readonly [name: string, fault: Fault, says?: string]> = [
  [
    "a unit leaves something else where the next one's results lie, which that one mends",
    dividing((parts) => {
      const { args, begin, end, f, run, units } = parts
      // In order, unit by unit: each first writes wrong results of its right neighbour.
      f.range(begin, end, 1, (unit) => {
        const next = plus(f.get(unit), 1)
        f.if(i32.lt_s(next, i32.const(units)), () => run(next, plus(next, 1), firstOperand(args, 4)))
        run(f.get(unit), next)
      })
    }),
    "threads would disturb each other"
  ],
  [
    "a unit leaves something else where the last one's results lie",
    dividing((parts) => {
      const { args, begin, end, f, run, units } = parts
      const last = i32.const(units - 1)
      f.if(i32.lt_s(begin, last), () => run(last, i32.const(units), firstOperand(args, 8)))
      run(begin, end)
    }),
    "threads would disturb each other"
  ],
  [
    "the second unit is left out where it comes alone",
    alone(({ begin, end, f, run }) => f.if(i32.ne(begin, one), () => run(begin, end)))
  ],
  [
    "the last unit is left out where it comes alone",
    alone(({ begin, end, f, run, units }) => f.if(i32.ne(begin, i32.const(units - 1)), () => run(begin, end)))
  ],
  [
    "a call for one unit computes its neighbour",
    alone(({ begin, end, run, units }) => {
      const isLast = i32.eq(end, i32.const(units))
      run(select(isLast, begin, plus(begin, 1)), select(isLast, end, plus(end, 1)))
    })
  ],
  [
    "units are counted from 0 whatever is asked for",
    dividing(({ begin, end, run }) => run(i32.const(0), i32.sub(end, begin)))
  ],
  [
    "the first call leaves the rest to others that may not come",
    dividing(({ begin, end, f, run, units }) => {
      // Only a thread that has the first unit computes the last one.
      f.if(
        i32.eq(end, i32.const(units)),
        () => run(begin, minus(end, 1)),
        () => run(begin, end)
      )
      f.if(i32.and(i32.eqz(begin), i32.eq(end, i32.const(units))), () => run(minus(end, 1), end))
    })
  ],
  [
    "an odd number of units is rounded down to pairs",
    dividing(({ begin, end, run }) => run(begin, i32.and(end, i32.const(-2))))
  ]
]

/** Where what is written is read. */
const inPlaceFaults: ReadonlyArray<Planted> = [
  [
    "in place",
    "every unit is done twice",
    dividing(({ begin, end, run }) => {
      run(begin, end)
      run(begin, end)
    })
  ],
  [
    "in place",
    "a unit is done again by the one behind it",
    dividing(({ begin, end, run }) => {
      const before = select(begin, minus(begin, 1), i32.const(0))
      run(before, end)
    }),
    "threads would disturb each other"
  ],
  [
    "in place",
    "units overlap by one",
    dividing(({ begin, end, f, run, units }) => {
      f.range(begin, end, 1, (unit) => {
        const next = plus(f.get(unit), 2)
        run(f.get(unit), select(i32.le_s(next, i32.const(units)), next, i32.const(units)))
      })
    })
  ]
]

describe("kernels that are divided", () => {
  areRight(families)
})

describe("faults between threads", () => {
  tests(
    Object.keys(families).flatMap((family) =>
      everywhere.flatMap(([name, fault, says]): ReadonlyArray<Planted> => {
        // An odd number of units is what the last fault is about.
        const units = families[family]?.().kernel.units
        if (name.startsWith("an odd number") && Number(units) % 2 === 0) return []
        // What is read where it is written is wrong at once.
        return [says === undefined || family === "in place" ? [family, name, fault] : [family, name, fault, says]]
      })
    ),
    families
  )
  tests(inPlaceFaults, families)
})

// ---- a kernel by hand: what is shared between units -------------------------------------------------------------------

const [rows, columns] = [12, 33]
/** y[r] = Σ x[r][c], and all[0] = Σ y. */
const sums: Region = {
  kind: "loop",
  id: "y",
  members: [],
  domain: [rows],
  operands: [Views.contiguous("x", "f32", [rows])],
  results: [
    {
      view: Views.contiguous("y", "f32", [rows]),
      value: Scalars.binary("mul", Scalars.load(0, "f32"), Scalars.constant("f32", 3))
    }
  ]
}

type Body = (f: FunctionBuilder, at: Readonly<Record<"x" | "y" | "scratch" | "begin" | "end", I32>>) => void

const kernel = (body: Body): Kernel => ({
  name: "by-hand",
  config: {},
  cost: 100,
  packed: [],
  scratch: 4 * columns,
  units: rows,
  emit: (emission, title) =>
    emission.module.func(title, ["i32", "i32", "i32", "i32", "i32"], [], (f, params) => {
      const [x, y, scratch, begin, end] = params.map(({ index }): I32 => f.get({ type: "i32", index }))
      if (x !== undefined && y !== undefined && scratch !== undefined && begin !== undefined && end !== undefined)
        body(f, { x, y, scratch, begin, end })
    })
})

const element = (f: FunctionBuilder, base: I32, i: I32): I32 => i32.add(base, i32.mul(i, i32.const(4)))
const three = f32.const(3)

const right: Body = (f, { begin, end, x, y }) =>
  f.range(begin, end, 1, (i) =>
    f.do(f32.store(element(f, y, f.get(i)), f32.mul(f32.load(element(f, x, f.get(i))), three)))
  )

const byHandOnes: ReadonlyArray<readonly [name: string, body: Body]> = [
  [
    "what is prepared in scratch memory is there for the thread that has the first unit",
    (f, { begin, end, scratch, x, y }) => {
      f.if(i32.eqz(begin), () => f.do(f32.store(scratch, three)))
      f.range(begin, end, 1, (i) =>
        f.do(f32.store(element(f, y, f.get(i)), f32.mul(f32.load(element(f, x, f.get(i))), f32.load(scratch))))
      )
    }
  ],
  [
    "a unit leaves in scratch memory what the unit before it finds there",
    (f, { begin, end, scratch, x, y }) => {
      // Right for the last unit, and for any call that begins with it or is for all: not for one that only goes on.
      f.if(i32.or(i32.eqz(begin), i32.eq(end, i32.const(rows))), () => f.do(f32.store(scratch, three)))
      f.range(begin, end, 1, (i) =>
        f.do(f32.store(element(f, y, f.get(i)), f32.mul(f32.load(element(f, x, f.get(i))), f32.load(scratch))))
      )
    }
  ],
  [
    "units add to one sum, which the first of them empties",
    (f, { begin, end, x, y }) => {
      f.if(i32.eqz(begin), () => f.do(f32.store(y, f32.const(0))))
      f.range(begin, end, 1, (i) => {
        f.if(
          i32.eqz(f.get(i)),
          () => f.do(f32.store(y, f32.add(f32.load(y), f32.mul(f32.load(x), three)))),
          () => {
            f.do(f32.store(element(f, y, f.get(i)), f32.mul(f32.load(element(f, x, f.get(i))), three)))
            // Taken off again at the end of a call for all: a race between threads.
            f.do(f32.store(y, f32.add(f32.load(y), f32.const(1))))
          }
        )
      })
      f.if(i32.and(i32.eqz(begin), i32.eq(end, i32.const(rows))), () =>
        f.do(f32.store(y, f32.sub(f32.load(y), f32.const(rows - 1))))
      )
    }
  ],
  [
    "sums begin with what was there, which was nothing the last time",
    (f, { begin, end, x, y }) =>
      f.range(begin, end, 1, (i) => {
        const to = element(f, y, f.get(i))
        f.do(f32.store(to, f32.add(f32.load(to), f32.mul(f32.load(element(f, x, f.get(i))), three))))
      })
  ],
  [
    "the least of the result and of what was there",
    (f, { begin, end, x, y }) =>
      f.range(begin, end, 1, (i) => {
        const to = element(f, y, f.get(i))
        f.do(f32.store(to, f32.min(f32.load(to), f32.mul(f32.load(element(f, x, f.get(i))), three))))
      })
  ],
  [
    "a unit reads the result of the one before it",
    (f, { begin, end, x, y }) =>
      f.range(begin, end, 1, (i) => {
        const product = f32.mul(f32.load(element(f, x, f.get(i))), three)
        // y[i − 1] / x[i − 1] is three, once it has been computed.
        f.if(
          i32.eqz(f.get(i)),
          () => f.do(f32.store(y, product)),
          () => {
            const before = minus(element(f, y, f.get(i)), 4)
            const isThere = f32.eq(f32.load(before), f32.mul(f32.load(minus(element(f, x, f.get(i)), 4)), three))
            f.do(f32.store(element(f, y, f.get(i)), select(isThere, product, f32.const(0))))
          }
        )
      })
  ],
  [
    "only the thread that has the last unit writes the last result, and it is another unit's",
    (f, parts) => {
      const { begin, end, x, y } = parts
      right(f, { ...parts, end: select(i32.eq(end, i32.const(rows)), minus(end, 1), end) })
      f.if(i32.eqz(begin), () => f.do(f32.store(y, f32.mul(f32.load(x, 4 * (rows - 1)), three), 4 * (rows - 1))))
      f.if(i32.and(i32.ne(begin, i32.const(0)), i32.eq(end, i32.const(rows))), () =>
        f.do(f32.store(y, f32.const(0), 4 * (rows - 1)))
      )
    }
  ]
]

const own =
  (body: Body): (() => Family) =>
  () => {
    const made = kernel(body)
    return { subject: { region: sums, program: around(sums, []), typical: new Map(), kernels: [made] }, kernel: made }
  }

describe("what units share, by hand", () => {
  areRight({ "by hand": own(right) })
  for (const [name, body] of byHandOnes) tests([["by hand", name, () => kernel(body)]], { "by hand": own(right) })
  it("are of different names", () => {
    const names = [...everywhere.map(([name]) => name), ...byHandOnes.map(([name]) => name)]
    expect(new Set(names).size).toBe(names.length)
  })
})
