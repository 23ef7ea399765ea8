// Checks protobuf bytes against a message's description before they are decoded, and names the place of a fault.
//
// `bytes` cut inside the fourth initializer  ⇒  Truncated at graph.initializer[3] "conv1.weight".raw_data
//
// The decoder trusts its input: it takes a field's wire type on faith and lets a child run past its parent's end. This
// walk reads tags and lengths only (no strings, no payloads), so it costs a fraction of decoding.
// Source: the protocol buffers encoding guide.
import type { DescField, DescMessage } from "@bufbuild/protobuf"
import { ScalarType } from "@bufbuild/protobuf"
import { refuse } from "./OnnxError.ts"

const Varint = 0
const Bit64 = 1
const LengthDelimited = 2
const StartGroup = 3
const Bit32 = 5

/** Messages inside messages that are followed; a model's nested sub-graphs take three levels each. */
export const maxDepth = 300

interface Field {
  readonly name: string
  readonly wire: number
  /** Whether a repeated number may also come packed, as one length-delimited record. */
  readonly packable: boolean
  readonly repeated: boolean
  readonly child: DescMessage | undefined
}

type Tables = Map<DescMessage, ReadonlyMap<number, Field>>

const wireOf = (scalar: ScalarType): number => {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return LengthDelimited
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return Bit32
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return Bit64
    default:
      return Varint
  }
}

const describeField = (field: DescField): Field => {
  const repeated = field.fieldKind === "list"
  if (field.message !== undefined)
    return { name: field.name, wire: LengthDelimited, packable: false, repeated, child: field.message }
  const wire = field.scalar === undefined ? Varint : wireOf(field.scalar)
  return { name: field.name, wire, packable: repeated && wire !== LengthDelimited, repeated, child: undefined }
}

const tableOf = (tables: Tables, message: DescMessage): ReadonlyMap<number, Field> => {
  const known = tables.get(message)
  if (known !== undefined) return known
  const table = new Map(message.fields.map((field) => [field.number, describeField(field)]))
  tables.set(message, table)
  return table
}

interface Step {
  readonly message: DescMessage
  readonly start: number
  field: Field | undefined
  readonly counts: Map<number, number>
}

/** The state of one walk: where it is, and the way there. */
interface Walk {
  readonly bytes: Uint8Array
  readonly source: string
  readonly tables: Tables
  readonly steps: Array<Step>
  pos: number
}

const nameField = (walk: Walk, step: Step, end: number): string | undefined => {
  // The name of a message whose fault is being reported: its own `name` record, if it comes before the fault.
  const field = step.message.fields.find(
    (candidate) => candidate.name === "name" && candidate.scalar === ScalarType.STRING
  )
  if (field === undefined) return undefined
  const probe: Walk = { ...walk, steps: [], pos: step.start }
  while (probe.pos < end) {
    const tag = varint(probe, end)
    if (tag === undefined) return undefined
    const wire = tag & 7
    const length = wire === LengthDelimited ? varint(probe, end) : wire === Bit32 ? 4 : wire === Bit64 ? 8 : 0
    if (length === undefined || (wire === Varint && varint(probe, end) === undefined)) return undefined
    if (tag >>> 3 === field.number && wire === LengthDelimited && probe.pos + length <= end)
      return new TextDecoder().decode(walk.bytes.subarray(probe.pos, probe.pos + length))
    if (wire === StartGroup || wire === 4) return undefined
    probe.pos += length
  }
  return undefined
}

const placeOf = (walk: Walk): string => {
  const parts: Array<string> = []
  walk.steps.forEach((step, depth) => {
    const name = depth === 0 ? undefined : nameField(walk, step, walk.bytes.length)
    if (name !== undefined && name !== "") parts[parts.length - 1] = `${parts[parts.length - 1] ?? ""} "${name}"`
    if (step.field !== undefined) {
      const number = step.message.fields.find((field) => field.name === step.field?.name)?.number ?? 0
      const index = (step.counts.get(number) ?? 1) - 1
      parts.push(step.field.repeated ? `${step.field.name}[${index}]` : step.field.name)
    }
  })
  const [first] = walk.steps
  return parts.length === 0 ? (first?.message.name ?? "") : parts.join(".")
}

const malformed = (walk: Walk, detail: string): never =>
  refuse(walk.source, { _tag: "NotProtobuf", place: placeOf(walk), offset: walk.pos, detail })

const truncated = (walk: Walk, missing: number): never =>
  refuse(walk.source, { _tag: "Truncated", place: placeOf(walk), offset: walk.bytes.length, missing })

/** A varint as a number (its low 53 bits are exact), or undefined where it runs past `end` or past ten bytes. */
const varint = (walk: Walk, end: number): number | undefined => {
  let value = 0
  let scale = 1
  for (let count = 0; count < 10 && walk.pos < end; count++) {
    const byte = walk.bytes[walk.pos++] ?? 0
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return value
    scale *= 128
  }
  return undefined
}

const readVarint = (walk: Walk, end: number, cut: boolean): number => {
  const start = walk.pos
  const value = varint(walk, end)
  if (value !== undefined) return value
  if (cut && walk.pos === end && walk.pos - start < 10) return truncated(walk, 1)
  return malformed(walk, "a number does not end")
}

const wireNames = ["a varint", "8 bytes", "a length-delimited record", "a group", "a group's end", "4 bytes"]

/** Walks the message in `[walk.pos, end)`. `cut`: the announced end lies beyond the file, `missing` bytes beyond `end`. */
const walkMessage = (walk: Walk, message: DescMessage, end: number, missing: number): void => {
  if (walk.steps.length >= maxDepth) return malformed(walk, `messages are nested more than ${maxDepth} deep`)
  const table = tableOf(walk.tables, message)
  const step: Step = { message, start: walk.pos, field: undefined, counts: new Map() }
  walk.steps.push(step)
  const atEnd = end === walk.bytes.length
  while (walk.pos < end) {
    step.field = undefined
    const tag = readVarint(walk, end, atEnd)
    const wire = tag % 8
    const number = Math.floor(tag / 8)
    if (number === 0 || number >= 2 ** 29) return malformed(walk, `there is no field ${number}`)
    const field = table.get(number)
    step.field = field
    if (field !== undefined) {
      step.counts.set(number, (step.counts.get(number) ?? 0) + 1)
      if (wire !== field.wire && !(field.packable && wire === LengthDelimited))
        return malformed(walk, `${message.name}.${field.name} is stored as ${wireNames[wire] ?? `wire type ${wire}`}`)
    }
    if (wire === Varint) readVarint(walk, end, atEnd)
    else if (wire === Bit32 || wire === Bit64) skip(walk, wire === Bit32 ? 4 : 8, end, atEnd)
    else if (wire !== LengthDelimited)
      return malformed(walk, `${wireNames[wire] ?? `wire type ${wire}`} has no place here`)
    else {
      const length = readVarint(walk, end, atEnd)
      const over = walk.pos + length - end
      if (field?.child !== undefined && (over <= 0 || atEnd))
        walkMessage(walk, field.child, Math.min(walk.pos + length, end), Math.max(over, 0))
      else skip(walk, length, end, atEnd)
    }
  }
  step.field = undefined
  if (missing > 0) return truncated(walk, missing)
  walk.steps.pop()
}

const skip = (walk: Walk, length: number, end: number, atEnd: boolean): void => {
  const over = walk.pos + length - end
  if (over > 0)
    return atEnd ? truncated(walk, over) : malformed(walk, `a record of ${length} bytes runs past its message's end`)
  walk.pos += length
}

/**
 * Checks that `bytes` are a well-formed message of this description; fields that it does not know are passed over.
 * Throws `OnnxError`: `Truncated` where the bytes end too soon, `NotProtobuf` for every other fault.
 */
export const check = (message: DescMessage, bytes: Uint8Array, source: string): void =>
  walkMessage({ bytes, source, tables: new Map(), steps: [], pos: 0 }, message, bytes.length, 0)
