// The kernel of `matmul`, and the float64 matrix product that convolution uses, too.
//
// [m, k] × [k, n]: rows of the result are sums of rows of b, four terms at a time, always added one by one in the order of k:
// how a product is blocked does not change its bits.
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Ops from "@anneal/ir/Ops"
import type { Tensor } from "@anneal/ir/Tensor"
import * as Tensors from "@anneal/ir/Tensor"
import * as Elements from "../Elements.ts"
import type { Entry, Work } from "../Kernel.ts"
import * as Kernel from "../Kernel.ts"
import * as Strided from "../Strided.ts"

/** c[m, n] += a[m, k] · b[k, n], row-major, each at an offset. */
export const multiplyAdd = (
  a: Float64Array,
  aStart: number,
  b: Float64Array,
  bStart: number,
  c: Float64Array,
  cStart: number,
  m: number,
  k: number,
  n: number
): void => {
  if (n === 1) return multiplyColumn(a, aStart, b, bStart, c, cStart, m, k)
  // Blocks of b that stay in the cache while all rows of a pass by; two rows at a time share what is read of b.
  for (let top = 0; top < k; top += blockRows)
    for (let left = 0; left < n; left += blockColumns) {
      const bottom = Math.min(k, top + blockRows)
      const right = Math.min(n, left + blockColumns)
      let i = 0
      for (; i + 2 <= m; i += 2)
        twoRows(a, aStart + i * k, b, bStart, c, cStart + i * n, k, n, top, bottom, left, right)
      if (i < m) oneRow(a, aStart + i * k, b, bStart, c, cStart + i * n, n, top, bottom, left, right)
    }
}

const blockRows = 64
const blockColumns = 256

const twoRows = (
  a: Float64Array,
  aFirst: number,
  b: Float64Array,
  bStart: number,
  c: Float64Array,
  cFirst: number,
  k: number,
  n: number,
  top: number,
  bottom: number,
  left: number,
  right: number
): void => {
  const aSecond = aFirst + k
  const cSecond = cFirst + n
  let p = top
  for (; p + 4 <= bottom; p += 4) {
    const a0 = a[aFirst + p] ?? 0
    const a1 = a[aFirst + p + 1] ?? 0
    const a2 = a[aFirst + p + 2] ?? 0
    const a3 = a[aFirst + p + 3] ?? 0
    const d0 = a[aSecond + p] ?? 0
    const d1 = a[aSecond + p + 1] ?? 0
    const d2 = a[aSecond + p + 2] ?? 0
    const d3 = a[aSecond + p + 3] ?? 0
    const row0 = bStart + p * n
    const row1 = row0 + n
    const row2 = row1 + n
    const row3 = row2 + n
    for (let j = left; j < right; j++) {
      const b0 = b[row0 + j] ?? 0
      const b1 = b[row1 + j] ?? 0
      const b2 = b[row2 + j] ?? 0
      const b3 = b[row3 + j] ?? 0
      c[cFirst + j] = (c[cFirst + j] ?? 0) + a0 * b0 + a1 * b1 + a2 * b2 + a3 * b3
      c[cSecond + j] = (c[cSecond + j] ?? 0) + d0 * b0 + d1 * b1 + d2 * b2 + d3 * b3
    }
  }
  if (p < bottom) {
    oneRow(a, aFirst, b, bStart, c, cFirst, n, p, bottom, left, right)
    oneRow(a, aSecond, b, bStart, c, cSecond, n, p, bottom, left, right)
  }
}

const oneRow = (
  a: Float64Array,
  aRow: number,
  b: Float64Array,
  bStart: number,
  c: Float64Array,
  cRow: number,
  n: number,
  top: number,
  bottom: number,
  left: number,
  right: number
): void => {
  let p = top
  for (; p + 4 <= bottom; p += 4) {
    const a0 = a[aRow + p] ?? 0
    const a1 = a[aRow + p + 1] ?? 0
    const a2 = a[aRow + p + 2] ?? 0
    const a3 = a[aRow + p + 3] ?? 0
    const row0 = bStart + p * n
    const row1 = row0 + n
    const row2 = row1 + n
    const row3 = row2 + n
    for (let j = left; j < right; j++)
      c[cRow + j] =
        (c[cRow + j] ?? 0) +
        a0 * (b[row0 + j] ?? 0) +
        a1 * (b[row1 + j] ?? 0) +
        a2 * (b[row2 + j] ?? 0) +
        a3 * (b[row3 + j] ?? 0)
  }
  for (; p < bottom; p++) {
    const a0 = a[aRow + p] ?? 0
    const row0 = bStart + p * n
    for (let j = left; j < right; j++) c[cRow + j] = (c[cRow + j] ?? 0) + a0 * (b[row0 + j] ?? 0)
  }
}

const multiplyColumn = (
  a: Float64Array,
  aStart: number,
  b: Float64Array,
  bStart: number,
  c: Float64Array,
  cStart: number,
  m: number,
  k: number
): void => {
  for (let i = 0; i < m; i++) {
    let total = c[cStart + i] ?? 0
    const row = aStart + i * k
    for (let p = 0; p < k; p++) total += (a[row + p] ?? 0) * (b[bStart + p] ?? 0)
    c[cStart + i] = total
  }
}

/** Extents of a product, and where each batch of the operands begins (in matrices). */
export interface MatrixShapes {
  readonly m: number
  readonly k: number
  readonly n: number
  readonly batches: number
  readonly aBatch: Float64Array
  readonly bBatch: Float64Array
}

/** The shapes of `matmul`'s operands; a vector is a row on the left and a column on the right. */
export const matrixShapes = (
  aShape: ReadonlyArray<number>,
  bShape: ReadonlyArray<number>,
  fail: (detail: string) => never
): MatrixShapes => {
  const left = aShape.length === 1 ? [1, ...aShape] : aShape
  const right = bShape.length === 1 ? [...bShape, 1] : bShape
  const [m = 1, k = 0] = left.slice(-2)
  const [inner = 0, n = 1] = right.slice(-2)
  if (k !== inner) fail(`[${aShape.join()}] × [${bShape.join()}]: the contracted extents ${k} and ${inner} differ`)
  const [aLead, bLead] = [left.slice(0, -2), right.slice(0, -2)]
  const rank = Math.max(aLead.length, bLead.length)
  const lead = Array.from({ length: rank }, (_, axis) => {
    const [p, q] = [aLead[axis - rank + aLead.length] ?? 1, bLead[axis - rank + bLead.length] ?? 1]
    if (p !== q && p !== 1 && q !== 1) fail(`[${aShape.join()}] × [${bShape.join()}]: the batch axes do not broadcast`)
    return p === 1 ? q : p
  })
  const numbered = (shape: ReadonlyArray<number>): Float64Array =>
    Strided.expandedArray(
      Float64Array.from({ length: Tensors.size(shape) }, (_, i) => i),
      shape,
      lead
    )
  return { m, k, n, batches: Tensors.size(lead), aBatch: numbered(aLead), bBatch: numbered(bLead) }
}

/** Multiplications between two offers to pause: some milliseconds of work. */
const pauseAfter = 1 << 24

/** Rows that are done at a time, an even number. */
const rowsAtOnce = ({ k, n }: MatrixShapes): number => Math.max(2, 2 * Math.floor(pauseAfter / Math.max(1, 2 * k * n)))

/** The product of all batches in float64, not rounded. */
function* product(a: Float64Array, b: Float64Array, shapes: MatrixShapes): Work<Float64Array> {
  const { aBatch, bBatch, batches, k, m, n } = shapes
  const result = new Float64Array(batches * m * n)
  const step = rowsAtOnce(shapes)
  for (let batch = 0; batch < batches; batch++) {
    const right = (bBatch[batch] ?? 0) * k * n
    for (let row = 0; row < m; row += step) {
      const left = ((aBatch[batch] ?? 0) * m + row) * k
      multiplyAdd(a, left, b, right, result, (batch * m + row) * n, Math.min(step, m - row), k, n)
      yield
    }
  }
  return result
}

/** Integers: exact products that wrap. */
function* integerProduct(
  dtype: DType,
  a: Elements.BigArray | Float64Array,
  b: Elements.BigArray | Float64Array,
  shapes: MatrixShapes
): Work<Elements.BigArray | Float64Array> {
  const { aBatch, bBatch, batches, k, m, n } = shapes
  const big = !(a instanceof Float64Array) && !(b instanceof Float64Array)
  const bigResult = Elements.allocateBig(dtype, big ? batches * m * n : 0)
  const result = new Float64Array(big ? 0 : batches * m * n)
  for (let batch = 0; batch < batches; batch++)
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        const row = ((aBatch[batch] ?? 0) * m + i) * k
        const column = (bBatch[batch] ?? 0) * k * n + j
        const at = (batch * m + i) * n + j
        if (big) {
          let total = 0n
          for (let p = 0; p < k; p++) total = BigInt.asIntN(64, total + (a[row + p] ?? 0n) * (b[column + p * n] ?? 0n))
          bigResult[at] = total
        } else {
          let total = 0
          for (let p = 0; p < k; p++) total = (total + Math.imul(Number(a[row + p]), Number(b[column + p * n]))) | 0
          result[at] = total
        }
      }
      yield
    }
  return big ? bigResult : result
}

const matmul = Kernel.define(Ops.matmul, function* (call): Work<ReadonlyArray<Tensor>> {
  const [a, b, shape] = [call.input(0), call.input(1), call.shape(0)]
  const shapes = matrixShapes(a.shape, b.shape, call.fail)
  // Products of integers of at most 16 bits, and their sums, are exact in float64 far beyond any depth in use.
  const isExactInFloat64 = DTypes.bits(a.dtype) <= 16 && shapes.k < 2 ** 20
  const result =
    DTypes.isFloat(a.dtype) || isExactInFloat64
      ? yield* product(Elements.numbers(a), Elements.numbers(b), shapes)
      : yield* integerProduct(a.dtype, Elements.keys(a), Elements.keys(b), shapes)
  return [
    result instanceof Float64Array
      ? Elements.fromNumbers(a.dtype, shape, result)
      : { dtype: a.dtype, shape, data: result }
  ]
})

export const all: ReadonlyArray<Entry> = [matmul]
