// The `OnnxError` that a call throws; a call that succeeds, or throws something else, fails the test.
import { OnnxError } from "@anneal/onnx/OnnxError"

export const failure = (run: () => unknown): OnnxError => {
  try {
    run()
  } catch (error) {
    if (error instanceof OnnxError) return error
    throw error
  }
  throw new Error("an OnnxError was expected, but the call succeeded")
}
