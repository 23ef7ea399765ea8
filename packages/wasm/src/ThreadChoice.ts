/**
 * ThreadChoice: whether runs are faster on all threads or on one, found out while they run. Both give the same bits. A
 * prediction cannot know whether another core is free, so a few runs are tried the other way now and then, and the way
 * that took less time is kept.
 *
 *   shared ×8 (a host compiles)   alone ×3   shared ×3   │ the faster ×61   the other ×3 │ …
 *
 * Where the other way loses, it is tried half as often the next time.
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

type Way = "shared" | "alone"

export class ThreadChoice {
  #way: Way = "shared"
  #runs = 0
  #period = firstPeriod
  /** Measured: the one that is kept until now, then the other. */
  #times: Record<Way, Array<number>> = { shared: [], alone: [] }
  #state: "settling" | "trying" | "keeping" = "settling"

  /** How the next run is to go. */
  next(): Way {
    if (this.#state !== "trying") return this.#way
    return this.#times.alone.length < trials ? "alone" : this.#times.shared.length < trials ? "shared" : this.#way
  }

  /** What it took, in any unit. Runs that failed are not told. */
  took(way: Way, time: number): void {
    switch (this.#state) {
      case "settling":
        if (++this.#runs >= settling) this.#try()
        return
      case "keeping":
        // The last ones before the trial are what the other way is compared with.
        this.#times[this.#way].push(time)
        if (this.#times[this.#way].length > trials) this.#times[this.#way].shift()
        if (++this.#runs >= this.#period) this.#try()
        return
      case "trying":
        this.#times[way].push(time)
        if (this.#times.alone.length >= trials && this.#times.shared.length >= trials) this.#decide()
        return
    }
  }

  #try(): void {
    this.#state = "trying"
    this.#runs = 0
  }

  #decide(): void {
    const { alone, shared } = this.#times
    const better: Way = Math.min(...shared) < worthIt * Math.min(...alone) ? "shared" : "alone"
    this.#period = better === this.#way ? Math.min(lastPeriod, 2 * this.#period) : firstPeriod
    this.#way = better
    this.#times = { shared: [], alone: [] }
    this.#state = "keeping"
    this.#runs = 0
  }
}
