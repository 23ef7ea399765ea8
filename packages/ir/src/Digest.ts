// SHA-256 over text and bytes, as lower-case hexadecimal. The one place that knows the hash in use.
import { createHash, hash } from "node:crypto"

/** `sha256` of the parts, one after another. */
export const sha256 = (...parts: ReadonlyArray<string | Uint8Array>): string => {
  const [only] = parts
  // In one call it is several times as fast.
  if (only !== undefined && parts.length === 1) return hash("sha256", only)
  const digest = createHash("sha256")
  for (const part of parts) digest.update(part)
  return digest.digest("hex")
}

/** The digest of bytes that come in pieces, in order. */
export interface Hashing {
  readonly add: (bytes: Uint8Array) => void
  readonly hex: () => string
}

/** `sha256` of what is added. */
export const hashing = (): Hashing => {
  const digest = createHash("sha256")
  return { add: (bytes) => void digest.update(bytes), hex: () => digest.digest("hex") }
}
