// The process of one contestant: `node FLAGS Worker.ts MODULE`. See Protocol.ts. It loads nothing but the library that
// is measured; files are read and outputs compared by the bench.
import { readFileSync } from "node:fs"
import type { Footprint, Library, Loaded, Reply, Request, Runner, Session } from "./Protocol.ts"

const libraries: Readonly<Record<string, () => Promise<{ readonly load: () => Promise<Library> }>>> = {
  anneal: () => import("./Anneal.ts"),
  "onnxruntime-node": () => import("./OnnxRuntimeNode.ts"),
  "onnxruntime-web": () => import("./OnnxRuntimeWeb.ts")
}

/** From the kernel where it tells: a peak that includes every thread and mapping. */
const footprint = (): Footprint => {
  const resident = process.memoryUsage.rss()
  try {
    const kilobytes = /VmHWM:\s*(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]
    return { resident, peak: kilobytes === undefined ? resident : Number(kilobytes) * 1024 }
  } catch {
    // Not Linux: the peak of the process as Node knows it.
    return { resident, peak: process.resourceUsage().maxRSS * 1024 }
  }
}

let session: Session | undefined
let runner: Runner | undefined

const load = async ({ file, inputs, threads }: Extract<Request, { _tag: "load" }>): Promise<Loaded> => {
  const module = libraries[process.argv[2] ?? ""]
  if (module === undefined) throw new Error(`there is no contestant ${process.argv[2]}`)
  const empty = footprint()
  const start = performance.now()
  const library = await (await module()).load()
  const imported = performance.now()
  const importedFootprint = footprint()
  const creating = performance.now()
  session = await library.create(file, threads)
  const created = performance.now()
  const outputs = await session.infer(inputs)
  const done = performance.now()
  const loadedFootprint = footprint()
  runner = await session.runner(inputs)
  return {
    _tag: "loaded",
    version: runner.version,
    importing: imported - start,
    creating: created - creating,
    first: done - created,
    footprints: { empty, imported: importedFootprint, loaded: loadedFootprint },
    outputs,
    calls: (["run", "promise", "bound"] as const).filter((call) => runner?.calls[call] !== undefined),
    planned: runner.planned,
    taken: runner.taken
  }
}

const answer = async (request: Request): Promise<Reply> => {
  switch (request._tag) {
    case "load":
      return load(request)
    case "turn": {
      const repeat = runner?.calls[request.call]
      if (repeat === undefined) return { _tag: "failed", detail: `no call ${request.call}` }
      const times = await repeat(performance.now() + request.milliseconds, request.atLeast)
      return { _tag: "timed", times: Float64Array.from(times) }
    }
    case "infer":
      return session === undefined
        ? { _tag: "failed", detail: "nothing is loaded" }
        : { _tag: "inferred", outputs: await session.infer(request.inputs) }
    case "footprint":
      return { _tag: "footprint", footprint: footprint() }
  }
}

process.on("message", (request: Request) => {
  answer(request).then(
    (reply) => process.send?.(reply),
    (cause: unknown) =>
      process.send?.({ _tag: "failed", detail: cause instanceof Error ? cause.message : String(cause) } satisfies Reply)
  )
})
