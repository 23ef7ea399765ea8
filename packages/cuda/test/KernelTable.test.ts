// The table of registers, shared memory and spills (native/kernels/resources.json) against the list of instances. Compiling
// them all, and comparing, is `node native/kernels/compile-all.ts`, where nvcc is.
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"

const root = fileURLToPath(new URL("../../..", import.meta.url))

describe("kernel instances", () => {
  it("are all in the table, with what nvcc said of them, and none spills", () => {
    const run = spawnSync(process.execPath, ["native/kernels/compile-all.ts", "--check"], {
      cwd: root,
      encoding: "utf8"
    })
    expect(run.stdout).toMatch(/^\d+ instances, 0 problems/)
    expect(run.status).toBe(0)
  })
})
