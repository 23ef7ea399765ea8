// What onnxruntime-node and onnxruntime-web have in common: one API over two engines. The few types that are used are
// declared here, so that the project checks without the peers installed.
import type { DType, TypedArray } from "@anneal/ir/DType"
import type { Tensor } from "@anneal/ir/Tensor"
import type { Library, Runner } from "./Protocol.ts"

export interface OrtTensor {
  readonly type: string
  readonly dims: ReadonlyArray<number>
  readonly data: TypedArray
}

export interface OrtSession {
  readonly inputNames: ReadonlyArray<string>
  readonly run: (feeds: Readonly<Record<string, OrtTensor>>) => Promise<Readonly<Record<string, OrtTensor>>>
}

export interface Ort {
  readonly Tensor: new (type: string, data: TypedArray, dims: ReadonlyArray<number>) => OrtTensor
  readonly InferenceSession: {
    readonly create: (file: string | Uint8Array, options: Readonly<Record<string, unknown>>) => Promise<OrtSession>
  }
  readonly env: { readonly wasm: { numThreads?: number }; logLevel?: string }
}

const types: Readonly<Partial<Record<DType, string>>> = {
  bool: "bool",
  i8: "int8",
  u8: "uint8",
  i16: "int16",
  u16: "uint16",
  i32: "int32",
  u32: "uint32",
  i64: "int64",
  u64: "uint64",
  f32: "float32",
  f64: "float64"
}
const dtypes = new Map(Object.entries(types).map(([dtype, type]) => [type, dtype as DType]))

const toOrt =
  (ort: Ort) =>
  ({ data, dtype, shape }: Tensor): OrtTensor => {
    const type = types[dtype]
    if (type === undefined) throw new Error(`onnxruntime's JavaScript API takes no ${dtype}`)
    return new ort.Tensor(type, data, shape)
  }

const fromOrt = ({ data, dims, type }: OrtTensor): Tensor => {
  const dtype = dtypes.get(type)
  if (dtype === undefined) throw new Error(`onnxruntime gave an output of type ${type}`)
  return { dtype, shape: [...dims], data }
}

const mapped = <A, B>(record: Readonly<Record<string, A>>, f: (value: A) => B): Readonly<Record<string, B>> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, f(value)]))

/** A library over one of the two packages. `open` makes its session. */
export const library = (
  ort: Ort,
  version: string,
  open: (file: string, threads: number) => Promise<OrtSession>
): Library => ({
  create: async (file, threads) => {
    const session = await open(file, threads)
    return {
      infer: async (given) => mapped(await session.run(mapped(given, toOrt(ort))), fromOrt),
      runner: (inputs): Promise<Runner> => {
        const feeds = mapped(inputs, toOrt(ort))
        const run = async (until: number, atLeast: number): Promise<ReadonlyArray<number>> => {
          const times: Array<number> = []
          let now = performance.now()
          while (now < until || times.length < atLeast) {
            await session.run(feeds)
            const end = performance.now()
            times.push(end - now)
            now = end
          }
          return times
        }
        return Promise.resolve({ version, planned: null, taken: null, calls: { run } })
      }
    }
  }
})
