/**
 * MicroBatcher: single requests in, batches to the session, single answers out.
 *
 * ```ts
 * const batcher = yield* MicroBatcher.make(session, { maxRows: 8, maxDelay: "2 millis", capacity: 256 })
 * const { y } = yield* batcher.run({ x })       // from many fibers at once
 * ```
 * Requests wait until `maxRows` rows are there or the first has waited `maxDelay`; those whose other sizes differ make
 * batches of their own. At most `capacity` requests wait: beyond that `run` waits for room, or is refused, as asked. A
 * batch that fails is run again one request at a time, so that nobody pays for somebody else's input.
 */
import * as Tensor from "@anneal/ir/Tensor"
import * as DTypes from "@anneal/ir/DType"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { ExecutionError, MemoryError } from "./RuntimeError.ts"
import { InputError } from "./RuntimeError.ts"
import type { Session, Tensors } from "./Session.ts"

export interface Options {
  /** Rows of a batch, at most; also what the engine's profile must take. */
  readonly maxRows: number
  /** How long the first request of a batch waits for others. */
  readonly maxDelay: Duration.Input
  /** Requests that wait, at most. */
  readonly capacity: number
  /** What a request does that finds no room. Default `wait`. */
  readonly overload?: "wait" | "refuse"
}

/** A session whose inputs and outputs do not share a leading size, or that carries state. */
export class NotBatchable extends Schema.TaggedError<NotBatchable>()("NotBatchable", {
  engine: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.engine} cannot be batched: ${this.detail}`
  }
}

/** No room: as many requests wait as may. */
export class Overloaded extends Schema.TaggedError<Overloaded>()("Overloaded", {
  engine: Schema.String,
  capacity: Schema.Int
}) {
  override get message(): string {
    return `${this.engine}: ${this.capacity} requests wait already. Send fewer at once, or raise the capacity.`
  }
}

export type Failure = InputError | MemoryError | ExecutionError

/** What was done so far. */
export interface Counts {
  readonly requests: number
  readonly batches: number
  /** Rows over batches · `maxRows`: how full batches were, in 0 … 1. */
  readonly fill: number
}

export interface MicroBatcher {
  /** One request: tensors whose first axis is the batch, of any number of rows up to `maxRows`. */
  readonly run: (inputs: Tensors) => Effect.Effect<Tensors, Failure | Overloaded>
  readonly counts: Effect.Effect<Counts>
}

interface Request {
  readonly inputs: Tensors
  readonly rows: number
  /** What must be equal in one batch: names, dtypes and all sizes but the first. */
  readonly kind: string
  readonly answer: Deferred.Deferred<Tensors, Failure>
  /** Milliseconds. */
  readonly since: number
  given: boolean
}

/** A batcher over a session; ends with its scope, and requests that still wait are interrupted. */
export const make = (
  session: Session,
  { capacity, maxDelay, maxRows, overload = "wait" }: Options
): Effect.Effect<MicroBatcher, NotBatchable, Scope.Scope> =>
  Effect.gen(function* () {
    const engine = session.engine.file
    yield* mustBatch(session)
    const queue = yield* Effect.acquireRelease(Queue.bounded<Request>(Math.max(1, capacity)), Queue.shutdown)
    const delay = Duration.toMillis(maxDelay)
    const counts = { requests: 0, batches: 0, rows: 0 }
    const waiting: Array<Request> = []

    /** Requests that make the next batch, taken out of `waiting`: the oldest, and those that go with it. */
    const next = (): ReadonlyArray<Request> => {
      const [first] = waiting
      if (first === undefined) return []
      const chosen: Array<Request> = []
      let rows = 0
      for (const one of waiting) {
        if (one.kind !== first.kind || (chosen.length > 0 && rows + one.rows > maxRows)) continue
        chosen.push(one)
        rows += one.rows
      }
      for (const one of chosen) waiting.splice(waiting.indexOf(one), 1)
      return chosen.filter(({ given }) => given)
    }

    const isFull = (): boolean => {
      const [first] = waiting
      let rows = 0
      for (const { kind, rows: own } of waiting) if (kind === first?.kind) rows += own
      return rows >= maxRows
    }

    const collect = Effect.gen(function* () {
      if (waiting.length === 0) waiting.push(yield* Queue.take(queue))
      const until = (waiting[0]?.since ?? 0) + delay
      while (!isFull()) {
        const left = until - (yield* Clock.currentTimeMillis)
        const found = left > 0 ? yield* Effect.timeoutOption(Queue.take(queue), left) : yield* Queue.poll(queue)
        if (Option.isNone(found)) break
        waiting.push(found.value)
      }
    })

    const serve = Effect.gen(function* () {
      yield* collect
      const batch = next()
      if (batch.length === 0) return
      counts.requests += batch.length
      counts.batches += 1
      counts.rows += batch.reduce((sum, { rows }) => sum + rows, 0)
      yield* answer(session, batch)
    })
    yield* Effect.forkScoped(Effect.forever(serve))

    const run: MicroBatcher["run"] = (inputs) =>
      Effect.gen(function* () {
        const request: Request = {
          ...describe(inputs),
          inputs,
          answer: yield* Deferred.make<Tensors, Failure>(),
          since: yield* Clock.currentTimeMillis,
          given: true
        }
        if (overload === "refuse" && (yield* Queue.isFull(queue))) return yield* new Overloaded({ engine, capacity })
        yield* Queue.offer(queue, request)
        return yield* Effect.onInterrupt(Deferred.await(request.answer), () =>
          Effect.sync(() => {
            request.given = false
          })
        )
      })
    return {
      run,
      counts: Effect.sync(() => ({
        requests: counts.requests,
        batches: counts.batches,
        fill: counts.batches === 0 ? 0 : counts.rows / (counts.batches * maxRows)
      }))
    }
  })

const mustBatch = ({ engine, inputs, outputs }: Session): Effect.Effect<void, NotBatchable> => {
  const refuse = (detail: string) => Effect.fail(new NotBatchable({ engine: engine.file, detail }))
  if (engine.manifest.aliases.length > 0) return refuse("it carries state from run to run")
  const leading = inputs[0]?.shape[0]
  if (leading === undefined || /^[0-9]+$/.test(leading))
    return refuse("its first input has no open first size; export it with a dynamic batch")
  const other = [...inputs, ...outputs].find(({ shape }) => shape[0] !== leading)
  return other === undefined
    ? Effect.void
    : refuse(`${other.name} is [${other.shape.join(", ")}], the first size of all must be ${leading}`)
}

const describe = (inputs: Tensors): { readonly rows: number; readonly kind: string } => {
  const tensors = Object.entries(inputs).sort(([a], [b]) => (a < b ? -1 : 1))
  const kinds = tensors.map(([name, { dtype, shape }]) => `${name}:${dtype}[${shape.slice(1).join()}]`)
  const rows = tensors[0]?.[1].shape[0] ?? 0
  // Inputs that disagree about their own rows go alone: the session tells them what is wrong.
  const agree = tensors.every(([, { shape }]) => shape[0] === rows)
  return { rows, kind: agree ? kinds.join() : `alone ${tensors.map(([, { shape }]) => shape.join("x")).join()}` }
}

/** Runs a batch and hands the rows back; on failure, each request alone. */
const answer = (session: Session, batch: ReadonlyArray<Request>): Effect.Effect<void> => {
  const [first, ...others] = batch
  if (first === undefined) return Effect.void
  const alone = Effect.forEach(batch, ({ answer: to, inputs }) => Deferred.into(session.run(inputs), to), {
    discard: true
  })
  if (others.length === 0 || first.kind.startsWith("alone")) return alone
  return Effect.matchEffect(session.run(joined(batch)), {
    onFailure: () => alone,
    onSuccess: (outputs) => {
      let row = 0
      return Effect.forEach(
        batch,
        ({ answer: to, rows }) => {
          const own = Object.entries(outputs).map(([name, tensor]) => [name, rowsOf(tensor, row, rows)] as const)
          row += rows
          return Deferred.succeed(to, Object.fromEntries(own))
        },
        { discard: true }
      )
    }
  })
}

/** The inputs of a batch one after the other along the first axis. */
const joined = (batch: ReadonlyArray<Request>): Tensors => {
  const total = batch.reduce((sum, { rows }) => sum + rows, 0)
  const names = Object.keys(batch[0]?.inputs ?? {})
  return Object.fromEntries(
    names.map((name) => {
      const parts = batch.flatMap(({ inputs }) => inputs[name] ?? [])
      const { dtype, shape } = parts[0] ?? Tensor.zeros("f32", [0])
      const whole = Tensor.zeros(dtype, [total, ...shape.slice(1)])
      const to = bytes(whole)
      let at = 0
      for (const part of parts) {
        to.set(bytes(part), at)
        at += part.data.byteLength
      }
      return [name, whole]
    })
  )
}

const bytes = ({ data }: Tensor.Tensor): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

/** Rows of a result, on the same memory. */
const rowsOf = ({ data, dtype, shape }: Tensor.Tensor, first: number, count: number): Tensor.Tensor => {
  const own = [count, ...shape.slice(1)]
  const size = Tensor.size(shape.slice(1))
  const offset = data.byteOffset + first * size * DTypes.slotBytes(dtype)
  return Tensor.make(dtype, own, DTypes.view(dtype, data.buffer, offset, count * size))
}
