/**
 * What the command's exit code says, for scripts. `anneal build` of an unknown operator ⇒ 3.
 */
import * as Predicate from "effect/Predicate"

export interface ExitCode {
  readonly code: number
  readonly meaning: string
  /** Tags of the errors that give it. */
  readonly tags: ReadonlyArray<string>
}

/** All of them. An error that is in no list gives 1. */
export const all: ReadonlyArray<ExitCode> = [
  { code: 0, meaning: "done; compared outputs agree", tags: [] },
  { code: 1, meaning: "failed; compared outputs or locks differ; a rewrite was wrong", tags: [] },
  { code: 2, meaning: "wrong usage: options, files that are not there", tags: ["UsageError", "ShowHelp", "NpyError"] },
  { code: 3, meaning: "the model cannot be read or has unsupported operators", tags: ["OnnxError"] },
  { code: 4, meaning: "the accuracy budget cannot be met", tags: ["BudgetExceeded"] },
  {
    code: 5,
    meaning: "the engine is damaged, truncated, stripped, or built for another target",
    tags: ["EngineError", "TargetError"]
  },
  { code: 6, meaning: "the inputs do not fit the engine", tags: ["InputError", "BindError"] },
  { code: 7, meaning: "a memory limit does not hold the model", tags: ["MemoryError"] },
  {
    code: 8,
    meaning: "--frozen, and the lock is unusable or does not settle every decision",
    tags: ["LockMiss", "LockError"]
  },
  { code: 70, meaning: "a defect in anneal", tags: [] },
  { code: 130, meaning: "interrupted", tags: [] }
]

export const differs = 1
export const defect = 70
export const interrupted = 130

/** The code of a failure. */
export const of = (error: unknown): number => {
  const tag = Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" ? error._tag : ""
  return all.find(({ tags }) => tags.includes(tag))?.code ?? 1
}

/** For the help text. */
export const help = all.map(({ code, meaning }) => `  ${String(code).padStart(3)}  ${meaning}`).join("\n")
