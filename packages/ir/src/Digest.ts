// SHA-256 over text and bytes, as lower-case hexadecimal. The one place that knows the hash in use.
import { createHash } from "node:crypto"

/** `sha256` of the parts, one after another. */
export const sha256 = (...parts: ReadonlyArray<string | Uint8Array>): string => {
  const hash = createHash("sha256")
  for (const part of parts) hash.update(part)
  return hash.digest("hex")
}
