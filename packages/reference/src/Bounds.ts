/**
 * Bounds: how far rounding may have moved each element of each result from the exact one, absolute, in float64.
 *
 *   f32 add of exact operands: half a unit in the last place; matmul over k: γ(k)·Σ|a||b|, plus what came in, plus that half
 *
 * An op's error rule says how errors in become errors out; this file takes each rule to the function that applies it. Bounds
 * of 0 everywhere are not kept. An element that is not decided has bound 1 (bool) or Infinity.
 */
import type { Node } from "@anneal/ir/Graph"
import type { DType } from "@anneal/ir/DType"
import * as Op from "@anneal/ir/Op"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Contraction from "./bounds/Contraction.ts"
import * as Discontinuous from "./bounds/Discontinuous.ts"
import * as Elementwise from "./bounds/Elementwise.ts"
import * as Moving from "./bounds/Moving.ts"
import * as OwnRules from "./bounds/OwnRules.ts"
import * as Sum from "./bounds/Sum.ts"
import type { Bound, BoundRule, RuleCall } from "./BoundRule.ts"
import { hasErrors } from "./BoundRule.ts"
import type { BoundedCall, Cell, Kernel, Work } from "./Kernel.ts"
import * as Rounding from "./Rounding.ts"
import type { BoundMode } from "./Run.ts"
import { settled } from "./Run.ts"

/**
 * `oracle`: bounds for results of this oracle, which computes in float64 and rounds once a value. `contract`: for results of
 * any target that keeps to each op's contract: its accumulation type, and its ulps.
 */
export type Accumulator = "oracle" | "contract"

const unitRoundoff = (node: Node, dtype: DType): number => {
  const accumulator = Op.accumulator(node.op, dtype)
  return Rounding.isFloat(accumulator) ? Rounding.unitRoundoff(accumulator) : 0
}

/** The rule of the op: an exhaustive choice. */
const ruleOf = ({ error, name }: Op.OpDefinition): BoundRule => {
  switch (error.kind) {
    case "exact":
      return Discontinuous.exact
    case "movement":
      return Moving.movement(error.data)
    case "elementwise":
      return Elementwise.elementwise(error.ulps, error.slope)
    case "selection":
      return Elementwise.selection
    case "contraction":
      return Contraction.contraction
    case "sum":
      return Sum.sum
    case "discontinuous":
      return Discontinuous.rules.get(name) ?? Discontinuous.undecided
    case "run":
      return OwnRules.rules.get(name) ?? Discontinuous.unsaid
    case "expansion":
      // Composites run as their expansion when bounds are asked for.
      return Discontinuous.unsaid
  }
}

/** Bounds as they are kept: undefined where all are 0. */
const kept = (bound: Bound, tensor: Tensor): Bound => {
  if (bound === undefined || !hasErrors(bound)) return undefined
  // The bound itself was rounded on its way, by far less than this.
  for (let i = 0; i < bound.length; i++) {
    const own = (bound[i] ?? 0) * (1 + 2 ** -32)
    // Nothing known times 0, or less another nothing known.
    bound[i] = Number.isNaN(own) ? Infinity : own
  }
  if (tensor.dtype === "bool") for (let i = 0; i < bound.length; i++) bound[i] = bound[i] === 0 ? 0 : 1
  return bound
}

export const mode = (accumulator: Accumulator): BoundMode => {
  const isContract = accumulator === "contract"
  return {
    unitRoundoff: (node, dtype) => (isContract ? unitRoundoff(node, dtype) : Rounding.float64),
    run: function* (kernel: Kernel, call: BoundedCall): Work<ReadonlyArray<Cell>> {
      if (kernel.runBounded !== undefined) return yield* settled(kernel.runBounded(call))
      const results = yield* settled(kernel.run(call))
      const ruleCall: RuleCall = { ...call, kernel, results, isContract }
      const bounds = yield* settled(ruleOf(call.node.op)(ruleCall))
      return results.map((tensor, i): Cell => ({ tensor, bound: kept(bounds[i], tensor) }))
    }
  }
}
