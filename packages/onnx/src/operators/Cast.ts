// Cast, CastLike and BitCast: to another element type.
import type { DType } from "@anneal/ir/DType"
import * as Ops from "@anneal/ir/Ops"
import * as Content from "../Content.ts"
import * as ElementType from "../ElementType.ts"
import type { Context, Operator, Result } from "../Operator.ts"

const target = (c: Context): DType => {
  const code = c.attribute.int("to")
  return (
    ElementType.fromCode(code) ?? c.unsupported(`a cast to ${ElementType.nameOf(code)}`, "The IR has no such type.")
  )
}

const convert = (c: Context, to: DType): Result => {
  const operand = c.operand(0)
  if (operand.type.dtype === to) return operand
  const known = operand.content === undefined ? undefined : Content.cast(operand.content, to)
  if (known !== undefined) return c.known(known)
  return c.e.b.one(Ops.cast, [operand.value()], { to, saturate: c.attribute.flag("saturate", true) })
}

export const cast: Operator = { name: "Cast", since: [6, 19], translate: (c) => convert(c, target(c)) }

export const castLike: Operator = {
  name: "CastLike",
  since: [15, 19],
  translate: (c) => convert(c, c.type(1).dtype)
}

export const bitCast: Operator = {
  name: "BitCast",
  since: [26],
  translate: (c) => c.e.b.one(Ops.bitcast, [c.input(0)], { to: target(c) })
}
