/**
 * RowsPlan: the stages of a rows region as passes over a row: which reductions go through it together, what is computed between
 * passes, and what is kept of the elements or computed again.
 *
 *   softmax ⇒ pass 1: max x; pass 2: e = exp(x − max), sum e; then store e / sum
 */
import type { Rows, Stage } from "@anneal/lower/Region"
import type { Scalar } from "@anneal/lower/Scalar"
import * as Scalars from "@anneal/lower/Scalar"

export type Reduce = Extract<Stage, { readonly kind: "reduce" }>
export type RowStage = Extract<Stage, { readonly kind: "row" }>

export interface Pass {
  readonly reduces: ReadonlyArray<{ readonly stage: Reduce; readonly value: Scalar }>
  /** Elements that this pass computes first and keeps. */
  readonly keeps: ReadonlyArray<{ readonly name: string; readonly value: Scalar }>
  /** Computed when the pass is through. */
  readonly after: ReadonlyArray<RowStage>
}

export interface Plan {
  /** Computed before the first pass. */
  readonly before: ReadonlyArray<RowStage>
  readonly passes: ReadonlyArray<Pass>
  /** Names and dtypes of what is kept, in the order of their places. */
  readonly kept: ReadonlyArray<{ readonly name: string; readonly dtype: Scalar["dtype"] }>
  /** The values of the results per element, in the last pass, and per row after it; in the region's order. */
  readonly elements: ReadonlyArray<{ readonly result: number; readonly value: Scalar }>
  readonly rows: ReadonlyArray<{ readonly result: number; readonly value: Scalar }>
}

const previousNames = (scalar: Scalar): ReadonlyArray<string> =>
  Scalars.parts([scalar]).flatMap((part) => (part.kind === "previous" ? [part.name] : []))

/** `keep`: elements that more than one pass needs are kept by the first; otherwise each computes them. */
export const make = (region: Rows, keep: boolean): Plan => {
  const definitions = new Map<string, Scalar>()
  /** The pass after which a name can be used: 0 before the first. */
  const available = new Map<string, number>()
  const readyAt = (scalar: Scalar): number =>
    Math.max(0, ...previousNames(scalar).map((name) => available.get(name) ?? 0))
  const passOf = new Map<Reduce, number>()
  for (const stage of region.stages) {
    const ready = readyAt(stage.value)
    if (stage.kind === "element") definitions.set(stage.name, stage.value)
    if (stage.kind === "reduce") passOf.set(stage, ready + 1)
    available.set(stage.name, stage.kind === "reduce" ? ready + 1 : ready)
  }
  const count = Math.max(0, ...passOf.values())

  // Which passes need which elements, through one another; the last is that of the results.
  const uses = new Map<string, Set<number>>()
  const use = (scalar: Scalar, pass: number): void => {
    for (const name of previousNames(scalar)) {
      const definition = definitions.get(name)
      if (definition === undefined) continue
      uses.set(name, (uses.get(name) ?? new Set<number>()).add(pass))
      use(definition, pass)
    }
  }
  for (const [{ value }, pass] of passOf) use(value, pass)
  for (const { per, value } of region.results) if (per === "element") use(value, count + 1)
  const firstUse = (name: string): number => Math.min(...(uses.get(name) ?? [Infinity]))
  const kept = keep
    ? region.stages.filter(
        ({ kind, name, value }) => kind === "element" && (uses.get(name)?.size ?? 0) > 1 && isWorthKeeping(value)
      )
    : []

  /** The value as the pass computes it: elements in place of their names, unless an earlier pass kept them. */
  const done = new Map<number, Map<Scalar, Scalar>>()
  const inline = (scalar: Scalar, pass: number): Scalar => {
    // One map a pass: what a pass shares stays shared.
    const seen = done.get(pass) ?? new Map<Scalar, Scalar>()
    done.set(pass, seen)
    const change = (part: Scalar): Scalar => {
      if (part.kind !== "previous") return part
      const definition = definitions.get(part.name)
      if (definition === undefined) return part
      const isKept = kept.some(({ name }) => name === part.name) && firstUse(part.name) < pass
      return isKept ? part : inline(definition, pass)
    }
    return Scalars.map(scalar, change, seen)
  }
  const rowStages = region.stages.flatMap((stage) => (stage.kind === "row" ? [stage] : []))
  const passes = Array.from({ length: count }, (_, i): Pass => {
    const pass = i + 1
    return {
      reduces: [...passOf].flatMap(([stage, at]) => (at === pass ? [{ stage, value: inline(stage.value, pass) }] : [])),
      keeps: kept.flatMap(({ name, value }) => (firstUse(name) === pass ? [{ name, value: inline(value, pass) }] : [])),
      after: rowStages.filter(({ name }) => available.get(name) === pass)
    }
  })
  const results = region.results.map(({ per, value }, result) => ({ per, result, value }))
  return {
    before: rowStages.filter(({ name }) => (available.get(name) ?? 0) === 0),
    passes,
    kept: kept.map(({ name, value }) => ({ name, dtype: value.dtype })),
    elements: results.flatMap(({ per, result, value }) =>
      per === "element" ? [{ result, value: inline(value, count + 1) }] : []
    ),
    rows: results.flatMap(({ per, result, value }) => (per === "row" ? [{ result, value }] : []))
  }
}

/** Reading it again has to be cheaper than computing it again. */
const isWorthKeeping = (value: Scalar): boolean =>
  Scalars.parts([value]).some(
    (part) =>
      (part.kind === "unary" && !cheap.has(part.op)) ||
      (part.kind === "binary" && (part.op === "div" || part.op === "pow" || part.op === "mod")) ||
      (part.kind === "load" && part.indirect !== undefined)
  ) || Scalars.parts([value]).length > 8

const cheap = new Set<string>(["neg", "abs", "ceil", "floor", "round", "not", "bitwiseNot", "bitcast"])
