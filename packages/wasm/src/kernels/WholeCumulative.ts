/**
 * WholeCumulative: running sums and products along an axis. Floats run in float64, as on the oracle; integers wrap.
 */
import * as DTypes from "@anneal/ir/DType"
import type { DType } from "@anneal/ir/DType"
import * as Dim from "@anneal/ir/Dim"
import * as Graphs from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Whole } from "@anneal/lower/Region"
import { i32 } from "../Instruction.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import * as Lanes from "../Lanes.ts"
import * as SingleOps from "../SingleOps.ts"
import { plus, sizeCode, sizeHere, times } from "./LoopPoint.ts"
import * as WholeWalk from "./WholeWalk.ts"

export const kernel = ({ node, operands, results }: Whole, typical: TypicalSizes): Kernel | undefined => {
  const isSum = Graphs.isOp(node, Ops.cumulativeSum)
  if (!isSum && !Graphs.isOp(node, Ops.cumulativeProduct)) return undefined
  const [x, y] = [operands[0], results[0]]
  if (x === null || x === undefined || y === null || y === undefined) return undefined
  const { axis: given, exclusive, reverse } = node.attributes
  const axis = given < 0 ? given + x.shape.length : given
  const extent = x.shape[axis] ?? 1
  const accumulate: DType = DTypes.isFloat(x.dtype) ? "f64" : x.dtype
  const nest = WholeWalk.rowNest(x.shape, [x, y], axis, typical)
  const size = (dim: Dim.Dim): number => Dim.evaluate(dim, typical) ?? 1
  return {
    name: "running",
    config: {},
    cost: size(Dim.product(x.shape)) * 2 + 30,
    packed: [],
    scratch: 0,
    units: nest.units,
    emit: (emission, name) =>
      WholeWalk.emitRows(emission, name, [x, y], nest, (w, addresses) => {
        const { f } = w
        const count = sizeHere(w, extent)
        const last = times(i32.sub(sizeCode(count), i32.const(1)), WholeWalk.stepOf(w, x, axis))
        const lastTo = times(i32.sub(sizeCode(count), i32.const(1)), WholeWalk.stepOf(w, y, axis))
        const [from, to] = [addresses[0] ?? i32.const(0), addresses[1] ?? i32.const(0)]
        const read = f.let(reverse ? plus(from, last) : from)
        const write = f.let(reverse ? plus(to, lastTo) : to)
        const sign = reverse ? -1 : 1
        const start = DTypes.isBig(accumulate) ? (isSum ? 0n : 1n) : isSum ? 0 : 1
        const total = f.let(SingleOps.constant(accumulate, start))
        f.range(0, count, 1, () => {
          const value = SingleOps.cast(w, x.dtype, accumulate, Lanes.loadOne(w, x.dtype, f.get(read)), true)
          const next = w.keep(SingleOps.binary(w, isSum ? "add" : "mul", accumulate, f.get(total), value, undefined))
          const shown = SingleOps.cast(w, accumulate, y.dtype, exclusive ? f.get(total) : next, true)
          f.do(Lanes.storeOne(w, y.dtype, f.get(write), shown))
          f.set(total, next)
          f.set(read, plus(f.get(read), times(WholeWalk.stepOf(w, x, axis), sign)))
          f.set(write, plus(f.get(write), times(WholeWalk.stepOf(w, y, axis), sign)))
        })
      })
  }
}
