/**
 * Image: what the executor has to know to run a program: where everything lies, what is called in which order. It is the
 * `program` section of an engine, as JSON; the code is the `module` section beside it.
 *
 * A session's memory: a table of 32-bit words (the values of the free symbols, then the addresses of the buffers that do
 * not lie in the arena at a known distance), and an arena for values and, where sizes are known, for inputs, outputs and the
 * scratch memory of each step in turn. Threads, and steps whose sizes are not known, have scratch memory of their own.
 */
import * as Op from "@anneal/ir/Op"
import * as Schema from "effect/Schema"
import * as ImageReader from "./ImageReader.ts"
import * as Packing from "./Packing.ts"

/** Goes up when the same decisions give other code, or when the executor reads images differently. */
export const generator = 4

/** Storage. Sizes are in elements, one a slot of the dtype; packed constants are `u8`. */
export const Buffer = Schema.Struct({
  id: Schema.String,
  /** `prepared`: written once after loading, from constants alone. */
  kind: Schema.Literals(["input", "output", "constant", "packed", "prepared", "arena"]),
  dtype: Op.DTypeSchema,
  size: Op.DimSchema,
  /** Number of its address in the table; null: it lies at `offset`. */
  slot: Schema.NullOr(Schema.Int),
  /** Bytes from the arena's begin; of an input or output: where a run has it that copies it in or out. */
  offset: Schema.NullOr(Schema.Int),
  /** Steps in which it is in use. */
  first: Schema.Int,
  last: Schema.Int,
  /** For `constant` and `packed`: the digest of its bytes; null for a constant that is read in its packed forms alone. */
  source: Schema.NullOr(Schema.String),
  /** For `packed`: how it is made from a constant; absent: its bytes are in the engine. */
  walk: Schema.optionalKey(Packing.Walk)
})
export type Buffer = typeof Buffer.Type

/** A view of a buffer, by its number. Offset and strides in elements. */
export const Place = Schema.Struct({
  buffer: Schema.Int,
  dtype: Op.DTypeSchema,
  shape: Op.Dims,
  offset: Op.DimSchema,
  strides: Op.Dims
})
export type Place = typeof Place.Type

/** A value that is not in the memory: its size is known only when data is. */
export const HostValue = Schema.Struct({ host: Schema.String })
export const Operand = Schema.Union([Place, HostValue])
export type Operand = typeof Operand.Type

/** A node that the oracle runs: as a graph of its own, in text. */
export const HostStep = Schema.Struct({
  node: Schema.String,
  why: Schema.String,
  graph: Schema.String,
  operands: Schema.Array(Schema.NullOr(Operand)),
  results: Schema.Array(Operand)
})
export type HostStep = typeof HostStep.Type

/** What `run_N` calls: a step by its number, or one side of a branch. */
export type Call =
  | number
  | { readonly condition: Place; readonly whenTrue: ReadonlyArray<Call>; readonly whenFalse: ReadonlyArray<Call> }
export const Call: Schema.Codec<Call, unknown> = Schema.suspend(() =>
  Schema.Union([
    Schema.Int,
    Schema.Struct({ condition: Place, whenTrue: Schema.Array(Call), whenFalse: Schema.Array(Call) })
  ])
)

/** What is done, in order: a run of generated code (the export `run_N`), a host step, a branch that holds host steps. */
export type Action =
  | { readonly kind: "run"; readonly part: number; readonly calls: ReadonlyArray<Call> }
  | { readonly kind: "host"; readonly step: number }
  | {
      readonly kind: "branch"
      readonly condition: Operand
      readonly whenTrue: ReadonlyArray<Action>
      readonly whenFalse: ReadonlyArray<Action>
    }
export const Action: Schema.Codec<Action, unknown> = Schema.suspend(() =>
  Schema.Union([
    Schema.Struct({ kind: Schema.Literal("run"), part: Schema.Int, calls: Schema.Array(Call) }),
    Schema.Struct({ kind: Schema.Literal("host"), step: Schema.Int }),
    Schema.Struct({
      kind: Schema.Literal("branch"),
      condition: Operand,
      whenTrue: Schema.Array(Action),
      whenFalse: Schema.Array(Action)
    })
  ])
)

/** A region's call: the export `step_N`. */
export const Step = Schema.Struct({
  id: Schema.String,
  /** In the user's model. */
  node: Schema.String,
  kernel: Schema.String,
  /** Pieces that can be computed apart: `step_N(0, units)` computes all. */
  units: Op.DimSchema,
  /** Values of the graph that are in memory when it has run, by id. */
  values: Schema.Array(Schema.Struct({ id: Schema.String, place: Place }))
})
export type Step = typeof Step.Type

export const Image = Schema.Struct({
  /** Free symbols, in the table's order. */
  symbols: Schema.Array(Schema.String),
  /** The first word of those that threads meet in: zero when a run begins. */
  meetings: Schema.Int,
  /** Words of the table. */
  words: Schema.Int,
  buffers: Schema.Array(Buffer),
  /** Bytes; null: they depend on symbols, and the executor plans. */
  arena: Schema.NullOr(Schema.Int),
  /** Bytes of scratch memory for one thread. */
  scratch: Op.DimSchema,
  inputs: Schema.Array(Place),
  outputs: Schema.Array(Operand),
  actions: Schema.Array(Action),
  hosts: Schema.Array(HostStep),
  /** Steps of generated code, in order of their numbers. */
  steps: Schema.Array(Step),
  /** Bytes of scratch memory for `prepare`, which is to be called once after loading; null: there is none. */
  prepares: Schema.NullOr(Schema.Int)
})
export type Image = typeof Image.Type

/** One program: for which sizes and features it is, and where its parts are. The first that fits is taken. */
export const Unit = Schema.Struct({
  /** Symbols with their only value. */
  fixed: Schema.Record(Schema.String, Schema.Int),
  /** What the host must have; sorted. */
  features: Schema.Array(Schema.String),
  /** For hosts that pair vectors (V8's revectorizer). */
  wide: Schema.Boolean,
  image: Schema.String,
  module: Schema.String
})
export type Unit = typeof Unit.Type

/** The first section of a variant's payload. */
export const Index = Schema.Struct({ generator: Schema.Int, units: Schema.Array(Unit) })
export type Index = typeof Index.Type

const bytesOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))

export const encode = (image: Image): Uint8Array => bytesOf(Schema.encodeSync(Schema.toCodecJson(Image))(image))
/** Throws `UnreadableImage`. */
export const decode = (bytes: Uint8Array): Image => ImageReader.image(bytes)
export const encodeIndex = (index: Index): Uint8Array => bytesOf(Schema.encodeSync(Schema.toCodecJson(Index))(index))
/** Throws `UnreadableImage`, for another generator too. */
export const decodeIndex = (bytes: Uint8Array): Index => ImageReader.index(bytes, generator)
