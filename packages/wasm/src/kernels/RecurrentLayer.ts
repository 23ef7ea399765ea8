/**
 * RecurrentLayer: the code of a whole recurrent layer: for each direction, runs of steps; for each run, the inputs' product
 * for all of its steps at once, then step after step. A layer of one step does both products in the step.
 *
 * States are where they are needed next: a step writes its output row and the next step reads it there, where rows are whole
 * vectors side by side; else two rows of scratch memory take turns.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Recurrent } from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import type { Emission } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { f32, i32, memoryFill, select, v128 } from "../Instruction.ts"
import type { Func, FunctionBuilder, Local } from "../ModuleBuilder.ts"
import type { RecurrentPanels } from "./RecurrentPanels.ts"
import * as Panels from "./RecurrentPanels.ts"
import { arrangement } from "./RecurrentArrangement.ts"
import { projection } from "./RecurrentProduct.ts"
import type { StepPlan } from "./RecurrentStep.ts"
import { argumentsOf, gatesBeside, stepFunction } from "./RecurrentStep.ts"

/** Positions of operands, as in the IR's ops. */
export const operand = { x: 0, w: 1, r: 2, bias: 3, lengths: 4, hidden: 5, cell: 6, peepholes: 7 } as const
export const result = { y: 0, hidden: 1, cell: 2 } as const

export interface LayerPlan {
  readonly region: Recurrent
  readonly length: Dim.Dim
  readonly batch: Dim.Dim
  readonly features: number
  readonly directions: number
  /** Units in whole blocks. */
  readonly paddedHidden: number
  /** With no terms where x is what the inputs give to the gates: [length, batch, directions · gates · hidden]. */
  readonly w: RecurrentPanels
  readonly r: ReadonlyArray<RecurrentPanels>
  readonly bias: RecurrentPanels | undefined
  readonly peepholes: RecurrentPanels | undefined
  /** Whether the kernel's constants are packed; else it packs them itself, in scratch memory. */
  readonly packed: boolean
  /** Steps whose inputs are multiplied at once. */
  readonly run: number
}

/** Everything in panels, with the operand that it is made of. */
export const panelsOf = (
  plan: LayerPlan
): ReadonlyArray<{ readonly read: number; readonly panels: RecurrentPanels }> => [
  ...(isProjected(plan) ? [] : [{ read: operand.w, panels: plan.w }]),
  ...plan.r.map((panels) => ({ read: operand.r, panels })),
  ...(plan.bias === undefined ? [] : [{ read: operand.bias, panels: plan.bias }]),
  ...(plan.peepholes === undefined ? [] : [{ read: operand.peepholes, panels: plan.peepholes }])
]

export const viewOf = (views: ReadonlyArray<View | null>, index: number): View | undefined => views[index] ?? undefined

/** Bytes from one f32 to the next along an axis. */
const step = (view: View, axis: number): Dim.Dim => Dim.mul(view.strides[axis] ?? 0, 4)

const isProjected = ({ w }: LayerPlan): boolean => w.k === 0
const isFused = (plan: LayerPlan): boolean => plan.length === 1 && !isProjected(plan)

/** Sequences of one group: all, or one by one where each has a length of its own. */
const hasLengths = ({ region }: LayerPlan): boolean => viewOf(region.operands, operand.lengths) !== undefined
const groupSize = (plan: LayerPlan): Dim.Dim => (hasLengths(plan) ? 1 : plan.batch)

/** Bytes from row to row of a run's inputs when rows (step by step, sequence by sequence) are evenly spaced. */
const inputRow = (plan: LayerPlan): Dim.Dim | undefined => {
  const x = viewOf(plan.region.operands, operand.x)
  if (x === undefined || x.strides[2] !== 1) return undefined
  const group = groupSize(plan)
  if (group === 1 || plan.length === 1) return group === 1 ? step(x, 0) : step(x, 1)
  return Dim.equal(x.strides[0] ?? 0, Dim.mul(x.strides[1] ?? 0, group)) === true ? step(x, 1) : undefined
}

/** Whether a view's last axis is whole vectors side by side, so that it can hold a state. */
const holdsState = (plan: LayerPlan, view: View | undefined): boolean =>
  view !== undefined && view.strides.at(-1) === 1 && plan.region.hidden === plan.paddedHidden

/** Bytes of one sequence's gates in one step. */
const gateRow = ({ paddedHidden, region }: LayerPlan): number =>
  gatesBeside(region.cell, region.flags.linearBeforeReset) * paddedHidden * 4

/** Offsets in scratch memory, bytes. */
const scratchParts = (plan: LayerPlan) => {
  const group = groupSize(plan)
  const states = Dim.mul(group, plan.paddedHidden * 4)
  const gates = Dim.mul(group, (isFused(plan) ? 1 : plan.run) * gateRow(plan))
  const copied = inputRow(plan) === undefined
  const rows = copied ? Dim.mul(group, (isFused(plan) ? 1 : plan.run) * plan.features * 4) : 0
  const sizes = [states, states, states, states, gates, Dim.mul(Dim.ceilDiv(rows, 16), 16)]
  const starts: Array<Dim.Dim> = []
  let at: Dim.Dim = 0
  for (const size of sizes) {
    starts.push(at)
    at = Dim.add(at, size)
  }
  const [first = 0, second = 0, cell = 0, reset = 0, projected = 0, x = 0] = starts
  const panels: Array<Dim.Dim> = []
  if (!plan.packed)
    for (const one of panelsOf(plan)) {
      panels.push(at)
      at = Dim.add(at, Panels.bytesOf(one.panels))
    }
  return { first, second, cell, reset, projected, x, panels, total: at }
}

export const scratchOf = (plan: LayerPlan): Dim.Dim => scratchParts(plan).total

const least = (a: I32, b: I32): I32 => select(i32.lt_s(a, b), a, b)

interface Rows {
  readonly at: I32
  /** Bytes. */
  readonly row: Dim.Dim | I32
  readonly unit: Dim.Dim
}

/** `count` rows of `width` f32 each, from one place to another. */
const copyRows = (f: FunctionBuilder, emission: Emission, count: I32, width: number, from: Rows, to: Rows): void => {
  const size = (value: Dim.Dim | I32): I32 =>
    typeof value === "object" && "code" in value ? value : emission.hoisted(f, value)
  const [source, target] = [f.let(from.at), f.let(to.at)]
  const [fromRow, toRow] = [size(from.row), size(to.row)]
  const adjacent = from.unit === 4 && to.unit === 4
  f.range(0, count, 1, () => {
    const whole = adjacent ? width - (width % 4) : 0
    const at = (base: Local<"i32">, unit: Dim.Dim, i: I32): I32 => i32.add(f.get(base), i32.mul(i, size(unit)))
    f.range(0, whole, 4, (i) => f.do(v128.store(at(target, 4, f.get(i)), v128.load(at(source, 4, f.get(i))))))
    f.range(whole, width, 1, (i) =>
      f.do(f32.store(at(target, to.unit, f.get(i)), f32.load(at(source, from.unit, f.get(i)))))
    )
    f.set(source, i32.add(f.get(source), fromRow))
    f.set(target, i32.add(f.get(target), toRow))
  })
}

const zeroRows = (f: FunctionBuilder, emission: Emission, count: I32, width: number, to: Rows): void => {
  const size = (value: Dim.Dim | I32): I32 =>
    typeof value === "object" && "code" in value ? value : emission.hoisted(f, value)
  const target = f.let(to.at)
  f.range(0, count, 1, () => {
    if (to.unit === 4) f.do(memoryFill(f.get(target), i32.const(0), i32.const(width * 4)))
    else
      f.range(0, width, 1, (i) =>
        f.do(f32.store(i32.add(f.get(target), i32.mul(f.get(i), size(to.unit))), f32.const(0)))
      )
    f.set(target, i32.add(f.get(target), size(to.row)))
  })
}

/** Writes the kernel's function: addresses of operands, results, packed constants, scratch, begin and end of directions. */
export const emitLayer = (emission: Emission, name: string, plan: LayerPlan): Func => {
  const { directions, region } = plan
  const sources = panelsOf(plan)
  const operands = region.operands.length
  const packedAt = operands + region.results.length
  const count = packedAt + (plan.packed ? sources.length : 0) + 3
  const parts = scratchParts(plan)
  const each = region.activations.length / directions
  const stepOf = (direction: number): Func => {
    const step: StepPlan = {
      cell: region.cell,
      linearBeforeReset: region.flags.linearBeforeReset,
      options: {
        activations: region.activations.slice(direction * each, (direction + 1) * each),
        clip: region.clip,
        inputForget: region.flags.inputForget
      },
      w: plan.w,
      r: plan.r,
      biasGates: plan.bias?.gates.length ?? 0,
      peepholes: plan.peepholes !== undefined,
      fused: isFused(plan),
      single: groupSize(plan) === 1
    }
    const text = `recurrent-step ${JSON.stringify({ ...step, wide: emission.features.wide })}`
    return emission.shared(text, () => stepFunction(emission, text, step))
  }
  const steps = Array.from({ length: directions }, (_, direction) => stepOf(direction))
  const gates = {
    bias: plan.bias?.gates.length ?? 0,
    target: gatesBeside(region.cell, region.flags.linearBeforeReset)
  }
  const projectionName = `recurrent-projection ${JSON.stringify({ w: plan.w, gates, wide: emission.features.wide })}`
  const projecting = isProjected(plan) ? arrangement : projection
  const project = isFused(plan)
    ? undefined
    : emission.shared(projectionName, () => projecting(emission, projectionName, plan.w, gates))

  return emission.module.func(name, new Array<"i32">(count).fill("i32"), [], (f) => {
    const parameter = (index: number): I32 => f.get({ type: "i32", index })
    const scratch = (offset: Dim.Dim): I32 => f.get(f.let(i32.add(parameter(count - 3), emission.dim(offset))))
    const addresses = sources.map(({ panels, read }, index) => {
      if (plan.packed) return parameter(packedAt + index)
      const target = scratch(parts.panels[index] ?? 0)
      const view = viewOf(region.operands, read)
      if (view === undefined) throw new RangeError(`operand ${read} is missing`)
      // Biases have one term: no axis moves along it.
      const byTerm = view.strides.length === 3 ? step(view, 2) : 0
      Panels.emitPack(
        f,
        panels,
        parameter(read),
        {
          direction: emission.hoisted(f, step(view, 0)),
          row: emission.hoisted(f, step(view, 1)),
          term: emission.hoisted(f, byTerm)
        },
        target
      )
      return target
    })
    const shared: Shared = {
      f,
      emission,
      plan,
      parameter,
      addresses,
      sources,
      first: scratch(parts.first),
      second: scratch(parts.second),
      cell: scratch(parts.cell),
      reset: scratch(parts.reset),
      projected: scratch(parts.projected),
      x: scratch(parts.x),
      project
    }
    const [begin, end] = [parameter(count - 2), parameter(count - 1)]
    steps.forEach((step, direction) =>
      f.if(i32.and(i32.le_s(begin, i32.const(direction)), i32.lt_s(i32.const(direction), end)), () => {
        const lengths = viewOf(region.operands, operand.lengths)
        const length = emission.hoisted(f, plan.length)
        const batch = emission.hoisted(f, plan.batch)
        if (lengths === undefined)
          return sequences(shared, direction, step, { first: i32.const(0), rows: batch, steps: length })
        const bytes = lengths.dtype === "i64" ? 8 : 4
        f.range(0, batch, 1, (row) => {
          const at = i32.add(
            parameter(operand.lengths),
            i32.mul(f.get(row), emission.dim(Dim.mul(lengths.strides[0] ?? 0, bytes)))
          )
          const given = f.get(f.let(i32.load(at)))
          const inside = f.get(f.let(select(i32.gt_s(given, i32.const(0)), least(given, length), i32.const(0))))
          sequences(shared, direction, step, { first: f.get(row), rows: i32.const(1), steps: inside })
        })
      })
    )
  })
}

interface Shared {
  readonly f: FunctionBuilder
  readonly emission: Emission
  readonly plan: LayerPlan
  readonly parameter: (index: number) => I32
  /** Of what `sources` lists. */
  readonly addresses: ReadonlyArray<I32>
  readonly sources: ReturnType<typeof panelsOf>
  readonly first: I32
  readonly second: I32
  readonly cell: I32
  readonly reset: I32
  readonly projected: I32
  readonly x: I32
  readonly project: Func | undefined
}

/** Some sequences of the batch in one direction: `rows` from `first`, all of `steps` steps. */
const sequences = (
  shared: Shared,
  direction: number,
  step_: Func,
  group: { readonly first: I32; readonly rows: I32; readonly steps: I32 }
): void => {
  const { emission, f, parameter, plan } = shared
  const { region } = plan
  const { hidden } = region
  const padded = i32.const(plan.paddedHidden * 4)
  const backward = region.direction === "reverse" || direction === 1
  const operandAt = (index: number): View | undefined => viewOf(region.operands, index)
  const resultAt = (index: number): View | undefined => viewOf(region.results, index)
  const resultAddress = (index: number): I32 => parameter(region.operands.length + index)
  /** The group's first row of a state, [directions, batch, hidden]. */
  const stateRows = (view: View, address: I32): Rows => ({
    at: i32.add(
      i32.add(address, i32.mul(i32.const(direction), emission.dim(step(view, 0)))),
      i32.mul(group.first, emission.dim(step(view, 1)))
    ),
    row: step(view, 1),
    unit: step(view, 2)
  })
  const scratchRows = (at: I32): Rows => ({ at, row: padded, unit: 4 })
  const panels = (read: number, which = 0): I32 => {
    const index = shared.sources.findIndex((source) => source.read === read) + which
    const [source, address] = [shared.sources[index], shared.addresses[index]]
    if (source === undefined || address === undefined || source.read !== read) return i32.const(0)
    return i32.add(address, i32.const(direction * Panels.directionBytes(source.panels)))
  }
  const w = f.get(f.let(panels(operand.w)))
  const r = f.get(f.let(panels(operand.r)))
  const candidate = f.get(f.let(plan.r.length > 1 ? panels(operand.r, 1) : i32.const(0)))
  const bias = f.get(f.let(panels(operand.bias)))
  const peepholes = f.get(f.let(panels(operand.peepholes)))

  // States as they begin.
  const [h, hRow] = [f.local("i32"), f.local("i32")]
  const initial = operandAt(operand.hidden)
  if (initial !== undefined && holdsState(plan, initial)) {
    const rows = stateRows(initial, parameter(operand.hidden))
    f.set(h, rows.at)
    f.set(hRow, emission.dim(step(initial, 1)))
  } else {
    f.set(h, shared.first)
    f.set(hRow, padded)
    if (initial === undefined || hidden !== plan.paddedHidden)
      f.do(memoryFill(shared.first, i32.const(0), i32.mul(group.rows, padded)))
    if (initial !== undefined)
      copyRows(
        f,
        emission,
        group.rows,
        hidden,
        stateRows(initial, parameter(operand.hidden)),
        scratchRows(shared.first)
      )
  }
  if (region.cell === "lstm") {
    const cell = operandAt(operand.cell)
    if (cell === undefined || hidden !== plan.paddedHidden)
      f.do(memoryFill(shared.cell, i32.const(0), i32.mul(group.rows, padded)))
    if (cell !== undefined)
      copyRows(f, emission, group.rows, hidden, stateRows(cell, parameter(operand.cell)), scratchRows(shared.cell))
  }

  const y = resultAt(result.y)
  const inPlace = holdsState(plan, y)
  // Where a step writes when it can't write the output: what is not being read.
  const spare = f.let(shared.second)
  const yRow = y === undefined ? padded : emission.hoisted(f, step(y, 2))
  /** The output's rows of a step: [length, directions, batch, hidden]. */
  const yRows = (view: View, t: I32): Rows => ({
    at: i32.add(
      i32.add(resultAddress(result.y), i32.mul(t, emission.dim(step(view, 0)))),
      i32.add(
        i32.mul(i32.const(direction), emission.dim(step(view, 1))),
        i32.mul(group.first, emission.dim(step(view, 2)))
      )
    ),
    row: step(view, 2),
    unit: step(view, 3)
  })
  const oneStep = (t: I32, gates: I32, x: I32, xRow: I32): void => {
    const next = f.get(f.let(y !== undefined && inPlace ? yRows(y, t).at : f.get(spare)))
    const nextRow = inPlace ? yRow : padded
    f.run(
      step_,
      argumentsOf({
        h: f.get(h),
        hRow: f.get(hRow),
        next,
        nextRow,
        c: shared.cell,
        gates,
        x,
        xRow,
        rows: group.rows,
        w,
        r,
        candidate,
        bias,
        peepholes,
        reset: shared.reset
      })
    )
    if (!inPlace) {
      if (y !== undefined) copyRows(f, emission, group.rows, hidden, scratchRows(next), yRows(y, t))
      f.set(spare, select(i32.eq(next, shared.second), shared.first, shared.second))
    }
    f.set(h, next)
    f.set(hRow, nextRow)
  }

  // Steps.
  const x = operandAt(operand.x)
  if (x === undefined) throw new RangeError("a recurrent layer has an input")
  const spacing = inputRow(plan)
  const xRow = spacing === undefined ? i32.const(plan.features * 4) : emission.hoisted(f, spacing)
  const xAt = (t: I32): I32 =>
    i32.add(
      i32.add(parameter(operand.x), i32.mul(t, emission.dim(step(x, 0)))),
      i32.mul(group.first, emission.dim(step(x, 1)))
    )
  /** The input's rows of `count` steps from `t`, evenly spaced. */
  const inputs = (t: I32, count: I32): I32 => {
    if (spacing !== undefined) return f.get(f.let(xAt(t)))
    const target = f.let(shared.x)
    f.range(0, count, 1, (i) => {
      copyRows(
        f,
        emission,
        group.rows,
        plan.features,
        { at: xAt(i32.add(t, f.get(i))), row: step(x, 1), unit: step(x, 2) },
        { at: f.get(target), row: plan.features * 4, unit: 4 }
      )
      f.set(target, i32.add(f.get(target), i32.mul(group.rows, i32.const(plan.features * 4))))
    })
    return shared.x
  }
  const { project } = shared
  if (project === undefined)
    f.if(i32.gt_s(group.steps, i32.const(0)), () =>
      oneStep(i32.const(0), shared.projected, inputs(i32.const(0), i32.const(1)), xRow)
    )
  else {
    const rowBytes = i32.const(gateRow(plan))
    f.range(0, group.steps, plan.run, (done) => {
      const many = f.get(f.let(least(i32.const(plan.run), i32.sub(group.steps, f.get(done)))))
      const first = f.get(f.let(backward ? i32.sub(i32.sub(group.steps, f.get(done)), many) : f.get(done)))
      const ownGates = isProjected(plan) ? direction * plan.w.gates.length * hidden * 4 : 0
      const rows = i32.add(inputs(first, many), i32.const(ownGates))
      f.run(project, [rows, xRow, i32.mul(many, group.rows), w, bias, shared.projected])
      f.range(0, many, 1, (i) => {
        const place = f.get(f.let(backward ? i32.sub(i32.sub(many, i32.const(1)), f.get(i)) : f.get(i)))
        const from = i32.add(shared.projected, i32.mul(i32.mul(place, group.rows), rowBytes))
        oneStep(i32.add(first, place), f.get(f.let(from)), i32.const(0), i32.const(0))
      })
    })
  }

  // What lies behind the end of a sequence, and the states as they end.
  if (y !== undefined && hasLengths(plan))
    f.range(group.steps, emission.dim(plan.length), 1, (t) =>
      zeroRows(f, emission, group.rows, hidden, yRows(y, f.get(t)))
    )
  const lastHidden = resultAt(result.hidden)
  if (lastHidden !== undefined) {
    const unit = initial !== undefined && holdsState(plan, initial) ? step(initial, 2) : 4
    copyRows(
      f,
      emission,
      group.rows,
      hidden,
      { at: f.get(h), row: f.get(hRow), unit },
      stateRows(lastHidden, resultAddress(result.hidden))
    )
  }
  const lastCell = resultAt(result.cell)
  if (lastCell !== undefined && region.cell === "lstm")
    copyRows(f, emission, group.rows, hidden, scratchRows(shared.cell), stateRows(lastCell, resultAddress(result.cell)))
}
