/**
 * WholeResize: nearest, linear and cubic interpolation, over any axes at once. What an axis contributes to a row (positions and
 * weights) is computed once a row; along the innermost axis, where that is resized, once a call, into a table.
 *
 * Coordinates are ONNX Resize's, computed in float64 as on the oracle; the weighted sum is in f32.
 */
import type { DType } from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Whole } from "@anneal/lower/Region"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"
import type { View } from "@anneal/lower/View"
import type { Expr, F64, I32 } from "../Instruction.ts"
import { f32, f64, i32, select } from "../Instruction.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import { Writer } from "../Writer.ts"
import * as LoopAxes from "./LoopAxes.ts"
import * as LoopNest from "./LoopNest.ts"
import { bytesOf, plus, type Pointer, sizeCode, sizeHere, times } from "./LoopPoint.ts"
import * as LoopRow from "./LoopRow.ts"

type Attributes = Parameters<typeof coordinate>[1]

/** Where a result's coordinate lies in the operand. */
const coordinate = (
  w: Writer,
  attributes: {
    readonly scale: number | undefined
    readonly coordinates: string
    readonly input: Dim.Dim
    readonly output: Dim.Dim
  },
  index: I32
): F64 => {
  const { coordinates, scale: given } = attributes
  const c = f64.const
  const real = (dim: Dim.Dim): F64 =>
    typeof dim === "number" ? c(dim) : w.f.constant(f64.convert_i32_s(w.emission.dim(dim)))
  const [input, output] = [real(attributes.input), real(attributes.output)]
  const scale = given === undefined ? f64.div(output, input) : c(given)
  // ONNX computes with the extent before it was rounded down.
  const width = given === undefined ? output : f64.mul(c(given), input)
  const x = f64.convert_i32_s(index)
  const half = f64.sub(f64.div(f64.add(x, c(0.5)), scale), c(0.5))
  switch (coordinates) {
    case "halfPixelSymmetric":
      return f64.add(f64.mul(f64.div(input, c(2)), f64.sub(c(1), f64.div(output, width))), half)
    case "pytorchHalfPixel":
      return select(f64.eq(width, c(1)), c(-0.5), half)
    case "alignCorners": {
      const spread = f64.div(f64.mul(x, f64.sub(input, c(1))), f64.sub(width, c(1)))
      return select(f64.eq(width, c(1)), c(0), spread)
    }
    case "asymmetric":
      return f64.div(x, scale)
    default:
      return half
  }
}

/** Elements that a result is made of along one axis, with their weights. */
interface Tap {
  readonly position: I32
  readonly weight: F64
}

interface Resized {
  readonly mode: "nearest" | "linear" | "cubic"
  readonly nearest: "roundPreferFloor" | "roundPreferCeil" | "floor" | "ceil"
  readonly cubicCoefficient: number
  readonly attributes: Attributes
}

const widthOf = ({ mode }: Resized): number => (mode === "nearest" ? 1 : mode === "linear" ? 2 : 4)

const tapsAt = (w: Writer, axis: Resized, index: I32): ReadonlyArray<Tap> => {
  const c = f64.const
  const x = w.keep(coordinate(w, axis.attributes, index))
  const low = w.keep(f64.floor(x))
  const last = i32.sub(sizeCode(sizeHere(w, axis.attributes.input)), i32.const(1))
  const inside = (position: F64): I32 => {
    const at = w.keep(i32.trunc_sat_f64_s(position))
    const limited = w.keep(select(i32.lt_s(at, last), at, last))
    return w.keep(select(i32.gt_s(limited, i32.const(0)), limited, i32.const(0)))
  }
  if (axis.mode === "nearest") {
    const rest = f64.sub(x, low)
    const next = f64.add(low, c(1))
    const position: { readonly [R in Resized["nearest"]]: F64 } = {
      floor: low,
      ceil: f64.ceil(x),
      roundPreferFloor: select(f64.le(rest, c(0.5)), low, next),
      roundPreferCeil: select(f64.lt(rest, c(0.5)), low, next)
    }
    return [{ position: inside(position[axis.nearest]), weight: c(1) }]
  }
  const first = axis.mode === "linear" ? 0 : -1
  return Array.from({ length: widthOf(axis) }, (_, k) => {
    const position = w.keep(f64.add(low, c(first + k)))
    const distance = w.keep(f64.abs(f64.sub(position, x)))
    const linear = f64.max(c(0), f64.sub(c(1), distance))
    const weight = axis.mode === "linear" ? linear : cubic(distance, axis.cubicCoefficient)
    return { position: inside(position), weight: w.keep(weight) }
  })
}

/** Keys' cubic kernel. R. Keys 1981. */
const cubic = (x: F64, a: number): F64 => {
  const c = f64.const
  const horner = (...coefficients: ReadonlyArray<number>): F64 =>
    coefficients.slice(1).reduce<F64>((total, one) => f64.add(f64.mul(total, x), c(one)), c(coefficients[0] ?? 0))
  const near = horner(a + 2, -(a + 3), 0, 1)
  const far = horner(a, -5 * a, 8 * a, -4 * a)
  return select(f64.le(x, c(1)), near, select(f64.lt(x, c(2)), far, c(0)))
}

export const kernel = ({ node, operands, results }: Whole, typical: TypicalSizes): Kernel | undefined => {
  if (!Graphs.isOp(node, Ops.resize)) return undefined
  const { antialias, coordinates, cubicCoefficient, excludeOutside, mode, nearest, scales } = node.attributes
  const [x] = operands
  const [y] = results
  if (x === null || x === undefined || y === null || y === undefined) return undefined
  if (antialias || excludeOutside || coordinates === "cropAndResize") return undefined
  if (mode !== "nearest" && x.dtype !== "f32") return undefined
  const resized = new Map<number, Resized>()
  x.shape.forEach((input, axis) => {
    const output = y.shape[axis] ?? input
    if (Dim.equal(input, output) === true && (scales[axis] ?? 1) === 1) return
    resized.set(axis, {
      mode,
      nearest,
      cubicCoefficient,
      attributes: { scale: scales[axis], coordinates, input, output }
    })
  })
  // Along resized axes the operand's address is computed, not stepped.
  const fixed: View = { ...x, strides: x.strides.map((stride, axis) => (resized.has(axis) ? 0 : stride)) }
  const ordered = LoopAxes.ordered(LoopAxes.ofViews(y.shape, [fixed, y]), [1], typical)
  const axes = LoopAxes.collapse(ordered, new Set(resized.keys()))
  const nest = LoopNest.make(axes, typical)
  const inner = nest.inner.source === undefined ? undefined : resized.get(nest.inner.source)
  const taps = [...resized.values()].reduce((total, axis) => total * widthOf(axis), 1)
  const size = (dim: Dim.Dim): number => Dim.evaluate(dim, typical) ?? 1
  const length = nest.inner.extent
  return {
    name: "resize",
    config: {},
    cost: size(Dim.product(y.shape)) * taps * (inner === undefined ? 0.2 : 3) + 200,
    packed: [],
    // A position and a weight for each tap of each element along the innermost axis.
    scratch: inner === undefined ? 0 : Dim.mul(length, 8 * widthOf(inner)),
    units: nest.units,
    emit: (emission, name) =>
      emission.module.func(name, ["i32", "i32", "i32", "i32", "i32"], [], (f) => {
        const w = new Writer(f, emission)
        const parameter = (position: number): I32 => f.get({ type: "i32", index: position })
        const [from, to, scratch] = [parameter(0), parameter(1), parameter(2)]
        const column = (k: number): I32 => plus(scratch, times(sizeHere(w, length), 4 * k))
        const columns = inner === undefined ? 0 : widthOf(inner)
        // A call for no units leaves the tables alone.
        if (inner !== undefined)
          f.range(
            0,
            select(i32.lt_s(parameter(3), parameter(4)), sizeCode(sizeHere(w, length)), i32.const(0)),
            1,
            (i) => {
              const at = w.keep(i32.shl(f.get(i), i32.const(2)))
              tapsAt(w, inner, f.get(i)).forEach(({ position, weight }, k) => {
                f.do(i32.store(plus(column(k), at), position))
                f.do(f32.store(plus(column(columns + k), at), f32.demote_f64(weight)))
              })
            }
          )
        const bytes = bytesOf(x.dtype)
        LoopNest.write(w, nest, [from, to], [bytes, bytes], parameter(3), parameter(4), (row) => {
          // The corners of all outer axes: where the row reads, and the product of the weights.
          let corners: ReadonlyArray<{ readonly address: I32; readonly weight: F64 | undefined }> = [
            { address: row.addresses[0] ?? from, weight: undefined }
          ]
          for (const [axis, one] of resized) {
            if (axis === nest.inner.source) continue
            const found = tapsAt(w, one, row.index(axis) ?? i32.const(0))
            const step = sizeHere(w, Dim.mul(x.strides[axis] ?? 0, bytes))
            corners = corners.flatMap(({ address, weight }) =>
              found.map((tap) => ({
                address: w.keep(plus(address, times(tap.position, step))),
                weight: weight === undefined ? tap.weight : w.keep(f64.mul(weight, tap.weight))
              }))
            )
          }
          const weights = corners.map(({ weight }) =>
            weight === undefined ? undefined : w.keep(f32.demote_f64(weight))
          )
          const pointer = (dtype: DType, address: I32, stride: Pointer["stride"]): Pointer => ({
            dtype,
            address,
            stride
          })
          const stepped = sizeHere(w, nest.inner.strides[0] ?? 0)
          const advance = times(row.from, 4)
          const tables = Array.from({ length: 2 * columns }, (_, k) =>
            pointer(k < columns ? "i32" : "f32", w.keep(plus(column(k), advance)), 1)
          )
          const alongInner = nest.inner.source ?? 0
          const terms = corners.flatMap((_, corner): ReadonlyArray<Scalar> => {
            const scaled = (value: Scalar): Scalar =>
              weights[corner] === undefined || mode === "nearest"
                ? value
                : Scalars.binary("mul", value, Scalars.previous(`weight ${corner}`, "f32"))
            if (inner === undefined) return [scaled(Scalars.load(corner, x.dtype))]
            return Array.from({ length: columns }, (_column, k) => {
              const value: Scalar = {
                kind: "load",
                dtype: x.dtype,
                operand: corner,
                indirect: [
                  {
                    index: Scalars.load(corners.length + k, "i32"),
                    extent: x.shape[alongInner] ?? 1,
                    stride: x.strides[alongInner] ?? 0
                  }
                ]
              }
              if (mode === "nearest") return value
              return scaled(Scalars.binary("mul", value, Scalars.load(corners.length + columns + k, "f32")))
            })
          })
          const [first, ...others] = terms
          if (first === undefined) return
          const prepared = LoopRow.prepare({
            w,
            operands: [...corners.map(({ address }) => pointer(x.dtype, address, stepped)), ...tables],
            values: [others.reduce((total, term) => Scalars.binary("add", total, term), first)],
            from: row.from,
            along: nest.inner.source,
            index: row.index,
            previous: (weightName): Expr => weights[Number(weightName.slice("weight ".length))] ?? f32.const(1)
          })
          const target = pointer(y.dtype, row.addresses[1] ?? to, sizeHere(w, nest.inner.strides[1] ?? 0))
          LoopRow.store(prepared, [target], row.count, 1)
        })
      })
  }
}
