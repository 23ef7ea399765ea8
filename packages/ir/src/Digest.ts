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
