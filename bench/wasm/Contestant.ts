// Who is timed: a library, its threads, and the flags of its process.

export interface Contestant {
  /** As tables have it: `anneal wide, 2 threads`. */
  readonly name: string
  readonly library: "anneal" | "onnxruntime-node" | "onnxruntime-web"
  /** Which engine of ours it loads. The peers take the float model. */
  readonly precision: "float" | "int8"
  readonly threads: number
  readonly wide: boolean
}

/** V8's experimental 256-bit revectoriser; it must be on from the start of the process, and is never on for the peers. */
export const wideFlag = "--experimental-wasm-revectorize"

const make = (
  library: Contestant["library"],
  threads: number,
  { precision = "float", wide = false }: Partial<Pick<Contestant, "precision" | "wide">> = {}
): Contestant => ({
  name: `${library}${precision === "float" ? "" : ` ${precision}`}${wide ? " wide" : ""}${threads === 1 ? "" : `, ${threads} threads`}`,
  library,
  precision,
  threads,
  wide
})

/** All of them, in the order of their turns. */
export const list = (
  threads: ReadonlyArray<number>,
  { ours, wide }: { readonly ours: boolean; readonly wide: boolean }
): ReadonlyArray<Contestant> =>
  threads.flatMap((count) => [
    ...(ours ? [make("anneal", count)] : []),
    ...(ours && wide ? [make("anneal", count, { wide: true })] : []),
    make("onnxruntime-node", count),
    make("onnxruntime-web", count)
  ])

/** Our float engine against our INT8 engine of the same model, on one thread. */
export const precisions = ({ wide }: { readonly wide: boolean }): ReadonlyArray<Contestant> =>
  (wide ? [false, true] : [false]).flatMap((one) => [
    make("anneal", 1, { wide: one }),
    make("anneal", 1, { wide: one, precision: "int8" })
  ])

/** Flags of the contestant's Node process. */
export const flags = ({ wide }: Contestant): ReadonlyArray<string> => [
  "--conditions=@anneal/source",
  "--disable-warning=ExperimentalWarning",
  ...(wide ? [wideFlag] : [])
]
