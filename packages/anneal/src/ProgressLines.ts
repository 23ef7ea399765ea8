/**
 * Progress for people: one line that is drawn over and over on a terminal, plain lines elsewhere.
 *
 *   int8/calibrate@1  ██████████░░░░░░░░░░  256/500 samples
 */
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import type { Event } from "@anneal/pipeline/Progress"

export interface Screen {
  readonly isTerminal: boolean
  /** Width in characters. */
  readonly columns: number
  readonly write: (text: string) => void
}

export interface Renderer {
  readonly show: (event: Event) => void
  /** Clears what is still drawn. */
  readonly finish: () => void
}

const barWidth = 20
/** A plain log gets a line each time another such part of a long step is done. */
const tenths = 10

const bar = (done: number, total: number): string => {
  const full = Math.round((barWidth * Math.min(done, total)) / Math.max(total, 1))
  return "█".repeat(full) + "░".repeat(barWidth - full)
}

/** `1234` ms → `1.2 s`. */
const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 1)} s`

export const make = ({ columns, isTerminal, write }: Screen): Renderer => {
  const validated = new Map<string, string>()
  const shown = new Map<string, number>()
  let drawn = false
  const clear = (): void => {
    if (drawn) write("\r\u001b[2K")
    drawn = false
  }
  const line = (text: string): void => {
    clear()
    write(`${text}\n`)
  }
  const draw = (text: string): void => {
    write(`\r\u001b[2K${text.slice(0, Math.max(columns - 1, 1))}`)
    drawn = true
  }
  const step = (stage: string, what: string, done: number, total: number | undefined): void => {
    const count = `${done}${total === undefined ? "" : `/${total}`} ${what}`
    if (isTerminal) return draw(total === undefined ? `${stage}  ${count}` : `${stage}  ${bar(done, total)}  ${count}`)
    const part = total === undefined ? 0 : Math.floor((tenths * done) / Math.max(total, 1))
    const key = `${stage} ${what}`
    if (total === undefined || total < 2 * tenths || part <= (shown.get(key) ?? 0)) return
    shown.set(key, part)
    line(`${stage}  ${count}`)
  }
  return {
    finish: clear,
    show: (event) => {
      switch (event._tag) {
        case "Start":
          return isTerminal ? draw(`${event.stage} …`) : undefined
        case "Step":
          return step(event.stage, event.what, event.done, event.total)
        case "Hit":
          return line(`${event.stage}  ${event.waited ? "from another build" : "from the cache"}`)
        case "Validated": {
          const { failed, inferences, notValidated, regions, stage } = event
          const bad = failed > 0 ? `, ${failed} wrong` : ""
          const open = notValidated > 0 ? `, ${notValidated} not validated` : ""
          if (regions > 0)
            validated.set(stage, `, ${regions} rewrites checked${bad}${open} (${inferences.toFixed(2)} inferences)`)
          return
        }
        case "End":
          line(`${event.stage}  ${seconds(event.took)}${validated.get(event.stage) ?? ""}`)
          validated.delete(event.stage)
          return
        case "Retry":
          return line(`${event.stage}  tries again (${event.attempt}): ${event.error}`)
        case "Finding":
          return line(`${event.stage}  ${Diagnostic.format(event.diagnostic)}`)
        case "Failure":
          return line(`${event.stage}  failed after ${seconds(event.took)}`)
        case "Interrupted":
          return line(`${event.stage}  interrupted after ${seconds(event.took)}`)
        case "Miss":
        case "Uncached":
          return
      }
    }
  }
}
