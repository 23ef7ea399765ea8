// What a build needs is in its type, and is what its options ask for. Checked by the compiler.
import { Build } from "anneal"
import { Calibrator } from "@anneal/pipeline/Calibrator"
import { Evaluator } from "@anneal/pipeline/Evaluator"
import { Oracle } from "@anneal/pipeline/Oracle"
import { Samples } from "@anneal/pipeline/Samples"
import { Target } from "@anneal/pipeline/Target"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"

type Needs<R> = Effect.Effect<Build.Built, unknown, FileSystem.FileSystem | Oracle | Target | R>
const files = { model: "net.onnx", output: "net.engine" }

describe("the type of a build", () => {
  it("asks for samples and an evaluator only where the options do", () => {
    const float: Needs<never> = Build.build(files)
    const half: Needs<never> = Build.build({ ...files, precision: "f16" })
    const int8: Needs<Samples | Calibrator> = Build.build({ ...files, precision: "int8" })
    // @ts-expect-error  INT8 without samples to calibrate on
    const blind: Needs<never> = Build.build({ ...files, precision: "int8" })
    const within: Needs<Samples | Calibrator | Evaluator> = Build.build({ ...files, precision: "int8", maxDrop: 0.01 })
    // @ts-expect-error  a budget without anything to measure it on
    const unmeasured: Needs<Samples | Calibrator> = Build.build({ ...files, precision: "int8", maxDrop: 0.01 })
    for (const one of [float, half, int8, blind, within, unmeasured]) assert.isTrue(Effect.isEffect(one))
  })
})
