#!/usr/bin/env node
// The `anneal` command. Node keeps what it compiled (in its own cache folder; NODE_DISABLE_COMPILE_CACHE=1 says no), which
// halves the start: so the modules are imported after that is switched on.
import { enableCompileCache } from "node:module"

enableCompileCache()

const [NodeRuntime, NodeServices, Effect, Cli] = await Promise.all([
  import("@effect/platform-node/NodeRuntime"),
  import("@effect/platform-node/NodeServices"),
  import("effect/Effect"),
  import("./Cli.ts")
])

Cli.main(process.argv.slice(2)).pipe(
  Effect.tap((code) => Effect.sync(() => void (process.exitCode = code))),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
