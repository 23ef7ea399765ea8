/**
 * Ranges: the real values that each value of a graph takes, as calibration found them. A derived artefact: it belongs to
 * the graph that it was measured on, and a pass that makes another graph either transports it or loses it.
 */
import * as Artefact from "./Artefact.ts"
import { Range } from "./Calibrator.ts"

export class Ranges extends Artefact.make<Ranges>()(
  "@anneal/pipeline/Ranges",
  Artefact.json(Artefact.measured(Range))
) {}
