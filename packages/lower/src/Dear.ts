/** Dear: whether an expression costs more to compute again than to keep in memory. */
import type { Node } from "@anneal/ir/Graph"
import type { Scalar } from "./Scalar.ts"
import * as Scalars from "./Scalar.ts"
import type { Unary } from "./ScalarOp.ts"
import type { Scope } from "./Scope.ts"

const cheap: ReadonlySet<Unary> = new Set([
  "neg",
  "abs",
  "sign",
  "ceil",
  "floor",
  "round",
  "isNaN",
  "isInf",
  "not",
  "bitwiseNot",
  "bitcast"
])

export const isDearScalar = (scalar: Scalar): boolean =>
  Scalars.parts([scalar]).some(
    (part) =>
      (part.kind === "unary" && !cheap.has(part.op)) ||
      (part.kind === "binary" && (part.op === "pow" || part.op === "div" || part.op === "mod")) ||
      (part.kind === "load" && part.indirect !== undefined)
  )

/** Whether what a node does to an element is dear; nodes that are no loops are. */
export const isDear = (scope: Scope, node: Node): boolean => {
  const work = scope.work.get(node)
  if (work?.kind !== "loop") return true
  const load = (id: string): Scalar => Scalars.load(0, scope.typeOf(id).dtype)
  const { recipe } = work
  return isDearScalar(
    recipe.build({
      read: (position) => load(recipe.reads[position]?.id ?? ""),
      displaced: (position, steps) => {
        const base = load(recipe.displaced[position]?.id ?? "")
        const indirect = steps.map(({ extent, index }) => ({ index, extent, stride: 1 }))
        return base.kind === "load" ? { ...base, indirect } : base
      },
      index: () => ({ kind: "index", dtype: "i64", axis: 0 })
    })
  )
}
