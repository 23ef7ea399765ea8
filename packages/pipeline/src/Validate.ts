/**
 * Validation of a rewrite against the oracle. How and why: docs/validation.md.
 *
 * before: `%y = mul(%x, 1)`, after: `%y` replaced by `%x`  ⇒  one region, `mul(v0, 1)` against `v0`, run on edge and
 * random values of `v0`.
 */
import * as Hash from "@anneal/ir/Hash"
import * as IR from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import type * as Tensor from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Diagnostic } from "./Diagnostic.ts"
import * as Key from "./Key.ts"
import type { ValidationSummary } from "./Ledger.ts"
import { firstOtherChange } from "./Lossy.ts"
import { Oracle, type OracleError } from "./Oracle.ts"
import * as OracleCost from "./OracleCost.ts"
import * as Progress from "./Progress.ts"
import * as Region from "./Region.ts"
import { Store } from "./Store.ts"
import * as Trial from "./Trial.ts"
import type { Validation } from "./Validation.ts"

/** Raised when a change of the checker makes old verdicts void. */
export const version = 2

/** A region with at least this share of a whole inference is checked on one draw instead of several. */
const COSTLY = 0.05
/** Results that must be finite for a check to count. */
const FINITE = 0.9
/** How many times a failing region is grown upstream before the whole graph is taken. */
const GROWTHS = 4
/** Whole-model inferences after which a region that could not be validated is not grown any more. */
const PATIENCE = 1

/** A rewrite that changes results. `inputs` are the smallest found on which it does, first eight elements each. */
export class ValidationError extends Schema.TaggedError<ValidationError>()("ValidationError", {
  pass: Schema.String,
  claims: Schema.Literals(["exact", "reassociating", "lossy"]),
  /** Path of the node in the user's own model. */
  node: Schema.String,
  expected: Schema.String,
  found: Schema.String,
  allowed: Schema.Number,
  /** Row-major element of the result; -1: its type. */
  element: Schema.Int,
  inputs: Schema.Array(Schema.String)
}) {
  override get message(): string {
    if (this.claims === "lossy") {
      return `Pass ${this.pass} is lossy, so it may insert casts, quantise and dequantise and nothing else, but it changed ${this.node}: put that change into a pass of its own`
    }
    const where = this.element < 0 ? "the result is" : `element ${this.element} of the result is`
    const limit = this.claims === "exact" ? "it claims to be exact" : `they may differ by ${this.allowed}`
    const inputs = this.inputs.length === 0 ? "" : ` Inputs: ${this.inputs.join("; ")}.`
    return `Pass ${this.pass} changes results at ${this.node}: ${where} ${this.found}, was ${this.expected}, and ${limit}.${inputs}`
  }
}

export interface Request {
  readonly pass: string
  readonly claims: "exact" | "reassociating" | "lossy"
  readonly before: IR.Graph
  readonly after: IR.Graph
  /** What the pass's editor recorded: value id before → after. Claims, to be checked. */
  readonly replaced: ReadonlyMap<string, string>
  /** Digests of the weights that the pass read. */
  readonly reads: ReadonlyArray<string>
  readonly policy: Extract<Validation, { readonly check: "on" }>
}

export interface Report {
  readonly failures: ReadonlyArray<ValidationError>
  readonly diagnostics: ReadonlyArray<Diagnostic>
  readonly summary: ValidationSummary
}

interface Failing {
  readonly kind: "wrong"
  readonly difference: Trial.Difference
  readonly graph: IR.Graph
  readonly inputs: ReadonlyArray<Tensor.Tensor>
}
type Verdict = { readonly kind: "right" } | { readonly kind: "unknown"; readonly reason: string } | Failing

/** What one check adds up. */
interface Tally {
  memoised: number
  /** Element operations of the oracle. */
  work: number
}

type Checker = Request & {
  readonly tally: Tally
  readonly wholeModel: number
  /** Digests of the constants that the pass computed: they are rounded, so one unit in the last place is theirs. */
  readonly rounded: ReadonlySet<string>
}

// ---- one trial ------------------------------------------------------------------------------------------------------

const spend = ({ tally }: Checker, ...graphs: ReadonlyArray<IR.Graph>) =>
  Effect.sync(() => {
    for (const graph of graphs) tally.work += OracleCost.elementOperations(graph)
  })

const runBoth = (checker: Checker, { after, before }: Trial.Sized, inputs: ReadonlyArray<Tensor.Tensor>) =>
  Effect.gen(function* () {
    const oracle = yield* Oracle
    yield* spend(checker, before, after)
    if (checker.claims === "exact") {
      return Trial.compare(yield* oracle.run(before, inputs), yield* oracle.run(after, inputs))
    }
    const [a, b] = [
      yield* oracle.runWithBounds(before, inputs),
      yield* oracle.runWithBounds(after, inputs, { rounded: checker.rounded })
    ]
    return Trial.compare(a.outputs, b.outputs, { before: a.bounds, after: b.bounds })
  })

/** Rounds of a small region: enough that every edge value is met several times, whatever the size. */
const MOST_EDGE_ROUNDS = 12

const flavours = (checker: Checker, { after, before }: Trial.Sized): ReadonlyArray<Trial.Flavour> => {
  const cost = OracleCost.elementOperations(before) + OracleCost.elementOperations(after)
  if (cost > COSTLY * checker.wholeModel && cost > 1e6) return ["mixed"]
  // Without inputs every draw is the same.
  if (before.inputs.length === 0) return ["random"]
  const sizes = before.inputs.map(({ type }) =>
    Tensors.size(type.shape.map((dim) => (typeof dim === "number" ? dim : 1)))
  )
  const rounds = Math.ceil((3 * Trial.edges.length) / Math.max(1, ...sizes))
  const repeat = (count: number, flavour: Trial.Flavour) => Array.from({ length: count }, () => flavour)
  return [
    ...repeat(Math.min(MOST_EDGE_ROUNDS, rounds), "edges"),
    ...repeat(checker.policy.draws, "random"),
    ...repeat(checker.claims === "exact" ? 1 : 0, "special")
  ]
}

/** All draws on one sizing; stops at the first difference. */
const trials = (checker: Checker, sized: Trial.Sized): Effect.Effect<Verdict, OracleError, Oracle> =>
  Effect.gen(function* () {
    let [finite, total] = [0, 0]
    const domains = sized.before.inputs.map(({ id }) => [
      ...Trial.domainsOf(sized.before, id),
      ...Trial.domainsOf(sized.after, id)
    ])
    for (const [round, flavour] of flavours(checker, sized).entries()) {
      const inputs = sized.before.inputs.map(({ type }, position) => {
        const seed = checker.policy.seed * 1009 + round * 101 + position
        return Trial.draw(type, domains[position] ?? [], flavour, seed, round * 5 + position * 7)
      })
      const outcome = yield* runBoth(checker, sized, inputs)
      if (outcome.difference !== undefined) {
        return { kind: "wrong", difference: outcome.difference, graph: sized.before, inputs }
      }
      // Infinities and NaN that were put in on purpose don't count against the check.
      if (flavour === "special") continue
      finite += outcome.finite
      total += outcome.total
    }
    if (total === 0) return { kind: "unknown", reason: "its results have no elements at the sizes that were tried" }
    if (finite < FINITE * total) {
      return { kind: "unknown", reason: `only ${Math.floor((100 * finite) / total)} % of its results were finite` }
    }
    return { kind: "right" }
  })

/** Inputs set to zeros or ones one after another, as long as the sides still differ. */
const simplify = (
  checker: Checker,
  sized: Trial.Sized,
  failing: Failing
): Effect.Effect<Failing, OracleError, Oracle> =>
  Effect.gen(function* () {
    if (OracleCost.elementOperations(sized.before) > COSTLY * checker.wholeModel + 1e6) return failing
    let best = failing
    for (const position of failing.inputs.keys()) {
      for (const value of [0, 1]) {
        const inputs = best.inputs.map((tensor, at) =>
          at === position
            ? Numbers.fromNumbers(tensor.dtype, tensor.shape, new Float64Array(Tensors.size(tensor.shape)).fill(value))
            : tensor
        )
        const { difference } = yield* runBoth(checker, sized, inputs)
        if (difference === undefined) continue
        best = { kind: "wrong", graph: best.graph, difference, inputs }
        break
      }
    }
    return best
  })

/** A region at the first sizes that the oracle takes. */
const judge = (checker: Checker, region: Region.Region): Effect.Effect<Verdict, never, Oracle> =>
  Effect.gen(function* () {
    let reason = "no sizes were found for its free dims"
    for (const sized of Trial.sizings(region)) {
      const small = Trial.shrink(sized)
      const verdict = yield* Effect.gen(function* () {
        const first = yield* trials(checker, small)
        if (first.kind !== "wrong") return first
        // At shrunk sizes a rewrite may be wrong that is right at the real ones.
        const confirmed = small.shrunk ? yield* trials(checker, sized) : first
        return confirmed.kind === "wrong" ? yield* simplify(checker, sized, confirmed) : confirmed
      }).pipe(
        Effect.catchTag("OracleError", (error) => Effect.succeed({ kind: "refused", reason: error.message } as const))
      )
      if (verdict.kind !== "refused") return verdict
      reason = verdict.reason
    }
    return { kind: "unknown", reason }
  })

// ---- one region -----------------------------------------------------------------------------------------------------

const Kept = Schema.Struct({ right: Schema.Literal(true) })
const isKept = Schema.is(Kept)

/** Only good verdicts are kept: bad and missing ones are worth another look. */
const memoised = (checker: Checker, region: Region.Region): Effect.Effect<Verdict, never, Oracle> =>
  Effect.gen(function* () {
    const store = yield* Store
    const { identity } = yield* Oracle
    if (store === undefined || identity === undefined) return yield* judge(checker, region)
    const { claims, policy } = checker
    const hashes = [Hash.content(region.before), Hash.content(region.after)]
    const key = `validation ${Key.digest([version, identity, claims, policy.draws, policy.seed, hashes])}`
    const known = yield* Effect.orElseSucceed(store.entry(key), () => Option.none())
    if (Option.isSome(known) && isKept(known.value)) {
      checker.tally.memoised++
      return { kind: "right" }
    }
    const verdict = yield* judge(checker, region)
    // A full disk costs the memo, not the build; the stage that keeps its result says so.
    if (verdict.kind === "right") yield* Effect.ignore(store.setEntry(key, { right: true }))
    return verdict
  })

/** A group of claimed pairs: as it stands, and if that fails, with more and more of what comes before it. */
const checkGroup = (checker: Checker, claims: Region.Claims, pairs: ReadonlyArray<Region.Pair>) =>
  Effect.gen(function* () {
    const inputs = new Set(claims.after.inputs.map(({ id }) => id))
    const open = new Set<string>()
    let first: { readonly verdict: Verdict; readonly region: Region.Region } | undefined
    for (let growth = 0; ; growth++) {
      const region = Region.regionOf(claims, pairs, open)
      const verdict = yield* memoised(checker, region)
      first ??= { verdict, region }
      if (verdict.kind === "right") return { verdict, region }
      const more = region.leaves.filter((id) => !inputs.has(id) && !open.has(id))
      if (more.length === 0 || growth > GROWTHS) return first
      // A difference is looked into whatever it costs; a check that says nothing is not.
      const isDear = checker.tally.work > PATIENCE * checker.wholeModel
      if (verdict.kind === "unknown" && first.verdict.kind === "unknown" && isDear) return first
      for (const id of growth === GROWTHS ? claims.images.keys() : more) if (!inputs.has(id)) open.add(id)
    }
  })

// ---- one pass -------------------------------------------------------------------------------------------------------

/** Element operations of one inference, at the first sizes that suit the whole model. */
const inference = (graph: IR.Graph): number => {
  for (const { before } of Trial.sizings({ before: graph, after: graph })) return OracleCost.elementOperations(before)
  return OracleCost.elementOperations(graph)
}

const show = (graph: IR.Graph, inputs: ReadonlyArray<Tensor.Tensor>) =>
  inputs.map((tensor, position) => {
    const values = Array.from(Numbers.toNumbers(tensor).subarray(0, 8), (value) =>
      Object.is(value, -0) ? "-0" : value
    )
    const more = Tensors.size(tensor.shape) > 8 ? ", …" : ""
    const name = graph.inputs[position]?.name ?? position
    return `${name} ${tensor.dtype}[${tensor.shape.join(", ")}] = ${values.join(", ")}${more}`
  })

const placeOf = (claims: Region.Claims, region: Region.Region, output: number) => {
  const pair = region.pairs[output]
  const producer = pair === undefined ? undefined : claims.indexBefore.producer(pair.before)
  const node = producer ?? region.nodes.at(-1)
  return node === undefined ? `%${pair?.before ?? "?"}` : IR.nodeName(node)
}

/** Outputs and inputs that a rewrite must leave as they are. */
const brokenInterface = ({ after, before }: Region.Rewrite): string | undefined => {
  const names = (list: ReadonlyArray<{ readonly name: string }>) => list.map(({ name }) => name).join(", ")
  if (names(before.outputs) !== names(after.outputs))
    return `outputs ${names(after.outputs)}, were ${names(before.outputs)}`
  const state = (list: ReadonlyArray<IR.Alias>) => list.map(({ input, output }) => `${input} = ${output}`).join(", ")
  if (state(before.aliases) !== state(after.aliases)) {
    return `state ${state(after.aliases)}, was ${state(before.aliases)}`
  }
  const types = (graph: IR.Graph) => graph.inputs.map(({ name, type }) => `${name} ${Type.format(type)}`).join(", ")
  return types(before) === types(after) ? undefined : `inputs ${types(after)}, were ${types(before)}`
}

/** Checks what a pass made of a graph. Never fails: what is wrong is in the report. */
export const check = (request: Request): Effect.Effect<Report, never, Oracle> =>
  Effect.gen(function* () {
    const { claims: claim, pass } = request
    const tally: Tally = { memoised: 0, work: 0 }
    const wholeModel = Math.max(1, inference(request.before))
    const given = IR.allConstants(request.before)
    const rounded = new Set([...IR.allConstants(request.after).keys()].filter((digest) => !given.has(digest)))
    const checker: Checker = { ...request, tally, wholeModel, rounded }
    const failures: Array<ValidationError> = []
    const diagnostics: Array<Diagnostic> = []
    let [regions, notValidated] = [0, 0]
    const fail = (node: string, difference?: Trial.Difference, inputs: ReadonlyArray<string> = []) => {
      const { allowed, element, expected, found } = difference ?? { allowed: 0, element: -1, expected: "", found: "" }
      failures.push(new ValidationError({ pass, claims: claim, node, expected, found, allowed, element, inputs }))
    }
    if (claim === "lossy") {
      const other = firstOtherChange(request.before, request.after)
      if (other !== undefined) fail(other)
      regions = 1
    } else {
      const reads = new Set(request.reads)
      const pending: Array<Region.Rewrite> = [{ ...request, reads }]
      for (let rewrite = pending.shift(); rewrite !== undefined; rewrite = pending.shift()) {
        const broken = brokenInterface(rewrite)
        if (broken !== undefined) {
          fail(`the interface of ${rewrite.before.name}`, {
            output: 0,
            element: -1,
            expected: "kept",
            found: broken,
            allowed: 0
          })
          continue
        }
        const claims = Region.claimsOf(rewrite)
        const groups = Region.changedRegions(claims, ({ after, before }) => {
          if (!pending.some((sub) => sub.before === before && sub.after === after)) {
            pending.push({ before, after, replaced: new Map(), reads })
          }
        })
        for (const [done, pairs] of groups.entries()) {
          regions++
          const { region, verdict } = yield* checkGroup(checker, claims, pairs)
          if (verdict.kind === "wrong") {
            const place = placeOf(claims, region, verdict.difference.output)
            fail(place, verdict.difference, show(verdict.graph, verdict.inputs))
          } else if (verdict.kind === "unknown") {
            notValidated++
            diagnostics.push({
              severity: "warning",
              code: "not-validated",
              message: `${pass}: a rewrite was not validated: ${verdict.reason}`,
              node: placeOf(claims, region, 0),
              action: `compare the results with and without ${pass}`
            })
          }
          yield* Progress.step("rewrites checked", done + 1, groups.length)
        }
      }
    }
    const summary: ValidationSummary = {
      regions,
      memoised: tally.memoised,
      failed: failures.length,
      notValidated,
      inferences: tally.work / wholeModel
    }
    return { failures, diagnostics, summary }
  }).pipe(Effect.withSpan("anneal.validate", { attributes: { "anneal.pass": request.pass } }))
