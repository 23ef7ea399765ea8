#!/usr/bin/env node
// The `anneal` command. Most of a short command's time is Node finding and reading some eight hundred modules: the published
// package has them in a few files too (`command/`), and Node keeps what it compiled (in its own cache folder;
// NODE_DISABLE_COMPILE_CACHE=1 says no). Modules of the user's import the packages, so that a command line which names some
// is run by those, not by a second copy of them.
import { existsSync } from "node:fs"
import { enableCompileCache } from "node:module"
import type * as Main from "./Main.ts"

enableCompileCache()
// The few files are minified: their source maps say where a defect is.
if (process.env["ANNEAL_STACK"] === "1") process.setSourceMapsEnabled(true)

/** Options whose values may be modules of the user's. */
const modules = ["--plugin", "--pipeline", "--tuner", "--calibrate", "--evaluate"]

const args = process.argv.slice(2)
const namesModules = args.some((arg) => modules.some((option) => arg === option || arg.startsWith(`${option}=`)))
const bundled = new URL("./command/Main.js", import.meta.url)
const load = async (): Promise<typeof Main> =>
  namesModules || !existsSync(bundled) ? import("./Main.ts") : import(bundled.href)

const { run } = await load()
run(args)
