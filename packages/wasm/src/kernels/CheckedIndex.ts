/**
 * CheckedIndex: an index that comes from data, as a position: a negative one counts from the end, and one outside of what is
 * indexed stops the code (a trap, which the session reports as a typed error), as the oracle refuses it. Nothing is read or
 * written there, and nothing is guessed.
 */
import type { DType } from "@anneal/ir/DType"
import type * as Dim from "@anneal/ir/Dim"
import type { Expr, I32 } from "../Instruction.ts"
import { i32, i64, select } from "../Instruction.ts"
import * as Lanes from "../Lanes.ts"
import type { Writer } from "../Writer.ts"

/** An index of the dtype (any integer, as `Lanes` loads it) within [0, extent). The result is kept: reading it twice is free. */
export const checkedIndex = (w: Writer, index: Expr, dtype: DType, extent: Dim.Dim): I32 => {
  const size = typeof extent === "number" ? i32.const(extent) : w.emission.hoisted(w.f, extent)
  if (Lanes.kindOf(dtype) === "i64") {
    const wide = i64.extend_i32_s(size)
    const raw = w.keep({ type: "i64", code: index.code } as const)
    const counted = w.keep(select(i64.lt_s(raw, i64.const(0n)), i64.add(raw, wide), raw))
    w.f.if(i64.ge_u(counted, wide), () => w.f.unreachable())
    return i32.wrap_i64(counted)
  }
  const raw = w.keep({ type: "i32", code: index.code } as const)
  const counted = w.keep(select(i32.lt_s(raw, i32.const(0)), i32.add(raw, size), raw))
  w.f.if(i32.ge_u(counted, size), () => w.f.unreachable())
  return counted
}
