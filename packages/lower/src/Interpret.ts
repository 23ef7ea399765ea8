/**
 * Interpret: runs a program region by region, by what each region is defined to compute, slowly and with nothing clever:
 * what shows that a plan computes what its graph says, and what generated code may be held against.
 */
import * as Bind from "@anneal/ir/Bind"
import * as Constants from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Node } from "@anneal/ir/Graph"
import * as Float from "@anneal/ir/Float"
import * as Numbers from "@anneal/ir/Numbers"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import * as Functions from "@anneal/ir/Math"
import type { Element } from "./Evaluate.ts"
import * as Evaluate from "./Evaluate.ts"
import * as MainLoops from "./MainLoops.ts"
import type { Program, Step } from "./Program.ts"
import type { Attention, Epilogue, Loop, Region, Rows, Stage } from "./Region.ts"
import type { View } from "./View.ts"

/** Elements by value: narrow floats decoded, 64-bit integers as such. */
export type Elements = Float64Array | BigInt64Array | BigUint64Array

/** Computes a node as the oracle does: for host steps, whole nodes and recurrent layers. */
export type RunNode = (
  node: Node,
  operands: ReadonlyArray<Tensor | undefined>,
  bindings: ReadonlyMap<string, number>
) => ReadonlyArray<Tensor>

/** A view with every dim as a number. */
export interface Placed {
  readonly data: Elements
  readonly shape: ReadonlyArray<number>
  readonly offset: number
  readonly strides: ReadonlyArray<number>
}

const allocate = (dtype: DType, size: number): Elements => {
  if (dtype === "i64") return new BigInt64Array(size)
  if (dtype === "u64") return new BigUint64Array(size)
  // What nobody wrote shows up in results.
  return new Float64Array(size).fill(NaN)
}

const elementsOf = (tensor: Tensor): Elements => {
  const { data } = tensor
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return data.slice()
  return Numbers.toNumbers(tensor)
}

/** Every point of a box in row-major order, with the address of each view at it. */
export const forEach = (
  shape: ReadonlyArray<number>,
  views: ReadonlyArray<Placed>,
  visit: (addresses: ReadonlyArray<number>, point: ReadonlyArray<number>) => void
): void => {
  if (shape.includes(0)) return
  const point = shape.map(() => 0)
  const addresses = views.map(({ offset }) => offset)
  const total = Tensors.size(shape)
  for (let count = 0; count < total; count++) {
    visit(addresses, point)
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const next = (point[axis] ?? 0) + 1
      const wraps = next === shape[axis]
      point[axis] = wraps ? 0 : next
      for (const [at, { strides }] of views.entries())
        addresses[at] = (addresses[at] ?? 0) + (strides[axis] ?? 0) * (wraps ? 1 - next : 1)
      if (!wraps) break
    }
  }
}

const outside = (at: number, size: number): never => {
  throw new RangeError(`element ${at} is outside a buffer of ${size}`)
}

const write = (data: Elements, at: number, value: Element): void => {
  if (at < 0 || at >= data.length) outside(at, data.length)
  if (data instanceof Float64Array) data[at] = Number(value)
  else data[at] = BigInt(value)
}

const readAt = (data: Elements, at: number): Element => data[at] ?? outside(at, data.length)

class Machine {
  readonly buffers = new Map<string, Elements>()
  readonly hosted = new Map<string, Tensor>()
  readonly bindings: Map<string, number>
  readonly program: Program
  readonly runNode: RunNode

  constructor(program: Program, bindings: Map<string, number>, runNode: RunNode) {
    this.program = program
    this.bindings = bindings
    this.runNode = runNode
  }

  size = (dim: Dim.Dim): number => Bind.extent(dim, this.bindings, this.program.graph.name)

  place(view: View): Placed {
    const { size } = this
    return {
      data: this.buffer(view.buffer),
      shape: view.shape.map(size),
      offset: size(view.offset),
      strides: view.strides.map(size)
    }
  }

  buffer(id: string): Elements {
    const known = this.buffers.get(id)
    if (known !== undefined) return known
    const buffer = this.program.buffers.get(id)
    if (buffer === undefined) throw new RangeError(`no buffer ${id}`)
    const made =
      buffer.constant === undefined
        ? allocate(buffer.dtype, this.size(buffer.size))
        : elementsOf(Constants.load(buffer.constant))
    this.buffers.set(id, made)
    return made
  }

  tensor(view: View): Tensor {
    const placed = this.place(view)
    const values: Array<Element> = []
    forEach(placed.shape, [placed], ([at]) => void values.push(readAt(placed.data, at ?? 0)))
    return tensorOf(view.dtype, placed.shape, values)
  }

  fill(view: View, tensor: Tensor): void {
    const placed = this.place(view)
    const elements = elementsOf(tensor)
    let next = 0
    forEach(placed.shape, [placed], ([at]) => write(placed.data, at ?? 0, readAt(elements, next++)))
  }

  run(steps: ReadonlyArray<Step>): void {
    for (const step of steps) {
      if (step.kind === "region") this.region(step.region)
      else if (step.kind === "branch") {
        const [holds] = this.tensor(step.condition).data
        this.run(holds === 1 ? step.whenTrue : step.whenFalse)
      } else this.host(step)
    }
  }

  host(step: Extract<Step, { readonly kind: "host" }>): void {
    const operands = step.operands.map((operand) =>
      operand === null ? undefined : "host" in operand ? this.hosted.get(operand.host) : this.tensor(operand)
    )
    const results = this.runNode(step.node, operands, this.bindings)
    for (const [position, result] of step.results.entries()) {
      const tensor = results[position]
      if (tensor === undefined) continue
      this.bindSizes(step.node, position, tensor)
      if ("host" in result) this.hosted.set(result.host, tensor)
      else this.fill(result, tensor)
    }
  }

  /** Sizes that this result decides. */
  bindSizes(node: Node, position: number, tensor: Tensor): void {
    const { bindings } = this
    const bindOne = (dim: Dim.Dim, value: number): void => {
      const solved = Dim.solve(dim, value, bindings)
      if (solved !== undefined) bindings.set(solved.name, solved.value)
    }
    const symbols = node.attributes["symbols"]
    if (node.op.name === "readDims" && Array.isArray(symbols))
      for (const [index, dim] of symbols.entries()) if (Dim.isSymbolic(dim)) bindOne(dim, Number(tensor.data[index]))
    for (const [axis, dim] of (node.outputs[position]?.type.shape ?? []).entries())
      bindOne(dim, tensor.shape[axis] ?? 0)
  }

  region(region: Region): void {
    switch (region.kind) {
      case "loop":
        return this.loop(region)
      case "rows":
        return this.rows(region)
      case "contraction":
      case "convolution":
      case "window":
        return this.anchored(region)
      case "attention":
        return this.attention(region)
      case "recurrent":
      case "whole": {
        const node = region.kind === "whole" ? region.node : region.members[0]
        if (node === undefined) throw new RangeError(`${region.id} has no node`)
        const operands = region.operands.map((view) => (view === null ? undefined : this.tensor(view)))
        const results = this.runNode(node, operands, this.bindings)
        for (const [position, view] of region.results.entries()) {
          const tensor = results[position]
          if (view !== null && tensor !== undefined) this.fill(view, tensor)
        }
      }
    }
  }

  /** One pass over a domain: `values` of the results at each point. */
  pass(
    shape: ReadonlyArray<number>,
    reads: ReadonlyArray<Placed>,
    results: Epilogue["results"],
    previous: (name: string, point: ReadonlyArray<number>) => Element
  ): void {
    const writes = results.map(({ view }) => this.place(view))
    const values = Evaluate.compile(
      results.map(({ value }) => value),
      this.size
    )
    forEach(shape, [...reads, ...writes], (addresses, point) => {
      const made = values({
        load: (operand, displacement) => {
          const from = reads[operand]
          return from === undefined ? 0 : readAt(from.data, (addresses[operand] ?? 0) + displacement)
        },
        index: (axis) => point[axis] ?? 0,
        previous: (name) => previous(name, point)
      })
      for (const [position, to] of writes.entries())
        write(to.data, addresses[reads.length + position] ?? 0, made[position] ?? 0)
    })
  }

  loop(region: Loop): void {
    const reads = region.operands.map((view) => this.place(view))
    this.pass(region.domain.map(this.size), reads, region.results, () => 0)
  }

  anchored(region: MainLoops.Anchored): void {
    const { sum, shape } = MainLoops.prepare(region, (view) => this.place(view), this.size)
    const reads = region.epilogue.operands.map((view) => this.place(view))
    this.pass(shape, reads, region.epilogue.results, (_, point) => sum(point))
  }

  rows(region: Rows): void {
    const [outer, inner] = [region.outer.map(this.size), region.inner.map(this.size)]
    const reads = region.operands.map((view) => this.place(view))
    const writes = region.results.map(({ view }) => this.place(view))
    const expressions = [...region.stages.map(({ value }) => value), ...region.results.map(({ value }) => value)]
    const compiled = expressions.map((value) => Evaluate.compile([value], this.size))
    const rank = outer.length
    const tail = (views: ReadonlyArray<Placed>, addresses: ReadonlyArray<number>): ReadonlyArray<Placed> =>
      views.map((view, at) => ({ ...view, offset: addresses[at] ?? 0, strides: view.strides.slice(rank) }))
    forEach(outer, [...reads, ...writes], (starts, row) => {
      const rowReads = tail(reads, starts)
      const rowWrites = tail(writes, starts.slice(reads.length))
      const byRow = new Map<string, Element>()
      const byElement = new Map<string, ReadonlyArray<Element>>()
      const each = (which: number): ReadonlyArray<Element> => {
        const made: Array<Element> = []
        forEach(inner, rowReads, (addresses, point) => {
          const position = made.length
          const [value] =
            compiled[which]?.({
              load: (operand, displacement) => {
                const from = rowReads[operand]
                return from === undefined ? 0 : readAt(from.data, (addresses[operand] ?? 0) + displacement)
              },
              index: (axis) => (axis < rank ? row[axis] : point[axis - rank]) ?? 0,
              previous: (name) => byRow.get(name) ?? byElement.get(name)?.[position] ?? 0
            }) ?? []
          made.push(value ?? 0)
        })
        return made
      }
      // A row's value reads operands at the row's first element.
      const once = (which: number): Element =>
        compiled[which]?.({
          load: (operand, displacement) => {
            const from = rowReads[operand]
            return from === undefined ? 0 : readAt(from.data, from.offset + displacement)
          },
          index: (axis) => row[axis] ?? 0,
          previous: (name) => byRow.get(name) ?? 0
        })[0] ?? 0
      for (const [which, stage] of region.stages.entries()) {
        if (stage.kind === "element") byElement.set(stage.name, each(which))
        else if (stage.kind === "row") byRow.set(stage.name, once(which))
        else byRow.set(stage.name, combine(stage, each(which)))
      }
      for (const [position, result] of region.results.entries()) {
        const [which, to] = [region.stages.length + position, rowWrites[position]]
        if (to === undefined) continue
        if (result.per === "row") {
          write(to.data, to.offset, once(which))
          continue
        }
        const values = each(which)
        let next = 0
        forEach(inner, [to], ([at]) => write(to.data, at ?? 0, values[next++] ?? 0))
      }
    })
  }

  attention(region: Attention): void {
    const { size } = this
    const [q, k, v, result] = [region.q, region.k, region.v, region.result].map((view) => this.place(view))
    const mask = region.mask === undefined ? undefined : this.place(region.mask)
    if (q === undefined || k === undefined || v === undefined || result === undefined) return
    const [queries, keys, depth, width] = [region.queries, region.keys, region.dim, region.valueDim].map(size)
    const rank = region.batch.length
    const dtype = region.result.dtype
    const at = (view: Placed, start: number, i: number, j: number): number =>
      Number(readAt(view.data, start + i * (view.strides[rank] ?? 0) + j * (view.strides[rank + 1] ?? 0)))
    const all = [q, k, v, result, ...(mask === undefined ? [] : [mask])]
    forEach(region.batch.map(size), all, ([q0 = 0, k0 = 0, v0 = 0, r0 = 0, m0 = 0]) => {
      for (let i = 0; i < (queries ?? 0); i++) {
        const scores: Array<number> = []
        for (let j = 0; j < (keys ?? 0); j++) {
          let score = 0
          for (let d = 0; d < (depth ?? 0); d++) score += at(q, q0, i, d) * at(k, k0, j, d)
          score = score * region.scale + (mask === undefined ? 0 : at(mask, m0, i, j))
          scores.push(region.causal && j > i + (keys ?? 0) - (queries ?? 0) ? -Infinity : score)
        }
        const most = scores.reduce((a, b) => Math.max(a, b), -Infinity)
        const powers = scores.map((score) => Functions.exp(score - most))
        const total = powers.reduce((a, b) => a + b, 0)
        for (let c = 0; c < (width ?? 0); c++) {
          let sum = 0
          for (const [j, power] of powers.entries()) sum += (power / total) * at(v, v0, j, c)
          const place = r0 + i * (result.strides[rank] ?? 0) + c * (result.strides[rank + 1] ?? 0)
          write(result.data, place, Evaluate.convert(dtype, sum))
        }
      }
    })
  }
}

const isBetter = (value: Element, best: Element, greatest: boolean, last: boolean): boolean => {
  const [isNaN, wasNaN] = [value !== value, best !== best]
  if (isNaN || wasNaN) return isNaN && (!wasNaN || last)
  return (greatest ? value > best : value < best) || (last && value === best)
}

/** The combination of a row's values: floats are summed in float64 and rounded once. */
const combine = (stage: Extract<Stage, { readonly kind: "reduce" }>, values: ReadonlyArray<Element>): Element => {
  const { dtype } = stage
  switch (stage.combine) {
    case "sum":
    case "prod": {
      const isSum = stage.combine === "sum"
      if (DTypes.isFloat(dtype)) {
        let total = isSum ? 0 : 1
        for (const value of values) total = isSum ? total + Number(value) : total * Number(value)
        return Evaluate.convert(dtype, total)
      }
      let whole = isSum ? 0n : 1n
      for (const value of values) whole = BigInt.asIntN(64, isSum ? whole + BigInt(value) : whole * BigInt(value))
      return Evaluate.convert(dtype, whole)
    }
    case "max":
    case "min": {
      const greatest = stage.combine === "max"
      const [first] = values
      if (first === undefined) return extreme(dtype, !greatest)
      let best = first
      for (const value of values) if (isBetter(value, best, greatest, false)) best = value
      return best
    }
    default: {
      const greatest = stage.combine.startsWith("argMax")
      let best = 0
      for (const [position, value] of values.entries())
        if (position > 0 && isBetter(value, values[best] ?? 0, greatest, stage.combine.endsWith("Last")))
          best = position
      return BigInt(best)
    }
  }
}

const extreme = (dtype: DType, greatest: boolean): Element => {
  if (DTypes.isFloat(dtype)) return dtype === "f8e4m3" ? (greatest ? 448 : -448) : greatest ? Infinity : -Infinity
  const { max, min } = DTypes.integerRange(dtype)
  return Evaluate.convert(dtype, greatest ? max : min)
}

const tensorOf = (dtype: DType, shape: ReadonlyArray<number>, values: ReadonlyArray<Element>): Tensor => {
  const data = DTypes.allocate(dtype, values.length)
  for (const [at, value] of values.entries()) {
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[at] = BigInt(value)
    else data[at] = DTypes.isNarrowFloat(dtype) ? Float.encode(dtype, Number(value)) : Number(value)
  }
  return { dtype, shape, data }
}

/** The outputs of a program. Throws `BindError` when the inputs do not fit, RangeError when a program leaves its buffers. */
export const run = (program: Program, inputs: ReadonlyArray<Tensor>, runNode: RunNode): ReadonlyArray<Tensor> => {
  const bindings = Bind.bind(
    program.graph,
    inputs.map(({ shape }) => shape)
  )
  const machine = new Machine(program, bindings, runNode)
  for (const [position, view] of program.inputs.entries()) {
    const tensor = inputs[position]
    if (tensor !== undefined) machine.fill(view, tensor)
  }
  machine.run(program.prepare)
  machine.run(program.steps)
  return program.outputs.map((output) => {
    const found = "host" in output ? machine.hosted.get(output.host) : machine.tensor(output)
    if (found === undefined) throw new RangeError("an output has no value")
    return found
  })
}
