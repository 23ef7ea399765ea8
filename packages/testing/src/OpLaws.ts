// The laws of an op, checked on cases that its author declares to be valid:
//
//   yield* OpLaws.check(myOp, { cases: [{ operands: [Type.make("f32", [2, 3])], attributes: {} }], kernels: [myKernel] })
//
// - attributes: they survive encoding and decoding, and the graph's text form.
// - inference: gives types on every case, the same each time; refuses nonsense with an `IrError`, never anything else.
// - domain: intervals that are not empty.
// - expansion: gives the types that inference says, in a sound graph.
// - kernel: results have the inferred types, the same bits each time, also on f64 where inference takes it; operands are
//   not changed.
// - commutative, when declared: swapped operands give the same bits.
// - error bound: operands perturbed by a rounding to f16, together and one by one, change the result by no more than the
//   bound says. Catches an error rule that forgets an operand or has too small a slope, and one that says nothing at all.
import * as Builder from "@anneal/ir/Builder"
import * as DType from "@anneal/ir/DType"
import { IrError, refuse } from "@anneal/ir/Errors"
import type * as Graph from "@anneal/ir/Graph"
import * as Infer from "@anneal/ir/Infer"
import * as Numbers from "@anneal/ir/Numbers"
import * as Op from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Tensor from "@anneal/ir/Tensor"
import * as Text from "@anneal/ir/Text"
import * as Type from "@anneal/ir/Type"
import * as Verify from "@anneal/ir/Verify"
import type { OracleError, OracleService } from "@anneal/pipeline/Oracle"
import * as Trial from "@anneal/pipeline/Trial"
import type { Entry } from "@anneal/reference/Kernel"
import * as Reference from "@anneal/reference/Reference"
import * as Effect from "effect/Effect"
import * as Agreement from "./Agreement.ts"
import { Breaches, LawsBroken } from "./LawsBroken.ts"

/** A valid use of the op, at static sizes. */
export interface Case<A> {
  /** Types of the operands; undefined for one left out. */
  readonly operands: ReadonlyArray<Type.TensorType | undefined>
  readonly attributes: A
  readonly graphs?: Readonly<Record<string, Graph.Graph>>
}

export interface Options<A> {
  readonly cases: ReadonlyArray<Case<A>>
  /** Kernels of the op, if it is a primitive, and of a plug-in's ops that its expansion uses. */
  readonly kernels?: ReadonlyArray<Entry>
  /** Draws of inputs a case. Default 3. */
  readonly draws?: number
  /** Default 1. */
  readonly seed?: number
}

export interface Report {
  readonly cases: number
  /** Share of the results' elements that had a finite error bound. */
  readonly bounded: number
}

export const check = <A extends Op.Attributes>(
  op: Op.OpDefinition<A>,
  options: Options<A>
): Effect.Effect<Report, LawsBroken> =>
  Effect.gen(function* () {
    const breaches = new Breaches()
    const oracle = Reference.make(options.kernels === undefined ? {} : { kernels: options.kernels })
    if (options.cases.length === 0) breaches.add("cases", "none", "give cases: without any, nothing is checked")
    let [bounded, draws] = [0, 0]
    for (const one of options.cases) {
      const types = checkInference(op, one, breaches)
      if (types === undefined) continue
      const graph = graphOf(op, one, one.operands)
      checkAttributes(op, one, graph, breaches)
      checkNonsense(op, one, breaches)
      checkExpansion(op, one, types, breaches)
      for (let draw = 0; draw < (options.draws ?? 3); draw++) {
        const seed = (options.seed ?? 1) * 101 + draw
        const inputs = drawInputs(op, one, seed, graph)
        if (!(yield* checkKernel(op, one, graph, inputs, oracle, breaches))) break
        const share = yield* Effect.result(checkBound(op, one, seed, oracle, breaches))
        if (share._tag === "Failure") {
          breaches.add("kernel", `${describe(one)}, or f64 in its place`, share.failure.message)
          break
        }
        bounded += share.success
        draws++
      }
    }
    const share = draws === 0 ? 0 : bounded / draws
    if (draws > 0 && share === 0 && op.error.kind !== "discontinuous")
      breaches.add("error bound", op.name, "no element of any result has a finite bound: the rule says nothing")
    if (breaches.found.length > 0) return yield* new LawsBroken({ subject: `op ${op.name}`, breaches: breaches.found })
    return { cases: options.cases.length, bounded: share }
  })

const describe = <A>({ attributes, operands }: Case<A>): string =>
  `(${operands.map((type) => (type === undefined ? "_" : Type.format(type))).join(", ")}) ${JSON.stringify(attributes)}`

const infer = <A extends Op.Attributes>(op: Op.OpDefinition<A>, one: Case<A>, operands = one.operands) =>
  Infer.infer(op, operands, one.attributes, one.graphs ?? {}, Builder.makeNames().unbacked).types

/** What `f` gives, or what it threw. */
const attempt = <B>(f: () => B): { readonly value: B } | { readonly error: unknown } => {
  try {
    return { value: f() }
  } catch (error) {
    return { error }
  }
}
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const checkInference = <A extends Op.Attributes>(op: Op.OpDefinition<A>, one: Case<A>, breaches: Breaches) => {
  const [first, second] = [attempt(() => infer(op, one)), attempt(() => infer(op, one))]
  if ("error" in first || "error" in second) {
    breaches.add(
      "inference",
      describe(one),
      `refuses a valid case: ${"error" in first ? messageOf(first.error) : "the second time"}`
    )
    return undefined
  }
  if (first.value.map(Type.format).join() !== second.value.map(Type.format).join())
    breaches.add("inference", describe(one), "gives other types the second time")
  for (const [operand, type] of one.operands.entries()) {
    const domain = op.domain?.(operand, one.operands, one.attributes)
    if (domain?.kind === "range" && !(domain.min <= domain.max))
      breaches.add(
        "domain",
        describe(one),
        `operand ${operand} (${type === undefined ? "left out" : Type.format(type)}) is in [${domain.min}, ${domain.max}], which is empty`
      )
  }
  return first.value
}

/** The op as a graph; its inputs are the operands. `prepare` may put something between. */
const graphOf = <A extends Op.Attributes>(
  op: Op.OpDefinition<A>,
  one: Case<A>,
  inputs: ReadonlyArray<Type.TensorType | undefined>,
  prepare: (b: Builder.Builder, value: Graph.Value) => Graph.Value = (_, value) => value
): Graph.Graph => {
  const b = Builder.make(op.name)
  const operands = inputs.map((type, position) => (type === undefined ? undefined : b.input(`x${position}`, type)))
  const prepared = operands.map((value) => (value === undefined ? undefined : prepare(b, value)))
  const results = b.node(op, prepared, one.attributes, one.graphs === undefined ? {} : { graphs: one.graphs })
  for (const [position, value] of results.entries()) b.output(`y${position}`, value)
  return b.finish()
}

const checkAttributes = <A extends Op.Attributes>(
  op: Op.OpDefinition<A>,
  one: Case<A>,
  graph: Graph.Graph,
  breaches: Breaches
): void => {
  const trip = attempt(() => {
    const encoded = JSON.stringify(Op.encodeAttributes(op, one.attributes))
    const again = JSON.stringify(Op.encodeAttributes(op, Op.decodeAttributes(op, JSON.parse(encoded))))
    const text = Text.print(graph)
    const parsed = Text.print(Text.parse(text, { ops: Ops.table([op]) }))
    return encoded === again && text === parsed ? undefined : `${encoded} comes back as ${again}`
  })
  const problem = "error" in trip ? messageOf(trip.error) : trip.value
  if (problem !== undefined) breaches.add("attributes", describe(one), problem)
}

/** Wrong operands: inference may take them, or refuse them by an `IrError`; anything else is a breach. */
const checkNonsense = <A extends Op.Attributes>(op: Op.OpDefinition<A>, one: Case<A>, breaches: Breaches): void => {
  const wrong = one.operands.flatMap((type, position) =>
    type === undefined
      ? []
      : [
          one.operands.with(position, undefined),
          one.operands.with(position, Type.make("bool", type.shape)),
          one.operands.with(position, Type.make(type.dtype, [])),
          one.operands.with(position, Type.make(type.dtype, [...type.shape, 7])),
          one.operands.with(position, Type.make(type.dtype, type.shape.slice(1)))
        ]
  )
  for (const operands of [...wrong, []]) {
    const made = attempt(() => infer(op, one, operands))
    if ("error" in made && !(made.error instanceof IrError))
      breaches.add(
        "inference",
        describe({ ...one, operands }),
        `throws something else than an IrError: ${messageOf(made.error)}`
      )
  }
}

const checkExpansion = <A extends Op.Attributes>(
  op: Op.OpDefinition<A>,
  one: Case<A>,
  types: ReadonlyArray<Type.TensorType>,
  breaches: Breaches
): void => {
  if (op.expand === undefined) return
  const made = attempt(() => {
    const b = Builder.make(op.name)
    const operands = one.operands.map((type, position) =>
      type === undefined ? undefined : b.input(`x${position}`, type)
    )
    const results = op.expand?.(b, operands, one.attributes) ?? []
    for (const [position, value] of results.entries()) b.output(`y${position}`, value)
    const [problem] = Verify.verify(b.finish())
    if (problem !== undefined) return `${problem.at}: ${problem.detail}`
    const [found, expected] = [results.map(({ type }) => Type.format(type)).join(), types.map(Type.format).join()]
    return found === expected ? undefined : `gives ${found}, inference says ${expected}`
  })
  const problem = "error" in made ? messageOf(made.error) : made.value
  if (problem !== undefined) breaches.add("expansion", describe(one), problem)
}

const drawInputs = <A extends Op.Attributes>(
  op: Op.OpDefinition<A>,
  one: Case<A>,
  seed: number,
  graph: Graph.Graph
): ReadonlyArray<Tensor.Tensor> =>
  graph.inputs.map(({ name, type }) => {
    const operand = Number(name.slice(1))
    const domain = op.domain?.(operand, one.operands, one.attributes) ?? Op.any
    return Trial.draw(type, [domain], seed % 2 === 0 ? "mixed" : "random", seed * 31 + operand)
  })

const sameBits = (a: ReadonlyArray<Tensor.Tensor>, b: ReadonlyArray<Tensor.Tensor>): boolean =>
  Trial.compare(a, b).difference === undefined

/** False when the op cannot be run: then nothing else can be said of this case. */
const checkKernel = <A extends Op.Attributes>(
  op: Op.OpDefinition<A>,
  one: Case<A>,
  graph: Graph.Graph,
  inputs: ReadonlyArray<Tensor.Tensor>,
  oracle: OracleService,
  breaches: Breaches
): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const copies = inputs.map(({ data, dtype, shape }) => Tensor.make(dtype, shape, data.slice()))
    const run = Effect.result(
      Effect.catchDefect(oracle.run(graph, inputs), (defect) => Effect.fail(new Error(messageOf(defect))))
    )
    const [first, second] = [yield* run, yield* run]
    if (first._tag === "Failure" || second._tag === "Failure") {
      breaches.add("kernel", describe(one), first._tag === "Failure" ? first.failure.message : "fails the second time")
      return false
    }
    if (!sameBits(first.success, second.success))
      breaches.add("kernel", describe(one), "gives other bits the second time")
    if (!sameBits(copies, inputs)) breaches.add("kernel", describe(one), "changes an operand")
    for (const [position, expected] of graph.outputs.entries()) {
      const [type, tensor] = [typeOf(graph, expected.id), first.success[position]]
      const found = tensor === undefined ? "nothing" : `${tensor.dtype}[${tensor.shape.join(", ")}]`
      const fits =
        tensor !== undefined &&
        type !== undefined &&
        tensor.dtype === type.dtype &&
        tensor.shape.length === type.shape.length &&
        type.shape.every((dim, axis) => typeof dim !== "number" || dim === tensor.shape[axis])
      if (!fits)
        breaches.add(
          "kernel",
          describe(one),
          `result ${position} is ${found}, inference says ${type === undefined ? "nothing" : Type.format(type)}`
        )
    }
    const [a, b] = inputs
    if (op.commutative === true && a !== undefined && b !== undefined && inputs.length === 2) {
      const turned = graphOf(op, one, one.operands.toReversed())
      const other = yield* Effect.result(oracle.run(turned, [b, a]))
      if (other._tag === "Failure" || !sameBits(first.success, other.success))
        breaches.add("commutative", describe(one), "swapped operands give another result")
    }
    return true
  })

const typeOf = (graph: Graph.Graph, id: string): Type.TensorType | undefined =>
  graph.nodes.flatMap(({ outputs }) => outputs).find((output) => output.id === id)?.type

const isPerturbed = (type: Type.TensorType | undefined): boolean => type?.dtype === "f32" || type?.dtype === "f64"

const cast = (b: Builder.Builder, value: Graph.Value, to: DType.DType): Graph.Value =>
  value.type.dtype === to ? value : b.one(Ops.cast, [value], { to, saturate: false })

/**
 * The op on float64 operands, against the op in its own type on the same operands rounded to f16: all of them, and each
 * alone. Gives the greatest share of results with a finite bound (a rule may give up on some operands, not on all); 1
 * when there is nothing to perturb.
 */
const checkBound = <A extends Op.Attributes>(
  op: Op.OpDefinition<A>,
  one: Case<A>,
  seed: number,
  oracle: OracleService,
  breaches: Breaches
): Effect.Effect<number, OracleError> =>
  Effect.gen(function* () {
    const float = one.operands.flatMap((type, position) => (isPerturbed(type) ? [position] : []))
    if (float.length === 0) return 1
    const typesWith = (rounded: ReadonlyArray<number>) =>
      one.operands.map((type, position) =>
        type !== undefined && rounded.includes(position) ? Type.make("f64", type.shape) : type
      )
    const own = (value: Graph.Value): DType.DType => one.operands[Number(value.id.slice(1))]?.dtype ?? value.type.dtype
    const inputsOf = (graph: Graph.Graph): ReadonlyArray<Tensor.Tensor> =>
      drawInputs(op, one, seed, graphOf(op, one, one.operands)).map((tensor, position) =>
        graph.inputs[position]?.type.dtype === "f64"
          ? Numbers.fromNumbers("f64", tensor.shape, Numbers.toNumbers(tensor))
          : tensor
      )
    // An op that does not take f64, or whose sub-graphs are made for its own type, is compared with itself in that type.
    const exact = attempt(() =>
      one.graphs === undefined ? graphOf(op, one, typesWith(float)) : refuse("Unsupported", "made for one type")
    )
    const reference = "error" in exact ? graphOf(op, one, one.operands) : exact.value
    const expected = yield* oracle.runWithBounds(reference, inputsOf(reference))
    let share = 0
    for (const rounded of float.length === 1 ? [float] : [float, ...float.map((position) => [position])]) {
      const graph = graphOf(op, one, typesWith(rounded), (b, value) =>
        rounded.includes(Number(value.id.slice(1))) ? cast(b, cast(b, value, "f16"), own(value)) : value
      )
      const found = yield* oracle.runWithBounds(graph, inputsOf(graph))
      const difference = Agreement.firstDifference(expected, found)
      if (difference !== undefined)
        breaches.add("error bound", describe(one), `with operands ${rounded.join(", ")} rounded to f16, ${difference}`)
      share = Math.max(share, Agreement.boundedShare(found))
    }
    return share
  })
