/**
 * Decisions: what the tuner, a heuristic or a user chose among what a space allows. Together with the space they give the
 * program, and they are what a lock file holds of lowering.
 */
import { Candidate } from "@anneal/pipeline/Tuner"
import * as Schema from "effect/Schema"

export const Decisions = Schema.Struct({
  /** Ids of fusions that are not to be made. */
  fusionsOff: Schema.Array(Schema.String),
  /** Order of axes, outermost first, for the storage of values by id. */
  layouts: Schema.Record(Schema.String, Schema.Array(Schema.Int)),
  /** The kernel of each region, by the region's key. */
  tactics: Schema.Record(Schema.String, Candidate)
})
export type Decisions = typeof Decisions.Type

/** Nothing decided: every fusion that pays, the layouts that the rules like, no tactics. */
export const none: Decisions = { fusionsOff: [], layouts: {}, tactics: {} }
