/**
 * Emission: what the kernels of one module share while they are written: the module, what the host can do, the symbols'
 * values, and the functions that several kernels call (an exponential), each written once.
 */
import * as Dim from "@anneal/ir/Dim"
import type { FunctionBuilder, Func, Global, ModuleBuilder } from "./ModuleBuilder.ts"
import type { I32 } from "./Instruction.ts"
import { i32, select, unsigned } from "./Instruction.ts"

/** What generated code may use beyond fixed-width SIMD. Sorted names are the variant's features. */
export interface Features {
  /** Fused multiply-add, dot products of bytes (`relaxed-simd`). */
  readonly relaxed: boolean
  /** Pairs of neighbouring vectors, for V8's revectorizer: other tile shapes. */
  readonly wide: boolean
  /** Shared memory and atomics. */
  readonly threads: boolean
}

export class Emission {
  readonly module: ModuleBuilder
  readonly features: Features
  readonly #symbols: ReadonlyMap<string, Global<"i32">>
  readonly #library = new Map<string, Func>()

  constructor(module: ModuleBuilder, features: Features, symbols: ReadonlyMap<string, Global<"i32">>) {
    this.module = module
    this.features = features
    this.#symbols = symbols
  }

  /** A function by name, written by `make` at its first use. Call it before the body of the function that calls it begins. */
  shared(name: string, make: () => Func): Func {
    const known = this.#library.get(name)
    if (known !== undefined) return known
    const func = make()
    this.#library.set(name, func)
    return func
  }

  /** The value of a dim: a constant, or computed from the symbols' globals. Floor division, as dims have it. */
  dim(dim: Dim.Dim): I32 {
    if (typeof dim === "number") return i32.const(dim)
    return Dim.fold<I32>(dim, {
      integer: (value) => i32.const(value),
      symbol: (name) => this.#symbol(name),
      add: (a, b) => i32.add(a, b),
      mul: (a, b) => i32.mul(a, b),
      // Divisors are positive sizes; a negative dividend rounds down, unlike the instruction.
      floorDiv: (a, b) => i32.div_s(i32.sub(a, floorMod(a, b)), b),
      mod: (a, b) => floorMod(a, b),
      min: (a, b) => select(i32.lt_s(a, b), a, b),
      max: (a, b) => select(i32.gt_s(a, b), a, b)
    })
  }

  #symbol(name: string): I32 {
    const global = this.#symbols.get(name)
    if (global === undefined) throw new Error(`the symbol ${name} has no global`)
    return { type: "i32", code: [0x23, unsigned(global.index)] }
  }

  /** `dim` in a local, or a constant: for loops that use it again and again. */
  hoisted(f: FunctionBuilder, dim: Dim.Dim): I32 {
    return typeof dim === "number" ? i32.const(dim) : f.get(f.let(this.dim(dim)))
  }
}

const floorMod = (a: I32, b: I32): I32 => i32.rem_s(i32.add(i32.rem_s(a, b), b), b)
