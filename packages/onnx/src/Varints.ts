// Packed varints to little-endian elements of a fixed width: `96 01 03` ⇒ [150, 3].
//
// Source: the protocol buffers encoding guide, "Base 128 Varints". Negative numbers come sign-extended to 64 bits.

/** How many numbers the bytes hold; undefined when they end inside one. */
export const count = (bytes: Uint8Array): number | undefined => {
  let numbers = 0
  for (let i = 0; i < bytes.length; i++) if ((bytes[i] ?? 0) < 0x80) numbers++
  return bytes.length > 0 && (bytes[bytes.length - 1] ?? 0) >= 0x80 ? undefined : numbers
}

/**
 * The first `numbers` numbers as elements of `width` bits (8, 16, 32 or 64). A number fits when it is one as a signed or
 * as an unsigned element; the index of the first that does not is returned instead.
 */
export const decode = (bytes: Uint8Array, numbers: number, width: number): Uint8Array | number => {
  const step = width / 8
  const result = new Uint8Array(numbers * step)
  const view = new DataView(result.buffer)
  // From here up, a 32-bit word is the low half of a negative number of this width.
  const negative = 2 ** 32 - 2 ** (Math.min(width, 32) - 1)
  const limit = 2 ** Math.min(width, 32)
  let pos = 0
  for (let i = 0; i < numbers; i++) {
    let low = 0
    let high = 0
    let shift = 0
    for (;;) {
      const byte = bytes[pos++] ?? 0
      const bits = byte & 0x7f
      if (shift < 28) low |= bits << shift
      else if (shift === 28) {
        low |= bits << 28
        high |= bits >> 4
      } else if (shift < 64) high |= bits << (shift - 32)
      else return i
      if (byte < 0x80) break
      shift += 7
    }
    low >>>= 0
    high >>>= 0
    if (width < 64 && !((high === 0 && low < limit) || (high === 0xffffffff && low >= negative))) return i
    const at = i * step
    if (width === 8) view.setUint8(at, low & 0xff)
    else if (width === 16) view.setUint16(at, low & 0xffff, true)
    else {
      view.setUint32(at, low, true)
      if (width === 64) view.setUint32(at + 4, high, true)
    }
  }
  return result
}
