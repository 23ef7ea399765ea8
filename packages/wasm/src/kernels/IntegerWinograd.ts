/**
 * IntegerWinograd: 3 × 3 convolutions of 8-bit integers by minimal filtering, exact in i32: 4 or 2.25 times fewer products
 * than by definition, of 16-bit integers (`i32x4.dot_i16x8_s`).
 *
 *   unit (a block of tiles):
 *     strip   the block's inputs, 16 bits wide, zero points taken off, padding written out
 *     inputs  of each tile transformed: [points][tiles][channels]
 *     points  a matrix product for each of 36 (16): tiles × channels × filters, by IntegerTile
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
import { expected } from "./IntegerBlocking.ts"
import { byteStride, costOf as epilogueCost, emitEpilogue, viewsOf } from "./IntegerEpilogue.ts"
import * as Panels from "./IntegerPanels.ts"
import type { PanelShape } from "./IntegerPanels.ts"
import { copyRun, gatherRun, type RowFormat } from "./IntegerRows.ts"
import { type IntegerScheme, rangeOf } from "./IntegerScheme.ts"
import { tileFunction } from "./IntegerTile.ts"
import type { IntegerWinogradForm } from "./IntegerWinogradForm.ts"
import * as Forms from "./IntegerWinogradForm.ts"

interface WinogradPlan {
  readonly region: Convolution
  readonly form: IntegerWinogradForm
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

const inputsOf = ({ outputs }: IntegerWinogradForm): number => outputs + 2
const pointsOf = (form: IntegerWinogradForm): number => inputsOf(form) ** 2
const paddedChannels = ({ channels }: WinogradPlan): number => Math.ceil(channels / lanes) * lanes

const panelShape = ({ channels, columns, filters, form }: WinogradPlan): PanelShape => ({
  outer: pointsOf(form),
  n: filters,
  k: channels,
  columns,
  scheme
})

const packedOf = (plan: WinogradPlan): Packed => {
  const { channels, filters, form, region } = plan
  const shape = panelShape(plan)
  return {
    read: 1,
    layout: `integer-winograd-${form.outputs} ${Panels.layoutOf(shape)} taken=${region.zero.b}`,
    bytes: Panels.bytesOf(shape),
    pack: (elements) => {
      const steps = Tensor.strides(elements.shape)
      const [filterStep = 0, channelStep = 0, lineStep = 0, tapStep = 0] = steps.slice(1)
      const points = pointsOf(form)
      const data = new Int16Array(points * filters * channels)
      for (let filter = 0; filter < filters; filter++)
        for (let channel = 0; channel < channels; channel++)
          for (const [i, down] of form.weights.entries())
            for (const [j, across] of form.weights.entries()) {
              let sum = 0
              for (const [line, a] of down.entries())
                for (const [tap, b] of across.entries()) {
                  const place = filter * filterStep + channel * channelStep + line * lineStep + tap * tapStep
                  sum += a * b * (Number(elements.data[place] ?? 0) - region.zero.b)
                }
              data[((i * inputsOf(form) + j) * filters + filter) * channels + channel] = sum
            }
      const transformed = Tensor.make("i16", [points, filters, channels], data)
      return Panels.pack(
        shape,
        transformed,
        (point, filter, channel) => (point * filters + filter) * channels + channel
      )
    }
  }
}

/** Bytes of scratch memory, one part after another. */
const partsOf = (plan: WinogradPlan) => {
  const { across, columns, down, form } = plan
  const channels = paddedChannels(plan)
  const line = (across * form.outputs + 2) * channels * 2
  const strip = (down * form.outputs + 2) * line
  const tiles = down * across
  const point = tiles * channels * 2
  const inputs = pointsOf(form) * point
  const panelPoint = tiles * columns * 4
  const products = pointsOf(form) * panelPoint
  const outputLine = across * form.outputs * columns * 4
  const outputs = down * form.outputs * outputLine
  return {
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
  const { across, channels, columns, down, filters, form, region, rows } = plan
  const { epilogue, input } = region
  const [outLines, outPositions] = [region.out[0] ?? 1, region.out[1] ?? 1]
  const views = viewsOf(epilogue)
  const count = 2 + views.length + 1 + 3
  const parts = partsOf(plan)
  const shape = panelShape(plan)
  const padded = paddedChannels(plan)
  const side = inputsOf(form)
  const tiles = down * across
  const sizes = { rowBytes: padded * 2, steps: Panels.stepsOf(shape) }
  const tileOf = (tileRows: number): Func => {
    const text = `integer-tile ${tileRows}x${columns} widened ${sizes.rowBytes} ${sizes.steps}`
    return emission.shared(text, () =>
      tileFunction(emission.module, text, { rows: tileRows, columns, arithmetic: scheme.arithmetic, unroll: 4 }, sizes)
    )
  }
  const [whole, rest] = [tiles >= rows ? tileOf(rows) : undefined, tiles % rows > 0 ? tileOf(tiles % rows) : undefined]
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
    const blockLines = down * form.outputs
    const blockPositions = across * form.outputs
    const extents = {
      out: [hoisted(outLines), hoisted(outPositions)] as const,
      in: [hoisted(input.shape[3] ?? 1), hoisted(input.shape[4] ?? 1)] as const,
      pad: [hoisted(region.padsBegin[0] ?? 0), hoisted(region.padsBegin[1] ?? 0)] as const,
      steps: [hoisted(byteStride(input, 3)), hoisted(byteStride(input, 4))] as const,
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
      const firstLine = f.get(f.let(i32.sub(top, extents.pad[0])))
      const firstPosition = f.get(f.let(i32.sub(right, extents.pad[1])))
      const begin = f.get(f.let(greatest(i32.const(0), i32.sub(i32.const(0), firstPosition))))
      const end = f.get(f.let(least(i32.const(blockPositions + 2), i32.sub(extents.in[1], firstPosition))))
      f.range(0, blockLines + 2, 1, (line) => {
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
                  i32.mul(f.get(y), i32.const(form.outputs * parts.line)),
                  i32.mul(f.get(x), i32.const(form.outputs * padded * 2))
                )
              )
            )
          )
          f.range(0, padded * 2, lanes * 2, (channel) => {
            const from = f.get(f.let(i32.add(tileAt, f.get(channel))))
            const to = f.get(f.let(i32.add(f.get(target), f.get(channel))))
            const byColumn = Array.from({ length: side }, (_, column) =>
              form
                .input(
                  w,
                  Array.from({ length: side }, (__, line) => v128.load(from, line * parts.line + column * padded * 2))
                )
                .map((value) => w.keep(value))
            )
            for (let i = 0; i < side; i++)
              form
                .input(
                  w,
                  byColumn.map((column) => column[i] ?? w.splatI32(0))
                )
                .forEach((value, j) => f.do(v128.store(to, value, (i * side + j) * parts.point)))
          })
          f.set(target, i32.add(f.get(target), i32.const(padded * 2)))
        })
      )

      // A panel of filters after another: products, then outputs.
      const onePanel = Panels.panelBytes(shape)
      f.range(0, Panels.panelsOf(shape), 1, (panel) => {
        const weights = f.let(i32.add(parameter(2 + views.length), i32.mul(f.get(panel), i32.const(onePanel))))
        const source = f.let(f.get(inputs))
        const sums = f.let(f.get(products))
        f.range(0, pointsOf(form), 1, () => {
          const [row, tile] = [f.let(f.get(source)), f.let(f.get(sums))]
          const run = (func: Func, taken: number): void => {
            f.run(func, [f.get(row), f.get(weights), f.get(tile)])
            f.set(row, i32.add(f.get(row), i32.const(taken * sizes.rowBytes)))
            f.set(tile, i32.add(f.get(tile), i32.const(taken * columns * 4)))
          }
          if (whole !== undefined) f.range(0, Math.floor(tiles / rows), 1, () => run(whole, rows))
          if (rest !== undefined) run(rest, tiles % rows)
          f.set(weights, i32.add(f.get(weights), i32.const(Panels.panelsOf(shape) * onePanel)))
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
                    i32.mul(f.get(y), i32.const(form.outputs * parts.outputLine)),
                    i32.mul(f.get(x), i32.const(form.outputs * columns * 4))
                  )
                )
              )
            )
            f.range(0, columns * 4, 16, (column) => {
              const from = f.get(f.let(i32.add(f.get(tileProducts), f.get(column))))
              const at = f.get(f.let(i32.add(to, f.get(column))))
              const byColumn = Array.from({ length: side }, (_, j) =>
                form
                  .output(
                    w,
                    Array.from({ length: side }, (__, i) => v128.load(from, (i * side + j) * parts.panelPoint))
                  )
                  .map((value) => w.keep(value))
              )
              for (let i = 0; i < form.outputs; i++)
                form
                  .output(
                    w,
                    byColumn.map((lines) => lines[i] ?? w.splatI32(0))
                  )
                  .forEach((value, j) => {
                    const odd = form.inverse === 1 ? value : i32x4.mul(value, w.splatI32(form.inverse))
                    f.do(
                      v128.store(at, i32x4.shr_s(odd, i32.const(form.shift)), i * parts.outputLine + j * columns * 4)
                    )
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
              [along(0, batch), along(2, filter), along(3, outLine), along(4, right)].reduce(
                (sum, one) => i32.add(sum, one),
                parameter(2 + index)
              )
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
              rowSteps: views.map((view) => byteStride(view, 4)),
              columnSteps: views.map((view) => byteStride(view, 2)),
              rowAxis: 4,
              columnAxis: 2,
              index: (axis) =>
                axis === 0 ? batch : axis === 2 ? filter : axis === 3 ? outLine : axis === 4 ? right : i32.const(0)
            })
          const tail = filters % columns
          if (tail === 0) finish(columns)
          else if (filters < columns) finish(tail)
          else
            f.if(
              i32.eq(f.get(panel), i32.const(Panels.panelsOf(shape) - 1)),
              () => finish(tail),
              () => finish(columns)
            )
        })
      })
    })
  })
}

/** Whether every number stays where it must. */
const isExact = (region: Convolution, form: IntegerWinogradForm, channels: number): boolean => {
  const [a, b] = [rangeOf(region.input.dtype), rangeOf(region.weight.dtype)]
  if (a === undefined || b === undefined) return false
  const farthest = ([least_, greatest_]: readonly [number, number], zero: number): number =>
    Math.max(Math.abs(least_ - zero), Math.abs(greatest_ - zero))
  const x = farthest(region.ranges?.a ?? a, region.zero.a)
  const y = farthest(region.ranges?.b ?? b, region.zero.b)
  return (
    x * form.inputGain ** 2 <= 32767 &&
    y * form.weightGain ** 2 <= 32767 &&
    9 * channels * x * y * 2 ** form.shift < 2 ** 31
  )
}

/** Kernels of a supported integer convolution (see `IntegerConvolution`); none where minimal filtering is not for it. */
export const candidates = (region: Convolution, typical: TypicalSizes, features: Features): ReadonlyArray<Kernel> => {
  const [, filters, channels, ...kernel] = region.weight.shape
  const ones = (values: ReadonlyArray<number>): boolean => values.every((value) => value === 1)
  if (region.groups !== 1 || kernel.length !== 2 || kernel.some((extent) => extent !== 3)) return []
  if (!ones(region.strides) || !ones(region.dilations)) return []
  if (typeof filters !== "number" || typeof channels !== "number" || channels < 4) return []
  const [lines, positions] = [expected(region.out[0] ?? 1, typical), expected(region.out[1] ?? 1, typical)]
  const batch = expected(region.batch, typical)
  return [Forms.four, Forms.two]
    .filter((form) => isExact(region, form, channels))
    .map((form): Kernel => {
      const [high, wide] = [Math.ceil(lines / form.outputs), Math.ceil(positions / form.outputs)]
      const across = Math.min(wide, 16)
      const columns =
        filters % 16 === 0 ? (features.wide ? 16 : 8) : Math.min(features.wide ? 16 : 12, Math.ceil(filters / 4) * 4)
      const rows = columns <= 8 ? 5 : columns <= 12 ? 3 : features.wide ? 5 : 2
      const down = Math.max(1, Math.min(high, Math.floor(32 / across)))
      const plan: WinogradPlan = { region, form, channels, filters, down, across, rows, columns }
      const tiles = Math.ceil(high / down) * down * Math.ceil(wide / across) * across * batch
      const work =
        (tiles * pointsOf(form) * channels * Math.ceil(filters / columns) * columns) / (features.wide ? 95 : 48)
      const vectors = (tiles * paddedChannels(plan)) / lanes
      const transforms = vectors * inputsOf(form) ** 2 * 2.2 + ((tiles * filters) / 4) * inputsOf(form) ** 2 * 2.4
      return {
        name: `integer-winograd-${form.outputs}`,
        config: { down, across, rows, columns },
        cost: 100 + work + transforms + batch * lines * positions * filters * epilogueCost(region.epilogue),
        packed: [packedOf(plan)],
        scratch: partsOf(plan).total,
        units: Dim.product([
          region.batch,
          Dim.ceilDiv(region.out[0] ?? 1, down * form.outputs),
          Dim.ceilDiv(region.out[1] ?? 1, across * form.outputs)
        ]),
        emit: (emission, name) => emit(emission, name, plan)
      }
    })
}
