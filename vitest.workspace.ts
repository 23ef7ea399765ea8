// The test projects: one a package, one for the examples. Vitest itself reads `vitest.config.ts`, which imports this list.
import { existsSync, readdirSync } from "node:fs"

const packages = readdirSync(new URL("./packages", import.meta.url)).filter((name) =>
  existsSync(new URL(`./packages/${name}/test`, import.meta.url))
)

export default packages.map((name) => ({
  extends: true as const,
  test: { name, root: `packages/${name}`, include: ["test/**/*.test.ts"] }
}))
