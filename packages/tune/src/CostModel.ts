/**
 * CostModel: learns to tell fast candidates from slow ones: gradient boosting of regression trees of depth two.
 *
 * Trees rather than a linear model, since what makes a tile fast are products and thresholds (it fits the registers or it
 * doesn't); depth two, so that pairs of features can act together; few rows, so rates are small and leaves are shrunk.
 * Friedman, "Greedy function approximation: a gradient boosting machine", 2001; shrunk leaves as in XGBoost (Chen &
 * Guestrin, 2016). No random choice is made: equal rows give equal models.
 */

export type Row = ReadonlyArray<number>

export interface CostModel {
  readonly predict: (row: Row) => number
  /** Root mean square error on rows left out of fitting, in the targets' unit; Infinity below eight rows. */
  readonly error: () => number
}

type Tree =
  | { readonly _tag: "Leaf"; readonly value: number }
  | {
      readonly _tag: "Split"
      readonly column: number
      readonly below: number
      readonly left: Tree
      readonly right: Tree
    }

const TREES = 60
const RATE = 0.2
const DEPTH = 2
/** Rows that a leaf is shrunk by. */
const SHRINK = 1
const FOLDS = 4
/** Gains that differ by less are equal. */
const LEAST = 1e-12

/** The rows by column: its values, and the rows in the order of them. Sorted once, asked at every node. */
interface Column {
  readonly values: Float64Array
  readonly order: Int32Array
}

const columnsOf = (rows: ReadonlyArray<Row>): ReadonlyArray<Column> =>
  Array.from({ length: rows[0]?.length ?? 0 }, (_, column) => {
    const values = Float64Array.from(rows, (row) => row[column] ?? 0)
    const order = Int32Array.from(rows.keys()).toSorted((a, b) => (values[a] ?? 0) - (values[b] ?? 0) || a - b)
    return { values, order }
  })

/** How much a leaf with this total of so many rows explains. */
const gain = (total: number, count: number) => (total * total) / (count + SHRINK)

interface Cut {
  readonly gain: number
  readonly below: number
}

/** The best place to cut this node's rows by one column. */
const cut = ({ values, order }: Column, isMine: Uint8Array, rest: Float64Array, total: number, count: number): Cut => {
  let [best, below, left, seen, previous] = [0, 0, 0, 0, Number.NaN]
  for (let k = 0; k < order.length; k++) {
    const i = order[k] ?? 0
    if (isMine[i] === 0) continue
    const value = values[i] ?? 0
    if (seen > 0 && value !== previous) {
      const found = gain(left, seen) + gain(total - left, count - seen)
      if (found > best + LEAST) [best, below] = [found, (value + previous) / 2]
    }
    left += rest[i] ?? 0
    seen++
    previous = value
  }
  return { gain: best, below }
}

const grow = (columns: ReadonlyArray<Column>, isMine: Uint8Array, rest: Float64Array, depth: number): Tree => {
  let [total, count] = [0, 0]
  for (let i = 0; i < rest.length; i++) {
    if (isMine[i] === 0) continue
    total += rest[i] ?? 0
    count++
  }
  const leaf: Tree = { _tag: "Leaf", value: total / (count + SHRINK) }
  if (depth === 0 || count < 4) return leaf
  let best = { gain: gain(total, count) + LEAST, column: -1, below: 0 }
  for (const [column, one] of columns.entries()) {
    const found = cut(one, isMine, rest, total, count)
    if (found.gain > best.gain + LEAST) best = { gain: found.gain, column, below: found.below }
  }
  const { column, below } = best
  const values = columns[column]?.values
  if (values === undefined) return leaf
  const side = (isLeft: boolean) => isMine.map((mine, i) => (mine === 1 && (values[i] ?? 0) < below === isLeft ? 1 : 0))
  return {
    _tag: "Split",
    column,
    below,
    left: grow(columns, side(true), rest, depth - 1),
    right: grow(columns, side(false), rest, depth - 1)
  }
}

const valueOf = (tree: Tree, row: Row): number =>
  tree._tag === "Leaf" ? tree.value : valueOf((row[tree.column] ?? 0) < tree.below ? tree.left : tree.right, row)

const boost = (rows: ReadonlyArray<Row>, targets: ReadonlyArray<number>): ((row: Row) => number) => {
  const mean = targets.length === 0 ? 0 : targets.reduce((sum, target) => sum + target, 0) / targets.length
  const rest = Float64Array.from(targets, (target) => target - mean)
  const columns = columnsOf(rows)
  const everything = new Uint8Array(rows.length).fill(1)
  const trees: Array<Tree> = []
  for (let i = 0; i < TREES; i++) {
    const tree = grow(columns, everything, rest, DEPTH)
    trees.push(tree)
    for (const [index, row] of rows.entries()) rest[index] = (rest[index] ?? 0) - RATE * valueOf(tree, row)
  }
  return (row) => mean + RATE * trees.reduce((total, tree) => total + valueOf(tree, row), 0)
}

/** Fits targets (logarithms of time) to rows of features. */
export const fit = (rows: ReadonlyArray<Row>, targets: ReadonlyArray<number>): CostModel => ({
  predict: boost(rows, targets),
  error: () => leftOut(rows, targets)
})

/** Root mean square error of models that did not see the rows that they are asked for. */
const leftOut = (rows: ReadonlyArray<Row>, targets: ReadonlyArray<number>): number => {
  if (rows.length < 2 * FOLDS) return Infinity
  let squares = 0
  for (let fold = 0; fold < FOLDS; fold++) {
    const isOut = (_: unknown, i: number) => i % FOLDS === fold
    const isIn = (value: unknown, i: number) => !isOut(value, i)
    const predict = boost(rows.filter(isIn), targets.filter(isIn))
    const outRows = rows.filter(isOut)
    for (const [k, target] of targets.filter(isOut).entries()) squares += (predict(outRows[k] ?? []) - target) ** 2
  }
  return Math.sqrt(squares / rows.length)
}
