/**
 * Check: whether a program is sound at given sizes: everything is written before it is read, inside its buffer, once; no
 * region reads what it writes; shapes of views and dtypes of results are right. Looks at every element: for tests.
 */
import type * as Bind from "@anneal/ir/Bind"
import * as Dim from "@anneal/ir/Dim"
import * as Tensors from "@anneal/ir/Tensor"
import type { Program, Step } from "./Program.ts"
import type { Region } from "./Region.ts"
import * as Regions from "./Region.ts"
import type { Scalar } from "./Scalar.ts"
import * as Scalars from "./Scalar.ts"
import type { View } from "./View.ts"

type Shape = ReadonlyArray<Dim.Dim>

/** Addresses of a view's elements, with repetition. */
const addresses = (
  offset: number,
  shape: ReadonlyArray<number>,
  strides: ReadonlyArray<number>,
  visit: (address: number) => void
): void => {
  if (shape.includes(0)) return
  const point = shape.map(() => 0)
  let at = offset
  for (let left = Tensors.size(shape); left > 0; left--) {
    visit(at)
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const next = (point[axis] ?? 0) + 1
      const wraps = next === shape[axis]
      point[axis] = wraps ? 0 : next
      at += (strides[axis] ?? 0) * (wraps ? 1 - next : 1)
      if (!wraps) break
    }
  }
}

/** Loads that the data displaces: operand, and where they may go to. */
const displacements = (values: ReadonlyArray<Scalar>): ReadonlyMap<number, Extract<Scalar, { kind: "load" }>> =>
  new Map(
    Scalars.parts(values).flatMap((part) =>
      part.kind === "load" && part.indirect !== undefined ? [[part.operand, part] as const] : []
    )
  )

/** The shape that each view of a region must have; undefined where the kind does not say. */
const domainOf = (region: Region): Shape | undefined => {
  switch (region.kind) {
    case "loop":
      return region.domain
    case "rows":
      return [...region.outer, ...region.inner]
    case "contraction":
      return [...region.batch, region.m, region.n]
    case "convolution":
      return [region.batch, region.groups, region.weight.shape[1] ?? 1, ...region.out]
    case "window":
      return [...region.input.shape.slice(0, 2), ...region.out]
    default:
      return undefined
  }
}

/** How many of the first reads belong to the main loop, whose views have other axes. */
const mainReads = (region: Region): number =>
  region.kind === "contraction" || region.kind === "convolution" ? 2 : region.kind === "window" ? 1 : 0

class Checker {
  readonly problems: Array<string> = []
  readonly hosted = new Set<string>()
  readonly ids = new Set<string>()
  written = new Map<string, Uint8Array>()
  readonly program: Program
  readonly bindings: Bind.Bindings

  constructor(program: Program, bindings: Bind.Bindings) {
    this.program = program
    this.bindings = bindings
  }

  /** Undefined while a symbol has no value: sizes that only the data decides. */
  size = (dim: Dim.Dim): number | undefined => Dim.evaluate(dim, this.bindings)

  say(at: string, what: string): void {
    if (this.problems.length < 50) this.problems.push(`${at}: ${what}`)
  }

  marks(id: string): Uint8Array | undefined {
    const known = this.written.get(id)
    if (known !== undefined) return known
    const buffer = this.program.buffers.get(id)
    const size = buffer === undefined ? undefined : this.size(buffer.size)
    if (buffer === undefined || size === undefined) return undefined
    const isGiven = buffer.kind === "input" || buffer.kind === "constant"
    const made = new Uint8Array(size).fill(isGiven ? 1 : 0)
    this.written.set(id, made)
    return made
  }

  /** Every address of a view inside its buffer, after saying what is wrong with the view itself. */
  visit(at: string, view: View, visit: (marks: Uint8Array, address: number) => void): void {
    const buffer = this.program.buffers.get(view.buffer)
    if (buffer === undefined) return this.say(at, `no buffer ${view.buffer}`)
    if (buffer.dtype !== view.dtype) this.say(at, `${view.buffer} holds ${buffer.dtype}, the view says ${view.dtype}`)
    if (view.strides.length !== view.shape.length) return this.say(at, "a view with strides for other axes")
    const marks = this.marks(view.buffer)
    const offset = this.size(view.offset)
    const shape = view.shape.map(this.size)
    const strides = view.strides.map(this.size)
    const isKnown = (list: ReadonlyArray<number | undefined>): list is ReadonlyArray<number> =>
      !list.includes(undefined)
    if (marks === undefined || offset === undefined || !isKnown(shape) || !isKnown(strides))
      return this.say(at, `${view.buffer}: a size has no value`)
    let outside: number | undefined
    addresses(offset, shape, strides, (address) => {
      if (address < 0 || address >= marks.length) outside = address
      else visit(marks, address)
    })
    if (outside !== undefined) this.say(at, `${view.buffer}: element ${outside} is outside ${marks.length}`)
  }

  read(at: string, view: View): void {
    let missing: number | undefined
    this.visit(at, view, (marks, address) => {
      if (marks[address] === 0) missing ??= address
    })
    if (missing !== undefined) this.say(at, `${view.buffer}: element ${missing} is read before it is written`)
  }

  write(at: string, view: View): void {
    const kind = this.program.buffers.get(view.buffer)?.kind
    if (kind === "input" || kind === "constant") this.say(at, `it writes the ${kind} ${view.buffer}`)
    let twice: number | undefined
    this.visit(at, view, (marks, address) => {
      if (marks[address] !== 0) twice ??= address
      marks[address] = 1
    })
    if (twice !== undefined) this.say(at, `${view.buffer}: element ${twice} is written twice`)
  }

  region(region: Region): void {
    const { id } = region
    if (this.ids.has(id)) this.say(id, "two regions have this id")
    this.ids.add(id)
    const domain = domainOf(region)
    const reads = Regions.reads(region)
    const displaced = displacements(Regions.expressions(region))
    const main = mainReads(region)
    for (const [position, view] of reads.entries()) {
      if (view === null) continue
      if (domain !== undefined && position >= main) this.hasShape(id, view, domain)
      const load = displaced.get(position - main)
      this.read(
        id,
        load?.indirect === undefined
          ? view
          : {
              ...view,
              shape: [...view.shape, ...load.indirect.map(({ extent }) => extent)],
              strides: [...view.strides, ...load.indirect.map(({ stride }) => stride)]
            }
      )
    }
    for (const part of Scalars.parts(Regions.expressions(region))) {
      if (part.kind !== "load") continue
      const view = reads[part.operand + main]
      if (view === null || view === undefined) this.say(id, `operand ${part.operand} is missing`)
      else if (view.dtype !== part.dtype)
        this.say(id, `operand ${part.operand} is ${view.dtype}, loaded as ${part.dtype}`)
    }
    const results = region.kind === "loop" || region.kind === "rows" ? region.results : []
    for (const { value, view } of "epilogue" in region ? region.epilogue.results : results)
      if (value.dtype !== view.dtype) this.say(id, `a ${value.dtype} is written to ${view.dtype}`)
    for (const view of Regions.writes(region)) {
      if (view === null) continue
      if (domain !== undefined) this.hasShape(id, view, domain)
      this.write(id, region.kind === "rows" ? withoutRepeats(view, region, this) : view)
    }
  }

  hasShape(at: string, view: View, domain: Shape): void {
    const same =
      view.shape.length === domain.length &&
      view.shape.every((extent, axis) => this.size(extent) === this.size(domain[axis] ?? 0))
    if (!same)
      this.say(
        at,
        `a view over [${view.shape.map(Dim.format).join()}] in a domain of [${domain.map(Dim.format).join()}]`
      )
  }

  steps(steps: ReadonlyArray<Step>): void {
    for (const step of steps) {
      if (step.kind === "region") this.region(step.region)
      else if (step.kind === "branch") this.branch(step)
      else this.host(step)
    }
  }

  host(step: Extract<Step, { readonly kind: "host" }>): void {
    const at = `host ${step.node.outputs[0]?.id ?? step.node.op.name}`
    for (const operand of step.operands) {
      if (operand === null) continue
      if (!("host" in operand)) this.read(at, operand)
      else if (!this.hosted.has(operand.host)) this.say(at, `the host has no %${operand.host} yet`)
    }
    for (const result of step.results) {
      if ("host" in result) this.hosted.add(result.host)
      else this.write(at, result)
    }
  }

  /** Afterwards only what both branches wrote counts as written. */
  branch(step: Extract<Step, { readonly kind: "branch" }>): void {
    this.read("a branch's condition", step.condition)
    const before = new Map([...this.written].map(([id, marks]) => [id, marks.slice()]))
    this.steps(step.whenTrue)
    const whenTrue = this.written
    this.written = before
    this.steps(step.whenFalse)
    for (const [id, marks] of this.written) {
      const other = whenTrue.get(id)
      if (other === undefined) marks.fill(0)
      else for (let at = 0; at < marks.length; at++) marks[at] = (marks[at] ?? 0) & (other[at] ?? 0)
    }
  }
}

/** The view of a row's result is written once a row, whatever the inner axes say. */
const withoutRepeats = (view: View, region: Extract<Region, { readonly kind: "rows" }>, checker: Checker): View => {
  const result = region.results.find((one) => one.view === view)
  if (result?.per !== "row") return view
  const outer = region.outer.length
  if (view.strides.slice(outer).some((stride) => stride !== 0))
    checker.say(region.id, "a row's result moves along inner axes")
  return { ...view, shape: view.shape.slice(0, outer), strides: view.strides.slice(0, outer) }
}

/**
 * What is wrong with a program at these sizes; empty: nothing. `bindings` have every symbol; buffers whose size only the
 * data decides are the host's.
 */
export const check = (program: Program, bindings: Bind.Bindings): ReadonlyArray<string> => {
  const checker = new Checker(program, bindings)
  for (const symbol of program.symbols)
    if (program.fixed.has(symbol)) checker.say(program.graph.name, `${symbol} is fixed and free`)
  checker.steps(program.prepare)
  // What preparing leaves in the arena is gone.
  for (const id of checker.written.keys()) if (program.buffers.get(id)?.kind === "arena") checker.written.delete(id)
  checker.steps(program.steps)
  for (const output of program.outputs) {
    if (!("host" in output)) checker.read("an output", output)
    else if (!checker.hosted.has(output.host)) checker.say("an output", `the host has no %${output.host}`)
  }
  return checker.problems
}
