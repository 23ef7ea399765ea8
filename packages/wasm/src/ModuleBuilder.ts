/**
 * ModuleBuilder: functions, globals and imports to the bytes of a WebAssembly module.
 *
 * ```ts
 * const module = new ModuleBuilder({ shared: false, maximumPages: 65536 })
 * module.func("scale", ["i32", "i32", "f32"], [], (f, [x, count, factor]) => {
 *   f.range(0, f.get(count), 4, (i) => f.do(v128.store(…)))
 * }, { export: true })
 * const bytes = module.toBytes()
 * ```
 * The memory is imported as `env.memory`; globals that the host sets are imported as `env.NAME`.
 */
import type { Code, Expr, I32, ValueType } from "./Instruction.ts"
import { i32, unsigned } from "./Instruction.ts"

export interface Local<T extends ValueType = ValueType> {
  readonly type: T
  readonly index: number
}

export interface Global<T extends ValueType = ValueType> {
  readonly type: T
  readonly index: number
}

export interface Func {
  readonly name: string
  /** In the module's index space, imports first. */
  readonly index: number
  readonly params: ReadonlyArray<ValueType>
  readonly results: ReadonlyArray<ValueType>
}

const typeByte: { readonly [T in ValueType]: number } = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b }

/** A place to branch to. */
export interface Label {
  readonly depth: number
}

/** The body of one function, statement by statement. */
export class FunctionBuilder {
  #code: Array<number | Code> = []
  #depth = 0
  /** What the function does first: `constant`. */
  readonly #prologue: Array<Code> = []
  readonly #constants = new Map<string, Local>()
  readonly #locals: Array<ValueType>
  readonly #parameters: number

  constructor(params: ReadonlyArray<ValueType>) {
    this.#locals = [...params]
    this.#parameters = params.length
  }

  local<T extends ValueType>(type: T): Local<T> {
    this.#locals.push(type)
    return { type, index: this.#locals.length - 1 }
  }

  get<T extends ValueType>(local: Local<T>): Expr<T> {
    return { type: local.type, code: [0x20, unsigned(local.index)] }
  }

  set<T extends ValueType>(local: Local<T>, value: Expr<T>): void {
    this.#code.push([value.code, 0x21, unsigned(local.index)])
  }

  tee<T extends ValueType>(local: Local<T>, value: Expr<T>): Expr<T> {
    return { type: value.type, code: [value.code, 0x22, unsigned(local.index)] }
  }

  /** A new local with this value. */
  let<T extends ValueType>(value: Expr<T>): Local<T> {
    const local = this.local(value.type)
    this.set(local, value)
    return local
  }

  /**
   * A constant in a local that is set where the function begins: a loop does not make it again in each round. Equal code,
   * equal local. The value must need nothing that the function computes.
   */
  constant<T extends ValueType>(value: Expr<T>): Expr<T> {
    const key = `${value.type}:${flatten(value.code).join()}`
    const known = this.#constants.get(key)
    if (known !== undefined) return this.get({ type: value.type, index: known.index })
    const local = this.local(value.type)
    this.#constants.set(key, local)
    this.#prologue.push([value.code, 0x21, unsigned(local.index)])
    return this.get(local)
  }

  global<T extends ValueType>(global: Global<T>): Expr<T> {
    return { type: global.type, code: [0x23, unsigned(global.index)] }
  }

  setGlobal<T extends ValueType>(global: Global<T>, value: Expr<T>): void {
    this.#code.push([value.code, 0x24, unsigned(global.index)])
  }

  /** A statement: a store, or anything that leaves nothing on the stack. */
  do(code: Code): void {
    this.#code.push(code)
  }

  /** Evaluates and forgets. */
  drop(value: Expr): void {
    this.#code.push([value.code, 0x1a])
  }

  /** An expression of the function's result. */
  call<T extends ValueType>(type: T, func: Func, args: ReadonlyArray<Expr>): Expr<T> {
    return { type, code: [args.map(({ code }) => code), 0x10, unsigned(func.index)] }
  }

  /** A call for its effect. */
  run(func: Func, args: ReadonlyArray<Expr>): void {
    this.#code.push([args.map(({ code }) => code), 0x10, unsigned(func.index), func.results.map(() => 0x1a)])
  }

  return(...values: ReadonlyArray<Expr>): void {
    this.#code.push([values.map(({ code }) => code), 0x0f])
  }

  unreachable(): void {
    this.#code.push(0x00)
  }

  #nest(opening: Code, body: (label: Label) => void, closing: Code = [0x0b]): void {
    this.#code.push(opening)
    this.#depth++
    body({ depth: this.#depth })
    this.#depth--
    this.#code.push(closing)
  }

  /** `br` to its label leaves it. */
  block(body: (label: Label) => void): void {
    this.#nest([0x02, 0x40], body)
  }

  /** `br` to its label goes round again. */
  loop(body: (label: Label) => void): void {
    this.#nest([0x03, 0x40], body)
  }

  if(condition: I32, then: () => void, otherwise?: () => void): void {
    this.#code.push([condition.code, 0x04, 0x40])
    this.#depth++
    then()
    if (otherwise !== undefined) {
      this.#code.push(0x05)
      otherwise()
    }
    this.#depth--
    this.#code.push(0x0b)
  }

  br(label: Label): void {
    this.#code.push([0x0c, unsigned(this.#depth - label.depth)])
  }

  brIf(label: Label, condition: I32): void {
    this.#code.push([condition.code, 0x0d, unsigned(this.#depth - label.depth)])
  }

  /**
   * for (i = from; i < to; i += step), signed; the body may be skipped. `i` is a local that the body must not change.
   * Integers that are known make it a loop with constants, one round of it no loop at all.
   */
  range(from: number | I32, to: number | I32, step: number, body: (i: Local<"i32">) => void): void {
    const i = this.let(typeof from === "number" ? i32.const(from) : from)
    if (typeof from === "number" && typeof to === "number") {
      const rounds = Math.ceil((to - from) / step)
      if (rounds <= 0) return
      if (rounds === 1) return body(i)
      this.loop((again) => {
        body(i)
        this.brIf(again, i32.lt_s(this.tee(i, i32.add(this.get(i), i32.const(step))), i32.const(to)))
      })
      return
    }
    const end = typeof to === "number" ? i32.const(to) : this.get(this.let(to))
    this.if(i32.lt_s(this.get(i), end), () =>
      this.loop((again) => {
        body(i)
        this.brIf(again, i32.lt_s(this.tee(i, i32.add(this.get(i), i32.const(step))), end))
      })
    )
  }

  /** The function's entry of the code section. */
  finish(): Code {
    const own = this.#locals.slice(this.#parameters)
    const groups: Array<{ readonly type: ValueType; count: number }> = []
    for (const type of own) {
      const last = groups.at(-1)
      if (last?.type === type) last.count++
      else groups.push({ type, count: 1 })
    }
    const locals = [unsigned(groups.length), groups.map(({ count, type }) => [unsigned(count), typeByte[type]])]
    return [locals, this.#prologue, this.#code, 0x0b]
  }
}

const flatten = (code: Code): Uint8Array<ArrayBuffer> => {
  let bytes = new Uint8Array(256)
  let at = 0
  const write = (one: Code): void => {
    for (let place = 0; place < one.length; place++) {
      const item = one[place]
      if (typeof item === "object") write(item)
      else {
        if (at === bytes.length) {
          const longer = new Uint8Array(2 * at)
          longer.set(bytes)
          bytes = longer
        }
        bytes[at++] = item ?? 0
      }
    }
  }
  write(code)
  return bytes.slice(0, at)
}

const lengthOf = (code: Code): number => {
  let total = 0
  for (const item of code) total += typeof item === "number" ? 1 : lengthOf(item)
  return total
}

const sized = (code: Code): Code => [unsigned(lengthOf(code)), code]
const section = (id: number, items: ReadonlyArray<Code>): Code =>
  items.length === 0 ? [] : [id, sized([unsigned(items.length), items])]
const text = (value: string): Code => {
  const bytes = [...new TextEncoder().encode(value)]
  return [unsigned(bytes.length), bytes]
}

export interface MemoryOptions {
  /** Whether the memory is shared between threads. */
  readonly shared: boolean
  /** Upper limit in pages of 64 KiB, at most 65,536; a shared memory must say one. */
  readonly maximumPages: number
}

/** A function's body as bytes: the tree that it was written as is large, and is not needed any more. */
type Pending = { readonly func: Func; readonly body: Uint8Array }

export class ModuleBuilder {
  readonly #memory: MemoryOptions
  readonly #types = new Map<string, number>()
  readonly #typeCodes: Array<Code> = []
  readonly #importedFuncs: Array<{ readonly name: string; readonly type: number }> = []
  readonly #importedGlobals: Array<{ readonly name: string; readonly type: ValueType; readonly mutable: boolean }> = []
  readonly #globals: Array<{ readonly type: ValueType; readonly initial: Code }> = []
  readonly #functions: Array<Pending> = []
  readonly #exports: Array<{ readonly name: string; readonly kind: number; readonly index: number }> = []

  constructor(memory: MemoryOptions) {
    this.#memory = memory
  }

  #type(params: ReadonlyArray<ValueType>, results: ReadonlyArray<ValueType>): number {
    const key = `${params.join()}:${results.join()}`
    const known = this.#types.get(key)
    if (known !== undefined) return known
    const index = this.#typeCodes.length
    this.#types.set(key, index)
    const list = (types: ReadonlyArray<ValueType>): Code => [
      unsigned(types.length),
      types.map((type) => typeByte[type])
    ]
    this.#typeCodes.push([0x60, list(params), list(results)])
    return index
  }

  /** A function of the host, `env.NAME`. Before any `func`. */
  importFunc(name: string, params: ReadonlyArray<ValueType>, results: ReadonlyArray<ValueType>): Func {
    if (this.#functions.length > 0) throw new Error("imports come before functions")
    this.#importedFuncs.push({ name, type: this.#type(params, results) })
    return { name, index: this.#importedFuncs.length - 1, params, results }
  }

  /** A global of the host, `env.NAME`: fixed for the life of the instance unless mutable. Before any `global`. */
  importGlobal<T extends ValueType>(name: string, type: T, mutable = false): Global<T> {
    if (this.#globals.length > 0) throw new Error("imported globals come before own ones")
    this.#importedGlobals.push({ name, type, mutable })
    return { type, index: this.#importedGlobals.length - 1 }
  }

  /** A mutable global of the module's own, exported under `name` when asked. */
  global<T extends ValueType>(name: string, initial: Expr<T>, options: { readonly export?: boolean } = {}): Global<T> {
    this.#globals.push({ type: initial.type, initial: initial.code })
    const index = this.#importedGlobals.length + this.#globals.length - 1
    if (options.export === true) this.#exports.push({ name, kind: 3, index })
    return { type: initial.type, index }
  }

  func(
    name: string,
    params: ReadonlyArray<ValueType>,
    results: ReadonlyArray<ValueType>,
    body: (f: FunctionBuilder, params: ReadonlyArray<Local>) => void,
    options: { readonly export?: boolean } = {}
  ): Func {
    // A body may add functions that it calls; they come before it.
    const builder = new FunctionBuilder(params)
    body(
      builder,
      params.map((type, index) => ({ type, index }))
    )
    const code = flatten(builder.finish())
    const index = this.#importedFuncs.length + this.#functions.length
    const func: Func = { name, index, params, results }
    this.#functions.push({ func, body: code })
    if (options.export === true) this.#exports.push({ name, kind: 0, index })
    return func
  }

  toBytes(): Uint8Array<ArrayBuffer> {
    const { maximumPages, shared } = this.#memory
    const imports: ReadonlyArray<Code> = [
      [text("env"), text("memory"), 0x02, shared ? 0x03 : 0x01, unsigned(0), unsigned(maximumPages)],
      ...this.#importedFuncs.map(({ name, type }): Code => [text("env"), text(name), 0x00, unsigned(type)]),
      ...this.#importedGlobals.map(({ mutable, name, type }): Code => [
        text("env"),
        text(name),
        0x03,
        typeByte[type],
        mutable ? 1 : 0
      ])
    ]
    const types = this.#functions.map(({ func }): Code => unsigned(this.#type(func.params, func.results)))
    const count = unsigned(this.#functions.length)
    const sizes = this.#functions.map(({ body }) => Uint8Array.from(unsigned(body.length)))
    const content = this.#functions.reduce(
      (sum, { body }, place) => sum + body.length + (sizes[place]?.length ?? 0),
      count.length
    )
    const head: Code = [
      [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
      section(1, this.#typeCodes),
      section(2, imports),
      section(3, types),
      section(
        6,
        this.#globals.map(({ initial, type }): Code => [typeByte[type], 1, initial, 0x0b])
      ),
      section(
        7,
        this.#exports.map(({ index, kind, name }): Code => [text(name), kind, unsigned(index)])
      ),
      this.#functions.length === 0 ? [] : [10, unsigned(content), count]
    ]
    const before = flatten(head)
    const bytes = new Uint8Array(before.length + (this.#functions.length === 0 ? 0 : content - count.length))
    bytes.set(before)
    let at = before.length
    for (const [place, { body }] of this.#functions.entries()) {
      const size = sizes[place] ?? new Uint8Array()
      bytes.set(size, at)
      bytes.set(body, at + size.length)
      at += size.length + body.length
    }
    return bytes
  }
}
