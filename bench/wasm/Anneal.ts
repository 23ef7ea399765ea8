// Ours: an engine file, loaded and run by the runtime as a user does.
//
//   run      yield* session.run(inputs), in one fiber
//   promise  await Effect.runPromise(session.run(inputs))
//   bound    bound.run(), after the inputs are written where it reads them
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Reference from "@anneal/reference/Reference"
import type * as Runtime from "@anneal/runtime/Executor"
import * as Sessions from "@anneal/runtime/Session"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Executor from "@anneal/wasm/Executor"
import * as NodeThreads from "@anneal/wasm/NodeThreads"
import { wideFlag } from "./Contestant.ts"
import { generatorVersion } from "@anneal/engine/Engine"
import type { Library, Runner, Tensors } from "./Protocol.ts"

/** A process that was started with the flag for 256-bit vectors takes the code that is for it. */
const services = (threads: number) =>
  Layer.mergeAll(
    Executor.layer({
      wide: process.execArgv.includes(wideFlag),
      ...(threads === 1 ? {} : { threads: { threads, spawn: NodeThreads.spawn } })
    }).pipe(Layer.provide(Reference.layer())),
    NodeFileSystem.layer
  )

const bound =
  (plain: Runtime.Bound, inputs: Tensors) =>
  (until: number, atLeast: number): Promise<ReadonlyArray<number>> => {
    const times: Array<number> = []
    let now = performance.now()
    while (now < until || times.length < atLeast) {
      for (const { data, name } of plain.inputs) copy(data, inputs[name])
      plain.run()
      const end = performance.now()
      times.push(end - now)
      now = end
    }
    return Promise.resolve(times)
  }

const copy = (to: Runtime.BoundPort["data"], from: Tensors[string] | undefined): void => {
  if (from === undefined) return
  const bytes = ({ buffer, byteLength, byteOffset }: typeof to): Uint8Array =>
    new Uint8Array(buffer, byteOffset, byteLength)
  bytes(to).set(bytes(from.data))
}

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
      // The session lives as long as the process: its scope is never closed.
      const session = await Effect.runPromise(
        Sessions.load(file).pipe(
          Effect.provideService(Scope.Scope, Scope.makeUnsafe()),
          Effect.provide(services(threads))
        )
      )
      return {
        infer: (inputs) => Effect.runPromise(session.run(inputs)),
        runner: async (inputs): Promise<Runner> => {
          const [memory] = session.memory
          const use = session.memoryUse()
          const shapes = Object.fromEntries(Object.entries(inputs).map(([name, { shape }]) => [name, shape]))
          const plain = await Effect.runPromise(Effect.result(session.bind(shapes)))
          return {
            version: generatorVersion,
            planned: memory === undefined ? null : memory.weights + memory.peak,
            taken: use === undefined ? null : use.weights + use.values,
            calls: {
              run: repeated(session, inputs),
              promise: promised(session, inputs),
              ...(Result.isSuccess(plain) ? { bound: bound(plain.success, inputs) } : {})
            }
          }
        }
      }
    }
  })
