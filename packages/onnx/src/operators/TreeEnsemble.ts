// Decision trees of ai.onnx.ml: TreeEnsemble, TreeEnsembleRegressor and TreeEnsembleClassifier.
//
// All trees at once, a level at a time: the node that each row is at in each tree, `[rows, trees]`, moves on by looking up
// the node's feature, split and children. Leaves are their own children, so that shallow trees wait for the deepest.
import type { Value } from "@anneal/ir/Graph"
import * as DTypes from "@anneal/ir/DType"
import * as Numbers from "@anneal/ir/Numbers"
import * as Ops from "@anneal/ir/Ops"
import { unknown } from "../Operand.ts"
import * as TensorData from "../TensorData.ts"
import type { Context, Operator } from "../Operator.ts"

const domain = "ai.onnx.ml"

const modes = [
  "BRANCH_LEQ",
  "BRANCH_LT",
  "BRANCH_GTE",
  "BRANCH_GT",
  "BRANCH_EQ",
  "BRANCH_NEQ",
  "BRANCH_MEMBER"
] as const
type Mode = (typeof modes)[number] | "LEAF"

interface TreeNode {
  readonly mode: Mode
  readonly feature: number
  readonly split: number
  /** Values that a member node sends to its first child. */
  readonly members: ReadonlyArray<number>
  /** Positions of the children in the list of nodes; a leaf's are its own. */
  readonly yes: number
  readonly no: number
  /** Whether a missing value (NaN) goes to the first child. */
  readonly missing: boolean
}

interface Forest {
  readonly nodes: ReadonlyArray<TreeNode>
  readonly roots: ReadonlyArray<number>
  readonly targets: number
  /** What a leaf adds to a target. */
  readonly weights: ReadonlyArray<{ readonly node: number; readonly target: number; readonly weight: number }>
  readonly base: ReadonlyArray<number>
}

const leaf = (at: number): TreeNode => ({
  mode: "LEAF",
  feature: 0,
  split: 0,
  members: [],
  yes: at,
  no: at,
  missing: false
})

/** Edges from a root to the farthest leaf. */
const depthOf = (c: Context, { nodes, roots }: Forest): number => {
  let level = new Set(roots)
  for (let depth = 0; depth <= nodes.length; depth++) {
    const next = new Set<number>()
    for (const at of level) {
      const node = nodes[at] ?? c.fail(`a tree goes on at node ${at}, which there is not`)
      if (node.mode !== "LEAF") next.add(node.yes).add(node.no)
    }
    if (next.size === 0) return depth
    level = next
  }
  return c.fail("a tree has a cycle")
}

const comparisons = {
  BRANCH_LEQ: Ops.lessOrEqual,
  BRANCH_LT: Ops.less,
  BRANCH_GTE: Ops.greaterOrEqual,
  BRANCH_GT: Ops.greater,
  BRANCH_EQ: Ops.equal
} as const

/** For each row the leaf that it ends at in each tree, i64 `[rows, trees]`. */
const leavesOf = (c: Context, forest: Forest, x: Value): Value => {
  const { e } = c
  const { nodes, roots } = forest
  const [rows = 1] = x.type.shape
  const dtype = x.type.dtype
  const column = (dtype_: typeof dtype, read: (node: TreeNode) => number): Value =>
    e.b.tensor(Numbers.fromNumbers(dtype_, [nodes.length], nodes.map(read)))
  const present = [...modes].filter((mode) => nodes.some((node) => node.mode === mode))
  const [features, splits] = [column("i64", (node) => node.feature), column(dtype, (node) => node.split)]
  const [yes, no] = [column("i64", (node) => node.yes), column("i64", (node) => node.no)]
  const kinds =
    present.length > 1 ? column("i32", (node) => present.findIndex((mode) => mode === node.mode)) : undefined
  const missing = nodes.some((node) => node.missing) ? column("bool", (node) => (node.missing ? 1 : 0)) : undefined
  const width = Math.max(0, ...nodes.map(({ members }) => members.length))
  const sets = nodes.flatMap(({ members }) => Array.from({ length: width }, (_, i) => members[i] ?? Number.NaN))
  const table = width === 0 ? undefined : e.b.tensor(Numbers.fromNumbers(dtype, [nodes.length, width], sets))
  const holds = (mode: (typeof modes)[number], at: Value, value: Value): Value => {
    if (mode === "BRANCH_MEMBER") {
      if (table === undefined) return e.expand(e.scalar("bool", 0), value.type.shape)
      const same = e.binary(Ops.equal, e.reshape(value, [...value.type.shape, 1]), e.gather(table, at, 0))
      return e.reduce(Ops.reduceMax, same, [2], false)
    }
    const split = e.gather(splits, at, 0)
    if (mode === "BRANCH_NEQ") return e.unary(Ops.not, e.binary(Ops.equal, value, split))
    return e.binary(comparisons[mode], value, split)
  }
  let at = e.expand(e.b.tensor(Numbers.integers(roots)), [rows, roots.length])
  for (let level = depthOf(c, forest); level > 0; level--) {
    const here = at
    const value = e.b.one(Ops.gatherElements, [x, e.gather(features, here, 0)], { axis: 1 })
    const tests = present.map((mode) => holds(mode, here, value))
    const [first, ...others] = tests
    if (first === undefined) return here
    let isYes = others.reduce(
      (chosen, test, i) =>
        kinds === undefined
          ? chosen
          : e.select(e.binary(Ops.equal, e.gather(kinds, here, 0), e.scalar("i32", i + 1)), test, chosen),
      first
    )
    if (missing !== undefined)
      isYes = e.binary(Ops.or, isYes, e.binary(Ops.and, e.unary(Ops.isNaN, value), e.gather(missing, here, 0)))
    at = e.select(isYes, e.gather(yes, here, 0), e.gather(no, here, 0))
  }
  return at
}

const aggregates = ["AVERAGE", "SUM", "MIN", "MAX"] as const
type Aggregate = (typeof aggregates)[number]

/** `[rows, targets]`: the leaves' weights over the trees, plus the base values. */
const predicted = (c: Context, forest: Forest, given: Value, aggregate: Aggregate): Value => {
  const { e } = c
  if (given.type.shape.length !== 2) return c.fail("rows of features are expected, of rank 2")
  const x = DTypes.isFloat(given.type.dtype) ? given : e.cast(given, "f32")
  const { base, nodes, roots, targets, weights } = forest
  const dtype = x.type.dtype
  const isExtreme = aggregate === "MIN" || aggregate === "MAX"
  // A leaf without a weight for a target takes no part in its minimum or maximum.
  const neutral = aggregate === "MIN" ? Infinity : aggregate === "MAX" ? -Infinity : 0
  const matrix = new Float64Array(nodes.length * targets).fill(neutral)
  for (const { node, target, weight } of weights) {
    const at = node * targets + target
    const before = matrix[at] ?? 0
    matrix[at] = isExtreme
      ? aggregate === "MIN"
        ? Math.min(before, weight)
        : Math.max(before, weight)
      : before + weight
  }
  const table = e.b.tensor(Numbers.fromNumbers(dtype, [nodes.length, targets], matrix))
  const added = e.gather(table, leavesOf(c, forest, x), 0)
  let total = isExtreme
    ? e.reduce(aggregate === "MIN" ? Ops.reduceMin : Ops.reduceMax, added, [1], false)
    : e.sum(added, [1], false)
  if (isExtreme)
    total = e.select(e.b.one(Ops.isInf, [total], { negative: true, positive: true }), e.number(total, 0), total)
  if (aggregate === "AVERAGE") total = e.div(total, e.number(total, roots.length))
  return base.length === 0 ? total : e.add(total, e.b.tensor(Numbers.fromNumbers(dtype, [base.length], base)))
}

const transforms = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"] as const

const transformed = (c: Context, x: Value, transform: string | undefined): Value => {
  const { e } = c
  switch (transform) {
    case "NONE":
      return x
    case "LOGISTIC":
      return e.unary(Ops.sigmoid, x)
    case "SOFTMAX":
      return e.b.one(Ops.softmax, [x], { axis: 1 })
    case "SOFTMAX_ZERO": {
      // Zeros stay zeros, and take no part.
      const isZero = e.binary(Ops.equal, x, e.number(x, 0))
      const open = e.b.one(Ops.softmax, [e.select(isZero, e.number(x, -Infinity), x)], { axis: 1 })
      return e.select(isZero, e.number(x, 0), open)
    }
    default:
      return c.unsupported(`the post_transform ${transform}`)
  }
}

const numbersOf = (c: Context, name: string): ReadonlyArray<number> | undefined => {
  const proto = c.attribute.tensor(name)
  const tensor = proto === undefined ? undefined : TensorData.toTensor(proto)
  return tensor === undefined ? undefined : Array.from(Numbers.toNumbers(tensor))
}

const required = (c: Context, name: string): ReadonlyArray<number> =>
  c.attribute.ints(name) ?? c.fail(`the attribute "${name}" is missing`)

/** Members of each set, the sets separated by NaN. */
const memberSets = (values: ReadonlyArray<number>): ReadonlyArray<ReadonlyArray<number>> => {
  const sets: Array<Array<number>> = [[]]
  for (const value of values)
    if (Number.isNaN(value)) sets.push([])
    else sets.at(-1)?.push(value)
  return sets
}

/** Inner nodes, then leaves; children are of either kind by a flag. */
export const treeEnsemble: Operator = {
  name: "TreeEnsemble",
  domain,
  since: [5],
  translate: (c) => {
    const features = required(c, "nodes_featureids")
    const kinds = numbersOf(c, "nodes_modes") ?? c.fail("nodes_modes is missing")
    const splits = numbersOf(c, "nodes_splits") ?? c.fail("nodes_splits is missing")
    const weights = numbersOf(c, "leaf_weights") ?? c.fail("leaf_weights is missing")
    const targets = required(c, "leaf_targetids")
    const missing = c.attribute.ints("nodes_missing_value_tracks_true")
    const sets = [...memberSets(numbersOf(c, "membership_values") ?? [])]
    const child = (side: "true" | "false", i: number): number => {
      const isLeaf = required(c, `nodes_${side}leafs`)[i] === 1
      return (required(c, `nodes_${side}nodeids`)[i] ?? 0) + (isLeaf ? features.length : 0)
    }
    const inner = features.map((feature, i): TreeNode => {
      const mode = modes[kinds[i] ?? -1] ?? c.fail(`mode ${kinds[i]} is not known`)
      const members = mode === "BRANCH_MEMBER" ? (sets.shift() ?? []) : []
      return {
        mode,
        feature,
        split: mode === "BRANCH_MEMBER" ? 0 : (splits[i] ?? 0),
        members,
        yes: child("true", i),
        no: child("false", i),
        missing: missing?.[i] === 1
      }
    })
    const forest: Forest = {
      nodes: [...inner, ...weights.map((_, i) => leaf(inner.length + i))],
      roots: required(c, "tree_roots"),
      targets: c.attribute.int("n_targets"),
      weights: weights.map((weight, i) => ({ node: inner.length + i, target: targets[i] ?? 0, weight })),
      base: []
    }
    const aggregate = aggregates[c.attribute.int("aggregate_function", 1)] ?? c.fail("aggregate_function is not known")
    const total = predicted(c, forest, c.input(0), aggregate)
    return transformed(c, total, transforms[c.attribute.int("post_transform", 0)])
  }
}

/** Nodes by tree and number; weights, of attributes that start with `kind`, are at pairs of them. */
const forestOf = (c: Context, kind: "target" | "class", targets: number): Forest => {
  const [trees, numbers] = [required(c, "nodes_treeids"), required(c, "nodes_nodeids")]
  const places = new Map(trees.map((tree, i) => [`${tree}/${numbers[i]}`, i]))
  const place = (tree: number | undefined, node: number | undefined): number =>
    places.get(`${tree}/${node}`) ?? c.fail(`tree ${tree} has no node ${node}`)
  const kinds = c.attribute.strings("nodes_modes") ?? c.fail("nodes_modes is missing")
  const splits = c.attribute.floats("nodes_values") ?? numbersOf(c, "nodes_values_as_tensor") ?? []
  const weights = c.attribute.floats(`${kind}_weights`) ?? numbersOf(c, `${kind}_weights_as_tensor`) ?? []
  const features = required(c, "nodes_featureids")
  const [yes, no] = [required(c, "nodes_truenodeids"), required(c, "nodes_falsenodeids")]
  const missing = c.attribute.ints("nodes_missing_value_tracks_true")
  const nodes = trees.map((tree, i): TreeNode => {
    if (kinds[i] === "LEAF") return leaf(i)
    return {
      mode: modes.find((mode) => mode === kinds[i]) ?? c.fail(`mode ${kinds[i]} is not known`),
      feature: features[i] ?? 0,
      split: splits[i] ?? 0,
      members: [],
      yes: place(tree, yes[i]),
      no: place(tree, no[i]),
      missing: missing?.[i] === 1
    }
  })
  // A tree's root is nobody's child.
  const children = new Set(nodes.flatMap((node) => (node.mode === "LEAF" ? [] : [node.yes, node.no])))
  const owners = required(c, `${kind}_treeids`)
  const [leaves, ids] = [required(c, `${kind}_nodeids`), required(c, `${kind}_ids`)]
  return {
    nodes,
    roots: nodes.flatMap((_, i) => (children.has(i) ? [] : [i])),
    targets,
    weights: weights.map((weight, i) => ({ node: place(owners[i], leaves[i]), target: ids[i] ?? 0, weight })),
    base: c.attribute.floats("base_values") ?? numbersOf(c, "base_values_as_tensor") ?? []
  }
}

export const treeEnsembleRegressor: Operator = {
  name: "TreeEnsembleRegressor",
  domain,
  since: [1, 3],
  translate: (c) => {
    const forest = forestOf(c, "target", c.attribute.int("n_targets"))
    const name = c.attribute.string("aggregate_function", "SUM")
    const aggregate = aggregates.find((known) => known === name) ?? c.fail(`aggregate_function "${name}" is not known`)
    const total = predicted(c, forest, c.input(0), aggregate)
    return c.e.cast(transformed(c, total, c.attribute.string("post_transform", "NONE")), "f32")
  }
}

/**
 * Scores of two classes from the score of one: of weights that are all positive it is a probability p, and [1 − p, p];
 * otherwise [−s, s]. The second class wins above ½, or above 0.
 */
const ofTwo = (c: Context, score: Value, isProbability: boolean, transform: string) => {
  const { e } = c
  const label = e.cast(e.binary(Ops.greater, score, e.number(score, isProbability ? 0.5 : 0)), "i64")
  const negative = isProbability ? e.sub(e.number(score, 1), score) : e.neg(score)
  const pair = e.concat([negative, score], 1)
  const isSquashed = transform === "LOGISTIC" && !isProbability
  return { label: e.reshape(label, [score.type.shape[0] ?? 1]), scores: isSquashed ? e.unary(Ops.sigmoid, pair) : pair }
}

/** Labels (i64) and scores `[rows, classes]`. */
export const treeEnsembleClassifier: Operator = {
  name: "TreeEnsembleClassifier",
  domain,
  since: [1, 3],
  translate: (c) => {
    const { e } = c
    const names = c.attribute.ints("classlabels_int64s")
    const count =
      names?.length ?? c.attribute.strings("classlabels_strings")?.length ?? c.fail("the labels are missing")
    const whole = forestOf(c, "class", count)
    const used = new Set(whole.weights.map(({ target }) => target))
    const transform = c.attribute.string("post_transform", "NONE")
    let label: Value
    let scores: Value
    if (count === 2 && used.size === 1) {
      const base = whole.base.length === 2 ? whole.base.slice(1) : whole.base
      const one = { ...whole, base, targets: 1, weights: whole.weights.map((entry) => ({ ...entry, target: 0 })) }
      const score = predicted(c, one, c.input(0), "SUM")
      const isProbability = whole.weights.every(({ weight }) => weight >= 0)
      ;({ label, scores } = ofTwo(c, score, isProbability, transform))
    } else {
      const total = predicted(c, whole, c.input(0), "SUM")
      label = e.b.one(Ops.argMax, [total], { axis: 1, keepDims: false, select: "first" })
      scores = transformed(c, total, transform)
    }
    const labels = names === undefined ? undefined : e.gather(e.b.tensor(Numbers.integers(names)), label, 0)
    return [labels === undefined ? unknown("a string") : labels, e.cast(scores, "f32")]
  }
}

export const all: ReadonlyArray<Operator> = [treeEnsemble, treeEnsembleRegressor, treeEnsembleClassifier]
