/**
 * GemmStrassenPanel: all products of one panel of each part of b's columns, for Strassen's algorithm (`GemmStrassen.ts`):
 * a block of seven, or seven blocks of seven, or, where an operand is no number, those of the definition.
 */
import type { Emission } from "../Emission.ts"
import type { I32 } from "../Instruction.ts"
import { i32 } from "../Instruction.ts"
import type { Func, FunctionBuilder, Local } from "../ModuleBuilder.ts"
import { viewsOf } from "./GemmProduct.ts"
import type { Held, Shape } from "./GemmStrassenShape.ts"
import { lefts, rights, scratchOf, steps } from "./GemmStrassenShape.ts"
import { forward, heldOf, ints, parameter } from "./GemmStrassenTiles.ts"

type Half = 0 | 1
/** What a quarter of a block's results is given, behind the arguments of a product. */
type Rest = (lower: Half, right: Half) => ReadonlyArray<I32>

interface Block {
  /** Where what is made of A begins. */
  readonly x: I32
  /** Where the right operand's panels are, and bytes from one half of its columns to the other. */
  readonly y: Local<"i32">
  readonly across: I32
  readonly tiles: I32
}

const quarterOf = (
  f: FunctionBuilder,
  { across, y }: Omit<Block, "x" | "tiles">,
  bytes: number,
  down: Half,
  right: Half
): I32 => {
  const lower = i32.add(f.get(y), i32.const(down * bytes))
  return right === 0 ? lower : i32.add(lower, across)
}

/** Makes the sums of a right operand, `k` of each quarter, at `to`; whether any is no number. */
const sumsOfRight = (
  f: FunctionBuilder,
  sums: Func,
  operand: Omit<Block, "x" | "tiles">,
  vectors: number,
  k: number,
  to: I32,
  apart: number
): I32 => {
  const quarter = (down: Half, right: Half): I32 => quarterOf(f, operand, k * vectors * 16, down, right)
  return f.call("i32", sums, [
    quarter(0, 0),
    quarter(1, 0),
    quarter(0, 1),
    quarter(1, 1),
    to,
    i32.const(apart),
    i32.const((k * vectors) / 2)
  ])
}

export interface Code {
  readonly sumsA: Func
  readonly sumsB: Func
  readonly multiply: Func
  readonly results: Func
}

/** The seven products of a block whose sums of b are made; `ending` is for those that end a quarter. */
const products = (
  f: FunctionBuilder,
  shape: Shape,
  code: Code,
  scratch: Local<"i32">,
  of: Block,
  ending: Func,
  rest: Rest
): void => {
  const layout = scratchOf(shape)
  const at = (bytes: number): I32 => i32.add(f.get(scratch), i32.const(bytes))
  const column = (held: Held | undefined): ReadonlyArray<I32> =>
    held === undefined ? [at(layout.zeros), i32.const(0)] : [at(layout.held + held * layout.column), i32.const(-1)]
  for (const { from, result, to, x, y } of steps) {
    const made = rights[y]
    const args = [
      i32.add(of.x, i32.const(lefts[x] * layout.a)),
      typeof made === "number" ? at(layout.rights + made * layout.b) : quarterOf(f, of, layout.b, made[0], made[1]),
      ...column(from),
      at(to === undefined ? layout.junk : layout.held + to * layout.column),
      of.tiles
    ]
    if (result === undefined) f.run(code.multiply, args)
    else f.run(ending, [...args, ...column(result.plus), ...rest(result.lower, result.right)])
  }
}

/** Which rows and results a block has: of its two halves of rows, how many there are. */
interface Target {
  readonly rows: readonly [I32, I32]
  readonly views: ReadonlyArray<Local<"i32">>
  /** Bytes from part to part of the rows, for each view. */
  readonly downs: ReadonlyArray<Local<"i32">>
}

/** Behind the arguments of a product: what is around the block, `outer`, and where the results go. */
const endingInResults = (
  f: FunctionBuilder,
  shape: Shape,
  scratch: Local<"i32">,
  { downs, rows, views }: Target,
  outer: (quarter: number) => ReadonlyArray<I32>
): Rest => {
  const { panels, tile, viewColumns } = shape
  const layout = scratchOf(shape)
  return (lower, right) => [
    ...outer(lower * 2 + right),
    i32.add(f.get(scratch), i32.const(layout.memory)),
    rows[lower],
    ...views.map((pointer, view) => {
      const moved = i32.add(f.get(pointer), i32.const(right * panels * tile.vectors * 4 * (viewColumns[view] ?? 0)))
      const down = downs[view]
      return lower === 1 && down !== undefined ? i32.add(moved, f.get(down)) : moved
    })
  ]
}

/** Seven blocks of seven products, for one panel of each part of the columns; the first level's sums of b are made. */
const emitOuter = (emission: Emission, name: string, shape: Shape, code: Code): Func => {
  const { k, product, tile } = shape
  const layout = scratchOf(shape)
  const count = viewsOf(product.epilogue).length
  const held = heldOf(emission, shape)
  /** (scratch, x, y, across, tiles, outer, moves, outerTo): what of C it makes goes to four columns at `outerTo`. */
  const inner = emission.module.func(`${name}.block`, ints(8), [], (f) => {
    const [scratch, y, outer, outerTo] = [parameter(0), parameter(2), parameter(5), parameter(7)]
    const of = { x: f.get(parameter(1)), y, across: f.get(parameter(3)), tiles: f.get(parameter(4)) }
    f.drop(sumsOfRight(f, code.sumsB, of, tile.vectors, k, i32.add(f.get(scratch), i32.const(layout.rights)), layout.b))
    products(f, shape, code, scratch, of, held, (lower, right) => {
      const quarter = i32.const((lower * 2 + right) * layout.column)
      return [
        i32.add(f.get(outer), i32.and(quarter, f.get(parameter(6)))),
        f.get(parameter(6)),
        i32.add(f.get(outerTo), quarter)
      ]
    })
  })
  /** (scratch, x, y, across, tiles, outer, moves, outerTo, outerPlus, moves, rows, rows, downs…, views…) */
  const last = emission.module.func(`${name}.last`, ints(12 + 2 * count), [], (f) => {
    const scratch = parameter(0)
    const of = { x: f.get(parameter(1)), y: parameter(2), across: f.get(parameter(3)), tiles: f.get(parameter(4)) }
    f.drop(sumsOfRight(f, code.sumsB, of, tile.vectors, k, i32.add(f.get(scratch), i32.const(layout.rights)), layout.b))
    const target: Target = {
      rows: [f.get(parameter(10)), f.get(parameter(11))],
      downs: Array.from({ length: count }, (_, view) => parameter(12 + view)),
      views: Array.from({ length: count }, (_, view) => parameter(12 + count + view))
    }
    const rest = endingInResults(f, shape, scratch, target, (place) => {
      const quarter = i32.const(place * layout.column)
      const column = (index: number): ReadonlyArray<I32> => [
        i32.add(f.get(parameter(index)), i32.and(quarter, f.get(parameter(index + 1)))),
        f.get(parameter(index + 1))
      ]
      return [...column(5), i32.add(f.get(parameter(7)), quarter), ...column(8)]
    })
    products(f, shape, code, scratch, of, code.results, rest)
  })
  /** (scratch, y, across, tiles, rows of each part, downs…, views…) */
  return emission.module.func(`${name}.outer`, ints(8 + 2 * count), [], (f) => {
    const [scratch, across] = [parameter(0), f.get(parameter(2))]
    const at = (bytes: number): I32 => i32.add(f.get(scratch), i32.const(bytes))
    const column = (place: Held | undefined): ReadonlyArray<I32> =>
      place === undefined
        ? [at(layout.zeros), i32.const(0)]
        : [at(layout.outerHeld + place * 4 * layout.column), i32.const(-1)]
    for (const { from, result, to, x, y } of steps) {
      const made = rights[y]
      const args = [
        f.get(scratch),
        at(layout.lefts + lefts[x] * 7 * layout.a),
        ...(typeof made === "number"
          ? [at(layout.outerRights + made * 4 * layout.b), i32.const(2 * layout.b)]
          : [
              i32.add(
                f.get(parameter(1)),
                i32.add(i32.const(made[0] * 2 * layout.b), i32.mul(across, i32.const(made[1] * 2)))
              ),
              across
            ]),
        f.get(parameter(3)),
        ...column(from),
        at(to === undefined ? layout.outerJunk : layout.outerHeld + to * 4 * layout.column)
      ]
      if (result === undefined) f.run(inner, args)
      else {
        const { lower, plus, right } = result
        const across2 = (view: number): I32 =>
          i32.const(right * 2 * shape.panels * tile.vectors * 4 * (shape.viewColumns[view] ?? 0))
        f.run(last, [
          ...args,
          ...column(plus),
          f.get(parameter(4 + lower * 2)),
          f.get(parameter(5 + lower * 2)),
          ...Array.from({ length: count }, (_, view) => f.get(parameter(8 + view))),
          ...Array.from({ length: count }, (_, view) =>
            i32.add(
              i32.add(f.get(parameter(8 + count + view)), across2(view)),
              i32.mul(f.get(parameter(8 + view)), i32.const(lower * 2))
            )
          )
        ])
      }
    }
  })
}

/** `(scratch, y, across, tiles, rows of each part, downs…, views…)`: by the definition, for operands that are no numbers. */
const emitDirect = (emission: Emission, name: string, shape: Shape, { multiply, results }: Code): Func => {
  const { panels, parts, product, tile, viewColumns } = shape
  const layout = scratchOf(shape)
  const count = viewsOf(product.epilogue).length
  return emission.module.func(`${name}.direct`, ints(4 + parts + 2 * count), [], (f) => {
    const [scratch, y, tiles] = [parameter(0), parameter(1), f.get(parameter(3))]
    const at = (bytes: number): I32 => i32.add(f.get(scratch), i32.const(bytes))
    const zero = [at(layout.zeros), i32.const(0)]
    for (let part = 0; part < parts; part++) {
      const b = f.let(f.get(y))
      const views = Array.from({ length: count }, (_, view) => {
        const down = i32.mul(f.get(parameter(4 + parts + view)), i32.const(part))
        return f.let(i32.add(f.get(parameter(4 + parts + count + view)), down))
      })
      f.range(0, parts, 1, () => {
        for (let term = 0; term < parts; term++) {
          const isLast = term === parts - 1
          const args = [
            at(layout.lefts + (part * parts + term) * layout.a),
            i32.add(f.get(b), i32.const(term * layout.b)),
            ...(term === 0 ? zero : [at(layout.held), i32.const(-1)]),
            at(isLast ? layout.junk : layout.held),
            tiles
          ]
          if (!isLast) f.run(multiply, args)
          else
            f.run(results, [
              ...args,
              ...zero,
              ...zero,
              at(layout.junk),
              ...zero,
              at(layout.memory),
              f.get(parameter(4 + part)),
              ...views.map((pointer) => f.get(pointer))
            ])
        }
        f.set(b, i32.add(f.get(b), f.get(parameter(2))))
        views.forEach((pointer, view) => forward(f, pointer, panels * tile.vectors * 4 * (viewColumns[view] ?? 0)))
      })
    }
  })
}

/** One panel of each part of the columns: `(scratch, y, across, tiles, rows of each part, downs…, views…, odd)`. */
export const emitPanel = (emission: Emission, name: string, shape: Shape, code: Code): Func => {
  const { k, levels, parts, product, tile } = shape
  const layout = scratchOf(shape)
  const count = viewsOf(product.epilogue).length
  const outer = levels === 2 ? emitOuter(emission, name, shape, code) : undefined
  const direct = emitDirect(emission, name, shape, code)
  const parameters = 4 + parts + 2 * count
  return emission.module.func(`${name}.panel`, ints(parameters + 1), [], (f) => {
    const [scratch, y, odd] = [parameter(0), parameter(1), parameter(parameters)]
    const at = (bytes: number): I32 => i32.add(f.get(scratch), i32.const(bytes))
    const across = f.get(parameter(2))
    const args = Array.from({ length: parameters }, (_, index) => f.get(parameter(index)))
    const tell = (told: I32): void => f.set(odd, i32.or(f.get(odd), told))
    if (outer === undefined) {
      tell(sumsOfRight(f, code.sumsB, { y, across }, tile.vectors, k, at(layout.rights), layout.b))
    } else
      for (const inner of [0, 1]) {
        const here = f.let(i32.add(f.get(y), i32.mul(across, i32.const(inner))))
        const operand = { y: here, across: i32.mul(across, i32.const(2)) }
        const to = at(layout.outerRights + inner * 2 * layout.b)
        tell(sumsOfRight(f, code.sumsB, operand, tile.vectors, 2 * k, to, 4 * layout.b))
      }
    f.if(
      f.get(odd),
      () => f.run(direct, args),
      () => {
        if (outer !== undefined) return f.run(outer, args)
        const target: Target = {
          rows: [f.get(parameter(4)), f.get(parameter(5))],
          downs: Array.from({ length: count }, (_, view) => parameter(6 + view)),
          views: Array.from({ length: count }, (_, view) => parameter(6 + count + view))
        }
        const zero = [at(layout.zeros), i32.const(0)]
        const of = { x: at(layout.lefts), y, across, tiles: f.get(parameter(3)) }
        const rest = endingInResults(f, shape, scratch, target, () => [...zero, at(layout.junk), ...zero])
        return products(f, shape, code, scratch, of, code.results, rest)
      }
    )
  })
}
