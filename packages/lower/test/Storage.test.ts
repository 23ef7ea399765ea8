// Where values lie: views instead of copies, parts in place, outputs where the caller wants them, layouts, host values.
import { assert, describe, it } from "@effect/vitest"
import * as Decisions from "@anneal/lower/Decisions"
import type { Region } from "@anneal/lower/Region"
import * as Regions from "@anneal/lower/Region"
import * as Rules from "@anneal/lower/Rules"
import { planned, type Options } from "./Agreement.ts"
import { fusions, lowered, parse } from "./Regions.ts"

const regionsOf = (body: string, options: Options = {}): ReadonlyArray<Region> =>
  planned(parse(body), options).steps.flatMap((step) => (step.kind === "region" ? [step.region] : []))

/** Strides of the views that a convolution writes, along channels, rows and columns. */
const written = (region: Region | undefined): unknown =>
  region === undefined ? [] : Regions.writes(region).map((view) => view?.strides.slice(2))

describe("movement", () => {
  it("transposes, slices, expansions, reversals and reshapes are views of what they read", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[4, 6]
        input "z" %z : f32[2, 3, 4]
        %t : f32[6, 4] = transpose(%x) {"permutation":[1,0]}
        %s : f32[3, 4] = slice(%t) {"starts":[1,0],"sizes":[3,4],"steps":[2,1]}
        %r : f32[3, 4] = reverse(%s) {"axes":[1]}
        %e : f32[2, 3, 4] = expand(%r) {"shape":[2,3,4]}
        %y : f32[2, 3, 4] = add(%e, %z)
        output "y" = %y`),
      ["loop add"]
    )
  })

  it("a reshape without strides is one copy, whoever reads it", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[4, 6]
        %t : f32[6, 4] = transpose(%x) {"permutation":[1,0]}
        %r : f32[24] = reshape(%t) {"shape":[24]}
        %a : f32[24] = exp(%r)
        %b : f32[24] = cumulativeSum(%r) {"axis":0,"exclusive":false,"reverse":false}
        output "a" = %a
        output "b" = %b`),
      ["loop reshape", "loop exp", "host cumulativeSum"]
    )
    assert.deepStrictEqual(
      fusions(
        `
        input "x" %x : f32[4, 6]
        %t : f32[6, 4] = transpose(%x) {"permutation":[1,0]}
        %r : f32[24] = reshape(%t) {"shape":[24]}
        output "y" = %r`,
        "view"
      ),
      ["x r: strides cannot say this movement of that layout"]
    )
  })

  it("a detour that leads back is none: one loop for two orders of one value", () => {
    lowered(`
      input "x" %x : f32[n, 3]
      constant %s : f32[] = 0.0625
      constant %one : f32[] = 1
      %q : i8[n, 3] = quantize(%x, %s) {"axis":0,"block":0,"to":"i8","saturate":true}
      %d : f32[n, 3] = dequantize(%q, %s) {"axis":0,"block":0,"to":"f32"}
      %r : f32[3*n] = reshape(%d) {"shape":["3*n"]}
      %t : f32[3, n] = transpose(%d) {"permutation":[1,0]}
      %u : f32[n, 3] = transpose(%t) {"permutation":[1,0]}
      %m : f32[3, n] = mul(%t, %one)
      output "r" = %r
      output "u" = %u
      output "m" = %m`)
  })

  it("what has no element takes no region", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[0, 3]
        input "w" %w : f32[3, 4]
        %m : f32[0, 4] = matmul(%x, %w)
        %e : f32[0, 4] = exp(%m)
        %s : f32[4] = reduceSum(%e) {"axes":[0],"keepDims":false}
        output "e" = %e
        output "s" = %s`),
      ["rows reduceSum"]
    )
  })

  it("a constant index is a slice", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[2, 3]
        constant %i : i64[] = -1
        %g : f32[3] = gather(%x, %i) {"axis":0}
        %y : f32[3] = exp(%g)
        output "y" = %y`),
      ["loop exp"]
    )
  })

  it("outputs that are inputs, constants, one value twice, or views of others", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[2, 3]
        constant %c : f32[2] = [1, 2]
        %a : f32[2, 3] = exp(%x)
        %t : f32[3, 2] = transpose(%a) {"permutation":[1,0]}
        output "x" = %x
        output "c" = %c
        output "a" = %a
        output "again" = %a
        output "t" = %t`),
      ["loop exp", "loop ", "loop ", "loop ", "loop "]
    )
  })

  it("heads are split by strides, and shared by a stride of 0", () => {
    const graph = `
      input "x" %x : f32[1, 3, 8]
      input "k" %k : f32[1, 3, 4]
      %q0 : f32[1, 3, 4, 2] = reshape(%x) {"shape":[1,3,4,2]}
      %q : f32[1, 4, 3, 2] = transpose(%q0) {"permutation":[0,2,1,3]}
      %k0 : f32[1, 3, 2, 2] = reshape(%k) {"shape":[1,3,2,2]}
      %kt : f32[1, 2, 3, 2] = transpose(%k0) {"permutation":[0,2,1,3]}
      %a : f32[1, 4, 3, 2] = attention(%q, %kt, %kt) {"scale":0.5,"causal":true}
      %t : f32[1, 3, 4, 2] = transpose(%a) {"permutation":[0,2,1,3]}
      %y : f32[1, 3, 8] = reshape(%t) {"shape":[1,3,8]}
      output "y" = %y`
    assert.deepStrictEqual(lowered(graph), ["attention attention"])
    const [region] = regionsOf(graph)
    assert.strictEqual(region?.kind, "attention")
    if (region?.kind !== "attention") return
    assert.deepStrictEqual(region.batch, [1, 2, 2])
    assert.strictEqual(region.k.strides[2], 0)
    assert.strictEqual(region.result.buffer, "output y")
  })

  it("heads are joined by where they are written", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[1, 4, 3, 2]
        input "w" %w : f32[8, 5]
        %a : f32[1, 4, 3, 2] = attention(%x, %x, %x) {"scale":0.5,"causal":false}
        %t : f32[1, 3, 4, 2] = transpose(%a) {"permutation":[0,2,1,3]}
        %r : f32[1, 3, 8] = reshape(%t) {"shape":[1,3,8]}
        %y : f32[1, 3, 5] = matmul(%r, %w)
        output "y" = %y`),
      ["attention attention", "contraction matmul"]
    )
  })
})

describe("concat and pad", () => {
  it("parts are computed where they belong", () => {
    const graph = `
      input "x" %x : f32[2, 3]
      %a : f32[2, 3] = exp(%x)
      %t : f32[3, 2] = transpose(%a) {"permutation":[1,0]}
      %b : f32[3, 2] = tanh(%t)
      %c : f32[3, 4] = concat(%t, %b) {"axis":1}
      output "y" = %c`
    assert.deepStrictEqual(lowered(graph), ["loop exp tanh"])
    assert.deepStrictEqual(fusions(graph, "inPlace"), ["t c: taken", "b c: taken"])
  })

  it("inputs, and a value that lies elsewhere, are copied in", () => {
    const graph = `
      input "x" %x : f32[2, 3]
      %a : f32[2, 3] = exp(%x)
      %c : f32[6, 3] = concat(%x, %a, %a) {"axis":0}
      output "y" = %c`
    assert.deepStrictEqual(lowered(graph), ["loop exp", "loop concat", "loop concat"])
    assert.deepStrictEqual(fusions(graph, "inPlace"), [
      "x c: it is an input or a constant",
      "a c: taken",
      "a c: it lies somewhere else already"
    ])
  })

  it("concats inside concats", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[n, 3]
        %a : f32[n, 3] = exp(%x)
        %b : f32[n, 3] = neg(%x)
        %c : f32[n, 6] = concat(%a, %b) {"axis":1}
        %d : f32[n, 3] = tanh(%x)
        %e : f32[n, 9] = concat(%c, %d) {"axis":1}
        output "y" = %e`),
      ["loop exp neg tanh"]
    )
  })

  for (const mode of ["constant", "edge", "reflect", "wrap"])
    it(`${mode}: a pad is fills and copies around what is computed in place`, () => {
      const steps = lowered(`
        input "x" %x : f32[3, 4]
        %a : f32[3, 4] = exp(%x)
        %p : f32[6, 7] = pad(%a) {"before":[1,2],"after":[2,1],"mode":"${mode}"}
        output "y" = %p`)
      assert.deepStrictEqual(steps, ["loop exp", "loop pad", "loop pad", "loop pad", "loop pad"])
    })

  it("a reflection that is not known to be shorter than its axis runs on the host, until sizes are fixed", () => {
    const graph = `
      input "x" %x : f32[n]
      %p : f32[n+2] = pad(%x) {"before":[1],"after":[1],"mode":"reflect"}
      output "y" = %p`
    assert.deepStrictEqual(lowered(graph), ["host pad"])
    assert.notInclude(
      regionsOf(graph, { fixed: new Map([["n", 3]]) }).map(({ kind }) => kind),
      "whole"
    )
    assert.strictEqual(regionsOf(graph, { fixed: new Map([["n", 3]]) }).length, 3)
  })
})

const window = `{"strides":[1,1],"padsBegin":[1,1],"padsEnd":[1,1],"dilations":[1,1],"groups":1}`

describe("layouts", () => {
  const net = `
    input "x" %x : f32[1, 2, 4, 4]
    input "v" %v : f32[3, 2, 3, 3]
    input "w" %w : f32[5, 3, 3, 3]
    %a : f32[1, 3, 4, 4] = conv(%x, %v) ${window}
    %e : f32[1, 3, 4, 4] = exp(%a)
    %b : f32[1, 5, 4, 4] = conv(%e, %w) ${window}
    output "y" = %b`

  it("channels last between convolutions, row-major at the boundary", () => {
    const [first, second] = regionsOf(net)
    assert.deepStrictEqual(written(first), [[1, 12, 3]])
    assert.deepStrictEqual(written(second), [[16, 4, 1]])
    assert.deepStrictEqual(lowered(net), ["convolution conv exp", "convolution conv"])
  })

  it("the first convolution reads the input as it lies", () => {
    const [first] = regionsOf(net)
    assert.strictEqual(first?.kind === "convolution" ? first.input.strides.slice(2).join() : "", "16,4,1")
  })

  it("an input in another order first, for a target that wants that or by a decision", () => {
    const rules: Rules.Rules = { ...Rules.everything, readsBoundary: false }
    for (const options of [{ rules }, { decisions: { ...Decisions.none, layouts: { x: [0, 2, 3, 1] } } }]) {
      const [copy, first] = regionsOf(net, options)
      assert.strictEqual(copy?.kind, "loop")
      assert.strictEqual(first?.kind === "convolution" ? first.input.strides.slice(2).join() : "", "1,8,2")
      assert.strictEqual(lowered(net, options).length, 3)
    }
  })

  it("a decided order of other axes than the value has is refused", () => {
    for (const e of [
      [0, 1],
      [0, 1, 2, 2],
      [1, 2, 3, 4]
    ])
      assert.throws(() => planned(parse(net), { decisions: { ...Decisions.none, layouts: { e } } }), /decided for %e/)
  })

  it("row-major everywhere for a target that wants that", () => {
    const [first] = regionsOf(net, { rules: { ...Rules.everything, activations: "rowMajor" } })
    assert.deepStrictEqual(written(first), [[16, 4, 1]])
  })

  it("row-major where the next reader's reshape has no strides channels last", () => {
    const [first, ...rest] = regionsOf(`
      input "x" %x : f32[1, 2, 4, 4]
      input "v" %v : f32[3, 2, 3, 3]
      input "w" %w : f32[48, 2]
      %a : f32[1, 3, 4, 4] = conv(%x, %v) ${window}
      %r : f32[1, 48] = reshape(%a) {"shape":[1,48]}
      %m : f32[1, 2] = matmul(%r, %w)
      output "y" = %m`)
    assert.deepStrictEqual(written(first), [[16, 4, 1]])
    assert.strictEqual(rest.length, 1)
  })

  it("a transpose to channels last and a reshape are the convolution's own order", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[1, 2, 4, 4]
        input "v" %v : f32[6, 2, 3, 3]
        %a : f32[1, 6, 4, 4] = conv(%x, %v) ${window}
        %t : f32[1, 4, 4, 6] = transpose(%a) {"permutation":[0,2,3,1]}
        %r : f32[1, 32, 3] = reshape(%t) {"shape":[1,32,3]}
        %c : f32[1, 64, 3] = concat(%r, %r) {"axis":1}
        output "y" = %c`),
      ["convolution conv", "loop concat"]
    )
  })

  it("a decision gives a value another order", () => {
    const decisions = { ...Decisions.none, layouts: { e: [3, 2, 1, 0] } }
    const [first] = regionsOf(net, { decisions })
    assert.deepStrictEqual(written(first), [[1, 3, 12]])
    assert.deepStrictEqual(lowered(net, { decisions }), ["convolution conv exp", "convolution conv"])
  })
})

describe("demand", () => {
  const pool = (attributes: string) =>
    `maxPool(%r) {"kernel":[2,2],"strides":[3,3],"padsBegin":[0,0],"padsEnd":[0,0],"dilations":[1,1],"ceil":false,"indexOrder":"rowMajor"}${attributes}`
  const graph = (outputs: string) => `
    input "x" %x : f32[1, 2, 7, 7]
    input "v" %v : f32[3, 2, 3, 3]
    input "z" %z : f32[1, 3, 7, 7]
    %a : f32[1, 3, 7, 7] = conv(%x, %v) ${window}
    %s : f32[1, 3, 7, 7] = add(%a, %z)
    %r : f32[1, 3, 7, 7] = relu(%s)
    %p : f32[1, 3, 2, 2]; %i : i64[1, 3, 2, 2] = ${pool("")}
    output "y" = %p
    ${outputs}`
  const out = (body: string, options: Options = {}) => {
    const [region] = regionsOf(body, options)
    return region?.kind === "convolution" ? region.out : []
  }

  it("of a convolution, only what the pool after it comes to", () => {
    assert.deepStrictEqual(out(graph("")), [5, 5])
    assert.deepStrictEqual(lowered(graph("")), ["convolution conv add relu", "window maxPool"])
    assert.deepStrictEqual(fusions(graph(""), "demand").length, 3)
  })

  it("all of it when it leaves, or when that is switched off", () => {
    assert.deepStrictEqual(out(graph('output "r" = %r')), [7, 7])
    lowered(graph('output "r" = %r'))
    const off = { decisions: { ...Decisions.none, fusionsOff: ["demand a", "demand s", "demand r.max", "demand r"] } }
    assert.deepStrictEqual(out(graph(""), off), [7, 7])
    lowered(graph(""), off)
    const some = { decisions: { ...Decisions.none, fusionsOff: ["demand s"] } }
    assert.deepStrictEqual(out(graph(""), some), [7, 7])
    lowered(graph(""), some)
  })

  it("all of it where the host or a kernel of its own computes it", () => {
    for (const rules of [
      { ...Rules.everything, has: (kind: string) => kind !== "convolution" },
      { ...Rules.everything, claims: (node: { readonly op: { readonly name: string } }) => node.op.name === "conv" }
    ]) {
      assert.notInclude(fusions(graph(""), "demand", { rules }).join(), "a: taken")
      lowered(graph(""), { rules })
    }
  })

  it("all of it where the pool's positions are asked for", () => {
    assert.deepStrictEqual(out(graph('output "i" = %i')), [7, 7])
    lowered(graph('output "i" = %i'))
  })

  it("of what a slice cuts, only up to its end", () => {
    const body = `
      input "x" %x : f32[1, 2, 6]
      %a : f32[1, 2, 6] = exp(%x)
      %s : f32[1, 2, 2] = slice(%a) {"starts":[0,0,1],"sizes":[1,2,2],"steps":[1,1,2]}
      output "y" = %s`
    assert.deepStrictEqual(fusions(body, "demand"), ["a: taken"])
    lowered(body)
  })
})

describe("integers", () => {
  const graph = (weightScale: string, extra = "") =>
    `
    input "x" %x : f32[1, 2, 4, 4]
    constant %w : i8[3, 2, 1, 1] = [5, -7, 100, 3, -128, 127]
    constant %bias : f32[3] = [0.5, 0, -1]
    constant %sx : f32[] = 0.0625
    constant %zx : u8[] = 120
    constant %sw : ${weightScale}
    constant %sy : f32[] = 0.5
    constant %zy : u8[] = 100
    %xq : u8[1, 2, 4, 4] = quantize(%x, %sx, %zx) {"axis":0,"block":0,"to":"u8","saturate":true}
    %xd : f32[1, 2, 4, 4] = dequantize(%xq, %sx, %zx) {"axis":0,"block":0,"to":"f32"}
    %wd : f32[3, 2, 1, 1] = dequantize(%w, %sw) {"axis":0,"block":0,"to":"f32"}
    %c : f32[1, 3, 4, 4] = conv(%xd, %wd, %bias) {"strides":[1,1],"padsBegin":[1,0],"padsEnd":[0,0],"dilations":[1,1],"groups":1}
    %r : f32[1, 3, 5, 4] = relu(%c)
    %q : u8[1, 3, 5, 4] = quantize(%r, %sy, %zy) {"axis":0,"block":0,"to":"u8","saturate":true}
    %d : f32[1, 3, 5, 4] = dequantize(%q, %sy, %zy) {"axis":0,"block":0,"to":"f32"}
    ${extra === "" ? 'output "y" = %d' : extra}`.replace("%c : f32[1, 3, 4, 4]", "%c : f32[1, 3, 5, 4]")

  it("a convolution between dequantise and quantise multiplies integers, with a scale a channel", () => {
    for (const scale of ["f32[3] = [0.125, 0.25, 0.5]", "f32[] = 0.125"]) {
      const text = graph(scale)
      assert.deepStrictEqual(lowered(text).slice(0, 2), ["loop quantize", "convolution conv relu quantize dequantize"])
      const region = regionsOf(text).find(({ kind }) => kind === "convolution")
      assert.strictEqual(region?.kind === "convolution" ? region.accumulate : "", "i32")
      assert.deepStrictEqual(region?.kind === "convolution" ? region.zero : {}, { a: 120, b: 0 })
      assert.deepStrictEqual(region?.kind === "convolution" ? region.ranges : {}, { b: [-128, 127] })
      assert.deepStrictEqual(region?.kind === "convolution" ? region.input.dtype : "", "u8")
    }
  })

  it("activations lie in what was clamped, where that is less than their dtype", () => {
    const rangeOf = (before: string, dtype: string, zero: number, after = "") => {
      const text = `
        input "x" %x : f32[1, 4, 4, 4]
        constant %w : i8[2, 4, 1, 1] = [5, -7, 100, 3, -128, 127, 0, 1]
        constant %s : f32[] = 0.0625
        constant %z : ${dtype}[] = ${zero}
        constant %six : f32[] = 6
        constant %low : f32[] = -1
        ${before}
        %q : ${dtype}[1, 4, 4, 4] = quantize(%r, %s, %z) {"axis":0,"block":0,"to":"${dtype}","saturate":true}
        %d : f32[1, 4, 4, 4] = dequantize(%q, %s, %z) {"axis":0,"block":0,"to":"f32"}
        ${after === "" ? '%v : f32[1, 4, 4, 4] = reverse(%d) {"axes":[3]}' : after}
        %wd : f32[2, 4, 1, 1] = dequantize(%w, %s) {"axis":0,"block":0,"to":"f32"}
        %y : f32[1, 2, 4, 4] = conv(%v, %wd) {"strides":[1,1],"padsBegin":[0,0],"padsEnd":[0,0],"dilations":[1,1],"groups":1}
        output "y" = %y`
      lowered(text)
      const region = regionsOf(text).find(({ kind }) => kind === "convolution")
      return region?.kind === "convolution" ? region.ranges?.a : "no convolution"
    }
    const type = "f32[1, 4, 4, 4]"
    assert.deepStrictEqual(rangeOf(`%r : ${type} = relu(%x)`, "i8", 0), [0, 127])
    assert.deepStrictEqual(rangeOf(`%r : ${type} = relu(%x)`, "i8", 5), [0, 127], "NaN becomes 0")
    assert.deepStrictEqual(rangeOf(`%r : ${type} = clip(%x, %low, %six)`, "u8", 20), [0, 117])
    assert.strictEqual(rangeOf(`%r : ${type} = exp(%x)`, "i8", 0), undefined)
    assert.strictEqual(rangeOf(`%r : ${type} = relu(%x)`, "u8", 0), undefined, "all that u8 holds")
  })

  it("pools and movement stay on integers, and the same grid again is nothing to do", () => {
    const text = graph(
      "f32[] = 0.125",
      `%p : f32[1, 3, 4, 3]; %i : i64[1, 3, 4, 3] = maxPool(%d) {"kernel":[2,2],"strides":[1,1],"padsBegin":[0,0],"padsEnd":[0,0],"dilations":[1,1],"ceil":false,"indexOrder":"rowMajor"}
       %t : f32[1, 4, 3, 3] = transpose(%p) {"permutation":[0,2,3,1]}
       %e : u8[1, 4, 3, 3] = quantize(%t, %sy, %zy) {"axis":0,"block":0,"to":"u8","saturate":true}
       output "y" = %e`
    )
    assert.deepStrictEqual(lowered(text), ["loop quantize", "convolution conv relu quantize", "window maxPool"])
  })

  it("several scales of the first operand, or a switch, keep it in floats", () => {
    const id = "integer xq c"
    assert.deepStrictEqual(fusions(graph("f32[] = 0.125"), "integer"), ["xq c: taken"])
    const off = { decisions: { ...Decisions.none, fusionsOff: [id] } }
    const region = regionsOf(graph("f32[] = 0.125"), off).find(({ kind }) => kind === "convolution")
    assert.strictEqual(region?.kind === "convolution" ? region.accumulate : "", "f32")
    lowered(graph("f32[] = 0.125"), off)
  })

  it("what the target has no kernel for stays in floats, or on the host as it was", () => {
    const text = graph("f32[] = 0.125")
    const kernelless: Rules.Rules = {
      ...Rules.everything,
      name: "few",
      has: (kind, dtype) => kind !== "convolution" || dtype === "f32"
    }
    assert.include(lowered(text, { rules: kernelless }), "convolution conv relu quantize dequantize")
    assert.deepStrictEqual(fusions(text, "integer", { rules: kernelless }), [
      "xq c: the target has no convolution of u8"
    ])
    const refusing: Rules.Rules = {
      ...Rules.everything,
      refuses: (node) => (node.op.name === "conv" ? "no kernel" : undefined)
    }
    assert.include(lowered(text, { rules: refusing }), "host conv")
  })

  it("a matrix product with a scale a column; with scales along the sum it stays in floats", () => {
    const product = (axis: number) => `
      input "x" %x : f32[3, 2]
      constant %w : i8[2, 2] = [5, -7, 100, 3]
      constant %sx : f32[] = 0.0625
      constant %sw : f32[2] = [0.125, 0.5]
      %xq : i8[3, 2] = quantize(%x, %sx) {"axis":0,"block":0,"to":"i8","saturate":true}
      %xd : f32[3, 2] = dequantize(%xq, %sx) {"axis":0,"block":0,"to":"f32"}
      %wd : f32[2, 2] = dequantize(%w, %sw) {"axis":${axis},"block":0,"to":"f32"}
      %y : f32[3, 2] = matmul(%xd, %wd)
      output "y" = %y`
    const accumulate = (text: string) =>
      regionsOf(text).flatMap((one) => (one.kind === "contraction" ? [one.accumulate] : []))
    assert.deepStrictEqual(accumulate(product(1)), ["i32"])
    assert.deepStrictEqual(accumulate(product(0)), ["f32"])
    lowered(product(1))
    lowered(product(0))
  })
})

describe("the host", () => {
  it("has what the target does not compute, with a reason", () => {
    const [step] = planned(
      parse(
        `
        input "x" %x : f32[3]
        %y : f32[3] = cumulativeSum(%x) {"axis":0,"exclusive":false,"reverse":false}
        output "y" = %y`
      )
    ).steps
    assert.strictEqual(step?.kind === "host" ? step.why : "", "everything has no kernel for cumulativeSum")
  })

  it("has values whose sizes the data decides, and everything that they reach", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[4]
        %a : f32[4] = abs(%x)
        %n : i64[1, u0] = nonZero(%a)
        %s : i64[1] = reduceSum(%n) {"axes":[1],"keepDims":false}
        %f : f32[1] = cast(%s) {"to":"f32","saturate":true}
        %y : f32[1] = neg(%f)
        output "y" = %y`),
      ["loop abs", "host nonZero", "host reduceSum", "loop cast neg"]
    )
  })

  it("decides sizes before who needs them, whether or not the sizes are read as values", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : i64[1]
        %d : i64[1] = readDims(%x) {"symbols":["u0"]}
        %i : i64[u0] = iota() {"size":"u0","dtype":"i64"}
        %s : i64[1] = reduceSum(%i) {"axes":[0],"keepDims":true}
        output "y" = %s`),
      ["host readDims", "host iota", "host reduceSum"]
    )
  })

  it("has operations on dtypes that the rules do not name", () => {
    const rules: Rules.Rules = {
      ...Rules.everything,
      name: "narrow",
      computes: (op, dtype) => !(op === "exp" && dtype === "f64")
    }
    const graph = `
      input "x" %x : f64[3]
      %a : f64[3] = exp(%x)
      %y : f64[3] = neg(%a)
      output "y" = %y`
    assert.deepStrictEqual(lowered(graph, { rules }), ["host exp", "loop neg"])
    const [step] = planned(parse(graph), { rules }).steps
    assert.strictEqual(step?.kind === "host" ? step.why : "", "narrow does not compute exp on f64")
  })

  it("a node that the target claims is one region", () => {
    const rules: Rules.Rules = { ...Rules.everything, claims: (node) => node.op.name === "softmax" }
    assert.deepStrictEqual(
      lowered(
        `
        input "x" %x : f32[2, 3]
        %s : f32[2, 3] = softmax(%x) {"axis":1}
        %y : f32[2, 3] = neg(%s)
        output "y" = %y`,
        { rules }
      ),
      ["whole softmax", "loop neg"]
    )
  })
})
