/**
 * RecurrentStep: one step of a recurrent layer for a few sequences.
 *
 *   gates += R·h      block of units after block, all gates in one pass, sums in registers
 *   h', c' = cell(gates)        over all units: activations of different units don't wait for each other
 *
 * Gates lie in scratch memory, [rows][blocks][gates][lanes]: what the inputs' product of a run has left there. In a layer of
 * one step nothing is there yet: the step begins with bias + W·x; where x is what the inputs give, with bias + x.
 */
import type { Emission } from "../Emission.ts"
import type { I32, V128 } from "../Instruction.ts"
import { f32x4, i32, v128 } from "../Instruction.ts"
import type { Func, Local } from "../ModuleBuilder.ts"
import { Writer } from "../Writer.ts"
import type { CellOptions } from "./RecurrentCell.ts"
import * as Cell from "./RecurrentCell.ts"
import type { RecurrentPanels } from "./RecurrentPanels.ts"
import { blocks, panelBytes, termBytes } from "./RecurrentPanels.ts"
import { accumulate } from "./RecurrentProduct.ts"

export interface StepPlan {
  readonly cell: "lstm" | "gru" | "rnn"
  readonly linearBeforeReset: boolean
  readonly options: CellOptions
  readonly w: RecurrentPanels
  /** One matrix; for a GRU that resets before the product two: update and reset, then the candidate. */
  readonly r: ReadonlyArray<RecurrentPanels>
  /** Gates of the bias's panels; 0 for none. */
  readonly biasGates: number
  readonly peepholes: boolean
  /** The inputs' share of the gates: in them already, with the bias; a product of the step's own; or x as it is, [gates][hidden]. */
  readonly input: "scratch" | "multiplied" | "given"
  /** Never more than one sequence. */
  readonly single: boolean
}

/** Gates that lie side by side: a GRU that resets after the product keeps the candidate's two halves apart. */
export const gatesBeside = (cell: StepPlan["cell"], linearBeforeReset: boolean): number =>
  cell === "lstm" ? 4 : cell === "rnn" ? 1 : linearBeforeReset ? 4 : 3

/** Parameters of a step's function, all i32, in this order. Rows are sequences; row sizes are in bytes. */
export interface StepArguments {
  /** The state before: [rows][hidden]. Whole vectors of it are read. */
  readonly h: I32
  readonly hRow: I32
  /** The state after; not the same memory. */
  readonly next: I32
  readonly nextRow: I32
  /** LSTM: the cell state, in place, [rows][hidden in whole blocks]. */
  readonly c: I32
  readonly gates: I32
  /** Rows of x, where the step takes them. */
  readonly x: I32
  readonly xRow: I32
  readonly rows: I32
  readonly w: I32
  readonly r: I32
  readonly candidate: I32
  readonly bias: I32
  readonly peepholes: I32
  /** GRU that resets before the product: reset states, [rows][hidden in whole blocks]. */
  readonly reset: I32
}

/** Sequences of one tile, the most first. */
const rowTiles = [6, 2, 1] as const

const commonMultiple = (a: number, b: number): number => {
  let multiple = a
  while (multiple % b !== 0) multiple += a
  return multiple
}

const order: ReadonlyArray<keyof StepArguments> = [
  "h",
  "hRow",
  "next",
  "nextRow",
  "c",
  "gates",
  "x",
  "xRow",
  "rows",
  "w",
  "r",
  "candidate",
  "bias",
  "peepholes",
  "reset"
]

export const argumentsOf = (values: StepArguments): ReadonlyArray<I32> => order.map((name) => values[name])

export const stepFunction = (emission: Emission, name: string, plan: StepPlan): Func =>
  emission.module.func(name, new Array<"i32">(order.length).fill("i32"), [], (f) => {
    const w = new Writer(f, emission)
    const given = (name: keyof StepArguments): I32 => f.get({ type: "i32", index: order.indexOf(name) })
    const [recurrent, candidate] = plan.r
    if (recurrent === undefined) throw new RangeError("a recurrent layer has a recurrent matrix")
    const { lanes } = plan.w
    const across = lanes / 4
    const unitBytes = lanes * 4
    const count = blocks(plan.w)
    const beside = gatesBeside(plan.cell, plan.linearBeforeReset)
    const blockBytes = beside * unitBytes
    const stateRow = count * unitBytes
    const { wide } = emission.features
    /** Sums in registers: of one sequence, and of several. */
    const [limit, tileLimit] = wide ? [16, 24] : [12, 12]

    // ---- products ----

    /** One gate of a pass: its place beside the others, and its place in the matrices and the bias. */
    interface PassGate {
      readonly slot: number
      /** Undefined where the matrix, or the input, has no share. */
      readonly r: number | undefined
      readonly x: number | undefined
    }

    /** Sums in registers, one for each row; places are bytes in a block of gates, a term of a matrix, a block of biases. */
    interface Column {
      readonly panel: number
      readonly gate: number
      readonly r: number | undefined
      readonly x: number | undefined
      /** In a row of x that holds the gates' shares. */
      readonly given: number | undefined
      readonly bias: number | undefined
      readonly sums: ReadonlyArray<Local<"v128">>
    }

    const columnsOf = (gates: ReadonlyArray<PassGate>, panels: number, rows: number): ReadonlyArray<Column> =>
      Array.from({ length: panels }, (_, panel) =>
        gates.flatMap(({ r, slot, x }) =>
          Array.from({ length: across }, (__, half) => {
            const place = (index: number): number => (index * across + half) * 16
            return {
              panel,
              gate: place(slot),
              r: r === undefined ? undefined : place(r),
              x: x === undefined ? undefined : place(x),
              given:
                x === undefined || plan.input !== "given"
                  ? undefined
                  : (x * plan.w.hidden + panel * lanes + half * 4) * 4,
              bias: plan.biasGates === 0 ? undefined : place(slot),
              sums: Array.from({ length: rows }, () => f.local("v128"))
            }
          })
        )
      ).flat()

    const tile = (
      matrix: RecurrentPanels,
      base: I32,
      state: keyof StepArguments,
      stateRowBytes: I32,
      block: I32,
      row: I32,
      rows: number,
      columns: ReadonlyArray<Column>,
      phases: number
    ): void => {
      const pointers = (base_: I32, rowBytes: I32, offset?: I32): ReadonlyArray<Local<"i32">> =>
        Array.from({ length: rows }, (_, r) => {
          const start = i32.add(base_, i32.mul(i32.add(row, i32.const(r)), rowBytes))
          return f.let(offset === undefined ? start : i32.add(start, offset))
        })
      const gates = pointers(given("gates"), i32.const(count * blockBytes), i32.mul(block, i32.const(blockBytes)))
      const inBlock = (panel: number, offset: number): number => panel * blockBytes + offset
      const bias = f.let(i32.add(given("bias"), i32.mul(block, i32.const(plan.biasGates * unitBytes))))
      const shares =
        plan.input === "given"
          ? pointers(given("x"), given("xRow"), i32.mul(block, i32.const(unitBytes)))
          : gates.map(() => undefined)
      // Row by row: neighbouring vectors one after another are what V8's revectorizer joins.
      type Each = (column: Column, sum: Local<"v128">, pointer: Local<"i32">, share: Local<"i32"> | undefined) => void
      const each = (body: Each): void =>
        gates.forEach((pointer, r) => {
          for (const column of columns) {
            const sum = column.sums[r]
            if (sum !== undefined) body(column, sum, pointer, shares[r])
          }
        })
      each((column, sum, pointer, share) => {
        const biased =
          column.bias === undefined
            ? undefined
            : v128.load(f.get(bias), column.panel * plan.biasGates * unitBytes + column.bias)
        if (share !== undefined && column.given !== undefined) {
          const own = v128.load(f.get(share), column.given)
          return f.set(sum, biased === undefined ? own : f32x4.add(own, biased))
        }
        const isThere = plan.input === "scratch" && column.x !== undefined
        f.set(sum, isThere ? v128.load(f.get(pointer), inBlock(column.panel, column.gate)) : (biased ?? w.splatF32(0)))
      })
      const multiply = (
        panels: RecurrentPanels,
        address: I32,
        sources: ReadonlyArray<Local<"i32">>,
        place: (column: Column) => number | undefined
      ): void =>
        accumulate(w, {
          rows: sources,
          panel: f.let(i32.add(address, i32.mul(block, i32.const(panelBytes(panels))))),
          columns: columns.flatMap((column) => {
            const at = place(column)
            return at === undefined ? [] : [{ offset: column.panel * panelBytes(panels) + at, sums: column.sums }]
          }),
          k: panels.k,
          termBytes: termBytes(panels),
          phases
        })
      if (plan.input === "multiplied" && columns.some(({ x }) => x !== undefined))
        multiply(plan.w, given("w"), pointers(given("x"), given("xRow")), ({ x }) => x)
      if (columns.some(({ r }) => r !== undefined))
        multiply(matrix, base, pointers(given(state), stateRowBytes), ({ r }) => r)
      each((column, sum, pointer) => f.do(v128.store(f.get(pointer), f.get(sum), inBlock(column.panel, column.gate))))
    }

    /**
     * How one sequence uses the registers: panels at once, and sums of each element. V8 makes pairs of sums that lie side by side
     * in one panel, so two sums of each are better than two panels; without pairs, panels are cut into full tiles.
     */
    const spread = (vectors: number): { readonly panels: number; readonly phases: number } => {
      if (!wide) return { panels: vectors > limit ? 1 : commonMultiple(vectors, limit) / vectors, phases: 1 }
      const panels = Math.max(1, Math.floor(limit / (2 * vectors)))
      return { panels, phases: Math.max(1, Math.floor(limit / (vectors * panels))) }
    }

    /** Some gates of every row. Blocks are outside: their weights stay near while rows go by. */
    const product = (
      matrix: RecurrentPanels,
      base: I32,
      passGates: ReadonlyArray<PassGate>,
      state: keyof StepArguments,
      rowBytes: I32
    ): void => {
      const { panels, phases } = plan.single ? spread(passGates.length * across) : { panels: 1, phases: 1 }
      const rowLoop = (block: I32, width: number): void => {
        const some = (row: I32, rows: number): void => {
          const columns = columnsOf(passGates, width, rows)
          // As many columns as there are registers for, in equal parts; rows share what is loaded.
          const parts = Math.ceil((columns.length * rows) / (rows === 1 ? limit : tileLimit))
          const most = Math.ceil(columns.length / parts)
          for (let first = 0; first < columns.length; first += most)
            tile(matrix, base, state, rowBytes, block, row, rows, columns.slice(first, first + most), phases)
        }
        if (plan.single) return some(i32.const(0), 1)
        const row = f.let(i32.const(0))
        for (const rows of rowTiles)
          f.block((out) =>
            f.loop((again) => {
              f.brIf(out, i32.gt_s(i32.add(f.get(row), i32.const(rows)), given("rows")))
              some(f.get(row), rows)
              f.set(row, i32.add(f.get(row), i32.const(rows)))
              f.br(again)
            })
          )
      }
      const whole = count - (count % panels)
      if (whole > 0) f.range(0, whole, panels, (block) => rowLoop(f.get(block), panels))
      if (count > whole) rowLoop(i32.const(whole), count - whole)
    }

    // ---- cells ----

    interface Vector {
      readonly address: I32
      readonly offset: number
    }

    interface Unit {
      /** A gate of four units. */
      readonly gate: (index: number) => Vector
      readonly state: (name: "h" | "next" | "c" | "reset") => Vector
      readonly peephole: (which: number) => V128
    }

    /** `body` gives what it has computed and where it goes: neighbours are stored together, which V8's revectorizer joins. */
    const cells = (body: (unit: Unit) => ReadonlyArray<readonly [Vector, V128]>): void => {
      const row = (index: I32): void => {
        const at = (base: keyof StepArguments, rowBytes: I32): Local<"i32"> =>
          f.let(i32.add(given(base), i32.mul(index, rowBytes)))
        const places = {
          gates: at("gates", i32.const(count * blockBytes)),
          h: at("h", given("hRow")),
          next: at("next", given("nextRow")),
          c: at("c", i32.const(stateRow)),
          reset: at("reset", i32.const(stateRow)),
          peepholes: f.let(given("peepholes"))
        }
        const some = (together: number): void => {
          const made = Array.from({ length: across * together }, (_, vector) => {
            const [unit, half] = [Math.floor(vector / across), vector % across]
            const place = (index: number): number => (index * across + half) * 16
            return body({
              gate: (index) => ({ address: f.get(places.gates), offset: unit * blockBytes + place(index) }),
              state: (name) => ({ address: f.get(places[name]), offset: unit * unitBytes + half * 16 }),
              peephole: (which) => v128.load(f.get(places.peepholes), unit * 3 * unitBytes + place(which))
            })
          })
          for (const index of (made[0] ?? []).keys())
            for (const stored of made) {
              const [to, vector] = stored[index] ?? []
              if (to !== undefined && vector !== undefined) f.do(v128.store(to.address, vector, to.offset))
            }
          const forward = (local: Local<"i32">, bytes: number): void =>
            f.set(local, i32.add(f.get(local), i32.const(bytes * together)))
          forward(places.gates, blockBytes)
          forward(places.peepholes, 3 * unitBytes)
          for (const local of [places.h, places.next, places.c, places.reset]) forward(local, unitBytes)
        }
        // Two vectors at a time: one goes on while the other waits.
        const together = across === 1 ? 2 : 1
        const pairs = count - (count % together)
        if (pairs > 0) f.range(0, pairs, together, () => some(together))
        if (count > pairs) some(1)
      }
      if (plan.single) row(i32.const(0))
      else f.range(0, given("rows"), 1, (index) => row(f.get(index)))
    }
    const load = ({ address, offset }: Vector): V128 => v128.load(address, offset)

    const { options } = plan
    /** Gates that stand at the same place in everything. */
    const same = (indices: ReadonlyArray<number>): ReadonlyArray<PassGate> =>
      indices.map((index) => ({ slot: index, r: index, x: index }))
    const recurrentProduct = (gates: ReadonlyArray<PassGate>): void =>
      product(recurrent, given("r"), gates, "h", given("hRow"))
    switch (plan.cell) {
      case "lstm":
        recurrentProduct(same([0, 1, 2, 3]))
        return cells(({ gate, peephole, state }) => {
          const next = Cell.lstm(
            w,
            options,
            [load(gate(0)), load(gate(1)), load(gate(2)), load(gate(3))],
            load(state("c")),
            plan.peepholes ? [peephole(0), peephole(1), peephole(2)] : undefined
          )
          return [
            [state("c"), next.c],
            [state("next"), next.h]
          ]
        })
      case "rnn":
        recurrentProduct(same([0]))
        return cells(({ gate, state }) => [[state("next"), Cell.rnn(w, options, load(gate(0)))]])
      case "gru":
        if (plan.linearBeforeReset) {
          // The candidate's two halves: gate 2 from the input, gate 3 from the state.
          const fromInput = plan.input === "scratch" ? [] : [{ slot: 2, r: undefined, x: 2 }]
          recurrentProduct([...same([0, 1]), { slot: 3, r: 2, x: undefined }, ...fromInput])
          return cells(({ gate, state }) => {
            const fresh = w.madd(Cell.gruGate(w, options, load(gate(1))), load(gate(3)), load(gate(2)))
            const update = Cell.gruGate(w, options, load(gate(0)))
            return [[state("next"), Cell.gruState(w, options, update, fresh, load(state("h")))]]
          })
        }
        recurrentProduct(same([0, 1]))
        cells(({ gate, state }) => [
          [gate(0), Cell.gruGate(w, options, load(gate(0)))],
          [state("reset"), w.keep(f32x4.mul(Cell.gruGate(w, options, load(gate(1))), load(state("h"))))]
        ])
        if (candidate !== undefined)
          product(candidate, given("candidate"), [{ slot: 2, r: 0, x: 2 }], "reset", i32.const(stateRow))
        return cells(({ gate, state }) => [
          [state("next"), Cell.gruState(w, options, load(gate(0)), load(gate(2)), load(state("h")))]
        ])
    }
  })
