/**
 * GemmStrassen: large products with seven products of halves instead of eight, or 49 of quarters instead of 64: Strassen's
 * algorithm in Winograd's form, one level or two.
 *
 *   S₁ = A₂₁ + A₂₂   S₂ = S₁ − A₁₁   S₃ = A₁₁ − A₂₁   S₄ = A₁₂ − S₂        for all panels, in scratch memory
 *   T₁ = B₁₂ − B₁₁   T₂ = B₂₂ − T₁   T₃ = B₂₂ − B₁₂   T₄ = B₂₁ − T₂        once a panel, in scratch memory
 *
 *   C₁₁ = A₁₁B₁₁ + A₁₂B₂₁          U₂ = A₁₁B₁₁ + S₂T₂         U₃ = U₂ + S₃T₃
 *   C₂₁ = U₃ + A₂₂T₄               C₂₂ = U₃ + S₁T₁            C₁₂ = U₂ + S₁T₁ + S₄B₂₂
 *
 * The products of a panel follow one another: each has its own panel of b in the first cache, and goes on with sums that the
 * last ones left in memory. With two levels each of the seven is a block of seven again. Rows are as many as there are: what is
 * missing of the last part is zeros.
 *
 * Error of one level: |C − Ĉ| ≤ 9 · γ(2k + 6) · k · max|A| · max|B|: of norms, not of each result's own terms; each level
 * more is 4.5 times that. An infinity or a NaN would reach all parts, and so would a sum that is too large: S₃ and S₄, T₃
 * and T₄ tell of each, and then a unit, or a panel, goes by the products of the definition.
 *
 * Source: Winograd 1971; Higham, Accuracy and Stability of Numerical Algorithms, ch. 23.
 */
import type { Emission, Features } from "../Emission.ts"
import { i32 } from "../Instruction.ts"
import type { Kernel, TypicalSizes } from "../Kernel.ts"
import type { Func, FunctionBuilder, Local } from "../ModuleBuilder.ts"
import { callNanoseconds, cyclesOfStep, epilogueCyclesOf, nanosecondsPerCycle, typicalSize } from "./GemmCost.ts"
import type { Product } from "./GemmProduct.ts"
import { viewsOf } from "./GemmProduct.ts"
import { packPanel } from "./GemmStage.ts"
import { emitLefts } from "./GemmStrassenLefts.ts"
import type { Code } from "./GemmStrassenPanel.ts"
import { emitPanel } from "./GemmStrassenPanel.ts"
import type { Right, Shape } from "./GemmStrassenShape.ts"
import { amplification, scratchOf, shapeOf, unitsOf } from "./GemmStrassenShape.ts"
import {
  forward,
  ints,
  least,
  parameter,
  past,
  productOf,
  resultsOf,
  sumsOf,
  sumsOfA,
  sumsOfB
} from "./GemmStrassenTiles.ts"

/**
 * The kernel's function, over units; what is made of A is made where a unit's rows are not those of the unit before. A unit is a
 * function of its own, as in `UnitLoop`.
 */
const emitStrassen = (emission: Emission, name: string, shape: Shape, left: 0 | 1): Func => {
  const { k, m, panels, parts, product, right, tile, unitPanels, unitRows, viewColumns, viewRows } = shape
  const views = viewsOf(product.epilogue)
  const count = 2 + views.length + (right.kind === "packed" ? 1 : 0) + 3
  const nr = tile.vectors * 4
  const layout = scratchOf(shape)
  const code: Code = {
    sumsA: sumsOf(emission, sumsOfA),
    sumsB: sumsOf(emission, sumsOfB),
    multiply: productOf(emission, shape),
    results: resultsOf(emission, name, shape)
  }
  const makeLefts = emitLefts(emission, name, shape, code.sumsA)
  const panel = emitPanel(emission, name, shape, code)
  const panelBytes = parts * k * nr * 4
  const panelBlocks = Math.ceil(panels / unitPanels)
  const [scratch, begin, end] = [parameter(count - 3), parameter(count - 2), parameter(count - 1)]
  /** Where a unit's rows begin, and how many of a part there are. */
  const rowsOf = (
    f: FunctionBuilder,
    unit: Local<"i32">
  ): { readonly row: Local<"i32">; readonly here: Local<"i32"> } => {
    const row = f.let(i32.mul(i32.div_u(f.get(unit), i32.const(panelBlocks)), i32.const(unitRows)))
    return { row, here: least(f, i32.sub(emission.dim(shape.rows), f.get(row)), i32.const(unitRows)) }
  }
  /** One unit: the kernel's parameters up to the scratch memory, the unit, whether sums of A are no numbers. */
  const one = emission.module.func(`${name}.unit`, ints(count), [], (f) => {
    const [unit, odd] = [parameter(count - 2), parameter(count - 1)]
    const { here, row } = rowsOf(f, unit)
    const tiles = f.let(i32.div_u(i32.add(f.get(here), i32.const(tile.rows - 1)), i32.const(tile.rows)))
    const partRows = f.let(emission.dim(shape.rows))
    const counts = Array.from({ length: parts }, (_, part) => {
      const from = i32.add(f.get(row), i32.mul(f.get(partRows), i32.const(part)))
      const left = least(f, i32.sub(emission.dim(m), from), f.get(here))
      f.if(i32.lt_s(f.get(left), i32.const(0)), () => f.set(left, i32.const(0)))
      return left
    })
    const first = f.let(i32.mul(i32.rem_u(f.get(unit), i32.const(panelBlocks)), i32.const(unitPanels)))
    const last = least(f, i32.add(f.get(first), i32.const(unitPanels)), i32.const(panels))
    const isPacked = right.kind === "packed"
    const step = right.kind === "packed" ? panelBytes : nr * right.n
    const b = past(f, parameter(isPacked ? 2 + views.length : 1 - left), i32.mul(f.get(first), i32.const(step)))
    const results = views.map((_, view) => {
      const down = i32.mul(f.get(row), i32.const(viewRows[view] ?? 0))
      const across = i32.mul(f.get(first), i32.const(nr * (viewColumns[view] ?? 0)))
      return past(f, parameter(2 + view), i32.add(down, across))
    })
    const downs = viewRows.map((bytes) => f.let(i32.mul(f.get(partRows), i32.const(bytes))))
    f.range(f.get(first), f.get(last), 1, () => {
      if (right.kind === "in-place") {
        const from = f.let(f.get(b))
        const to = past(f, scratch, layout.panels)
        f.range(0, parts, 1, () => {
          packPanel(f, from, to, right, parts * k, nr)
          forward(f, from, panels * nr * right.n)
          forward(f, to, panelBytes)
        })
      }
      f.run(panel, [
        f.get(scratch),
        isPacked ? f.get(b) : i32.add(f.get(scratch), i32.const(layout.panels)),
        i32.const(isPacked ? panels * panelBytes : panelBytes),
        f.get(tiles),
        ...counts.map((local) => f.get(local)),
        ...downs.map((local) => f.get(local)),
        ...results.map((local) => f.get(local)),
        f.get(odd)
      ])
      forward(f, b, step)
      results.forEach((pointer, view) => forward(f, pointer, nr * (viewColumns[view] ?? 0)))
    })
  })
  return emission.module.func(name, ints(count), [], (f) => {
    const others = Array.from({ length: count - 2 }, (_, index) => f.get(parameter(index)))
    const odd = f.let(i32.const(0))
    f.range(f.get(begin), f.get(end), 1, (unit) => {
      // What is made of A serves all units of its rows.
      const isNew = i32.or(i32.eq(f.get(unit), f.get(begin)), i32.eqz(i32.rem_u(f.get(unit), i32.const(panelBlocks))))
      f.if(isNew, () => {
        const { here, row } = rowsOf(f, unit)
        const args = [f.get(parameter(left)), f.get(scratch), f.get(row), f.get(here)]
        f.set(odd, f.call("i32", makeLefts, args))
      })
      f.run(one, [...others, f.get(unit), f.get(odd)])
    })
  })
}

/** Predicted nanoseconds. */
const costOf = (shape: Shape, typical: TypicalSizes, features: Features): number => {
  const { k, levels, panels, parts, product, right, tile, unitRows } = shape
  const rows = typicalSize(shape.rows, typical)
  const tiles = Math.ceil(rows / tile.rows)
  const blocks = Math.ceil(rows / unitRows)
  // Pairs of vectors leave less time for operands to come from the second and third cache (measured in a whole model).
  const delay = (features.wide ? { 1: 1.05, 2: 1.09 } : { 1: 1.01, 2: 1.03 })[levels]
  // Quarters that sums are made of: with two levels those of the whole, and of each of the seven that these give.
  const quarters = levels === 1 ? 1 : 2 * 2 + 7
  const lefts = rows * (k / 4) * 14 * quarters
  const rights = blocks * panels * k * tile.vectors * 8 * quarters
  const packing =
    right.kind === "packed" ? 0 : blocks * panels * parts * parts * k * tile.vectors * (right.n === 4 ? 2 : 4)
  const step = cyclesOfStep(tile, features) * delay
  const products = 7 ** levels * tiles * panels * (k * step + tile.rows * tile.vectors * 0.6)
  const perVector = epilogueCyclesOf(product.epilogue, product.columns.domain ?? 0)
  const results = parts * rows * parts * panels * tile.vectors * perVector
  return callNanoseconds + (lefts + rights + packing + products + results) * nanosecondsPerCycle
}

/** The kernels for a product, by levels; none where it is not for them. */
export const kernelsOf = (
  product: Product,
  right: Right,
  left: 0 | 1,
  typical: TypicalSizes,
  features: Features
): ReadonlyArray<Kernel> =>
  ([1, 2] as const).flatMap((levels) => {
    const shape = shapeOf(product, right, levels, typical, features)
    if (shape === undefined) return []
    const { tile, unitPanels, unitRows } = shape
    const ending = `${right.kind === "packed" ? "" : "-packing"}${left === 0 ? "" : "-turned"}`
    return [
      {
        name: `gemm-strassen${ending}`,
        // Code for pairs of vectors takes the best of a name: it may have other levels.
        config: {
          levels,
          mr: tile.rows,
          nr: tile.vectors * 4,
          rows: unitRows,
          panels: unitPanels,
          amplification: amplification[levels]
        },
        cost: costOf(shape, typical, features),
        packed: right.kind === "packed" ? [right.of(tile)] : [],
        scratch: scratchOf(shape).bytes,
        units: unitsOf(shape),
        emit: (emission, name) => emitStrassen(emission, name, shape, left)
      }
    ]
  })
