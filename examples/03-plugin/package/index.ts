// A plug-in: one op, its kernel for the oracle, a pass that recognises it, and a kernel for the generated WebAssembly.
//
//   relu(x) · relu(x)  ⇒  squaredRelu(x)          (So et al. 2021, "Primer")
//
// The op signs the same contract as the built-in ones: attributes, inference, an error rule. With the rule, any rewrite
// around it can be checked; with the kernel, the oracle can run it.
import { IR, Passes, Plugin, Reference } from "anneal"
import * as SquaredReluCode from "./SquaredReluCode.ts"

const { Op, Ops, Pattern } = IR

/** max(x, 0)². The slope of the error rule is 2·max(x, 0), at the far end of the interval that the error allows. */
export const squaredRelu = Op.define({
  name: "squaredRelu",
  summary: "max(x, 0)²",
  attributes: Op.NoAttributes,
  operands: [{ name: "x" }],
  error: {
    kind: "elementwise",
    ulps: 0.5,
    slope: (_, xs, errors) => 2 * Math.max(0, (xs[0] ?? 0) + (errors[0] ?? 0))
  },
  infer: ({ fail, input }) => (IR.DType.isFloat(input(0).dtype) ? [input(0)] : fail("takes float elements"))
})

/** Computed in float64 and rounded once, as all kernels of the oracle. */
export const squaredReluKernel = Reference.Kernel.define(squaredRelu, (call) => {
  const x = call.input(0)
  const values = IR.Numbers.toNumbers(x).map((value) => {
    const positive = Math.max(value, 0)
    return positive * positive
  })
  return [IR.Numbers.fromNumbers(x.dtype, x.shape, values)]
})

const rule = Pattern.rule(
  "squared",
  Pattern.op(Ops.mul, [
    Pattern.op(Ops.relu, [Pattern.any("x")], { as: "relu", shared: true }),
    Pattern.op(Ops.relu, [Pattern.any("x")], { shared: true })
  ]),
  (found) => (b) => b.one(squaredRelu, [found.value("x")], {})
)

export const formSquaredRelu = Passes.Rewrite.plain({
  ...Passes.Rewrite.noConfig,
  name: "formSquaredRelu",
  version: 1,
  claim: "exact",
  summary: "relu(x) · relu(x) ⇒ squaredRelu(x)",
  rewriting: () => Passes.Driver.rules("formSquaredRelu", [rule])
})

export default Plugin.make({
  name: "@anneal-examples/squared-relu",
  version: "1.0.0",
  ops: [squaredRelu],
  kernels: [squaredReluKernel],
  passes: [formSquaredRelu],
  // Without these two lines the op runs on the oracle, between two stretches of code.
  wasm: {
    claims: (node, [x]) => node.op === squaredRelu && x?.dtype === "f32",
    candidates: SquaredReluCode.candidates(squaredRelu.name)
  }
})
