// ONNX files for tests, written byte by byte: fields of protobuf messages by their numbers in onnx.proto.
const varint = (value: number): ReadonlyArray<number> =>
  value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))]

const number = (field: number, value: number): ReadonlyArray<number> => [...varint(field << 3), ...varint(value)]

const bytes = (field: number, content: Iterable<number>): ReadonlyArray<number> => {
  const body = [...content]
  return [...varint((field << 3) | 2), ...varint(body.length), ...body]
}

const text = (field: number, value: string): ReadonlyArray<number> => bytes(field, new TextEncoder().encode(value))

export interface Tensor {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly values: ReadonlyArray<number>
}

export interface Node {
  readonly op: string
  /** Absent: ai.onnx. */
  readonly domain?: string
  readonly name: string
  readonly inputs: ReadonlyArray<string>
  readonly outputs: ReadonlyArray<string>
}

export interface Model {
  readonly inputs: Readonly<Record<string, ReadonlyArray<number | string>>>
  readonly outputs: Readonly<Record<string, ReadonlyArray<number | string>>>
  readonly weights: ReadonlyArray<Tensor>
  readonly nodes: ReadonlyArray<Node>
  readonly metadata?: Readonly<Record<string, string>>
}

const float = 1

const weight = ({ name, shape, values }: Tensor): ReadonlyArray<number> => [
  ...shape.flatMap((extent) => number(1, extent)),
  ...number(2, float),
  ...text(8, name),
  ...bytes(9, new Uint8Array(Float32Array.from(values).buffer))
]

const valueInfo = (name: string, shape: ReadonlyArray<number | string>): ReadonlyArray<number> => {
  const dims = shape.flatMap((dim) => bytes(1, typeof dim === "number" ? number(1, dim) : text(2, dim)))
  const tensor = [...number(1, float), ...bytes(2, dims)]
  return [...text(1, name), ...bytes(2, bytes(1, tensor))]
}

const node = ({ domain = "", inputs, name, op, outputs }: Node): ReadonlyArray<number> => [
  ...inputs.flatMap((input) => text(1, input)),
  ...outputs.flatMap((output) => text(2, output)),
  ...text(3, name),
  ...text(4, op),
  ...text(7, domain)
]

/** The file of a model of float tensors, operator set 17. */
export const encode = ({ inputs, metadata = {}, nodes, outputs, weights }: Model): Uint8Array => {
  const others = new Set(nodes.flatMap(({ domain }) => domain ?? []))
  const domains = [...others].map((domain) => [domain, 1] as const)
  const graph = [
    ...nodes.flatMap((one) => bytes(1, node(one))),
    ...text(2, "small"),
    ...weights.flatMap((one) => bytes(5, weight(one))),
    ...Object.entries(inputs).flatMap(([name, shape]) => bytes(11, valueInfo(name, shape))),
    ...Object.entries(outputs).flatMap(([name, shape]) => bytes(12, valueInfo(name, shape)))
  ]
  return Uint8Array.from([
    ...number(1, 8),
    ...text(2, "a test"),
    ...bytes(7, graph),
    ...[["", 17] as const, ...domains].flatMap(([domain, version]) =>
      bytes(8, [...text(1, domain), ...number(2, version)])
    ),
    ...Object.entries(metadata).flatMap(([key, value]) => bytes(14, [...text(1, key), ...text(2, value)]))
  ])
}

/** y = relu(x·w·1 + b): a matmul, a multiplication by one that goes, a bias that is absorbed. */
export const small: Model = {
  inputs: { x: ["batch", 3] },
  outputs: { y: ["batch", 2] },
  weights: [
    { name: "w", shape: [3, 2], values: [1, -2, 0.5, 3, -1, 0.25] },
    { name: "one", shape: [1], values: [1] },
    { name: "b", shape: [2], values: [0.5, -0.5] }
  ],
  nodes: [
    { op: "MatMul", name: "/fc/MatMul", inputs: ["x", "w"], outputs: ["p"] },
    { op: "Mul", name: "/fc/Mul", inputs: ["p", "one"], outputs: ["m"] },
    { op: "Add", name: "/fc/Add", inputs: ["m", "b"], outputs: ["s"] },
    { op: "Relu", name: "/Relu", inputs: ["s"], outputs: ["y"] }
  ],
  metadata: { license: "MIT" }
}
