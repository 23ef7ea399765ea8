/**
 * ThreadWorker: what a worker does: takes messages until it is told to wait for orders, then runs its share of each.
 */
import type { ToWorker } from "./ThreadProtocol.ts"
import { Failure, failureWords, Word, words } from "./ThreadProtocol.ts"
import type { Instance, Memory } from "./WebAssembly.ts"
import { host } from "./WebAssembly.ts"

/** Rounds of looking before the worker sleeps: a hundred microseconds or two. */
const spins = 10_000

interface Code {
  readonly memory: Memory
  /** Undefined when it could not be instantiated here: its runs fail. */
  readonly instance: Instance | undefined
}

interface Begun {
  readonly control: Int32Array
  readonly thread: number
  readonly programs: Map<number, Code>
}

/** A handler of messages; keep one for the worker's life. `ready` is called when orders may be given. */
export const serve = (ready: () => void): ((message: ToWorker) => void) => {
  let begun: Begun | undefined
  return (message) => {
    switch (message.kind) {
      case "begin":
        begun = { control: new Int32Array(message.control, 0, words), thread: message.thread, programs: new Map() }
        ready()
        return
      case "load":
        begun?.programs.set(message.program, { memory: message.memory, instance: instantiate(message) })
        return
      case "forget":
        for (const program of message.programs) begun?.programs.delete(program)
        return
      case "arm":
        if (begun !== undefined) obey(begun, message.epoch)
        return
    }
  }
}

const instantiate = ({ memory, module }: Extract<ToWorker, { readonly kind: "load" }>): Instance | undefined => {
  try {
    return new host.Instance(module, { env: { memory } })
  } catch {
    // The calling thread made an instance of the same module; it is told at the first run.
    return undefined
  }
}

/** Runs orders until one says to take messages. */
const obey = ({ control, programs, thread }: Begun, epoch: number): void => {
  let seen = epoch
  for (;;) {
    let round = 0
    while (Atomics.load(control, Word.epoch) === seen) {
      if (++round < spins) continue
      Atomics.add(control, Word.sleepers, 1)
      Atomics.wait(control, Word.epoch, seen)
      Atomics.sub(control, Word.sleepers, 1)
      // Woken before the order: it comes soon.
      round = 0
    }
    // One order at a time: the next is given when all have finished this one.
    seen = (seen + 1) | 0
    const parks = Atomics.load(control, Word.command) === 0
    if (!parks) compute(control, programs.get(control[Word.program] ?? 0), thread)
    Atomics.add(control, Word.done, 1)
    Atomics.notify(control, Word.done)
    if (parks) return
  }
}

const compute = (control: Int32Array, code: Code | undefined, thread: number): void => {
  // The calling thread does not give an order for a program that it has not sent.
  if (code === undefined) return
  const { instance, memory } = code
  const at = control[Word.failure] ?? 0
  const exports = instance?.exports ?? {}
  try {
    const join = exports[`join_${control[Word.part] ?? 0}`]
    if (typeof join !== "function") throw new Error("there is nothing to join")
    const scratch = (control[Word.scratch] ?? 0) + thread * (control[Word.stride] ?? 0)
    const failed = at + 4 * Failure.failed
    join(control[Word.table] ?? 0, control[Word.arena] ?? 0, scratch, thread, control[Word.threads] ?? 1, failed, 0)
  } catch {
    // The calling thread says what happened; it knows the step by its number.
    const failure = new Int32Array(memory.buffer, at, failureWords)
    if (Atomics.compareExchange(failure, Failure.failed, 0, thread + 1) === 0) {
      const step = exports["at"]
      Atomics.store(failure, Failure.step, typeof step === "object" && "value" in step ? step.value : -1)
    }
  }
}
