/**
 * Captures, graphs and replays of the recording device.
 */
import { refuse } from "../../CudaError.ts"
import type { Driver } from "../../Driver.ts"
import type { Books } from "./Books.ts"
import type { LaunchChecks } from "./LaunchChecks.ts"

type Methods = Pick<
  Driver,
  | "beginCapture"
  | "endCapture"
  | "destroyGraph"
  | "instantiate"
  | "destroyExecutable"
  | "uploadGraph"
  | "updateKernelNode"
  | "replay"
>

export const make = (books: Books, checks: LaunchChecks): Methods => {
  const { fresh, subjects, log, take, add, remove, sameDevice, apply, advance, requireOver } = books
  const { workOf, checkShape } = checks
  return {
    beginCapture: (handle) => {
      const stream = take("stream", handle, "begin a capture")
      if (stream.capture !== undefined)
        throw refuse("ANNEAL_BUSY", "begin a capture", "the stream is already being captured")
      stream.capture = { origin: handle, streams: [handle], works: [], history: new Map() }
    },
    endCapture: (handle) => {
      const stream = take("stream", handle, "end a capture")
      const { capture } = stream
      if (capture === undefined)
        throw refuse("ANNEAL_BAD_ARGUMENT", "end a capture", "the stream is not being captured")
      if (capture.origin !== handle)
        throw refuse("ANNEAL_BAD_ARGUMENT", "end a capture", "end the capture on the stream on which it began")
      const unjoined = capture.streams.find((joined) => {
        const other = subjects.get(joined)
        return other?.kind === "stream" && (stream.clock.get(joined) ?? 0) < other.time
      })
      for (const joined of capture.streams) {
        const other = subjects.get(joined)
        if (other?.kind === "stream") other.capture = undefined
      }
      for (const subject of subjects.values())
        if (subject.kind === "event" && subject.capture === capture) subject.capture = undefined
      if (unjoined !== undefined)
        throw refuse(
          "CUDA_ERROR_STREAM_CAPTURE_UNJOINED",
          "end a capture",
          "a stream that joined the capture was not ordered before its end"
        )
      const graph = add({ ...fresh(stream.context, stream.context), kind: "graph", capture })
      log.push({ _tag: "Graph", graph, nodes: capture.works.length })
      const kernels = capture.works.flatMap(({ kernel }) =>
        kernel === undefined ? [] : [{ name: kernel, updatable: true }]
      )
      return { handle: graph, nodes: capture.works.length, kernels }
    },
    destroyGraph: (handle) => remove(take("graph", handle, "destroy a graph"), "destroy a graph"),
    instantiate: (handle) => {
      const graph = take("graph", handle, "instantiate a graph")
      for (const { work } of graph.capture.works)
        for (const object of [...work.touches.map((one) => one.object), ...work.needs])
          if (!subjects.has(object))
            throw refuse(
              "ANNEAL_STALE_HANDLE",
              "instantiate a graph",
              "a buffer or module that the graph uses has been released"
            )
      return add({
        ...fresh(graph.context, handle),
        kind: "graph executable",
        works: [...graph.capture.works],
        history: []
      })
    },
    destroyExecutable: (handle) => {
      const executable = take("graph executable", handle, "destroy an instantiated graph")
      requireOver(executable, "destroy an instantiated graph")
      remove(executable, "destroy an instantiated graph")
    },
    uploadGraph: (handle, streamHandle) =>
      sameDevice(
        take("graph executable", handle, "upload a graph"),
        take("stream", streamHandle, "upload a graph"),
        "upload a graph"
      ),
    updateKernelNode: (handle, index, launchHandle) => {
      const doing = "update a graph's kernel node"
      const executable = take("graph executable", handle, doing)
      const launch = take("launch", launchHandle, doing)
      sameDevice(executable, launch, doing)
      const places = executable.works.flatMap(({ kernel }, place) => (kernel === undefined ? [] : [place]))
      const place = places[index]
      if (place === undefined)
        throw refuse("ANNEAL_OUT_OF_RANGE", doing, `kernel ${index} of a graph of ${places.length}`)
      const { work, name } = workOf(launch, doing)
      checkShape(launch)
      executable.works[place] = { work, kernel: name }
    },
    replay: (handle, streamHandle) => {
      const executable = take("graph executable", handle, "replay a graph")
      const stream = take("stream", streamHandle, "replay a graph")
      sameDevice(executable, stream, "replay a graph")
      if (stream.capture !== undefined)
        throw refuse("ANNEAL_BUSY", "replay a graph", "the stream is being captured: replay on another one")
      const { time, clock } = advance(stream)
      for (const { work } of executable.works) apply(stream, work, time, clock)
      apply(stream, { what: "a replay", touches: [], needs: [handle] }, time, clock)
      log.push({ _tag: "Replay", executable: handle, stream: streamHandle, nodes: executable.works.length })
    }
  }
}
