/**
 * The manifest: what an engine is and how it came about, as one JSON document in the file's header. It has no times, no
 * paths and nothing that depends on the machine: equal builds give equal manifests.
 */
import * as Diagnostic from "@anneal/pipeline/Diagnostic"
import * as Evaluator from "@anneal/pipeline/Evaluator"
import * as Key from "@anneal/pipeline/Key"
import type { Ledger } from "@anneal/pipeline/Ledger"
import * as Op from "@anneal/ir/Op"
import * as Schema from "effect/Schema"
import * as Essentials from "./Essentials.ts"

/** What the metadata of an engine's file call its format. */
export const formatName = "anneal-engine"
/** Raised when a reader of the version before could not read the file rightly. */
export const formatVersion = 2

/** Extents that one symbol may take. `max: null`: no limit. */
export const DimRange = Schema.Struct({ min: Schema.Int, opt: Schema.Int, max: Schema.NullOr(Schema.Int) })
export type DimRange = typeof DimRange.Type

/** Shapes that an engine is made for, by symbol; a symbol that is not listed takes any extent. */
export const Profile = Schema.Struct({ name: Schema.String, dims: Schema.Record(Schema.String, DimRange) })
export type Profile = typeof Profile.Type

/** An input or output by the user's name; dims are integers or expressions such as `2*batch`. */
export const Port = Schema.Struct({ name: Schema.String, dtype: Op.DTypeSchema, shape: Schema.Array(Schema.String) })
export type Port = typeof Port.Type

/** Two sizes that must be equal. */
export const Constraint = Schema.Struct({ left: Schema.String, right: Schema.String, what: Schema.String })

/** One way to run the model: a target and the graph for it. */
export const Variant = Schema.Struct({
  name: Schema.String,
  target: Schema.String,
  /** What the machine must have: `sm_90a`, `simd128`; sorted. */
  features: Schema.Array(Schema.String),
  /** Section that holds the graph's text. */
  graph: Schema.String,
  /** Content hash of the graph. */
  digest: Schema.String,
  nodes: Schema.Int,
  profiles: Schema.Array(Profile),
  /** Sections of the target's own, in its order: plans, code, weights in the form that kernels read. Empty: the graph is run. */
  payload: Schema.Array(Schema.String),
  /** What the graph asks of the sizes of its inputs, as expressions. */
  constraints: Schema.Array(Constraint)
})
export type Variant = typeof Variant.Type

/** A weight of the user's model and what became of it. */
export const Weight = Schema.Struct({
  /** The initializer's name in the user's model. */
  name: Schema.String,
  dtype: Op.DTypeSchema,
  shape: Schema.Array(Schema.Int),
  digest: Schema.String,
  /** `kept`: as it was, so that it can be replaced; `consumed`: folded into something else, or not used any more. */
  state: Schema.Literals(["kept", "consumed"]),
  /** The rewrites of the nodes that used it. */
  consumedBy: Schema.Array(Schema.String)
})
export type Weight = typeof Weight.Type

/** Where bytes that a target made from a weight come from. */
export const Origin = Schema.Struct({
  /** Digest of the constant. */
  constant: Schema.String,
  /** The form, in the target's words: `gemm-b nr=8`. */
  layout: Schema.String
})
export type Origin = typeof Origin.Type

/** Bytes of the file with a meaning. */
export const Section = Schema.Struct({
  name: Schema.String,
  /** `program`: what the target's executor reads; `report`: what people read; `module`: code; `packed`: a weight in another form. */
  kind: Schema.Literals(["graph", "constant", "program", "report", "module", "packed"]),
  sha256: Schema.String,
  bytes: Schema.Int,
  /** For `packed`. */
  origin: Schema.optionalKey(Origin),
  /** Left out of the file; `restore` puts it back. */
  stripped: Schema.optionalKey(Schema.Boolean)
})
export type Section = typeof Section.Type

/** What one stage did. */
export const Stage = Schema.Struct({
  stage: Schema.String,
  output: Schema.String,
  claims: Schema.optionalKey(Schema.Literals(["exact", "reassociating", "lossy"])),
  changed: Schema.optionalKey(Schema.Boolean),
  validation: Schema.optionalKey(Schema.Struct({ regions: Schema.Int, failed: Schema.Int, notValidated: Schema.Int })),
  diagnostics: Schema.Array(Diagnostic.Diagnostic)
})
export type Stage = typeof Stage.Type

/** A node or weight whose precision differs from the model's, and why. */
export const PrecisionEntry = Schema.Struct({
  node: Schema.String,
  from: Schema.String,
  to: Schema.String,
  /** `int8 weights per axis 0`, `reverted: the budget`, … */
  why: Schema.String
})
export type PrecisionEntry = typeof PrecisionEntry.Type

export const Calibration = Schema.Struct({
  calibrator: Key.Identity,
  /** Digest of the samples' identity. */
  samples: Schema.String,
  count: Schema.Int
})
export type Calibration = typeof Calibration.Type

export const Accuracy = Schema.Struct({
  before: Evaluator.Score,
  after: Evaluator.Score,
  /** The drop that was allowed, in the metric's own units. */
  maxDrop: Schema.NullOr(Schema.Finite)
})
export type Accuracy = typeof Accuracy.Type

/** Where the model came from and under what terms, as the user's file says. */
export const Provenance = Schema.Struct({
  /** `onnx`, `graph` for one that was built in code. */
  format: Schema.String,
  /** SHA-256 of the model file. */
  sha256: Schema.NullOr(Schema.String),
  licence: Schema.NullOr(Schema.String),
  /** Producer, opsets, and other entries of the file, by name. */
  metadata: Schema.Record(Schema.String, Schema.String)
})
export type Provenance = typeof Provenance.Type

/** Everything about an engine that the build says; the file's own parts are added when it is assembled. */
export const About = Schema.Struct({
  model: Schema.Struct({
    name: Schema.String,
    /** Content hash of the graph as it was imported. */
    digest: Schema.String,
    provenance: Provenance
  }),
  stages: Schema.Array(Stage),
  /** What was chosen: the lock file's content. */
  decisions: Schema.Json,
  precision: Schema.Array(PrecisionEntry),
  calibration: Schema.NullOr(Calibration),
  accuracy: Schema.NullOr(Accuracy),
  /** Refits since the build, oldest first: the names of the weights that were replaced. */
  refits: Schema.Array(Schema.Array(Schema.String))
})
export type About = typeof About.Type

export const Manifest = Schema.Struct({
  format: Schema.Int,
  generator: Schema.Struct({ name: Schema.String, version: Schema.String }),
  ...About.fields,
  inputs: Schema.Array(Port),
  outputs: Schema.Array(Port),
  aliases: Schema.Array(Schema.Struct({ input: Schema.String, output: Schema.String })),
  variants: Schema.Array(Variant),
  weights: Schema.Array(Weight),
  sections: Schema.Array(Section)
})
export type Manifest = typeof Manifest.Type

/** The canonical text: sorted keys. */
export const print = (manifest: Manifest): string =>
  Key.canonical(Schema.encodeSync(Schema.toCodecJson(Manifest))(manifest))

const codec = Schema.toCodecJson(Manifest)

/**
 * The manifest that its text says, as JSON. Throws a `SchemaError` that lists what is wrong with what an engine is run by; the rest is decoded when it is asked for,
 * and throws then: opening an engine is a matter of milliseconds.
 */
export const read = (json: unknown): Manifest => {
  const essentials = Essentials.read(json)
  // Whatever it is, the schema says it better.
  if (essentials === undefined) return Schema.decodeUnknownSync(codec)(json, { errors: "all" })
  let rest: Manifest | undefined
  const whole = (): Manifest => (rest ??= Schema.decodeUnknownSync(codec)(json, { errors: "all" }))
  return {
    ...essentials,
    get generator() {
      return whole().generator
    },
    get model() {
      return whole().model
    },
    get stages() {
      return whole().stages
    },
    get decisions() {
      return whole().decisions
    },
    get precision() {
      return whole().precision
    },
    get calibration() {
      return whole().calibration
    },
    get accuracy() {
      return whole().accuracy
    },
    get refits() {
      return whole().refits
    },
    get weights() {
      return whole().weights
    }
  }
}

/** The part of a ledger that does not depend on what happened to be cached. */
export const stagesOf = (ledger: Ledger): ReadonlyArray<Stage> =>
  ledger.map(({ changed, claims, diagnostics, output, stage, validation }) => ({
    stage,
    output,
    ...(claims === undefined ? {} : { claims }),
    ...(changed === undefined ? {} : { changed }),
    ...(validation === undefined
      ? {}
      : {
          validation: {
            regions: validation.regions,
            failed: validation.failed,
            notValidated: validation.notValidated
          }
        }),
    diagnostics
  }))

/** What a model that was built in code has to say about itself. */
export const unknownProvenance: Provenance = { format: "graph", sha256: null, licence: null, metadata: {} }

/** A description with nothing but the model. */
export const aboutModel = (name: string, digest: string, provenance: Provenance = unknownProvenance): About => ({
  model: { name, digest, provenance },
  stages: [],
  decisions: {},
  precision: [],
  calibration: null,
  accuracy: null,
  refits: []
})
