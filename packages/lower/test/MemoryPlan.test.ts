import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import * as Ops from "@anneal/ir/Ops"
import * as MemoryPlan from "@anneal/lower/MemoryPlan"
import type { Buffer, Program, Step } from "@anneal/lower/Program"
import * as Scalar from "@anneal/lower/Scalar"
import * as View from "@anneal/lower/View"
import { describe, expect, it } from "vitest"

const builder = Builder.make("empty")
const x = builder.input("x", { dtype: "f32", shape: [1] })
builder.one(Ops.neg, [x], {})
const graph = builder.finish()
/** A node for steps that want one; plans do not look at it. */
const [node] = graph.nodes
if (node === undefined) throw new Error("no node")

const buffer = (id: string, size: Dim.Dim, kind: Buffer["kind"] = "arena"): Buffer => ({ id, dtype: "f32", size, kind })

/** A copy from one buffer to another. */
const copy = (from: string, to: string, size: Dim.Dim): Step => ({
  kind: "region",
  tactic: { name: "loop", config: {} },
  region: {
    kind: "loop",
    id: to,
    members: [],
    domain: [size],
    operands: [View.contiguous(from, "f32", [size])],
    results: [{ view: View.contiguous(to, "f32", [size]), value: Scalar.load(0, "f32") }]
  }
})

const program = (buffers: ReadonlyArray<Buffer>, steps: ReadonlyArray<Step>, output: string): Program => {
  const whole = (id: string) => View.contiguous(id, "f32", [buffers.find((one) => one.id === id)?.size ?? 0])
  return {
    graph,
    fixed: new Map(),
    symbols: [],
    buffers: new Map(buffers.map((one) => [one.id, one])),
    steps,
    prepare: [],
    fusions: [],
    inputs: [whole("x")],
    outputs: [whole(output)]
  }
}

const chain = (length: number, sizes: (place: number) => Dim.Dim) => {
  const ids = ["x", ...Array.from({ length }, (_, place) => `v${place}`)]
  return program(
    ids.map((id, place) => buffer(id, sizes(place), place === 0 ? "input" : place === length ? "output" : "arena")),
    ids.slice(1).map((id, place) => copy(ids[place] ?? "", id, sizes(place))),
    ids.at(-1) ?? ""
  )
}

const noOverlap = (plan: MemoryPlan.MemoryPlan): void => {
  const all = [...plan.placements.values(), ...plan.scratch.filter((one) => one !== undefined)]
  for (const [place, a] of all.entries())
    for (const b of all.slice(place + 1)) {
      const together = a.life.first <= b.life.last && b.life.first <= a.life.last
      const apart = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset
      expect(!together || apart, `${a.buffer} and ${b.buffer}`).toBe(true)
    }
}

describe("MemoryPlan", () => {
  it("uses two places for a chain, whatever its length", () => {
    const plan = MemoryPlan.plan(
      chain(20, () => 1024),
      new Map()
    )
    expect(plan.peak).toBe(2 * 4096)
    expect(plan.lowerBound).toBe(2 * 4096)
    noOverlap(plan)
  })

  it("plans symbolic sizes when they are known, and refuses before", () => {
    const n = Dim.symbol("n")
    const symbolic = chain(3, () => n)
    expect(MemoryPlan.plan(symbolic, new Map([["n", 32]])).peak).toBe(256)
    expect(() => MemoryPlan.plan(symbolic, new Map())).toThrow(MemoryPlan.UnboundSize)
  })

  it("keeps what lives at once apart, close to the lower bound, on random programs", () => {
    let seed = 1
    let sum = 0
    const random = (below: number): number => {
      seed = (seed * 48271) % 2147483647
      return seed % below
    }
    for (let round = 0; round < 50; round++) {
      const sizes = Array.from({ length: 30 }, () => 16 * (1 + random(64)))
      const ids = ["x", ...sizes.slice(1).map((_, place) => `v${place}`)]
      const buffers = ids.map((id, place) => buffer(id, sizes[place] ?? 1, place === 0 ? "input" : "arena"))
      // Each reads one of the six before it.
      const steps = ids
        .slice(1)
        .map((id, place) => copy(ids[Math.max(0, place - random(6))] ?? "", id, sizes[place + 1] ?? 1))
      const plan = MemoryPlan.plan(program(buffers, steps, ids.at(-1) ?? ""), new Map())
      noOverlap(plan)
      expect(plan.peak).toBeGreaterThanOrEqual(plan.lowerBound)
      sum += plan.peak / plan.lowerBound
    }
    expect(sum / 50).toBeLessThan(1.1)
  })

  it("keeps a value that both sides of a branch may read until the branch is over", () => {
    const buffers = ["x", "c", "a", "b", "t", "e", "y"].map((id) => buffer(id, 16, id === "x" ? "input" : "arena"))
    const steps: ReadonlyArray<Step> = [
      copy("x", "a", 16),
      {
        kind: "branch",
        node,
        condition: View.contiguous("c", "bool", [1]),
        whenTrue: [copy("a", "t", 16), copy("t", "y", 16)],
        whenFalse: [copy("a", "e", 16), copy("e", "y", 16)]
      },
      copy("y", "b", 16)
    ]
    const { placements } = MemoryPlan.plan(program(buffers, steps, "b"), new Map())
    // y is written in `then` (step 3): it must not be given to `e` of the other side, nor `a` to anybody before step 5.
    expect(placements.get("y")?.life).toEqual({ first: 3, last: 6 })
    expect(placements.get("a")?.life.last).toBeGreaterThanOrEqual(4)
  })

  it("gives each step its scratch memory where nobody else is", () => {
    const plain = chain(3, (place) => [16, 1024, 16, 1024][place] ?? 0)
    const wanted = (step: Step): number => (step === plain.steps[1] ? 2048 : step === plain.steps[2] ? 64 : 0)
    const plan = MemoryPlan.plan(plain, new Map(), { scratch: wanted })
    expect(plan.scratch.map((one) => one?.bytes)).toEqual([undefined, 2048, 64])
    // Step 1: 4096 bytes that it reads, 64 that it writes, 2048 of its own.
    expect(plan.peak).toBe(4096 + 64 + 2048)
    noOverlap(plan)
  })

  it("draws itself", () => {
    const text = MemoryPlan.picture(
      MemoryPlan.plan(
        chain(4, () => 1024),
        new Map()
      ),
      { lines: 2, columns: 8 }
    )
    expect(text).toBe(
      ["arena 8192 bytes, 1.000 of the lower bound 8192 (at step 0 of 4)", "       4096 ####", "          0 ####"].join(
        "\n"
      )
    )
  })
})
