// From the recogniser's output to text, and how far texts are from the right ones.
//
// Connectionist temporal classification (Graves et al. 2006), greedily: the likeliest class of each step, equal neighbours
// once, blanks dropped.
import type { IR } from "anneal"

type Outputs = Readonly<Record<string, IR.Tensor.Tensor>>

/**
 * Reads the only output, f32 `[1, steps, classes]`: class 0 is the blank, the last class a space, those between are lines of
 * the model's key file. Spaces at the ends, where the picture's margins are, are no part of the text.
 */
export const reader =
  (keys: ReadonlyArray<string>) =>
  (outputs: Outputs): string => {
    const [tensor] = Object.values(outputs)
    const [, steps = 0, classes = 0] = tensor?.shape ?? []
    if (tensor?.dtype !== "f32" || classes !== keys.length + 2)
      throw new Error(`scores of ${tensor?.dtype} [${tensor?.shape.join(", ")}] do not fit ${keys.length} characters`)
    const values = tensor.data
    let text = ""
    let last = 0
    for (let at = 0; at < steps; at++) {
      let best = 0
      for (let one = 1; one < classes; one++)
        if (Number(values[at * classes + one]) > Number(values[at * classes + best])) best = one
      if (best !== last && best !== 0) text += keys[best - 1] ?? " "
      last = best
    }
    return text.trim()
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

/** How well lines were read. */
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

/** Share of lines without a fault. */
export const exactRate = ({ exact, lines }: Tally): number => (lines === 0 ? 0 : exact / lines)

/** Share of characters that are wrong. */
export const errorRate = ({ characters, edits: wrong }: Tally): number => (characters === 0 ? 0 : wrong / characters)
