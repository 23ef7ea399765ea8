// Wrong rewrites, each of a kind that optimisers have shipped: the checks of a build catch every one, and name its pass.
import { assert, describe, it } from "@effect/vitest"
import type { Builder } from "@anneal/ir/Builder"
import * as Constants from "@anneal/ir/Constant"
import * as Editors from "@anneal/ir/Editor"
import type { Node, Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import { Graph } from "@anneal/pipeline/Graph"
import type { Claim } from "@anneal/pipeline/Pass"
import * as Pass from "@anneal/pipeline/Pass"
import * as Pipeline from "@anneal/pipeline/Pipeline"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { parse } from "./Rewriting.ts"

/** One wrong pass: what it makes of the first node of `op`. */
interface Bug {
  readonly name: string
  readonly claims: Claim
  readonly op: string
  readonly graph: string
  readonly rewrite: (b: Builder, inputs: ReadonlyArray<Value>, node: Node) => Value | undefined
}

const conv1 = '{"strides":[1],"padsBegin":[0],"padsEnd":[0],"dilations":[1],"groups":1}'
const convAttributes = { strides: [1], padsBegin: [0], padsEnd: [0], dilations: [1], groups: 1 }
const matrix = `input "x" %x : f32[3, 3]`
const f32 = (b: Builder, shape: ReadonlyArray<number>, values: ReadonlyArray<number>): Value =>
  b.tensor(Numbers.fromNumbers("f32", shape, values))
const scalar = (b: Builder, value: number): Value => b.tensor(Numbers.scalar("f32", value))

const bugs: ReadonlyArray<Bug> = [
  {
    name: "softmaxOverTheWrongAxis",
    claims: "exact",
    op: "softmax",
    graph: `${matrix}\n%y : f32[3, 3] = softmax(%x) {"axis":1}\noutput "y" = %y`,
    rewrite: (b, [x]) => b.one(Ops.softmax, [x], { axis: 0 })
  },
  {
    name: "biasLost",
    claims: "reassociating",
    op: "add",
    graph: `${matrix}
      constant %w : f32[3, 3] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
      constant %c : f32[3] = [1, 2, 3]
      %a : f32[3, 3] = matmul(%x, %w)
      %y : f32[3, 3] = add(%a, %c)
      output "y" = %y`,
    rewrite: (_, [a]) => a
  },
  {
    name: "broadcastDropped",
    claims: "exact",
    op: "mul",
    graph: `${matrix}\nconstant %c : f32[3, 1] = [1, 2, 3]\n%y : f32[3, 3] = mul(%x, %c)\noutput "y" = %y`,
    rewrite: (b, [x]) => b.one(Ops.mul, [x, f32(b, [1, 3], [1, 2, 3])], {})
  },
  {
    name: "halfFloatOverflow",
    claims: "reassociating",
    op: "exp",
    graph: `${matrix}\n%y : f32[3, 3] = exp(%x)\noutput "y" = %y`,
    rewrite: (b, [x]) => {
      const power = b.one(Ops.exp, [b.one(Ops.cast, [x], { to: "f16", saturate: true })], {})
      return b.one(Ops.cast, [power], { to: "f32", saturate: true })
    }
  },
  {
    name: "weightThatOverflowsInHalfFloats",
    claims: "reassociating",
    op: "mul",
    graph: `${matrix}\nconstant %c : f32[] = 100000\n%y : f32[3, 3] = mul(%x, %c)\noutput "y" = %y`,
    rewrite: (b, [x]) => {
      const narrow = b.tensor(Numbers.scalar("f16", 100_000))
      return b.one(Ops.mul, [x, b.one(Ops.cast, [narrow], { to: "f32", saturate: true })], {})
    }
  },
  {
    name: "quantisedAlongTheWrongAxis",
    claims: "exact",
    op: "quantize",
    graph: `${matrix}
      constant %s : f32[3] = [0.5, 0.25, 0.125]
      %y : i8[3, 3] = quantize(%x, %s) {"axis":1,"block":0,"to":"i8","saturate":true}
      output "y" = %y`,
    rewrite: (b, [x, s]) => b.one(Ops.quantize, [x, s], { axis: 0, block: 0, to: "i8", saturate: true })
  },
  {
    name: "differenceSwapped",
    claims: "exact",
    op: "sub",
    graph: `${matrix}\ninput "z" %z : f32[3, 3]\n%y : f32[3, 3] = sub(%x, %z)\noutput "y" = %y`,
    rewrite: (b, [x, z]) => b.one(Ops.sub, [z, x], {})
  },
  {
    name: "quotientSwapped",
    claims: "reassociating",
    op: "div",
    graph: `${matrix}\ninput "z" %z : f32[3, 3]\n%y : f32[3, 3] = div(%x, %z)\noutput "y" = %y`,
    rewrite: (b, [x, z]) => b.one(Ops.div, [z, x], {})
  },
  {
    name: "epsilonForgotten",
    claims: "reassociating",
    op: "layerNorm",
    graph: `${matrix}\n%y : f32[3, 3] = layerNorm(%x) {"axis":1,"epsilon":0.01}\noutput "y" = %y`,
    rewrite: (b, [x]) => b.one(Ops.layerNorm, [x], { axis: 1, epsilon: 0 })
  },
  {
    name: "transposesComposedBackwards",
    claims: "exact",
    op: "transpose",
    graph: `input "x" %x : f32[2, 3, 4]
      %y : f32[3, 4, 2] = transpose(%x) {"permutation":[1,2,0]}
      %z : f32[3, 2, 4] = transpose(%y) {"permutation":[0,2,1]}
      output "z" = %z`,
    rewrite: (b, [x]) =>
      b.one(Ops.reshape, [b.one(Ops.transpose, [x], { permutation: [2, 0, 1] })], { shape: [3, 4, 2] })
  },
  {
    name: "castDropped",
    claims: "exact",
    op: "cast",
    graph: `${matrix}
      %h : f16[3, 3] = cast(%x) {"to":"f16","saturate":true}
      %y : f32[3, 3] = cast(%h) {"to":"f32","saturate":true}
      output "y" = %y`,
    rewrite: () => undefined
  },
  {
    name: "padOnTheWrongSide",
    claims: "exact",
    op: "conv",
    graph: `input "x" %x : f32[1, 1, 8]
      constant %w : f32[1, 1, 2] = [1, 2]
      %y : f32[1, 1, 8] = conv(%x, %w) {"strides":[1],"padsBegin":[1],"padsEnd":[0],"dilations":[1],"groups":1}
      output "y" = %y`,
    rewrite: (b, [x, w]) => b.one(Ops.conv, [x, w], { ...convAttributes, padsEnd: [1] })
  },
  {
    name: "strideIgnored",
    claims: "exact",
    op: "conv",
    graph: `input "x" %x : f32[1, 1, 8]
      constant %w : f32[1, 1, 2] = [1, 2]
      %y : f32[1, 1, 4] = conv(%x, %w) {"strides":[2],"padsBegin":[0],"padsEnd":[0],"dilations":[1],"groups":1}
      output "y" = %y`,
    rewrite: (b, [x, w]) =>
      b.one(Ops.slice, [b.one(Ops.conv, [x, w], convAttributes)], {
        starts: [0, 0, 0],
        sizes: [1, 1, 4],
        steps: [1, 1, 1]
      })
  },
  {
    name: "gatheredAlongTheWrongAxis",
    claims: "exact",
    op: "gather",
    graph: `${matrix}
      constant %i : i64[3] = [2, 0, 1]
      %y : f32[3, 3] = gather(%x, %i) {"axis":0}
      output "y" = %y`,
    rewrite: (b, [x, i]) => b.one(Ops.gather, [x, i], { axis: 1 })
  },
  {
    name: "meanForSum",
    claims: "reassociating",
    op: "reduceSum",
    graph: `${matrix}\n%y : f32[3] = reduceSum(%x) {"axes":[1],"keepDims":false}\noutput "y" = %y`,
    rewrite: (b, [x]) => b.one(Ops.reduceMean, [x], { axes: [1], keepDims: false })
  },
  {
    name: "sliceOffByOne",
    claims: "exact",
    op: "slice",
    graph: `input "x" %x : f32[8]\n%y : f32[4] = slice(%x) {"starts":[2],"sizes":[4],"steps":[1]}\noutput "y" = %y`,
    rewrite: (b, [x]) => b.one(Ops.slice, [x], { starts: [3], sizes: [4], steps: [1] })
  },
  {
    name: "concatReordered",
    claims: "exact",
    op: "concat",
    graph: `${matrix}\ninput "z" %z : f32[3, 3]\n%y : f32[6, 3] = concat(%x, %z) {"axis":0}\noutput "y" = %y`,
    rewrite: (b, [x, z]) => b.one(Ops.concat, [z, x], { axis: 0 })
  },
  {
    name: "weightTransposed",
    claims: "reassociating",
    op: "matmul",
    graph: `${matrix}
      constant %w : f32[3, 3] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
      %y : f32[3, 3] = matmul(%x, %w)
      output "y" = %y`,
    rewrite: (b, [x, w]) => b.one(Ops.matmul, [x, b.one(Ops.transpose, [w], { permutation: [1, 0] })], {})
  },
  {
    name: "batchNormWithoutTheRoot",
    claims: "reassociating",
    op: "batchNorm",
    graph: `input "x" %x : f32[2, 2, 4]
      constant %s : f32[2] = [1, 2]
      constant %b : f32[2] = [0, 1]
      constant %m : f32[2] = [0.5, -1]
      constant %v : f32[2] = [4, 0.25]
      %y : f32[2, 2, 4] = batchNorm(%x, %s, %b, %m, %v) {"epsilon":0.001}
      output "y" = %y`,
    rewrite: (b, [x]) => {
      const scale = f32(b, [2, 1], [1 / 4.001, 2 / 0.251])
      const shift = f32(b, [2, 1], [-0.5 / 4.001, 1 + 2 / 0.251])
      return b.one(Ops.add, [b.one(Ops.mul, [x, scale], {}), shift], {})
    }
  },
  {
    name: "attentionScaledTwice",
    claims: "reassociating",
    op: "attention",
    graph: `input "q" %q : f32[1, 2, 3, 4]
      input "k" %k : f32[1, 2, 3, 4]
      input "v" %v : f32[1, 2, 3, 4]
      %y : f32[1, 2, 3, 4] = attention(%q, %k, %v) {"scale":0.5,"causal":false}
      output "y" = %y`,
    rewrite: (b, [q, k, v]) => b.one(Ops.attention, [q, k, v], { scale: 0.25, causal: false })
  },
  {
    name: "causalMaskLost",
    claims: "reassociating",
    op: "attention",
    graph: `input "q" %q : f32[1, 2, 3, 4]
      input "k" %k : f32[1, 2, 3, 4]
      input "v" %v : f32[1, 2, 3, 4]
      %y : f32[1, 2, 3, 4] = attention(%q, %k, %v) {"scale":0.5,"causal":true}
      output "y" = %y`,
    rewrite: (b, [q, k, v]) => b.one(Ops.attention, [q, k, v], { scale: 0.5, causal: false })
  },
  {
    name: "reluDropped",
    claims: "exact",
    op: "relu",
    graph: `${matrix}\n%y : f32[3, 3] = relu(%x)\noutput "y" = %y`,
    rewrite: (_, [x]) => x
  },
  {
    name: "saturationLost",
    claims: "exact",
    op: "quantize",
    graph: `${matrix}
      constant %s : f32[] = 0.015625
      %y : i8[3, 3] = quantize(%x, %s) {"axis":0,"block":0,"to":"i8","saturate":true}
      output "y" = %y`,
    rewrite: (b, [x, s]) =>
      b.one(
        Ops.cast,
        [b.one(Ops.cast, [b.one(Ops.round, [b.one(Ops.div, [x, s], {})], {})], { to: "i32", saturate: true })],
        {
          to: "i8",
          saturate: false
        }
      )
  },
  {
    name: "differentReductionsMerged",
    claims: "exact",
    op: "reduceMin",
    graph: `${matrix}
      %a : f32[3] = reduceMax(%x) {"axes":[1],"keepDims":false}
      %y : f32[3] = reduceMin(%x) {"axes":[1],"keepDims":false}
      output "a" = %a
      output "y" = %y`,
    rewrite: (b, [x]) => b.one(Ops.reduceMax, [x], { axes: [1], keepDims: false })
  },
  {
    name: "geluInItsOtherForm",
    claims: "reassociating",
    op: "gelu",
    graph: `${matrix}\n%y : f32[3, 3] = gelu(%x) {"approximate":"none"}\noutput "y" = %y`,
    rewrite: (b, [x]) => b.one(Ops.gelu, [x], { approximate: "tanh" })
  },
  {
    name: "groupsForgotten",
    claims: "reassociating",
    op: "conv",
    graph: `input "x" %x : f32[1, 2, 4]
      constant %w : f32[2, 1, 1] = [2, 3]
      %y : f32[1, 2, 4] = conv(%x, %w) ${conv1.replace('"groups":1', '"groups":2')}
      output "y" = %y`,
    rewrite: (b, [x]) => b.one(Ops.conv, [x, f32(b, [2, 2, 1], [2, 3, 2, 3])], convAttributes)
  },
  {
    name: "clipWithoutItsUpperLimit",
    claims: "exact",
    op: "clip",
    graph: `${matrix}
      constant %low : f32[] = 0
      constant %high : f32[] = 1
      %y : f32[3, 3] = clip(%x, %low, %high)
      output "y" = %y`,
    rewrite: (b, [x]) => b.one(Ops.relu, [x], {})
  },
  {
    name: "plusZeroIsNotExact",
    claims: "exact",
    op: "add",
    graph: `${matrix}\nconstant %zero : f32[] = 0\n%y : f32[3, 3] = add(%x, %zero)\noutput "y" = %y`,
    rewrite: (_, [x]) => x
  },
  {
    name: "productByAReciprocalThatIsFarOff",
    claims: "reassociating",
    op: "div",
    graph: `${matrix}\nconstant %c : f32[] = 3\n%y : f32[3, 3] = div(%x, %c)\noutput "y" = %y`,
    rewrite: (b, [x]) => b.one(Ops.mul, [x, scalar(b, 0.3333)], {})
  }
]

/** The pass as a build would get it from a plug-in. */
const seeded = ({ claims, name, op, rewrite }: Bug) =>
  Pass.make({
    name,
    version: 1,
    claims,
    config: Schema.Struct({}),
    run: (graph) => {
      const editor = Editors.open(graph)
      const node = editor.nodes().find((one) => one.op.name === op)
      if (node === undefined) throw new TypeError(`${name}: no node is a ${op}`)
      // What a pass reads is checked as it is; the rest holds for any bytes.
      for (const { constant } of graph.constants.values()) Constants.load(constant)
      const inputs = editor.inputs(node).flatMap((value) => (value === undefined ? [] : [value]))
      if (name === "castDropped") {
        const [last] = editor.nodes().slice(-1)
        if (last !== undefined) editor.replace(last, name, () => [inputs[0]])
      } else editor.replace(node, name, (b) => [rewrite(b, inputs, node)])
      return editor.finish()
    }
  })({})

describe("wrong rewrites are caught, and their pass is named", () => {
  for (const bug of bugs)
    it.effect(bug.name, () =>
      Effect.gen(function* () {
        const given = Layer.succeed(Graph, parse(bug.graph))
        const failure = yield* Pipeline.on(Graph)
          .through(seeded(bug))
          .build()
          .pipe(Effect.flip, Effect.provide([given, Reference.layer()]))
        assert.strictEqual(failure._tag, "ValidationError")
        assert.include(failure.message, `Pass ${bug.name} changes results at`)
      })
    )

  it("there are at least twenty of them", () => assert.isAtLeast(bugs.length, 20))
})
