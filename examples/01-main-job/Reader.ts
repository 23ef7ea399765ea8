// From the recogniser's output to text, and how far a text is from the right one.
//
// Connectionist temporal classification (Graves et al. 2006), greedily: the likeliest class of each step, equal neighbours
// once, blanks dropped.
import { IR, type Quantize } from "anneal"

type Outputs = Readonly<Record<string, IR.Tensor.Tensor>>

/** Class 0 is the blank, the last class a space; those between are lines of the model's key file. */
export const reader =
  (keys: ReadonlyArray<string>) =>
  (outputs: Outputs): string => {
    const [tensor] = Object.values(outputs)
    if (tensor === undefined) return ""
    const [, steps = 0, classes = 0] = tensor.shape
    const values = IR.Numbers.toNumbers(tensor)
    let text = ""
    let last = 0
    for (let at = 0; at < steps; at++) {
      let best = 0
      for (let one = 1; one < classes; one++)
        if ((values[at * classes + one] ?? 0) > (values[at * classes + best] ?? 0)) best = one
      if (best !== last && best !== 0) text += keys[best - 1] ?? " "
      last = best
    }
    return text
  }

/** Insertions, deletions and replacements that make one text of the other (Levenshtein 1966). */
export const edits = (found: string, right: string): number => {
  let row = Array.from({ length: right.length + 1 }, (_, i) => i)
  for (let i = 1; i <= found.length; i++) {
    const next = [i]
    for (let j = 1; j <= right.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (found[i - 1] === right[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[right.length] ?? 0
}

export interface Tally {
  readonly lines: number
  /** Lines that were read without a fault. */
  readonly exact: number
  readonly edits: number
  readonly characters: number
}

export const none: Tally = { lines: 0, exact: 0, edits: 0, characters: 0 }

export const add = (tally: Tally, found: string, right: string): Tally => {
  const wrong = edits(found, right)
  return {
    lines: tally.lines + 1,
    exact: tally.exact + (wrong === 0 ? 1 : 0),
    edits: tally.edits + wrong,
    characters: tally.characters + right.length
  }
}

export const errorRate = ({ characters, edits }: Tally): number => (characters === 0 ? 0 : edits / characters)

/** The share of characters that are wrong, as a metric for a budget. */
export const characterError = (read: (outputs: Outputs) => string): Quantize.Metrics.Metric<Tally, string> => ({
  name: "character error",
  version: 1,
  higherIsBetter: false,
  isLabel: (label): label is string => typeof label === "string",
  labels: "the text of the line",
  empty: none,
  add: (tally, outputs, right) => add(tally, read(outputs), right),
  value: errorRate
})
