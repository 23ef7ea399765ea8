/**
 * Trials: concrete inputs for a region, and whether its two sides agree on them.
 *
 * Sizes: free dims get small, different sizes; static ones are shrunk where both sides still infer. Values: edge values
 * and random ones from the domains of the ops that take them. All from a seed, and from + − × ÷ alone, so that a check
 * draws the same on every machine.
 */
import * as Builder from "@anneal/ir/Builder"
import * as Dim from "@anneal/ir/Dim"
import * as DType from "@anneal/ir/DType"
import { IrError } from "@anneal/ir/Errors"
import * as IR from "@anneal/ir/Graph"
import * as Numbers from "@anneal/ir/Numbers"
import * as Op from "@anneal/ir/Op"
import * as Tensor from "@anneal/ir/Tensor"
import * as Type from "@anneal/ir/Type"

// ---- sizes ----------------------------------------------------------------------------------------------------------

/** A region with concrete inputs types: both graphs and the shapes of their inputs. */
export interface Sized {
  readonly before: IR.Graph
  readonly after: IR.Graph
  readonly sizes: ReadonlyMap<string, number>
  /** Whether static dims were shrunk: a difference must then be confirmed at the real sizes. */
  readonly shrunk: boolean
}

interface Sides {
  readonly before: IR.Graph
  readonly after: IR.Graph
}

/** Starting sizes, in the order in which they are tried; the n-th symbol gets n more. */
const bases = [2, 4, 8, 16, 32, 1, 256, 1024]
/** From this size on only the dims that need it are so long. */
const LONG = 256

const withSizes = (graph: IR.Graph, sizes: ReadonlyMap<string, number>): IR.Graph => {
  const by: ReadonlyMap<string, Dim.Dim> = sizes
  const typed = <V extends IR.Value>(value: V): V => ({ ...value, type: Type.substitute(value.type, by) })
  return {
    ...graph,
    inputs: graph.inputs.map(typed),
    nodes: graph.nodes.map((node) => ({
      ...node,
      attributes: Op.mapDims(node.attributes, (dim) => Dim.substitute(dim, by)),
      outputs: node.outputs.map(typed),
      graphs: Object.fromEntries(Object.entries(node.graphs).map(([name, inner]) => [name, withSizes(inner, sizes)]))
    })),
    constraints: graph.constraints.map(({ left, right, what }) => ({
      left: Dim.substitute(left, by),
      right: Dim.substitute(right, by),
      what
    }))
  }
}

/** Symbols of the model's inputs that only attributes mention: nothing that the region takes would bind them. */
const mentioned = (graph: IR.Graph): ReadonlyArray<string> =>
  [...IR.allNodes(graph)]
    .flatMap(({ attributes }) => Op.attributeSymbols(attributes))
    .filter((name) => !Dim.isUnbackedName(name))

/** The least static extent of any value; below 0 where a window is longer than these sizes allow. */
const leastExtent = (graph: IR.Graph): number =>
  [...graph.inputs, ...[...IR.allNodes(graph)].flatMap(({ outputs }) => outputs)].reduce(
    (least, { type }) => type.shape.reduce<number>((so, dim) => (Dim.isStatic(dim) ? Math.min(so, dim) : so), least),
    Infinity
  )

/** The region at these sizes, with the least extent of any value; undefined where the sizes contradict an attribute. */
const sizedTo = ({ before, after }: Sides, sizes: ReadonlyMap<string, number>) => {
  try {
    const sized: Sized = { before: withSizes(before, sizes), after: withSizes(after, sizes), sizes, shrunk: false }
    return { sized, least: Math.min(leastExtent(sized.before), leastExtent(sized.after)) }
  } catch (error) {
    if (error instanceof RangeError || error instanceof IrError) return undefined
    throw error
  }
}

/** Sizes at which nothing is empty, each small again where the others allow it: only some dims need to be long. */
const relaxed = (sides: Sides, sizes: ReadonlyMap<string, number>): ReadonlyMap<string, number> => {
  const found = new Map(sizes)
  for (const [name, size] of sizes) {
    if (size <= 2) continue
    found.set(name, 2)
    if ((sizedTo(sides, found)?.least ?? 0) <= 0) found.set(name, size)
  }
  return found
}

/** The region at small sizes of its free dims; several, since some sizes may not suit the ops inside. */
export const sizings = function* (sides: Sides): Generator<Sized> {
  const { before, after } = sides
  const given = before.inputs.flatMap(({ type }) => Type.symbols(type))
  const symbols = [...new Set([...given, ...mentioned(before), ...mentioned(after)])].sort()
  // Sizes at which nothing is empty come first: an empty result says nothing.
  const empty: Array<Sized> = []
  for (const base of symbols.length === 0 ? [1] : bases) {
    for (const step of symbols.length > 1 ? [1, 0] : [0]) {
      const sizes = new Map(symbols.map((name, position) => [name, base + step * position]))
      const found = sizedTo(sides, sizes)
      if (found === undefined || found.least < 0) continue
      if (found.least === 0) empty.push(found.sized)
      else yield base < LONG ? found.sized : (sizedTo(sides, relaxed(sides, sizes))?.sized ?? found.sized)
    }
  }
  yield* empty
}

/** The graph on other input types; undefined when an op refuses them. */
const retyped = (graph: IR.Graph, types: ReadonlyArray<Type.TensorType>): IR.Graph | undefined => {
  try {
    const builder = Builder.make(graph.name)
    const values = new Map<string, IR.Value>()
    for (const [position, { id, type }] of graph.inputs.entries()) {
      values.set(id, builder.input(id, types[position] ?? type, { id }))
    }
    for (const [id, { constant }] of graph.constants) values.set(id, builder.constant(constant, { id }))
    for (const { attributes, graphs, inputs, op, outputs } of graph.nodes) {
      const operands = inputs.map((id) => (id === null ? undefined : values.get(id)))
      const made = builder.node(op, operands, attributes, { graphs, ids: outputs.map(({ id }) => id) })
      for (const [position, { id }] of outputs.entries()) {
        const value = made[position]
        if (value !== undefined) values.set(id, value)
      }
    }
    for (const { id, name } of graph.outputs) {
      const value = values.get(id)
      if (value === undefined) return undefined
      builder.output(name, value)
    }
    const made = builder.finish()
    return made.constraints.length === 0 ? made : undefined
  } catch (error) {
    if (error instanceof IrError || error instanceof RangeError) return undefined
    throw error
  }
}

const outputTypes = (graph: IR.Graph) => {
  const index = IR.index(graph)
  return graph.outputs.map(({ id }) => index.type(id))
}

/** Static extents above this are worth shrinking. */
const LARGE = 8

/** Smaller extents of one parity and one remainder by four, so that strides and pools meet the same cases. */
const smaller = (extent: number) => [4, 8, 12].map((size) => size + (extent % 4)).filter((size) => size < extent)

/** The same region with large static extents replaced by small ones, where both sides infer the same types from them. */
export const shrink = (sized: Sized): Sized => {
  if (sized.before.nodes.some(({ graphs }) => Object.keys(graphs).length > 0)) return sized
  let [before, after, shrunk] = [sized.before, sized.after, false]
  const least = Math.min(1, leastExtent(before), leastExtent(after))
  const extents = new Set(before.inputs.flatMap(({ type }) => type.shape.filter(Dim.isStatic)))
  for (const extent of [...extents].filter((size) => size > LARGE).sort((a, b) => b - a)) {
    for (const [axis, size] of [0, 2].flatMap((first) => smaller(extent).map((small) => [first, small] as const))) {
      // Everywhere first; else only in spatial axes, where an extent may be a number of channels elsewhere.
      const types = before.inputs.map(({ type }) =>
        Type.make(
          type.dtype,
          type.shape.map((dim, position) => (dim === extent && position >= axis ? size : dim))
        )
      )
      if (before.inputs.every(({ type }, position) => Type.equal(type, types[position] ?? type) === true)) continue
      const [a, b] = [retyped(before, types), retyped(after, types)]
      // A window may be longer than what is left: an empty result says nothing.
      if (a === undefined || b === undefined || Math.min(leastExtent(a), leastExtent(b)) < least) continue
      const [ta, tb] = [outputTypes(a), outputTypes(b)]
      if (!ta.every((type, position) => tb[position] !== undefined && Type.equal(type, tb[position]) === true)) continue
      ;[before, after, shrunk] = [a, b, true]
      break
    }
  }
  return shrunk ? { before, after, sizes: sized.sizes, shrunk } : sized
}

// ---- values ---------------------------------------------------------------------------------------------------------

/** A small fast generator: uniform in [0, 1). (Mulberry32.) */
const generator = (seed: number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/** Ops that hand elements on, so that what takes their result takes their input. */
const handsOn = (node: IR.Node) => node.op.error.kind === "movement" || node.op.name === "cast"

/** The domains of all ops that take a value, through data movement. */
export const domainsOf = (graph: IR.Graph, id: string, index: IR.Index = IR.index(graph)): ReadonlyArray<Op.Domain> =>
  index.users(id).flatMap((node) => {
    const types = node.inputs.map((input) => (input === null ? undefined : index.type(input)))
    return node.inputs.flatMap((input, position) => {
      if (input !== id) return []
      const own = node.op.domain?.(position, types, node.attributes) ?? Op.any
      if (!handsOn(node) || position > 0) return [own]
      return [own, ...node.outputs.flatMap((output) => domainsOf(graph, output.id, index))]
    })
  })

/** `edges`: mostly edge values, all of them in turn. `mixed`: a few of them among random ones. `special`: infinities and NaN. */
export type Flavour = "edges" | "mixed" | "random" | "special"

export const edges: ReadonlyArray<number> = [
  0, -0, 1, -1, 0.5, -0.5, 2, -2, 3, -3, 1e-3, -1e-3, 10, -10, 1e-30, 127, -128, 255
]
const specials = [Infinity, -Infinity, NaN, 0, -0, 1, -1]

/** Interval of the domains' overlap; undefined: anything. */
const overlap = (domains: ReadonlyArray<Op.Domain>) => {
  let [min, max, awayFromZero, bounded] = [-Infinity, Infinity, false, false]
  for (const domain of domains) {
    if (domain.kind === "nonZero") awayFromZero = true
    if (domain.kind === "range") [min, max, bounded] = [Math.max(min, domain.min), Math.min(max, domain.max), true]
    if (domain.kind === "index" && Dim.isStatic(domain.extent)) {
      const low = domain.negative ? -domain.extent : 0
      ;[min, max, bounded] = [Math.max(min, low), Math.min(max, domain.extent - 1), true]
    }
  }
  return { min, max, awayFromZero, bounded }
}

const limits = (dtype: DType.DType): readonly [number, number] => {
  if (dtype === "bool") return [0, 1]
  if (DType.isFloat(dtype)) return dtype === "f8e4m3" || dtype === "f8e5m2" ? [-200, 200] : [-30000, 30000]
  const { max, min } = DType.integerRange(dtype)
  // Wide integers are counts and indices: their products must not wrap in a check of something else.
  return DType.bits(dtype) > 8 ? [Math.max(Number(min), -10), 10] : [Number(min), Number(max)]
}

/** A prime: values that are drawn of their own for one input. */
const MOST_FRESH = 65_521

const drawnOnce: { normals?: Float64Array } = {}

/** Near enough to normal, sums of four uniform numbers: drawn once, and every input begins at another place of them. */
const normals = (): Float64Array => {
  if (drawnOnce.normals !== undefined) return drawnOnce.normals
  const random = generator(0)
  const made = new Float64Array(MOST_FRESH)
  for (let i = 0; i < made.length; i++) made[i] = (random() + random() + random() + random() - 2) * 1.7
  drawnOnce.normals = made
  return made
}

/** One input of a trial. */
export const draw = (
  type: Type.TensorType,
  domains: ReadonlyArray<Op.Domain>,
  flavour: Flavour,
  seed: number,
  /** Where in the edge values to begin. */
  offset = 0
): Tensor.Tensor => {
  const shape = type.shape.map((dim) => (Dim.isStatic(dim) ? dim : 1))
  const random = generator(seed)
  const { awayFromZero, bounded, max, min } = overlap(domains)
  const [lowest, highest] = limits(type.dtype)
  const [low, high] = [Math.max(min, lowest), Math.max(Math.max(min, lowest), Math.min(max, highest))]
  const float = DType.isFloat(type.dtype)
  const values = new Float64Array(Tensor.size(shape))
  const share = { edges: 0.75, mixed: 0.25, special: 0, random: 0 }[flavour]
  // Three magnitudes of random values, by seed.
  const scale = [1, 4, 0.25][Math.abs(seed) % 3] ?? 1
  // Beyond so many the values come again, at other distances from any power of two.
  const fresh = Math.min(values.length, MOST_FRESH)
  const usual = normals()
  const begin = Math.floor(generator(seed)() * MOST_FRESH)
  for (let i = 0; i < fresh; i++) {
    let value: number
    if (float && flavour === "special" && random() < 0.2) value = pick(specials, random())
    else if (float && share > 0 && random() < share) value = edges[(i + offset) % edges.length] ?? 0
    else if (float && bounded) value = low + (high - low) * random()
    else if (float) value = scale * (usual[(begin + i) % MOST_FRESH] ?? 0)
    else value = low + Math.floor((high - low + 1) * random())
    if (bounded && !(value >= low && value <= high)) value = low + (high - low) * random()
    if (awayFromZero && Math.abs(value) < 0.1) value = float ? (value < 0 ? -0.5 : 0.5) : 1
    values[i] = float ? value : Math.trunc(value)
  }
  for (let filled = fresh; filled < values.length; filled *= 2)
    values.copyWithin(filled, 0, Math.min(filled, values.length - filled))
  return Numbers.fromNumbers(type.dtype, shape, values)
}

const pick = (list: ReadonlyArray<number>, at: number) => list[Math.floor(at * list.length)] ?? 0

// ---- comparison -----------------------------------------------------------------------------------------------------

/** The first element on which the two sides differ by more than they may. */
export interface Difference {
  /** Number of the output. */
  readonly output: number
  /** Row-major element; -1: the shapes or types differ. */
  readonly element: number
  readonly expected: string
  readonly found: string
  /** How far apart they may be. */
  readonly allowed: number
}

export interface Comparison {
  readonly difference: Difference | undefined
  /** Elements that were really compared: finite before, with a finite bound. */
  readonly finite: number
  readonly total: number
}

const describe = ({ dtype, shape }: Tensor.Tensor) => `${dtype}[${shape.join(", ")}]`

/** The bits of a tensor's elements, four bytes at a time where they lie so. */
const bitsOf = ({ data: { buffer, byteLength, byteOffset } }: Tensor.Tensor): Uint32Array | Uint8Array =>
  byteLength % 4 === 0 && byteOffset % 4 === 0
    ? new Uint32Array(buffer, byteOffset, byteLength / 4)
    : new Uint8Array(buffer, byteOffset, byteLength)

const sameBits = (a: Tensor.Tensor, b: Tensor.Tensor): boolean => {
  const [left, right] = [bitsOf(a), bitsOf(b)]
  if (left.length !== right.length) return false
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false
  return true
}

/** Element values as numbers: not a copy where they are. */
const realsOf = (tensor: Tensor.Tensor): Float32Array | Float64Array =>
  tensor.data instanceof Float32Array || tensor.data instanceof Float64Array ? tensor.data : Numbers.toNumbers(tensor)

const countFinite = (values: Float32Array | Float64Array): number => {
  let count = 0
  for (let i = 0; i < values.length; i++) if (Number.isFinite(values[i])) count++
  return count
}

/** A value, or a bound, without a limit. */
const saysNothing = (value: number, bound: number) => !Number.isFinite(value) || !Number.isFinite(bound)

/**
 * `bounds` undefined: bit for bit, NaN payloads apart. With bounds, a rewrite must not overflow where the graph before
 * did not.
 */
export const compare = (
  before: ReadonlyArray<Tensor.Tensor>,
  after: ReadonlyArray<Tensor.Tensor>,
  bounds?: { readonly before: ReadonlyArray<Float64Array>; readonly after: ReadonlyArray<Float64Array> }
): Comparison => {
  let [finite, total] = [0, 0]
  let difference: Difference | undefined
  for (const [output, a] of before.entries()) {
    const b = after[output]
    if (b === undefined || a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) {
      const found = b === undefined ? "nothing" : describe(b)
      difference ??= { output, element: -1, expected: describe(a), found, allowed: 0 }
      continue
    }
    const xs = realsOf(a)
    total += xs.length
    if (bounds === undefined && sameBits(a, b)) {
      finite += countFinite(xs)
      continue
    }
    const ys = realsOf(b)
    const boundsOf = { before: bounds?.before[output], after: bounds?.after[output] }
    for (let i = 0; i < xs.length; i++) {
      const x = xs[i] ?? 0
      const y = ys[i] ?? 0
      const own = boundsOf.before?.[i] ?? 0
      const its = boundsOf.after?.[i] ?? 0
      const allowed = own + its
      // A bound without a limit says as little as a value without one.
      if (Number.isFinite(x) && Number.isFinite(allowed)) finite++
      if (difference !== undefined) continue
      const same =
        bounds === undefined
          ? Object.is(x, y) && (DType.isBig(a.dtype) ? a.data[i] === b.data[i] : true)
          : Object.is(x, y) ||
            saysNothing(x, own) ||
            (Number.isFinite(y) && (!Number.isFinite(its) || Math.abs(x - y) <= allowed))
      if (!same) difference = { output, element: i, expected: shown(x), found: shown(y), allowed }
    }
  }
  return { difference, finite, total }
}

const shown = (value: number) => (Object.is(value, -0) ? "-0" : String(value))
