import * as Bench from "anneal/Bench"
import * as BenchReport from "anneal/BenchReport"
import * as DurationOption from "anneal/DurationOption"
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import * as Ops from "@anneal/ir/Ops"
import * as Type from "@anneal/ir/Type"
import type { RegionEntry } from "@anneal/lower/Report"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { command } from "./Command.ts"
import * as OnnxFile from "./OnnxFile.ts"

describe("durations on the command line", () => {
  it("take a number and a unit", () => {
    const texts = ["2 minutes", "90 s", "500ms", "1.5 min", "1 hour"]
    assert.deepStrictEqual(
      texts.map((text) => DurationOption.parse("--duration", text)),
      [120_000, 90_000, 500, 90_000, 3_600_000]
    )
    for (const text of ["2", "minutes", "0 s", "-1 s", "2 fortnights"])
      assert.throws(() => DurationOption.parse("--duration", text), /expected a duration/)
  })

  it("are printed to three digits", () => {
    const printed = [0.0000421, 0.00236, 0.236, 12.34, 1534, 90_000].map(DurationOption.format)
    assert.deepStrictEqual(printed, ["42 ns", "2.36 µs", "236 µs", "12.3 ms", "1.53 s", "1.50 min"])
  })
})

describe("latency", () => {
  it("has percentiles by nearest rank", () => {
    const times = Array.from({ length: 100 }, (_, index) => 100 - index)
    const { least, mean, most, p50, p90, p99, runs } = Bench.latency(times)
    assert.deepStrictEqual([runs, least, p50, p90, p99, most, mean], [100, 1, 50, 90, 99, 100, 50.5])
    assert.strictEqual(Bench.percentile([7], 0.99), 7)
    assert.strictEqual(Bench.percentile([1, 2], 0.5), 1)
  })
})

const graph = (() => {
  const b = Builder.make("net")
  const batch = Dim.symbol("batch")
  const x = b.input("x", Type.make("f32", [batch, 3]))
  const ids = b.input("ids", Type.make("i64", [batch, Dim.add(Dim.symbol("n"), 1)]))
  b.output("y", b.one(Ops.neg, [x], {}))
  b.output("z", ids)
  return b.finish()
})()

describe("inputs to measure with", () => {
  const profiles = [{ name: "p", dims: { batch: { min: 1, opt: 4, max: 8 } } }]

  it("have the shapes asked for, then the profile's best, then 1", () => {
    const { chosen, shapes } = Bench.sizes(graph, profiles)
    assert.deepStrictEqual(
      [...shapes],
      [
        ["x", [4, 3]],
        ["ids", [4, 2]]
      ]
    )
    assert.deepStrictEqual(
      [...chosen],
      [
        ["batch", 4],
        ["n", 1]
      ]
    )
    const given = Bench.sizes(graph, profiles, new Map([["ids", [2, 6]]]))
    assert.deepStrictEqual(given.shapes.get("x"), [2, 3])
    assert.deepStrictEqual([...given.chosen], [])
    assert.throws(() => Bench.sizes(graph, profiles, new Map([["y", [1]]])), /there is no input y/)
  })

  it("are the same for a seed, in range, and differ between seeds", () => {
    const { shapes } = Bench.sizes(graph, [], new Map([["x", [50, 3]]]))
    const [a, b, c] = [1, 1, 2].map((seed) => Bench.inputs(graph, shapes, seed))
    assert.deepStrictEqual(a, b)
    assert.notDeepEqual(a?.["x"]?.data, c?.["x"]?.data)
    const floats = [...(a?.["x"]?.data ?? [])].map(Number)
    assert.isTrue(floats.every((value) => value >= -1 && value < 1))
    assert.isAbove(new Set(floats).size, 100)
    assert.deepStrictEqual(new Set([...(a?.["ids"]?.data ?? [])].map(Number)), new Set([0, 1]))
  })
})

const region: RegionEntry = {
  id: "conv",
  kind: "convolution",
  shape: "f32[1, 8]",
  members: [
    { op: "conv", node: "/conv" },
    { op: "add", node: "/bias" },
    { op: "add", node: "/skip" }
  ],
  prepared: false,
  key: "k",
  kernel: "conv-direct",
  config: {},
  offered: 3,
  predicted: 900,
  operations: Dim.mul(Dim.symbol("n"), 200),
  bytes: 4000
}

describe("the profile of regions", () => {
  const steps = [
    { id: "gather", node: "/gather", kernel: "loop", nanoseconds: 250, runs: 9 },
    { id: "conv", node: "/skip (add %conv)", kernel: "conv-direct", nanoseconds: 750, runs: 9 }
  ]
  const profile = Bench.profile(steps, [region], new Map([["n", 100]]))

  it("is sorted by time, with shares and rates where the work is known", () => {
    assert.deepStrictEqual(
      profile.regions.map(({ gflops, gigabytes, id, share }) => [id, share, gflops, gigabytes]),
      [
        ["conv", 0.75, 20_000 / 750, 4000 / 750],
        ["gather", 0.25, null, null]
      ]
    )
    assert.strictEqual(profile.sum, 1000)
  })

  it("is a table that says what it leaves out", () => {
    assert.deepStrictEqual(BenchReport.profileLines(profile, 1), [
      "regions     2, 1.00 µs one after the other",
      " share    time  GFLOP/s  GB/s  kernel       region",
      "75.0 %  750 ns     26.7  5.33  conv-direct  /conv (conv, add ×2)",
      "25.0 % in 1 more (--regions 2 shows them)"
    ])
  })
})

describe("anneal bench", () => {
  it.live("measures a model, for people and for scripts", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const folder = yield* files.makeTempDirectoryScoped()
      yield* files.writeFile(`${folder}/net.onnx`, OnnxFile.encode(OnnxFile.small))
      const quick = ["--duration", "20 ms", "--warm-up", "1 ms"]
      const text = yield* command("bench", `${folder}/net.onnx`, ...quick)
      assert.strictEqual(text.code, 0, text.err)
      for (const part of [
        /^first +/m,
        /^latency +p50 .* p90 .* p99 /m,
        /^throughput .* inferences\/s$/m,
        /^memory +plan /m
      ])
        assert.match(text.out, part)
      const ran = yield* command("bench", `${folder}/net.onnx`, "--shapes", "x:5x3", ...quick, "--json")
      const json: { readonly ok: boolean; readonly inputs: ReadonlyArray<string>; readonly run: Bench.Latency } =
        JSON.parse(ran.out)
      assert.deepStrictEqual([json.ok, json.inputs], [true, ["x f32[5, 3]"]])
      assert.isAtLeast(json.run.runs, 10)
      assert.isTrue(json.run.least <= json.run.p50 && json.run.p50 <= json.run.p99 && json.run.p99 <= json.run.most)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("refuses what it cannot measure", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const folder = yield* files.makeTempDirectoryScoped()
      yield* files.writeFile(`${folder}/net.onnx`, OnnxFile.encode(OnnxFile.small))
      for (const [options, code, message] of [
        [["--shapes", "x:5"], 6, /rank/],
        [["--shapes", "q:5x3"], 6, /there is no input q/],
        [["--duration", "soon"], 2, /expected a duration/],
        [["--threads", "0"], 2, /expected 1 … 256/],
        [["--cases", folder, "--shapes", "x:5x3"], 2, /contradict/]
      ] as const) {
        const refused = yield* command("bench", `${folder}/net.onnx`, ...options)
        assert.strictEqual(refused.code, code, refused.out + refused.err)
        assert.match(refused.err, message)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
