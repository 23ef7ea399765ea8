/**
 * Plug-ins: what a package of somebody else's brings. Its default export is a `Plugin`:
 *
 * ```ts
 * export default Plugin.make({ name: "@me/anneal-gated", version: "1.2.0", ops: [gate], kernels: [gateKernel], passes: [formGate] })
 * ```
 * Ops are values and passes are data, so nothing is registered anywhere: the command and `build` take plug-ins as a list.
 */
import type { OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import type { Operator } from "@anneal/onnx/Operator"
import type { Listed } from "@anneal/passes/All"
import type { Rules } from "@anneal/lower/Rules"
import type { Entry } from "@anneal/reference/Kernel"
import * as Candidates from "@anneal/wasm/Candidates"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Modules from "./Modules.ts"
import { UsageError } from "./UsageError.ts"

/** A pass that the command can list and switch off. */
export type ListedPass = Listed

/**
 * Kernels for the generated WebAssembly. Each is a candidate beside ours for its region: held against the region's
 * definition before it is timed or used, and chosen when it is fastest (or predicted to be).
 */
export interface WasmKernels {
  /** The kernels for a region; none when it is not of their kind. */
  readonly candidates: Candidates.Source
  /** Nodes that one of them computes whole: a region of kind `whole`. Types of the operands, then of the results. */
  readonly claims?: Rules["claims"]
}

export interface Plugin {
  readonly _tag: "anneal/Plugin"
  readonly name: string
  readonly version: string
  /** Ops beyond the built-in ones. */
  readonly ops?: ReadonlyArray<OpDefinition>
  /** The oracle's kernels for its primitive ops. */
  readonly kernels?: ReadonlyArray<Entry>
  /** Translations of ONNX operators. */
  readonly operators?: ReadonlyArray<Operator>
  /** Run after the built-in passes, in this order. */
  readonly passes?: ReadonlyArray<ListedPass>
  readonly wasm?: WasmKernels
}

export const make = (plugin: Omit<Plugin, "_tag">): Plugin => ({ _tag: "anneal/Plugin", ...plugin })

/** Several plug-ins as one. */
export interface Plugins {
  readonly names: ReadonlyArray<string>
  /** All ops, the built-in ones too, by name. */
  readonly ops: ReadonlyMap<string, OpDefinition>
  readonly kernels: ReadonlyArray<Entry>
  readonly operators: ReadonlyArray<Operator>
  readonly passes: ReadonlyArray<ListedPass>
  /** Kernels for the generated WebAssembly under their plug-in's name, and what they claim. */
  readonly sources: ReadonlyArray<Candidates.Source>
  readonly claims: Rules["claims"]
}

/** Adds plug-ins up. Throws `UsageError` when two bring an op of one name. */
export const all = (plugins: ReadonlyArray<Plugin>): Plugins => {
  const owners = new Map<string, string>([...Ops.table().keys()].map((name) => [name, "anneal"]))
  for (const { name, ops = [] } of plugins)
    for (const op of ops) {
      const owner = owners.get(op.name)
      if (owner !== undefined)
        throw new UsageError({ detail: `plug-in ${name} brings the op ${op.name}, which ${owner} has already` })
      owners.set(op.name, name)
    }
  return {
    names: plugins.map(({ name, version }) => `${name}@${version}`),
    ops: Ops.table(plugins.flatMap(({ ops }) => ops ?? [])),
    kernels: plugins.flatMap(({ kernels }) => kernels ?? []),
    operators: plugins.flatMap(({ operators }) => operators ?? []),
    passes: plugins.flatMap(({ passes }) => passes ?? []),
    sources: plugins.flatMap(({ name, version, wasm }) =>
      wasm === undefined ? [] : [Candidates.owned(`${name}@${version}`, wasm.candidates)]
    ),
    claims: (node, types) => plugins.some(({ wasm }) => wasm?.claims?.(node, types) === true)
  }
}

export const none: Plugins = all([])

const isPlugin = (value: unknown): value is Plugin =>
  Predicate.hasProperty(value, "_tag") && value._tag === "anneal/Plugin"

/** Loads the packages named on the command line. */
export const load = (names: ReadonlyArray<string>): Effect.Effect<Plugins, UsageError> =>
  Effect.gen(function* () {
    const plugins: Array<Plugin> = []
    for (const name of names) {
      const found = yield* Modules.load("--plugin", name)
      if (!isPlugin(found))
        return yield* new UsageError({ detail: `--plugin ${name}: its default export is not made by Plugin.make` })
      plugins.push(found)
    }
    return yield* Effect.try({
      try: () => all(plugins),
      catch: (cause) => (cause instanceof UsageError ? cause : new UsageError({ detail: String(cause) }))
    })
  })
