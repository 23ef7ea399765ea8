import * as Graphs from "@anneal/ir/Graph"
import * as Constant from "@anneal/ir/Constant"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import * as Text from "@anneal/ir/Text"
import * as IntegerRange from "@anneal/lower/IntegerRange"
import { describe, expect, it } from "vitest"

const rangeOf = (body: string): IntegerRange.Range | undefined => {
  const graph = Text.parse(
    `graph "g" {
      input "x" %x : f32[1, 1, 4, 4]
      constant %s : f32[] = 0.5
      constant %z : i8[] = -20
      constant %zu : u8[] = 3
      ${body}
      output "y" = %y\n}`,
    { ops: Ops.table() }
  )
  const index = Graphs.index(graph)
  return IntegerRange.of("y", {
    producer: (id) => index.producer(id),
    number: (id) => {
      const entry = graph.constants.get(id)
      const values = entry === undefined ? [] : [...Numbers.toNumbers(Constant.load(entry.constant))]
      return values.length === 1 ? values[0] : undefined
    }
  })
}
const type = "[1, 1, 4, 4]"
const quantize = (result: string, operands: string, dtype: string): string =>
  `%${result} : ${dtype}${type} = quantize(${operands}) {"axis":0,"block":0,"to":"${dtype}","saturate":true}`
const pool = (pads: string): string =>
  `{"kernel":[2,2],"strides":[1,1],"padsBegin":${pads},"padsEnd":[0,0],"dilations":[1,1],"ceil":false,"indexOrder":"rowMajor"}`

describe("IntegerRange", () => {
  it("is what was clamped, with 0 for NaN", () => {
    expect(rangeOf(`%r : f32${type} = relu(%x)\n${quantize("y", "%r, %s", "i8")}`)).toEqual([0, 127])
    expect(rangeOf(`%r : f32${type} = relu(%x)\n${quantize("y", "%r, %s, %z", "i8")}`)).toEqual([-20, 127])
    expect(rangeOf(`%r : f32${type} = sigmoid(%x)\n${quantize("y", "%r, %s, %zu", "u8")}`)).toEqual([0, 6])
    expect(rangeOf(`%r : f32${type} = tanh(%x)\n${quantize("y", "%r, %s", "i8")}`)).toEqual([-3, 3])
  })

  it("is not known of what has no bounds, nor of inputs", () => {
    expect(rangeOf(quantize("y", "%x, %s", "i8"))).toBeUndefined()
    expect(rangeOf(`%r : f32${type} = exp(%x)\n${quantize("y", "%r, %s", "i8")}`)).toBeUndefined()
    expect(rangeOf(`%r : f32${type} = relu(%x)\n${quantize("y", "%r, %s", "u8")}`)).toBeUndefined()
  })

  it("passes through movement, pools without padding, and concat of bounded parts", () => {
    const bounded = `%r : f32${type} = relu(%x)\n${quantize("q", "%r, %s", "i8")}`
    expect(rangeOf(`${bounded}\n%y : i8[1, 16] = reshape(%q) {"shape":[1,16]}`)).toEqual([0, 127])
    const pooled = (pads: string, size: number): string =>
      `${bounded}\n%y : i8[1, 1, ${size}, ${size}]; %i : i64[1, 1, ${size}, ${size}] = maxPool(%q) ${pool(pads)}`
    expect(rangeOf(pooled("[0,0]", 3))).toEqual([0, 127])
    expect(rangeOf(pooled("[1,1]", 4))).toBeUndefined()
    const tanh = `${bounded}\n%t : f32${type} = tanh(%x)\n${quantize("p", "%t, %s", "i8")}`
    expect(rangeOf(`${tanh}\n%y : i8[1, 2, 4, 4] = concat(%q, %p) {"axis":1}`)).toEqual([-3, 127])
    const open = `${bounded}\n${quantize("p", "%x, %s", "i8")}`
    expect(rangeOf(`${open}\n%y : i8[1, 2, 4, 4] = concat(%q, %p) {"axis":1}`)).toBeUndefined()
  })
})
