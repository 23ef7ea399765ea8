// The `anneal` command in a few files: what `npm run build` puts into packages/anneal/dist/command, beside the packages as tsc
// writes them. Usage: node .ci/bundle.ts [FOLDER].
//
// Workers are started from files of their own, so they are entries; the CUDA addon is found beside its package, so that package
// stays outside.
import { rm } from "node:fs/promises"
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
  chunkFileNames: "[name]-[hash].js"
})
await build.close()
console.log(`${folder}: ${output.length} files`)
