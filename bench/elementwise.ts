// Nanoseconds an element of the loops and reductions that are generated as WebAssembly, each candidate by itself, beside what its
// price says; one thread, data in the second-level cache, best of many calls. `copy` by the engine's own memory.copy is the measure.
//
//   node --conditions=@anneal/source bench/elementwise.ts [milliseconds a candidate]
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Loop, Region, Rows } from "@anneal/lower/Region"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import * as View from "@anneal/lower/View"
import * as Candidates from "@anneal/wasm/Candidates"
import type { Features } from "@anneal/wasm/Emission"
import { Emission } from "@anneal/wasm/Emission"
import type { Kernel } from "@anneal/wasm/Kernel"
import { ModuleBuilder } from "@anneal/wasm/ModuleBuilder"
import { host } from "@anneal/wasm/WebAssembly"

const budget = Number(process.argv[2] ?? 40)
const count = 65_536
const operandAt = 1 << 16
const resultAt = operandAt + (1 << 20)
const scratchAt = resultAt + (1 << 20)

const time = (kernel: Kernel, features: Features, dtype: DType): number => {
  const module = new ModuleBuilder({ shared: false, maximumPages: 256 })
  const func = kernel.emit(new Emission(module, features, new Map()), "kernel")
  module.func(
    "run",
    func.params,
    [],
    (f, params) =>
      f.run(
        func,
        params.map((one) => f.get(one))
      ),
    { export: true }
  )
  const memory = new host.Memory({ initial: 256, maximum: 256 })
  const data = DTypes.view(dtype, memory.buffer, operandAt, count)
  for (let i = 0; i < count; i++) data[i] = dtype === "i8" ? (i % 200) - 100 : Math.sin(i) * 4
  const { run } = new host.Instance(new host.Module(module.toBytes()), { env: { memory } }).exports
  if (typeof run !== "function") throw new Error("the kernel is not there")
  const units = Number(kernel.units)
  let best = Infinity
  for (const end = performance.now() + budget; performance.now() < end;) {
    const start = performance.now()
    run(operandAt, resultAt, scratchAt, 0, units)
    best = Math.min(best, performance.now() - start)
  }
  return (best * 1e6) / count
}

const x = Scalars.load(0, "f32")
const number = (value: number): Scalar => Scalars.constant("f32", value)
const previous = (name: string): Scalar => Scalars.previous(name, "f32")

const loop = (value: Scalar, operand: View.View = View.contiguous("x", "f32", [count])): Loop => ({
  kind: "loop",
  id: "y",
  members: [],
  domain: operand.shape,
  operands: [operand],
  results: [{ view: View.contiguous("y", value.dtype, operand.shape), value }]
})

const softmax = (outer: number, inner: number): Rows => {
  const shape = [outer, inner]
  return {
    kind: "rows",
    id: "y",
    members: [],
    outer: [outer],
    inner: [inner],
    operands: [View.contiguous("x", "f32", shape)],
    stages: [
      { kind: "reduce", name: "max", combine: "max", value: x, dtype: "f32" },
      { kind: "element", name: "e", value: Scalars.unary("exp", Scalars.binary("sub", x, previous("max"))) },
      { kind: "reduce", name: "sum", combine: "sum", value: previous("e"), dtype: "f32" },
      { kind: "row", name: "inverse", value: Scalars.unary("reciprocal", previous("sum")) }
    ],
    results: [
      {
        view: View.contiguous("y", "f32", shape),
        value: Scalars.binary("mul", previous("e"), previous("inverse")),
        per: "element"
      }
    ]
  }
}

const sums = (operand: View.View): Rows => ({
  kind: "rows",
  id: "y",
  members: [],
  outer: operand.shape.slice(0, 1),
  inner: operand.shape.slice(1),
  operands: [operand],
  stages: [{ kind: "reduce", name: "sum", combine: "sum", value: x, dtype: "f32" }],
  results: [
    {
      view: { buffer: "y", dtype: "f32", shape: operand.shape, offset: 0, strides: [1, 0] },
      value: previous("sum"),
      per: "row"
    }
  ]
})

const half = Scalars.binary("mul", x, number(0.5))
const erf = Scalars.unary("erf", Scalars.binary("mul", x, number(Math.SQRT1_2)))
const steps = Scalars.unary("round", Scalars.binary("div", x, number(0.05)))
const limited = Scalars.binary("min", Scalars.binary("max", steps, number(-128)), number(127))
const matrix = View.contiguous("x", "f32", [256, 256])

const cases: ReadonlyArray<readonly [name: string, region: Region, operand?: DType]> = [
  ["copy", loop(x)],
  ["relu", loop(Scalars.binary("max", x, number(0)))],
  ["transpose 256 x 256", loop(x, View.transpose(matrix, [1, 0]))],
  ...(["exp", "sigmoid", "tanh", "erf", "log", "sqrt", "sin"] as const).map(
    (op) => [op, loop(Scalars.unary(op, x))] as const
  ),
  ["gelu", loop(Scalars.binary("mul", half, Scalars.binary("add", number(1), erf)))],
  ["quantize to i8", loop(Scalars.cast(limited, "i8"))],
  ["dequantize i8", loop(Scalars.cast(Scalars.load(0, "i8"), "f32"), View.contiguous("x", "i8", [count])), "i8"],
  ["cast to f16", loop(Scalars.cast(x, "f16"))],
  ["softmax 128 x 512", softmax(128, 512)],
  ["softmax 4096 x 16", softmax(4096, 16)],
  ["sums of rows", sums(View.contiguous("x", "f32", [128, 512]))],
  ["sums of columns", sums(View.transpose(View.contiguous("x", "f32", [128, 512]), [1, 0]))]
]

console.log("ns an element: measured (predicted), best first")
for (const relaxed of [true, false]) {
  const features: Features = { relaxed, wide: false, threads: false }
  console.log(relaxed ? "\nrelaxed SIMD" : "\nfixed-width SIMD")
  for (const [name, region, operand] of cases) {
    const found = Candidates.candidates(region, new Map(), features).map((kernel) => {
      const measured = time(kernel, features, operand ?? "f32")
      const config = Object.entries(Object(kernel.config)).map(([key, value]) => `${key} ${String(value)}`)
      const predicted = (kernel.cost / count).toFixed(2)
      return { measured, text: `${[kernel.name, ...config].join(" ")} ${measured.toFixed(3)} (${predicted})` }
    })
    const best = found.toSorted((a, b) => a.measured - b.measured).slice(0, 3)
    console.log(name.padEnd(20), best.map(({ text }) => text).join(" | "))
  }
}
