/**
 * IntegerWinogradCode: writes the code of minimal filtering in integers.
 *
 *   unit (a block of tiles):
 *     strip   the block's inputs, 16 bits wide, zero points taken off, padding written out
 *     inputs  of each tile transformed: [points][tiles][channels]
 *     points  a matrix product for each of them: tiles × channels × filters, by IntegerTile
 *     outputs transformed back, a panel of filters after another, then the epilogue
 */
import * as Dim from "@anneal/ir/Dim"
import type { Emission } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { i32, i32x4, memoryFill, select, v128 } from "../Instruction.ts"
import type { Func, Local } from "../ModuleBuilder.ts"
import { Writer } from "../Writer.ts"
import { evenly } from "./GemmProduct.ts"
import { byteStride, emitEpilogue, viewsOf } from "./IntegerEpilogue.ts"
import * as Panels from "./IntegerPanels.ts"
import { copyRun, gatherRun, type RowFormat } from "./IntegerRows.ts"
import type { TileShape } from "./IntegerTile.ts"
import { columnOfTiles } from "./IntegerTile.ts"
import * as Forms from "./IntegerWinogradForm.ts"
import type { WinogradPlan } from "./IntegerWinogradPlan.ts"
import {
  lanes,
  paddedChannels,
  panelCount,
  panelShape,
  partsOf,
  pointCount,
  scheme,
  sides,
  two
} from "./IntegerWinogradPlan.ts"

const least = (a: I32, b: I32): I32 => select(i32.lt_s(a, b), a, b)
const greatest = (a: I32, b: I32): I32 => select(i32.gt_s(a, b), a, b)

export const emit = (emission: Emission, name: string, plan: WinogradPlan): Func => {
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
              rowTerms: undefined,
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
