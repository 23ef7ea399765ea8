// What a built-in pass is: a declaration with a function in it, and the pipeline step made of it.
//
// `export const foldBatchNorm = Rewrite.plain({ name: "foldBatchNorm", claim: "reassociating", …, rewriting })`
// `pipeline.through(foldBatchNorm.pass())`, `foldBatchNorm.pass().layer`, `foldBatchNorm.rewrite(graph)`
import type { Reader } from "@anneal/ir/Constant"
import * as Constants from "@anneal/ir/Constant"
import type { Edited } from "@anneal/ir/Editor"
import type { Graph } from "@anneal/ir/Graph"
import { Oracle, type OracleError } from "@anneal/pipeline/Oracle"
import * as Pass from "@anneal/pipeline/Pass"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Rewriting } from "./Driver.ts"
import * as Driver from "./Driver.ts"

/** What every pass says of itself. */
export interface Description {
  /** Unique; the off switch's name. */
  readonly name: string
  /** Raised when the result changes for the same graph and configuration. */
  readonly version: number
  readonly claim: Pass.Claim
  /** One line: before ⇒ after. */
  readonly summary: string
}

interface Declared<C> extends Description {
  readonly config: Schema.Codec<C, unknown>
  readonly defaults: C
}

/** A pass. `I` is what it uses beside the graph. */
export interface Rewrite<C, I = never, E = never> extends Description {
  readonly defaults: C
  /** The rewrite on its own, unchecked. Throws `IrError` where it breaks a contract of the IR. */
  readonly rewrite: (graph: Graph, config?: Partial<C>) => Effect.Effect<Edited, E, I>
  /** The step of a pipeline, checked against the oracle. */
  readonly pass: (config?: Partial<C>) => Pass.Pass<I, E>
}

/** A pass whose rewrite is an ordinary function over the graph as a whole. */
export const whole = <C>(
  declared: Declared<C> & { readonly apply: (graph: Graph, reader: Reader, config: C) => Edited }
): Rewrite<C> => {
  const { apply, claim, config, defaults, name, summary, version } = declared
  const run = (graph: Graph, given: C): Edited => apply(graph, Constants.makeReader(), given)
  const make = Pass.make({ name, version, claims: claim, config, run })
  return {
    name,
    version,
    claim,
    summary,
    defaults,
    rewrite: (graph, given) => Effect.sync(() => run(graph, { ...defaults, ...given })),
    pass: (given) => make({ ...defaults, ...given })
  }
}

/** A pass that looks at one graph at a time; the driver takes it through the nested ones. */
export const plain = <C>(declared: Declared<C> & { readonly rewriting: (config: C) => Rewriting }): Rewrite<C> => {
  const { rewriting, ...rest } = declared
  return whole({ ...rest, apply: (graph, reader, config) => Driver.everywhere(graph, reader, rewriting(config)) })
}

/** A pass that computes on the oracle. */
export const computing = <C>(
  declared: Declared<C> & { readonly run: (graph: Graph, config: C) => Effect.Effect<Edited, OracleError, Oracle> }
): Rewrite<C, Oracle, OracleError> => {
  const { claim, config, defaults, name, run, summary, version } = declared
  const make = Pass.make({ name, version, claims: claim, config, needs: [Oracle], run })
  return {
    name,
    version,
    claim,
    summary,
    defaults,
    rewrite: (graph, given) => run(graph, { ...defaults, ...given }),
    pass: (given) => make({ ...defaults, ...given })
  }
}

/** No configuration. */
export const noConfig = { config: Schema.Struct({}), defaults: {} } as const
