// Graphs: random but well-shaped ones, and inputs for them, from seeds.
//
//   Graphs.generate(7)                       a graph of up to ten steps over the built-in ops
//   Graphs.inputsOf(graph, 1)                tensors in the ops' domains
//   it.prop("…", [Graphs.arbitrary()], …)    for property tests
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import type { Graph, Value } from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import type * as Tensor from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"
import * as Trial from "@anneal/pipeline/Trial"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as Random from "./Random.ts"
import type { Template } from "./Template.ts"
import * as Templates from "./Templates.ts"

export interface Options {
  /** Templates used, one or more nodes each. Default: 1 to 10, by the seed. */
  readonly steps?: number
  /** Default: the built-in ones. */
  readonly templates?: ReadonlyArray<Template>
  /** What inputs are drawn from. Default: a few small ones. */
  readonly inputs?: ReadonlyArray<Type.TensorType>
  /** Values with more elements than this are not used any further. Default 512. */
  readonly most?: number
  /** `ends`: what nothing reads. `any`: also what is read inside, inputs, constants, and one value twice. Default `ends`. */
  readonly outputs?: "ends" | "any"
}

const MOST_ELEMENTS = 512
/** What the symbol `n` counts as when sizes are estimated. */
const ESTIMATE = 3

const inputTypes: ReadonlyArray<Type.TensorType> = [
  Type.make("f32", [Dim.symbol("n"), 3]),
  Type.make("f32", [1, 2, 4, 4]),
  Type.make("f32", [2, 3]),
  Type.make("f64", [3]),
  Type.make("f32", []),
  Type.make("i32", [4])
]

const elements = ({ shape }: Type.TensorType): number =>
  shape.reduce<number>((count, dim) => {
    const known = new Map(Dim.symbols(dim).map((name) => [name, ESTIMATE]))
    return count * (Dim.evaluate(dim, known) ?? Infinity)
  }, 1)

/** The same seed gives the same graph. Every node has a path of its own as its source. */
export const generate = (seed: number, options: Options = {}): Graph => {
  const random = Random.make(seed)
  const steps = options.steps ?? random.integer(1, 10)
  const templates = options.templates ?? Templates.all
  const most = options.most ?? MOST_ELEMENTS
  const builder = Builder.make(`generated ${seed}`)
  const values: Array<Value> = []
  const used = new Set<string>()
  const count = random.integer(1, 3)
  for (const type of random.shuffled(options.inputs ?? inputTypes).slice(0, count))
    values.push(builder.input(`x${values.length}`, type))
  if (!values.some(({ type }) => type.dtype === "f32"))
    values.push(builder.input(`x${values.length}`, Type.make("f32", [2, 3])))
  let nodes = 0
  const b: Builder.Builder = {
    ...builder,
    node: (op, inputs, attributes, nodeOptions) => {
      for (const input of inputs) if (input !== undefined) used.add(input.id)
      const lineage = { sources: [`/${op.name}_${nodes++}`], rewrites: [] }
      return builder.node(op, inputs, attributes, { lineage, ...nodeOptions })
    },
    one: (op, inputs, attributes, nodeOptions) => {
      const [first] = b.node(op, inputs, attributes, nodeOptions)
      if (first === undefined) throw new TypeError(`${op.name} has no result`)
      return first
    }
  }
  const pick = (fits: (type: Type.TensorType) => boolean): Value | undefined => {
    const fitting = values.filter(({ type }) => fits(type))
    return random.chance(0.6) ? fitting.at(-1) : random.pick(fitting)
  }
  for (let step = 0, tries = 0; step < steps && tries < 20 * steps; tries++) {
    const made = random.pick(templates)?.build({ b, random, pick })
    if (made === undefined) continue
    step++
    values.push(...made.filter(({ type }) => elements(type) <= most))
  }
  const results = values.filter(({ id }) => !used.has(id) && !isInput(builder.finish(), id))
  const kept =
    results.length === 0
      ? values.slice(-1)
      : results.filter((_, index) => index === results.length - 1 || random.chance(0.7))
  const more = options.outputs === "any" ? others(values, builder, random) : []
  for (const [index, value] of [...kept, ...more].entries()) builder.output(`y${index}`, value)
  return builder.finish()
}

/** Now and then a value from the middle, an input, a constant. */
const others = (
  values: ReadonlyArray<Value>,
  builder: Builder.Builder,
  random: Random.Random
): ReadonlyArray<Value> => {
  const constant = random.chance(0.1) ? [builder.tensor(Numbers.fromNumbers("f32", [2], [1.5, -2]))] : []
  const inside = values.filter(() => random.chance(0.15))
  return [...inside, ...constant]
}

const isInput = (graph: Graph, id: string): boolean => graph.inputs.some((input) => input.id === id)

/** One input a graph input, from the domains of the ops that read it; symbols get small sizes by the seed, unless told. */
export const inputsOf = (
  graph: Graph,
  seed: number,
  flavour: Trial.Flavour = "mixed",
  /** Of the n-th symbol, by name. */
  sizeOf: (position: number) => number = (position) => 2 + ((seed + position) % 3)
): ReadonlyArray<Tensor.Tensor> => {
  const symbols = [...new Set(graph.inputs.flatMap(({ type }) => Type.symbols(type)))].sort()
  const sizes = new Map<string, Dim.Dim>(symbols.map((name, index) => [name, sizeOf(index)]))
  return graph.inputs.map(({ id, type }, position) =>
    Trial.draw(
      Type.substitute(type, sizes),
      Trial.domainsOf(graph, id),
      flavour,
      seed * 1009 + position,
      seed * 7 + position * 3
    )
  )
}

/** Graphs for property tests. */
export const arbitrary = (options: Options = {}): Arbitrary.Arbitrary<Graph> =>
  Arbitrary.map(Arbitrary.schema(Schema.Int), (seed) => generate(seed, options))
