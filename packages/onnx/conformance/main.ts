// Runs ONNX's own backend tests: unpacks the archive, loads every case, and prints what passes and why the rest does not.
//
// node --conditions=@anneal/source packages/onnx/conformance/main.ts [ARCHIVE] [--only TEXT]
import { existsSync } from "node:fs"
import { resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { OnnxError } from "@anneal/onnx"
import * as Cases from "./Cases.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))
const args = process.argv.slice(2)
const onlyAt = args.indexOf("--only")
const only = onlyAt === -1 ? "" : (args.splice(onlyAt, 2)[1] ?? "")
const archive = resolve(root, args[0] ?? "../shared/conformance/onnx-node-tests.tar.xz")

if (!existsSync(archive)) {
  console.log(`skipped: the backend tests are not at ${archive}`)
  process.exit(0)
}

const folder = Cases.unpack(archive)
try {
  const failures: Array<string> = []
  const folders = Cases.list(folder).filter((name) => name.includes(only))
  let passed = 0
  for (const name of folders) {
    try {
      const loaded = Cases.load(name)
      for (const set of loaded.dataSets) for (const value of [...set.inputs, ...set.outputs]) Cases.describe(value)
      passed++
    } catch (error) {
      if (!(error instanceof OnnxError)) throw error
      failures.push(error.message.replaceAll(folder, ""))
    }
  }
  for (const failure of failures) console.log(failure)
  console.log(`loaded ${passed} of ${folders.length}`)
} finally {
  Cases.discard(folder)
}
