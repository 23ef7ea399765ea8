/**
 * ConvDepthwiseRow: a row of pixels of a depthwise convolution, cut into tiles: by code for each tile at the borders where the
 * row's width is known, pixel by pixel there where it is not.
 */
import type { I32 } from "../Instruction.ts"
import { i32 } from "../Instruction.ts"
import type { Local } from "../ModuleBuilder.ts"
import type { Context, Row } from "./ConvDepthwiseTile.ts"
import {
  atLeast,
  atMost,
  ceilDivide,
  clearedSums,
  finish,
  outerTaps,
  rowOfTaps,
  tapBounds,
  tile
} from "./ConvDepthwiseTile.ts"
import { evenly } from "./GemmProduct.ts"
import { advance, offsetBy, step, value } from "./GemmTile.ts"

/** Runs code for each block of channels, the pointers moved to it. Pixels stay: their neighbours' channels follow. */
export type Blocks = (
  input: Local<"i32">,
  row: Row,
  views: ReadonlyArray<Local<"i32">>,
  body: (input: Local<"i32">, row: Row, views: ReadonlyArray<Local<"i32">>, channels: number) => void
) => void

/** A row whose width and padding are known: tiles at the borders leave taps out. */
export const knownRow = (
  context: Context,
  blocks: Blocks,
  row: Row,
  out: number,
  source: number,
  pad: number,
  pixels: number
): void => {
  const { f, last } = context
  const reach = (last.kernel - 1) * last.dilation
  const isInside = (begin: number, size: number): boolean =>
    begin * last.stride - pad >= 0 && (begin + size - 1) * last.stride - pad + reach < source
  const sizes = evenly(out, pixels).flatMap(({ count, size }) => new Array<number>(count).fill(size))
  const views = row.views.map((pointer) => f.let(f.get(pointer)))
  let begin = 0
  let at = 0
  while (at < sizes.length) {
    const size = sizes[at] ?? 1
    // Tiles of one size with no tap on padding are rounds of one loop.
    let rounds = 0
    while (sizes[at + rounds] === size && isInside(begin + rounds * size, size)) rounds++
    const first = begin * last.stride - pad
    if (rounds > 1 && typeof last.bytes === "number") {
      const input = f.let(step(f, f.get(row.input), first, last.bytes))
      const index = f.let(i32.const(begin))
      f.range(0, rounds, 1, () => {
        blocks(input, row, views, (x, here, own, channels) =>
          tile(context, here, size, channels, x, { first: 0, limit: undefined }, own, f.get(index))
        )
        advance(f, input, size * last.stride, last.bytes)
        views.forEach((pointer, view) => advance(f, pointer, size, last.views[view] ?? 0))
        f.set(index, i32.add(f.get(index), i32.const(size)))
      })
    } else {
      rounds = 1
      const index = i32.const(begin)
      blocks(row.input, row, views, (x, here, own, channels) =>
        tile(context, here, size, channels, x, { first, limit: source }, own, index)
      )
      views.forEach((pointer, view) => advance(f, pointer, size, last.views[view] ?? 0))
    }
    begin += rounds * size
    at += rounds
  }
}

/** A pixel whose taps may fall on padding: those that do not, in a loop. */
const borderPixel = (
  context: Context,
  row: Row,
  begin: Local<"i32">,
  input: Local<"i32">,
  views: ReadonlyArray<Local<"i32">>,
  channels: number,
  pixel: I32
): void => {
  const { f, last, vectors: width } = context
  const lanes = channels % 4 === 0 ? 4 : channels % 4
  const sums = clearedSums(context, 1, Math.ceil(channels / 4))
  const { count, first } = tapBounds(f, last, begin)
  const start = f.let(i32.add(f.get(begin), i32.mul(f.get(first), i32.const(last.dilation))))
  const x = f.let(offsetBy(f, f.get(input), f.get(start), last.bytes))
  const w = f.let(offsetBy(f, f.get(row.weights), f.get(first), width * 16))
  outerTaps(f, row, 0, x, w, (from, weights) => {
    const [xs, ws] = [f.let(f.get(from)), f.let(f.get(weights))]
    f.range(0, f.get(count), 1, () => {
      rowOfTaps({ ...context, last: { ...last, kernel: 1 } }, sums, xs, ws, { first: 0, limit: undefined }, lanes)
      advance(f, xs, last.dilation, last.bytes)
      advance(f, ws, 1, width * 16)
    })
  })
  finish(context, row, sums, channels, views, pixel)
}

/** A row of any width: pixels at the borders one by one. */
export const anyRow = (context: Context, blocks: Blocks, row: Row, pixels: number): void => {
  const { f, last } = context
  const views = row.views.map((pointer) => f.let(f.get(pointer)))
  const index = f.let(i32.const(0))
  const begin = f.let(i32.sub(i32.const(0), value(f, last.pad)))
  const reach = (last.kernel - 1) * last.dilation
  const next = (count: number): void => {
    views.forEach((pointer, view) => advance(f, pointer, count, last.views[view] ?? 0))
    f.set(index, i32.add(f.get(index), i32.const(count)))
    f.set(begin, i32.add(f.get(begin), i32.const(count * last.stride)))
  }
  const border = (until: I32): void =>
    f.block((out) =>
      f.loop((again) => {
        f.brIf(out, i32.ge_s(f.get(index), until))
        blocks(row.input, row, views, (x, here, own, channels) =>
          borderPixel(context, here, begin, x, own, channels, f.get(index))
        )
        next(1)
        f.br(again)
      })
    )
  const out = value(f, last.out)
  // Pixels before which a tap falls on the padding, and the first behind which one does.
  const left = atLeast(f, ceilDivide(f, value(f, last.pad), last.stride), i32.const(0))
  atMost(f, left, out)
  const room = f.let(i32.add(i32.sub(value(f, last.source), i32.const(reach + 1)), value(f, last.pad)))
  const right = f.let(i32.const(0))
  f.if(i32.ge_s(f.get(room), i32.const(0)), () =>
    f.set(right, i32.add(i32.div_s(f.get(room), i32.const(last.stride)), i32.const(1)))
  )
  atMost(f, right, out)
  border(f.get(left))
  const inside = (count: number): void =>
    f.block((stop) =>
      f.loop((again) => {
        f.brIf(stop, i32.gt_s(i32.add(f.get(index), i32.const(count)), f.get(right)))
        const input = f.let(offsetBy(f, f.get(row.input), f.get(begin), last.bytes))
        blocks(input, row, views, (x, here, own, channels) =>
          tile(context, here, count, channels, x, { first: 0, limit: undefined }, own, f.get(index))
        )
        next(count)
        f.br(again)
      })
    )
  inside(pixels)
  if (pixels > 1) inside(1)
  border(out)
}
