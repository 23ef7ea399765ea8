/**
 * Host: programs in which some nodes are left to the oracle, between stretches of generated code. Slow and right; which
 * nodes, and why, stands in the engine.
 */
import type { Engine } from "@anneal/engine/Engine"
import { asEngineError } from "@anneal/engine/Engine"
import * as Constants from "@anneal/ir/Constant"
import * as Dim from "@anneal/ir/Dim"
import type { Graph, Input } from "@anneal/ir/Graph"
import type { OpDefinition } from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import * as Tensor from "@anneal/ir/Tensor"
import * as Text from "@anneal/ir/Text"
import * as Type from "@anneal/ir/Type"
import type { OracleService } from "@anneal/pipeline/Oracle"
import type { Prepared } from "@anneal/runtime/Executor"
import { ExecutionError } from "@anneal/runtime/RuntimeError"
import * as Effect from "effect/Effect"
import type { Binding } from "./Binding.ts"
import type { Heap } from "./Heap.ts"
import type * as Image from "./Image.ts"
import * as Places from "./Places.ts"
import type { Meter } from "./Profile.ts"
import * as Results from "./Results.ts"

type Attempt = <A>(f: () => A, binding?: Binding) => Effect.Effect<A, ExecutionError>

const isPlace = (operand: Image.Operand): operand is Image.Place => "buffer" in operand

/** The graph of a step, with an input of no elements for each symbol that is known: it gives the symbol its value. */
const withSymbols = (graph: Graph, symbols: ReadonlyMap<string, number>): Graph => ({
  ...graph,
  inputs: [
    ...graph.inputs,
    ...[...symbols.keys()].map((name): Input => {
      const id = `size of ${name}`
      return { id, name: id, type: Type.make("bool", [0, Dim.symbol(name)]) }
    })
  ]
})

const parse = (text: string, engine: Engine, ops: ReadonlyMap<string, OpDefinition>): Graph =>
  Text.parse(text, {
    ops,
    constant: (digest, dtype, shape) => {
      const section = engine.manifest.sections.find(({ kind, sha256 }) => kind === "constant" && sha256 === digest)
      return section === undefined
        ? undefined
        : Constants.lazy(digest, dtype, shape, () => engine.section(section.name))
    }
  })

/** Runs a program with its inputs in place; step by step where a meter is given. */
export const run = (
  what: Prepared,
  heap: Heap,
  oracle: OracleService,
  binding: Binding,
  attempt: Attempt,
  seed: number | undefined,
  meter?: Meter
): Effect.Effect<ReadonlyArray<Tensor.Tensor>, ExecutionError> => {
  const { engine } = what
  const { image, unit } = binding.program
  const symbols = new Map<string, number>([
    ...Object.entries(unit.fixed),
    ...image.symbols.map((name, place) => [name, binding.symbols[place] ?? 0] as const)
  ])
  const values = new Map<string, Tensor.Tensor>()
  const valueOf = (operand: Image.Operand): Tensor.Tensor => {
    if (isPlace(operand)) return Places.read(binding.locate(operand), heap.memory.buffer)
    const found = values.get(operand.host)
    if (found === undefined) throw new Error(`%${operand.host} is used before it has a value`)
    return found
  }
  const learn = (one: Graph, results: ReadonlyArray<Tensor.Tensor>): void => {
    const [node] = one.nodes
    const listed: unknown = node?.attributes["symbols"]
    if (node?.op.name === "readDims" && Array.isArray(listed))
      for (const [place, dim] of listed.entries()) {
        const solved = Dim.isSymbolic(dim) ? Dim.solve(dim, Number(results[0]?.data[place]), symbols) : undefined
        if (solved !== undefined) symbols.set(solved.name, solved.value)
      }
    for (const [place, { type }] of (node?.outputs ?? []).entries())
      for (const [axis, dim] of type.shape.entries()) {
        const extent = results[place]?.shape[axis]
        const solved = extent === undefined ? undefined : Dim.solve(dim, extent, symbols)
        if (solved !== undefined) symbols.set(solved.name, solved.value)
      }
  }
  const hostStep = (step: Image.HostStep): Effect.Effect<void, ExecutionError> =>
    Effect.gen(function* () {
      const one = yield* Effect.try({
        try: () => parse(step.graph, engine, what.ops ?? Ops.table()),
        catch: (cause) =>
          new ExecutionError({
            engine: engine.file,
            target: "wasm",
            node: step.node,
            detail: asEngineError(cause, engine.file).message
          })
      })
      const operands = yield* attempt(() =>
        step.operands.flatMap((operand) => (operand === null ? [] : [valueOf(operand)]))
      )
      const sizes = [...symbols.values()].map((extent) => Tensor.zeros("bool", [0, extent]))
      const results = yield* Effect.mapError(
        oracle.run(withSymbols(one, symbols), [...operands, ...sizes], seed === undefined ? {} : { seed }),
        ({ detail }) => new ExecutionError({ engine: engine.file, target: "wasm", detail, node: step.node })
      )
      yield* attempt(() => {
        learn(one, results)
        for (const [place, result] of step.results.entries()) {
          const tensor = results[place]
          if (tensor === undefined) continue
          if (isPlace(result)) Places.write(binding.locate(result), heap.memory.buffer, tensor)
          else values.set(result.host, tensor)
        }
      })
    })
  const perform = (actions: ReadonlyArray<Image.Action>): Effect.Effect<void, ExecutionError> =>
    Effect.gen(function* () {
      for (const action of actions)
        switch (action.kind) {
          case "run": {
            const part = meter === undefined ? () => binding.part(action.part) : () => meter.part(action)
            yield* attempt(part, binding)
            break
          }
          case "host": {
            const step = image.hosts[action.step]
            if (step !== undefined)
              yield* meter === undefined ? hostStep(step) : meter.host(action.step, hostStep(step))
            break
          }
          case "branch": {
            const taken = yield* attempt(() => Number(valueOf(action.condition).data[0] ?? 0) !== 0)
            yield* perform(taken ? action.whenTrue : action.whenFalse)
            break
          }
        }
    })
  return Effect.andThen(
    perform(image.actions),
    attempt(() =>
      (what.boundary ?? what.graph).outputs.map(({ name }, place): Tensor.Tensor => {
        const port = binding.outputs[place]
        const operand = image.outputs[place]
        if (port !== undefined) return Results.tensor(port)
        if (operand === undefined) throw new Error(`output ${name} is nowhere`)
        return valueOf(operand)
      })
    )
  )
}
