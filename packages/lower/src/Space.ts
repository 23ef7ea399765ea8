/**
 * Space: a graph for a target, before anything is decided: which fusions there are, and which of them the rules would
 * take. `Plan.plan` makes a program of it with decisions.
 */
import type { Graph } from "@anneal/ir/Graph"
import * as Decisions from "./Decisions.ts"
import * as Plan from "./Plan.ts"
import type { Fusion } from "./Program.ts"
import type { Rules } from "./Rules.ts"

export interface Space {
  readonly graph: Graph
  readonly rules: Rules
}

/** The graph must be verified. */
export const make = (graph: Graph, rules: Rules): Space => ({ graph, rules })

/** Every fusion that is looked at with nothing switched off; at fixed sizes where given. */
export const fusions = (space: Space, fixed?: ReadonlyMap<string, number>): ReadonlyArray<Fusion> =>
  Plan.plan(space, Decisions.none, fixed === undefined ? {} : { fixed }).fusions
