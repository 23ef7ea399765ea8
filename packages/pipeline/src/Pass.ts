/**
 * Pass: a stage from graph to graph, whose rewrites are checked against the oracle.
 *
 * ```ts
 * export const cancelTransposes = Pass.make({
 *   name: "cancelTransposes", version: 1, claims: "exact", config: Schema.Struct({}),
 *   run: (graph) => { const editor = Editor.open(graph); …; return editor.finish() }
 * })
 * ```
 * The rewrite is plain TypeScript. What it reads of the weights is noted, however it reads them: the cache entry holds
 * as long as those weights are the same.
 */
import type { Constant } from "@anneal/ir/Constant"
import type { Edited } from "@anneal/ir/Editor"
import { IrError } from "@anneal/ir/Errors"
import type * as IR from "@anneal/ir/Graph"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { Artefacts } from "./Artefact.ts"
import * as Artefact from "./Artefact.ts"
import * as Diagnostic from "./Diagnostic.ts"
import * as Execution from "./Execution.ts"
import { Graph, mapConstants } from "./Graph.ts"
import type * as Ledger from "./Ledger.ts"
import { Oracle } from "./Oracle.ts"
import * as Progress from "./Progress.ts"
import type { Need, StageFailure } from "./Stage.ts"
import * as Step from "./Step.ts"
import * as Validate from "./Validate.ts"
import { Validation } from "./Validation.ts"
import * as Verdicts from "./Verdicts.ts"

/** A pass that broke a contract of the IR, or could not do what it was asked. */
export class PassError extends Schema.TaggedError<PassError>()("PassError", {
  pass: Schema.String,
  detail: Schema.String,
  /** The path of the node in the user's own model. */
  node: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    return `Pass ${this.pass}${this.node === undefined ? "" : `, at ${this.node}`}: ${this.detail}`
  }
}

/**
 * `exact`: bit for bit, NaN payloads apart. `reassociating`: within the oracle's bound. `lossy`: inserts casts, quantise
 * and dequantise, and nothing else.
 */
export type Claim = "exact" | "reassociating" | "lossy"

export interface Declaration<C, N extends ReadonlyArray<Need>, E, T> {
  readonly name: string
  /** Raise it when the rewrite changes. */
  readonly version: number
  readonly claims: Claim
  readonly config: Schema.Codec<C, unknown>
  /** What it uses beside the graph. */
  readonly needs?: N
  /** Measured artefacts that follow the values of the new graph. */
  readonly transports?: Artefacts<T>
  readonly retry?: Schedule.Schedule<unknown>
  /** May throw `IrError`. Gives what `Editor.finish` gives. */
  readonly run: (graph: IR.Graph, config: C) => Edited | Effect.Effect<Edited, E, N[number]["Identifier"]>
}

/** A configured pass. */
export type Pass<I, E, T = never> = Step.Step<
  Graph | I,
  Graph,
  E | PassError | Validate.ValidationError | StageFailure,
  never,
  T
>

/** A graph whose constants note that they are read; `untrack` gives the constants of the original back. */
const track = (graph: IR.Graph) => {
  const reads = new Set<string>()
  const originals = new Map<() => Uint8Array, () => Uint8Array>()
  const wrapped = new Map<() => Uint8Array, () => Uint8Array>()
  const wrap = (constant: Constant): Constant => {
    let bytes = wrapped.get(constant.bytes)
    if (bytes === undefined) {
      bytes = () => {
        reads.add(constant.digest)
        return constant.bytes()
      }
      wrapped.set(constant.bytes, bytes)
      originals.set(bytes, constant.bytes)
    }
    return { ...constant, bytes }
  }
  const unwrap = (constant: Constant): Constant => {
    const bytes = originals.get(constant.bytes)
    return bytes === undefined ? constant : { ...constant, bytes }
  }
  const tracked = mapConstants(graph, wrap)
  return {
    tracked,
    reads: () => [...reads].sort(),
    untrack: (made: IR.Graph) => (made === tracked ? graph : mapConstants(made, unwrap))
  }
}

const rewrite = <C, N extends ReadonlyArray<Need>, E, T>(
  { name, run }: Declaration<C, N, E, T>,
  graph: IR.Graph,
  config: C
): Effect.Effect<Edited, E | PassError, N[number]["Identifier"]> =>
  Effect.suspend(() => {
    const edited = run(graph, config)
    return Effect.isEffect(edited) ? edited : Effect.succeed(edited)
  }).pipe(
    Effect.catchDefect((defect) => {
      if (!(defect instanceof IrError)) return Effect.die(defect)
      const node = defect.at === undefined ? {} : { node: defect.at }
      return Effect.fail(new PassError({ pass: name, detail: defect.detail, ...node }))
    })
  )

/** The validation's settings and the oracle are part of the key: a result that was not checked is not one that was. */
const validationIdentity = Effect.gen(function* () {
  const policy = yield* Validation
  const oracle = yield* Effect.serviceOption(Oracle)
  const settings = { name: "validation", version: Validate.version, config: policy }
  const checks = policy.check === "on" && Option.isSome(oracle)
  return [
    { need: "validation", identity: settings },
    ...(checks ? [{ need: Oracle.key, identity: oracle.value.identity }] : [])
  ]
})

/** Regions of this very rewrite that were found right before; undefined: it has to be checked. */
const verdictBefore = (after: IR.Graph) =>
  Effect.gen(function* () {
    const [known, subject] = [yield* Verdicts.Verdicts, yield* Verdicts.Subject]
    if (known.size === 0 || subject === undefined) return undefined
    const digest = yield* Effect.option(Artefact.digestOf(Graph, after))
    return Option.isNone(digest) ? undefined : known.get(Verdicts.digest(subject.stage, subject.before, digest.value))
  })

/** The rewrite, once checked; or the graph as it was, where a failed check is to be skipped. */
const checked = (
  pass: string,
  claims: Claim,
  before: IR.Graph,
  edited: Edited,
  reads: ReadonlyArray<string>
): Effect.Effect<
  { readonly edited: Edited; readonly validation?: Ledger.ValidationSummary },
  Validate.ValidationError
> =>
  Effect.gen(function* () {
    const policy = yield* Validation
    if (policy.check === "off" || edited.graph === before) return { edited }
    const oracle = yield* Effect.serviceOption(Oracle)
    if (Option.isNone(oracle)) {
      yield* Diagnostic.report({
        severity: "warning",
        code: "not-validated",
        message: `${pass} was not checked: no oracle is provided`,
        action: "provide an Oracle layer, or turn validation off"
      })
      return { edited }
    }
    const known = yield* verdictBefore(edited.graph)
    if (known !== undefined) {
      const summary = { regions: known, memoised: known, failed: 0, notValidated: 0, inferences: 0 }
      yield* Progress.tell((here) => ({ _tag: "Validated", ...here, ...summary }))
      return { edited, validation: summary }
    }
    const report = yield* Validate.check({
      pass,
      claims,
      before,
      after: edited.graph,
      replaced: edited.replaced,
      reads,
      policy
    }).pipe(Effect.provideService(Oracle, oracle.value))
    yield* Progress.tell((here) => ({ _tag: "Validated", ...here, ...report.summary }))
    yield* Effect.forEach(report.diagnostics, Diagnostic.report, { discard: true })
    const [failure] = report.failures
    if (failure === undefined) return { edited, validation: report.summary }
    if (policy.onFailure === "stop") return yield* failure
    for (const { message, node } of report.failures) {
      yield* Diagnostic.report({
        severity: "error",
        code: "wrong-rewrite",
        message,
        node,
        action: `the build went on without ${pass}`
      })
    }
    return { edited: { graph: before, replaced: new Map(), changed: false }, validation: report.summary }
  })

/** Declares a pass; give it a configuration to get a step. */
export const make =
  <C, E = never, const N extends ReadonlyArray<Need> = readonly [], T = never>(declaration: Declaration<C, N, E, T>) =>
  (config: C): Pass<N[number]["Identifier"], E, T> => {
    type I = Graph | N[number]["Identifier"]
    type Failure = E | PassError | Validate.ValidationError
    const { claims, name, version } = declaration
    const label = `${name}@${version}`
    const run = Effect.gen(function* () {
      const graph = yield* Graph
      const { reads, tracked, untrack } = track(graph)
      const raw = yield* rewrite(declaration, tracked, config)
      // What validation reads must not count.
      const read = reads()
      const edited: Edited = { ...raw, graph: untrack(raw.graph) }
      const result = yield* checked(name, claims, graph, edited, read)
      const made: Execution.Made<IR.Graph> = {
        value: result.edited.graph,
        replaced: result.edited.replaced,
        reads: read,
        ...(result.validation === undefined ? {} : { validation: result.validation })
      }
      return made
    })
    const execute = Execution.execute<IR.Graph, Failure, I>({
      label,
      name,
      version,
      claims,
      config: Schema.encodeSync(Schema.toCodecJson(declaration.config))(config),
      needs: [Graph, ...(declaration.needs ?? [])],
      output: Graph,
      retry: declaration.retry,
      cache: true,
      tracked: true,
      also: validationIdentity,
      run
    })
    return Step.make<I, Graph, Failure | StageFailure, never, T>(label, (known) =>
      Effect.map(Effect.provideContext(execute, known), (outcome) =>
        Step.next(known, Graph, outcome, declaration.transports ?? [])
      )
    )
  }

/** The graph at a point of a pipeline. */
export const graphOf = (known: Context.Context<Graph>): IR.Graph => Context.get(known, Graph)
