/**
 * Dispatch: the functions that call a program's steps: a stretch in a row, in pieces while the host still compiles, or shared
 * by threads.
 *
 *   run_0(table, arena, scratch)                                        steps one after another
 *   join_0(table, arena, scratch, thread, threads, failed, patience)    the same on several threads, with barriers
 */
import type * as Dim from "@anneal/ir/Dim"
import type { View } from "@anneal/lower/View"
import type { Emission } from "./Emission.ts"
import type { I32 } from "./Instruction.ts"
import { i32, select } from "./Instruction.ts"
import type { Func, FunctionBuilder, Global, Local, ModuleBuilder } from "./ModuleBuilder.ts"
import * as Threading from "./Threading.ts"

/**
 * Pieces of long steps in the first runs: a host that compiles well only what has run for a while (V8) changes to the
 * better code between two calls, not inside one.
 */
export const warmingPieces = 32

/** A step as it stands in generated code. */
export type Piece =
  /** `divided`: long enough for threads to share it. */
  | {
      readonly kind: "call"
      readonly step: number
      readonly func: Func
      readonly units: Dim.Dim
      readonly divided: boolean
    }
  | {
      readonly kind: "branch"
      readonly condition: View
      readonly whenTrue: ReadonlyArray<Piece>
      readonly whenFalse: ReadonlyArray<Piece>
    }
  | { readonly kind: "host"; readonly step: number }

/** Whether threads have something to share. */
export const isDivided = (pieces: ReadonlyArray<Piece>): boolean =>
  pieces.some(
    (piece) =>
      (piece.kind === "call" && piece.divided) ||
      (piece.kind === "branch" && (isDivided(piece.whenTrue) || isDivided(piece.whenFalse)))
  )

/** What a session hands over. */
export interface Registers {
  readonly table: Global<"i32">
  readonly arena: Global<"i32">
  readonly scratch: Global<"i32">
  /** All bits: the scratch memory of a step lies where the plan has it, counted from `scratch`; none: there. */
  readonly overlay: Global<"i32">
  /** In the table's order. */
  readonly symbols: ReadonlyMap<string, Global<"i32">>
}

export interface Parts {
  readonly module: ModuleBuilder
  readonly emission: Emission
  readonly registers: Registers
  /** The address of a view's first element. */
  readonly address: (f: FunctionBuilder, view: View) => I32
  /** A new word of the table that threads meet in. */
  readonly word: () => number
}

export class Dispatch {
  readonly #parts: Parts
  readonly #module: ModuleBuilder
  readonly #emission: Emission

  constructor(parts: Parts) {
    this.#parts = parts
    this.#module = parts.module
    this.#emission = parts.emission
  }

  /** `divisions`: steps that are long are called so many times, for a part of their units each. */
  part(name: string, pieces: ReadonlyArray<Piece>, divisions = 1): void {
    this.#module.func(
      name,
      ["i32", "i32", "i32"],
      [],
      (f, params) => {
        this.#enter(f, params, -1)
        this.#calls(f, pieces, divisions)
      },
      { export: true }
    )
  }

  /**
   * The same for several threads at once, each with scratch memory and a number of its own. What is not divided is done by
   * thread 0.
   */
  join(name: string, pieces: ReadonlyArray<Piece>): void {
    const barrier = Threading.barrier(this.#emission)
    this.#module.func(
      name,
      ["i32", "i32", "i32", "i32", "i32", "i32", "i32"],
      [],
      (f, params) => {
        this.#enter(f, params, 0)
        const value = (place: number): I32 => f.get({ type: "i32", index: params[place]?.index ?? 0 })
        const [thread, threads, failed, patience] = [value(3), value(4), value(5), value(6)]
        const { registers, word: next } = this.#parts
        const word = (): I32 => i32.add(f.global(registers.table), i32.const(4 * next()))
        const meet = (): void => f.run(barrier, [word(), threads, failed, patience])
        // What the last step was, and so who must wait for whom before the next.
        let last: "met" | "alone" | "divided" = "met"
        const visit = (list: ReadonlyArray<Piece>): void => {
          for (const piece of list)
            if (piece.kind === "call" && piece.divided) {
              if (last !== "met") meet()
              const units = this.#emission.dim(piece.units)
              const step = (begin: I32, end: I32): void => f.run(piece.func, [begin, end])
              Threading.shareUnits(f, { word: word(), units, thread, threads, failed, step })
              last = "divided"
            } else if (piece.kind === "call") {
              if (last === "divided") meet()
              const units = this.#emission.dim(piece.units)
              f.if(i32.eqz(thread), () => f.run(piece.func, [i32.const(0), units]))
              last = "alone"
            } else if (piece.kind === "branch") {
              if (last !== "met") meet()
              const side = (steps: ReadonlyArray<Piece>) => () => {
                last = "met"
                visit(steps)
                if (last !== "met") meet()
              }
              // All have read the condition before the first of them may write where it lies: its life ends here.
              const condition = f.let(i32.load8_u(this.#parts.address(f, piece.condition)))
              meet()
              f.if(f.get(condition), side(piece.whenTrue), side(piece.whenFalse))
              last = "met"
            }
        }
        visit(pieces)
      },
      { export: true }
    )
  }

  /** Takes the session's addresses, and the symbols' values from its table. */
  #enter(f: FunctionBuilder, params: ReadonlyArray<Local>, overlay: -1 | 0): void {
    const { arena, scratch, symbols, table } = this.#parts.registers
    f.setGlobal(this.#parts.registers.overlay, i32.const(overlay))
    for (const [place, global] of [table, arena, scratch].entries()) {
      const param = params[place]
      if (param !== undefined) f.setGlobal(global, f.get({ type: "i32", index: param.index }))
    }
    for (const [place, global] of [...symbols.values()].entries())
      f.setGlobal(global, i32.load(f.global(table), 4 * place))
  }

  #calls(f: FunctionBuilder, pieces: ReadonlyArray<Piece>, divisions: number): void {
    for (const piece of pieces)
      if (piece.kind === "branch")
        f.if(
          i32.load8_u(this.#parts.address(f, piece.condition)),
          () => this.#calls(f, piece.whenTrue, divisions),
          () => this.#calls(f, piece.whenFalse, divisions)
        )
      else if (piece.kind === "call" && piece.divided && divisions > 1) this.#dividedCall(f, piece, divisions)
      else if (piece.kind === "call") f.run(piece.func, [i32.const(0), this.#emission.dim(piece.units)])
  }

  /** for (begin = 0; begin < units; begin += piece) step(begin, min(begin + piece, units)) */
  #dividedCall(f: FunctionBuilder, piece: Extract<Piece, { readonly kind: "call" }>, divisions: number): void {
    const units = f.let(this.#emission.dim(piece.units))
    const size = f.let(i32.div_u(i32.add(f.get(units), i32.const(divisions - 1)), i32.const(divisions)))
    const begin = f.let(i32.const(0))
    const end = f.local("i32")
    f.block((done) =>
      f.loop((again) => {
        f.brIf(done, i32.ge_s(f.get(begin), f.get(units)))
        f.set(end, i32.add(f.get(begin), f.get(size)))
        f.set(end, select(i32.lt_s(f.get(end), f.get(units)), f.get(end), f.get(units)))
        f.run(piece.func, [f.get(begin), f.get(end)])
        f.set(begin, f.get(end))
        f.br(again)
      })
    )
  }
}
