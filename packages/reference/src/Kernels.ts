/**
 * Kernels: one for each primitive op, in one list. A composite has none: it runs as its expansion.
 */
import type { Entry } from "./Kernel.ts"
import * as Binary from "./kernels/Binary.ts"
import * as Control from "./kernels/Control.ts"
import * as Convolution from "./kernels/Convolution.ts"
import * as MatrixProduct from "./kernels/MatrixProduct.ts"
import * as Movement from "./kernels/Movement.ts"
import * as Pool from "./kernels/Pool.ts"
import * as Quantize from "./kernels/Quantize.ts"
import * as Random from "./kernels/Random.ts"
import * as Recurrent from "./kernels/Recurrent.ts"
import * as Reduce from "./kernels/Reduce.ts"
import * as Region from "./kernels/Region.ts"
import * as Resample from "./kernels/Resample.ts"
import * as Scatter from "./kernels/Scatter.ts"
import * as Shape from "./kernels/Shape.ts"
import * as Sort from "./kernels/Sort.ts"
import * as Unary from "./kernels/Unary.ts"

export const all: ReadonlyArray<Entry> = [
  ...Unary.all,
  ...Binary.all,
  ...Reduce.all,
  ...MatrixProduct.all,
  ...Convolution.all,
  ...Pool.all,
  ...Movement.all,
  ...Scatter.all,
  ...Shape.all,
  ...Sort.all,
  ...Control.all,
  ...Recurrent.all,
  ...Random.all,
  ...Quantize.all,
  ...Resample.all,
  ...Region.all
]
