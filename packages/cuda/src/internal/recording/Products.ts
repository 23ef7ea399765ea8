/**
 * cuBLASLt's products of the recording device: two algorithms, one of which wants all the workspace that it may have.
 */
import { refuse } from "../../CudaError.ts"
import type { Driver } from "../../Driver.ts"
import type { Books, Touch } from "./Books.ts"
import type { LaunchChecks } from "./LaunchChecks.ts"

/** Bytes of an element, by cuBLASLt's number of its type. */
const elementBytes = new Map([
  [0, 4],
  [10, 4],
  [2, 2],
  [14, 2],
  [28, 1],
  [29, 1],
  [3, 1]
])

const doing = "submit a product of cuBLASLt"

export const make = (books: Books, checks: LaunchChecks): Pick<Driver, "products"> => {
  const { take, fresh, add, remove, sameDevice, inside, submit, requireOver } = books
  return {
    products: {
      open: () => Promise.resolve([]),
      prepare: (context, numbers) => {
        const preparing = "prepare a product of cuBLASLt"
        take("context", context, preparing)
        const [input = -1, output = -1, m = 0, n = 0, k = 0, batch = 0, a = 0, b = 0, d = 0, epilogue = 1, , most = 0] =
          numbers
        const from = elementBytes.get(input)
        const to = elementBytes.get(output)
        if (from === undefined || to === undefined || Math.min(m, n, k, batch) < 1 || a < k || b < k || d < n)
          throw refuse(
            "ANNEAL_BAD_ARGUMENT",
            preparing,
            "sizes must be at least 1, and rows at least as far apart as they are long"
          )
        const bytes = (rows: number, length: number, stride: number, element: number): number =>
          ((batch * rows - 1) * stride + length) * element
        const workspaceBytes = most > 0 ? [0, most] : [0]
        const handle = add({
          ...fresh(context, context),
          kind: "product",
          bytes: [bytes(m, k, a, from), bytes(n, k, b, from), bytes(m, n, d, to), epilogue === 1 ? 0 : n * to],
          workspaceBytes,
          history: []
        })
        return { handle, workspaceBytes }
      },
      submit: (handle, algorithm, streamHandle, places) => {
        const product = take("product", handle, doing)
        const stream = take("stream", streamHandle, doing)
        sameDevice(product, stream, doing)
        const workspace = product.workspaceBytes[algorithm]
        if (workspace === undefined)
          throw refuse("ANNEAL_OUT_OF_RANGE", doing, `algorithm ${algorithm} of ${product.workspaceBytes.length}`)
        const touches: Array<Touch> = []
        for (const [which, bytes] of [...product.bytes, workspace].entries()) {
          if (bytes === 0) continue
          const memory = take("buffer", places[2 * which] ?? 0, doing)
          const start = places[2 * which + 1] ?? 0
          inside(memory.bytes, "a buffer", start, bytes, doing)
          sameDevice(memory, stream, doing)
          // D is the third of them, the workspace the last: both are written and not read before.
          const writes = which === 2 || which === 4
          touches.push({ object: memory.id, start, end: start + bytes, reads: !writes, writes })
        }
        checks.checkOverlap(touches, doing)
        const captured = stream.capture !== undefined
        submit(
          stream,
          { what: `product ${handle}`, touches: checks.mergeEqual(touches), needs: captured ? [] : [handle] },
          { _tag: "Product", stream: streamHandle, product: handle, algorithm, captured }
        )
      },
      destroy: (handle) => {
        const product = take("product", handle, "release a product of cuBLASLt")
        requireOver(product, "release a product of cuBLASLt")
        remove(product, "release a product of cuBLASLt")
      }
    }
  }
}
