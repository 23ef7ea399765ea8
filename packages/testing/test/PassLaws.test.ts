// Right passes keep the laws; each wrong one is caught by the law that it breaks.
import { assert, describe, it } from "@effect/vitest"
import type * as Builder from "@anneal/ir/Builder"
import * as Editor from "@anneal/ir/Editor"
import type * as Graph from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Pass from "@anneal/pipeline/Pass"
import { layerReference, reference, Target } from "@anneal/pipeline/Target"
import * as Reference from "@anneal/reference/Reference"
import * as PassLaws from "@anneal/testing/PassLaws"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const none = Schema.Struct({})

type Rewrite = (
  builder: Builder.Builder,
  inputs: ReadonlyArray<Graph.Value | undefined>,
  node: Graph.Node
) => Graph.Value | undefined

/** A pass that replaces every node of an op. */
const rewriting = (
  op: { readonly name: string },
  make: Rewrite,
  options: { readonly claims?: Pass.Claim; readonly rewrite?: string } = {}
) =>
  Pass.make({
    name: "mine",
    version: 1,
    claims: options.claims ?? "exact",
    config: none,
    run: (graph) => {
      const editor = Editor.open(graph)
      for (const node of editor.nodes()) {
        if (node.op.name !== op.name) continue
        editor.replace(node, options.rewrite ?? "mine", (builder) => {
          const made = make(builder, editor.inputs(node), node)
          return [made ?? editor.inputs(node)[0]]
        })
      }
      return editor.finish()
    }
  })({})

const lawsOf = <E>(pass: Pass.Pass<never, E>, options: PassLaws.Options = {}) =>
  Effect.map(Effect.flip(PassLaws.check(pass, options)), (error) => {
    if (error._tag !== "LawsBroken") throw error
    return error
  }).pipe(Effect.provide(Reference.layer()))

/** relu(x) as max(x, 0), which it is by definition. */
const expandRelu = rewriting(Ops.relu, (b, [x]) =>
  x === undefined ? undefined : b.one(Ops.max, [x, b.tensor(Numbers.scalar(x.type.dtype, 0))], {})
)

describe("PassLaws", () => {
  it.live("a right pass keeps them, and the report says how much was checked", () =>
    Effect.gen(function* () {
      const report = yield* PassLaws.check(expandRelu, { idempotent: true })
      assert.strictEqual(report.claims, "exact")
      assert.strictEqual(report.graphs, 40)
      assert.isAbove(report.fired, 3)
      assert.strictEqual(report.refused, 0)
    }).pipe(Effect.provide(Reference.layer()))
  )

  it.live("a wrong rewrite is caught, with a small graph", () =>
    Effect.gen(function* () {
      const wrong = rewriting(Ops.relu, (b, [x]) => b.one(Ops.abs, [x], {}))
      const error = yield* lawsOf(wrong)
      assert.deepStrictEqual(
        error.breaches.map(({ law }) => law),
        ["within its claim"]
      )
      assert.include(error.message, "pass mine@1 breaks a law")
      assert.include(error.message, "relu")
      assert.isBelow((error.breaches[0]?.on.match(/ = /g) ?? []).length, 25)
    })
  )

  it.live("a reassociation that claims to be exact is caught; claimed as what it is, it is right", () =>
    Effect.gen(function* () {
      const halves = (claims: Pass.Claim) =>
        rewriting(
          Ops.gelu,
          (b, [x], node) => {
            if (x === undefined) return undefined
            const two = b.tensor(Numbers.scalar(x.type.dtype, 3))
            return b.one(
              Ops.div,
              [
                b.one(
                  Ops.mul,
                  [
                    b.one(Ops.gelu, [x], { approximate: node.attributes["approximate"] === "tanh" ? "tanh" : "none" }),
                    two
                  ],
                  {}
                ),
                two
              ],
              {}
            )
          },
          { claims }
        )
      const error = yield* lawsOf(halves("exact"), { graphs: 60 })
      assert.deepStrictEqual(
        error.breaches.map(({ law }) => law),
        ["within its claim"]
      )
      const report = yield* PassLaws.check(halves("reassociating"), { graphs: 60 })
      assert.isAbove(report.fired, 0)
    }).pipe(Effect.provide(Reference.layer()))
  )

  it.live("a pass that depends on anything but the graph is caught", () =>
    Effect.gen(function* () {
      let runs = 0
      const fickle = rewriting(Ops.relu, (b, [x]) => {
        const zero = x === undefined ? undefined : b.tensor(Numbers.scalar(x.type.dtype, 0), { id: `zero${runs++}` })
        return b.one(Ops.max, [x, zero], {})
      })
      const error = yield* lawsOf(fickle)
      assert.deepStrictEqual(
        error.breaches.map(({ law }) => law),
        ["deterministic"]
      )
    })
  )

  it.live("lost lineage is caught", () =>
    Effect.gen(function* () {
      const anonymous = rewriting(Ops.relu, (b, [x]) =>
        x === undefined
          ? undefined
          : b.one(
              Ops.max,
              [x, b.tensor(Numbers.scalar(x.type.dtype, 0))],
              {},
              { lineage: { sources: [], rewrites: ["mine"] } }
            )
      )
      assert.include((yield* lawsOf(anonymous)).message, "does not say where it came from")
      const other = rewriting(
        Ops.relu,
        (b, [x]) => (x === undefined ? undefined : b.one(Ops.max, [x, b.tensor(Numbers.scalar(x.type.dtype, 0))], {})),
        { rewrite: "someone else" }
      )
      assert.include((yield* lawsOf(other)).message, "does not say that mine made it")
    })
  )

  it.live("a graph that the verifier refuses, or another boundary, is caught", () =>
    Effect.gen(function* () {
      const renaming = Pass.make({
        name: "renaming",
        version: 1,
        claims: "exact",
        config: none,
        run: (graph) => ({
          graph: { ...graph, outputs: graph.outputs.map(({ id }, index) => ({ id, name: `other${index}` })) },
          replaced: new Map(),
          changed: true
        })
      })({})
      const error = yield* lawsOf(renaming)
      assert.include(
        error.breaches.map(({ law }) => law),
        "sound"
      )
      const reversed = Pass.make({
        name: "reversed",
        version: 1,
        claims: "exact",
        config: none,
        run: (graph) => ({ graph: { ...graph, nodes: graph.nodes.toReversed() }, replaced: new Map(), changed: true })
      })({})
      assert.include(
        (yield* lawsOf(reversed)).breaches.map(({ law }) => law),
        "sound"
      )
    })
  )

  it.live("a defect is a breach, a typed refusal is none", () =>
    Effect.gen(function* () {
      const throwing = Pass.make({
        name: "throwing",
        version: 1,
        claims: "exact",
        config: none,
        run: () => {
          throw new TypeError("x is undefined")
        }
      })({})
      assert.include((yield* lawsOf(throwing)).message, "x is undefined")
      class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {}
      const picky = Pass.make({
        name: "picky",
        version: 1,
        claims: "exact",
        config: none,
        run: (graph) =>
          graph.nodes.some(({ op }) => op === Ops.relu)
            ? Effect.fail(new Refused())
            : Effect.succeed({ graph, replaced: new Map<string, string>(), changed: false })
      })({})
      const error = yield* Effect.flip(PassLaws.check(picky)).pipe(Effect.provide(Reference.layer()))
      assert.include(error.message, "nothing was changed")
      assert.notInclude(error.message, "(0 were refused)")
    })
  )

  it.live("a pass that never settles is caught when it says that it is idempotent", () =>
    Effect.gen(function* () {
      const growing = rewriting(Ops.relu, (b, [x]) => b.one(Ops.relu, [b.one(Ops.relu, [x], {})], {}))
      assert.deepStrictEqual(
        (yield* lawsOf(growing, { idempotent: true })).breaches.map(({ law }) => law),
        ["idempotent"]
      )
      yield* PassLaws.check(growing).pipe(Effect.provide(Reference.layer()))
    })
  )

  it.live("a lossy pass that does more than it may is caught; one with needs gets them", () =>
    Effect.gen(function* () {
      const sly = rewriting(Ops.relu, (b, [x]) => b.one(Ops.abs, [x], {}), { claims: "lossy" })
      assert.deepStrictEqual(
        (yield* lawsOf(sly)).breaches.map(({ law }) => law),
        ["within its claim"]
      )
      const needy = Pass.make({
        name: "needy",
        version: 1,
        claims: "exact",
        config: none,
        needs: [Target],
        run: Effect.fnUntraced(function* (graph) {
          const target = yield* Target
          const editor = Editor.open(graph)
          for (const node of editor.nodes())
            if (node.op === Ops.relu && target.supports(Ops.relu, ["f32", "f32"]))
              editor.replace(node, "needy", (b) => [b.one(Ops.relu, [b.one(Ops.relu, editor.inputs(node), {})], {})])
          return editor.finish()
        })
      })({})
      const report = yield* PassLaws.checkWith(needy, () => Effect.succeed(Context.make(Target, reference)))
      assert.isAbove(report.fired, 0)
    }).pipe(Effect.provide([Reference.layer(), layerReference]))
  )
})
