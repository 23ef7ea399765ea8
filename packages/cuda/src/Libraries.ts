/**
 * The shared libraries that CUDA work can use, where they are looked for, and what goes without them.
 *
 * A name given in the environment variable comes first; then the loader's own search; then the toolkit's usual folder.
 */

export type LibraryName = "cuda" | "nvrtc" | "nvJitLink" | "cublasLt" | "cudnn"

export interface LibrarySpec {
  readonly name: LibraryName
  readonly title: string
  /** The environment variable that names it. */
  readonly variable: string
  readonly files: ReadonlyArray<string>
  readonly purpose: string
  /** What its absence costs. */
  readonly cost: string
}

export const specs: ReadonlyArray<LibrarySpec> = [
  {
    name: "cuda",
    title: "CUDA driver",
    variable: "ANNEAL_LIBCUDA",
    files: ["libcuda.so.1", "/usr/local/nvidia/lib64/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"],
    purpose: "everything on the device",
    cost: "no CUDA device can be used: engines run on the wasm target"
  },
  {
    name: "nvrtc",
    title: "NVRTC",
    variable: "ANNEAL_NVRTC",
    files: ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"],
    purpose: "compiles kernels for this device at build time",
    cost: "only kernels that were compiled beforehand can be used: no generated fusions"
  },
  {
    name: "nvJitLink",
    title: "nvJitLink",
    variable: "ANNEAL_NVJITLINK",
    files: ["libnvJitLink.so.13", "libnvJitLink.so.12", "libnvJitLink.so"],
    purpose: "links device code across files",
    cost: "kernels of several parts cannot be linked on this machine"
  },
  {
    name: "cublasLt",
    title: "cuBLASLt",
    variable: "ANNEAL_CUBLASLT",
    files: ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"],
    purpose: "the vendor's matrix products, as candidates for the tuner",
    cost: "the tuner chooses among our own matrix products only"
  },
  {
    name: "cudnn",
    title: "cuDNN",
    variable: "ANNEAL_CUDNN",
    files: ["libcudnn.so.9", "libcudnn.so"],
    purpose: "the vendor's convolutions and attention, as candidates for the tuner",
    cost: "the tuner chooses among our own convolutions and attention only"
  }
]

export const specOf = (name: LibraryName): LibrarySpec => {
  const spec = specs.find((candidate) => candidate.name === name)
  if (spec === undefined) throw new Error(`no such library: ${name}`)
  return spec
}

/** Every name under which a library is tried, first to last. */
export const candidates = (
  spec: LibrarySpec,
  environment: Readonly<Record<string, string | undefined>>
): ReadonlyArray<string> => {
  const named = environment[spec.variable]
  if (named !== undefined && named !== "") return [named]
  const root = environment["CUDA_PATH"] ?? "/usr/local/cuda"
  return [...spec.files, ...spec.files.filter((file) => !file.startsWith("/")).map((file) => `${root}/lib64/${file}`)]
}

/** A library's version as people write it. `numbers` is what it answers: [major, minor], or one packed number. */
export const versionText = (name: LibraryName, numbers: ReadonlyArray<number>): string => {
  const [first, second] = numbers
  if (first === undefined) return "unknown"
  if (second !== undefined) return `${first}.${second}`
  const parts = (major: number, minor: number) =>
    `${Math.floor(first / major)}.${Math.floor((first % major) / minor)}.${first % minor}`
  switch (name) {
    case "cuda":
      return `${Math.floor(first / 1000)}.${Math.floor((first % 1000) / 10)}`
    case "cudnn":
      return parts(10000, 100)
    case "cublasLt":
      return parts(10000, 100)
    default:
      return String(first)
  }
}
