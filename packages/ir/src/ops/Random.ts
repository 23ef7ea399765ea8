// Seeded random tensors: the same seed gives the same numbers on every machine (Philox 4×32-10, counter = element).
import * as Schema from "effect/Schema"
import * as DTypes from "../DType.ts"
import * as Op from "../Op.ts"

const Attributes = Schema.Struct({ shape: Op.Dims, dtype: Op.DTypeSchema, seed: Schema.Int })

const random = (name: string, summary: string): Op.OpDefinition<typeof Attributes.Type> =>
  Op.define({
    name,
    summary,
    attributes: Attributes,
    operands: [],
    error: { kind: "exact" },
    infer: ({ attributes: { dtype, shape }, fail }) =>
      DTypes.isFloat(dtype) ? [{ dtype, shape }] : fail("gives float elements")
  })

export const randomUniform = random("randomUniform", "uniform in [0, 1)")
export const randomNormal = random("randomNormal", "normal, mean 0, variance 1")

export const all: ReadonlyArray<Op.OpDefinition> = [randomUniform, randomNormal]
