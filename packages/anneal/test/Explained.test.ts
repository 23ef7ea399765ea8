import * as Explained from "anneal/Explained"
import * as ProgramLines from "anneal/ProgramLines"
import type { RegionEntry, Report } from "@anneal/lower/Report"
import type { Entry } from "@anneal/tune/Entry"
import * as Machine from "@anneal/tune/Machine"
import { assert, describe, it } from "@effect/vitest"

const region = (key: string, mr: number, offered: number): RegionEntry => ({
  id: key,
  kind: "contraction",
  shape: "f32[8, 8]",
  members: [
    { op: "matmul", node: "/fc" },
    { op: "add", node: "/bias" }
  ],
  prepared: false,
  key,
  kernel: "gemm",
  config: { mr },
  offered,
  predicted: 900,
  operations: 1_000_000,
  bytes: 2048
})

const report: Report = {
  fixed: { batch: 1 },
  typical: { length: 64 },
  regions: [region("measured", 6, 3), region("equal", 4, 2), region("open", 4, 5), region("alone", 4, 1)],
  fusions: [
    { id: "epilogue a b", kind: "epilogue", members: ["/a", "/b"], taken: true, reason: "in registers", saving: 64 },
    { id: "rows b c", kind: "rows", members: ["/b", "/c"], taken: false, reason: "the shapes differ", saving: 2048 }
  ],
  hosts: [{ node: "/top", op: "topK", why: "wasm has no kernel for topK" }],
  memory: { arena: 4096, lowerBound: 4096, picture: ["arena 4096 bytes, 1.000 of the lower bound 4096", "0 ##"] }
}

const machine = (cpu: string): Machine.Machine => ({ ...Machine.here([]), cpu })
const timing = (key: string, mr: number, median: number, at: number, cpu = "this"): Entry => ({
  v: 1,
  kind: "timing",
  key,
  node: "/fc",
  candidate: { name: "gemm", config: { mr } },
  generator: "wasm@1",
  machine: machine(cpu),
  at,
  timing: {
    relative: median / 500,
    error: 0.01,
    median,
    mad: 1,
    least: median - 1,
    samples: 9,
    iterations: 1,
    inputs: "warm",
    end: "finalist"
  }
})

const entries: ReadonlyArray<Entry> = [
  // Another machine, before.
  timing("measured", 6, 9999, 1, "other"),
  timing("measured", 4, 1200, 2),
  timing("measured", 6, 1000, 3),
  timing("equal", 4, 1010, 4),
  timing("equal", 8, 1000, 5),
  {
    v: 1,
    kind: "rejection",
    key: "measured",
    node: "/fc",
    candidate: { name: "gemm", config: { mr: 9 } },
    generator: "wasm@1",
    machine: machine("this"),
    at: 6,
    reason: "Wrong",
    detail: "element 3 is 5, not 4",
    evidence: null
  }
]

describe("why a region has its kernel", () => {
  const explained = Explained.explain("wasm", report, entries)

  it("is said by what was measured last, and by what is predicted where nothing was", () => {
    assert.deepStrictEqual(
      explained.regions.map(({ measured, why }) => [measured, why]),
      [
        [1000, 'fastest of 2 of 3 timed; gemm {"mr":4} takes 1.20 times as long'],
        [1010, 'chosen among all 2 timed as good as the fastest: gemm {"mr":8} takes 0.99 times as long'],
        [null, "predicted to be the fastest of 5"],
        [null, "the only kernel"]
      ]
    )
    assert.deepStrictEqual(explained.regions[0]?.rejected, [
      { candidate: 'gemm {"mr":9}', why: "Wrong: element 3 is 5, not 4" }
    ])
    assert.match(explained.regions[0]?.machine ?? "", /^this, /)
  })

  it("is printed with members, kernel, time, refused fusions and the memory", () => {
    const text = ProgramLines.lines(explained, { fusions: false }).join("\n")
    for (const part of [
      "program for batch = 1, any length (chosen for 64): 4 regions, ~",
      "on one thread (2 of 4 measured), 1 nodes on the host",
      '   1    1.00 µs   26 %  gemm {"mr":6}',
      "contraction f32[8, 8] · 1.00 MFLOP, 2.00 KiB, 1000 GFLOP/s: matmul /fc, add /bias",
      'not gemm {"mr":9}: Wrong: element 3 is 5, not 4',
      "  ~900 ns   24 %  gemm",
      "host  topK /top: wasm has no kernel for topK",
      "fusions: 1 made, 1 refused",
      "rows (2.00 KiB): /b → /c: the shapes differ  [rows b c]",
      "1.000 of the lower bound"
    ])
      assert.include(text, part)
    assert.notInclude(text, "[epilogue a b]")
    assert.include(ProgramLines.lines(explained, { fusions: true }).join("\n"), "[epilogue a b]")
  })
})
