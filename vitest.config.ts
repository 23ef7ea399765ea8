import { defineConfig } from "vitest/config"
import projects from "./vitest.workspace.ts"

const conditions = ["@anneal/source", "module", "node", "import", "default"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: ["@anneal/source"] } },
  test: { projects, testTimeout: 60_000, hookTimeout: 60_000, maxWorkers: 2 }
})
