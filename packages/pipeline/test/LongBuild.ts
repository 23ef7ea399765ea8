/** A build of six stages that each take a moment and keep a megabyte. Run by KilledBuild.test.ts: `node LongBuild.ts DIRECTORY`. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Artefact from "@anneal/pipeline/Artefact"
import * as Key from "@anneal/pipeline/Key"
import * as Pipeline from "@anneal/pipeline/Pipeline"
import * as Progress from "@anneal/pipeline/Progress"
import * as Stage from "@anneal/pipeline/Stage"
import * as Store from "@anneal/pipeline/Store"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const bytesCodec: Artefact.Codec<Uint8Array> = {
  encode: (value) => {
    const bytes = () => value
    return { json: null, blobs: [{ digest: Key.digestBytes(value), sources: new Set([bytes]), bytes }] }
  },
  decode: ({ blobs }) => blobs[0]?.bytes() ?? new Uint8Array()
}
class Megabyte extends Artefact.make<Megabyte>()("test/Megabyte", bytesCodec) {}

const begin = Stage.make({
  name: "begin",
  version: 1,
  config: Schema.Struct({}),
  needs: [],
  output: Megabyte,
  run: () => Effect.succeed(new Uint8Array(2 ** 20))
})
const add = Stage.make({
  name: "add",
  version: 1,
  config: Schema.Struct({ value: Schema.Int }),
  needs: [Megabyte],
  output: Megabyte,
  run: ({ value }) =>
    Effect.delay(
      Effect.map(Megabyte, (bytes) => bytes.map((byte) => byte + value)),
      "30 millis"
    )
})

const pipeline = [1, 2, 3, 4, 5].reduce(
  (steps, value) => steps.through(add({ value })),
  Pipeline.on().through(begin({}))
)

const main = Effect.gen(function* () {
  const [{ known }, events] = yield* Progress.collect(pipeline.build())
  const hits = events.filter(({ _tag }) => _tag === "Hit").length
  const findings = events.flatMap((event) => (event._tag === "Finding" ? [event.diagnostic.code] : []))
  console.log(JSON.stringify({ last: Pipeline.get(known, Megabyte)[0], hits, findings }))
})

Effect.runPromise(
  Effect.provide(
    main,
    Store.layerFileSystem({ directory: process.argv[2] ?? "" }).pipe(Layer.provide(NodeFileSystem.layer))
  )
).catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
