/**
 * Safetensors files: a length, a JSON header, and the tensors' bytes one after another without holes.
 *
 *   layout([{ name: "w", dtype: "f32", shape: [2], bytes }])  ⇒  8 bytes, header, padding, w at a multiple of 64
 *
 * Written so that anyone's reader opens them: every byte belongs to a tensor, so the gaps that alignment needs are
 * tensors too (`anneal/padding/N`, zeros). Read strictly: every offset, size, name and byte is accounted for.
 * Format: https://github.com/huggingface/safetensors (README, "Format").
 */
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Tensor from "@anneal/ir/Tensor"
import { refuse } from "./EngineError.ts"

/** Every section of a file of ours starts at a multiple of so many bytes. */
export const alignment = 64
/** The format's own limit on the header, bytes. */
export const maxHeaderBytes = 100_000_000
export const paddingPrefix = "anneal/padding/"

/** The format's names of our dtypes; 4-bit integers have none and are kept as packed bytes. */
const names: Readonly<Record<Exclude<DType, "i4" | "u4">, string>> = {
  bool: "BOOL",
  i8: "I8",
  i16: "I16",
  i32: "I32",
  i64: "I64",
  u8: "U8",
  u16: "U16",
  u32: "U32",
  u64: "U64",
  f8e4m3: "F8_E4M3",
  f8e5m2: "F8_E5M2",
  f16: "F16",
  bf16: "BF16",
  f32: "F32",
  f64: "F64"
}
const dtypes: ReadonlyMap<string, DType> = new Map(
  DTypes.all.flatMap((dtype) => (dtype === "i4" || dtype === "u4" ? [] : [[names[dtype], dtype] as const]))
)

/** A tensor to write. `bytes` are read when they are written. */
export interface Part {
  readonly name: string
  /** 4-bit integers are written as `u8` of their packed bytes. */
  readonly dtype: DType
  readonly shape: ReadonlyArray<number>
  readonly byteLength: number
  readonly bytes: () => Uint8Array
}

/** Where a tensor is; `begin` and `end` count from the start of the file. */
export interface Entry {
  readonly name: string
  readonly dtype: DType
  readonly shape: ReadonlyArray<number>
  readonly begin: number
  readonly end: number
}

/** A file about to be written. */
export interface Layout {
  /** Length, JSON and the blanks that align what follows. */
  readonly header: Uint8Array
  readonly parts: ReadonlyArray<Part>
  readonly byteLength: number
}

/** An entry of the header, as JSON. Offsets count from the first byte behind the header. */
const entryText = (name: string, kind: DType, shape: ReadonlyArray<number>, begin: number, end: number): string => {
  const dtype = kind === "i4" || kind === "u4" ? names.u8 : names[kind]
  return `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`
}

const headerText = (metadata: Readonly<Record<string, string>>, entries: ReadonlyArray<string>): string =>
  `{${[`"__metadata__":${JSON.stringify(metadata)}`, ...entries].join(",")}}`

const aligned = (offset: number): number => Math.ceil(offset / alignment) * alignment

/** Puts the parts in order, with padding between them. Deterministic. Names must be unique; checked by the reader. */
export const layout = (parts: ReadonlyArray<Part>, metadata: Readonly<Record<string, string>>): Layout => {
  const placed: Array<Part> = []
  const entries: Array<string> = []
  let offset = 0
  const place = (part: Part): void => {
    const packed = part.dtype === "i4" || part.dtype === "u4"
    const shape = packed ? [part.byteLength] : part.shape
    const end = offset + part.byteLength
    entries.push(entryText(part.name, part.dtype, shape, offset, end))
    placed.push(part)
    offset = end
  }
  let paddings = 0
  for (const part of parts) {
    const gap = aligned(offset) - offset
    if (gap > 0) place(padding(paddings++, gap))
    place(part)
  }
  const json = new TextEncoder().encode(headerText(metadata, entries))
  const headerEnd = aligned(8 + json.length)
  const header = new Uint8Array(headerEnd).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(headerEnd - 8), true)
  header.set(json, 8)
  return { header, parts: placed, byteLength: headerEnd + offset }
}

const padding = (index: number, byteLength: number): Part => ({
  name: `${paddingPrefix}${index}`,
  dtype: "u8",
  shape: [byteLength],
  byteLength,
  bytes: () => new Uint8Array(byteLength)
})

/** The file in pieces, in order; a part's bytes are asked for when its turn comes. */
export const chunks = function* (file: Layout): Generator<Uint8Array> {
  yield file.header
  for (const part of file.parts) yield part.bytes()
}

export const toBytes = (file: Layout): Uint8Array => {
  const bytes = new Uint8Array(file.byteLength)
  let offset = 0
  for (const chunk of chunks(file)) {
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return bytes
}

// ---- reading --------------------------------------------------------------------------------------------------------

export interface Header {
  readonly metadata: Readonly<Record<string, string>>
  /** In the order of their bytes; padding included. */
  readonly entries: ReadonlyArray<Entry>
  /** Where the data starts. */
  readonly dataBegin: number
}

/** The length of the JSON header, from the first eight bytes. Throws `EngineError`. */
export const headerLength = (start: Uint8Array, file: string): number => {
  if (start.length < 8)
    return refuse("Truncated", file, `bytes 0..${start.length}`, `the file has ${start.length} bytes, a header needs 8`)
  const length = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true)
  if (length > BigInt(maxHeaderBytes))
    return refuse(
      "NotAnEngine",
      file,
      "bytes 0..8",
      `they announce a header of ${length} bytes, above the format's limit of ${maxHeaderBytes}`,
      "Check that this is a safetensors or engine file"
    )
  return Number(length)
}

/**
 * Reads and checks the header. `start` holds at least the header; `fileBytes` is the length of the whole file. Throws
 * `EngineError`: truncated, header too long or not JSON, duplicate names, unknown dtypes, wrong sizes, overlaps, holes,
 * offsets outside the file, bytes after the last tensor.
 */
export const parseHeader = (start: Uint8Array, fileBytes: number, file: string): Header => {
  const length = headerLength(start.subarray(0, 8), file)
  const dataBegin = 8 + length
  const place = `bytes 8..${dataBegin} (header)`
  if (start.length < dataBegin)
    return refuse("Truncated", file, place, `the file ends at byte ${start.length}, inside the header`)
  const bad = (detail: string): never => refuse("BadHeader", file, place, detail)
  const text = decode(start.subarray(8, dataBegin), bad)
  if (!text.startsWith("{")) return bad("the header does not start with {")
  const json = parseJson(text, bad)
  const metadata: Record<string, string> = {}
  const entries: Array<Entry> = []
  for (const [name, value] of Object.entries(json)) {
    if (name === "__metadata__") {
      for (const [key, item] of Object.entries(asRecord(value, () => bad("__metadata__ is not an object"))))
        metadata[key] = typeof item === "string" ? item : bad(`__metadata__.${key} is not a string`)
    } else entries.push(readEntry(name, value, dataBegin, fileBytes, file))
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end)
  // What is written again as it was has each name once; walking the text is for others' files.
  const again = headerText(
    metadata,
    entries.map(({ begin, dtype, end, name, shape }) =>
      entryText(name, dtype, shape, begin - dataBegin, end - dataBegin)
    )
  )
  const twice = again === text.trimEnd() ? undefined : duplicateKey(text)
  if (twice !== undefined) return bad(`the name ${JSON.stringify(twice)} is there twice`)
  checkCover(entries, dataBegin, fileBytes, file)
  return { metadata, entries, dataBegin }
}

const decode = (bytes: Uint8Array, bad: (detail: string) => never): string => {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return bad("the header is not UTF-8")
  }
}

const parseJson = (text: string, bad: (detail: string) => never): Readonly<Record<string, unknown>> => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    return bad(`the header is not JSON (${cause instanceof Error ? cause.message : String(cause)})`)
  }
  return asRecord(value, () => bad("the header is not a JSON object"))
}

const asRecord = (value: unknown, otherwise: () => never): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : otherwise()

const isCount = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0

const readEntry = (name: string, value: unknown, dataBegin: number, fileBytes: number, file: string): Entry => {
  const bad = (detail: string): never => refuse("BadHeader", file, `section ${JSON.stringify(name)}`, detail)
  const entry = asRecord(value, () => bad("its entry is not an object"))
  const unknown = Object.keys(entry).find((key) => !["dtype", "shape", "data_offsets"].includes(key))
  if (unknown !== undefined) return bad(`its entry has an unknown field ${JSON.stringify(unknown)}`)
  const dtype =
    (typeof entry["dtype"] === "string" ? dtypes.get(entry["dtype"]) : undefined) ??
    bad(`dtype ${JSON.stringify(entry["dtype"])} is not one of ${[...dtypes.keys()].join(", ")}`)
  const shape: ReadonlyArray<unknown> = Array.isArray(entry["shape"]) ? entry["shape"] : bad("its shape is not a list")
  if (!shape.every(isCount)) return bad(`its shape ${JSON.stringify(shape)} has an entry that is no size`)
  const offsets: ReadonlyArray<unknown> = Array.isArray(entry["data_offsets"]) ? entry["data_offsets"] : []
  const [begin, end] = offsets
  if (offsets.length !== 2 || !isCount(begin) || !isCount(end) || begin > end)
    return bad(`data_offsets ${JSON.stringify(entry["data_offsets"])} are not [begin, end] with begin ≤ end`)
  const expected = DTypes.byteLength(dtype, Tensor.size(shape))
  if (end - begin !== expected)
    return bad(`${dtype}[${shape.join()}] takes ${expected} bytes, its offsets [${begin}, ${end}] hold ${end - begin}`)
  if (dataBegin + end > fileBytes)
    return refuse(
      "Truncated",
      file,
      `section ${JSON.stringify(name)}`,
      `it ends at byte ${dataBegin + end}, the file at byte ${fileBytes}`
    )
  return { name, dtype, shape, begin: dataBegin + begin, end: dataBegin + end }
}

/** Sections follow each other without overlap or hole, and the last ends the file. */
const checkCover = (entries: ReadonlyArray<Entry>, dataBegin: number, fileBytes: number, file: string): void => {
  let reached = dataBegin
  let before = "the header"
  for (const { begin, end, name } of entries) {
    const place = `section ${JSON.stringify(name)}`
    if (begin < reached)
      refuse("BadHeader", file, place, `it starts at byte ${begin}, inside ${before}, which ends at ${reached}`)
    if (begin > reached)
      refuse("BadHeader", file, `bytes ${reached}..${begin}`, `they belong to no section (a hole before ${name})`)
    reached = end
    before = name
  }
  if (reached !== fileBytes)
    refuse("BadHeader", file, `bytes ${reached}..${fileBytes}`, "they follow the last section and belong to none")
}

/**
 * The first key that an object of this JSON text has twice, or undefined. `JSON.parse` would keep the last and say
 * nothing. Takes any text: what is not JSON is somebody else's finding.
 */
export const duplicateKey = (text: string): string | undefined => {
  const open: Array<Set<string> | undefined> = []
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x7b) open.push(new Set())
    else if (code === 0x5b) open.push(undefined)
    else if (code === 0x7d || code === 0x5d) open.pop()
    else if (code === 0x22) {
      const begin = at
      at = endOfString(text, at)
      const keys = open.at(-1)
      if (keys === undefined || !isFollowedByColon(text, at + 1)) continue
      const key = unescape(text.slice(begin, at + 1))
      if (keys.has(key)) return key
      keys.add(key)
    }
  }
  return undefined
}

/** Where the string that begins at a quote ends; long ones (a manifest) are not walked letter by letter. */
const endOfString = (text: string, begin: number): number => {
  for (let end = text.indexOf('"', begin + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++
    if (backslashes % 2 === 0) return end
  }
  return text.length
}

const isFollowedByColon = (text: string, from: number): boolean => {
  let at = from
  while (/\s/.test(text.charAt(at)) && at < from + 16) at++
  return text.charCodeAt(at) === 0x3a
}

const unescape = (token: string): string => {
  try {
    return String(JSON.parse(token))
  } catch {
    return token
  }
}
