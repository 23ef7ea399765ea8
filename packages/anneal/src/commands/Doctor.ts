/** `anneal doctor [--json]`: what this machine offers. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Command from "effect/cli/Command"
import * as Report from "../Report.ts"
import * as Options from "./Options.ts"

export const doctor = Command.make(
  "doctor",
  { cache: Options.text("cache", "The cache folder to look at"), json: Options.json },
  Effect.fn(function* ({ cache, json }) {
    // It loads what looks for GPUs; nobody else needs that.
    const Doctors = yield* Effect.promise(() => import("../Doctor.ts"))
    const report = yield* Doctors.examine(Option.getOrUndefined(cache))
    const show = Report.result({ ...report }, () => Doctors.format(report))
    yield* Effect.provideService(show, Report.AsJson, json)
  })
).pipe(Command.withDescription("Show what this machine offers: Node, WebAssembly, memory, CUDA, the cache"))
