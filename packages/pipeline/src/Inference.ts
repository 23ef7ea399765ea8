/**
 * Inference: how a graph is run on data, where speed counts: samples that calibrate, sets that are scored. Without it the
 * oracle runs them, a thousand times slower. It judges nothing: rewrites and kernels are held against the oracle alone.
 *
 * Its results must be the same on every machine, since scales are made of them.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Oracle, type OracleService } from "./Oracle.ts"

/** As the oracle's; who measured is part of what is made of it. */
export type InferenceService = Pick<OracleService, "identity" | "run" | "observe">

export class Inference extends Context.Service<Inference, InferenceService>()("@anneal/pipeline/Inference") {}

/** What runs graphs on data here: the inference that is provided, or else the oracle. */
export const current: Effect.Effect<InferenceService, never, Oracle> = Effect.gen(function* () {
  const given = yield* Effect.serviceOption(Inference)
  return Option.isSome(given) ? given.value : yield* Oracle
})
