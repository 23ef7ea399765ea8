/**
 * LoopCopy: loops that only move bytes: copies of runs that lie one after another on both sides, and fills with one byte.
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import * as Numbers from "@anneal/ir/Numbers"
import type { Loop } from "@anneal/lower/Region"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import type { Emission } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { i32, memoryCopy, memoryFill } from "../Instruction.ts"
import type { Func } from "../ModuleBuilder.ts"
import { Writer } from "../Writer.ts"
import type { Axis } from "./LoopAxes.ts"
import * as LoopNest from "./LoopNest.ts"
import { bytesOf, sizeCode, times } from "./LoopPoint.ts"

/** Bytes below which a call of the host's copy costs more than a loop. */
const worthCalling = 256

type Move = { readonly kind: "copy" } | { readonly kind: "fill"; readonly byte: number }

const isOne = (stride: Dim.Dim | undefined): boolean => stride === 1

/** What the loop moves, when that is all it does, in runs that are long enough. */
export const moveOf = (region: Loop, nest: LoopNest.Nest, typical: ReadonlyMap<string, number>): Move | undefined => {
  const [result] = region.results
  if (result === undefined || region.results.length > 1) return undefined
  const place = region.operands.length
  if (!isOne(nest.inner.strides[place])) return undefined
  const length = (Dim.evaluate(nest.inner.extent, typical) ?? 1) * bytesOf(result.view.dtype)
  if (length < worthCalling) return undefined
  const { value } = result
  if (value.kind === "load")
    return value.operand === 0 && place === 1 && value.indirect === undefined && isOne(nest.inner.strides[0])
      ? { kind: "copy" }
      : undefined
  const byte = value.kind === "constant" ? byteOf(value) : undefined
  return byte === undefined ? undefined : { kind: "fill", byte }
}

/** The byte that all bytes of the constant are. */
const byteOf = ({ dtype, value }: Extract<Scalar, { readonly kind: "constant" }>): number | undefined => {
  const data = DTypes.isBig(dtype)
    ? BigInt64Array.of(BigInt(value))
    : Numbers.fromNumbers(dtype, [1], [Number(value)]).data
  const [first, ...others] = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  return others.every((byte) => byte === first) ? first : undefined
}

// ---- copies as copies of other elements -----------------------------------------------------------------------------

const integers = new Map<number, DType>([
  [1, "u8"],
  [2, "u16"],
  [4, "i32"],
  [8, "i64"]
])

/**
 * A copy as one of integers, as wide as its runs allow: narrow floats are not taken apart, and bytes go sixteen at a time. Anything
 * else as it is.
 *
 *   i8 [10, 64] from [10, 128]  ⇒  i64 [10, 8] from [10, 16]
 */
export const asIntegers = (
  region: Loop,
  axes: ReadonlyArray<Axis>
): { readonly region: Loop; readonly axes: ReadonlyArray<Axis> } => {
  const [source] = region.operands
  const [result] = region.results
  const isCopy =
    region.operands.length === 1 &&
    region.results.length === 1 &&
    result?.value.kind === "load" &&
    result.value.indirect === undefined
  if (!isCopy || source === undefined || result === undefined) return { region, axes }
  const bytes = bytesOf(source.dtype)
  const inner = axes.at(-1)
  const factor = inner === undefined ? 1 : (factors.find((one) => isDivisible(axes, inner, one, bytes)) ?? 1)
  const dtype = integers.get(bytes * factor)
  if (dtype === undefined) return { region, axes }
  const divided = (dim: Dim.Dim): Dim.Dim => Dim.floorDiv(dim, factor)
  return {
    region: {
      ...region,
      operands: [{ ...source, dtype }],
      results: [{ view: { ...result.view, dtype }, value: Scalars.load(0, dtype) }]
    },
    axes: axes.map((axis) =>
      axis === inner
        ? { extent: divided(axis.extent), strides: axis.strides, source: axis.source }
        : { extent: axis.extent, strides: axis.strides.map(divided), source: axis.source }
    )
  }
}

const factors = [8, 4, 2]

const isDivisible = (axes: ReadonlyArray<Axis>, inner: Axis, factor: number, bytes: number): boolean =>
  bytes * factor <= 8 &&
  inner.strides.every(isOne) &&
  axes.every((axis) =>
    (axis === inner ? [axis.extent] : axis.strides).every((dim) => typeof dim === "number" && dim % factor === 0)
  )

export const emit = (region: Loop, nest: LoopNest.Nest, move: Move, emission: Emission, name: string): Func => {
  const views = [...region.operands, ...region.results.map(({ view }) => view)]
  const params = [...views, "scratch", "begin", "end"].map(() => "i32" as const)
  return emission.module.func(name, params, [], (f) => {
    const w = new Writer(f, emission)
    const parameter = (position: number): I32 => f.get({ type: "i32", index: position })
    const bytes = views.map(({ dtype }) => bytesOf(dtype))
    LoopNest.write(
      w,
      nest,
      views.map((_, position) => parameter(position)),
      bytes,
      parameter(views.length + 1),
      parameter(views.length + 2),
      ({ addresses, count }) => {
        const length = sizeCode(times(count, bytes.at(-1) ?? 1))
        const to = addresses.at(-1) ?? i32.const(0)
        f.do(
          move.kind === "copy"
            ? memoryCopy(to, addresses[0] ?? to, length)
            : memoryFill(to, i32.const(move.byte), length)
        )
      }
    )
  })
}
