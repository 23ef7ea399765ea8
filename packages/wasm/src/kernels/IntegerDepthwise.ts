/**
 * IntegerDepthwise: convolutions of 8-bit integers with a filter for each channel, exact in i32.
 *
 *   strip: the input lines that a block of output lines needs, 16 bits wide, zero points taken off, padding written out
 *   two taps at a time: interleave(x[tap], x[tap + 1]) · (w[tap], w[tap + 1])       (`i32x4.dot_i16x8_s`, 8 channels)
 */
import * as Dim from "@anneal/ir/Dim"
import * as Tensor from "@anneal/ir/Tensor"
import type { Convolution } from "@anneal/lower/Region"
import type { Emission, Features } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { i32, i32x4, memoryFill, select, shuffle, v128 } from "../Instruction.ts"
import type { Kernel, Packed, TypicalSizes } from "../Kernel.ts"
import type { Func, Local } from "../ModuleBuilder.ts"
import { expected } from "./IntegerBlocking.ts"
import { byteStride, costOf as epilogueCost, emitEpilogue, viewsOf } from "./IntegerEpilogue.ts"
import { copyRun, gatherRun, type RowFormat } from "./IntegerRows.ts"
import { rangeOf } from "./IntegerScheme.ts"

const lanes = 8
/** Positions whose sums wait for the epilogue together. */
const held = 16

interface Depthwise {
  readonly region: Convolution
  readonly channels: number
  /** Channels in whole vectors. */
  readonly padded: number
  /** [lines, positions]; lines 1 where there is one spatial axis. */
  readonly kernel: readonly [number, number]
  readonly out: readonly [Dim.Dim, Dim.Dim]
  readonly input: readonly [Dim.Dim, Dim.Dim]
  readonly stride: readonly [number, number]
  readonly dilation: readonly [number, number]
  readonly pad: readonly [Dim.Dim, Dim.Dim]
  readonly unitLines: number
}

const two = <A>(values: ReadonlyArray<A>, missing: A): readonly [A, A] => {
  const [first, second] = values
  return second === undefined ? [missing, first ?? missing] : [first ?? missing, second]
}

const shapeOf = (region: Convolution): Depthwise | undefined => {
  const { groups, input, weight } = region
  const [, n, channels, ...kernel] = weight.shape
  if (groups < 2 || n !== 1 || channels !== 1 || kernel.length < 1 || kernel.length > 2) return undefined
  if (rangeOf(input.dtype) === undefined || rangeOf(weight.dtype) === undefined) return undefined
  const extents = kernel.filter((extent) => typeof extent === "number")
  if (extents.length < kernel.length) return undefined
  return {
    region,
    channels: groups,
    padded: Math.ceil(groups / lanes) * lanes,
    kernel: two(extents, 1),
    out: two(region.out, 1),
    input: two(input.shape.slice(3), 1),
    stride: two(region.strides, 1),
    dilation: two(region.dilations, 1),
    pad: two(region.padsBegin, 0),
    unitLines: 1
  }
}

const pairsOf = ({ kernel }: Depthwise): number => Math.ceil((kernel[0] * kernel[1]) / 2)

/** [channels / 8][pairs of taps][2][4 channels][2 taps] of i16. */
const packedOf = (shape: Depthwise): Packed => {
  const { channels, kernel, padded, region } = shape
  const pairs = pairsOf(shape)
  const bytes = padded * pairs * 4
  return {
    read: 1,
    layout: `integer-depthwise kernel=${kernel.join("x")} zero=${region.zero.b}`,
    bytes,
    pack: (elements) => {
      const steps = Tensor.strides(elements.shape)
      const [lineStep, positionStep] = steps.length === 5 ? [steps[3] ?? 0, steps[4] ?? 0] : [0, steps[3] ?? 0]
      const data = new Int16Array(bytes / 2)
      for (let channel = 0; channel < channels; channel++)
        for (let tap = 0; tap < kernel[0] * kernel[1]; tap++) {
          const [line, position] = [Math.floor(tap / kernel[1]), tap % kernel[1]]
          const value = Number(
            elements.data[channel * (steps[0] ?? 0) + line * lineStep + position * positionStep] ?? 0
          )
          const block = Math.floor(channel / lanes)
          data[((block * pairs + (tap >> 1)) * lanes + (channel % lanes)) * 2 + (tap & 1)] = value - region.zero.b
        }
      return new Uint8Array(data.buffer)
    }
  }
}

/** Lines and positions of a strip. */
const stripLines = ({ dilation, kernel, stride, unitLines }: Depthwise): number =>
  (unitLines - 1) * stride[0] + (kernel[0] - 1) * dilation[0] + 1
const stripPositions = ({ dilation, kernel, out, stride }: Depthwise): Dim.Dim =>
  Dim.add(Dim.mul(Dim.sub(out[1], 1), stride[1]), (kernel[1] - 1) * dilation[1] + 1)
const lineBytes = (shape: Depthwise): Dim.Dim => Dim.mul(stripPositions(shape), shape.padded * 2)
const stripBytes = (shape: Depthwise): Dim.Dim => Dim.mul(lineBytes(shape), stripLines(shape))

const low = [0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23]
const high = low.map((lane) => lane + 8)

const emit = (emission: Emission, name: string, shape: Depthwise): Func => {
  const { channels, dilation, kernel, padded, region, stride, unitLines } = shape
  const { epilogue, input, zero } = region
  const views = viewsOf(epilogue)
  const count = 2 + views.length + 1 + 3
  const spatial = region.out.length
  const lineAxis = spatial === 2 ? 3 : undefined
  const rowAxis = spatial === 2 ? 4 : 3
  const inputSteps: readonly [Dim.Dim, Dim.Dim] =
    spatial === 2 ? [byteStride(input, 3), byteStride(input, 4)] : [0, byteStride(input, 3)]
  const format: RowFormat = {
    unsigned: input.dtype === "u8" || input.dtype === "u4",
    offset: zero.a,
    bytes: 2
  }
  const pairs = pairsOf(shape)
  return emission.module.func(name, new Array<"i32">(count).fill("i32"), [], (f) => {
    const parameter = (index: number): I32 => f.get({ type: "i32", index })
    const hoisted = (dim: Dim.Dim): I32 => emission.hoisted(f, dim)
    const strip = f.let(parameter(count - 3))
    const tile = f.let(i32.add(f.get(strip), emission.dim(stripBytes(shape))))
    const oneLine = hoisted(lineBytes(shape))
    const [outLines, outPositions] = [hoisted(shape.out[0]), hoisted(shape.out[1])]
    const [inLines, inPositions] = [hoisted(shape.input[0]), hoisted(shape.input[1])]
    const [padLines, padPositions] = [hoisted(shape.pad[0]), hoisted(shape.pad[1])]
    const [lineStep, positionStep] = [hoisted(inputSteps[0]), hoisted(inputSteps[1])]
    const channelStep = byteStride(input, 1)
    const blocks = hoisted(Dim.ceilDiv(shape.out[0], unitLines))
    const positions = hoisted(stripPositions(shape))
    f.range(parameter(count - 2), parameter(count - 1), 1, (unit) => {
      const batch = f.let(i32.div_u(f.get(unit), blocks))
      const firstLine = f.let(i32.mul(i32.rem_u(f.get(unit), blocks), i32.const(unitLines)))
      const lines = f.let(least(i32.const(unitLines), i32.sub(outLines, f.get(firstLine))))
      const a = f.let(i32.add(parameter(0), i32.mul(f.get(batch), emission.dim(byteStride(input, 0)))))

      // The strip: zeros, and what lies inside.
      f.do(memoryFill(f.get(strip), i32.const(0), emission.dim(stripBytes(shape))))
      const begin = f.let(i32.sub(i32.mul(f.get(firstLine), i32.const(stride[0])), padLines))
      // Positions of the strip that are in the input: begin … end.
      const inside = f.let(greatest(padPositions, i32.const(0)))
      const end = f.let(least(positions, i32.add(padPositions, inPositions)))
      f.range(0, stripLines(shape), 1, (line) => {
        const index = f.let(i32.add(f.get(begin), f.get(line)))
        f.if(i32.lt_u(f.get(index), inLines), () => {
          const skipped = i32.sub(f.get(inside), padPositions)
          const from = f.let(
            i32.add(i32.add(f.get(a), i32.mul(f.get(index), lineStep)), i32.mul(skipped, positionStep))
          )
          const to = f.let(
            i32.add(i32.add(f.get(strip), i32.mul(f.get(line), oneLine)), i32.mul(f.get(inside), i32.const(padded * 2)))
          )
          if (channelStep === 1 && inputSteps[1] === channels && padded === channels) {
            const run = i32.mul(i32.sub(f.get(end), f.get(inside)), i32.const(channels))
            f.if(i32.lt_s(f.get(inside), f.get(end)), () =>
              copyRun(f, format, f.get(f.let(run)), { pointer: from, offset: 0 }, { pointer: to, offset: 0 })
            )
          } else
            f.range(f.get(inside), f.get(end), 1, () => {
              if (channelStep === 1)
                copyRun(f, format, channels, { pointer: from, offset: 0 }, { pointer: to, offset: 0 })
              else gatherRun(f, format, channels, emission.dim(channelStep), from, to)
              f.set(from, i32.add(f.get(from), positionStep))
              f.set(to, i32.add(f.get(to), i32.const(padded * 2)))
            })
        })
      })

      const block = (channel: Local<"i32">, width: number): void =>
        f.range(0, f.get(lines), 1, (line) =>
          f.range(0, outPositions, held, (position) => {
            const here = f.let(least(i32.const(held), i32.sub(outPositions, f.get(position))))
            const weights = f.let(i32.add(parameter(2 + views.length), i32.mul(f.get(channel), i32.const(pairs * 4))))
            // A pointer for each line of the kernel.
            const top = f.let(
              i32.add(
                i32.add(f.get(strip), i32.mul(f.get(line), i32.mul(oneLine, i32.const(stride[0])))),
                i32.add(
                  i32.mul(f.get(position), i32.const(stride[1] * padded * 2)),
                  i32.shl(f.get(channel), i32.const(1))
                )
              )
            )
            const pointers = Array.from({ length: kernel[0] }, (_, tap) =>
              f.let(i32.add(f.get(top), i32.mul(oneLine, i32.const(tap * dilation[0]))))
            )
            const sums = f.let(f.get(tile))
            const [first, second] = [f.local("v128"), f.local("v128")]
            const [lowSum, highSum] = [f.local("v128"), f.local("v128")]
            f.range(0, f.get(here), 1, () => {
              const tap = (index: number) => {
                const pointer = pointers[Math.floor(index / kernel[1])]
                if (pointer === undefined) return v128.const(new Array<number>(16).fill(0))
                return v128.load(f.get(pointer), (index % kernel[1]) * dilation[1] * padded * 2)
              }
              for (let pair = 0; pair < pairs; pair++) {
                f.set(first, tap(2 * pair))
                f.set(second, tap(2 * pair + 1))
                const part = (order: ReadonlyArray<number>, half: number) =>
                  i32x4.dot_i16x8_s(
                    shuffle(f.get(first), f.get(second), order),
                    v128.load(f.get(weights), (pair * 2 + half) * 16)
                  )
                const add = (sum: Local<"v128">, value: ReturnType<typeof part>): void =>
                  f.set(sum, pair === 0 ? value : i32x4.add(f.get(sum), value))
                add(lowSum, part(low, 0))
                add(highSum, part(high, 1))
              }
              f.do(v128.store(f.get(sums), f.get(lowSum)))
              f.do(v128.store(f.get(sums), f.get(highSum), 16))
              f.set(sums, i32.add(f.get(sums), i32.const(32)))
              for (const pointer of pointers) f.set(pointer, i32.add(f.get(pointer), i32.const(stride[1] * padded * 2)))
            })
            const outLine = i32.add(f.get(firstLine), f.get(line))
            const places = views.map((view, index) => {
              const along = (axis: number, by: I32): I32 => i32.mul(by, emission.dim(byteStride(view, axis)))
              const parts = [
                along(0, f.get(batch)),
                along(1, f.get(channel)),
                ...(lineAxis === undefined ? [] : [along(lineAxis, outLine)]),
                along(rowAxis, f.get(position))
              ]
              return f.let(parts.reduce((sum, one) => i32.add(sum, one), parameter(2 + index)))
            })
            emitEpilogue(f, emission, epilogue, {
              sums: tile,
              rowBytes: 32,
              rows: f.get(here),
              columns: width,
              columnTerms: undefined,
              rowTerms: undefined,
              views: places,
              rowSteps: views.map((view) => byteStride(view, rowAxis)),
              columnSteps: views.map((view) => byteStride(view, 1)),
              rowAxis,
              columnAxis: 1,
              index: (axis) =>
                axis === 0
                  ? f.get(batch)
                  : axis === 1
                    ? f.get(channel)
                    : axis === lineAxis
                      ? outLine
                      : axis === rowAxis
                        ? f.get(position)
                        : i32.const(0)
            })
          })
        )
      const whole = Math.floor(channels / lanes) * lanes
      if (whole > 0) f.range(0, whole, lanes, (channel) => block(channel, lanes))
      if (channels > whole) f.range(whole, padded, lanes, (channel) => block(channel, channels - whole))
    })
  })
}

const least = (a: I32, b: I32): I32 => select(i32.lt_s(a, b), a, b)
const greatest = (a: I32, b: I32): I32 => select(i32.gt_s(a, b), a, b)

/** Kernels of a supported integer convolution (see `IntegerConvolution`); none when it isn't depthwise. */
export const candidates = (region: Convolution, typical: TypicalSizes, _features: Features): ReadonlyArray<Kernel> => {
  const shape = shapeOf(region)
  if (shape === undefined) return []
  const lines = expected(shape.out[0], typical)
  const positions = expected(shape.out[1], typical)
  return [...new Set([1, 4].map((count) => Math.min(count, lines)))].map((unitLines) => {
    const blocked = { ...shape, unitLines }
    const { padded } = shape
    const units = expected(region.batch, typical) * Math.ceil(lines / unitLines)
    const vectors = (padded / lanes) * lines * positions * expected(region.batch, typical)
    const widening = (units * stripLines(blocked) * expected(stripPositions(blocked), typical) * padded) / 8
    return {
      name: "integer-depthwise",
      config: { lines: unitLines },
      cost: 60 + vectors * (pairsOf(shape) * 0.7 + 8 * epilogueCost(region.epilogue)) + widening,
      packed: [packedOf(blocked)],
      scratch: Dim.add(stripBytes(blocked), held * 32),
      units: Dim.mul(region.batch, Dim.ceilDiv(shape.out[0], unitLines)),
      emit: (emission, name) => emit(emission, name, blocked)
    }
  })
}
