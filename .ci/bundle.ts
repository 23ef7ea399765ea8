// The `anneal` command in a few files: what `npm run build` puts into packages/anneal/dist/command, beside the packages as tsc
// writes them. Usage: node .ci/bundle.ts [FOLDER].
//
// Workers are started from files of their own, so they are entries; the CUDA addon is found beside its package, so that package
// stays outside. A third of a short command's time is Node reading and compiling these files: they are small, and ASCII, which
// V8 keeps at a byte a character. Source maps give stacks their names back (ANNEAL_STACK=1).
import { readdir, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"

const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url))

const folder = process.argv[2] ?? at("packages/anneal/dist/command")

await rm(folder, { recursive: true, force: true })
const build = await rolldown({
  cwd: at("."),
  input: {
    Main: at("packages/anneal/src/Main.ts"),
    CandidateWorker: at("packages/wasm/src/measure/CandidateWorker.ts"),
    NodeThreadWorker: at("packages/wasm/src/NodeThreadWorker.ts")
  },
  platform: "node",
  resolve: { conditionNames: ["@anneal/source", "node", "import"] },
  external: [/^node:/, /^@anneal\/cuda\//]
})
const { output } = await build.write({
  dir: folder,
  format: "esm",
  entryFileNames: "[name].js",
  chunkFileNames: "[name]-[hash].js",
  minify: true,
  sourcemap: true
})
await build.close()

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
for (const name of await readdir(folder)) {
  if (!name.endsWith(".js")) continue
  const text = await readFile(join(folder, name), "utf8")
  // What is not ASCII stands in strings alone, where an escape is the same; in `String.raw` it would not be.
  if (/String\.raw`[^`]*[^\p{ASCII}]/u.test(text)) throw new Error(`${name}: text in String.raw must be ASCII`)
  await writeFile(
    join(folder, name),
    text.replaceAll(/[^\p{ASCII}]/gu, (one) =>
      [...Array(one.length).keys()].map((at) => escaped(one.charAt(at))).join("")
    )
  )
}
console.log(`${folder}: ${output.length} files`)
