import { assert, describe, it } from "@effect/vitest"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Entry from "@anneal/tune/Entry"
import * as Journal from "@anneal/tune/Journal"
import * as Machine from "@anneal/tune/Machine"
import * as Measurements from "@anneal/tune/Measurements"
import * as SmallDisk from "@anneal/testing/SmallDisk"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"

const machine = Machine.here(["simd128"])
const common = { v: 1, node: "/conv ü", generator: "wasm@1", machine, at: 1 } as const
const timing = (key: string, mr: number, relative = 1): Entry.TimingEntry => ({
  ...common,
  key,
  kind: "timing",
  candidate: { name: "gemm", config: { mr } },
  timing: {
    relative,
    error: 0.01,
    median: 100,
    mad: 1,
    least: 99,
    samples: 7,
    iterations: 10,
    inputs: "warm",
    end: "finalist"
  }
})
const rejection = (
  key: string,
  mr: number,
  reason: Entry.RejectionEntry["reason"] = "Wrong"
): Entry.RejectionEntry => ({
  ...common,
  key,
  kind: "rejection",
  candidate: { name: "gemm", config: { mr } },
  reason,
  detail: "element 3 is 1, not 2",
  evidence: { index: 3, expected: -0 }
})

/** Something with a journal in a file of a new folder. */
const inFile = <A, E>(
  use: (
    path: string,
    journal: Effect.Effect<Journal.JournalService, unknown>
  ) => Effect.Effect<A, E, FileSystem.FileSystem>
) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const folder = yield* files.makeTempDirectoryScoped()
    const path = `${folder}/below/tune.jsonl`
    const journal = Effect.provide(
      Effect.map(Journal.Journal, (one) => one),
      Journal.layerFile(path)
    )
    return yield* use(path, Effect.provide(journal, NodeFileSystem.layer))
  }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))

describe("Entry", () => {
  it("a line is an entry, and every altered or cut line is none", () => {
    const line = Entry.format(timing("k", 4))
    assert.deepStrictEqual(Entry.parseAll(line), { entries: [timing("k", 4)], damaged: [] })
    for (let length = 1; length < line.length; length++) {
      const { entries, damaged } = Entry.parseAll(line.slice(0, length))
      assert.strictEqual(entries.length, 0)
      assert.strictEqual(damaged.length, 1)
    }
    for (let at = 0; at < line.length; at++) {
      const other = line.charCodeAt(at) === 0x31 ? "2" : "1"
      const { entries } = Entry.parseAll(line.slice(0, at) + other + line.slice(at + 1))
      assert.strictEqual(entries.length, 0, `byte ${at}`)
    }
    assert.strictEqual(Entry.parseAll(line.replace('"at":1', '"at":1e999')).damaged.length, 1)
    assert.strictEqual(Entry.parseAll('{"at":1e999}').damaged.length, 1)
    assert.strictEqual(Entry.parseAll('null\n[]\n5\n{"check":"x"}\n\n').damaged.length, 4)
  })

  it("journals are combined: each entry once, in order, damage left out", () => {
    const text = (entries: ReadonlyArray<Entry.Entry>) => entries.map((one) => `${Entry.format(one)}\n`).join("")
    const [a, b, c] = [timing("a", 1), timing("b", 1), rejection("c", 1)]
    assert.strictEqual(Entry.combine([text([a, b]), `${text([b, c]).slice(0, -1)}\n{"to`]), text([a, b, c]))
    assert.strictEqual(Entry.combine([text([a, b])]), text([a, b]))
    assert.strictEqual(Entry.combine([]), "")
  })
})

describe("Journal", () => {
  it.effect("keeps what is appended, in order", () =>
    inFile((path, journal) =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const one = yield* journal
        assert.deepStrictEqual(yield* one.read, { entries: [], damaged: [] })
        assert.isFalse(yield* files.exists(path))
        yield* one.append([])
        yield* one.append([timing("a", 1), rejection("a", 2)])
        yield* one.append([timing("b", 1)])
        const again = yield* journal
        assert.deepStrictEqual((yield* again.read).entries, [timing("a", 1), rejection("a", 2), timing("b", 1)])
        assert.strictEqual((yield* files.readFileString(path)).split("\n").length, 4)
      })
    )
  )

  it.effect("cut at any byte, it loses at most the entry that was cut, and goes on", () =>
    inFile((path, journal) =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const whole = [timing("a", 1), rejection("b", 2), timing("c", 3)]
        yield* (yield* journal).append(whole)
        const bytes = yield* files.readFile(path)
        const ends = [...bytes.entries()].filter(([, byte]) => byte === 10).map(([i]) => i)
        for (let length = 0; length <= bytes.length; length += 1) {
          yield* files.writeFile(path, bytes.subarray(0, length))
          const one = yield* journal
          // An entry of which only the line break is missing is whole.
          const there = ends.filter((end) => end <= length).length
          assert.deepStrictEqual((yield* one.read).entries, whole.slice(0, there), `${length} bytes`)
          if (length % 7 !== 0 && !ends.some((end) => Math.abs(end - length) < 3)) continue
          yield* one.append([timing("d", 4)])
          const { entries, damaged } = yield* one.read
          assert.deepStrictEqual(entries, [...whole.slice(0, there), timing("d", 4)], `${length} bytes`)
          assert.isAtMost(damaged.length, 1)
        }
      })
    )
  )

  it.effect("on a full disk it fails, keeps what was there, and goes on when there is room", () =>
    inFile((path, journal) =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const entries = [timing("b", 2), rejection("c", 3)]
        const bytes = new TextEncoder().encode(entries.map((one) => `${Entry.format(one)}\n`).join("")).length
        for (let capacity = 0; capacity < bytes; capacity += 11) {
          yield* files.remove(path, { force: true })
          yield* (yield* journal).append([timing("a", 1)])
          const small = Effect.provide(
            Effect.map(Journal.Journal, (one) => one),
            Journal.layerFile(path)
          )
          const full = yield* Effect.provide(small, SmallDisk.layer(capacity))
          const error = yield* Effect.flip(full.append(entries))
          assert.strictEqual(error.reason, "Full")
          const after = yield* (yield* journal).read
          assert.deepStrictEqual(after.entries, [timing("a", 1), ...entries].slice(0, after.entries.length))
          assert.isAtLeast(after.entries.length, 1)
          assert.isAtMost(after.damaged.length, 1)
          yield* (yield* journal).append([timing("d", 4)])
          const later = yield* (yield* journal).read
          assert.deepStrictEqual(later.entries, [...after.entries, timing("d", 4)])
        }
      })
    )
  )

  it.effect("zeros and other rubbish in the middle are passed over and told", () =>
    inFile((path, journal) =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const one = yield* journal
        yield* one.append([timing("a", 1)])
        yield* files.writeFile(path, new Uint8Array([...(yield* files.readFile(path)), 0, 0, 0xff, 0xc3]))
        yield* one.append([timing("b", 1)])
        const { entries, damaged } = yield* one.read
        assert.deepStrictEqual(entries, [timing("a", 1), timing("b", 1)])
        assert.deepStrictEqual(damaged, [{ line: 2, why: "cut short, or not JSON" }])
      })
    )
  )

  it.effect("several write at the same time", () =>
    inFile((_, journal) =>
      Effect.gen(function* () {
        const writers = yield* Effect.all([journal, journal, journal])
        yield* Effect.forEach(
          writers.flatMap((writer, i) => Array.from({ length: 20 }, (_, k) => writer.append([timing(`w${i}`, k)]))),
          (append) => append,
          { concurrency: "unbounded" }
        )
        const { entries, damaged } = yield* (yield* journal).read
        assert.strictEqual(new Set(entries.map(Entry.format)).size, 60)
        assert.deepStrictEqual(damaged, [])
      })
    )
  )

  it.effect("a journal that cannot be read fails before anything is measured", () =>
    inFile((path, journal) =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        yield* files.makeDirectory(path, { recursive: true })
        const error = yield* Effect.flip(journal)
        assert.include(String(error), "cannot read")
      })
    )
  )
})

describe("Measurements", () => {
  const scope: Measurements.Scope = { machine, generator: "wasm@1", inputs: "warm" }
  const elsewhere = { ...machine, cpu: "another" }
  const one = { name: "gemm", config: { mr: 1 } }
  const known = (...entries: ReadonlyArray<Entry.Entry>) => {
    const measurements = Measurements.make(entries, scope)
    return [measurements.timings("a", one).length, measurements.rejection("a", one)?.reason]
  }
  it("timings count on this kind of machine only, for this generator, for these inputs", () => {
    assert.deepStrictEqual(known(timing("a", 1), timing("a", 1, 2)), [2, undefined])
    assert.deepStrictEqual(known({ ...timing("a", 1), machine: elsewhere }), [0, undefined])
    assert.deepStrictEqual(known({ ...timing("a", 1), machine: { ...machine, v8: "99" } }), [0, undefined])
    assert.deepStrictEqual(known({ ...timing("a", 1), machine: { ...machine, features: [] } }), [0, undefined])
    assert.deepStrictEqual(known({ ...timing("a", 1), generator: "wasm@2" }), [0, undefined])
    const rotated = timing("a", 1)
    assert.deepStrictEqual(known({ ...rotated, timing: { ...rotated.timing, inputs: "rotated" } }), [0, undefined])
  })

  it("rejections count everywhere, except what may be the machine's fault", () => {
    assert.deepStrictEqual(known({ ...rejection("a", 1), machine: elsewhere }), [0, "Wrong"])
    assert.deepStrictEqual(known({ ...rejection("a", 1), generator: "wasm@2" }), [0, undefined])
    assert.deepStrictEqual(known({ ...rejection("a", 1, "Hang"), machine: elsewhere }), [0, undefined])
    assert.deepStrictEqual(known(rejection("a", 1, "Hang")), [0, "Hang"])
    assert.deepStrictEqual(known({ ...rejection("a", 1, "Refused"), machine: elsewhere }), [0, "Refused"])
    assert.deepStrictEqual(known({ ...rejection("a", 1, "Refused"), machine: { ...machine, features: [] } }), [
      0,
      undefined
    ])
  })
})

describe("Machine", () => {
  it("has a fingerprint that any of its parts changes", () => {
    const fingerprint = Machine.fingerprint(machine)
    assert.match(fingerprint, /^[0-9a-f]{16}$/)
    assert.strictEqual(Machine.fingerprint(Machine.here(["simd128"])), fingerprint)
    assert.strictEqual(Machine.fingerprint(Machine.here(["b", "a"])), Machine.fingerprint(Machine.here(["a", "b"])))
    assert.notStrictEqual(Machine.fingerprint({ ...machine, cores: machine.cores + 1 }), fingerprint)
  })
})
