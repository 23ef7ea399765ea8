// Convolution, pooling, normalisation, recurrent layers, quantisation and resampling as ONNX operators.
import type * as Dim from "@anneal/ir/Dim"
import type { Node } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import type { Activation } from "@anneal/ir/ops/Recurrent"
import type { TensorType } from "@anneal/ir/Type"
import * as ElementType from "../ElementType.ts"
import type { Export, ExportContext, NodeAttributes } from "../Exporter.ts"
import { define } from "../Exporter.ts"

/** Whether the operator says all that the node does; otherwise the composite is expanded. */
export const isDirect = (node: Node, types: ReadonlyArray<TensorType | undefined>): boolean => {
  // LayerNormalization must have a scale, and one of the normalised shape.
  if (!Graphs.isOp(node, Ops.layerNorm)) return true
  const [x, scale, bias] = types
  const rank = (x?.shape.length ?? 0) - node.attributes.axis
  return scale?.shape.length === rank && (bias === undefined || bias.shape.length === rank)
}

const flag = (value: boolean): number => (value ? 1 : 0)

const pads = (c: ExportContext, begin: ReadonlyArray<Dim.Dim>, end: ReadonlyArray<Dim.Dim>): ReadonlyArray<number> =>
  c.static([...begin, ...end], "padding")

interface Window {
  readonly kernel: ReadonlyArray<number>
  readonly strides: ReadonlyArray<number>
  readonly dilations: ReadonlyArray<number>
  readonly padsBegin: ReadonlyArray<Dim.Dim>
  readonly padsEnd: ReadonlyArray<Dim.Dim>
  readonly ceil: boolean
}
const window = (c: ExportContext, given: Window): NodeAttributes => ({
  kernel_shape: given.kernel,
  strides: given.strides,
  dilations: given.dilations,
  pads: pads(c, given.padsBegin, given.padsEnd),
  ceil_mode: flag(given.ceil)
})

const activationNames: { readonly [N in Activation["name"]]: string } = {
  relu: "Relu",
  tanh: "Tanh",
  sigmoid: "Sigmoid",
  affine: "Affine",
  leakyRelu: "LeakyRelu",
  thresholdedRelu: "ThresholdedRelu",
  scaledTanh: "ScaledTanh",
  hardSigmoid: "HardSigmoid",
  elu: "Elu",
  softsign: "Softsign",
  softplus: "Softplus"
}
const takesAlpha = new Set<Activation["name"]>([
  "affine",
  "leakyRelu",
  "thresholdedRelu",
  "scaledTanh",
  "hardSigmoid",
  "elu"
])
const takesBeta = new Set<Activation["name"]>(["affine", "scaledTanh", "hardSigmoid"])

interface Layer {
  readonly hidden: number
  readonly direction: string
  readonly activations: ReadonlyArray<Activation>
  readonly clip: number | null
}
const layer = ({ activations, clip, direction, hidden }: Layer): NodeAttributes => {
  const alphas = activations.flatMap(({ alpha, name }) => (takesAlpha.has(name) ? [alpha] : []))
  const betas = activations.flatMap(({ beta, name }) => (takesBeta.has(name) ? [beta] : []))
  return {
    hidden_size: hidden,
    direction,
    activations: activations.map(({ name }) => activationNames[name]),
    activation_alpha: alphas.length === 0 ? undefined : { floats: alphas },
    activation_beta: betas.length === 0 ? undefined : { floats: betas },
    clip: clip === null ? undefined : { float: clip }
  }
}

/** Operands of a recurrent layer; ONNX has one without w only as a product with ones at the gates' own places. */
const recurrentInputs = (c: ExportContext, gates: number, { direction, hidden }: Layer): ReadonlyArray<string> => {
  const [x = "", w = "", ...others] = c.inputs
  if (w !== "") return c.inputs
  const directions = direction === "bidirectional" ? 2 : 1
  const rows = gates * hidden
  const columns = directions * rows
  const ones = new Float64Array(columns * columns)
  for (let place = 0; place < columns; place++) ones[place * columns + place] = 1
  return [x, c.constant(Numbers.fromNumbers(c.type(0).dtype, [directions, rows, columns], ones)), ...others]
}

const coordinates = {
  halfPixel: "half_pixel",
  halfPixelSymmetric: "half_pixel_symmetric",
  pytorchHalfPixel: "pytorch_half_pixel",
  alignCorners: "align_corners",
  asymmetric: "asymmetric",
  cropAndResize: "tf_crop_and_resize"
} as const
const nearestModes = {
  roundPreferFloor: "round_prefer_floor",
  roundPreferCeil: "round_prefer_ceil",
  floor: "floor",
  ceil: "ceil"
} as const

/** A scale or zero point as the operator wants it, with the block size of blocked ones. */
const placement = ({ axis, block }: { readonly axis: number; readonly block: number }): NodeAttributes => ({
  axis,
  block_size: block === 0 ? undefined : block
})

export const all: ReadonlyArray<Export> = [
  define(Ops.conv, (c, { dilations, groups, padsBegin, padsEnd, strides }) =>
    c.result("Conv", c.inputs, { dilations, group: groups, pads: pads(c, padsBegin, padsEnd), strides })
  ),
  define(Ops.convTranspose, (c, { dilations, groups, outputPadding, padsBegin, padsEnd, strides }) =>
    c.result("ConvTranspose", c.inputs, {
      dilations,
      group: groups,
      pads: pads(c, padsBegin, padsEnd),
      strides,
      output_padding: outputPadding
    })
  ),
  define(Ops.maxPool, (c, attributes) =>
    c.result(
      "MaxPool",
      c.inputs,
      { ...window(c, attributes), storage_order: flag(attributes.indexOrder === "columnMajor") },
      2
    )
  ),
  define(Ops.averagePool, (c, attributes) =>
    c.result("AveragePool", c.inputs, { ...window(c, attributes), count_include_pad: flag(attributes.includePad) })
  ),
  define(Ops.batchNorm, (c, { epsilon }) => c.result("BatchNormalization", c.inputs, { epsilon: { float: epsilon } })),
  define(Ops.layerNorm, (c, { axis, epsilon }) =>
    c.result("LayerNormalization", c.inputs, { axis, epsilon: { float: epsilon } })
  ),
  define(Ops.linear, (c) => {
    const [x = "", w = "", bias = ""] = c.inputs
    c.result("Add", [c.add("MatMul", [x, w]), bias])
  }),
  define(Ops.lstm, (c, attributes) =>
    c.result(
      "LSTM",
      recurrentInputs(c, 4, attributes),
      { ...layer(attributes), input_forget: flag(attributes.inputForget) },
      3
    )
  ),
  define(Ops.gru, (c, attributes) =>
    c.result(
      "GRU",
      recurrentInputs(c, 3, attributes),
      { ...layer(attributes), linear_before_reset: flag(attributes.linearBeforeReset) },
      2
    )
  ),
  define(Ops.rnn, (c, attributes) => c.result("RNN", recurrentInputs(c, 1, attributes), layer(attributes), 2)),
  define(Ops.quantize, (c, attributes) => {
    const hasZero = (c.inputs[2] ?? "") !== ""
    const isFloat8 = attributes.to === "f8e4m3" || attributes.to === "f8e5m2"
    c.result("QuantizeLinear", c.inputs, {
      ...placement(attributes),
      saturate: isFloat8 ? flag(attributes.saturate) : undefined,
      output_dtype: hasZero ? undefined : ElementType.toDataType(attributes.to).code
    })
  }),
  define(Ops.dequantize, (c, attributes) => {
    if (c.type(1).dtype === attributes.to) return c.result("DequantizeLinear", c.inputs, placement(attributes))
    c.require(23)
    c.result("DequantizeLinear", c.inputs, {
      ...placement(attributes),
      output_dtype: ElementType.toDataType(attributes.to).code
    })
  }),
  define(Ops.resize, (c, attributes) => {
    const { antialias, cubicCoefficient, excludeOutside, extrapolation, mode, nearest, region, scales, shape } =
      attributes
    const floats = (values: ReadonlyArray<number>): string =>
      values.length === 0 ? "" : c.constant({ dtype: "f32", shape: [values.length], data: Float32Array.from(values) })
    const sizes = scales.length === 0 ? c.dims(shape) : ""
    c.result("Resize", [...c.inputs, floats(region), floats(scales), sizes], {
      mode,
      coordinate_transformation_mode: coordinates[attributes.coordinates],
      nearest_mode: nearestModes[nearest],
      cubic_coeff_a: { float: cubicCoefficient },
      exclude_outside: flag(excludeOutside),
      antialias: flag(antialias),
      extrapolation_value: { float: extrapolation }
    })
  }),
  define(Ops.gridSample, (c, { alignCorners, mode, padding }) =>
    c.result("GridSample", c.inputs, { mode, padding_mode: padding, align_corners: flag(alignCorners) })
  ),
  define(Ops.roiAlign, (c, { halfPixel, height, mode, samples, spatialScale, width }) => {
    const [x = "", boxes = "", batch = ""] = c.inputs
    const indices =
      c.type(2).dtype === "i64" ? batch : c.add("Cast", [batch], { to: ElementType.toDataType("i64").code })
    c.result("RoiAlign", [x, boxes, indices], {
      mode: mode === "average" ? "avg" : "max",
      coordinate_transformation_mode: halfPixel ? "half_pixel" : "output_half_pixel",
      output_height: height,
      output_width: width,
      sampling_ratio: samples,
      spatial_scale: { float: spatialScale }
    })
  }),
  define(Ops.maxRoiPool, (c, { height, spatialScale, width }) =>
    c.result("MaxRoiPool", c.inputs, { pooled_shape: [height, width], spatial_scale: { float: spatialScale } })
  )
]
