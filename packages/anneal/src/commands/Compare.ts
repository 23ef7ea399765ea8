/**
 * `anneal compare A [B] --cases DIR`: outputs of A (and B) against the known ones, and B's against A's. A and B are
 * models or engines.
 */
import { asEngineError } from "@anneal/engine/Engine"
import type { Tensors } from "@anneal/runtime/Session"
import * as Session from "@anneal/runtime/Session"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Cases from "../Cases.ts"
import * as Compares from "../Compare.ts"
import * as Host from "../Host.ts"
import * as PerLayer from "../PerLayer.ts"
import * as Plugin from "../Plugin.ts"
import * as Report from "../Report.ts"
import { UsageError } from "../UsageError.ts"
import * as Options from "./Options.ts"

/** One output of one case. */
export interface Row {
  readonly case: string
  readonly output: string
  /** Whose result, and what it is held against. */
  readonly found: string
  readonly expected: string
  readonly agreement: Compares.Agreement
}

/** A case's inputs under the names of the session. */
const inputsOf = (session: Session.Session, one: Cases.Case | undefined) =>
  Cases.read(
    one?.inputs ?? new Map(),
    session.inputs.map(({ name }) => name),
    "input"
  )

const rowsOf = (
  name: string,
  [found, results]: readonly [string, Tensors],
  [expected, wanted]: readonly [string, Tensors],
  tolerance: Compares.Tolerance
): ReadonlyArray<Row> =>
  Object.entries(wanted).map(([output, tensor]): Row => {
    const result = results[output]
    const agreement: Compares.Agreement =
      result === undefined
        ? {
            agree: false,
            wrong: 0,
            count: 0,
            maxAbsolute: Infinity,
            maxRelative: Infinity,
            detail: "there is no such output"
          }
        : Compares.compare(result, tensor, tolerance)
    return { case: name, output, found, expected, agreement }
  })

const formatRow = ({ agreement, case: name, expected, found, output }: Row): string =>
  `${agreement.agree ? "✓" : "✗"} ${name} ${output}: ${found} against ${expected}: ${Compares.format(agreement)}`

const formatLayers = (name: string, { compared, differing }: PerLayer.Layers): ReadonlyArray<string> => {
  const [first] = differing
  if (first === undefined) return [`  ${name}: all ${compared} values that both have agree`]
  return [
    `  ${name}: ${differing.length} of ${compared} values that both have differ, the first at ${first.node}${first.kernel === undefined ? "" : `, kernel ${first.kernel}`} (%${first.value}): ${Compares.format(first.agreement)}`
  ]
}

export const compare = Command.make(
  "compare",
  {
    a: Argument.String("a").pipe(Argument.withDescription("An engine or an ONNX model")),
    b: Argument.String("b").pipe(Argument.withDescription("Another, held against A"), Argument.optional),
    cases: Flag.String("cases").pipe(Flag.withDescription("Folder of folders with in_NAME.npy and out_NAME.npy")),
    atol: Flag.Finite("atol").pipe(
      Flag.withDescription("Absolute tolerance"),
      Flag.withDefault(Compares.defaults.atol)
    ),
    rtol: Flag.Finite("rtol").pipe(
      Flag.withDescription("Relative tolerance"),
      Flag.withDefault(Compares.defaults.rtol)
    ),
    perLayer: Flag.Boolean("per-layer").pipe(
      Flag.withDescription("Find the first layer of B (or of A) that differs from the oracle's on A"),
      Flag.withDefault(false)
    ),
    ...Options.host,
    plugin: Options.plugin,
    json: Options.json
  },
  Effect.fn(function* ({ a, atol, b, cases, json, perLayer, plugin, rtol, threads, wide }) {
    const plugins = yield* Plugin.load(plugin)
    const tolerance = { atol, rtol }
    const host = yield* Options.read(() => Options.hostOf({ threads, wide }))
    const work = Effect.gen(function* () {
      const all = yield* Cases.list(cases)
      const open = (path: string) => Host.open(path, plugins, host, (session) => inputsOf(session, all[0]))
      const first = yield* open(a)
      const second = Option.isSome(b) ? yield* open(b.value) : undefined
      const rows: Array<Row> = []
      const layers: Array<{ readonly case: string; readonly layers: PerLayer.Layers }> = []
      for (const one of all) {
        const outputs = first.outputs.map(({ name }) => name)
        const inputs = yield* inputsOf(first, one)
        const known = yield* Cases.read(one.outputs, outputs, "output")
        const results = yield* first.run(inputs)
        rows.push(...rowsOf(one.name, ["A", results], ["known", known], tolerance))
        if (second !== undefined) {
          const others = yield* second.run(inputs)
          rows.push(...rowsOf(one.name, ["B", others], ["known", known], tolerance))
          rows.push(...rowsOf(one.name, ["B", others], ["A", results], tolerance))
        } else if (one.outputs.size === 0 && !perLayer)
          return yield* new UsageError({
            detail: `case ${one.name} has no out_NAME.npy: name B, or give known outputs`
          })
        if (perLayer) {
          const watched = second ?? first
          const [graphA, graph] = yield* Effect.try({
            try: () =>
              [
                first.engine.graph(first.variant, plugins.ops),
                watched.engine.graph(watched.variant, plugins.ops)
              ] as const,
            catch: (cause) => asEngineError(cause, a)
          })
          const found = yield* PerLayer.compare(graphA, { graph, session: watched }, inputs, tolerance)
          layers.push({ case: one.name, layers: found })
        }
      }
      const wrong = rows.filter(({ agreement }) => !agreement.agree)
      const text = () =>
        [...rows.map(formatRow), ...layers.flatMap((one) => formatLayers(one.case, one.layers))].join("\n")
      const report = { tolerance, rows, ...(perLayer ? { layers } : {}) }
      if (wrong.length > 0)
        return yield* Report.mismatch(
          `${wrong.length} of ${rows.length} comparisons are out of tolerance`,
          report,
          text
        )
      return yield* Report.result(
        report,
        () => `${text()}\nall ${rows.length} comparisons agree (atol ${atol}, rtol ${rtol})`
      )
    })
    return yield* work.pipe(
      Effect.scoped,
      Effect.provide(Host.execution(plugins, host)),
      Effect.provideService(Report.AsJson, json)
    )
  })
).pipe(
  Command.withDescription("Compare outputs of a model or an engine with known ones, or with those of another"),
  Command.withExamples([
    {
      command: "anneal compare net.engine --cases golden --rtol 1e-3 --atol 1e-4",
      description: "Against known outputs"
    },
    {
      command: "anneal compare net.onnx net.engine --cases golden --per-layer",
      description: "Where a build went wrong"
    }
  ])
)
