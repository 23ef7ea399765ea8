/**
 * RecurrentLayer: the code of a whole recurrent layer: for each direction, runs of steps; for each run, the inputs' product
 * for all of its steps at once, then step after step. A layer of one step does both products in the step; one that is given
 * what its inputs give to the gates reads it there.
 */
import * as Dim from "@anneal/ir/Dim"
import type { Emission } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { i32, select } from "../Instruction.ts"
import type { Func } from "../ModuleBuilder.ts"
import { arrangement } from "./RecurrentArrangement.ts"
import type { LayerPlan } from "./RecurrentLayerPlan.ts"
import { groupSize, inputOf, isProjected, operand, panelsOf, scratchParts, step, viewOf } from "./RecurrentLayerPlan.ts"
import * as Panels from "./RecurrentPanels.ts"
import { projection } from "./RecurrentProduct.ts"
import type { Shared } from "./RecurrentSequences.ts"
import { least, sequences } from "./RecurrentSequences.ts"
import type { StepPlan } from "./RecurrentStep.ts"
import { gatesBeside, stepFunction } from "./RecurrentStep.ts"

/** Writes the kernel's function: addresses of operands, results, packed constants, scratch, begin and end of directions. */
export const emitLayer = (emission: Emission, name: string, plan: LayerPlan): Func => {
  const { directions, region } = plan
  const sources = panelsOf(plan)
  const operands = region.operands.length
  const packedAt = operands + region.results.length
  const count = packedAt + (plan.packed ? sources.length : 0) + 3
  const parts = scratchParts(plan)
  const input = inputOf(plan)
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
      input,
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
  const project =
    input !== "scratch"
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
