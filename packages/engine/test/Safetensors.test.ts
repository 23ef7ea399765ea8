import { EngineError } from "@anneal/engine/EngineError"
import * as Safetensors from "@anneal/engine/Safetensors"
import { assert, describe, it } from "@effect/vitest"

/** A file with this header text and so many bytes of data. */
const file = (header: string, dataBytes = 0): Uint8Array => {
  const text = new TextEncoder().encode(header)
  const bytes = new Uint8Array(8 + text.length + dataBytes)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true)
  bytes.set(text, 8)
  return bytes
}

const parse = (bytes: Uint8Array) => Safetensors.parseHeader(bytes, bytes.length, "f")

describe("safetensors", () => {
  it("reads what others write: entries in any order, blanks after the header", () => {
    const header = parse(
      file(
        '{"b":{"dtype":"I64","shape":[1],"data_offsets":[4,12]},"a":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]}}  ',
        12
      )
    )
    assert.deepStrictEqual(
      header.entries.map(({ begin, dtype, end, name, shape }) => [
        name,
        dtype,
        shape,
        begin - header.dataBegin,
        end - begin
      ]),
      [
        ["a", "f16", [2, 1], 0, 4],
        ["b", "i64", [1], 4, 8]
      ]
    )
  })

  it("aligns every tensor by padding that belongs to tensors", () => {
    const part = (name: string, byteLength: number): Safetensors.Part => ({
      name,
      dtype: "u8",
      shape: [byteLength],
      byteLength,
      bytes: () => new Uint8Array(byteLength).fill(7)
    })
    const bytes = Safetensors.toBytes(Safetensors.layout([part("a", 3), part("b", 64), part("c", 1)], { k: "v" }))
    const { entries, metadata } = parse(bytes)
    assert.deepStrictEqual(metadata, { k: "v" })
    assert.deepStrictEqual(
      entries.map(({ name }) => name),
      ["a", "anneal/padding/0", "b", "c"]
    )
    for (const { begin, name } of entries)
      if (!name.startsWith(Safetensors.paddingPrefix)) assert.strictEqual(begin % 64, 0, name)
  })

  const one = '{"dtype":"U8","shape":[4],"data_offsets":[0,4]}'
  const refused: ReadonlyArray<readonly [string, Uint8Array, RegExp]> = [
    ["a header above the limit", file("{}").fill(255, 0, 8), /above the format's limit/],
    ["a length beyond the file", file("{}").fill(200, 0, 1), /inside the header/],
    ["no JSON", file("{nonsense"), /not JSON/],
    ["no object", file("[]"), /does not start with \{/],
    ["bytes that are not UTF-8", file("{}").fill(0xff, 8, 9), /not UTF-8/],
    ["a name that is there twice", file(`{"a":${one},"\\u0061":${one}}`, 4), /"a" is there twice/],
    [
      "a field that is there twice",
      file('{"a":{"dtype":"U8","dtype":"I8","shape":[4],"data_offsets":[0,4]}}', 4),
      /"dtype" is there twice/
    ],
    ["an unknown field", file('{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"x":1}}', 4), /unknown field "x"/],
    ["an unknown dtype", file('{"a":{"dtype":"Q9","shape":[4],"data_offsets":[0,4]}}', 4), /dtype "Q9" is not one of/],
    ["a wrong size", file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', 4), /takes 8 bytes/],
    ["a negative size", file('{"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}}', 4), /no size/],
    ["offsets backwards", file('{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}}', 4), /begin ≤ end/],
    ["metadata that is no text", file('{"__metadata__":{"a":1}}'), /not a string/],
    ["an offset beyond the file", file(`{"a":${one}}`, 3), /it ends at byte/],
    ["an overlap", file(`{"a":${one},"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}}`, 5), /inside a/],
    ["a hole", file(`{"a":${one},"b":{"dtype":"U8","shape":[1],"data_offsets":[6,7]}}`, 7), /belong to no section/],
    ["bytes after the end", file(`{"a":${one}}`, 9), /follow the last section/]
  ]
  for (const [what, bytes, message] of refused)
    it(`refuses ${what}`, () => {
      assert.throws(() => parse(bytes), EngineError)
      assert.throws(() => parse(bytes), message)
    })
})
