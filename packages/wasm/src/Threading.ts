/**
 * Threading: the code that threads meet in. Units of a step are taken from a counter, so that a core that is taken away
 * costs its share and no more; between steps that depend on each other stands a barrier.
 *
 * Each counter and each barrier of a run has a word of its own, zero when the run begins: a thread that leaves a barrier
 * late is not overtaken by the next use of it.
 */
import type { Emission } from "./Emission.ts"
import type { I32 } from "./Instruction.ts"
import { atomic, i32, i64, select } from "./Instruction.ts"
import type { Func, FunctionBuilder, Local } from "./ModuleBuilder.ts"

/** Rounds of looking before a thread sleeps: a hundred microseconds or two, some times what a sleeper takes to wake. */
const spins = 100_000
/** Nanoseconds of one sleep; then the thread looks whether another has failed. */
const sleep = 20_000_000n

const asI32 = (f: FunctionBuilder, local: Local | undefined): I32 => {
  if (local === undefined) throw new Error("a parameter is missing")
  return f.get({ type: "i32", index: local.index })
}

/**
 * `barrier(word, threads, failed, patience)`: goes on when all threads have come. Stops (traps) when the word at `failed`
 * is not 0, or after `patience` sleeps (0: never), when it stores -1 there.
 */
export const barrier = (emission: Emission): Func =>
  emission.shared("thread barrier", () =>
    emission.module.func("barrier", ["i32", "i32", "i32", "i32"], [], (f, [word, threads, failed, patience]) => {
      const all = asI32(f, threads)
      const at = asI32(f, word)
      f.if(i32.eq(i32.add(atomic.add(at, i32.const(1)), i32.const(1)), all), () => {
        f.drop(atomic.notify(at, i32.const(0x7fffffff)))
        f.return()
      })
      const round = f.local("i32")
      const seen = f.local("i32")
      const slept = f.local("i32")
      f.set(round, i32.const(0))
      f.set(slept, i32.const(0))
      f.loop((again) => {
        f.if(i32.ge_s(f.tee(seen, atomic.load(at)), all), () => f.return())
        f.if(i32.lt_s(f.tee(round, i32.add(f.get(round), i32.const(1))), i32.const(spins)), () => f.br(again))
        f.if(atomic.load(asI32(f, failed)), () => f.unreachable())
        f.if(i32.eq(atomic.wait32(at, f.get(seen), i64.const(sleep)), i32.const(2)), () => {
          f.set(slept, i32.add(f.get(slept), i32.const(1)))
          f.if(i32.eq(f.get(slept), asI32(f, patience)), () => {
            f.do(atomic.store(asI32(f, failed), i32.const(-1)))
            f.unreachable()
          })
        })
        f.br(again)
      })
    })
  )

/**
 * Takes units until there are none: `step(begin, end)`, a few at a time. Threads of even numbers take them from the front,
 * the others from the back, so that a thread reads in one step what it wrote in the step before and a core's cache still has;
 * they meet where they meet. `word` counts what was taken: from the front in its lower half, from the back in the upper one.
 */
export const shareUnits = (
  f: FunctionBuilder,
  options: {
    readonly word: I32
    readonly units: I32
    readonly thread: I32
    readonly threads: I32
    readonly failed: I32
    readonly step: (begin: I32, end: I32) => void
  }
): void => {
  const units = f.let(options.units)
  // Eight pieces for each thread: an even end without many meetings at the counter.
  const chunk = f.let(i32.div_u(f.get(units), i32.mul(options.threads, i32.const(8))))
  f.set(chunk, select(f.get(chunk), f.get(chunk), i32.const(1)))
  const last = f.let(i32.div_s(i32.sub(f.get(units), i32.const(1)), f.get(chunk)))
  const isBack = f.let(i32.and(options.thread, i32.const(1)))
  const taken = f.local("i32")
  const front = f.local("i32")
  const back = f.local("i32")
  const begin = f.local("i32")
  const end = f.local("i32")
  f.block((done) =>
    f.loop((again) => {
      f.set(taken, atomic.add(options.word, select(f.get(isBack), i32.const(0x10000), i32.const(1))))
      f.set(front, i32.and(f.get(taken), i32.const(0xffff)))
      f.set(back, i32.sub(f.get(last), i32.shr_u(f.get(taken), i32.const(16))))
      f.brIf(done, i32.gt_s(f.get(front), f.get(back)))
      f.if(atomic.load(options.failed), () => f.unreachable())
      f.set(begin, i32.mul(select(f.get(isBack), f.get(back), f.get(front)), f.get(chunk)))
      f.set(end, i32.add(f.get(begin), f.get(chunk)))
      f.set(end, select(i32.lt_s(f.get(end), f.get(units)), f.get(end), f.get(units)))
      options.step(f.get(begin), f.get(end))
      f.br(again)
    })
  )
}
