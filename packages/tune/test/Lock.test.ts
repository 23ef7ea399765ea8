import { assert, describe, it } from "@effect/vitest"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Tuner from "@anneal/pipeline/Tuner"
import * as HeuristicTuner from "@anneal/tune/HeuristicTuner"
import * as Lock from "@anneal/tune/Lock"
import * as LockDiff from "@anneal/tune/LockDiff"
import * as LockedTuner from "@anneal/tune/LockedTuner"
import * as LockFile from "@anneal/tune/LockFile"
import * as LockMerge from "@anneal/tune/LockMerge"
import * as SmallDisk from "@anneal/testing/SmallDisk"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Space from "./Space.ts"

const header: Lock.Header = { target: "wasm", features: ["simd128", "relaxed-simd"], generator: "wasm@3" }
const entry = (key: string, mr: number, nodes: ReadonlyArray<string> = [`/${key}`]): Lock.LockEntry => ({
  key,
  nodes,
  candidate: "gemm",
  config: { nr: 8, mr }
})
const lock = Lock.make(header, [entry("b", 4), entry("a", 6, ["/fc2", "/fc1", "/fc2"])])

const refusal = (text: string): Lock.LockError => {
  const parsed = Lock.parse(text, "x.lock")
  if (Result.isSuccess(parsed)) throw new Error("a lock that should not parse does")
  return parsed.failure
}
const edited = (from: string, to: string): string => {
  const text = Lock.format(lock).replace(from, to)
  if (text === Lock.format(lock)) throw new Error(`${from} is not in the text`)
  return text
}

describe("Lock", () => {
  it("is text that people read, one for one lock", () => {
    const text = Lock.format(lock)
    assert.strictEqual(
      text,
      `{
  "lock": 1,
  "target": "wasm",
  "features": ["relaxed-simd","simd128"],
  "generator": "wasm@3",
  "digest": "${Lock.digest(lock)}",
  "decisions": [
    {
      "key": "a",
      "nodes": ["/fc1","/fc2"],
      "candidate": "gemm",
      "config": {"mr":6,"nr":8}
    },
    {
      "key": "b",
      "nodes": ["/b"],
      "candidate": "gemm",
      "config": {"mr":4,"nr":8}
    }
  ]
}
`
    )
    const again = Lock.parse(text, "x.lock")
    assert.deepStrictEqual(Result.getOrThrow(again), lock)
    assert.strictEqual(Lock.format({ ...lock, decisions: lock.decisions.toReversed() }), text)
    const empty = Lock.make(header, [])
    assert.deepStrictEqual(Result.getOrThrow(Lock.parse(Lock.format(empty), "e")), empty)
  })

  it("a change of one decision is a change of its line and of the digest", () => {
    const lines = (one: Lock.Lock) => Lock.format(one).split("\n")
    const [before, after] = [lines(lock), lines(Lock.make(header, [...lock.decisions, entry("b", 5)]))]
    assert.deepStrictEqual(
      after.filter((line, i) => line !== before[i]).map((line) => line.trim().split(":")[0]),
      ['"digest"', '"config"']
    )
  })

  it("tampering is found, wherever it is", () => {
    for (const [from, to] of [
      ['"mr":6', '"mr":7'],
      ['"/fc1"', '"/fc3"'],
      ["wasm@3", "wasm@4"],
      ["relaxed-simd", "threads"],
      ['"key": "b"', '"key": "c"'],
      ['"target": "wasm"', '"target": "cuda"']
    ] as const) {
      const error = refusal(edited(from, to))
      assert.strictEqual(error.reason, "Altered", `${from} → ${to}`)
      assert.strictEqual(error.faults[0]?.place, "digest")
      assert.include(error.message, "x.lock is no usable lock")
    }
    const without = Lock.format(lock).replace(/,\n {4}\{[^}]*"b"[^}]*\}[^}]*\}/, "")
    assert.strictEqual(refusal(without).reason, "Altered")
    // Order of entries and of fields is no content.
    const reordered = Lock.format(lock).replace('{"mr":6,"nr":8}', '{"nr":8,"mr":6}')
    assert.isTrue(Result.isSuccess(Lock.parse(reordered, "x.lock")))
  })

  it("says every fault with its place", () => {
    const text = edited('"key": "a"', '"key": 5').replace(
      '"candidate": "gemm",\n      "config": {"mr":4',
      '"config": {"mr":4'
    )
    const { reason, faults } = refusal(text)
    assert.strictEqual(reason, "Schema")
    assert.deepStrictEqual(
      faults.map(({ place }) => place),
      ["decisions[0].key", "decisions[1].candidate"]
    )
    assert.strictEqual(
      refusal(edited('"target": "wasm",', '"target": "wasm", "colour": 1,')).faults[0]?.place,
      "colour"
    )
    assert.strictEqual(refusal(edited('"mr":6', '"mr":1e999')).reason, "Schema")
    assert.strictEqual(refusal("[]").reason, "Schema")
    assert.strictEqual(refusal('"text"').faults[0]?.place, "the whole")
    assert.strictEqual(refusal("{").reason, "NotJson")
    assert.strictEqual(refusal(edited('"lock": 1', '"lock": 2')).reason, "UnsupportedVersion")
    const twice = refusal(edited('"key": "b"', '"key": "a"'))
    assert.strictEqual(twice.reason, "DuplicateKey")
    assert.strictEqual(twice.faults[0]?.place, "decisions[1].key")
    const conflict = refusal(edited('      "key": "b"', '<<<<<<< ours\n      "key": "b"'))
    assert.strictEqual(conflict.faults[0]?.place, "line 15")
    assert.include(conflict.message, "conflict of a text merge")
  })

  it.effect("files are replaced whole", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const folder = yield* files.makeTempDirectoryScoped()
      const path = `${folder}/deep/model.lock`
      yield* LockFile.write(path, lock)
      yield* LockFile.write(path, lock)
      assert.deepStrictEqual(yield* LockFile.read(path), lock)
      assert.deepStrictEqual(yield* files.readDirectory(`${folder}/deep`), ["model.lock"])
      const missing = yield* Effect.flip(LockFile.read(`${folder}/none.lock`))
      assert.include(missing.message, "cannot read")
      assert.strictEqual(missing.reason, "Missing")
      const blocked = yield* Effect.flip(LockFile.write(`${path}/below`, lock))
      assert.strictEqual(blocked.operation, "write")
      yield* files.writeFileString(path, edited('"mr":6', '"mr":9'))
      const altered = yield* Effect.flip(LockFile.read(path))
      assert.strictEqual(altered.reason, "Altered")
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))
  )

  it.effect("a full disk leaves the old file, at any byte, and nothing beside it", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const folder = yield* files.makeTempDirectoryScoped()
      const path = `${folder}/model.lock`
      yield* LockFile.write(path, lock)
      const other = Lock.make(header, [entry("c", 8)])
      const bytes = new TextEncoder().encode(Lock.format(other)).length
      for (const capacity of [0, 1, bytes - 1]) {
        const error = yield* Effect.flip(Effect.provide(LockFile.write(path, other), SmallDisk.layer(capacity)))
        assert.strictEqual(error.reason, "Full")
        assert.include(error.message, "make room on the disk")
        assert.deepStrictEqual(yield* files.readDirectory(folder), ["model.lock"])
        assert.deepStrictEqual(yield* LockFile.read(path), lock)
      }
      yield* Effect.provide(LockFile.write(path, other), SmallDisk.layer(bytes))
      assert.deepStrictEqual(yield* LockFile.read(path), other)
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))
  )
})

// Small locks over few keys, so that they meet.
const Drawn = Schema.Array(
  Schema.Struct({
    key: Schema.Literals(["a", "b", "c", "d", "e"]),
    nodes: Schema.Array(Schema.Literals(["/x", "/y", "/z"])),
    candidate: Schema.Literals(["gemm", "direct"]),
    config: Schema.Struct({ mr: Schema.Literals([1, 2]), negative: Schema.Literals([0, -0]) })
  })
)
const locked = (drawn: typeof Drawn.Type) => Lock.make(header, drawn)

/** What a diff says, done to the lock that it is of. */
const apply = (before: Lock.Lock, differences: ReadonlyArray<LockDiff.Difference>): Lock.Lock => {
  const entries = new Map(before.decisions.map((one) => [one.key, one]))
  for (const one of differences) {
    if (one._tag === "Removed") entries.delete(one.key)
    else if (one._tag !== "Header") entries.set(one.key, one.after)
  }
  return Lock.make(before, [...entries.values()])
}

describe("LockDiff", () => {
  it("as data and as text", () => {
    const after = Lock.make({ ...header, generator: "wasm@4" }, [entry("a", 5), entry("c", 1), entry("d", 2, [])])
    const differences = LockDiff.diff(lock, after)
    assert.deepStrictEqual(
      differences.map(({ _tag }) => _tag),
      ["Header", "Changed", "Removed", "Added", "Added"]
    )
    assert.strictEqual(
      LockDiff.format(differences),
      [
        "~ generator: wasm@3 → wasm@4",
        '~ /a: gemm {"mr":6,"nr":8} → gemm {"mr":5,"nr":8}',
        '- /b: gemm {"mr":4,"nr":8}',
        '+ /c: gemm {"mr":1,"nr":8}',
        '+ d: gemm {"mr":2,"nr":8}'
      ].join("\n")
    )
    assert.strictEqual(LockDiff.format(LockDiff.diff(lock, lock)), "no difference")
    const moved = LockDiff.diff(lock, Lock.make(header, [entry("a", 6), entry("b", 4)]))
    assert.strictEqual(LockDiff.format(moved), "~ a: decides /fc1, /fc2 → /a")
  })

  it.effect.prop(
    "is empty for equal locks only, and makes the one out of the other",
    [Drawn, Drawn],
    ([first, second]) =>
      Effect.sync(() => {
        const [a, b] = [locked(first), locked(second)]
        assert.deepStrictEqual(LockDiff.diff(a, a), [])
        assert.strictEqual(LockDiff.diff(a, b).length === 0, Lock.format(a) === Lock.format(b))
        assert.strictEqual(Lock.format(apply(a, LockDiff.diff(a, b))), Lock.format(b))
      }),
    { arbitrary: { runs: 300, seed: 1 } }
  )

  it.effect.prop(
    "written and read, a lock is the same",
    [Drawn],
    ([drawn]) =>
      Effect.sync(() => {
        const one = locked(drawn)
        const again = Result.getOrThrow(Lock.parse(Lock.format(one), "x"))
        assert.strictEqual(Lock.format(again), Lock.format(one))
        assert.deepStrictEqual(LockDiff.diff(one, again), [])
      }),
    { arbitrary: { runs: 100, seed: 1 } }
  )
})

describe("LockMerge", () => {
  it("is the union; what differs is listed, all of it", () => {
    const other = Lock.make(header, [entry("a", 6, ["/fc9"]), entry("c", 2)])
    const merged = LockMerge.merge(lock, other)
    assert.deepStrictEqual(merged, {
      _tag: "Merged",
      lock: Lock.make(header, [entry("a", 6, ["/fc1", "/fc2", "/fc9"]), entry("b", 4), entry("c", 2)])
    })
    const against = Lock.make(header, [entry("a", 1), entry("b", 2), entry("c", 3)])
    const conflicts = LockMerge.merge(lock, against)
    if (conflicts._tag !== "Conflicts") return assert.fail("no conflict")
    assert.strictEqual(
      LockMerge.format(conflicts.conflicts),
      '~ /a: gemm {"mr":6,"nr":8} → gemm {"mr":1,"nr":8}\n~ /b: gemm {"mr":4,"nr":8} → gemm {"mr":2,"nr":8}'
    )
    const mrs = (prefer: "a" | "b") => {
      const settled = LockMerge.merge(lock, against, { prefer })
      if (settled._tag !== "Merged") return assert.fail("not settled")
      return settled.lock.decisions.map(({ config }) => JSON.stringify(config))
    }
    assert.deepStrictEqual(mrs("a"), ['{"nr":8,"mr":6}', '{"nr":8,"mr":4}', '{"nr":8,"mr":3}'])
    assert.deepStrictEqual(mrs("b"), ['{"nr":8,"mr":1}', '{"nr":8,"mr":2}', '{"nr":8,"mr":3}'])
  })

  it("locks for different things are never merged", () => {
    const other = LockMerge.merge(lock, Lock.make({ ...header, target: "cuda" }, []), { prefer: "a" })
    assert.strictEqual(other._tag, "Conflicts")
  })

  const keys = (one: Lock.Lock) => one.decisions.map(({ key }) => key)
  it.effect.prop(
    "commutes, keeps everything, is nothing with itself",
    [Drawn, Drawn],
    ([first, second]) =>
      Effect.sync(() => {
        const [a, b] = [locked(first), locked(second)]
        assert.deepStrictEqual(LockMerge.merge(a, a), { _tag: "Merged", lock: a })
        const [ab, ba] = [LockMerge.merge(a, b), LockMerge.merge(b, a)]
        if (ab._tag === "Merged" && ba._tag === "Merged") {
          assert.strictEqual(Lock.format(ab.lock), Lock.format(ba.lock))
          assert.deepStrictEqual(keys(ab.lock), [...new Set([...keys(a), ...keys(b)])].toSorted())
          // Everything that is in one of them is in the union.
          for (const one of [a, b]) {
            const left = LockDiff.diff(one, ab.lock).map(({ _tag }) => _tag)
            assert.isTrue(left.every((tag) => tag === "Added" || tag === "Nodes"))
          }
        } else if (ab._tag === "Conflicts" && ba._tag === "Conflicts") {
          const changed = LockDiff.diff(a, b).filter(({ _tag }) => _tag === "Changed")
          assert.strictEqual(LockMerge.format(ab.conflicts), LockDiff.format(changed))
          assert.strictEqual(ba.conflicts.length, changed.length)
        } else assert.fail("one way merges and the other does not")
        // Preferring the first one is preferring the second one, the other way round.
        assert.deepStrictEqual(LockMerge.merge(a, b, { prefer: "a" }), LockMerge.merge(b, a, { prefer: "b" }))
      }),
    { arbitrary: { runs: 300, seed: 2 } }
  )

  it.effect.prop(
    "three locks merge in any order to the same",
    [Drawn, Drawn, Drawn],
    (drawn) =>
      Effect.sync(() => {
        const [a, b, c] = drawn.map(locked)
        if (a === undefined || b === undefined || c === undefined) return assert.fail("three locks")
        const join = (one: LockMerge.Merged, other: Lock.Lock): LockMerge.Merged =>
          one._tag === "Merged" ? LockMerge.merge(one.lock, other) : one
        const orders = [
          [a, b, c],
          [c, a, b],
          [b, c, a]
        ]
        const results = orders.map(([first = a, second = b, third = c]) => join(LockMerge.merge(first, second), third))
        assert.strictEqual(
          new Set(results.map((one) => (one._tag === "Merged" ? Lock.format(one.lock) : "conflict"))).size,
          1
        )
      }),
    { arbitrary: { runs: 200, seed: 3 } }
  )
})

describe("LockedTuner", () => {
  const space = Space.space(4, Space.tiles([2, 4], [1, 2], [1]))
  const here: Lock.Header = { target: "simulated", features: [], generator: "simulated@1" }
  const decided = Effect.gen(function* () {
    const tuner = yield* Tuner.Tuner
    return yield* tuner.decide(space)
  })
  const misses = (tuner: Effect.Effect<unknown, Tuner.TunerError | Tuner.LockMiss>) =>
    Effect.map(Effect.flip(tuner), (error) => {
      if (error._tag !== "LockMiss") return assert.fail(error.message)
      return error
    })

  it.effect("decides what the lock says, the same as the tuner that wrote it", () =>
    Effect.gen(function* () {
      const first = yield* Effect.provide(decided, HeuristicTuner.layer)
      const made = Lock.fromDecisions(here, space, first)
      const written = Result.getOrThrow(Lock.parse(Lock.format(made), "x"))
      assert.deepStrictEqual(yield* Effect.provide(decided, LockedTuner.layer(written, here)), first)
      const identity = (one: Lock.Lock) =>
        Effect.provide(
          Effect.map(Tuner.Tuner, (tuner) => tuner.identity),
          LockedTuner.layer(one)
        )
      assert.deepStrictEqual(yield* identity(written), yield* identity(made))
      assert.notDeepEqual(yield* identity(written), yield* identity(Lock.make(here, [])))
    })
  )

  it.effect("lists every miss: absent decisions, and candidates that nobody offers", () =>
    Effect.gen(function* () {
      const made = Lock.fromDecisions(here, space, yield* Effect.provide(decided, HeuristicTuner.layer))
      const entries = made.decisions
        .filter(({ key }) => key !== "k0")
        .map((one) => (one.key === "k2" ? Object.assign({}, one, { config: { mr: 99, nr: 1, unroll: 1 } }) : one))
      const error = yield* misses(Effect.provide(decided, LockedTuner.layer(Lock.make(here, entries), here)))
      assert.deepStrictEqual(
        error.misses.map(({ reason, key, node }) => [reason, key, node]),
        [
          ["Absent", "k0", "/layer0"],
          ["NotOffered", "k2", "/layer2"]
        ]
      )
      assert.include(error.message, "2 decisions are not in the lock")
      assert.include(error.message, 'gemm {"mr":99,"nr":1,"unroll":1}')
    })
  )

  it.effect("before another tuner, it leaves to that one what it does not settle", () =>
    Effect.gen(function* () {
      const all = yield* Effect.provide(decided, HeuristicTuner.layer)
      // The lock has the last candidate for two choices, and one that is gone for another.
      const entries = space.flatMap(({ key, candidates }, i) => {
        const last = candidates.at(-1)
        if (last === undefined || i > 2) return []
        return [{ key, nodes: [], candidate: last.name, config: i === 2 ? { gone: 1 } : last.config }]
      })
      const before = LockedTuner.layerFirst(Lock.make(here, entries), here)
      const both = yield* Effect.provide(decided, Layer.provide(before, HeuristicTuner.layer))
      assert.deepStrictEqual(
        both.map(({ candidate }) => candidate),
        [space[0]?.candidates.at(-1), space[1]?.candidates.at(-1), all[2]?.candidate, all[3]?.candidate]
      )
    })
  )

  it.effect("a lock for something else settles nothing", () =>
    Effect.gen(function* () {
      const made = Lock.fromDecisions(here, space, yield* Effect.provide(decided, HeuristicTuner.layer))
      const other = { target: "simulated", features: ["new"], generator: "simulated@2" }
      const error = yield* misses(Effect.provide(decided, LockedTuner.layer(made, other)))
      assert.strictEqual(error.misses.length, 4)
      assert.include(error.message, "generator simulated@1, not simulated@2")
    })
  )
})
