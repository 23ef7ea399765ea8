import * as Npy from "@anneal/runtime/Npy"
import { NpyError } from "@anneal/runtime/NpyError"
import * as Npz from "@anneal/runtime/Npz"
import * as DTypes from "@anneal/ir/DType"
import * as Numbers from "@anneal/ir/Numbers"
import * as Tensor from "@anneal/ir/Tensor"
import { assert, describe, it } from "@effect/vitest"
import { crc32, deflateRawSync } from "node:zlib"

/** A file with this header and body, as NumPy lays it out. */
const file = (header: string, body: Uint8Array, version = 1): Uint8Array => {
  const text = new TextEncoder().encode(`${header}\n`)
  const wide = version === 1 ? 2 : 4
  const bytes = new Uint8Array(8 + wide + text.length + body.length)
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0])
  const view = new DataView(bytes.buffer)
  if (version === 1) view.setUint16(8, text.length, true)
  else view.setUint32(8, text.length, true)
  bytes.set(text, 8 + wide)
  bytes.set(body, 8 + wide + text.length)
  return bytes
}
const bytesOf = (values: ReadonlyArray<number>) => Tensor.toBytes(Numbers.fromNumbers("f32", [values.length], values))

describe(".npy", () => {
  for (const dtype of DTypes.all.filter(Npy.holds))
    it(`keeps ${dtype} bit for bit, for every rank`, () => {
      for (const shape of [[], [0], [5], [2, 3], [2, 1, 3]]) {
        const values = Array.from({ length: Tensor.size(shape) }, (_, i) => (i * 37) % 120)
        const tensor = Numbers.fromNumbers(dtype, shape, values)
        const bytes = Npy.encode(tensor)
        assert.strictEqual((bytes.length - Tensor.toBytes(tensor).length) % 64, 0)
        const { data, ...rest } = Npy.parse(bytes)
        assert.deepStrictEqual(rest, { dtype, shape })
        assert.deepStrictEqual(data, tensor.data)
      }
    })

  it("writes the header that NumPy writes", () => {
    const text = new TextDecoder("latin1").decode(Npy.encode(Numbers.fromNumbers("f32", [3], [1, 2, 3])))
    assert.strictEqual(text.slice(10, 67), "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }")
    assert.strictEqual(text[127], "\n")
  })

  it("reads versions 2 and 3, column order and the other byte order", () => {
    const header = (order: string, fortran: string) =>
      `{'descr': '${order}f4', 'fortran_order': ${fortran}, 'shape': (2, 3), }`
    const rows = Float32Array.of(1, 2, 3, 4, 5, 6)
    const columns = [1, 4, 2, 5, 3, 6]
    const reversed = bytesOf([...rows])
    for (let at = 0; at < reversed.length; at += 4) reversed.subarray(at, at + 4).reverse()
    const cases = [
      file(header("<", "False"), bytesOf([...rows]), 2),
      file(header("<", "False"), bytesOf([...rows]), 3),
      file(header("<", "True"), bytesOf(columns)),
      file(header(">", "False"), reversed)
    ]
    for (const bytes of cases) {
      const tensor = Npy.parse(bytes)
      assert.deepStrictEqual(tensor.shape, [2, 3])
      assert.deepStrictEqual(tensor.data, rows)
    }
  })

  it("transposes column order of any rank", () => {
    const shape = [2, 3, 4]
    const columns = new Array<number>(24)
    for (let i = 0; i < 2; i++)
      for (let j = 0; j < 3; j++) for (let k = 0; k < 4; k++) columns[i + 2 * j + 6 * k] = 12 * i + 4 * j + k
    const header = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3, 4), }"
    const tensor = Npy.parse(file(header, bytesOf(columns)))
    assert.deepStrictEqual(tensor.shape, shape)
    assert.deepStrictEqual(
      tensor.data,
      Float32Array.from({ length: 24 }, (_, i) => i)
    )
  })

  it("widens what NumPy lacks without loss", () => {
    const tensor = Numbers.fromNumbers("bf16", [3], [1.5, -2, 0.15625])
    assert.throws(() => Npy.encode(tensor), NpyError)
    assert.deepStrictEqual(Npy.widened(tensor).data, Float32Array.of(1.5, -2, 0.15625))
    assert.strictEqual(Npy.widened(Numbers.fromNumbers("u4", [1], [15])).dtype, "u8")
  })

  it("refuses every truncation, and what is no plain array", () => {
    const good = Npy.encode(Numbers.fromNumbers("f32", [2, 2], [1, 2, 3, 4]))
    for (let length = 0; length < good.length; length++)
      assert.throws(() => Npy.parse(good.subarray(0, length)), NpyError)
    const objects = file("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", new Uint8Array(8))
    assert.throws(() => Npy.parse(objects), /dtype \|O has no counterpart/)
    const records = file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", new Uint8Array(4))
    assert.throws(() => Npy.parse(records), /no descr of the form/)
    assert.throws(() => Npy.parse(file("{}", new Uint8Array())), /no descr/)
  })
})

describe(".npz", () => {
  const tensors = {
    x: Numbers.fromNumbers("f32", [2, 2], [1, 2, 3, 4]),
    "weights/größe": Numbers.fromNumbers("i64", [1], [7])
  }

  it("keeps tensors and their order, the same to the byte", () => {
    const bytes = Npz.encode(tensors)
    assert.deepStrictEqual(bytes, Npz.encode(tensors))
    const back = Npz.parse(bytes)
    assert.deepStrictEqual(Object.keys(back), Object.keys(tensors))
    assert.deepStrictEqual(back["x"]?.data, tensors.x.data)
    assert.deepStrictEqual(back["weights/größe"]?.data, BigInt64Array.of(7n))
  })

  it("reads deflated members", () => {
    const body = Npy.encode(tensors.x)
    const packed = deflateRawSync(body)
    const name = new TextEncoder().encode("x.npy")
    const u16 = (value: number) => [value & 255, value >> 8]
    const u32 = (value: number) => [...u16(value & 0xffff), ...u16(value >>> 16)]
    const fields = [
      ...u16(20),
      ...u16(0),
      ...u16(8),
      ...u32(0),
      ...u32(crc32(body)),
      ...u32(packed.length),
      ...u32(body.length)
    ]
    const local = [...u32(0x04034b50), ...fields, ...u16(name.length), ...u16(0), ...name, ...packed]
    const tail = [...u16(name.length), ...u16(0), ...u16(0), ...u16(0), ...u16(0), ...u32(0), ...u32(0), ...name]
    const central = [...u32(0x02014b50), ...u16(20), ...fields, ...tail]
    const end = [
      ...u32(0x06054b50),
      ...u16(0),
      ...u16(0),
      ...u16(1),
      ...u16(1),
      ...u32(central.length),
      ...u32(local.length),
      ...u16(0)
    ]
    const archive = Uint8Array.from([...local, ...central, ...end])
    assert.deepStrictEqual(Npz.parse(archive)["x"]?.data, tensors.x.data)
  })

  it("refuses damage and truncation", () => {
    const good = Npz.encode(tensors)
    for (let length = 0; length < good.length; length += 7)
      assert.throws(() => Npz.parse(good.subarray(0, length)), NpyError)
    const altered = good.slice()
    altered[170] = (altered[170] ?? 0) ^ 1
    assert.throws(() => Npz.parse(altered), /checksum/)
  })
})
