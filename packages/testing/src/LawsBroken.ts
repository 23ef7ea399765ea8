// What a law check found: which law, on what, and what was seen.
import * as Schema from "effect/Schema"

export const Breach = Schema.Struct({
  /** Short name of the law: `deterministic`, `within its claim`. */
  law: Schema.String,
  /** The smallest thing found on which it does not hold: a graph's text, an op's case. */
  on: Schema.String,
  detail: Schema.String
})
export type Breach = typeof Breach.Type

/** A plug-in that breaks the contract that it signed. All laws that were broken, the smallest case of each. */
export class LawsBroken extends Schema.TaggedError<LawsBroken>()("LawsBroken", {
  subject: Schema.String,
  breaches: Schema.Array(Breach)
}) {
  override get message(): string {
    return [
      `${this.subject} breaks ${this.breaches.length === 1 ? "a law" : `${this.breaches.length} laws`}:`,
      ...this.breaches.map(
        ({ detail, law, on }) => `- ${law}: ${detail}\n  on ${on.trimEnd().replaceAll("\n", "\n  ")}`
      )
    ].join("\n")
  }
}

/** Collects breaches; the first of a law is kept, since cases come smallest first. */
export class Breaches {
  readonly found: Array<Breach> = []
  add(law: string, on: string, detail: string): void {
    if (!this.has(law)) this.found.push({ law, on, detail })
  }
  has(law: string): boolean {
    return this.found.some((breach) => breach.law === law)
  }
}
