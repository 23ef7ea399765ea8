// Files that are often handed over for an ONNX model and are something else, told by their first bytes.
//
// `version https://git-lfs…`  ⇒  "a Git LFS pointer, …"
interface Signature {
  /** The bytes as Latin-1 text, at `offset`. */
  readonly text: string
  readonly offset: number
  readonly what: string
}

const signatures: ReadonlyArray<Signature> = [
  {
    text: "version https://git-lfs",
    offset: 0,
    what: "it is a Git LFS pointer: fetch the model itself with `git lfs pull`"
  },
  {
    text: "PK\u0003\u0004",
    offset: 0,
    what: "it is a zip archive (PyTorch saves these): export the model to ONNX first"
  },
  { text: "\u0089HDF\r\n", offset: 0, what: "it is an HDF5 file (Keras saves these): convert the model to ONNX first" },
  { text: "TFL3", offset: 4, what: "it is a TensorFlow Lite model: convert it to ONNX first" },
  { text: "ORTM", offset: 4, what: "it is an onnxruntime .ort file: use the .onnx file that it was made from" },
  { text: "GGUF", offset: 0, what: "it is a GGUF file" },
  { text: "\u0080\u0002", offset: 0, what: "it is a Python pickle: export the model to ONNX first" },
  { text: "\u001f\u008b", offset: 0, what: "it is compressed with gzip: unpack it first" },
  { text: '{"', offset: 8, what: "it is a safetensors file" },
  { text: "<!DOCTYPE", offset: 0, what: "it is a web page: the download went wrong" },
  { text: "<html", offset: 0, what: "it is a web page: the download went wrong" }
]

/** What the bytes are instead of an ONNX model, as the second half of a sentence; undefined when nothing is recognised. */
export const recognise = (bytes: Uint8Array): string | undefined => {
  if (bytes.length === 0) return "it is empty"
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 64)).toString("latin1")
  return signatures.find((signature) => head.startsWith(signature.text, signature.offset))?.what
}
