// Checks that each package imports only what the architecture allows (docs/architecture.md, "Rooms"), that no import
// reaches into another package by a relative path, and that nothing imports another package's internal folder.
import { readdirSync, readFileSync, existsSync } from "node:fs"
import { join } from "node:path"

const allowed: Record<string, ReadonlyArray<string>> = {
  ir: [],
  pipeline: ["ir"],
  reference: ["ir", "pipeline"],
  onnx: ["ir", "pipeline"],
  passes: ["ir", "pipeline"],
  quantize: ["ir", "pipeline"],
  lower: ["ir", "pipeline"],
  tune: ["ir", "pipeline", "lower"],
  engine: ["ir", "pipeline"],
  runtime: ["ir", "pipeline", "engine"],
  wasm: ["ir", "pipeline", "lower", "engine", "runtime"],
  cuda: ["ir", "pipeline", "engine", "runtime"],
  testing: ["ir", "reference", "pipeline", "runtime"],
  anneal: [
    "ir",
    "pipeline",
    "reference",
    "onnx",
    "passes",
    "quantize",
    "engine",
    "runtime",
    "testing",
    "lower",
    "tune",
    "wasm",
    "cuda"
  ]
}
// Tests may also use the oracle and the conformance kit: they check the room, they are not part of it.
const testsMayAlsoUse = ["reference", "testing", "pipeline", "ir", "onnx", "passes"]

const files = (folder: string): ReadonlyArray<string> =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".ts") && !name.includes("node_modules"))
        .map((name) => join(folder, name))
    : []

const problems: Array<string> = []
for (const room of readdirSync("packages")) {
  const may = allowed[room]
  if (may === undefined) {
    problems.push(`packages/${room} is not in the table of rooms (.ci/check-imports.ts)`)
    continue
  }
  for (const part of ["src", "test"]) {
    for (const file of files(`packages/${room}/${part}`)) {
      const text = readFileSync(file, "utf8")
      for (const match of text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)) {
        const target = match[1] ?? ""
        const other = /^@anneal\/([a-z]+)(\/.*)?$/.exec(target)
        if (other?.[1] !== undefined && other[1] !== room) {
          const ok = may.includes(other[1]) || (part === "test" && testsMayAlsoUse.includes(other[1]))
          if (!ok) problems.push(`${file}: ${room} may not import ${target}`)
          if (other[2]?.startsWith("/internal/")) problems.push(`${file}: ${target} is internal to ${other[1]}`)
        }
        if (target === "anneal" && room !== "anneal") problems.push(`${file}: only examples import the front door`)
        if (target.startsWith(".") && part === "src" && /(^|\/)\.\.\/\.\.\/\.\.\//.test(target))
          problems.push(`${file}: a relative import leaves the package: ${target}`)
      }
    }
  }
}
if (problems.length > 0) {
  console.error(problems.join("\n"))
  process.exit(1)
}
console.log("imports follow the table of rooms")
