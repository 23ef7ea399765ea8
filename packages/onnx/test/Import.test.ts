import { assert, describe, it } from "@effect/vitest"
import { create } from "@bufbuild/protobuf"
import * as Bind from "@anneal/ir/Bind"
import * as Constants from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Type from "@anneal/ir/Type"
import * as Verify from "@anneal/ir/Verify"
import { TypeProtoSchema } from "@anneal/onnx/gen/onnx_pb"
import * as Import from "@anneal/onnx/Import"
import { failure } from "./Failure.ts"
import { floatTensor, model, node, subgraph } from "./Small.ts"

const outputType = (graph: Graphs.Graph, name: string): string => {
  const output = graph.outputs.find((candidate) => candidate.name === name)
  return Type.format(Graphs.index(graph).type(output?.id ?? ""))
}
const ops = (graph: Graphs.Graph): ReadonlyArray<string> => graph.nodes.map(({ op }) => op.name)

describe("shape arithmetic", () => {
  it("becomes symbolic dims: Shape → Gather → Mul → Concat → Reshape leaves one reshape", () => {
    const graph = Import.toGraph(
      model({
        inputs: { x: ["batch", 4, "n"] },
        initializers: { zero: [0], four: [4], minusOne: [-1] },
        nodes: [
          node("Shape", ["x"], ["shape"]),
          node("Gather", ["shape", "zero"], ["batch"]),
          node("Mul", ["batch", "four"], ["rows"]),
          node("Concat", ["rows", "minusOne"], ["target"], { axis: 0 }),
          node("Reshape", ["x", "target"], ["y"])
        ],
        outputs: ["y"]
      })
    )
    assert.deepStrictEqual(ops(graph), ["reshape"])
    assert.strictEqual(outputType(graph, "y"), "f32[4*batch, n]")
    assert.deepStrictEqual(Verify.verify(graph), [])
  })

  it("goes through a detour over floats: floor(n * 0.5)", () => {
    const graph = Import.toGraph(
      model({
        inputs: { x: ["n"] },
        nodes: [
          node("Shape", ["x"], ["shape"]),
          node("Cast", ["shape"], ["real"], { to: 1 }),
          node("Constant", [], ["half"], { value: floatTensor(0.5) }),
          node("Mul", ["real", "half"], ["scaled"]),
          node("Floor", ["scaled"], ["down"]),
          node("Cast", ["down"], ["target"], { to: 7 }),
          node("ConstantOfShape", ["target"], ["y"])
        ],
        outputs: ["y"]
      })
    )
    assert.strictEqual(outputType(graph, "y"), "f32[floor(n/2)]")
  })

  it("divides sizes that are negative only without elements: (n - 1)/2 + 1, as exporters write a stride of 2", () => {
    const graph = Import.toGraph(
      model({
        inputs: { x: ["n"] },
        initializers: { one: [1], two: [2] },
        nodes: [
          node("Shape", ["x"], ["shape"]),
          node("Sub", ["shape", "one"], ["less"]),
          node("Div", ["less", "two"], ["half"]),
          node("Add", ["half", "one"], ["target"]),
          node("ConstantOfShape", ["target"], ["y"])
        ],
        outputs: ["y"]
      })
    )
    assert.strictEqual(outputType(graph, "y"), "f32[floor((n+1)/2)]")
    const bound = (n: number) => Bind.bind(graph, [[n]])
    assert.strictEqual(bound(5).get("n"), 5)
    assert.throws(() => bound(0), /a size that is divided is not negative/)
  })

  it("truncates towards zero where the sign of a size is open: (n - 10)/5", () => {
    const graph = Import.toGraph(
      model({
        inputs: { x: ["n"] },
        initializers: { ten: [10], five: [5] },
        nodes: [
          node("Shape", ["x"], ["shape"]),
          node("Sub", ["shape", "ten"], ["less"]),
          node("Div", ["less", "five"], ["part"]),
          node("Add", ["part", "five"], ["target"]),
          node("ConstantOfShape", ["target"], ["y"])
        ],
        outputs: ["y"]
      })
    )
    const [extent = 0] = Graphs.index(graph).type(graph.outputs[0]?.id ?? "").shape
    for (const n of [0, 1, 5, 6, 9, 10, 14, 15, 21])
      assert.strictEqual(Dim.evaluate(extent, Bind.bind(graph, [[n]])), Math.trunc((n - 10) / 5) + 5)
  })

  it("clamps slices symbolically and counts negative positions from the end", () => {
    const graph = Import.toGraph(
      model({
        inputs: { x: ["n"] },
        initializers: { start: [-2], end: [9223372036854775000] },
        nodes: [node("Slice", ["x", "start", "end"], ["y"])],
        outputs: ["y"]
      }),
      { shapes: { x: [5] } }
    )
    assert.strictEqual(outputType(graph, "y"), "f32[2]")
  })

  it("reads sizes that only the data knows", () => {
    const graph = Import.toGraph(
      model({
        inputs: { x: ["n"] },
        integers: { shape: [2] },
        nodes: [node("Reshape", ["x", "shape"], ["y"])],
        outputs: ["y"]
      })
    )
    assert.include(ops(graph), "readDims")
    assert.match(outputType(graph, "y"), /^f32\[u\d+, u\d+\]$/)
    assert.deepStrictEqual(Verify.verify(graph), [])
  })

  it("materialises known content where it is data", () => {
    const graph = Import.toGraph(
      model({ inputs: { x: ["n", 3] }, nodes: [node("Shape", ["x"], ["y"])], outputs: ["y"] })
    )
    assert.deepStrictEqual(ops(graph), ["sizes"])
  })
})

describe("sub-graphs", () => {
  const branches = {
    then_branch: subgraph("t", [], [node("Relu", ["x"], ["a"])], ["a"]),
    else_branch: subgraph("e", [], [node("Neg", ["x"], ["b"])], ["b"])
  }
  it("takes the branch of a condition on the rank", () => {
    const graph = Import.toGraph(
      model({
        inputs: { x: ["n", 3] },
        initializers: { two: [2] },
        nodes: [
          node("Shape", ["x"], ["shape"]),
          node("Size", ["shape"], ["rank"]),
          node("Equal", ["rank", "two"], ["test"]),
          node("If", ["test"], ["y"], branches, "choose")
        ],
        outputs: ["y"]
      })
    )
    assert.deepStrictEqual(ops(graph), ["relu"])
    assert.deepStrictEqual(graph.nodes[0]?.lineage.sources, ["choose.then/Relu_0"])
  })

  it("keeps a condition that only the data knows, what the branches use as operands", () => {
    const graph = Import.toGraph(
      model({
        inputs: { x: ["n", 3] },
        integers: { rate: [] },
        nodes: [node("Cast", ["rate"], ["test"], { to: 9 }), node("If", ["test"], ["y"], branches, "choose")],
        outputs: ["y"]
      })
    )
    const found = graph.nodes.at(-1)
    assert.strictEqual(found?.op.name, "if")
    assert.deepStrictEqual(found?.inputs.slice(1), ["x"])
    assert.strictEqual(outputType(graph, "y"), "f32[n, 3]")
    assert.deepStrictEqual(Verify.verify(graph), [])
  })

  it("gives a carried value whose extent grows a size that only running knows", () => {
    const steps = [node("Identity", ["going"], ["again"]), node("Concat", ["list", "x"], ["longer"], { axis: 0 })]
    const body = subgraph("body", ["i", "going", "list"], steps, ["again", "longer"])
    const graph = Import.toGraph(
      model({
        inputs: { x: [2], first: [1] },
        integers: { trips: [] },
        nodes: [node("Loop", ["trips", "", "first"], ["y"], { body })],
        outputs: ["y"]
      })
    )
    assert.match(outputType(graph, "y"), /^f32\[u\d+\]$/)
    assert.deepStrictEqual(Verify.verify(graph), [])
  })

  it("inlines local functions, resolves their attributes, and names the call in the path", () => {
    const graph = Import.toGraph(
      model({
        inputs: { x: [2, 3] },
        nodes: [{ ...node("Turn", ["x"], ["y"], { how: [1, 0] }, "call"), domain: "local" }],
        outputs: ["y"],
        functions: [
          {
            name: "Turn",
            domain: "local",
            input: ["a"],
            output: ["b"],
            attribute: ["how"],
            opsetImport: [{ domain: "", version: 21n }],
            node: [
              {
                opType: "Transpose",
                input: ["a"],
                output: ["b"],
                attribute: [{ name: "perm", type: 7, refAttrName: "how" }]
              }
            ]
          }
        ]
      })
    )
    assert.strictEqual(outputType(graph, "y"), "f32[3, 2]")
    assert.deepStrictEqual(graph.nodes[0]?.lineage.sources, ["call/Transpose_0"])
  })
})

describe("inputs", () => {
  const relu = [node("Relu", ["x"], ["y"])]
  it("names sizes without a name after the input and the axis", () => {
    const graph = Import.toGraph(model({ inputs: { x: [null, "n"] }, nodes: relu, outputs: ["y"] }))
    assert.strictEqual(outputType(graph, "y"), "f32[x_0, n]")
  })
  it("pins sizes, and refuses shapes that do not fit", () => {
    const given = model({ inputs: { x: [1, "n"] }, nodes: relu, outputs: ["y"] })
    assert.strictEqual(outputType(Import.toGraph(given, { shapes: { x: [1, "2*m"] } }), "y"), "f32[1, 2*m]")
    const error = failure(() => Import.toGraph(given, { shapes: { x: [2, 3], z: [1] } }))
    assert.strictEqual(error.reason._tag, "WrongShapes")
    assert.include(error.message, 'axis 0 of input "x" is 1')
    assert.include(error.message, 'no input "z"')
  })
  it("asks for the shape of an input without a rank", () => {
    const given = model({ inputs: { x: undefined }, nodes: relu, outputs: ["y"] })
    assert.include(failure(() => Import.toGraph(given)).message, "--shapes x:")
    assert.strictEqual(outputType(Import.toGraph(given, { shapes: { x: [2] } }), "y"), "f32[2]")
  })
  it("turns an input into a constant where its value decides the graph", () => {
    const given = model({
      inputs: { x: [2, 3] },
      integers: { axes: [1] },
      nodes: [node("ReduceSum", ["x", "axes"], ["y"], { keepdims: 0 })],
      outputs: ["y"]
    })
    assert.include(failure(() => Import.toGraph(given)).message, "not known before it runs")
    const graph = Import.toGraph(given, { constants: { axes: Numbers.integers([1]) } })
    assert.strictEqual(outputType(graph, "y"), "f32[2]")
    assert.deepStrictEqual(
      graph.inputs.map(({ name }) => name),
      ["x"]
    )
  })
})

describe("sequences and optionals", () => {
  const sequence = {
    value: {
      case: "sequenceType" as const,
      value: { elemType: { value: { case: "tensorType" as const, value: { elemType: 1 } } } }
    }
  }
  const joined = () => {
    const given = model({
      inputs: { x: [] },
      nodes: [node("ConcatFromSequence", ["x"], ["y"], { axis: 0 })],
      outputs: ["y"]
    })
    const [x] = given.graph?.input ?? []
    if (x !== undefined) x.type = create(TypeProtoSchema, sequence)
    return given
  }
  it("takes a sequence element by element, once the shapes are given", () => {
    const graph = Import.toGraph(joined(), {
      sequences: {
        x: [
          [2, 3],
          ["n", 3]
        ]
      }
    })
    assert.deepStrictEqual(
      graph.inputs.map(({ name }) => name),
      ["x[0]", "x[1]"]
    )
    assert.strictEqual(outputType(graph, "y"), "f32[n+2, 3]")
    const error = failure(() => Import.toGraph(joined()))
    assert.strictEqual(error.reason._tag, "UnsupportedTypes")
    assert.include(error.message, 'in the option "sequences"')
  })
  it("knows whether an optional has a value", () => {
    const given = model({ inputs: { x: [2] }, nodes: [node("OptionalHasElement", ["x"], ["y"])], outputs: ["y"] })
    const value = (graph: Graphs.Graph): number | bigint | undefined => {
      const entry = graph.constants.get(graph.outputs[0]?.id ?? "")
      return entry === undefined ? undefined : Constants.load(entry.constant).data[0]
    }
    assert.strictEqual(value(Import.toGraph(given)), 1)
    assert.strictEqual(value(Import.toGraph(given, { absent: ["x"] })), 0)
  })
})

describe("refusals", () => {
  it("reports every unsupported operator, those of sub-graphs too, with types and a hint", () => {
    const inner = subgraph("t", [], [node("Nope", ["x"], ["a"], {}, "deep")], ["a"])
    const error = failure(() =>
      Import.toGraph(
        model({
          inputs: { x: ["n", 3] },
          nodes: [
            node("Mystery", ["x"], ["a"], {}, "first"),
            node("Relu", ["a"], ["b"]),
            node("Enigma", ["b", "x"], ["c"], {}, "second"),
            node("If", ["c"], ["y"], { then_branch: inner, else_branch: inner }, "choose")
          ],
          outputs: ["y"]
        })
      )
    )
    assert.strictEqual(error.reason._tag, "UnsupportedOperators")
    if (error.reason._tag !== "UnsupportedOperators") return
    assert.deepStrictEqual(
      error.reason.operators.map(({ inputs, path }) => [path, ...inputs]),
      [
        ["first", "f32[n, 3]"],
        ["second", "?", "f32[n, 3]"],
        ["choose.t/deep", "f32[n, 3]"]
      ]
    )
    assert.include(error.message, "3 nodes cannot be imported")
  })

  it("reports nodes that break their operator's rules, all of them", () => {
    const error = failure(() =>
      Import.toGraph(
        model({
          inputs: { x: [2, 3] },
          nodes: [
            node("Softmax", ["x"], ["a"], { axis: 5 }, "one"),
            node("Concat", ["x", "x"], ["b"], {}, "two"),
            node("Relu", ["missing"], ["y"], {}, "three")
          ],
          outputs: ["y"]
        })
      )
    )
    assert.strictEqual(error.reason._tag, "BadNodes")
    for (const text of [
      "one (Softmax): axis 5",
      'two (Concat): the attribute "axis"',
      'three (Relu): its input "missing"'
    ])
      assert.include(error.message, text)
  })
})
