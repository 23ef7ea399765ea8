/**
 * PlantedFaults: ways to spoil a kernel that is right: what it is called with, what it packs, which region it was generated
 * for, single instructions and stores of its code.
 */
import type { Region } from "@anneal/lower/Region"
import type { Features } from "@anneal/wasm/Emission"
import type { Code, Expr, I32, V128, ValueType } from "@anneal/wasm/Instruction"
import { i32 } from "@anneal/wasm/Instruction"
import type { Kernel } from "@anneal/wasm/Kernel"
import type { FunctionBuilder, Local } from "@anneal/wasm/ModuleBuilder"
import * as Candidates from "@anneal/wasm/Candidates"

export type Fault = (kernel: Kernel, region: Region, features: Features) => Kernel

/** Its arguments are others: the addresses, then `begin` and `end`. */
export const called =
  (change: (args: ReadonlyArray<I32>, f: FunctionBuilder) => ReadonlyArray<I32>): Fault =>
  (kernel) => ({
    ...kernel,
    emit: (emission, name) => {
      const inner = kernel.emit(emission, `${name} inner`)
      return emission.module.func(name, inner.params, [], (f, params) =>
        f.run(
          inner,
          change(
            params.map(({ index }): I32 => f.get({ type: "i32", index })),
            f
          )
        )
      )
    }
  })

/** Something is done before or after the kernel. */
export const beside =
  (when: "before" | "after", what: (f: FunctionBuilder, args: ReadonlyArray<I32>) => void): Fault =>
  (kernel) => ({
    ...kernel,
    emit: (emission, name) => {
      const inner = kernel.emit(emission, `${name} inner`)
      return emission.module.func(name, inner.params, [], (f, params) => {
        const args = params.map(({ index }): I32 => f.get({ type: "i32", index }))
        if (when === "before") what(f, args)
        f.run(inner, args)
        if (when === "after") what(f, args)
      })
    }
  })

/** It was generated for another region, and is offered for this one. */
export const generatedFor =
  (change: (region: Region) => Region): Fault =>
  (kernel, region, features) => {
    const list = Candidates.candidates(change(region), new Map(), features)
    const found = list.find(({ name }) => name === kernel.name) ?? list[0]
    if (found === undefined) throw new Error(`nothing computes the other ${region.kind}`)
    return { ...found, name: "planted", config: kernel.config }
  }

/** Its packed constants are spoiled. */
export const packing =
  (change: (bytes: Uint8Array) => Uint8Array): Fault =>
  (kernel) => {
    if (kernel.packed.length === 0) throw new Error(`${kernel.name} packs nothing`)
    return {
      ...kernel,
      packed: kernel.packed.map((one) => ({ ...one, pack: (elements) => change(Uint8Array.from(one.pack(elements))) }))
    }
  }

/** While it is written, `spoil` changes the builder of every function of it. */
const written =
  (spoil: (f: FunctionBuilder) => void): Fault =>
  (kernel) => ({
    ...kernel,
    emit: (emission, name) => {
      const { module } = emission
      const original = module.func.bind(module)
      module.func = (title, params, results, body, options) =>
        original(
          title,
          params,
          results,
          (f, locals) => {
            spoil(f)
            body(f, locals)
          },
          options
        )
      try {
        return kernel.emit(emission, name)
      } finally {
        module.func = original
      }
    }
  })

const isSame = (code: Code, wanted: ReadonlyArray<number>): boolean =>
  code.length === wanted.length && code.every((item, place) => item === wanted[place])

/** The instruction's bytes, after its operands. */
const opcodeOf = (made: Expr): ReadonlyArray<number> => {
  const last = made.code.at(-1)
  if (last === undefined || typeof last === "number") throw new Error("an instruction was expected")
  return last.filter((item) => typeof item === "number")
}

type Instruction = (a: V128, b: V128) => Expr
const nothing: V128 = { type: "v128", code: [] }
const bytesOf = (instruction: Instruction): ReadonlyArray<number> => opcodeOf(instruction(nothing, nothing))

/** The n-th place (from 0; -1: each) where an instruction stands has another one with as many operands. */
export const instead = (from: Instruction, to: Instruction, which: number): Fault => {
  const [wanted, other] = [bytesOf(from), bytesOf(to)]
  return (kernel, region, features) => {
    const counted = { seen: 0 }
    const change = (code: Code): Code =>
      code.map((item) => {
        if (typeof item === "number") return item
        if (isSame(item, wanted)) {
          const hit = which < 0 || counted.seen === which
          counted.seen++
          return hit ? other : item
        }
        return change(item)
      })
    const spoiled = written((f) => {
      const [act, set] = [f.do.bind(f), f.set.bind(f)]
      f.do = (code) => act(change(code))
      f.set = <T extends ValueType>(local: Local<T>, value: Expr<T>) =>
        set(local, { type: value.type, code: change(value.code) })
    })(kernel, region, features)
    return {
      ...spoiled,
      emit: (emission, name) => {
        counted.seen = 0
        const made = spoiled.emit(emission, name)
        if (counted.seen <= Math.max(0, which)) throw new Error(`only ${counted.seen} such instructions`)
        return made
      }
    }
  }
}

/** The n-th store (-1: the last) is left out, or written in another way. */
export const stores =
  (which: (place: number) => boolean, change: (code: Code) => Code): Fault =>
  (kernel, region, features) => {
    const counted = { seen: 0, hit: 0 }
    const spoiled = written((f) => {
      const act = f.do.bind(f)
      f.do = (code) => {
        if (!which(counted.seen++)) return act(code)
        counted.hit++
        return act(change(code))
      }
    })(kernel, region, features)
    return {
      ...spoiled,
      emit: (emission, name) => {
        counted.seen = counted.hit = 0
        const made = spoiled.emit(emission, name)
        if (counted.hit === 0) throw new Error(`only ${counted.seen} stores`)
        return made
      }
    }
  }

/** Loops whose end is not known when the code is written go one round less, or by another step. */
export const ranges = (
  change: (from: number | I32, to: number | I32, step: number) => readonly [number | I32, number | I32, number]
): Fault =>
  written((f) => {
    const range = f.range.bind(f)
    f.range = (from, to, step, body) => range(...change(from, to, step), body)
  })

export const plus = (a: I32, bytes: number): I32 => i32.add(a, i32.const(bytes))
export const minus = (a: I32, bytes: number): I32 => i32.sub(a, i32.const(bytes))
