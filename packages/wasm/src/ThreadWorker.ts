/**
 * ThreadWorker: what a worker does: takes messages until it is told to wait for orders, then runs its share of each.
 */
import type { ToWorker } from "./ThreadProtocol.ts"
import { Word, words } from "./ThreadProtocol.ts"
import type { Instance, Memory } from "./WebAssembly.ts"
import { host } from "./WebAssembly.ts"

/** Rounds of looking before the worker sleeps: some tens of microseconds. */
const spins = 10_000

interface Begun {
  readonly memory: Memory
  readonly control: number
  readonly thread: number
  readonly programs: Array<Instance>
}

/** A handler of messages; keep one for the worker's life. */
export const serve = (): ((message: ToWorker) => void) => {
  let begun: Begun | undefined
  return (message) => {
    switch (message.kind) {
      case "begin":
        begun = { memory: message.memory, control: message.control, thread: message.thread, programs: [] }
        return
      case "load":
        begun?.programs.push(new host.Instance(message.module, { env: { memory: begun.memory } }))
        return
      case "arm":
        if (begun !== undefined) obey(begun, message.epoch)
        return
    }
  }
}

/** Runs orders until one says to take messages. */
const obey = ({ control: at, memory, programs, thread }: Begun, epoch: number): void => {
  const control = new Int32Array(memory.buffer, at, words)
  let seen = epoch
  for (;;) {
    let round = 0
    while (Atomics.load(control, Word.epoch) === seen) {
      if (++round < spins) continue
      Atomics.add(control, Word.sleepers, 1)
      Atomics.wait(control, Word.epoch, seen)
      Atomics.sub(control, Word.sleepers, 1)
    }
    // One order at a time: the next is given when all have finished this one.
    seen++
    const parks = Atomics.load(control, Word.command) === 0
    if (!parks) compute(control, at, programs[control[Word.program] ?? 0], thread)
    Atomics.add(control, Word.done, 1)
    Atomics.notify(control, Word.done)
    if (parks) return
  }
}

const compute = (control: Int32Array, at: number, program: Instance | undefined, thread: number): void => {
  const exports = program?.exports ?? {}
  try {
    const join = exports[`join_${control[Word.part] ?? 0}`]
    if (typeof join !== "function") throw new Error("there is nothing to join")
    const scratch = (control[Word.scratch] ?? 0) + thread * (control[Word.stride] ?? 0)
    const failed = at + 4 * Word.failed
    join(control[Word.table] ?? 0, control[Word.arena] ?? 0, scratch, thread, control[Word.threads] ?? 1, failed, 0)
  } catch {
    // The calling thread says what happened; it knows the step by its number.
    if (Atomics.compareExchange(control, Word.failed, 0, thread + 1) === 0) {
      const step = exports["at"]
      Atomics.store(control, Word.failedStep, typeof step === "object" && "value" in step ? step.value : -1)
    }
  }
}
