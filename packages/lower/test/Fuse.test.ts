import { assert, describe, it } from "@effect/vitest"
import * as Decisions from "@anneal/lower/Decisions"
import { planned } from "./Agreement.ts"
import { fusions, lowered, parse } from "./Regions.ts"

const conv = `{"strides":[1,1],"padsBegin":[1,1],"padsEnd":[1,1],"dilations":[1,1],"groups":1}`

describe("loops", () => {
  it("a chain of elementwise nodes is one loop, through changes of view", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[n, 4]
        %a : f32[n, 4] = exp(%x)
        %t : f32[4, n] = transpose(%a) {"permutation":[1,0]}
        %b : f32[4, n] = neg(%t)
        %r : f32[4*n] = reshape(%b) {"shape":["4*n"]}
        %c : f32[4*n] = abs(%r)
        output "y" = %c`),
      ["loop exp neg abs"]
    )
  })

  it("a value that is also an output is written beside the chain's end", () => {
    const graph = `
      input "x" %x : f32[2, 3]
      %a : f32[2, 3] = exp(%x)
      %b : f32[2, 3] = neg(%a)
      output "a" = %a
      output "b" = %b`
    assert.deepStrictEqual(lowered(graph), ["loop exp neg"])
    const [step] = planned(parse(graph)).steps
    assert.strictEqual(step?.kind === "region" && step.region.kind === "loop" ? step.region.results.length : 0, 2)
  })

  it("what is read at other elements than the one made stays apart", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[3, 3]
        %a : f32[3, 3] = exp(%x)
        %t : f32[3, 3] = transpose(%a) {"permutation":[1,0]}
        %b : f32[3, 3] = add(%a, %t)
        output "y" = %b`),
      ["loop exp", "loop add"]
    )
  })

  it("operands from outside are read along the group's axes, whatever their own order", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[3, 3]
        %a : f32[3, 3] = exp(%x)
        %t : f32[3, 3] = transpose(%a) {"permutation":[1,0]}
        %b : f32[3, 3] = sub(%t, %x)
        output "y" = %b`),
      ["loop exp sub"]
    )
  })

  it("a slice of a value is no reason to compute it twice", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[4, 3]
        %a : f32[4, 3] = exp(%x)
        %s : f32[2, 3] = slice(%a) {"starts":[1,0],"sizes":[2,3],"steps":[1,1]}
        %b : f32[2, 3] = neg(%s)
        output "a" = %a
        output "b" = %b`),
      ["loop exp", "loop neg"]
    )
  })

  it("a cheap value that is read at several points is computed at each, a dear one is not", () => {
    const graph = (op: string) => `
      input "x" %x : f32[3, 1]
      input "z" %z : f32[3, 5]
      %a : f32[3, 1] = ${op}(%x)
      %b : f32[3, 5] = mul(%a, %z)
      output "y" = %b`
    assert.deepStrictEqual(lowered(graph("neg")), ["loop neg mul"])
    assert.deepStrictEqual(lowered(graph("tanh")), ["loop tanh", "loop mul"])
  })

  it("loops side by side that read the same become one; what depends on each other does not", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[2, 3]
        %a : f32[2, 3] = exp(%x)
        %b : f32[2, 3] = neg(%x)
        output "a" = %a
        output "b" = %b`),
      ["loop exp neg"]
    )
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[3, 3]
        input "i" %i : i64[3]
        %a : f32[3, 3] = exp(%x)
        %g : f32[3, 3] = gather(%a, %i) {"axis":0}
        %b : f32[3, 3] = sub(%g, %x)
        output "a" = %a
        output "b" = %b`),
      ["loop exp", "loop gather sub"]
    )
  })

  it("indices that are computed join the gather that reads them", () => {
    assert.deepStrictEqual(
      lowered(`
        input "i" %i : u8[5]
        constant %w : f32[256, 3] = ${JSON.stringify(Array.from({ length: 256 }, (_, row) => [row, 1, -row]).flat())}
        %j : i64[5] = cast(%i) {"to":"i64","saturate":true}
        %g : f32[5, 3] = gather(%w, %j) {"axis":0}
        output "y" = %g`),
      ["loop cast gather"]
    )
  })

  it("counting is computed where it is read, and memory is made of it only for who needs memory", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[2, n]
        %i : f32[n] = iota() {"size":"n","dtype":"f32"}
        %b : f32[2, n] = add(%x, %i)
        output "y" = %b`),
      ["loop iota add"].map(() => "loop add")
    )
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[1, n]
        %i : f32[n] = iota() {"size":"n","dtype":"f32"}
        %b : f32[1] = matmul(%x, %i)
        output "y" = %b`),
      ["loop iota", "contraction matmul"]
    )
  })

  it("each fusion has an id by which it is switched off", () => {
    const graph = parse(`
      input "x" %x : f32[2, 3]
      %a : f32[2, 3] = exp(%x)
      %b : f32[2, 3] = neg(%a)
      output "y" = %b`)
    const [fusion] = planned(graph).fusions
    assert.strictEqual(fusion?.id, "elementwise a b")
    assert.strictEqual(fusion?.saving, 48)
    const off = { decisions: { ...Decisions.none, fusionsOff: ["elementwise a b"] } }
    assert.deepStrictEqual(lowered(graph, off).slice(0, 2), ["loop exp", "loop neg"])
  })
})

describe("rows", () => {
  it("softmax, norms and what is around them are one region", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[n, 5]
        %a : f32[n, 5] = abs(%x)
        %s : f32[n, 5] = softmax(%a) {"axis":1}
        %b : f32[n, 5] = neg(%s)
        output "y" = %b`),
      ["rows abs softmax neg"]
    )
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[2, 3, 4]
        input "s" %s : f32[4]
        %l : f32[2, 3, 4] = layerNorm(%x, %s) {"axis":2,"epsilon":0.001}
        output "y" = %l`),
      ["rows layerNorm"]
    )
  })

  it("an exponential that two passes need is kept", () => {
    const program = planned(
      parse(`
        input "x" %x : f32[2, 5]
        %s : f32[2, 5] = softmax(%x) {"axis":1}
        output "y" = %s`)
    )
    const [step] = program.steps
    assert.isTrue(step?.kind === "region" && step.region.kind === "rows")
    if (step?.kind !== "region" || step.region.kind !== "rows") return
    assert.deepStrictEqual(
      step.region.stages.map(({ kind }) => kind),
      ["reduce", "element", "reduce"]
    )
  })

  it("reductions over other axes stay apart", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[3, 4]
        %a : f32[3, 4] = exp(%x)
        %b : f32[3, 1] = reduceSum(%a) {"axes":[1],"keepDims":true}
        %c : f32[1, 4] = reduceSum(%a) {"axes":[0],"keepDims":true}
        output "b" = %b
        output "c" = %c`),
      ["rows exp reduceSum", "rows reduceSum"]
    )
  })

  it("a mean of narrow floats is summed in f32 and rounded once", () => {
    const [step] = planned(
      parse(`
        input "x" %x : f16[2, 5]
        %m : f16[2] = reduceMean(%x) {"axes":[1],"keepDims":false}
        output "y" = %m`)
    ).steps
    const stage = step?.kind === "region" && step.region.kind === "rows" ? step.region.stages[0] : undefined
    assert.strictEqual(stage?.kind === "reduce" ? stage.dtype : undefined, "f32")
  })

  it("what only the rows read moves into them when it is made of what is stored anyway", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[2, 3]
        input "w" %w : f32[3, 4]
        %m : f32[2, 4] = matmul(%x, %w)
        %n : f32[2, 4] = rmsNorm(%m) {"axis":1,"epsilon":0.001}
        output "y" = %n`),
      ["contraction matmul", "rows rmsNorm"]
    )
  })

  it("positions of extremes, also along an axis that is not the last", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[3, 4, 2]
        %a : f32[3, 4, 2] = neg(%x)
        %b : i64[3, 2] = argMax(%a) {"axis":1,"keepDims":false,"select":"last"}
        output "y" = %b`),
      ["rows neg argMax"]
    )
  })
})

describe("epilogues", () => {
  it("bias, activation and residual follow a product", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[n, 3, 4]
        input "r" %r : f32[n, 3, 5]
        input "w" %w : f32[4, 5]
        input "b" %b : f32[5]
        %l : f32[n, 3, 5] = linear(%x, %w, %b)
        %g : f32[n, 3, 5] = gelu(%l) {"approximate":"none"}
        %y : f32[n, 3, 5] = add(%g, %r)
        output "y" = %y
        output "raw" = %l`),
      ["contraction linear gelu add"]
    )
  })

  it("a residual add joins the later convolution, whose operand the other one is", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[1, 2, 4, 4]
        input "v" %v : f32[2, 2, 3, 3]
        input "w" %w : f32[2, 2, 3, 3]
        %a : f32[1, 2, 4, 4] = conv(%x, %v) ${conv}
        %r : f32[1, 2, 4, 4] = relu(%a)
        %b : f32[1, 2, 4, 4] = conv(%r, %w) ${conv}
        %y : f32[1, 2, 4, 4] = add(%r, %b)
        output "y" = %y`),
      ["convolution conv relu", "convolution conv add"]
    )
  })

  it("what a main loop reads is no part of its epilogue", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[1, 2, 4, 4]
        input "w" %w : f32[2, 2, 3, 3]
        %h : f32[1, 2, 4, 4] = tanh(%x)
        %b : f32[1, 2, 4, 4] = conv(%h, %w) ${conv}
        %y : f32[1, 2, 4, 4] = add(%b, %h)
        output "y" = %y`),
      ["loop tanh", "convolution conv add"]
    )
  })

  it("reductions stay apart", () => {
    assert.deepStrictEqual(
      lowered(`
        input "x" %x : f32[2, 3]
        input "w" %w : f32[3, 4]
        %m : f32[2, 4] = matmul(%x, %w)
        %s : f32[2] = reduceSum(%m) {"axes":[1],"keepDims":false}
        output "y" = %s`),
      ["contraction matmul", "rows reduceSum"]
    )
    const [refused] = fusions(
      `
      input "x" %x : f32[2, 3]
      input "w" %w : f32[3, 4]
      %m : f32[2, 4] = matmul(%x, %w)
      %s : f32[2] = reduceSum(%m) {"axes":[1],"keepDims":false}
      output "y" = %s`,
      "epilogue"
    )
    assert.strictEqual(refused, "m s: reductions after a contraction, convolution or window stay apart")
  })

  it("batch axes become rows where the second matrix is shared, and stay where it is not", () => {
    const shape = (body: string) => {
      const [step] = planned(parse(body)).steps
      return step?.kind === "region" && step.region.kind === "contraction" ? [step.region.batch, step.region.m] : []
    }
    const shared = `
      input "x" %x : f32[5, 3, 4]
      input "w" %w : f32[4, 2]
      %m : f32[5, 3, 2] = matmul(%x, %w)
      output "y" = %m`
    const own = `
      input "x" %x : f32[5, 3, 4]
      input "w" %w : f32[5, 4, 2]
      %m : f32[5, 3, 2] = matmul(%x, %w)
      output "y" = %m`
    assert.deepStrictEqual(shape(shared), [[], 15])
    assert.deepStrictEqual(shape(own), [[5], 3])
    assert.deepStrictEqual(lowered(shared), ["contraction matmul"])
    assert.deepStrictEqual(lowered(own), ["contraction matmul"])
  })

  it("a bias that broadcasts over rows, and one that does over columns", () => {
    for (const bias of ["f32[4]", "f32[2, 1]", "f32[]"])
      assert.deepStrictEqual(
        lowered(`
          input "x" %x : f32[2, 3]
          input "w" %w : f32[3, 4]
          input "b" %b : ${bias}
          %m : f32[2, 4] = matmul(%x, %w)
          %y : f32[2, 4] = add(%m, %b)
          output "y" = %y`),
        ["contraction matmul add"]
      )
  })
})

describe("constants", () => {
  it("what depends on constants alone is computed before the first run, apart from what does not", () => {
    const graph = parse(`
      input "x" %x : f32[3]
      constant %c : f32[3] = [1, 2, 3]
      %a : f32[3] = exp(%c)
      %b : f32[3] = mul(%x, %a)
      output "y" = %b`)
    assert.deepStrictEqual(lowered(graph), ["loop mul"])
    const program = planned(graph)
    assert.strictEqual(program.prepare.length, 1)
    assert.strictEqual(program.buffers.get("a")?.kind, "prepared")
  })

  it("elementwise work on gathered constants is done to the table, unless the table is larger", () => {
    const graph = (rows: number) => `
      input "i" %i : i64[6]
      constant %w : f32[${rows}, 2] = ${JSON.stringify(Array.from({ length: rows }, (_, row) => [row / 8, -row / 4]).flat())}
      constant %b : f32[2] = [0.5, 0.25]
      %g : f32[6, 2] = gather(%w, %i) {"axis":0}
      %s : f32[6, 2] = add(%g, %b)
      %t : f32[6, 2] = tanh(%s)
      output "y" = %t`
    assert.deepStrictEqual(fusions(graph(4), "table"), ["g s: taken", "s t: taken"])
    assert.strictEqual(planned(parse(graph(4))).prepare.length, 1)
    lowered(graph(4))
    assert.deepStrictEqual(fusions(graph(8), "table"), ["g s: the table has more elements than are gathered"])
    assert.strictEqual(planned(parse(graph(8))).prepare.length, 0)
    lowered(graph(8))
  })

  it("a product with a one-hot matrix is a gather, if the weights are finite and the count begins at 0", () => {
    const graph = (counts: string, weights: string) => `
      input "x" %x : i32[5]
      constant %c : i32[3] = ${counts}
      constant %w : f32[3, 2] = ${weights}
      %r : i32[5, 1] = reshape(%x) {"shape":[5,1]}
      %e : bool[5, 3] = equal(%r, %c)
      %f : f32[5, 3] = cast(%e) {"to":"f32","saturate":true}
      %m : f32[5, 2] = matmul(%f, %w)
      output "y" = %m`
    const good = graph("[0, 1, 2]", "[1, 2, 3, 4, 5, 6]")
    assert.deepStrictEqual(fusions(good, "oneHot"), ["f m: taken"])
    assert.notInclude(lowered(good).join(), "contraction")
    assert.deepStrictEqual(fusions(graph("[0, 1, 2]", "[1, 2, Infinity, 4, 5, 6]"), "oneHot"), [
      "f m: a weight is not finite"
    ])
    assert.deepStrictEqual(fusions(graph("[1, 2, 3]", "[1, 2, 3, 4, 5, 6]"), "oneHot"), [])
    lowered(graph("[1, 2, 3]", "[1, 2, 3, 4, 5, 6]"))
  })

  it("a one-hot matrix on a quantisation grid is one too, of what the grid makes of 1", () => {
    const graph = (zero: number) => `
      input "x" %x : i32[5]
      constant %c : i32[3] = [0, 1, 2]
      constant %w : i8[3, 2] = [1, 2, 3, 4, 5, -6]
      constant %sa : f32[] = 0.3
      constant %za : u8[] = ${zero}
      constant %sw : f32[2] = [0.5, 0.1]
      %r : i32[5, 1] = reshape(%x) {"shape":[5,1]}
      %e : bool[5, 3] = equal(%r, %c)
      %f : f32[5, 3] = cast(%e) {"to":"f32","saturate":true}
      %q : u8[5, 3] = quantize(%f, %sa, %za) {"axis":0,"block":0,"to":"u8","saturate":true}
      %d : f32[5, 3] = dequantize(%q, %sa, %za) {"axis":0,"block":0,"to":"f32"}
      %v : f32[3, 2] = dequantize(%w, %sw) {"axis":1,"block":0,"to":"f32"}
      %m : f32[5, 2] = matmul(%d, %v)
      output "y" = %m`
    assert.deepStrictEqual(fusions(graph(7), "oneHot"), ["d m: taken"])
    assert.notInclude(lowered(graph(7)).join(), "contraction")
  })
})
