// The laws of an executable, checked against the oracle on generated graphs:
//
//   yield* ExecutableLaws.check((graph) => myTarget.prepare(graph))
//
// - right: types as the graph says, values within the oracle's bound for a target that keeps to each op's contract.
// - repeatable: the same inputs give the same bits, one run after another and two at a time.
// - inputs are not changed.
import * as Bind from "@anneal/ir/Bind"
import type * as Graph from "@anneal/ir/Graph"
import * as Tensor from "@anneal/ir/Tensor"
import * as Text from "@anneal/ir/Text"
import * as Type from "@anneal/ir/Type"
import type { OracleError } from "@anneal/pipeline/Oracle"
import * as Trial from "@anneal/pipeline/Trial"
import * as Reference from "@anneal/reference/Reference"
import type { Executable } from "@anneal/runtime/Executor"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Agreement from "./Agreement.ts"
import * as Generated from "./Graphs.ts"
import { Breaches, LawsBroken } from "./LawsBroken.ts"
import type { Template } from "./Template.ts"

export interface Options {
  /** Graphs of one's own, tried first. */
  readonly examples?: ReadonlyArray<Graph.Graph>
  /** Generated graphs, small ones first. Default 30. */
  readonly graphs?: number
  /** Default 1. */
  readonly seed?: number
  readonly templates?: ReadonlyArray<Template>
  /** What inputs are drawn from, and what leaves: see `Graphs.Options`. */
  readonly inputs?: Generated.Options["inputs"]
  readonly outputs?: Generated.Options["outputs"]
  /** Sizes of symbols that each graph runs at, beside small ones. Default none. */
  readonly sizes?: ReadonlyArray<number>
}

export interface Report {
  readonly graphs: number
  /** Graphs that the target refused to prepare. */
  readonly refused: number
}

/** `prepare` may refuse a graph with a typed error; a target that refuses all of them breaks a law too. */
export const check = <E, R>(
  prepare: (graph: Graph.Graph) => Effect.Effect<Pick<Executable, "run" | "target">, E, R | Scope.Scope>,
  options: Options = {}
): Effect.Effect<Report, LawsBroken | OracleError, Exclude<R, Scope.Scope>> =>
  Effect.gen(function* () {
    const breaches = new Breaches()
    const { graphs = 30, inputs, outputs, seed = 1, sizes = [], templates } = options
    const generated = Array.from({ length: graphs }, (_, index) =>
      Generated.generate(seed * 200_003 + index, {
        steps: 1 + Math.floor((10 * index) / graphs),
        ...(templates === undefined ? {} : { templates }),
        ...(inputs === undefined ? {} : { inputs }),
        ...(outputs === undefined ? {} : { outputs })
      })
    )
    const subjects = [...(options.examples ?? []), ...generated]
    let refused = 0
    let name = "executable"
    for (const graph of subjects) {
      const prepared = yield* Effect.scoped(
        Effect.gen(function* () {
          const executable = yield* Effect.result(prepare(graph))
          if (executable._tag === "Failure") return undefined
          for (const given of drawn(graph, sizes)) yield* checkRuns(graph, executable.success, breaches, given)
          return executable.success.target
        })
      )
      if (prepared === undefined) refused++
      else name = prepared
    }
    if (subjects.length > 0 && refused === subjects.length)
      breaches.add("right", `${refused} graphs`, "all of them were refused: nothing was checked")
    if (breaches.found.length > 0)
      return yield* new LawsBroken({ subject: `executable ${name}`, breaches: breaches.found })
    return { graphs: subjects.length, refused }
  })

/** Inputs at sizes where the graph's constraints hold: small ones, and those that are asked for. */
const drawn = (graph: Graph.Graph, sizes: ReadonlyArray<number>): ReadonlyArray<ReadonlyArray<Tensor.Tensor>> => {
  const symbols = [...new Set(graph.inputs.flatMap(({ type }) => Type.symbols(type)))].sort()
  const small = (position: number): number => 2 + ((1 + position) % 3)
  const ways = [small, ...(symbols.length === 0 ? [] : sizes.map((size) => (position: number) => size + position))]
  return ways.flatMap((sizeOf) => {
    const bindings = new Map(symbols.map((name, position) => [name, sizeOf(position)]))
    const allowed = Bind.brokenConstraints(graph, bindings).length === 0
    return allowed ? [Generated.inputsOf(graph, 1, "mixed", sizeOf)] : []
  })
}

const oracle = Reference.make({ accumulator: "contract" })
/** The oracle's results are rounded too, and its bounds here are of that. */
const itself = Reference.make()

const checkRuns = (
  graph: Graph.Graph,
  { run }: Pick<Executable, "run">,
  breaches: Breaches,
  inputs: ReadonlyArray<Tensor.Tensor>
): Effect.Effect<void, OracleError> =>
  Effect.gen(function* () {
    const text = Text.print(graph)
    const copies = inputs.map(({ data, dtype, shape }) => Tensor.make(dtype, shape, data.slice()))
    const expected = yield* oracle.runWithBounds(graph, inputs)
    const first = yield* Effect.result(run(inputs))
    if (first._tag === "Failure") return breaches.add("right", text, first.failure.message)
    const outputs = first.success
    const wrong = expected.outputs.findIndex(({ dtype }, position) => outputs[position]?.dtype !== dtype)
    if (wrong >= 0)
      breaches.add(
        "right",
        text,
        `result ${wrong} is ${outputs[wrong]?.dtype ?? "missing"}, expected ${expected.outputs[wrong]?.dtype}`
      )
    else {
      const { bounds } = yield* itself.runWithBounds(graph, inputs)
      const difference = Agreement.firstDifference(expected, { outputs, bounds })
      if (difference !== undefined) breaches.add("right", text, difference)
    }
    if (Trial.compare(copies, inputs).difference !== undefined) breaches.add("inputs", text, "a run changed its inputs")
    const more = yield* Effect.result(Effect.all([run(copies), run(copies)], { concurrency: 2 }))
    if (more._tag === "Failure") return breaches.add("repeatable", text, more.failure.message)
    for (const again of more.success)
      if (Trial.compare(outputs, again).difference !== undefined)
        breaches.add("repeatable", text, "other bits on the same inputs")
  })
