/**
 * Exams: what a region is examined with: contents of its buffers, and what its results must be. Neither depends on the
 * candidate, so all candidates of a region share them.
 */
import type { MeasurerError } from "@anneal/pipeline/Measurer"
import type { OracleService } from "@anneal/pipeline/Oracle"
import * as Effect from "effect/Effect"
import * as Draw from "./Draw.ts"
import * as Footprint from "./Footprint.ts"
import * as NodeOracle from "./NodeOracle.ts"
import * as Placing from "./Placing.ts"
import type * as Recorded from "./Recorded.ts"
import type { Expected } from "./RegionOracle.ts"
import * as RegionOracle from "./RegionOracle.ts"
import type { Subject } from "./Trial.ts"
import { sizesOf } from "./Trial.ts"
import type * as UnitOrder from "./UnitOrder.ts"

export interface Exam {
  readonly kind: Draw.Kind
  /** What every byte is that nothing was drawn for. */
  readonly fill: number
  /** What the buffers hold that are read: shared memory. */
  readonly contents: ReadonlyMap<string, Uint8Array>
  readonly expected: ReadonlyArray<Expected>
  /** In which orders units are computed one by one. */
  readonly orders: ReadonlyArray<UnitOrder.Order>
}

/** All that one region is examined with. */
export interface Paper {
  readonly outputs: ReadonlyArray<Placing.Output>
  readonly exams: ReadonlyArray<Exam>
}

/** Papers kept: candidates of one region are checked one after another, or side by side. */
const kept = 8

const bytesOf = ({ data }: Draw.Drawn): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

export interface Options {
  readonly oracle: OracleService
  /** Multiplications or so that the definition may take for one draw of a region. */
  readonly effort: number
  /** What the model's values hold on the user's data. */
  readonly recorded: Effect.Effect<Recorded.Recorded>
}

export class Exams {
  readonly #options: Options
  readonly #pool = Draw.pool()
  readonly #papers = new Map<string, Paper>()

  constructor(options: Options) {
    this.#options = options
  }

  /**
   * `amplification`: what a kernel says of itself, and its bound depends on; 0: it adds up the products and nothing else.
   */
  of(key: string, subject: Subject, amplification: number): Effect.Effect<Paper, MeasurerError> {
    const name = `${key} ${amplification}`
    const known = this.#papers.get(name)
    if (known !== undefined) return Effect.succeed(known)
    return Effect.map(this.#make(subject, amplification), (made) => {
      this.#papers.set(name, made)
      const [oldest] = this.#papers.keys()
      if (this.#papers.size > kept && oldest !== undefined) this.#papers.delete(oldest)
      return made
    })
  }

  #make(subject: Subject, amplification: number): Effect.Effect<Paper, MeasurerError> {
    const { effort, oracle } = this.#options
    const pool = this.#pool
    const { program, region } = subject
    const drawing = { program, region, size: sizesOf(subject) }
    const isNode = region.kind === "recurrent" || region.kind === "whole"
    return Effect.gen({ self: this }, function* () {
      const recorded = yield* this.#options.recorded
      const kinds: ReadonlyArray<Draw.Kind> = [
        "random",
        ...(isNode ? [] : (["edges"] as const)),
        ...(Draw.isRecorded(drawing, recorded) ? (["calibration"] as const) : [])
      ]
      const constants = Draw.constants(drawing)
      const weights = [...constants].map(([id, one]) => [id, bytesOf(one)] as const)
      const exams: Array<Exam> = []
      for (const [place, kind] of kinds.entries()) {
        const random = Draw.generator(place + 1)
        const drawn = Draw.buffers(drawing, kind, { pool, recorded }, random)
        const all = new Map([...constants, ...drawn])
        const setting = { buffers: new Map([...all].map(([id, { elements }]) => [id, elements])), size: drawing.size }
        const expected =
          region.kind === "recurrent" || region.kind === "whole"
            ? yield* NodeOracle.expectations(region, drawing.size, all, oracle)
            : RegionOracle.expectations(region, { ...setting, effort, random, amplification })
        const contents = new Map([...weights, ...[...drawn].map(([id, one]) => [id, bytesOf(one)] as const)])
        const fill = kind === "edges" ? Footprint.fills.negative : Footprint.fills.large
        // One order a draw, both where there is one draw.
        const orders: Exam["orders"] = kinds.length === 1 ? ["last", "first"] : [kind === "edges" ? "first" : "last"]
        exams.push({ kind, fill, contents, expected, orders })
      }
      return { outputs: Placing.outputsOf(drawing), exams }
    })
  }
}
