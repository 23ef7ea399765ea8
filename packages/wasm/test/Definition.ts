/**
 * Definition: what loops, rows and windows compute, straight from their definition: each scalar op by the oracle's kernel, over
 * all points of the domain.
 */
import type { DType, TypedArray } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Builder from "@anneal/ir/Builder"
import * as Numbers from "@anneal/ir/Numbers"
import type { Attributes, OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import type { Epilogue, Loop, Result, Rows, Window } from "@anneal/lower/Region"
import type { Scalar } from "@anneal/lower/Scalar"
import type { View } from "@anneal/lower/View"
import * as Kernel from "@anneal/reference/Kernel"
import * as Kernels from "@anneal/reference/Kernels"
import * as Run from "@anneal/reference/Run"
import { type Buffers, placeIn, points, sizeOf, type Symbols } from "./RunKernel.ts"

const machine = Run.machine(Kernel.table(Kernels.all))
const ops = Ops.table()

/** One node, run on the oracle. */
export const runOp = (
  op: OpDefinition,
  inputs: ReadonlyArray<Tensor | null>,
  attributes: Attributes
): ReadonlyArray<Tensor> => {
  const b = Builder.make("one")
  const operands = inputs.map((tensor, i) =>
    tensor === null ? undefined : b.input(`x${i}`, { dtype: tensor.dtype, shape: tensor.shape })
  )
  const results = b.node(op, operands, attributes)
  results.forEach((value, i) => b.output(`y${i}`, value))
  const cells = inputs.flatMap((tensor) => (tensor === null ? [] : [{ tensor, bound: undefined }]))
  const work = Run.runGraph({ machine, seed: 0, bounds: undefined, rounded: new Set() }, b.finish(), cells, new Map())
  let step = work.next()
  while (step.done !== true) step = work.next()
  return step.value.map(({ tensor }) => tensor)
}

const apply = (name: string, inputs: ReadonlyArray<Tensor>, attributes: Attributes): Tensor => {
  const op = ops.get(name)
  const [result] = op === undefined ? [] : runOp(op, inputs, attributes)
  if (result === undefined) throw new Error(`${name} has no kernel`)
  return result
}

interface Context {
  readonly domain: ReadonlyArray<number>
  readonly operands: ReadonlyArray<View>
  readonly buffers: Buffers
  readonly symbols: Symbols
  /** Values over the same points. */
  readonly previous: ReadonlyMap<string, Tensor>
}

const numbersOf = (dtype: DType, values: ReadonlyArray<number>): Tensor =>
  Numbers.fromNumbers(dtype, [values.length], values)

/** An expression at each point of the domain, in order. */
export const evaluate = (scalar: Scalar, context: Context, seen = new Map<Scalar, Tensor>()): Tensor => {
  const known = seen.get(scalar)
  if (known !== undefined) return known
  const go = (one: Scalar): Tensor => evaluate(one, context, seen)
  const { buffers, domain, operands, symbols } = context
  const count = Tensors.size(domain)
  const compute = (): Tensor => {
    switch (scalar.kind) {
      case "constant": {
        const data = DTypes.allocate(scalar.dtype, count)
        const one = Numbers.fromNumbers(scalar.dtype, [1], [Number(scalar.value)]).data[0] ?? 0
        for (let i = 0; i < count; i++) data[i] = typeof scalar.value === "bigint" ? scalar.value : one
        return { dtype: scalar.dtype, shape: [count], data }
      }
      case "dim":
        return numbersOf(scalar.dtype, new Array<number>(count).fill(sizeOf(scalar.dim, symbols)))
      case "index":
        return numbersOf(
          scalar.dtype,
          Array.from(points(domain), (point) => point[scalar.axis] ?? 0)
        )
      case "previous": {
        const found = context.previous.get(scalar.name)
        if (found === undefined) throw new Error(`there is no ${scalar.name}`)
        return found
      }
      case "load": {
        const view = operands[scalar.operand]
        if (view === undefined) throw new Error("no such operand")
        const source = buffers.get(view.buffer)?.data
        const place = placeIn(view, symbols)
        const steps = (scalar.indirect ?? []).map(({ extent, index, stride }) => ({
          index: go(index).data,
          extent: sizeOf(extent, symbols),
          stride: sizeOf(stride, symbols)
        }))
        const data = DTypes.allocate(scalar.dtype, count)
        let i = 0
        for (const point of points(domain)) {
          let at = place(point)
          for (const { extent, index, stride } of steps) {
            const raw = Number(index[i])
            at += Math.max(0, Math.min(extent - 1, raw < 0 ? raw + extent : raw)) * stride
          }
          data[i++] = source?.[at] ?? 0
        }
        return { dtype: scalar.dtype, shape: [count], data }
      }
      case "unary":
        if (scalar.op === "bitcast") return apply("bitcast", [go(scalar.x)], { to: scalar.dtype })
        return apply(
          scalar.op,
          [go(scalar.x)],
          scalar.op === "isInf" ? { positive: true, negative: true, ...scalar.attributes } : {}
        )
      case "binary":
        return apply(
          scalar.op,
          [go(scalar.a), go(scalar.b)],
          scalar.op === "mod" ? { rounding: "floor", ...scalar.attributes } : {}
        )
      case "fma": {
        const [a, b, c] = [go(scalar.a), go(scalar.b), go(scalar.c)].map((one) => Numbers.toNumbers(one))
        return numbersOf(
          scalar.dtype,
          Array.from({ length: count }, (_, i) => (a?.[i] ?? 0) * (b?.[i] ?? 0) + (c?.[i] ?? 0))
        )
      }
      case "select":
        return apply("select", [go(scalar.condition), go(scalar.a), go(scalar.b)], {})
      case "cast":
        return apply("cast", [go(scalar.x)], { to: scalar.dtype, saturate: scalar.saturate })
    }
  }
  const value = compute()
  seen.set(scalar, value)
  return value
}

type After = ReadonlyMap<string, TypedArray>

const copies = (buffers: Buffers): Map<string, TypedArray> =>
  new Map(
    [...buffers].map(([id, { data, dtype }]): [string, TypedArray] => {
      const copy = DTypes.allocate(dtype, data.length)
      for (let i = 0; i < data.length; i++) copy[i] = data[i] ?? 0
      return [id, copy]
    })
  )

const write = (
  results: ReadonlyArray<Result>,
  values: ReadonlyArray<Tensor>,
  domain: ReadonlyArray<number>,
  symbols: Symbols,
  after: Map<string, TypedArray>
): void =>
  results.forEach(({ view }, r) => {
    const target = after.get(view.buffer)
    const place = placeIn(view, symbols)
    let i = 0
    for (const point of points(domain)) {
      const value = values[r]?.data[i++]
      if (target !== undefined && value !== undefined) target[place(point)] = value
    }
  })

const shapeOf = (dims: ReadonlyArray<View["offset"]>, symbols: Symbols): ReadonlyArray<number> =>
  dims.map((extent) => sizeOf(extent, symbols))

export const loop = (region: Loop, buffers: Buffers, symbols: Symbols = new Map()): After => {
  const domain = shapeOf(region.domain, symbols)
  const context = { domain, operands: region.operands, buffers, symbols, previous: new Map<string, Tensor>() }
  const seen = new Map<Scalar, Tensor>()
  const values = region.results.map(({ value }) => evaluate(value, context, seen))
  const after = copies(buffers)
  write(region.results, values, domain, symbols, after)
  return after
}

/** The combination of each row: floats in float64, integers exactly. */
const combine = (stage: Extract<Rows["stages"][number], { kind: "reduce" }>, x: Tensor, rows: number): Tensor => {
  const length = rows === 0 ? 0 : x.data.length / rows
  const shape = [rows, length]
  const names = {
    sum: "reduceSum",
    prod: "reduceProd",
    max: "reduceMax",
    min: "reduceMin",
    argMaxFirst: "argMax",
    argMaxLast: "argMax",
    argMinFirst: "argMin",
    argMinLast: "argMin"
  }
  const name = names[stage.combine]
  const select = stage.combine.endsWith("Last") ? "last" : "first"
  const attributes = name.startsWith("arg") ? { axis: 1, keepDims: false, select } : { axes: [1], keepDims: false }
  return apply(name, [{ ...x, shape }], attributes)
}

export const rows = (region: Rows, buffers: Buffers, symbols: Symbols = new Map()): After => {
  const outer = shapeOf(region.outer, symbols)
  const inner = shapeOf(region.inner, symbols)
  const domain = [...outer, ...inner]
  const [rowCount, length] = [Tensors.size(outer), Tensors.size(inner)]
  const onElements = new Map<string, Tensor>()
  const onRows = new Map<string, Tensor>()
  const spread = (row: Tensor): Tensor => {
    const data = DTypes.allocate(row.dtype, rowCount * length)
    for (let i = 0; i < data.length; i++) data[i] = row.data[Math.floor(i / length)] ?? 0
    return { dtype: row.dtype, shape: [data.length], data }
  }
  const at = (scalar: Scalar): Tensor =>
    evaluate(scalar, { domain, operands: region.operands, buffers, symbols, previous: onElements })
  const perRow = (scalar: Scalar): Tensor =>
    evaluate(scalar, {
      domain: [...outer, ...inner.map(() => 1)],
      operands: region.operands,
      buffers,
      symbols,
      previous: onRows
    })
  const addRow = (name: string, value: Tensor): void => {
    onRows.set(name, { ...value, shape: [rowCount] })
    onElements.set(name, spread(value))
  }
  for (const stage of region.stages)
    if (stage.kind === "element") onElements.set(stage.name, at(stage.value))
    else if (stage.kind === "row") addRow(stage.name, perRow(stage.value))
    else addRow(stage.name, combine(stage, at(stage.value), rowCount))
  const after = copies(buffers)
  for (const result of region.results)
    if (result.per === "element") write([result], [at(result.value)], domain, symbols, after)
    else write([result], [perRow(result.value)], [...outer, ...inner.map(() => 1)], symbols, after)
  return after
}

const epilogue = (
  { operands, results }: Epilogue,
  accumulator: Tensor,
  domain: ReadonlyArray<number>,
  buffers: Buffers,
  symbols: Symbols
): After => {
  const previous = new Map([["accumulator", accumulator]])
  const context = { domain, operands, buffers, symbols, previous }
  const after = copies(buffers)
  write(
    results,
    results.map(({ value }) => evaluate(value, context)),
    domain,
    symbols,
    after
  )
  return after
}

/** By the oracle's pooling kernels. `dtype`: what the epilogue takes as the accumulator. */
export const window = (region: Window, dtype: DType, buffers: Buffers, symbols: Symbols = new Map()): After => {
  const { input } = region
  const shape = shapeOf(input.shape, symbols)
  const place = placeIn(input, symbols)
  const source = buffers.get(input.buffer)?.data
  const data = DTypes.allocate(input.dtype, Tensors.size(shape))
  let i = 0
  for (const point of points(shape)) data[i++] = source?.[place(point)] ?? 0
  const out = shapeOf(region.out, symbols)
  const padsBegin = shapeOf(region.padsBegin, symbols)
  const padsEnd = shapeOf(region.padsEnd, symbols)
  const { dilations, kernel, strides } = region
  // Rounding up or down gives one of two extents: the one that is wanted.
  const floored = out.every((extent, axis) => {
    const span = (dilations[axis] ?? 1) * ((kernel[axis] ?? 1) - 1) + 1
    const room = (shape[axis + 2] ?? 1) + (padsBegin[axis] ?? 0) + (padsEnd[axis] ?? 0) - span
    return Math.floor(room / (strides[axis] ?? 1)) + 1 === extent
  })
  const attributes = { kernel, strides, dilations, padsBegin, padsEnd, ceil: !floored }
  const x: Tensor = { dtype: input.dtype, shape, data }
  // A mean of narrow floats is one in the accumulator's dtype.
  const wide = x.dtype === dtype ? x : apply("cast", [x], { to: dtype, saturate: true })
  const pooled =
    region.combine === "max"
      ? apply("maxPool", [x], { ...attributes, indexOrder: "rowMajor" })
      : apply("averagePool", [wide], { ...attributes, includePad: region.includePad })
  const domain = [...shape.slice(0, 2), ...out]
  const cast = pooled.dtype === dtype ? pooled : apply("cast", [pooled], { to: dtype, saturate: true })
  return epilogue(region.epilogue, { ...cast, shape: [cast.data.length] }, domain, buffers, symbols)
}

/** Whether arrays agree: integers and bools exactly, floats within `tolerance` of the greater magnitude (or 1). */
export const difference = (
  dtype: DType,
  actual: TypedArray,
  expected: TypedArray,
  tolerance = 0
): string | undefined => {
  const isFloat = DTypes.isFloat(dtype)
  const numbers = (data: TypedArray): ArrayLike<number | bigint> =>
    DTypes.isNarrowFloat(dtype) ? Numbers.toNumbers({ dtype, shape: [data.length], data }) : data
  const [a, b] = [numbers(actual), numbers(expected)]
  for (let i = 0; i < b.length; i++) {
    const [x, y] = [a[i], b[i]]
    if (Object.is(x, y)) continue
    if (isFloat && tolerance > 0) {
      const [p, q] = [Number(x), Number(y)]
      if (p !== p && q !== q) continue
      if (Math.abs(p - q) <= tolerance * Math.max(1, Math.abs(q))) continue
    }
    return `element ${i} is ${x}, expected ${y}`
  }
  return undefined
}
