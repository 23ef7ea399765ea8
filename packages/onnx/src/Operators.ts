// Every ONNX operator that can be imported: the one table. To add one, write its file in operators/ (or its line in a
// family's file), add it here, and a test in test/operators/.
import type { Operator } from "./Operator.ts"
import * as Activations from "./operators/Activations.ts"
import * as Attention from "./operators/Attention.ts"
import * as Binary from "./operators/Binary.ts"
import * as Cast from "./operators/Cast.ts"
import * as Concat from "./operators/Concat.ts"
import * as Control from "./operators/Control.ts"
import * as Conv from "./operators/Conv.ts"
import * as Deformable from "./operators/Deformable.ts"
import * as Detection from "./operators/Detection.ts"
import * as Einsum from "./operators/Einsum.ts"
import * as Gather from "./operators/Gather.ts"
import * as GridSample from "./operators/GridSample.ts"
import * as LinearAttention from "./operators/LinearAttention.ts"
import * as Loss from "./operators/Loss.ts"
import * as MatMul from "./operators/MatMul.ts"
import * as Microsoft from "./operators/Microsoft.ts"
import * as MicrosoftAttention from "./operators/MicrosoftAttention.ts"
import * as MicrosoftChannelsLast from "./operators/MicrosoftChannelsLast.ts"
import * as MicrosoftQuantized from "./operators/MicrosoftQuantized.ts"
import * as MicrosoftStandard from "./operators/MicrosoftStandard.ts"
import * as Multinomial from "./operators/Multinomial.ts"
import * as Normalization from "./operators/Normalization.ts"
import * as Pool from "./operators/Pool.ts"
import * as Quantize from "./operators/Quantize.ts"
import * as Random from "./operators/Random.ts"
import * as Recurrent from "./operators/Recurrent.ts"
import * as Reduce from "./operators/Reduce.ts"
import * as Region from "./operators/Region.ts"
import * as Reshape from "./operators/Reshape.ts"
import * as Resize from "./operators/Resize.ts"
import * as Sequence from "./operators/Sequence.ts"
import * as Shape from "./operators/Shape.ts"
import * as Signal from "./operators/Signal.ts"
import * as Slice from "./operators/Slice.ts"
import * as Tabular from "./operators/Tabular.ts"
import * as Training from "./operators/Training.ts"
import * as TreeEnsemble from "./operators/TreeEnsemble.ts"
import * as Unary from "./operators/Unary.ts"

export const all: ReadonlyArray<Operator> = [
  ...Unary.all,
  Unary.isInf,
  ...Binary.all,
  Binary.div,
  Binary.mod,
  Binary.bitShift,
  Binary.max,
  Binary.min,
  Binary.sum,
  Binary.mean,
  Binary.where,
  Cast.cast,
  Cast.castLike,
  Cast.bitCast,
  ...Activations.all,
  ...Shape.all,
  ...Reshape.all,
  Slice.slice,
  ...Gather.all,
  ...Concat.all,
  ...MatMul.all,
  ...Conv.all,
  ...Pool.all,
  ...Normalization.all,
  ...Reduce.all,
  ...Recurrent.all,
  ...Control.all,
  ...Attention.all,
  ...Detection.all,
  ...Einsum.all,
  ...GridSample.all,
  ...Deformable.all,
  ...LinearAttention.all,
  ...Microsoft.all,
  ...MicrosoftAttention.all,
  ...MicrosoftChannelsLast.all,
  ...MicrosoftQuantized.all,
  ...MicrosoftStandard.all,
  ...Multinomial.all,
  ...Loss.all,
  ...Quantize.all,
  ...Random.all,
  ...Region.all,
  ...Resize.all,
  ...Sequence.all,
  ...Signal.all,
  ...Tabular.all,
  ...Training.all,
  ...TreeEnsemble.all
]

/** The key of an operator in `table`; the domain of ai.onnx is "". */
export const key = (domain: string, name: string): string => `${domain}:${name}`

/** By domain and name; `extra` ones come first. */
export const table = (extra: ReadonlyArray<Operator> = []): ReadonlyMap<string, Operator> =>
  new Map([...all, ...extra].map((operator) => [key(operator.domain ?? "", operator.name), operator]))
