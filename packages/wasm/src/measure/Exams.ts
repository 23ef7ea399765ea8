/**
 * Exams: what a region is examined with: contents of its buffers, and what its results must be. Neither depends on the
 * candidate, so all candidates of a region share them.
 */
import type { Bindings } from "@anneal/ir/Bind"
import type { MeasurerError } from "@anneal/pipeline/Measurer"
import type { Recurrent, Region, Whole } from "@anneal/lower/Region"
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

/** An exam at other sizes than the typical ones. */
export interface FurtherExam {
  readonly sizes: Bindings
  readonly outputs: ReadonlyArray<Placing.Output>
  readonly exam: Exam
}

/** All that one region is examined with. */
export interface Paper {
  readonly outputs: ReadonlyArray<Placing.Output>
  readonly exams: ReadonlyArray<Exam>
  /** The exam at other sizes; made when it is first asked for. */
  readonly at: (sizes: Bindings) => Effect.Effect<FurtherExam, MeasurerError>
}

/** Papers kept: candidates of one region are checked one after another, or side by side. */
const kept = 8

const bytesOf = ({ data }: Draw.Drawn): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

/** A region that is one node of the graph. */
const isNode = (region: Region): region is Recurrent | Whole => region.kind === "recurrent" || region.kind === "whole"

interface ExamSetting extends Pick<Exam, "kind" | "orders"> {
  readonly seed: number
  readonly effort: number
  readonly amplification: number
  readonly recorded: Recorded.Recorded
  readonly constants: ReadonlyMap<string, Draw.Drawn>
}

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
    const { effort, recorded: recording } = this.#options
    const { program, region, typical } = subject
    const at = (sizes: Bindings): Draw.Subject => ({ program, region, size: sizesOf({ typical: sizes }) })
    const drawing = at(typical)
    return Effect.gen({ self: this }, function* () {
      const recorded = yield* recording
      const kinds: ReadonlyArray<Draw.Kind> = [
        "random",
        ...(isNode(region) ? [] : (["edges"] as const)),
        ...(Draw.isRecorded(drawing, recorded) ? (["calibration"] as const) : [])
      ]
      const constants = Draw.constants(drawing)
      const exams: Array<Exam> = []
      for (const [place, kind] of kinds.entries()) {
        // One order a draw, both where there is one draw.
        const orders: Exam["orders"] = kinds.length === 1 ? ["last", "first"] : [kind === "edges" ? "first" : "last"]
        exams.push(
          yield* this.#exam(drawing, { kind, orders, seed: place + 1, effort, amplification, recorded, constants })
        )
      }
      const others = new Map<Bindings, FurtherExam>()
      return {
        outputs: Placing.outputsOf(drawing),
        exams,
        at: (sizes) => {
          const known = others.get(sizes)
          if (known !== undefined) return Effect.succeed(known)
          const other = at(sizes)
          const setting = { kind: "random", orders: ["last"], seed: 100, effort: 0, amplification } as const
          return Effect.map(this.#exam(other, { ...setting, recorded, constants }), (exam) => {
            const made = { sizes, outputs: Placing.outputsOf(other), exam }
            others.set(sizes, made)
            return made
          })
        }
      }
    })
  }

  #exam(drawing: Draw.Subject, setting: ExamSetting): Effect.Effect<Exam, MeasurerError> {
    const { amplification, constants, effort, kind, orders, recorded, seed } = setting
    const { region, size } = drawing
    const random = Draw.generator(seed)
    const drawn = Draw.buffers(drawing, kind, { pool: this.#pool, recorded }, random)
    const all = new Map([...constants, ...drawn])
    const contents = new Map([...all].map(([id, one]) => [id, bytesOf(one)] as const))
    const fill = kind === "edges" ? Footprint.fills.negative : Footprint.fills.large
    const expected = isNode(region)
      ? NodeOracle.expectations(region, size, all, this.#options.oracle)
      : Effect.sync(() => {
          const buffers = new Map([...all].map(([id, { elements }]) => [id, elements]))
          return RegionOracle.expectations(region, {
            buffers,
            size,
            effort,
            random,
            amplification,
            small: effort === 0
          })
        })
    return Effect.map(expected, (known) => ({ kind, fill, contents, expected: known, orders }))
  }
}
