/**
 * Verdicts: rewrites that a build before this one held against the oracle and found right. What a lock says was checked when it
 * was locked: a build from it need not check the same rewrite of the same graph again.
 *
 * A verdict is known by its stage's key (the pass, its configuration, how it is checked, by which oracle) and the content of
 * the graphs before and after, so it is of nothing else.
 */
import * as Context from "effect/Context"
import type { Digest } from "./Key.ts"
import * as Key from "./Key.ts"

/** Regions that were checked, by verdict. */
export const Verdicts: Context.Reference<ReadonlyMap<Digest, number>> = Context.Reference<ReadonlyMap<Digest, number>>(
  "@anneal/pipeline/Verdicts",
  { defaultValue: () => new Map() }
)

/** What runs now; undefined outside stages, and for those that have no key. */
export const Subject: Context.Reference<{ readonly stage: Digest; readonly before: Digest } | undefined> =
  Context.Reference<{ readonly stage: Digest; readonly before: Digest } | undefined>(
    "@anneal/pipeline/Verdicts/Subject",
    { defaultValue: () => undefined }
  )

/** The verdict's digest, from the stage's key and the content of the graphs. Fails for no digests. */
export const digest = (stage: Digest, before: Digest, after: Digest): Digest =>
  Key.digest({ verdict: 1, stage, before, after })
