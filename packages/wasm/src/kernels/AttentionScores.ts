/**
 * AttentionScores: q · k for a few queries and a block of keys, to scratch memory, [rows][block].
 *
 * - `dot`: vectors along the last axis, four keys at once, added up across at the end: nothing is rearranged.
 * - `turned`: the block's keys are turned round once, [dim][block]; then a register tile of queries × eight keys.
 */
import type { I32, V128 } from "../Instruction.ts"
import { f32, f32x4, i32, shuffle, v128 } from "../Instruction.ts"
import type { Local } from "../ModuleBuilder.ts"
import type { Writer } from "../Writer.ts"

export interface ScoreTile {
  readonly rows: number
  readonly dim: number
  /** Bytes from row to row of the scores. */
  readonly scoreRow: number
  /** Addresses of each query's first element, [rows]. */
  readonly q: ReadonlyArray<Local<"i32">>
  /** Bytes along q's last axis. */
  readonly qStep: number | I32
  readonly scores: Local<"i32">
  /** Keys of the block. */
  readonly count: I32
}

const sumOf = (a: V128, b: V128): V128 => f32x4.add(a, b)
const low = [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23]
const high = low.map((lane) => lane + 8)
const firstHalves = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]
const secondHalves = firstHalves.map((lane) => lane + 8)

/** Rows of a 4 × 4 matrix as its columns. */
const turn = (w: Writer, rows: readonly [V128, V128, V128, V128]): readonly [V128, V128, V128, V128] => {
  const [a, b, c, d] = rows.map((row) => w.keep(row))
  if (a === undefined || b === undefined || c === undefined || d === undefined) throw new RangeError("four rows")
  const [ab, abHigh] = [w.keep(shuffle(a, b, low)), w.keep(shuffle(a, b, high))]
  const [cd, cdHigh] = [w.keep(shuffle(c, d, low)), w.keep(shuffle(c, d, high))]
  return [
    shuffle(ab, cd, firstHalves),
    shuffle(ab, cd, secondHalves),
    shuffle(abHigh, cdHigh, firstHalves),
    shuffle(abHigh, cdHigh, secondHalves)
  ]
}

/** Vectors of the last axis that are written out one after another; more go round. */
const unrolledVectors = 8

/** By dot products. `dim` is a multiple of 4, q and k have their last axes side by side. */
export const dotScores = (w: Writer, tile: ScoreTile, keys: Local<"i32">, keyStep: number | I32): void => {
  const { f } = w
  const { count, dim, q, rows, scoreRow } = tile
  const step = typeof keyStep === "number" ? i32.const(keyStep) : keyStep
  const vectors = dim / 4
  const sums = Array.from({ length: rows }, () => Array.from({ length: 4 }, () => f.local("v128")))
  const k = f.let(f.get(keys))
  const scores = f.let(f.get(tile.scores))
  // Short queries stay in registers.
  const held =
    vectors * rows <= 4
      ? q.map((pointer) => Array.from({ length: vectors }, (_, v) => f.let(v128.load(f.get(pointer), v * 16))))
      : undefined
  const part = f.local("v128")

  /** Products of some vectors of `keyCount` keys: added to the sums, or their beginning. */
  const products = (
    pointers: ReadonlyArray<Local<"i32">>,
    near: number | undefined,
    queries: ReadonlyArray<Local<"i32">>,
    from: number,
    to: number,
    begins: boolean,
    keyCount: number
  ): void => {
    for (let v = from; v < to; v++)
      for (let key = 0; key < keyCount; key++) {
        const [first] = pointers
        const pointer = near === undefined ? pointers[key] : first
        if (pointer === undefined) continue
        f.set(part, v128.load(f.get(pointer), (near ?? 0) * key + v * 16))
        for (let r = 0; r < rows; r++) {
          const [sum, query] = [sums[r]?.[key], queries[r]]
          const inRegister = held?.[r]?.[v]
          if (sum === undefined || query === undefined) continue
          const x = inRegister === undefined ? v128.load(f.get(query), v * 16) : f.get(inRegister)
          f.set(sum, begins && v === from ? f32x4.mul(x, f.get(part)) : w.madd(x, f.get(part), f.get(sum)))
        }
      }
  }

  const group = (keyCount: number): void => {
    const near = typeof keyStep === "number" && keyStep >= 0 ? keyStep : undefined
    const begin = Array.from({ length: near === undefined ? keyCount : 1 }, (_, key) =>
      f.let(key === 0 ? f.get(k) : i32.add(f.get(k), i32.mul(step, i32.const(key))))
    )
    if (vectors <= unrolledVectors) products(begin, near, q, 0, vectors, true, keyCount)
    else {
      const queries = q.map((pointer) => f.let(f.get(pointer)))
      for (const row of sums) for (const sum of row) f.set(sum, w.splatF32(0))
      const rounds = Math.floor(vectors / unrolledVectors)
      f.range(0, rounds, 1, () => {
        products(begin, near, queries, 0, unrolledVectors, false, keyCount)
        for (const pointer of [...begin, ...queries])
          f.set(pointer, i32.add(f.get(pointer), i32.const(unrolledVectors * 16)))
      })
      products(begin, near, queries, 0, vectors - rounds * unrolledVectors, false, keyCount)
    }
  }
  const across = (sum: V128): V128 => {
    const four = w.keep(sum)
    const two = w.keep(sumOf(four, shuffle(four, four, [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7])))
    return sumOf(two, shuffle(two, two, [4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11]))
  }
  const left = f.let(count)
  f.block((out) =>
    f.loop((again) => {
      f.brIf(out, i32.lt_s(f.get(left), i32.const(4)))
      group(4)
      for (let r = 0; r < rows; r++) {
        const [a, b, c, d] = (sums[r] ?? []).map((sum) => f.get(sum))
        if (a === undefined || b === undefined || c === undefined || d === undefined) continue
        const [w0, w1, w2, w3] = turn(w, [a, b, c, d])
        f.do(v128.store(f.get(scores), sumOf(sumOf(w0, w1), sumOf(w2, w3)), r * scoreRow))
      }
      f.set(k, i32.add(f.get(k), i32.shl(step, i32.const(2))))
      f.set(scores, i32.add(f.get(scores), i32.const(16)))
      f.set(left, i32.sub(f.get(left), i32.const(4)))
      f.br(again)
    })
  )
  f.range(0, f.get(left), 1, () => {
    group(1)
    for (let r = 0; r < rows; r++) {
      const sum = sums[r]?.[0]
      if (sum !== undefined) f.do(f32.store(f.get(scores), f32x4.extract_lane(across(f.get(sum)), 0), r * scoreRow))
    }
    f.set(k, i32.add(f.get(k), step))
    f.set(scores, i32.add(f.get(scores), i32.const(4)))
  })
}

/** A block of keys, [count][dim] by steps, turned round: [dim][block] in scratch memory. */
export const turnKeys = (
  w: Writer,
  dim: number,
  block: number,
  keys: I32,
  keyStep: I32,
  lastStep: number | I32,
  count: I32,
  target: I32
): void => {
  const { f } = w
  const source = f.let(keys)
  const to = f.let(target)
  const column = block * 4
  const whole = lastStep === 4 ? dim - (dim % 4) : 0
  const left = f.let(count)
  const step = typeof lastStep === "number" ? i32.const(lastStep) : lastStep
  if (whole > 0)
    f.block((out) =>
      f.loop((again) => {
        f.brIf(out, i32.lt_s(f.get(left), i32.const(4)))
        const pointers = Array.from({ length: 4 }, (_, key) =>
          f.let(i32.add(f.get(source), i32.mul(keyStep, i32.const(key))))
        )
        const [a, b, c, d] = pointers
        const at = f.let(f.get(to))
        if (a === undefined || b === undefined || c === undefined || d === undefined) return
        f.range(0, whole / 4, 1, () => {
          const row = (pointer: Local<"i32">): V128 => v128.load(f.get(pointer))
          const columns = turn(w, [row(a), row(b), row(c), row(d)])
          columns.forEach((value, index) => f.do(v128.store(f.get(at), value, index * column)))
          for (const pointer of pointers) f.set(pointer, i32.add(f.get(pointer), i32.const(16)))
          f.set(at, i32.add(f.get(at), i32.const(4 * column)))
        })
        for (let rest = 0; rest < dim - whole; rest++)
          pointers.forEach((pointer, key) =>
            f.do(f32.store(f.get(at), f32.load(f.get(pointer), rest * 4), rest * column + key * 4))
          )
        f.set(source, i32.add(f.get(source), i32.shl(keyStep, i32.const(2))))
        f.set(to, i32.add(f.get(to), i32.const(16)))
        f.set(left, i32.sub(f.get(left), i32.const(4)))
        f.br(again)
      })
    )
  f.range(0, f.get(left), 1, () => {
    const pointer = f.let(f.get(source))
    const at = f.let(f.get(to))
    f.range(0, dim, 1, () => {
      f.do(f32.store(f.get(at), f32.load(f.get(pointer))))
      f.set(pointer, i32.add(f.get(pointer), step))
      f.set(at, i32.add(f.get(at), i32.const(column)))
    })
    f.set(source, i32.add(f.get(source), keyStep))
    f.set(to, i32.add(f.get(to), i32.const(4)))
  })
}

const unrolledTerms = 4

/** By a register tile over keys turned round. Scores of the last eight keys may be of none: the caller knows their count. */
export const tileScores = (w: Writer, tile: ScoreTile, keys: I32, block: number, vectors: number): void => {
  const { f } = w
  const { count, dim, q, qStep, rows, scoreRow } = tile
  const column = block * 4
  const sums = Array.from({ length: rows }, () => Array.from({ length: vectors }, () => f.local("v128")))
  const held = Array.from({ length: vectors }, () => f.local("v128"))
  const splat = f.local("v128")
  const k = f.let(keys)
  const scores = f.let(f.get(tile.scores))
  const near = typeof qStep === "number" && qStep >= 0 ? qStep : undefined
  f.range(0, count, vectors * 4, () => {
    const at = f.let(f.get(k))
    const queries = q.map((pointer) => f.let(f.get(pointer)))
    for (const row of sums) for (const sum of row) f.set(sum, w.splatF32(0))
    const terms = (many: number): void => {
      for (let d = 0; d < many; d++) {
        held.forEach((local, v) => f.set(local, v128.load(f.get(at), d * column + v * 16)))
        queries.forEach((pointer, r) => {
          f.set(splat, v128.load32_splat(f.get(pointer), near === undefined ? 0 : d * near))
          if (near === undefined)
            f.set(pointer, i32.add(f.get(pointer), typeof qStep === "number" ? i32.const(qStep) : qStep))
          sums[r]?.forEach((sum, v) => f.set(sum, w.madd(f.get(held[v] ?? splat), f.get(splat), f.get(sum))))
        })
      }
    }
    const move = (many: number): void => {
      f.set(at, i32.add(f.get(at), i32.const(many * column)))
      if (near !== undefined)
        for (const pointer of queries) f.set(pointer, i32.add(f.get(pointer), i32.const(many * near)))
    }
    const rounds = Math.floor(dim / unrolledTerms)
    f.range(0, rounds, 1, () => {
      terms(unrolledTerms)
      move(unrolledTerms)
    })
    terms(dim - rounds * unrolledTerms)
    sums.forEach((row, r) =>
      row.forEach((sum, v) => f.do(v128.store(f.get(scores), f.get(sum), r * scoreRow + v * 16)))
    )
    f.set(k, i32.add(f.get(k), i32.const(vectors * 16)))
    f.set(scores, i32.add(f.get(scores), i32.const(vectors * 16)))
  })
}
