/**
 * Recurrent: LSTM, GRU and RNN layers, whole.
 *
 *   lstm(x, w, r, …)  ⇒  x·w for a run of steps as one product; per step one pass over r, gates side by side, then the cell
 *   lstm(x, _, r, …)  ⇒  the same without the product: x is what the inputs give to the gates
 *
 * Units are directions. See `RecurrentLayerPlan`, `RecurrentSequences`, `RecurrentStep`, `RecurrentPanels`.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Recurrent, Region } from "@anneal/lower/Region"
import type { Features } from "../Emission.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import { emitLayer } from "./RecurrentLayer.ts"
import type { LayerPlan } from "./RecurrentLayerPlan.ts"
import { operand, panelsOf, scratchOf, viewOf } from "./RecurrentLayerPlan.ts"
import type { PanelGate, RecurrentPanels } from "./RecurrentPanels.ts"
import * as Panels from "./RecurrentPanels.ts"

const gatesOf = { lstm: 4, gru: 3, rnn: 1 } as const

/** Rows of inputs that one product of a run takes: enough to use each weight often. */
const runRows = 48

const expected = (dim: Dim.Dim, typical: TypicalSizes, otherwise: number): number =>
  typeof dim === "number" ? dim : Math.max(1, Dim.evaluate(dim, typical) ?? otherwise)

const own = (gates: ReadonlyArray<number>): ReadonlyArray<PanelGate> => gates.map((gate) => ({ sources: [gate] }))

const planOf = (region: Recurrent, lanes: number, packed: boolean, typical: TypicalSizes): LayerPlan | undefined => {
  const { cell, flags, hidden, operands, results } = region
  const [x, w] = [viewOf(operands, operand.x), viewOf(operands, operand.w)]
  const lengths = viewOf(operands, operand.lengths)
  if (x === undefined || viewOf(operands, operand.r) === undefined || hidden < 1) return undefined
  const floats = [...operands.filter((view) => view !== lengths), ...results]
  if (floats.some((view) => view !== null && view.dtype !== "f32")) return undefined
  if (lengths !== undefined && lengths.dtype !== "i32" && lengths.dtype !== "i64") return undefined
  const [length = 1, batch = 1] = x.shape
  const features = x.shape[2]
  if (typeof features !== "number") return undefined
  const directions = region.direction === "bidirectional" ? 2 : 1
  const gates = gatesOf[cell]
  const all = Array.from({ length: gates }, (_, gate) => gate)
  const matrix = { directions, hidden, lanes, rows: gates }
  const recurrent = (which: ReadonlyArray<number>): RecurrentPanels => ({ ...matrix, k: hidden, gates: own(which) })
  const apart = cell === "gru" && !flags.linearBeforeReset
  // The candidate's recurrent bias of a GRU that resets after the product is multiplied by the reset gate: it stays apart.
  const biases: ReadonlyArray<PanelGate> =
    cell === "gru" && flags.linearBeforeReset
      ? [{ sources: [0, 3] }, { sources: [1, 4] }, { sources: [2] }, { sources: [5] }]
      : all.map((gate) => ({ sources: [gate, gate + gates] }))
  return {
    region,
    length,
    batch,
    features,
    directions,
    paddedHidden: Math.ceil(hidden / lanes) * lanes,
    w: { ...matrix, k: w === undefined ? 0 : features, gates: own(all) },
    r: apart ? [recurrent([0, 1]), recurrent([2])] : [recurrent(all)],
    bias:
      viewOf(operands, operand.bias) === undefined ? undefined : { ...matrix, rows: 2 * gates, k: 1, gates: biases },
    peepholes:
      viewOf(operands, operand.peepholes) === undefined
        ? undefined
        : { ...matrix, rows: 3, k: 1, gates: own([0, 1, 2]) },
    packed,
    run: Math.max(1, Math.floor(runRows / (lengths === undefined ? expected(batch, typical, 1) : 1)))
  }
}

/** Nanoseconds: multiplications at the rate of memory or of registers, and the gates. */
const costOf = (plan: LayerPlan, typical: TypicalSizes, features: Features): number => {
  const { directions, paddedHidden, w } = plan
  const [length, batch] = [expected(plan.length, typical, 64), expected(plan.batch, typical, 1)]
  const gates = w.gates.length
  const [rate, cell] = features.wide ? [40, 0.4] : [25, 0.8]
  const perStep = batch * (gates * paddedHidden * (plan.region.hidden / rate + cell) + 60)
  const inputs = batch * gates * paddedHidden * (w.k === 0 ? 0.1 : w.k / (length === 1 ? rate : rate * 1.1))
  const packing = plan.packed
    ? 0
    : panelsOf(plan).reduce((sum, { panels }) => sum + Panels.bytesOf(panels) / 4, 0) * 1.5
  return directions * length * (perStep + inputs) + packing + 100
}

/**
 * Units side by side. Three panels of four give one sequence its twelve sums, each from a stream of its own; several sequences,
 * and pairs of vectors, want eight in one panel.
 */
const lanesOf = ({ cell, hidden, operands }: Recurrent, { wide }: Features): number => {
  const isSingle = viewOf(operands, operand.lengths) !== undefined || viewOf(operands, operand.x)?.shape[1] === 1
  if (isSingle && !wide && cell !== "rnn") return 4
  return hidden % 8 === 0 || hidden > 32 ? 8 : 4
}

export const candidates = (region: Region, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  if (region.kind !== "recurrent") return []
  const lanes = lanesOf(region, features)
  return [true, false].flatMap((packed): ReadonlyArray<Kernel> => {
    const plan = planOf(region, lanes, packed, typical)
    if (plan === undefined) return []
    const constants = panelsOf(plan).map(({ panels, read }) => ({
      read,
      layout: Panels.layoutOf(panels),
      bytes: Panels.bytesOf(panels),
      pack: (elements: Parameters<typeof Panels.pack>[1]) => Panels.pack(panels, elements)
    }))
    return [
      {
        name: packed ? "recurrent-packed" : "recurrent-unpacked",
        config: { lanes, run: plan.run },
        cost: costOf(plan, typical, features),
        packed: packed ? constants : [],
        scratch: scratchOf(plan),
        units: plan.directions,
        emit: (emission, name) => emitLayer(emission, name, plan)
      }
    ]
  })
}
