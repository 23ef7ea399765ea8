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

const sum = (indices: ReadonlyArray<number>, values: ReadonlyArray<number>) =>
  indices.reduce((total, i) => total + (values[i] ?? 0), 0)

/** How much a leaf of these explains. */
const gain = (total: number, count: number) => (total * total) / (count + SHRINK)

/** For each column, the rows by its value: sorted once, asked at every node. */
type Orders = ReadonlyArray<ReadonlyArray<number>>

const ordersOf = (rows: ReadonlyArray<Row>): Orders =>
  Array.from({ length: rows[0]?.length ?? 0 }, (_, column) =>
    rows.map((_, i) => i).toSorted((a, b) => (rows[a]?.[column] ?? 0) - (rows[b]?.[column] ?? 0) || a - b)
  )

const grow = (
  indices: ReadonlyArray<number>,
  rows: ReadonlyArray<Row>,
  orders: Orders,
  rest: ReadonlyArray<number>,
  depth: number
): Tree => {
  const total = sum(indices, rest)
  const leaf: Tree = { _tag: "Leaf", value: total / (indices.length + SHRINK) }
  if (depth === 0 || indices.length < 4) return leaf
  let best = { gain: gain(total, indices.length) + 1e-12, column: -1, below: 0 }
  const isMine = new Uint8Array(rows.length)
  for (const i of indices) isMine[i] = 1
  for (const [column, order] of orders.entries()) {
    const at = (i: number) => rows[i]?.[column] ?? 0
    const sorted = order.filter((i) => isMine[i] === 1)
    let left = 0
    for (let k = 1; k < sorted.length; k++) {
      const [before = 0, here = 0] = [sorted[k - 1], sorted[k]]
      left += rest[before] ?? 0
      if (at(before) === at(here)) continue
      const found = gain(left, k) + gain(total - left, sorted.length - k)
      if (found > best.gain + 1e-12) best = { gain: found, column, below: (at(before) + at(here)) / 2 }
    }
  }
  if (best.column < 0) return leaf
  const { column, below } = best
  const isLeft = (i: number) => (rows[i]?.[column] ?? 0) < below
  return {
    _tag: "Split",
    column,
    below,
    left: grow(indices.filter(isLeft), rows, orders, rest, depth - 1),
    right: grow(
      indices.filter((i) => !isLeft(i)),
      rows,
      orders,
      rest,
      depth - 1
    )
  }
}

const valueOf = (tree: Tree, row: Row): number =>
  tree._tag === "Leaf" ? tree.value : valueOf((row[tree.column] ?? 0) < tree.below ? tree.left : tree.right, row)

const boost = (rows: ReadonlyArray<Row>, targets: ReadonlyArray<number>): ((row: Row) => number) => {
  const indices = rows.map((_, i) => i)
  const mean = targets.length === 0 ? 0 : sum(indices, targets) / targets.length
  const rest = targets.map((target) => target - mean)
  const orders = ordersOf(rows)
  const trees: Array<Tree> = []
  for (let i = 0; i < TREES; i++) {
    const tree = grow(indices, rows, orders, rest, DEPTH)
    trees.push(tree)
    for (const index of indices) rest[index] = (rest[index] ?? 0) - RATE * valueOf(tree, rows[index] ?? [])
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
