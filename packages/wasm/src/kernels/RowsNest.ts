/**
 * RowsNest: the loops over rows, around what computes one row (or some rows at once).
 */
import type { Emission } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import type { Func } from "../ModuleBuilder.ts"
import { Writer } from "../Writer.ts"
import * as LoopNest from "./LoopNest.ts"
import { bytesOf } from "./LoopPoint.ts"
import type { RowsShape } from "./RowsInner.ts"

/** The function of the kernel: addresses of operands and results, scratch, begin, end. */
export const emit = (
  { nest, region }: Pick<RowsShape, "nest" | "region">,
  emission: Emission,
  name: string,
  body: (
    w: Writer,
    addresses: ReadonlyArray<I32>,
    scratch: I32,
    index: (axis: number) => I32 | undefined,
    row: LoopNest.Row
  ) => void
): Func => {
  const { operands, results } = region
  const views = [...operands, ...results.map(({ view }) => view)]
  const params = [...views, "scratch", "begin", "end"].map(() => "i32" as const)
  return emission.module.func(name, params, [], (f) => {
    const w = new Writer(f, emission)
    const parameter = (position: number): I32 => f.get({ type: "i32", index: position })
    const [scratch, begin, end] = [views.length, views.length + 1, views.length + 2].map(parameter)
    if (scratch === undefined || begin === undefined || end === undefined) throw new Error("three parameters")
    LoopNest.write(
      w,
      nest,
      views.map((_, position) => parameter(position)),
      views.map(({ dtype }) => bytesOf(dtype)),
      begin,
      end,
      (row) => body(w, row.addresses, scratch, row.index, row)
    )
  })
}
