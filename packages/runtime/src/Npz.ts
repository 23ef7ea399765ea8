/**
 * NumPy's `.npz` files: ZIP archives of `.npy` members, stored or deflated.
 *
 *   { x, y }  ⇔  a ZIP of x.npy and y.npy
 *
 * Written without compression and with a fixed date, so equal tensors give equal bytes.
 * Format: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.3 (ZIP64, read only).
 */
import type { Tensor } from "@anneal/ir/Tensor"
import { crc32, inflateRawSync } from "node:zlib"
import * as Npy from "./Npy.ts"
import { refuse } from "./NpyError.ts"

const localSignature = 0x04034b50
const centralSignature = 0x02014b50
const endSignature = 0x06054b50
/** 1 January 1980, the earliest date that a ZIP can say. */
const fixedDate = 0x0021
const utf8Flag = 0x0800
const limit = 0xffffffff

/** The archive of tensors, in the order given. Throws `NpyError` above 4 GiB or for a type that NumPy lacks. */
export const encode = (tensors: Readonly<Record<string, Tensor>>, file = "the archive"): Uint8Array => {
  const pieces: Array<Uint8Array> = []
  const central: Array<Uint8Array> = []
  let offset = 0
  const push = (bytes: Uint8Array): void => {
    pieces.push(bytes)
    offset += bytes.length
  }
  for (const [name, tensor] of Object.entries(tensors)) {
    const body = Npy.encode(tensor, `${file}: ${name}`)
    const title = new TextEncoder().encode(`${name}.npy`)
    const fields = [20, utf8Flag, 0, 0, fixedDate]
    const sizes = [crc32(body), body.length, body.length]
    central.push(record(centralSignature, [20, ...fields], sizes, [title.length, 0, 0, 0, 0], [0, offset], title))
    push(record(localSignature, fields, sizes, [title.length, 0], [], title))
    push(body)
  }
  const start = offset
  for (const one of central) push(one)
  const count = central.length
  push(record(endSignature, [0, 0, count, count], [offset - start, start], [0], [], new Uint8Array()))
  if (offset > limit || count > 0xffff)
    return refuse(file, "size", `${offset} bytes are more than a .npz takes here (4 GiB)`)
  const bytes = new Uint8Array(offset)
  let at = 0
  for (const piece of pieces) {
    bytes.set(piece, at)
    at += piece.length
  }
  return bytes
}

/** A header: signature, 16-bit fields, 32-bit fields, 16-bit fields, 32-bit fields, text. */
const record = (
  signature: number,
  shorts: ReadonlyArray<number>,
  longs: ReadonlyArray<number>,
  shorts2: ReadonlyArray<number>,
  longs2: ReadonlyArray<number>,
  text: Uint8Array
): Uint8Array => {
  const bytes = new Uint8Array(
    4 + 2 * (shorts.length + shorts2.length) + 4 * (longs.length + longs2.length) + text.length
  )
  const view = new DataView(bytes.buffer)
  let at = 0
  const long = (value: number): void => {
    view.setUint32(at, value, true)
    at += 4
  }
  const short = (value: number): void => {
    view.setUint16(at, value, true)
    at += 2
  }
  long(signature)
  shorts.forEach(short)
  longs.forEach(long)
  shorts2.forEach(short)
  longs2.forEach(long)
  bytes.set(text, at)
  return bytes
}

interface Member {
  readonly name: string
  readonly method: number
  readonly crc: number
  readonly packed: number
  readonly size: number
  readonly offset: number
}

/** The tensors of an archive, by name without `.npy`. Throws `NpyError`. */
export const parse = (bytes: Uint8Array, file = "the archive"): Record<string, Tensor> => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const tensors: Record<string, Tensor> = {}
  for (const member of members(bytes, view, file)) {
    const place = `member ${member.name}`
    if (!member.name.endsWith(".npy")) return refuse(file, place, "only .npy members are read")
    const name = member.name.slice(0, -4)
    if (Object.hasOwn(tensors, name)) return refuse(file, place, "it is there twice")
    tensors[name] = Npy.parse(unpack(bytes, view, member, file), `${file}: ${member.name}`)
  }
  return tensors
}

const members = (bytes: Uint8Array, view: DataView, file: string): ReadonlyArray<Member> => {
  let end = bytes.length - 22
  const lowest = Math.max(0, end - 0xffff)
  while (end >= lowest && view.getUint32(end, true) !== endSignature) end--
  if (end < lowest)
    return refuse(file, "its end", "this is no .npz file, or it is truncated (no end-of-archive record)")
  const count = view.getUint16(end + 10, true)
  let at = view.getUint32(end + 16, true)
  const found: Array<Member> = []
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== centralSignature)
      return refuse(file, `byte ${at}`, "the archive's directory is damaged")
    const nameLength = view.getUint16(at + 28, true)
    const extraLength = view.getUint16(at + 30, true)
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true)
    if (next > bytes.length) return refuse(file, `byte ${at}`, "the archive's directory is truncated")
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength))
    const wide = wideFields(view, at + 46 + nameLength, extraLength)
    // ZIP64 keeps, in this order, those of the fields that do not fit 32 bits.
    const field = (place: number): number => {
      const value = view.getUint32(at + place, true)
      return value === limit ? (wide.shift() ?? value) : value
    }
    const size = field(24)
    const packed = field(20)
    const offset = field(42)
    found.push({
      name,
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      packed,
      size,
      offset
    })
    at = next
  }
  return found
}

const wideFields = (view: DataView, begin: number, length: number): Array<number> => {
  const found: Array<number> = []
  for (let at = begin; at + 4 <= begin + length;) {
    const size = view.getUint16(at + 2, true)
    if (view.getUint16(at, true) === 1)
      for (let field = at + 4; field + 8 <= at + 4 + size; field += 8)
        found.push(Number(view.getBigUint64(field, true)))
    at += 4 + size
  }
  return found
}

const unpack = (bytes: Uint8Array, view: DataView, member: Member, file: string): Uint8Array => {
  const place = `member ${member.name}`
  const { offset } = member
  if (offset + 30 > bytes.length || view.getUint32(offset, true) !== localSignature)
    return refuse(file, place, "its header is damaged")
  const begin = offset + 30 + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true)
  const packed = bytes.subarray(begin, begin + member.packed)
  if (packed.length !== member.packed) return refuse(file, place, "it is truncated")
  const body = member.method === 0 ? packed : member.method === 8 ? inflate(packed, member, file) : undefined
  if (body === undefined) return refuse(file, place, `compression method ${member.method} is not stored or deflate`)
  if (body.length !== member.size || crc32(body) !== member.crc)
    return refuse(file, place, "its checksum or size is wrong: the file is damaged")
  return body
}

const inflate = (packed: Uint8Array, { name, size }: Member, file: string): Uint8Array => {
  try {
    return inflateRawSync(packed, { maxOutputLength: Math.max(size, 1) })
  } catch (cause) {
    return refuse(
      file,
      `member ${name}`,
      `it cannot be inflated: ${cause instanceof Error ? cause.message : String(cause)}`
    )
  }
}
