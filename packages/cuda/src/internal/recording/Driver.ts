/**
 * A `Driver` without a device: it keeps the books and refuses what the real one would refuse or, worse, would run into.
 * See RecordingDevice.ts.
 */
import type { Driver } from "../../Driver.ts"
import type { Entry } from "../../RecordingDevice.ts"
import * as Books from "./Books.ts"
import * as Graphs from "./Graphs.ts"
import * as LaunchChecks from "./LaunchChecks.ts"
import * as Memory from "./Memory.ts"
import * as Modules from "./Modules.ts"
import * as Products from "./Products.ts"
import * as Streams from "./Streams.ts"

export interface RecordingState {
  readonly driver: Driver
  readonly log: ReadonlyArray<Entry>
  readonly peakBytes: (ordinal: number) => number
  readonly liveObjects: () => ReadonlyArray<string>
}

export const make = (options: Books.RecordingOptions): RecordingState => {
  const books = Books.make(options)
  const checks = LaunchChecks.make(books)
  return {
    driver: {
      kind: "recording",
      ...Streams.make(books),
      ...Memory.make(books),
      ...Modules.make(books, checks),
      ...Products.make(books, checks),
      ...Graphs.make(books, checks)
    },
    log: books.log,
    peakBytes: (ordinal) => books.peaks.get(ordinal) ?? 0,
    liveObjects: () =>
      [...books.subjects.values()]
        .filter((subject) => subject.kind !== "context" && subject.kind !== "function")
        .map(books.nameOf)
  }
}
