// Ours: an engine file, loaded and run by the runtime as a user does.
//
//   run      yield* session.run(inputs), in one fiber
//   promise  await Effect.runPromise(session.run(inputs))
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Reference from "@anneal/reference/Reference"
import * as Executor from "@anneal/runtime/Executor"
import * as Sessions from "@anneal/runtime/Session"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { generatorVersion } from "@anneal/engine/Engine"
import type { Library, Runner, Tensors } from "./Protocol.ts"

const services = Layer.mergeAll(Executor.layerReference.pipe(Layer.provideMerge(Reference.layer())), NodeServices.layer)

const repeated =
  (session: Sessions.Session, inputs: Tensors) =>
  (until: number, atLeast: number): Promise<ReadonlyArray<number>> =>
    Effect.runPromise(
      Effect.gen(function* () {
        const times: Array<number> = []
        let now = performance.now()
        while (now < until || times.length < atLeast) {
          yield* session.run(inputs)
          const end = performance.now()
          times.push(end - now)
          now = end
        }
        return times
      })
    )

const promised =
  (session: Sessions.Session, inputs: Tensors) =>
  async (until: number, atLeast: number): Promise<ReadonlyArray<number>> => {
    const times: Array<number> = []
    let now = performance.now()
    while (now < until || times.length < atLeast) {
      await Effect.runPromise(session.run(inputs))
      const end = performance.now()
      times.push(end - now)
      now = end
    }
    return times
  }

export const load = (): Promise<Library> =>
  Promise.resolve({
    create: async (file, threads) => {
      if (threads !== 1) throw new Error("the reference target runs on one thread")
      // The session lives as long as the process: its scope is never closed.
      const session = await Effect.runPromise(
        Sessions.load(file).pipe(Effect.provideService(Scope.Scope, Scope.makeUnsafe()), Effect.provide(services))
      )
      return {
        first: async (inputs): Promise<Runner> => {
          const infer = (given: Tensors): Promise<Tensors> => Effect.runPromise(session.run(given))
          const outputs = await infer(inputs)
          const [memory] = session.memory
          return {
            version: generatorVersion,
            outputs,
            planned: memory === undefined ? null : memory.weights + memory.peak,
            taken: null,
            infer,
            calls: { run: repeated(session, inputs), promise: promised(session, inputs) }
          }
        }
      }
    }
  })
