/**
 * ImageReader: images and indices from JSON, by hand: an engine's first inference waits for it, and schemas take many
 * times as long when they are used once. Throws `UnreadableImage` with the place.
 */
import * as Dim from "@anneal/ir/Dim"
import * as DTypes from "@anneal/ir/DType"
import type * as Image from "./Image.ts"

/** The section is of another version, or damaged. */
export class UnreadableImage extends Error {
  override readonly name = "UnreadableImage"
}

const bad = (what: string): never => {
  throw new UnreadableImage(`its program cannot be read: ${what}. Build the engine again with this version`)
}

type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const fields = (value: unknown): Fields => (isFields(value) ? value : bad("an object was expected"))
const text = (value: unknown): string => (typeof value === "string" ? value : bad("a text was expected"))
const integer = (value: unknown): number =>
  typeof value === "number" && Number.isSafeInteger(value) ? value : bad("an integer was expected")
const flag = (value: unknown): boolean => (typeof value === "boolean" ? value : bad("true or false was expected"))
const dtype = (value: unknown): DTypes.DType => (DTypes.is(value) ? value : bad("an element type was expected"))
const dim = (value: unknown): Dim.Dim => (typeof value === "number" ? integer(value) : Dim.parse(text(value)))
const orNull = <A>(value: unknown, read: (value: unknown) => A): A | null => (value === null ? null : read(value))
const list = <A>(value: unknown, read: (value: unknown) => A): ReadonlyArray<A> =>
  Array.isArray(value) ? value.map((item) => read(item)) : bad("a list was expected")

const digit = (value: unknown): NonNullable<Image.Buffer["walk"]>["digits"][number] => {
  const { axis, size, step } = fields(value)
  return { axis: integer(axis), size: integer(size), step: integer(step) }
}

const walk = (value: unknown): NonNullable<Image.Buffer["walk"]> => {
  const one = fields(value)
  return {
    constant: text(one["constant"]),
    dtype: dtype(one["dtype"]),
    count: integer(one["count"]),
    offset: integer(one["offset"]),
    extents: list(one["extents"], integer),
    strides: list(one["strides"], integer),
    digits: list(one["digits"], digit)
  }
}

const kinds = ["input", "output", "constant", "packed", "prepared", "arena"] as const

const buffer = (value: unknown): Image.Buffer => {
  const one = fields(value)
  const kind = kinds.find((name) => name === one["kind"]) ?? bad("a kind of buffer was expected")
  return {
    id: text(one["id"]),
    kind,
    dtype: dtype(one["dtype"]),
    size: dim(one["size"]),
    slot: orNull(one["slot"], integer),
    offset: orNull(one["offset"], integer),
    first: integer(one["first"]),
    last: integer(one["last"]),
    source: orNull(one["source"], text),
    ...(one["walk"] === undefined ? {} : { walk: walk(one["walk"]) })
  }
}

const place = (value: unknown): Image.Place => {
  const one = fields(value)
  return {
    buffer: integer(one["buffer"]),
    dtype: dtype(one["dtype"]),
    shape: list(one["shape"], dim),
    offset: dim(one["offset"]),
    strides: list(one["strides"], dim)
  }
}

const operand = (value: unknown): Image.Operand => {
  const { host } = fields(value)
  return host === undefined ? place(value) : { host: text(host) }
}

const call = (value: unknown): Image.Call => {
  if (typeof value === "number") return integer(value)
  const { condition, whenFalse, whenTrue } = fields(value)
  return { condition: place(condition), whenTrue: list(whenTrue, call), whenFalse: list(whenFalse, call) }
}

const action = (value: unknown): Image.Action => {
  const one = fields(value)
  switch (one["kind"]) {
    case "run": {
      let calls: ReadonlyArray<Image.Call> | undefined
      return {
        kind: "run",
        part: integer(one["part"]),
        // Only profiles go step by step.
        get calls() {
          return (calls ??= list(one["calls"], call))
        }
      }
    }
    case "host":
      return { kind: "host", step: integer(one["step"]) }
    case "branch":
      return {
        kind: "branch",
        condition: operand(one["condition"]),
        whenTrue: list(one["whenTrue"], action),
        whenFalse: list(one["whenFalse"], action)
      }
    default:
      return bad("an action was expected")
  }
}

const hostStep = (value: unknown): Image.HostStep => {
  const one = fields(value)
  return {
    node: text(one["node"]),
    why: text(one["why"]),
    graph: text(one["graph"]),
    operands: list(one["operands"], (item) => orNull(item, operand)),
    results: list(one["results"], operand)
  }
}

const made = (value: unknown): Image.Step["values"][number] => {
  const one = fields(value)
  return { id: text(one["id"]), place: place(one["place"]) }
}

const step = (value: unknown): Image.Step => {
  const one = fields(value)
  return {
    id: text(one["id"]),
    node: text(one["node"]),
    kernel: text(one["kernel"]),
    units: dim(one["units"]),
    values: list(one["values"], made)
  }
}

const parse = (bytes: Uint8Array): Fields => {
  try {
    return fields(JSON.parse(new TextDecoder().decode(bytes)))
  } catch (cause) {
    return cause instanceof SyntaxError ? bad(cause.message) : bad("it is no object")
  }
}

/** An image; its steps are read when they are asked for. */
export const image = (bytes: Uint8Array): Image.Image => {
  const one = parse(bytes)
  let steps: ReadonlyArray<Image.Step> | undefined
  return {
    symbols: list(one["symbols"], text),
    meetings: integer(one["meetings"]),
    words: integer(one["words"]),
    buffers: list(one["buffers"], buffer),
    arena: orNull(one["arena"], integer),
    scratch: dim(one["scratch"]),
    inputs: list(one["inputs"], place),
    outputs: list(one["outputs"], operand),
    actions: list(one["actions"], action),
    hosts: list(one["hosts"], hostStep),
    get steps() {
      return (steps ??= list(one["steps"], step))
    },
    prepares: orNull(one["prepares"], integer)
  }
}

const unit = (value: unknown): Image.Unit => {
  const one = fields(value)
  const fixed = Object.entries(fields(one["fixed"])).map(([name, extent]) => [name, integer(extent)] as const)
  return {
    fixed: Object.fromEntries(fixed),
    features: list(one["features"], text),
    wide: flag(one["wide"]),
    image: text(one["image"]),
    module: text(one["module"])
  }
}

/** An index. `generator`: the version that this code reads; another is refused before anything else is looked at. */
export const index = (bytes: Uint8Array, generator: number): Image.Index => {
  const one = parse(bytes)
  if (one["generator"] !== generator)
    return bad(`its code is of generator ${String(one["generator"])}, this is generator ${generator}`)
  return { generator, units: list(one["units"], unit) }
}
