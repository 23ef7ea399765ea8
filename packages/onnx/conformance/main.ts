// Runs ONNX's own backend tests: imports each case, runs it on the oracle, and prints what passes and why the rest does
// not. Ends in `N of 1765`; fails when N is under the committed floor (floor.json).
//
// node --conditions=@anneal/source packages/onnx/conformance/main.ts [ARCHIVE] [--only TEXT] [--failures] [--round-trip]
//   [--executor FILE.ts]
// --round-trip: each graph is written as ONNX and read again before it runs.
// --executor: what runs the graphs instead of the oracle: a module with an oracle's service as its default export, and a
// `summary` of what was noticed.
import { existsSync, readFileSync } from "node:fs"
import { resolve } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import * as Export from "@anneal/onnx/Export"
import * as Import from "@anneal/onnx/Import"
import { OnnxError } from "@anneal/onnx/OnnxError"
import * as Wire from "@anneal/onnx/Wire"
import type { OracleService } from "@anneal/pipeline/Oracle"
import * as Reference from "@anneal/reference/Reference"
import * as Predicate from "effect/Predicate"
import * as Cases from "./Cases.ts"
import type { Change, Outcome } from "./RunCase.ts"
import { runCase } from "./RunCase.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))
const args = process.argv.slice(2)
const onlyAt = args.indexOf("--only")
const only = onlyAt === -1 ? "" : (args.splice(onlyAt, 2)[1] ?? "")
const executorAt = args.indexOf("--executor")
const executor = executorAt === -1 ? undefined : args.splice(executorAt, 2)[1]
const change: Change = args.includes("--round-trip")
  ? (graph) => Import.toGraph(Wire.decodeModel(Wire.encodeModel(Export.toModel(graph)), "written again"))
  : (graph) => graph
const isListing = args.includes("--failures")
const archive = resolve(
  root,
  args.find((arg) => !arg.startsWith("--")) ?? "../shared/conformance/onnx-node-tests.tar.xz"
)

if (!existsSync(archive)) {
  console.log(`skipped: the backend tests are not at ${archive}`)
  process.exit(0)
}

interface Row {
  passed: number
  total: number
  readonly reasons: Map<string, number>
}

const rows = new Map<string, Row>()
const failures: Array<string> = []
let passed = 0
let pinned = 0

const note = (name: string, operator: string, outcome: Outcome): void => {
  const row = rows.get(operator) ?? { passed: 0, total: 0, reasons: new Map<string, number>() }
  rows.set(operator, row)
  row.total++
  if (outcome.failure === undefined) {
    row.passed++
    passed++
    if (outcome.pinned) pinned++
    return
  }
  const { detail, kind } = outcome.failure
  failures.push(`${name}: ${kind}: ${detail}`)
  const reason = kind === "mismatch" ? "another result" : `${kind}: ${detail.split("\n")[0]?.slice(0, 90)}`
  row.reasons.set(reason, (row.reasons.get(reason) ?? 0) + 1)
}

/** The module's default export, as far as it can be checked: something that runs graphs. */
const isOracle = (value: unknown): value is OracleService =>
  Predicate.hasProperty(value, "run") && typeof value.run === "function"

const loaded: unknown = executor === undefined ? undefined : await import(pathToFileURL(resolve(root, executor)).href)
const chosen = Predicate.hasProperty(loaded, "default") ? loaded.default : undefined
if (executor !== undefined && !isOracle(chosen)) throw new Error(`${executor}: its default export runs no graphs`)
const oracle = isOracle(chosen) ? chosen : Reference.make()
const folder = Cases.unpack(archive)
try {
  const folders = Cases.list(folder).filter((name) => name.includes(only))
  for (const path of folders) {
    const name = path.slice(path.lastIndexOf("/") + 1)
    // The expansion of an operator that ONNX defines by a function counts under the operator's own name.
    const operator = name.replace(/^test_/, "").split("_")[0] ?? name
    try {
      note(name, operator, runCase(oracle, Cases.load(path), change))
    } catch (error) {
      if (!(error instanceof OnnxError)) throw new Error(`while running ${name}`, { cause: error })
      note(name, operator, { failure: { kind: "import", detail: error.message.replaceAll(folder, "") }, pinned: false })
    }
  }
  for (const [operator, row] of [...rows].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const reasons = [...row.reasons].map(([reason, count]) => (count === 1 ? reason : `${count}× ${reason}`))
    console.log(
      `${operator.padEnd(28)} ${String(row.passed).padStart(3)} of ${String(row.total).padEnd(4)} ${reasons.slice(0, 2).join("; ")}`
    )
  }
  if (isListing) for (const failure of failures) console.log(failure)
  console.log(`${pinned} of those that pass take shapes, axes or other small inputs as constants`)
  if (Predicate.hasProperty(loaded, "summary") && typeof loaded.summary === "function") console.log(loaded.summary())
  console.log(`${passed} of ${folders.length}`)
} finally {
  Cases.discard(folder)
}

const floor: unknown = JSON.parse(readFileSync(new URL("floor.json", import.meta.url), "utf8"))
const least = typeof floor === "object" && floor !== null && "passed" in floor ? Number(floor.passed) : 0
const isWhole = only === "" && !args.some((arg) => arg === "--round-trip" || !arg.startsWith("--"))
if (isWhole && passed < least) {
  console.log(`fewer than the ${least} that passed before`)
  process.exit(1)
}
