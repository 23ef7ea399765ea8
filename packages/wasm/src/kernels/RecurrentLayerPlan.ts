/** RecurrentLayerPlan: what the code of a recurrent layer is made for: sizes, panels of weights, where things lie in scratch memory. */
import * as Dim from "@anneal/ir/Dim"
import type { Recurrent } from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import type { RecurrentPanels } from "./RecurrentPanels.ts"
import * as Panels from "./RecurrentPanels.ts"
import type { StepPlan } from "./RecurrentStep.ts"
import { gatesBeside } from "./RecurrentStep.ts"

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
export const step = (view: View, axis: number): Dim.Dim => Dim.mul(view.strides[axis] ?? 0, 4)

/** Whether x is what the inputs give to the gates. */
export const isProjected = ({ w }: LayerPlan): boolean => w.k === 0
const isFused = (plan: LayerPlan): boolean => plan.length === 1 && !isProjected(plan)

/** How a step comes to its inputs' share: see `StepPlan`. */
export const inputOf = (plan: LayerPlan): StepPlan["input"] => {
  if (isFused(plan)) return "multiplied"
  const x = viewOf(plan.region.operands, operand.x)
  const whole = plan.region.hidden === plan.paddedHidden && x?.strides[2] === 1
  return isProjected(plan) && whole ? "given" : "scratch"
}

/** Sequences of one group: all, or one by one where each has a length of its own. */
export const hasLengths = ({ region }: LayerPlan): boolean => viewOf(region.operands, operand.lengths) !== undefined
export const groupSize = (plan: LayerPlan): Dim.Dim => (hasLengths(plan) ? 1 : plan.batch)

/** Bytes from row to row of a run's inputs when rows (step by step, sequence by sequence) are evenly spaced. */
export const inputRow = (plan: LayerPlan): Dim.Dim | undefined => {
  const x = viewOf(plan.region.operands, operand.x)
  if (x === undefined || x.strides[2] !== 1) return undefined
  const group = groupSize(plan)
  if (inputOf(plan) === "given") return step(x, 1)
  if (group === 1 || plan.length === 1) return group === 1 ? step(x, 0) : step(x, 1)
  return Dim.equal(x.strides[0] ?? 0, Dim.mul(x.strides[1] ?? 0, group)) === true ? step(x, 1) : undefined
}

/** Whether a view's last axis is whole vectors side by side, so that it can hold a state. */
export const holdsState = (plan: LayerPlan, view: View | undefined): boolean =>
  view !== undefined && view.strides.at(-1) === 1 && plan.region.hidden === plan.paddedHidden

/** Bytes of one sequence's gates in one step. */
export const gateRow = ({ paddedHidden, region }: LayerPlan): number =>
  gatesBeside(region.cell, region.flags.linearBeforeReset) * paddedHidden * 4

/** Offsets in scratch memory, bytes. */
export const scratchParts = (plan: LayerPlan) => {
  const group = groupSize(plan)
  const states = Dim.mul(group, plan.paddedHidden * 4)
  const steps = inputOf(plan) === "scratch" ? plan.run : 1
  const gates = Dim.mul(group, steps * gateRow(plan))
  const copied = inputRow(plan) === undefined
  const rows = copied ? Dim.mul(group, steps * plan.features * 4) : 0
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
