/**
 * Threads: workers that compute steps together with the thread that calls. They look for work for some tens of microseconds
 * after the last one, then sleep until they are woken.
 *
 * A pool serves all engines of an executor, one run at a time: a `Team` is the pool's part for one engine's memory. Nobody
 * blocks on a worker that starts or ends, which may need this thread's event loop for it: until all workers have said that
 * they are ready, `Team.isReady` is false and runs go on one thread.
 *
 * A run never hangs: a worker that stops is noticed at the next meeting, and so is one that does not come back in time.
 * How a worker is started is the host's business (`Spawn`); nothing of Node is used here.
 */
import type { Heap } from "./Heap.ts"
import type { ToWorker } from "./ThreadProtocol.ts"
import { Failure, failureWords, Word, words } from "./ThreadProtocol.ts"
import type { Module } from "./WebAssembly.ts"

/** A worker that runs `ThreadWorker.serve`. */
export interface WorkerHandle {
  readonly post: (message: ToWorker) => void
  /** Calls back once, when the worker can take orders. */
  readonly onReady: (ready: () => void) => void
  /** Calls back once, when the worker has ended, however that came. */
  readonly onExit: (ended: (why: string) => void) => void
  /** Resolves when it has ended. */
  readonly terminate: () => Promise<void>
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
/** Rounds of looking before the calling thread sleeps: a hundred microseconds or two. */
const spins = 10_000

export interface PoolOptions {
  /** Threads that compute together, the calling one too. */
  readonly threads: number
  readonly spawn: Spawn
  /** Milliseconds for the others to finish after the calling thread has nothing left to do. Default 30,000. */
  readonly deadline?: number
}

/** What threads run. */
export interface Code {
  readonly module: Module
}

/** Where a run finds its memory. `scratch`: of the calling thread; the others' follow, `stride` bytes apart. */
export interface Place {
  readonly table: number
  readonly arena: number
  readonly scratch: number
  readonly stride: number
}

/** Workers that were started together, and the words that they look at: those of old workers are never used again. */
interface Crew {
  readonly workers: ReadonlyArray<WorkerHandle>
  readonly control: Int32Array
  readonly programs: Map<Code, number>
  /** Numbers of programs are never given twice. */
  next: number
  waiting: number
  /** An order that was given and not waited for. */
  outstanding: boolean
  ended: string | undefined
}

export class ThreadPool {
  readonly threads: number
  readonly #spawn: Spawn
  readonly #patience: number
  #crew: Crew | undefined
  /** Who may still share runs: the executor, and each session, which may outlive it. */
  #holders = 1
  /** Ends of former crews. */
  #ending: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor({ deadline = 30_000, spawn, threads }: PoolOptions) {
    this.threads = threads
    this.#spawn = spawn
    this.#patience = Math.max(1, Math.ceil(deadline / sleepMs))
  }

  /** Starts the workers, unless they are there, and waits until they can take orders. Rejects with `ThreadFailure`. */
  async start(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const crew = this.#crew ?? this.#begin()
      if (crew.waiting === 0) return resolve()
      for (const worker of crew.workers) {
        worker.onReady(() => {
          if (crew.waiting === 0) resolve()
        })
        worker.onExit((why) => reject(new ThreadFailure(`a thread did not start: ${why}`)))
      }
    })
  }

  #begin(): Crew {
    if (this.#closed) throw new ThreadFailure("the executor's threads have been ended")
    const shared = new SharedArrayBuffer(4 * words)
    const workers = Array.from({ length: this.threads - 1 }, () => this.#spawn())
    const crew: Crew = {
      workers,
      control: new Int32Array(shared),
      programs: new Map(),
      next: 0,
      waiting: workers.length,
      outstanding: false,
      ended: undefined
    }
    for (const [place, worker] of workers.entries()) {
      worker.onReady(() => crew.waiting--)
      worker.onExit((why) => {
        crew.ended = why
        if (this.#crew === crew) this.#dismiss(crew)
      })
      worker.post({ kind: "begin", control: shared, thread: place + 1 })
      worker.post({ kind: "arm", epoch: 0 })
    }
    this.#crew = crew
    return crew
  }

  /** Nobody uses these workers again. */
  #dismiss(crew: Crew): void {
    if (this.#crew === crew) this.#crew = undefined
    this.#ending = Promise.all([this.#ending, ...crew.workers.map((worker) => worker.terminate())])
  }

  /** Whether runs may be shared now; where the workers have been lost, others are started. */
  get isReady(): boolean {
    if (this.#closed) return false
    return (this.#crew ?? this.#begin()).waiting === 0
  }

  /** For the sessions of one engine. The workers start, unless they are there. */
  team(heap: Heap): Team {
    if (this.#crew === undefined) this.#begin()
    return new Team(this, heap)
  }

  #order(crew: Crew, command: "park" | "run"): number {
    const { control } = crew
    this.#settle(crew)
    Atomics.store(control, Word.done, 0)
    Atomics.store(control, Word.command, command === "run" ? 1 : 0)
    const epoch = (Atomics.add(control, Word.epoch, 1) + 1) | 0
    if (Atomics.load(control, Word.sleepers) > 0) Atomics.notify(control, Word.epoch)
    return epoch
  }

  /** There is one order at a time. */
  #settle(crew: Crew): void {
    if (!crew.outstanding) return
    if (!this.#await(crew)) throw this.#lost(crew)
    crew.outstanding = false
  }

  /** Sends messages to workers, which take them only between two runs: they are sent out of their wait for it. */
  #tell(crew: Crew, message: ToWorker): void {
    const epoch = this.#order(crew, "park")
    crew.outstanding = true
    for (const worker of crew.workers) {
      worker.post(message)
      worker.post({ kind: "arm", epoch })
    }
  }

  #numberOf(crew: Crew, code: Code, heap: Heap): number {
    const known = crew.programs.get(code)
    if (known !== undefined) return known
    const program = crew.next++
    this.#tell(crew, { kind: "load", program, module: code.module, memory: heap.memory })
    crew.programs.set(code, program)
    return program
  }

  /** Wakes who sleeps, as an order comes soon: waking takes as long as copying some inputs. */
  wake(): void {
    const crew = this.#crew
    if (crew === undefined || crew.waiting > 0) return
    if (Atomics.load(crew.control, Word.sleepers) > 0) Atomics.notify(crew.control, Word.epoch)
  }

  /** `Team.run`; `failure`: address of the run's `Failure` words. */
  run(
    heap: Heap,
    failure: number,
    code: Code,
    part: number,
    join: (...args: ReadonlyArray<number>) => unknown,
    { arena, scratch, stride, table }: Place
  ): void {
    const crew = this.#crew
    if (crew === undefined || crew.waiting > 0) throw new ThreadFailure("the threads have not started")
    const { control } = crew
    const program = this.#numberOf(crew, code, heap)
    this.#settle(crew)
    control[Word.program] = program
    control[Word.part] = part
    control[Word.table] = table
    control[Word.arena] = arena
    control[Word.scratch] = scratch
    control[Word.stride] = stride
    control[Word.threads] = this.threads
    control[Word.failure] = failure
    const outcome = new Int32Array(heap.memory.buffer, failure, failureWords)
    Atomics.store(outcome, Failure.failed, 0)
    this.#order(crew, "run")
    let own: { readonly cause: unknown } | undefined
    try {
      join(table, arena, scratch, 0, this.threads, failure + 4 * Failure.failed, this.#patience)
    } catch (cause) {
      own = { cause }
      // The others must not wait for this thread.
      Atomics.compareExchange(outcome, Failure.failed, 0, 1)
    }
    const came = this.#await(crew)
    const failed = Atomics.load(outcome, Failure.failed)
    if (!came || failed === -1) throw this.#lost(crew)
    if (failed > 1) throw new ThreadFailure(`thread ${failed - 1} stopped`, Atomics.load(outcome, Failure.step))
    if (own !== undefined) throw own.cause
  }

  /** Whether all workers have finished the order in time. */
  #await({ control, workers }: Crew): boolean {
    const others = workers.length
    for (let round = 0; round < spins; round++) if (Atomics.load(control, Word.done) === others) return true
    for (let slept = 0; slept < this.#patience; slept++) {
      const done = Atomics.load(control, Word.done)
      if (done === others) return true
      Atomics.wait(control, Word.done, done, sleepMs)
    }
    return Atomics.load(control, Word.done) === others
  }

  #lost(crew: Crew): ThreadFailure {
    this.#dismiss(crew)
    const why = crew.ended === undefined ? "" : ` (${crew.ended})`
    return new ThreadFailure(
      `a thread did not come back in ${(this.#patience * sleepMs) / 1000} s${why}; all are started anew`
    )
  }

  /** Workers drop what they hold of an engine that is closed; nobody waits for it. */
  forget(isGone: (code: Code) => boolean): void {
    const crew = this.#crew
    if (crew === undefined || crew.waiting > 0) return
    const gone = [...crew.programs].filter(([code]) => isGone(code))
    if (gone.length === 0) return
    for (const [code] of gone) crew.programs.delete(code)
    try {
      this.#tell(crew, { kind: "forget", programs: gone.map(([, program]) => program) })
    } catch (cause) {
      // Workers that do not come back hold nothing any more: they have been dismissed.
      if (!(cause instanceof ThreadFailure)) throw cause
    }
  }

  /** One more who may share runs. Throws `ThreadFailure` where the workers have been ended. */
  hold(): void {
    if (this.#closed) throw new ThreadFailure("the executor's threads have been ended")
    this.#holders++
  }

  /** One less, the executor being the first; with the last the workers end. Resolves when they have. */
  async release(): Promise<void> {
    if (--this.#holders > 0) return
    this.#closed = true
    if (this.#crew !== undefined) this.#dismiss(this.#crew)
    await this.#ending
  }
}

/** A pool's part for one engine. */
export class Team {
  readonly threads: number
  readonly #pool: ThreadPool
  readonly #heap: Heap
  readonly #failure: number
  readonly #codes = new Set<Code>()

  constructor(pool: ThreadPool, heap: Heap) {
    this.threads = pool.threads
    this.#pool = pool
    this.#heap = heap
    this.#failure = heap.allocate(4 * failureWords)
  }

  get isReady(): boolean {
    return this.#pool.isReady
  }

  /** Says that a run comes. */
  wake(): void {
    this.#pool.wake()
  }

  /** `join_N` of a program on all threads. Throws what the calling thread's code throws, or `ThreadFailure`. */
  run(code: Code, part: number, join: (...args: ReadonlyArray<number>) => unknown, place: Place): void {
    this.#codes.add(code)
    this.#pool.run(this.#heap, this.#failure, code, part, join, place)
  }

  release(): void {
    this.#pool.forget((code) => this.#codes.has(code))
    this.#heap.release(this.#failure)
  }
}
