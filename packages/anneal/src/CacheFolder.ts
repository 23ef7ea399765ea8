/**
 * Where builds keep their results between runs: `--cache DIR`, else `$ANNEAL_CACHE`, else `$XDG_CACHE_HOME/anneal`, else
 * `~/.cache/anneal`. One folder a user, so that every project and branch profits; it may be deleted at any time.
 */
import { homedir } from "node:os"
import { join, resolve } from "node:path"
import { env } from "node:process"

export const defaultFolder = (): string => {
  const own = env["ANNEAL_CACHE"]
  if (own !== undefined && own !== "") return resolve(own)
  const base = env["XDG_CACHE_HOME"]
  return join(base === undefined || base === "" ? join(homedir(), ".cache") : base, "anneal")
}
