/**
 * cuBLASLt's products through the addon: every algorithm of a float problem of whole numbers, whose sums are exact in every precision,
 * against the same sums in JavaScript.
 */
import * as Effect from "effect/Effect"
import * as Buffer from "@anneal/cuda/Buffer"
import * as Stream from "@anneal/cuda/Stream"
import * as VendorProduct from "@anneal/cuda/VendorProduct"

const m = 24
const n = 40
const k = 64
const batch = 2
const mostWorkspaceBytes = 4 << 20

const whole = (count: number, seed: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => ((i * 7 + seed * 13) % 11) - 5)

const expected = (a: Float32Array, b: Float32Array, bias: Float32Array | undefined): Float32Array =>
  Float32Array.from({ length: batch * m * n }, (_, at) => {
    const column = at % n
    const row = Math.floor(at / n) % m
    const of = Math.floor(at / (n * m))
    let sum = 0
    for (let i = 0; i < k; i++) sum += (a[(of * m + row) * k + i] ?? 0) * (b[(of * n + column) * k + i] ?? 0)
    return bias === undefined ? sum : Math.max(0, sum + (bias[column] ?? 0))
  })

/** `[what, whether it is right]` of each epilogue, with how many algorithms ran. */
export const run = Effect.gen(function* () {
  const stream = yield* Stream.make()
  const a = whole(batch * m * k, 1)
  const b = whole(batch * n * k, 2)
  const bias = whole(n, 3)
  const upload = (values: Float32Array) =>
    Effect.tap(Buffer.make(values.byteLength), (buffer) => Buffer.writeSmall(buffer, stream, values))
  const operands = {
    a: { buffer: yield* upload(a) },
    b: { buffer: yield* upload(b) },
    bias: { buffer: yield* upload(bias) },
    d: { buffer: yield* Buffer.make(batch * m * n * 4) },
    workspace: { buffer: yield* Buffer.make(mostWorkspaceBytes) }
  }
  const results: Array<readonly [string, boolean]> = []
  for (const epilogue of ["none", "bias and relu"] as const) {
    const product = yield* VendorProduct.make({
      m,
      n,
      k,
      batch,
      input: "float",
      output: "float",
      strides: { a: k, b: k, d: n },
      epilogue,
      fastAccumulation: false,
      mostWorkspaceBytes
    })
    const want = expected(a, b, epilogue === "none" ? undefined : bias)
    let right = product.workspaceBytes.length > 0
    for (let algorithm = 0; algorithm < product.workspaceBytes.length; algorithm++) {
      yield* Buffer.fill(operands.d.buffer, stream, 0xff)
      yield* VendorProduct.submit(product, algorithm, stream, operands)
      const got = new Float32Array((yield* Buffer.read(operands.d.buffer, stream)).buffer)
      right = right && got.every((value, i) => value === want[i])
    }
    results.push([`cuBLASLt, epilogue ${epilogue}: ${product.workspaceBytes.length} algorithms`, right])
  }
  return results
}).pipe(Effect.scoped)
