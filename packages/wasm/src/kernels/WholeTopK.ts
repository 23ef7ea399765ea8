/**
 * WholeTopK: the k greatest or least of each row and their positions, in order: a sorted list of the best so far, into which better ones
 * are inserted. For small k; NaN counts as greatest, and of equal elements the earlier comes first.
 */
import * as DTypes from "@anneal/ir/DType"
import type { DType } from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Whole } from "@anneal/lower/Region"
import type { Binary } from "@anneal/lower/ScalarOp"
import type { Expr, I32 } from "../Instruction.ts"
import { i32, i64 } from "../Instruction.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import * as Lanes from "../Lanes.ts"
import * as SingleOps from "../SingleOps.ts"
import type { Writer } from "../Writer.ts"
import { plus, sizeHere, times } from "./LoopPoint.ts"
import * as WholeWalk from "./WholeWalk.ts"

/** Beyond it, insertion takes too long: the host sorts. */
export const greatestK = 128

/** How an element is held in the list. */
const heldAs = (dtype: DType): DType => {
  const kind = Lanes.kindOf(dtype)
  if (kind === "f32") return "f32"
  return kind === "i32" || kind === "bool" ? (dtype === "u32" ? "u32" : "i32") : dtype
}

export const kernel = ({ node, operands, results }: Whole, typical: TypicalSizes): Kernel | undefined => {
  if (!Graphs.isOp(node, Ops.topK)) return undefined
  const { axis: given, k, largest } = node.attributes
  const [x] = operands
  const [values, positions] = [results[0] ?? null, results[1] ?? null]
  if (x === null || x === undefined || typeof k !== "number" || k > greatestK) return undefined
  const axis = given < 0 ? given + x.shape.length : given
  const held = heldAs(x.dtype)
  const views = [x, values, positions]
  const present = views.filter((view) => view !== null)
  const nest = WholeWalk.rowNest(
    x.shape.map((extent, other) => (other === axis ? 1 : extent)),
    present,
    axis,
    typical
  )
  const size = (dim: Dim.Dim): number => Dim.evaluate(dim, typical) ?? 1
  const rows = size(Dim.product(x.shape)) / Math.max(1, size(x.shape[axis] ?? 1))
  return {
    name: "top-k",
    config: {},
    cost: size(Dim.product(x.shape)) * 3 + rows * k * 8 + 30,
    packed: [],
    // Entries of 16 bytes: the element, and its position at 8.
    scratch: 16 * k,
    units: nest.units,
    emit: (emission, name) =>
      WholeWalk.emitRows(emission, name, views, nest, (w, addresses, list) => {
        const { f } = w
        const from = addresses[0] ?? list
        const count = f.let(i32.const(0))
        const read = f.let(from)
        f.range(0, sizeHere(w, x.shape[axis] ?? 1), 1, (i) => {
          const element = w.keep(SingleOps.cast(w, x.dtype, held, Lanes.loadOne(w, x.dtype, f.get(read)), true))
          // Entries that are not better move down by one, until the place is found.
          const at = f.let(f.get(count))
          const entry = (place: I32): I32 => i32.add(list, i32.shl(place, i32.const(4)))
          f.block((found) =>
            f.loop((again) => {
              f.brIf(found, i32.eqz(f.get(at)))
              const above = w.keep(entry(i32.sub(f.get(at), i32.const(1))))
              const other = w.keep(Lanes.loadOne(w, held, above))
              f.brIf(found, i32.eqz(isBetter(w, held, largest, element, other)))
              f.if(i32.lt_s(f.get(at), i32.const(k)), () => {
                const here = w.keep(entry(f.get(at)))
                f.do(Lanes.storeOne(w, held, here, other))
                f.do(i32.store(here, i32.load(above, 8), 8))
              })
              f.set(at, i32.sub(f.get(at), i32.const(1)))
              f.br(again)
            })
          )
          f.if(i32.lt_s(f.get(at), i32.const(k)), () => {
            const here = w.keep(entry(f.get(at)))
            f.do(Lanes.storeOne(w, held, here, element))
            f.do(i32.store(here, f.get(i), 8))
            f.set(count, i32.add(f.get(count), i32.lt_s(f.get(count), i32.const(k))))
          })
          f.set(read, plus(f.get(read), WholeWalk.stepOf(w, x, axis)))
        })
        f.range(0, k, 1, (i) => {
          const here = w.keep(i32.add(list, i32.shl(f.get(i), i32.const(4))))
          const to = (place: number, view: typeof values): I32 => {
            const address = addresses[place] ?? list
            return view === null ? address : w.keep(plus(address, times(f.get(i), WholeWalk.stepOf(w, view, axis))))
          }
          if (values !== null)
            f.do(
              Lanes.storeOne(
                w,
                values.dtype,
                to(1, values),
                SingleOps.cast(w, held, values.dtype, Lanes.loadOne(w, held, here), true)
              )
            )
          if (positions !== null)
            f.do(Lanes.storeOne(w, "i64", to(values === null ? 1 : 2, positions), i64.extend_i32_s(i32.load(here, 8))))
        })
      })
  }
}

const isBetter = (w: Writer, dtype: DType, largest: boolean, x: Expr, y: Expr): I32 => {
  const compare = (op: Binary, a: Expr, b: Expr): I32 => ({
    type: "i32",
    code: SingleOps.binary(w, op, dtype, a, b, undefined).code
  })
  const ahead = compare(largest ? "greater" : "less", x, y)
  if (!DTypes.isFloat(dtype)) return ahead
  const isNumber = (a: Expr): I32 => compare("equal", a, a)
  const [high, low] = largest ? [x, y] : [y, x]
  return i32.or(ahead, i32.and(i32.eqz(isNumber(high)), isNumber(low)))
}
