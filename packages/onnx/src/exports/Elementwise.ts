// Elementwise ops, reductions and order as ONNX operators.
import * as DTypes from "@anneal/ir/DType"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as ElementType from "../ElementType.ts"
import type { Export } from "../Exporter.ts"
import { define } from "../Exporter.ts"

/** Ops whose operator takes the same operands and no attributes. */
const same: ReadonlyArray<readonly [op: OpDefinition<{}>, operator: string]> = [
  [Ops.neg, "Neg"],
  [Ops.abs, "Abs"],
  [Ops.sign, "Sign"],
  [Ops.ceil, "Ceil"],
  [Ops.floor, "Floor"],
  [Ops.round, "Round"],
  [Ops.exp, "Exp"],
  [Ops.log, "Log"],
  [Ops.sqrt, "Sqrt"],
  [Ops.reciprocal, "Reciprocal"],
  [Ops.sin, "Sin"],
  [Ops.cos, "Cos"],
  [Ops.tan, "Tan"],
  [Ops.asin, "Asin"],
  [Ops.acos, "Acos"],
  [Ops.atan, "Atan"],
  [Ops.sinh, "Sinh"],
  [Ops.cosh, "Cosh"],
  [Ops.tanh, "Tanh"],
  [Ops.asinh, "Asinh"],
  [Ops.acosh, "Acosh"],
  [Ops.atanh, "Atanh"],
  [Ops.erf, "Erf"],
  [Ops.sigmoid, "Sigmoid"],
  [Ops.isNaN, "IsNaN"],
  [Ops.not, "Not"],
  [Ops.bitwiseNot, "BitwiseNot"],
  [Ops.add, "Add"],
  [Ops.sub, "Sub"],
  [Ops.mul, "Mul"],
  [Ops.div, "Div"],
  [Ops.pow, "Pow"],
  [Ops.min, "Min"],
  [Ops.max, "Max"],
  [Ops.and, "And"],
  [Ops.or, "Or"],
  [Ops.xor, "Xor"],
  [Ops.bitwiseAnd, "BitwiseAnd"],
  [Ops.bitwiseOr, "BitwiseOr"],
  [Ops.bitwiseXor, "BitwiseXor"],
  [Ops.equal, "Equal"],
  [Ops.less, "Less"],
  [Ops.lessOrEqual, "LessOrEqual"],
  [Ops.greater, "Greater"],
  [Ops.greaterOrEqual, "GreaterOrEqual"],
  [Ops.select, "Where"],
  [Ops.relu, "Relu"],
  [Ops.softplus, "Softplus"],
  [Ops.clip, "Clip"],
  [Ops.matmul, "MatMul"]
]

const shift = (op: OpDefinition<{}>, direction: string): Export =>
  define(op, (c) => c.result("BitShift", c.inputs, { direction }))

const reductions: ReadonlyArray<readonly [op: typeof Ops.reduceSum, operator: string]> = [
  [Ops.reduceSum, "ReduceSum"],
  [Ops.reduceMean, "ReduceMean"],
  [Ops.reduceProd, "ReduceProd"],
  [Ops.reduceMax, "ReduceMax"],
  [Ops.reduceMin, "ReduceMin"]
]

const flag = (value: boolean): number => (value ? 1 : 0)

export const all: ReadonlyArray<Export> = [
  ...same.map(([op, operator]) => define(op, (c) => c.result(operator, c.inputs))),
  define(Ops.log1p, (c) => c.result("Log", [c.add("Add", [...c.inputs, c.scalar(c.type(0).dtype, 1)])])),
  define(Ops.expm1, (c) => c.result("Sub", [c.add("Exp", c.inputs), c.scalar(c.type(0).dtype, 1)])),
  define(Ops.isInf, (c, { negative, positive }) =>
    c.result("IsInf", c.inputs, { detect_negative: flag(negative), detect_positive: flag(positive) })
  ),
  define(Ops.mod, (c, { rounding }) => {
    const [a = "", b = ""] = c.inputs
    if (rounding === "truncate") c.result("Mod", c.inputs, { fmod: 1 })
    else if (DTypes.isFloat(c.type(0).dtype))
      c.result("Sub", [a, c.add("Mul", [b, c.add("Floor", [c.add("Div", [a, b])])])])
    else c.result("Mod", c.inputs)
  }),
  shift(Ops.shiftLeft, "LEFT"),
  shift(Ops.shiftRight, "RIGHT"),
  define(Ops.cast, (c, { saturate, to }) => {
    const isNarrow = to === "f8e4m3" || to === "f8e5m2"
    c.result("Cast", c.inputs, {
      to: ElementType.toDataType(to).code,
      saturate: isNarrow ? flag(saturate) : undefined
    })
  }),
  define(Ops.bitcast, (c, { to }) => {
    c.require(26)
    c.result("BitCast", c.inputs, { to: ElementType.toDataType(to).code })
  }),
  define(Ops.leakyRelu, (c, { alpha }) => c.result("LeakyRelu", c.inputs, { alpha: { float: alpha } })),
  define(Ops.gelu, (c, { approximate }) => c.result("Gelu", c.inputs, { approximate })),
  define(Ops.softmax, (c, { axis }) => c.result("Softmax", c.inputs, { axis })),
  define(Ops.logSoftmax, (c, { axis }) => c.result("LogSoftmax", c.inputs, { axis })),
  ...reductions.map(([op, operator]) =>
    define(op, (c, { axes, keepDims }) =>
      axes.length === 0
        ? c.result("Identity", c.inputs)
        : c.result(operator, [...c.inputs, c.integers(axes)], { keepdims: flag(keepDims) })
    )
  ),
  ...(
    [
      [Ops.argMax, "ArgMax"],
      [Ops.argMin, "ArgMin"]
    ] as const
  ).map(([op, operator]) =>
    define(op, (c, { axis, keepDims, select }) =>
      c.result(operator, c.inputs, { axis, keepdims: flag(keepDims), select_last_index: flag(select === "last") })
    )
  ),
  define(Ops.cumulativeSum, (c, { axis, exclusive, reverse }) =>
    c.result("CumSum", [...c.inputs, c.scalar("i64", axis)], { exclusive: flag(exclusive), reverse: flag(reverse) })
  ),
  define(Ops.cumulativeProduct, (c, { axis, exclusive, reverse }) => {
    c.require(26)
    c.result("CumProd", [...c.inputs, c.scalar("i64", axis)], { exclusive: flag(exclusive), reverse: flag(reverse) })
  }),
  define(Ops.topK, (c, { axis, k, largest, sorted }) =>
    c.result("TopK", [...c.inputs, c.dims([k])], { axis, largest: flag(largest), sorted: flag(sorted) }, 2)
  )
]
