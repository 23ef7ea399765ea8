import * as Cases from "anneal/Cases"
import * as Compare from "anneal/Compare"
import * as ProgressLines from "anneal/ProgressLines"
import * as ShapeOption from "anneal/ShapeOption"
import * as Dim from "@anneal/ir/Dim"
import * as Numbers from "@anneal/ir/Numbers"
import type { Event } from "@anneal/pipeline/Progress"
import { assert, describe, it } from "@effect/vitest"

describe("shapes on the command line", () => {
  it("are read as trtexec writes them, and names keep an extent open", () => {
    const shapes = ShapeOption.parse("--shapes", ["x:1x3x224x224,mask:batchx77", "s:scalar", "input:0:2x2"])
    assert.deepStrictEqual(
      [...shapes],
      [
        ["x", [1, 3, 224, 224]],
        ["mask", [Dim.symbol("batch"), 77]],
        ["s", []],
        ["input:0", [2, 2]]
      ]
    )
  })

  it("are refused with the part that is wrong", () => {
    for (const [text, message] of [
      ["x", /expected NAME:1x3/],
      ["x:", /expected NAME:1x3/],
      ["x:1x-3", /"-3" is neither a size nor a name/],
      ["x:1,x:2", /x is given twice/]
    ] as const)
      assert.throws(() => ShapeOption.parse("--shapes", [text]), message)
    assert.throws(() => ShapeOption.parseNumbers("--min-shapes", ["x:batchx3"]), /must be a number/)
  })

  it("sizes in bytes", () => {
    const sizes = ["512MiB", "2GB", "1k", "100", "1.5 GiB"].map((text) => ShapeOption.parseBytes("--mem-limit", text))
    assert.deepStrictEqual(sizes, [536_870_912, 2_000_000_000, 1024, 100, 1_610_612_736])
    assert.throws(() => ShapeOption.parseBytes("--mem-limit", "much"), /512MiB/)
  })
})

describe("comparing tensors", () => {
  const f32 = (values: ReadonlyArray<number>) => Numbers.fromNumbers("f32", [values.length], values)

  it("follows |a - b| ≤ atol + rtol·|b|", () => {
    const tolerance = { atol: 0.125, rtol: 0.25 }
    assert.isTrue(Compare.compare(f32([1.375, 0.125]), f32([1, 0]), tolerance).agree)
    const off = Compare.compare(f32([1.5, 0]), f32([1, 0]), tolerance)
    assert.deepStrictEqual([off.agree, off.wrong, off.maxAbsolute, off.maxRelative], [false, 1, 0.5, 0.5])
    assert.deepStrictEqual(off.worst?.index, [0])
  })

  it("takes NaN for NaN and nothing else, and infinities by sign", () => {
    const loose = { atol: 1e9, rtol: 1 }
    assert.isTrue(Compare.compare(f32([NaN, Infinity]), f32([NaN, Infinity]), loose).agree)
    for (const [a, b] of [
      [NaN, 1],
      [1, NaN],
      [Infinity, -Infinity],
      [1, Infinity]
    ] as const)
      assert.isFalse(Compare.compare(f32([a]), f32([b]), loose).agree, `${a} and ${b}`)
  })

  it("refuses another shape or kind, takes another width of float", () => {
    const strict = { atol: 0, rtol: 0 }
    assert.include(Compare.compare(f32([1]), f32([1, 2]), strict).detail, "found f32[1], expected f32[2]")
    assert.isFalse(Compare.compare(Numbers.fromNumbers("i32", [1], [1]), f32([1]), strict).agree)
    assert.isTrue(Compare.compare(Numbers.fromNumbers("f16", [1], [1]), f32([1]), strict).agree)
  })

  it("tells where the worst element is", () => {
    const expected = Numbers.fromNumbers("f32", [2, 3], [0, 0, 0, 0, 0, 0])
    const found = Numbers.fromNumbers("f32", [2, 3], [0, 1, 0, 0, 0, 9])
    const agreement = Compare.compare(found, expected, { atol: 0.5, rtol: 0 })
    assert.match(Compare.format(agreement), /2 of 6 elements differ.*worst at \[1, 2\]: 9, expected 0/)
  })
})

describe("names of case files", () => {
  it("have _ for what files should not have", () => {
    assert.strictEqual(Cases.fileName("Plus214_Output:0/x y.1-a"), "Plus214_Output_0_x_y.1-a")
  })
})

describe("progress", () => {
  const at = 0
  const step = (done: number, total = 100, stage = "calibrate@1"): Event => ({
    _tag: "Step",
    stage,
    at,
    what: "samples",
    done,
    total
  })
  const render = (isTerminal: boolean, events: ReadonlyArray<Event>) => {
    const written: Array<string> = []
    const renderer = ProgressLines.make({ isTerminal, columns: 60, write: (text) => void written.push(text) })
    for (const event of events) renderer.show(event)
    renderer.finish()
    return written
  }
  const end: Event = { _tag: "End", stage: "calibrate@1", at, took: 1234 }

  it("is ten lines of a long step where nobody watches, and nothing of a short one", () => {
    const long = Array.from({ length: 100 }, (_, index) => step(index + 1))
    const lines = render(false, [...long, end])
    assert.strictEqual(lines.length, 11)
    assert.strictEqual(lines[4], "calibrate@1  50/100 samples\n")
    assert.strictEqual(lines[10], "calibrate@1  1.23 s\n")
    assert.deepStrictEqual(render(false, [step(1, 3), end]), ["calibrate@1  1.23 s\n"])
  })

  it("is one line on a terminal, cut to its width and cleared at the end", () => {
    const written = render(true, [step(50)])
    assert.strictEqual(written.length, 2)
    assert.include(written[0], "██████████░░░░░░░░░░  50/100 samples")
    assert.strictEqual(written[1], "\r\u001b[2K")
    const narrow = "x".repeat(200)
    const [line = ""] = render(true, [step(1, 100, narrow)])
    assert.isAtMost(line.length, 60 + "\r\u001b[2K".length)
  })

  it("shows findings and cache hits", () => {
    const lines = render(false, [
      { _tag: "Hit", stage: "fold@1", at, key: "k", waited: false },
      {
        _tag: "Finding",
        stage: "fold@1",
        at,
        diagnostic: { severity: "warning", code: "c", message: "look here", action: "do this" }
      }
    ])
    assert.deepStrictEqual(lines, ["fold@1  from the cache\n", "fold@1  warning: look here (do this)\n"])
  })
})
