/**
 * Threads: workers over one shared memory that compute steps together with the thread that calls. They look for work for
 * some tens of microseconds after the last one, then sleep until they are woken.
 *
 * A run never hangs: a worker that stops is noticed at the next meeting, and so is one that does not come back in time.
 * How a worker is started is the host's business (`Spawn`); nothing of Node is used here.
 */
import type { Heap } from "./Heap.ts"
import type { Program } from "./Loaded.ts"
import type { ToWorker } from "./ThreadProtocol.ts"
import { Word, words } from "./ThreadProtocol.ts"

/** A worker that runs `ThreadWorker.serve`. */
export interface WorkerHandle {
  readonly post: (message: ToWorker) => void
  /** Calls back once, when the worker has ended, however that came. */
  readonly onExit: (ended: () => void) => void
  readonly terminate: () => void
}

export type Spawn = () => WorkerHandle

/** What a run on several threads failed by, when it was not the calling thread's own trap. */
export class ThreadFailure extends Error {
  override readonly name = "ThreadFailure"
  /** Number of the step; undefined when it is not known. */
  readonly step: number | undefined
  constructor(detail: string, step?: number) {
    super(detail)
    this.step = step
  }
}

/** Milliseconds of one sleep of the calling thread, in which others must come. */
const sleepMs = 20
/** Sleeps in which a worker must have started and compiled: on a busy machine that takes a while. */
const startPatience = 30_000 / sleepMs
/** Rounds of looking before the calling thread sleeps. */
const spins = 5_000

export interface PoolOptions {
  /** Threads that compute together, the calling one too. */
  readonly threads: number
  readonly spawn: Spawn
  /** Milliseconds for the others to finish after the calling thread has nothing left to do. Default 30,000. */
  readonly deadline?: number
}

export class ThreadPool {
  readonly threads: number
  readonly #heap: Heap
  readonly #spawn: Spawn
  readonly #patience: number
  readonly #control: number
  #workers: ReadonlyArray<WorkerHandle> = []
  #programs = new Map<Program, number>()
  #broken = false

  constructor(heap: Heap, { deadline = 30_000, spawn, threads }: PoolOptions) {
    this.threads = threads
    this.#heap = heap
    this.#spawn = spawn
    this.#patience = Math.max(1, Math.ceil(deadline / sleepMs))
    this.#control = heap.allocate(4 * words)
    this.#start()
  }

  get #words(): Int32Array {
    return new Int32Array(this.#heap.memory.buffer, this.#control, words)
  }

  #start(): void {
    const control = this.#words
    control.fill(0)
    this.#programs = new Map()
    this.#broken = false
    this.#workers = Array.from({ length: this.threads - 1 }, (_, place) => {
      const worker = this.#spawn()
      worker.onExit(() => {
        if (this.#workers.includes(worker)) this.#broken = true
      })
      worker.post({ kind: "begin", memory: this.#heap.memory, control: this.#control, thread: place + 1 })
      worker.post({ kind: "arm", epoch: 0 })
      return worker
    })
  }

  /** Workers take messages only between two runs; they are sent out of their wait for it. */
  #introduce(program: Program): number {
    const number = this.#programs.size
    const control = this.#words
    Atomics.store(control, Word.done, 0)
    const epoch = this.#order("park")
    // Each has taken the order before there is another.
    if (!this.#await(control, Math.max(this.#patience, startPatience))) this.#giveUp()
    this.#programs.set(program, number)
    for (const worker of this.#workers) {
      worker.post({ kind: "load", module: program.module })
      worker.post({ kind: "arm", epoch })
    }
    return number
  }

  #order(command: "park" | "run"): number {
    const control = this.#words
    Atomics.store(control, Word.command, command === "run" ? 1 : 0)
    const epoch = Atomics.add(control, Word.epoch, 1) + 1
    if (Atomics.load(control, Word.sleepers) > 0) Atomics.notify(control, Word.epoch)
    return epoch
  }

  /**
   * `join_N` of a program on all threads. `scratch`: of the calling thread; the others' follow, `stride` bytes apart.
   * Throws what the calling thread's code throws, or `ThreadFailure`.
   */
  run(
    program: Program,
    part: number,
    join: (...args: ReadonlyArray<number>) => unknown,
    place: { readonly table: number; readonly arena: number; readonly scratch: number; readonly stride: number }
  ): void {
    if (this.#broken) this.#restart()
    const number = this.#programs.get(program) ?? this.#introduce(program)
    const control = this.#words
    control[Word.program] = number
    control[Word.part] = part
    control[Word.table] = place.table
    control[Word.arena] = place.arena
    control[Word.scratch] = place.scratch
    control[Word.stride] = place.stride
    control[Word.threads] = this.threads
    Atomics.store(control, Word.failed, 0)
    Atomics.store(control, Word.done, 0)
    this.#order("run")
    const failedAt = this.#control + 4 * Word.failed
    let own: { readonly cause: unknown } | undefined
    try {
      join(place.table, place.arena, place.scratch, 0, this.threads, failedAt, this.#patience)
    } catch (cause) {
      own = { cause }
      // The others must not wait for this thread.
      Atomics.compareExchange(control, Word.failed, 0, 1)
    }
    const came = this.#await(control, this.#patience)
    const failed = Atomics.load(control, Word.failed)
    if (!came || failed === -1) {
      this.#broken = true
      throw new ThreadFailure(
        `a thread did not come back in ${(this.#patience * sleepMs) / 1000} s; all are started anew`
      )
    }
    if (failed > 1) throw new ThreadFailure(`thread ${failed - 1} stopped`, Atomics.load(control, Word.failedStep))
    if (own !== undefined) throw own.cause
  }

  /** Whether all workers have finished in time. */
  #await(control: Int32Array, patience: number): boolean {
    const others = this.#workers.length
    for (let round = 0; round < spins; round++) if (Atomics.load(control, Word.done) === others) return true
    for (let slept = 0; slept < patience; slept++) {
      const done = Atomics.load(control, Word.done)
      if (done === others) return true
      Atomics.wait(control, Word.done, done, sleepMs)
    }
    return Atomics.load(control, Word.done) === others
  }

  #giveUp(): never {
    this.#broken = true
    throw new ThreadFailure(
      `a thread did not come back in ${(this.#patience * sleepMs) / 1000} s; all are started anew`
    )
  }

  #restart(): void {
    this.#end()
    this.#start()
  }

  #end(): void {
    const workers = this.#workers
    this.#workers = []
    for (const worker of workers) worker.terminate()
  }

  dispose(): void {
    this.#end()
    this.#heap.release(this.#control)
  }
}
