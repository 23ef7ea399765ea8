/** `anneal run ENGINE --input x=F.npy… [--output DIR]`: runs an engine or a model once. */
import type { Tensor } from "@anneal/ir/Tensor"
import * as WholeFile from "@anneal/pipeline/WholeFile"
import * as Npy from "@anneal/runtime/Npy"
import * as Npz from "@anneal/runtime/Npz"
import { NpyError } from "@anneal/runtime/NpyError"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { join } from "node:path"
import * as Cases from "../Cases.ts"
import * as Host from "../Host.ts"
import * as Plugin from "../Plugin.ts"
import * as Report from "../Report.ts"
import * as ShapeOption from "../ShapeOption.ts"
import { UsageError } from "../UsageError.ts"
import * as Options from "./Options.ts"

/** `x=F.npy` and `FILE.npz`, as tensors by name. */
const readInputs = (texts: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const tensors: Record<string, Tensor> = {}
    for (const text of texts) {
      const equals = text.lastIndexOf("=")
      if (equals > 0) {
        const name = text.slice(0, equals)
        if (Object.hasOwn(tensors, name)) return yield* new UsageError({ detail: `--input ${name} is given twice` })
        tensors[name] = yield* Cases.readTensor(text.slice(equals + 1))
      } else if (text.endsWith(".npz")) {
        const bytes = yield* Effect.mapError(
          files.readFile(text),
          () => new UsageError({ detail: `${text} cannot be read: check the path` })
        )
        const archive = yield* Effect.try({
          try: () => Npz.parse(bytes, text),
          catch: (cause) => {
            if (cause instanceof NpyError) return cause
            throw cause
          }
        })
        Object.assign(tensors, archive)
      } else return yield* new UsageError({ detail: `--input ${text}: expected NAME=FILE.npy or FILE.npz` })
    }
    return tensors
  })

const describe = (name: string, { data, dtype, shape }: Tensor): string => {
  const first = Array.from({ length: Math.min(6, data.length) }, (_, i) => String(data[i]))
  return `${name}: ${dtype}[${shape.join(", ")}] = ${first.join(", ")}${data.length > 6 ? ", …" : ""}`
}

const write = (directory: string, outputs: Readonly<Record<string, Tensor>>) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const written: Record<string, string> = {}
    yield* files.makeDirectory(directory, { recursive: true })
    for (const [name, tensor] of Object.entries(outputs)) {
      const path = join(directory, `out_${Cases.fileName(name)}.npy`)
      yield* WholeFile.writeBytes(path, Npy.encode(Npy.widened(tensor)))
      written[name] = path
    }
    return written
  }).pipe(
    Effect.mapError(
      (error) => new UsageError({ detail: `${directory} cannot be written: ${WholeFile.explain(error)}` })
    )
  )

export const run = Command.make(
  "run",
  {
    engine: Argument.String("engine").pipe(Argument.withDescription("An engine or an ONNX model")),
    input: Options.repeated("input", "NAME=FILE.npy, or FILE.npz with all of them; may be repeated"),
    output: Options.text("output", "Folder for out_NAME.npy of every output"),
    memLimit: Options.text("mem-limit", "Refuse above so much memory: 512MiB"),
    seed: Flag.Int("seed").pipe(Flag.withDescription("Seed of random ops"), Flag.withDefault(0)),
    ...Options.host,
    plugin: Options.plugin,
    json: Options.json
  },
  Effect.fn(function* ({ engine, input, json, memLimit, output, plugin, seed, threads, wide }) {
    const plugins = yield* Plugin.load(plugin)
    const limit = Option.getOrUndefined(memLimit)
    const memoryLimit =
      limit === undefined
        ? {}
        : { memoryLimit: yield* Options.read(() => ShapeOption.parseBytes("--mem-limit", limit)) }
    const host = yield* Options.read(() => Options.hostOf({ threads, wide }))
    const inputs = yield* readInputs(input)
    const show = Effect.gen(function* () {
      const session = yield* Host.open(engine, plugins, host, () => Effect.succeed(inputs), memoryLimit)
      const outputs = yield* session.run(inputs, { seed })
      const files = Option.isSome(output) ? yield* write(output.value, outputs) : {}
      const described = session.outputs.map(({ name }) => {
        const tensor = outputs[name]
        return { name, dtype: tensor?.dtype, shape: tensor?.shape, file: files[name] }
      })
      yield* Report.result({ target: session.target, outputs: described }, () =>
        [
          ...Object.entries(outputs).map(([name, tensor]) => describe(name, tensor)),
          ...Object.values(files).map((path) => `wrote ${path}`)
        ].join("\n")
      )
    })
    yield* show.pipe(
      Effect.scoped,
      Effect.provide(Host.execution(plugins, host)),
      Effect.provideService(Report.AsJson, json)
    )
  })
).pipe(
  Command.withDescription("Run an engine or a model on tensors from .npy files"),
  Command.withExamples([{ command: "anneal run net.engine --input x=x.npy --output out", description: "One run" }])
)
