/**
 * ThreadChoice: whether runs are faster on all threads or on one, found out while they run. Both give the same bits. A
 * prediction cannot know whether another core is free, so a few runs are tried the other way now and then, and the way
 * that took less time is kept.
 *
 *   shared ×4, both in turns ×4 (a host compiles)   alone ×3   shared ×3   │ the faster ×61   the other ×3 │ …
 *
 * Where the other way loses, it is tried half as often the next time. What shared runs lose against one thread is kept
 * count of: some runs' worth of it, by more than one run that was disturbed, ends them at once, and they are tried again
 * only when that is a twentieth of what has been computed since. So threads beside a busy neighbour lose 5 % in the long run,
 * also where most runs are fast and few take very long, because a core was taken in the midst of them.
 */

/** Runs before anything is measured: a host is still compiling. */
const settling = 8
/** Runs that are measured, of each way; the least counts, since what disturbs only adds. */
const trials = 3
/** Runs from one trial of the other way to the next, at first and at last. */
const firstPeriod = 64
const lastPeriod = 1024
/** Threads must take this part of one thread's time to be kept: less is noise, and the other cores have other work. */
const worthIt = 0.97
/** Runs of one thread that shared runs may lose before one thread is tried. */
const patience = 4
/** One thread computes so many times what was lost before shared runs are tried again. */
const repayment = 20

type Way = "shared" | "alone"

export class ThreadChoice {
  #way: Way = "shared"
  #runs = 0
  #period = firstPeriod
  /** Measured: the one that is kept until now, then the other. */
  #times: Record<Way, Array<number>> = { shared: [], alone: [] }
  #state: "settling" | "trying" | "keeping" = "settling"
  /** The time of a run on one thread, as it was last seen. */
  #alone = Infinity
  /** What shared runs have lost against that, less what they have won since. */
  #debt = 0
  /** The shared runs since there was no debt, and those among them that lost. */
  #indebted = { runs: 0, time: 0, losing: 0 }
  /** Time of runs on one thread since it is kept. */
  #since = 0

  /** How the next run is to go. */
  next(): Way {
    if (this.#state === "settling") return this.#runs >= settling / 2 && this.#runs % 2 === 0 ? "alone" : "shared"
    if (this.#state === "keeping") return this.#way
    return this.#times.alone.length < trials ? "alone" : "shared"
  }

  /** What it took, in any unit. Runs that failed are not told. */
  took(way: Way, time: number): void {
    if (this.#state === "settling") {
      if (++this.#runs >= settling) this.#try()
      return
    }
    this.#times[way].push(time)
    if (way === "shared") this.#account(time)
    if (this.#state === "trying") {
      if (this.#times.alone.length < trials) return
      const isEnough = this.#times.shared.length >= trials || (this.#way === "alone" && this.#isLosing(1))
      if (isEnough) this.#decide()
      return
    }
    // The last ones before the trial are what the other way is compared with.
    if (this.#times[way].length > trials) this.#times[way].shift()
    this.#runs++
    if (way === "alone") {
      this.#since += time
      if (this.#times.alone.length === trials) this.#alone = Math.min(...this.#times.alone)
      if (this.#runs < this.#period || this.#since < repayment * this.#debt) return
      this.#clear()
      this.#try()
    } else if (this.#runs >= this.#period || this.#isLosing(2)) this.#try()
  }

  #account(time: number): void {
    const lost = time - this.#reference()
    this.#debt = Math.max(0, this.#debt + lost)
    if (this.#debt === 0) return this.#clear()
    const { losing, runs, time: total } = this.#indebted
    this.#indebted = { runs: runs + 1, time: total + time, losing: losing + (lost > 0 ? 1 : 0) }
  }

  #reference(): number {
    return this.#state === "trying" ? Math.min(...this.#times.alone) : this.#alone
  }

  #clear(): void {
    this.#debt = 0
    this.#indebted = { runs: 0, time: 0, losing: 0 }
  }

  /** Whether at least so many runs have lost more than one waits for. */
  #isLosing(runs: number): boolean {
    return this.#indebted.losing >= runs && this.#debt > patience * this.#reference()
  }

  #try(): void {
    this.#state = "trying"
    this.#runs = 0
  }

  #decide(): void {
    const alone = Math.min(...this.#times.alone)
    // Runs that lost are judged by all of them: the least of them may be fast.
    const { runs, time } = this.#indebted
    const isDoubted = this.#isLosing(2)
    const shared = isDoubted ? time / runs : Math.min(...this.#times.shared)
    const better: Way = shared < worthIt * alone ? "shared" : "alone"
    this.#period = better === this.#way ? Math.min(lastPeriod, 2 * this.#period) : firstPeriod
    // One thread has become slower, too: nothing is lost.
    if (isDoubted && better === "shared") this.#clear()
    this.#alone = alone
    this.#way = better
    this.#times = { shared: [], alone: [] }
    this.#state = "keeping"
    this.#runs = 0
    this.#since = 0
  }
}
