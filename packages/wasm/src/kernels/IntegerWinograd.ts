/**
 * IntegerWinograd: convolutions of 8-bit integers by minimal filtering along one or two axes, exact in i32: 1.7 to 4 times
 * fewer products than by definition, of 16-bit integers (`i32x4.dot_i16x8_s`).
 *
 *   unit (a block of tiles):
 *     strip   the block's inputs, 16 bits wide, zero points taken off, padding written out
 *     inputs  of each tile transformed: [points][tiles][channels]
 *     points  a matrix product for each of them: tiles × channels × filters, by IntegerTile
 *     outputs transformed back, a panel of filters after another, then the epilogue
 */
import * as Dim from "@anneal/ir/Dim"
import * as Tensor from "@anneal/ir/Tensor"
import type { Convolution } from "@anneal/lower/Region"
import type { Emission, Features } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { i32, i32x4, memoryFill, select, v128 } from "../Instruction.ts"
import type { Kernel, Packed, TypicalSizes } from "../Kernel.ts"
import type { Func, Local } from "../ModuleBuilder.ts"
import { Writer } from "../Writer.ts"
import { evenly } from "./GemmProduct.ts"
import { expected } from "./IntegerBlocking.ts"
import { byteStride, costOf as epilogueCost, emitEpilogue, viewsOf } from "./IntegerEpilogue.ts"
import * as Panels from "./IntegerPanels.ts"
import type { PanelShape } from "./IntegerPanels.ts"
import { copyRun, gatherRun, type RowFormat } from "./IntegerRows.ts"
import { type IntegerScheme, rangeOf } from "./IntegerScheme.ts"
import type { TileShape } from "./IntegerTile.ts"
import { columnOfTiles } from "./IntegerTile.ts"
import type { IntegerWinogradForm } from "./IntegerWinogradForm.ts"
import * as Forms from "./IntegerWinogradForm.ts"

interface WinogradPlan {
  readonly region: Convolution
  /** Of lines and of positions; a single spatial axis is one of positions. */
  readonly forms: readonly [IntegerWinogradForm, IntegerWinogradForm]
  readonly channels: number
  readonly filters: number
  /** Tiles of a unit, down and across. */
  readonly down: number
  readonly across: number
  /** A register tile: tiles and filters. */
  readonly rows: number
  readonly columns: number
}

const lanes = 8
/** Nothing more is to be taken off: transformed operands are what they are. */
const scheme: IntegerScheme = {
  arithmetic: { kind: "widened", storedBytes: 2 },
  offset: { a: 0, b: 0 },
  zero: { a: 0, b: 0 }
}

const sides = ({ forms }: WinogradPlan): readonly [number, number] => [
  Forms.pointsOf(forms[0]),
  Forms.pointsOf(forms[1])
]
const pointCount = (plan: WinogradPlan): number => sides(plan)[0] * sides(plan)[1]
const paddedChannels = ({ channels }: WinogradPlan): number => Math.ceil(channels / lanes) * lanes

const panelCount = ({ columns, filters }: WinogradPlan): number => Math.ceil(filters / columns)

/** A panel's matrices of all points one after another: they are read in this order. */
const panelShape = (plan: WinogradPlan): PanelShape => ({
  outer: panelCount(plan) * pointCount(plan),
  n: plan.columns,
  k: plan.channels,
  columns: plan.columns,
  scheme
})

/** Two values of a list for spatial axes: a missing axis of lines has the other value. */
const two = <A>(values: ReadonlyArray<A>, missing: A): readonly [A, A] => {
  const [first = missing, second] = values
  return second === undefined ? [missing, first] : [first, second]
}

const packedOf = (plan: WinogradPlan): Packed => {
  const { channels, filters, forms, region } = plan
  const shape = panelShape(plan)
  const [byLines, byTaps] = [forms[0].weights, forms[1].weights]
  return {
    read: 1,
    layout: `integer-winograd ${transformOf(forms)} ${Panels.layoutOf(shape)} taken=${region.zero.b}`,
    bytes: Panels.bytesOf(shape),
    pack: (elements) => {
      const steps = Tensor.strides(elements.shape)
      const [filterStep = 0, channelStep = 0, ...spatial] = steps.slice(1)
      const [lineStep, tapStep] = two(spatial, 0)
      const points = pointCount(plan)
      const data = new Int16Array(points * filters * channels)
      for (let filter = 0; filter < filters; filter++)
        for (let channel = 0; channel < channels; channel++)
          for (const [i, down] of byLines.entries())
            for (const [j, across] of byTaps.entries()) {
              let sum = 0
              for (const [line, a] of down.entries())
                for (const [tap, b] of across.entries()) {
                  const place = filter * filterStep + channel * channelStep + line * lineStep + tap * tapStep
                  sum += a * b * (Number(elements.data[place] ?? 0) - region.zero.b)
                }
              data[((i * byTaps.length + j) * filters + filter) * channels + channel] = sum
            }
      const transformed = Tensor.make("i16", [points, filters, channels], data)
      return Panels.pack(shape, transformed, (index, column, channel) => {
        const filter = Math.floor(index / points) * plan.columns + column
        // Columns beyond the last filter are of no element, which counts as 0.
        return filter < filters ? ((index % points) * filters + filter) * channels + channel : -1
      })
    }
  }
}

/** Bytes from one point's part to the next: not such a multiple that all points of a tile share few lines of the cache. */
const apart = (bytes: number): number => (bytes % 512 === 0 ? bytes + 64 : bytes)

/** Bytes of scratch memory, one part after another. */
const partsOf = (plan: WinogradPlan) => {
  const { across, columns, down, forms } = plan
  const channels = paddedChannels(plan)
  const [blockLines, blockPositions] = [down * forms[0].outputs, across * forms[1].outputs]
  const inputLines = (down - 1) * forms[0].step + Forms.reachOf(forms[0])
  const inputPositions = (across - 1) * forms[1].step + Forms.reachOf(forms[1])
  const line = inputPositions * channels * 2
  const strip = inputLines * line
  const tiles = down * across
  const point = apart(tiles * channels * 2)
  const inputs = pointCount(plan) * point
  const panelPoint = apart(tiles * columns * 4)
  const products = pointCount(plan) * panelPoint
  const outputLine = blockPositions * columns * 4
  const outputs = blockLines * outputLine
  return {
    inputLines,
    inputPositions,
    line,
    point,
    panelPoint,
    outputLine,
    strip,
    inputs,
    products,
    outputs,
    total: strip + inputs + products + outputs
  }
}

const least = (a: I32, b: I32): I32 => select(i32.lt_s(a, b), a, b)
const greatest = (a: I32, b: I32): I32 => select(i32.gt_s(a, b), a, b)

const emit = (emission: Emission, name: string, plan: WinogradPlan): Func => {
  const { across, channels, columns, down, filters, forms, region, rows } = plan
  const { epilogue, input } = region
  const [outLines, outPositions] = two(region.out, 1)
  const spatial = region.out.length
  const [lineAxis, positionAxis] = spatial === 2 ? [3, 4] : [undefined, 3]
  const removal = Forms.removal(forms[0].factor * forms[1].factor)
  const views = viewsOf(epilogue)
  const count = 2 + views.length + 1 + 3
  const parts = partsOf(plan)
  const shape = panelShape(plan)
  const padded = paddedChannels(plan)
  const [sideLines, sidePositions] = sides(plan)
  const tiles = down * across
  const sizes = { rowBytes: padded * 2, steps: Panels.stepsOf(shape) }
  const tilesOf = (tileRows: number): Func => {
    const text = `integer-tiles ${tileRows}x${columns} widened ${sizes.rowBytes} ${sizes.steps}`
    const made: TileShape = { rows: tileRows, columns, arithmetic: scheme.arithmetic, unroll: 4 }
    return emission.shared(text, () => columnOfTiles(emission.module, text, made, sizes))
  }
  const cuts = evenly(tiles, rows).map(({ count: times, size }) => ({ func: tilesOf(size), times, size }))
  const format: RowFormat = { unsigned: input.dtype === "u8" || input.dtype === "u4", offset: region.zero.a, bytes: 2 }

  return emission.module.func(name, new Array<"i32">(count).fill("i32"), [], (f) => {
    const w = new Writer(f, emission)
    const parameter = (index: number): I32 => f.get({ type: "i32", index })
    const hoisted = (dim: Dim.Dim): I32 => emission.hoisted(f, dim)
    const place = (offset: number): Local<"i32"> => f.let(i32.add(parameter(count - 3), i32.const(offset)))
    const strip = place(0)
    const inputs = place(parts.strip)
    const products = place(parts.strip + parts.inputs)
    const outputs = place(parts.strip + parts.inputs + parts.products)
    const blockLines = down * forms[0].outputs
    const blockPositions = across * forms[1].outputs
    const { inputLines, inputPositions } = parts
    const [strideDown, strideAcross] = two(region.strides, 1)
    const inExtents = two(input.shape.slice(3), 1)
    const pads = two(region.padsBegin, 0)
    const inSteps = spatial === 2 ? [byteStride(input, 3), byteStride(input, 4)] : [0, byteStride(input, 3)]
    const extents = {
      out: [hoisted(outLines), hoisted(outPositions)] as const,
      in: [hoisted(inExtents[0]), hoisted(inExtents[1])] as const,
      pad: [hoisted(pads[0]), hoisted(pads[1])] as const,
      steps: [hoisted(inSteps[0] ?? 0), hoisted(inSteps[1] ?? 0)] as const,
      blocks: [hoisted(Dim.ceilDiv(outLines, blockLines)), hoisted(Dim.ceilDiv(outPositions, blockPositions))] as const
    }
    const channelStep = byteStride(input, 2)

    f.range(parameter(count - 2), parameter(count - 1), 1, (unit) => {
      const right = f.get(f.let(i32.mul(i32.rem_u(f.get(unit), extents.blocks[1]), i32.const(blockPositions))))
      const above = f.let(i32.div_u(f.get(unit), extents.blocks[1]))
      const batch = f.get(f.let(i32.div_u(f.get(above), extents.blocks[0])))
      const top = f.get(f.let(i32.mul(i32.rem_u(f.get(above), extents.blocks[0]), i32.const(blockLines))))

      // The strip.
      f.do(memoryFill(f.get(strip), i32.const(0), i32.const(parts.strip)))
      const a = f.let(i32.add(parameter(0), i32.mul(batch, emission.dim(byteStride(input, 0)))))
      const firstLine = f.get(f.let(i32.sub(i32.mul(top, i32.const(strideDown)), extents.pad[0])))
      const firstPosition = f.get(f.let(i32.sub(i32.mul(right, i32.const(strideAcross)), extents.pad[1])))
      const begin = f.get(f.let(greatest(i32.const(0), i32.sub(i32.const(0), firstPosition))))
      const end = f.get(f.let(least(i32.const(inputPositions), i32.sub(extents.in[1], firstPosition))))
      f.range(0, inputLines, 1, (line) => {
        const index = f.get(f.let(i32.add(firstLine, f.get(line))))
        f.if(i32.lt_u(index, extents.in[0]), () => {
          const from = f.let(
            i32.add(
              i32.add(f.get(a), i32.mul(index, extents.steps[0])),
              i32.mul(i32.add(firstPosition, begin), extents.steps[1])
            )
          )
          const to = f.let(
            i32.add(
              i32.add(f.get(strip), i32.mul(f.get(line), i32.const(parts.line))),
              i32.mul(begin, i32.const(padded * 2))
            )
          )
          f.range(begin, end, 1, () => {
            if (channelStep === 1)
              copyRun(f, format, channels, { pointer: from, offset: 0 }, { pointer: to, offset: 0 })
            else gatherRun(f, format, channels, emission.dim(channelStep), from, to)
            f.set(from, i32.add(f.get(from), extents.steps[1]))
            f.set(to, i32.add(f.get(to), i32.const(padded * 2)))
          })
        })
      })

      // Inputs transformed.
      const target = f.let(f.get(inputs))
      f.range(0, down, 1, (y) =>
        f.range(0, across, 1, (x) => {
          const tileAt = f.get(
            f.let(
              i32.add(
                f.get(strip),
                i32.add(
                  i32.mul(f.get(y), i32.const(forms[0].step * parts.line)),
                  i32.mul(f.get(x), i32.const(forms[1].step * padded * 2))
                )
              )
            )
          )
          f.range(0, padded * 2, lanes * 2, (channel) => {
            const from = f.get(f.let(i32.add(tileAt, f.get(channel))))
            const to = f.get(f.let(i32.add(f.get(target), f.get(channel))))
            const byColumn = Array.from({ length: Forms.reachOf(forms[1]) }, (_, column) =>
              Forms.transformInput(
                w,
                forms[0].input,
                Array.from({ length: Forms.reachOf(forms[0]) }, (__, line) =>
                  v128.load(from, line * parts.line + column * padded * 2)
                )
              ).map((value) => w.keep(value))
            )
            for (let i = 0; i < sideLines; i++)
              Forms.transformInput(
                w,
                forms[1].input,
                byColumn.map((column) => column[i] ?? w.splatI32(0))
              ).forEach((value, j) => f.do(v128.store(to, value, (i * sidePositions + j) * parts.point)))
          })
          f.set(target, i32.add(f.get(target), i32.const(padded * 2)))
        })
      )

      // A panel of filters after another: products, then outputs.
      const onePanel = Panels.panelBytes(shape)
      f.range(0, panelCount(plan), 1, (panel) => {
        const weights = f.let(
          i32.add(parameter(2 + views.length), i32.mul(f.get(panel), i32.const(pointCount(plan) * onePanel)))
        )
        const source = f.let(f.get(inputs))
        const sums = f.let(f.get(products))
        f.range(0, pointCount(plan), 1, () => {
          const [row, tile] = [f.let(f.get(source)), f.let(f.get(sums))]
          cuts.forEach(({ func, size, times }, cut) => {
            f.run(func, [f.get(row), f.get(weights), f.get(tile), i32.const(times)])
            if (cut === cuts.length - 1) return
            f.set(row, i32.add(f.get(row), i32.const(times * size * sizes.rowBytes)))
            f.set(tile, i32.add(f.get(tile), i32.const(times * size * columns * 4)))
          })
          f.set(weights, i32.add(f.get(weights), i32.const(onePanel)))
          f.set(source, i32.add(f.get(source), i32.const(parts.point)))
          f.set(sums, i32.add(f.get(sums), i32.const(parts.panelPoint)))
        })

        const tileProducts = f.let(f.get(products))
        f.range(0, down, 1, (y) =>
          f.range(0, across, 1, (x) => {
            const to = f.get(
              f.let(
                i32.add(
                  f.get(outputs),
                  i32.add(
                    i32.mul(f.get(y), i32.const(forms[0].outputs * parts.outputLine)),
                    i32.mul(f.get(x), i32.const(forms[1].outputs * columns * 4))
                  )
                )
              )
            )
            f.range(0, columns * 4, 16, (column) => {
              const from = f.get(f.let(i32.add(f.get(tileProducts), f.get(column))))
              const at = f.get(f.let(i32.add(to, f.get(column))))
              const byColumn = Array.from({ length: sidePositions }, (_, j) =>
                Forms.transformOutput(
                  w,
                  forms[0].output,
                  Array.from({ length: sideLines }, (__, i) =>
                    v128.load(from, (i * sidePositions + j) * parts.panelPoint)
                  )
                ).map((value) => w.keep(value))
              )
              for (let i = 0; i < forms[0].outputs; i++)
                Forms.transformOutput(
                  w,
                  forms[1].output,
                  byColumn.map((lines) => lines[i] ?? w.splatI32(0))
                ).forEach((value, j) => {
                  const odd = removal.inverse === 1 ? value : i32x4.mul(value, w.splatI32(removal.inverse))
                  const result = i32x4.shr_s(odd, i32.const(removal.shift))
                  f.do(v128.store(at, result, i * parts.outputLine + j * columns * 4))
                })
            })
            f.set(tileProducts, i32.add(f.get(tileProducts), i32.const(columns * 4)))
          })
        )

        const filter = f.get(f.let(i32.mul(f.get(panel), i32.const(columns))))
        const many = f.get(f.let(least(i32.const(blockPositions), i32.sub(extents.out[1], right))))
        const lines = f.get(f.let(least(i32.const(blockLines), i32.sub(extents.out[0], top))))
        f.range(0, lines, 1, (line) => {
          const outLine = i32.add(top, f.get(line))
          const lineSums = f.let(i32.add(f.get(outputs), i32.mul(f.get(line), i32.const(parts.outputLine))))
          const pointers = views.map((view, index) => {
            const along = (axis: number, by: I32): I32 => i32.mul(by, emission.dim(byteStride(view, axis)))
            return f.let(
              [
                along(0, batch),
                along(2, filter),
                ...(lineAxis === undefined ? [] : [along(lineAxis, outLine)]),
                along(positionAxis, right)
              ].reduce((sum, one) => i32.add(sum, one), parameter(2 + index))
            )
          })
          const finish = (width: number): void =>
            emitEpilogue(f, emission, epilogue, {
              sums: lineSums,
              rowBytes: columns * 4,
              rows: many,
              columns: width,
              columnTerms: undefined,
              rowSums: undefined,
              rowFactor: 0,
              views: pointers,
              rowSteps: views.map((view) => byteStride(view, positionAxis)),
              columnSteps: views.map((view) => byteStride(view, 2)),
              rowAxis: positionAxis,
              columnAxis: 2,
              index: (axis) => {
                if (axis === 0) return batch
                if (axis === 2) return filter
                if (axis === positionAxis) return right
                return axis === lineAxis ? outLine : i32.const(0)
              }
            })
          const tail = filters % columns
          if (tail === 0) finish(columns)
          else if (filters < columns) finish(tail)
          else
            f.if(
              i32.eq(f.get(panel), i32.const(panelCount(plan) - 1)),
              () => finish(tail),
              () => finish(columns)
            )
        })
      })
    })
  })
}

/** `4x4`, `1x2`: outputs of a tile. */
const nameOf = (forms: WinogradPlan["forms"]): string => `${forms[0].outputs}x${forms[1].outputs}`
/** What weights were transformed by. */
const transformOf = (forms: WinogradPlan["forms"]): string =>
  forms.map(({ outputs, step, taps }) => `${outputs}.${taps}/${step / outputs}`).join(" ")

/** Whether every number stays where it must. */
const isExact = (region: Convolution, forms: WinogradPlan["forms"], channels: number): boolean => {
  const [a, b] = [rangeOf(region.input.dtype), rangeOf(region.weight.dtype)]
  if (a === undefined || b === undefined) return false
  const farthest = ([least_, greatest_]: readonly [number, number], zero: number): number =>
    Math.max(Math.abs(least_ - zero), Math.abs(greatest_ - zero))
  const x = farthest(region.ranges?.a ?? a, region.zero.a)
  const y = farthest(region.ranges?.b ?? b, region.zero.b)
  const [lines, positions] = forms
  const terms = lines.taps * positions.taps * channels
  return (
    x * Forms.gain(lines.input) * Forms.gain(positions.input) <= 32767 &&
    y * Forms.gain(lines.weights) * Forms.gain(positions.weights) <= 32767 &&
    terms * x * y * 2 ** Forms.removal(lines.factor * positions.factor).shift < 2 ** 31
  )
}

/** Kernels of a supported integer convolution (see `IntegerConvolution`); none where minimal filtering is not for it. */
export const candidates = (region: Convolution, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  const [, filters, channels, ...kernel] = region.weight.shape
  const isOne = (value: number): boolean => value === 1
  if (region.groups !== 1 || kernel.length < 1 || kernel.length > 2) return []
  if (!region.dilations.every(isOne)) return []
  if (typeof filters !== "number" || typeof channels !== "number" || channels < 4) return []
  const [taps, strides] = [two(kernel, 1), two(region.strides, 1)]
  const formsOf = (axis: 0 | 1): ReadonlyArray<IntegerWinogradForm> => {
    const [extent, stride] = [taps[axis], strides[axis]]
    if (typeof extent !== "number") return []
    if (extent === 1) return stride === 1 ? [Forms.one] : []
    return Forms.formsFor(extent, stride)
  }
  const [outLines, outPositions] = two(region.out, 1)
  const [lines, positions] = [expected(outLines, typical), expected(outPositions, typical)]
  const batch = expected(region.batch, typical)
  const pairs = formsOf(0).flatMap((a) => formsOf(1).map((b) => [a, b] as const))
  return pairs
    .filter(([a, b]) => a.outputs * b.outputs > 1 && (a === Forms.one || b === Forms.one || a.outputs === b.outputs))
    .filter((forms) => isExact(region, forms, channels))
    .map((forms): Kernel => {
      const [high, wide] = [Math.ceil(lines / forms[0].outputs), Math.ceil(positions / forms[1].outputs)]
      const columns =
        filters % 16 === 0 ? (features.wide ? 16 : 8) : Math.min(features.wide ? 16 : 12, Math.ceil(filters / 4) * 4)
      const rows = columns <= 8 ? 5 : columns <= 12 ? 3 : features.wide ? 5 : 2
      // As many tiles as stay near with all their points, so that weights are read seldom.
      const points = Forms.pointsOf(forms[0]) * Forms.pointsOf(forms[1])
      const near = Math.max(4, Math.min(64, Math.floor((512 * 1024) / (points * channels * 2))))
      const across = Math.min(wide, near)
      const down = Math.max(1, Math.min(high, Math.floor(near / across)))
      const plan: WinogradPlan = { region, forms, channels, filters, down, across, rows, columns }
      const tiles = Math.ceil(high / down) * down * Math.ceil(wide / across) * across * batch
      const filled = Math.ceil(filters / columns) * columns
      const work = (tiles * points * channels * filled) / (features.wide ? 95 : 48)
      const transforms =
        ((tiles * paddedChannels(plan)) / lanes) * points * 0.55 + ((tiles * filters) / 4) * points * 0.5
      return {
        name: `integer-winograd-${nameOf(forms)}`,
        config: { down, across, rows, columns },
        cost: 100 + work + transforms + batch * lines * positions * filters * epilogueCost(region.epilogue),
        packed: [packedOf(plan)],
        scratch: partsOf(plan).total,
        units: Dim.product([
          region.batch,
          Dim.ceilDiv(outLines, down * forms[0].outputs),
          Dim.ceilDiv(outPositions, across * forms[1].outputs)
        ]),
        emit: (emission, name) => emit(emission, name, plan)
      }
    })
}
