/** The child of Isolated.test.ts: what it does is its payload. */
import * as Isolated from "@anneal/cuda/Isolated"

Isolated.serve(async (payload, stage) => {
  await stage(`kernel ${String(payload)}`)
  switch (payload) {
    case "answer":
      return { payload, sum: 6 }
    case "loop":
      for (;;);
    case "die":
      process.stderr.write("last words\n", () => process.kill(process.pid, "SIGKILL"))
      return new Promise(() => {})
    default:
      throw new RangeError("out of numbers")
  }
})
