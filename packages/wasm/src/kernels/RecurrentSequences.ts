/**
 * RecurrentSequences: sequences of a recurrent layer in one direction: states as they begin, runs of steps, what lies behind the
 * end, states as they end.
 *
 * States are where they are needed next: a step writes its output row and the next step reads it there, where rows are whole
 * vectors side by side; else two rows of scratch memory take turns.
 */
import type { View } from "@anneal/lower/View"
import type { Emission } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { i32, memoryFill, select } from "../Instruction.ts"
import type { Func, FunctionBuilder } from "../ModuleBuilder.ts"
import type { LayerPlan, panelsOf } from "./RecurrentLayerPlan.ts"
import {
  gateRow,
  hasLengths,
  holdsState,
  inputRow,
  isProjected,
  operand,
  result,
  step,
  viewOf
} from "./RecurrentLayerPlan.ts"
import * as Panels from "./RecurrentPanels.ts"
import type { Rows } from "./RecurrentRows.ts"
import { copyRows, zeroRows } from "./RecurrentRows.ts"
import { argumentsOf } from "./RecurrentStep.ts"

/** The lesser of two. */
export const least = (a: I32, b: I32): I32 => select(i32.lt_s(a, b), a, b)

/** What all sequences of a layer use. */
export interface Shared {
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
export const sequences = (
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
  /** The direction's gates begin here in a row of x that holds every gate's share. */
  const ownGates = isProjected(plan) ? direction * plan.w.gates.length * hidden * 4 : 0
  const own = (rows: I32): I32 => (ownGates === 0 ? rows : f.get(f.let(i32.add(rows, i32.const(ownGates)))))
  if (project === undefined)
    f.range(0, group.steps, 1, (done) => {
      const t = f.get(f.let(backward ? i32.sub(i32.sub(group.steps, i32.const(1)), f.get(done)) : f.get(done)))
      oneStep(t, shared.projected, own(inputs(t, i32.const(1))), xRow)
    })
  else {
    const rowBytes = i32.const(gateRow(plan))
    f.range(0, group.steps, plan.run, (done) => {
      const many = f.get(f.let(least(i32.const(plan.run), i32.sub(group.steps, f.get(done)))))
      const first = f.get(f.let(backward ? i32.sub(i32.sub(group.steps, f.get(done)), many) : f.get(done)))
      f.run(project, [own(inputs(first, many)), xRow, i32.mul(many, group.rows), w, bias, shared.projected])
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
