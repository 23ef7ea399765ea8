// The laws of a pass, checked on generated graphs and on the author's own:
//
//   yield* PassLaws.check(myPass({}), { examples: [graphThatItShouldChange] })
//
// - total: it gives a graph or a typed error, never a defect; `PassError` is a breach.
// - deterministic: the same graph gives the same graph, to the byte; the graph that went in is untouched.
// - sound: the verifier finds nothing; inputs and outputs keep their names and types.
// - lineage: every node knows the nodes of the model that it came from, and new ones the pass that made them.
// - within its claim: the checker of builds finds no difference, and neither do whole runs of both graphs.
// - idempotent, when the author says so: a second run changes nothing.
// - fires: some graph was changed; otherwise nothing has been checked.
import * as Graphs from "@anneal/ir/Graph"
import * as Text from "@anneal/ir/Text"
import * as Type from "@anneal/ir/Type"
import * as Verify from "@anneal/ir/Verify"
import { Graph as GraphTag } from "@anneal/pipeline/Graph"
import * as Ledger from "@anneal/pipeline/Ledger"
import { Oracle, type OracleError } from "@anneal/pipeline/Oracle"
import * as Pass from "@anneal/pipeline/Pass"
import type * as Step from "@anneal/pipeline/Step"
import * as Trial from "@anneal/pipeline/Trial"
import { ValidationError } from "@anneal/pipeline/Validate"
import * as Validation from "@anneal/pipeline/Validation"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Agreement from "./Agreement.ts"
import * as Generated from "./Graphs.ts"
import { Breaches, LawsBroken } from "./LawsBroken.ts"
import type { Template } from "./Template.ts"

export interface Options {
  /** Graphs of one's own, tried first: those that the pass is for, and those that it must leave alone. */
  readonly examples?: ReadonlyArray<Graphs.Graph>
  /** Generated graphs, small ones first. Default 40. */
  readonly graphs?: number
  /** Default 1. */
  readonly seed?: number
  /** What generated graphs are made of; a plug-in adds its op. Default: the built-in templates. */
  readonly templates?: ReadonlyArray<Template>
  /** A second run must change nothing. Default false. */
  readonly idempotent?: boolean
}

export interface Report {
  readonly claims: Pass.Claim
  readonly graphs: number
  /** Graphs that the pass changed. */
  readonly fired: number
  /** Graphs that it refused with an error of its own. */
  readonly refused: number
}

type AnyPass<I, E, T> = Step.Step<GraphTag | I, GraphTag, E, never, T>

interface Outcome {
  readonly graph: Graphs.Graph
  readonly claims: Pass.Claim
}

const unchecked: Validation.Validation = { check: "off" }

/** Runs of the whole graph, before and after. */
const RUNS = 2

/** Checks a pass that needs nothing but the graph. */
export const check = <E, T>(
  pass: AnyPass<never, E, T>,
  options: Options = {}
): Effect.Effect<Report, LawsBroken | OracleError, Oracle> =>
  checkWith(pass, () => Effect.succeed(Context.empty()), options)

/** Checks a pass with the services and artefacts that it needs, which may depend on the graph (ranges do). */
export const checkWith = <I, E, T, E2, R2>(
  pass: AnyPass<I, E, T>,
  given: (graph: Graphs.Graph) => Effect.Effect<Context.Context<I>, E2, R2>,
  options: Options = {}
): Effect.Effect<Report, LawsBroken | OracleError | E2, Oracle | R2> =>
  Effect.gen(function* () {
    const breaches = new Breaches()
    let [fired, refused] = [0, 0]
    let claims: Pass.Claim = "exact"
    const subjects = [...(options.examples ?? []), ...generated(options)]
    for (const before of subjects) {
      const known = yield* given(before)
      const first = yield* attempt(pass, before, known, breaches, unchecked)
      if (first === "broken") continue
      if (first === "refused") {
        refused++
        continue
      }
      claims = first.claims
      const again = yield* attempt(pass, before, known, breaches, unchecked)
      if (typeof again === "string" || print(again.graph) !== print(first.graph))
        breaches.add("deterministic", print(before), "two runs on the same graph give different graphs")
      if (print(first.graph) === print(before)) continue
      fired++
      checkLineage(pass.label, before, first.graph, breaches)
      if (!checkSound(before, first.graph, breaches)) continue
      // Once more as a build runs it, with its checker.
      yield* attempt(pass, before, known, breaches, Validation.defaults)
      yield* checkClaim(before, first, breaches)
      if (options.idempotent === true) {
        const twice = yield* attempt(pass, first.graph, yield* given(first.graph), breaches, unchecked)
        if (typeof twice === "string" || print(twice.graph) !== print(first.graph))
          breaches.add("idempotent", print(before), "a second run changes the graph again")
      }
    }
    if (fired === 0 && breaches.found.length === 0)
      breaches.add(
        "fires",
        `${subjects.length} graphs`,
        `nothing was changed (${refused} were refused), so nothing was checked: give examples that the pass is for`
      )
    if (breaches.found.length > 0)
      return yield* new LawsBroken({ subject: `pass ${pass.label}`, breaches: breaches.found })
    return { claims, graphs: subjects.length, fired, refused }
  })

const generated = ({ graphs = 40, seed = 1, templates }: Options): ReadonlyArray<Graphs.Graph> =>
  Array.from({ length: graphs }, (_, index) =>
    Generated.generate(seed * 100_003 + index, {
      // Small graphs first, so that the first failing one is small.
      steps: 1 + Math.floor((10 * index) / graphs),
      ...(templates === undefined ? {} : { templates })
    })
  )

const print = (graph: Graphs.Graph): string => Text.print(graph, { digests: graph.constants.size > 40 })

const attempt = <I, E, T>(
  pass: AnyPass<I, E, T>,
  before: Graphs.Graph,
  given: Context.Context<I>,
  breaches: Breaches,
  validation: Validation.Validation
): Effect.Effect<Outcome | "refused" | "broken", never, Oracle> =>
  Effect.gen(function* () {
    const [text, content] = [print(before), before.nodes.map(({ outputs }) => outputs[0]?.id).join()]
    const known = Context.merge(given, Context.make(GraphTag, before))
    const run = Effect.catchDefect(Ledger.collect(pass.run(known)), (defect) =>
      Effect.fail(new Defect(defect instanceof Error ? (defect.stack ?? defect.message) : String(defect)))
    )
    const result = yield* Effect.result(Effect.provideService(run, Validation.Validation, validation))
    if (print(before) !== text || before.nodes.map(({ outputs }) => outputs[0]?.id).join() !== content)
      breaches.add("deterministic", text, "the graph that went in was changed")
    if (Result.isFailure(result)) {
      const error = result.failure
      if (error instanceof ValidationError) breaches.add("within its claim", text, error.message)
      else if (error instanceof Pass.PassError || error instanceof Defect) breaches.add("total", text, error.message)
      else return "refused"
      return "broken"
    }
    const [after, ledger] = result.success
    const entry = ledger[0]
    return { graph: Context.get(after, GraphTag), claims: entry?.claims ?? "exact" }
  })

/** What a pass threw. */
class Defect extends Error {}

const checkSound = (before: Graphs.Graph, after: Graphs.Graph, breaches: Breaches): boolean => {
  const [problem] = Verify.verify(after)
  if (problem !== undefined) {
    breaches.add("sound", print(before), `${problem.at}: ${problem.detail}`)
    return false
  }
  const boundary = (graph: Graphs.Graph): ReadonlyArray<string> => {
    const { type } = Graphs.index(graph)
    return [
      ...graph.inputs.map((input) => `input ${input.name} : ${Type.format(input.type)}`),
      ...graph.outputs.map((output) => `output ${output.name} : ${Type.format(type(output.id))}`)
    ]
  }
  const [expected, found] = [boundary(before), boundary(after)]
  if (expected.join("\n") === found.join("\n")) return true
  breaches.add("sound", print(before), `the boundary is ${found.join(", ")}, expected ${expected.join(", ")}`)
  return false
}

const checkLineage = (label: string, before: Graphs.Graph, after: Graphs.Graph, breaches: Breaches): void => {
  const [name = label] = label.split("@")
  const sources = new Set([...Graphs.allNodes(before)].flatMap(({ lineage }) => lineage.sources))
  const complete = [...Graphs.allNodes(before)].every(({ lineage }) => lineage.sources.length > 0)
  // Nodes of sub-graphs may move out of them.
  const old = new Set([...Graphs.allNodes(before)].flatMap(({ outputs }) => outputs.map(({ id }) => id)))
  for (const node of after.nodes) {
    const unknown = node.lineage.sources.find((source) => !sources.has(source))
    if (unknown !== undefined)
      breaches.add("lineage", print(before), `${Graphs.nodeName(node)} names ${unknown}, which the model has not`)
    const isNew = node.outputs.every(({ id }) => !old.has(id))
    if (!isNew) continue
    if (complete && node.lineage.sources.length === 0)
      breaches.add("lineage", print(before), `new node ${Graphs.nodeName(node)} does not say where it came from`)
    if (!node.lineage.rewrites.some((rewrite) => rewrite === name || rewrite.startsWith(`${name}/`)))
      breaches.add("lineage", print(before), `new node ${Graphs.nodeName(node)} does not say that ${name} made it`)
  }
}

/** Whole runs; a lossy pass is checked by its form, which the build's checker has done. */
const checkClaim = (before: Graphs.Graph, { claims, graph }: Outcome, breaches: Breaches) =>
  Effect.gen(function* () {
    if (claims === "lossy" || breaches.has("within its claim")) return
    const oracle = yield* Oracle
    for (let run = 0; run < RUNS; run++) {
      const inputs = Generated.inputsOf(before, run + 1, run === 0 ? "mixed" : "random")
      const difference =
        claims === "exact"
          ? described(Trial.compare(yield* oracle.run(before, inputs), yield* oracle.run(graph, inputs)))
          : Agreement.firstDifference(
              yield* oracle.runWithBounds(before, inputs),
              yield* oracle.runWithBounds(graph, inputs)
            )
      if (difference !== undefined)
        breaches.add("within its claim", print(before), `claims ${claims}, but ${difference}`)
    }
  })

const described = ({ difference }: Trial.Comparison): string | undefined =>
  difference === undefined
    ? undefined
    : `element ${difference.element} of result ${difference.output} is ${difference.found}, was ${difference.expected}`
