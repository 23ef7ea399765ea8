// What is known at import about the elements of a small tensor: shape arithmetic evaluated over symbolic dims.
//
// Shape(x) of f32[batch, 3]  ⇒  i64[2] { batch, 3 };   Gather 0, Mul 2, Unsqueeze  ⇒  i64[1] { 2*batch }
//
// Sizes sometimes take a detour over floats (`floor(shape * 0.5)`): those elements are fractions of dims. An operation
// that leaves what can be written down exactly gives undefined, and the value is then computed by the graph.
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import * as Numbers from "@anneal/ir/Numbers"
import * as Tensors from "@anneal/ir/Tensor"

/** `numerator / denominator`, with a denominator of 2 or more; an element of a float tensor. */
export class Fraction {
  readonly numerator: Dim.Dim
  readonly denominator: number
  constructor(numerator: Dim.Dim, denominator: number) {
    this.numerator = numerator
    this.denominator = denominator
  }
}

/** Whether two sizes are equal, where that is not decided; an element of a bool tensor. */
export class Equality {
  readonly left: Dim.Dim
  readonly right: Dim.Dim
  constructor(left: Dim.Dim, right: Dim.Dim) {
    this.left = left
    this.right = right
  }
}

/** A number (of floats any), a size, a fraction of one, an integer beyond 2⁵³ as a bigint, an undecided equality. */
export type Element = Dim.Dim | Fraction | bigint | Equality

export interface Content {
  readonly dtype: DType
  readonly shape: ReadonlyArray<number>
  /** Row-major. */
  readonly elements: ReadonlyArray<Element>
}

/** Tensors with more elements than this are data, not shapes. */
export const maxSize = 256

/** The same for floats, which are sizes only on a detour (scales of a resize, a computed extent). */
const maxFloats = 16

export const make = (
  dtype: DType,
  shape: ReadonlyArray<number>,
  elements: ReadonlyArray<Element | undefined>
): Content | undefined => {
  if (!isFollowed(dtype, elements.length)) return undefined
  const known = elements.filter((element) => element !== undefined)
  return known.length === elements.length ? { dtype, shape, elements: known } : undefined
}

/** An i64 vector of dims. */
export const vector = (dims: ReadonlyArray<Dim.Dim>): Content => ({
  dtype: "i64",
  shape: [dims.length],
  elements: dims
})

export const scalar = (dim: Dim.Dim): Content => ({ dtype: "i64", shape: [], elements: [dim] })

const followed = (dtype: DType): boolean =>
  dtype === "bool" || dtype === "f32" || dtype === "f64" || (DTypes.isInteger(dtype) && DTypes.bits(dtype) >= 8)

/** Whether elements of tensors of this type and size are followed at all. */
export const isFollowed = (dtype: DType, size: number): boolean =>
  followed(dtype) && size <= (DTypes.isFloat(dtype) ? maxFloats : maxSize)

export const fromTensor = (tensor: Tensors.Tensor): Content | undefined => {
  if (!isFollowed(tensor.dtype, tensor.data.length)) return undefined
  const elements: Array<Element> = []
  for (const value of tensor.data)
    elements.push(typeof value === "number" || Number.isSafeInteger(Number(value)) ? Number(value) : value)
  return { dtype: tensor.dtype, shape: tensor.shape, elements }
}

/** The tensor when every element is a number; undefined when sizes are left. */
export const toTensor = (content: Content): Tensors.Tensor | undefined => {
  const { dtype, elements, shape } = content
  const values: Array<number | bigint> = []
  for (const element of elements) {
    if (typeof element !== "number" && typeof element !== "bigint") return undefined
    values.push(element)
  }
  if (DTypes.isBig(dtype)) {
    const data = DTypes.allocate(dtype, values.length)
    for (const [i, value] of values.entries()) data[i] = BigInt(value)
    return Tensors.make(dtype, shape, data)
  }
  return Numbers.fromNumbers(dtype, shape, values.map(Number))
}

const isDim = (element: Element | undefined): element is Dim.Dim =>
  typeof element === "number" || Dim.isSymbolic(element)

/** The elements as dims; undefined when one is no integer. */
export const dims = (content: Content): ReadonlyArray<Dim.Dim> | undefined => {
  const found: Array<Dim.Dim> = []
  for (const element of content.elements) {
    if (!isDim(element) || (typeof element === "number" && !Number.isSafeInteger(element))) return undefined
    found.push(element)
  }
  return found
}

// ---- arithmetic of elements -------------------------------------------------------------------------------------------

/** A number as the dtype has it; undefined where it would be rounded (integers) or leaves the range. */
const fitted = (dtype: DType, value: number): number | undefined => {
  if (dtype === "f64") return value
  if (dtype === "f32") return Math.fround(value)
  if (dtype === "bool") return value === 0 ? 0 : 1
  if (!Number.isSafeInteger(value)) return undefined
  const range = DTypes.integerRange(dtype)
  return BigInt(value) >= range.min && BigInt(value) <= range.max ? value + 0 : undefined
}

const fit = (dtype: DType, element: Element | undefined): Element | undefined =>
  typeof element === "number" ? fitted(dtype, element) : element

const overflowing = (run: () => Element | undefined): Element | undefined => {
  try {
    return run()
  } catch (cause) {
    if (cause instanceof RangeError) return undefined
    throw cause
  }
}

const denominatorLimit = 1024

/** As a fraction, where that is exact; numbers must have a denominator that divides 1024. */
const asFraction = (element: Element): Fraction | undefined => {
  if (element instanceof Fraction) return element
  if (typeof element === "bigint" || element instanceof Equality) return undefined
  if (typeof element !== "number") return new Fraction(element, 1)
  for (let denominator = 1; denominator <= denominatorLimit; denominator *= 2)
    if (Number.isSafeInteger(element * denominator)) return new Fraction(element * denominator, denominator)
  return undefined
}

const reduced = (numerator: Dim.Dim, denominator: number): Element | undefined => {
  if (denominator === 0) return undefined
  const positive = denominator < 0 ? Dim.neg(numerator) : numerator
  const by = Math.abs(denominator)
  if (typeof positive === "number") return positive / by
  if (Dim.equal(Dim.mod(positive, by), 0) === true) return Dim.floorDiv(positive, by)
  return by <= denominatorLimit ? new Fraction(positive, by) : undefined
}

type Numeric = (a: number, b: number) => number
type Symbolic = (a: Dim.Dim, b: Dim.Dim) => Dim.Dim | undefined
type Fractional = (a: Fraction, b: Fraction) => Element | undefined

const operation =
  (numeric: Numeric, symbolic: Symbolic, fractional: Fractional) =>
  (dtype: DType, a: Element, b: Element): Element | undefined =>
    overflowing(() => {
      if (typeof a === "number" && typeof b === "number") return fitted(dtype, numeric(a, b))
      if (!DTypes.isFloat(dtype)) return isDim(a) && isDim(b) ? fit(dtype, symbolic(a, b)) : undefined
      const [left, right] = [asFraction(a), asFraction(b)]
      return left === undefined || right === undefined ? undefined : fractional(left, right)
    })

/** Both numerators over the product of the denominators. */
const together =
  (combine: (a: Dim.Dim, b: Dim.Dim) => Dim.Dim): Fractional =>
  (a, b) =>
    reduced(
      combine(Dim.mul(a.numerator, b.denominator), Dim.mul(b.numerator, a.denominator)),
      a.denominator * b.denominator
    )

export const add = operation((a, b) => a + b, Dim.add, together(Dim.add))
export const sub = operation((a, b) => a - b, Dim.sub, together(Dim.sub))
export const mul = operation(
  (a, b) => a * b,
  Dim.mul,
  (a, b) => reduced(Dim.mul(a.numerator, b.numerator), a.denominator * b.denominator)
)
/** What a translation takes for granted of a size, `assume(dim)`: that it is ≥ 0. Binding checks it. */
export type Assume = (dim: Dim.Dim) => void

const filled = (dim: Dim.Dim): Dim.Ranges =>
  new Map(
    Dim.symbols(dim)
      .filter((name) => !Dim.isUnbackedName(name))
      .map((name) => [name, { min: 1, max: Infinity }])
  )

/**
 * x/y of integers, which truncates towards zero: ⌊x/y⌋ for x ≥ 0, ⌈x/y⌉ below. `(n - 1)/2` is negative only for an axis
 * without elements: that there is none is assumed, where the caller takes assumptions.
 */
const quotient = (x: Dim.Dim, y: Dim.Dim, assume: Assume | undefined): Dim.Dim | undefined => {
  if (Dim.isPositive(y) !== true) return undefined
  if (Dim.isNonNegative(x) === true) return Dim.floorDiv(x, y)
  if (assume === undefined || Dim.isNonNegative(x, filled(x)) !== true)
    return typeof y === "number" ? Dim.add(Dim.max(0, Dim.floorDiv(x, y)), Dim.min(0, Dim.ceilDiv(x, y))) : undefined
  assume(x)
  return Dim.floorDiv(x, y)
}

/** The quotient; of integers truncated towards zero. */
export const divAssuming =
  (assume?: Assume) =>
  (dtype: DType, a: Element, b: Element): Element | undefined => {
    if (b === 0 && !DTypes.isFloat(dtype)) return undefined
    return operation(
      (x, y) => (DTypes.isFloat(dtype) ? x / y : Math.trunc(x / y)),
      (x, y) => quotient(x, y, assume),
      (x, y) =>
        typeof y.numerator === "number"
          ? reduced(Dim.mul(x.numerator, y.denominator), x.denominator * y.numerator)
          : undefined
    )(dtype, a, b)
  }
/** The remainder that has the divisor's sign. */
export const mod = operation(
  (a, b) => (b === 0 ? NaN : a - b * Math.floor(a / b)),
  (a, b) => (Dim.isPositive(b) === true ? Dim.mod(a, b) : undefined),
  () => undefined
)
export const min = operation(Math.min, Dim.min, together(Dim.min))
export const max = operation(Math.max, Dim.max, together(Dim.max))

export const neg = (dtype: DType, a: Element): Element | undefined => sub(dtype, 0, a)
const rounded =
  (numeric: (a: number) => number, symbolic: (a: Dim.Dim, by: number) => Dim.Dim) =>
  (dtype: DType, a: Element): Element | undefined =>
    overflowing(() => {
      if (typeof a === "number") return fitted(dtype, numeric(a))
      if (a instanceof Fraction) return symbolic(a.numerator, a.denominator)
      return isDim(a) ? a : undefined
    })
export const floor = rounded(Math.floor, Dim.floorDiv)
export const ceil = rounded(Math.ceil, Dim.ceilDiv)
export const sqrt = (dtype: DType, a: Element): Element | undefined =>
  typeof a === "number" && DTypes.isFloat(dtype) ? fitted(dtype, Math.sqrt(a)) : undefined
export const abs = (dtype: DType, a: Element): Element | undefined => {
  if (typeof a === "number") return fitted(dtype, Math.abs(a))
  return isDim(a) && Dim.isNonNegative(a) === true ? a : undefined
}
export const not = (_: DType, a: Element): Element | undefined => (a === 0 ? 1 : a === 1 ? 0 : undefined)

/** 1, 0 or undefined. */
const truth = (value: boolean | undefined): number | undefined => (value === undefined ? undefined : value ? 1 : 0)
const comparison =
  (
    numeric: (a: number | bigint, b: number | bigint) => boolean,
    symbolic: (a: Dim.Dim, b: Dim.Dim) => boolean | undefined
  ) =>
  (_: DType, a: Element, b: Element): Element | undefined => {
    if ((typeof a === "number" || typeof a === "bigint") && (typeof b === "number" || typeof b === "bigint"))
      return truth(numeric(a, b))
    return overflowing(() => (isDim(a) && isDim(b) ? truth(symbolic(a, b)) : undefined))
  }
const negated = (value: boolean | undefined): boolean | undefined => (value === undefined ? undefined : !value)
const decided = comparison((a, b) => Number(a) === Number(b) && BigInt(a) === BigInt(b), Dim.equal)
/** 1, 0, or for sizes that may be equal an `Equality`. */
export const equal = (dtype: DType, a: Element, b: Element): Element | undefined => {
  if (typeof a === "number" && typeof b === "number") return truth(a === b)
  return decided(dtype, a, b) ?? (isDim(a) && isDim(b) && DTypes.isInteger(dtype) ? new Equality(a, b) : undefined)
}
export const lessOrEqual = comparison((a, b) => a <= b, Dim.lessOrEqual)
export const less = comparison(
  (a, b) => a < b,
  (a, b) => negated(Dim.lessOrEqual(b, a))
)
export const greaterOrEqual = comparison(
  (a, b) => a >= b,
  (a, b) => Dim.lessOrEqual(b, a)
)
export const greater = comparison(
  (a, b) => a > b,
  (a, b) => negated(Dim.lessOrEqual(a, b))
)
const logical = (f: (a: boolean, b: boolean) => boolean) => (_: DType, a: Element, b: Element) =>
  a instanceof Equality || b instanceof Equality ? undefined : truth(f(a !== 0, b !== 0))
export const and = logical((a, b) => a && b)
export const or = logical((a, b) => a || b)
export const xor = logical((a, b) => a !== b)

/** An element under another dtype; floats become integers by truncation. */
export const castElement = (from: DType, to: DType, element: Element): Element | undefined =>
  overflowing(() => {
    if (element instanceof Equality || typeof element === "bigint") return to === from ? element : undefined
    if (typeof element === "number") return DTypes.isInteger(to) ? fitted(to, Math.trunc(element)) : fitted(to, element)
    if (to === "bool") return isDim(element) ? truth(negated(Dim.equal(element, 0))) : undefined
    if (DTypes.isFloat(to)) return element
    if (!(element instanceof Fraction)) return element
    return Dim.isNonNegative(element.numerator) === true
      ? Dim.floorDiv(element.numerator, element.denominator)
      : undefined
  })

// ---- whole tensors ------------------------------------------------------------------------------------------------------

export const unary = (
  a: Content,
  f: (dtype: DType, a: Element) => Element | undefined,
  dtype: DType = a.dtype
): Content | undefined =>
  make(
    dtype,
    a.shape,
    a.elements.map((element) => f(a.dtype, element))
  )

export const cast = (a: Content, to: DType): Content | undefined =>
  isFollowed(to, a.elements.length) ? unary(a, (from, element) => castElement(from, to, element), to) : undefined

const broadcastShape = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): ReadonlyArray<number> | undefined => {
  const rank = Math.max(a.length, b.length)
  const shape: Array<number> = []
  for (let axis = 0; axis < rank; axis++) {
    const [x, y] = [a[axis - rank + a.length] ?? 1, b[axis - rank + b.length] ?? 1]
    if (x !== y && x !== 1 && y !== 1) return undefined
    shape.push(x === 1 ? y : x)
  }
  return shape
}

/** The same elements, repeated to a shape as numpy broadcasts. */
export const expand = (a: Content, shape: ReadonlyArray<number>): Content | undefined => {
  if (broadcastShape(a.shape, shape)?.join() !== shape.join() || Tensors.size(shape) > maxSize) return undefined
  const offset = shape.length - a.shape.length
  const strides = Tensors.strides(a.shape)
  return rearranged(a, shape, (position) =>
    strides.reduce(
      (at, stride, axis) => at + ((a.shape[axis] ?? 1) === 1 ? 0 : (position[axis + offset] ?? 0) * stride),
      0
    )
  )
}

export const binary = (
  a: Content,
  b: Content,
  f: (dtype: DType, a: Element, b: Element) => Element | undefined,
  dtype: DType = a.dtype
): Content | undefined => {
  const shape = broadcastShape(a.shape, b.shape)
  if (shape === undefined) return undefined
  const [left, right] = [expand(a, shape), expand(b, shape)]
  if (left === undefined || right === undefined) return undefined
  return make(
    dtype,
    shape,
    left.elements.map((element, i) => f(a.dtype, element, right.elements[i] ?? 0))
  )
}

/** Result element at each position, from the flat index that `from` gives for it. */
export const rearranged = (
  a: Content,
  shape: ReadonlyArray<number>,
  from: (position: ReadonlyArray<number>) => number
): Content | undefined => {
  const size = Tensors.size(shape)
  if (!isFollowed(a.dtype, size)) return undefined
  const strides = Tensors.strides(shape)
  const elements: Array<Element | undefined> = []
  for (let i = 0; i < size; i++) {
    const position = strides.map((stride, axis) => Math.floor(i / stride) % (shape[axis] ?? 1))
    elements.push(a.elements[from(position)])
  }
  return make(a.dtype, shape, elements)
}

export const reshape = (a: Content, shape: ReadonlyArray<number>): Content | undefined =>
  Tensors.size(shape) === a.elements.length ? { ...a, shape } : undefined

export const concat = (parts: ReadonlyArray<Content>, axis: number): Content | undefined => {
  const [first] = parts
  if (first === undefined) return undefined
  const normal = axis < 0 ? axis + first.shape.length : axis
  const inner = (part: Content): number => Tensors.size(part.shape.slice(normal))
  const outer = Tensors.size(first.shape.slice(0, normal))
  const elements: Array<Element> = []
  for (let row = 0; row < outer; row++)
    for (const part of parts) elements.push(...part.elements.slice(row * inner(part), (row + 1) * inner(part)))
  const extent = parts.reduce((sum, part) => sum + (part.shape[normal] ?? 0), 0)
  return make(
    first.dtype,
    first.shape.map((dim, i) => (i === normal ? extent : dim)),
    elements
  )
}

/** Slices along an axis by known indices; `shape` of the indices takes the axis's place. */
export const gather = (a: Content, indices: Content, axis: number): Content | undefined => {
  const extent = a.shape[axis] ?? 0
  const picks: Array<number> = []
  for (const index of indices.elements) {
    if (typeof index !== "number" || index < -extent || index >= extent) return undefined
    picks.push(index < 0 ? index + extent : index)
  }
  const strides = Tensors.strides(a.shape)
  const inner = Tensors.strides(indices.shape)
  const width = indices.shape.length
  const shape = [...a.shape.slice(0, axis), ...indices.shape, ...a.shape.slice(axis + 1)]
  return rearranged(a, shape, (position) => {
    const pick = inner.reduce((at, stride, i) => at + stride * (position[axis + i] ?? 0), 0)
    const source = [...position.slice(0, axis), picks[pick] ?? 0, ...position.slice(axis + width)]
    return source.reduce((at, index, i) => at + index * (strides[i] ?? 0), 0)
  })
}

export const transpose = (a: Content, permutation: ReadonlyArray<number>): Content | undefined => {
  const strides = Tensors.strides(a.shape)
  return rearranged(
    a,
    permutation.map((axis) => a.shape[axis] ?? 1),
    (position) => position.reduce((at, index, i) => at + index * (strides[permutation[i] ?? 0] ?? 0), 0)
  )
}

/** starts + i · steps on each axis. */
export const slice = (
  a: Content,
  starts: ReadonlyArray<number>,
  sizes: ReadonlyArray<number>,
  steps: ReadonlyArray<number>
): Content | undefined => {
  const strides = Tensors.strides(a.shape)
  return rearranged(a, sizes, (position) =>
    position.reduce(
      (at, index, axis) => at + ((starts[axis] ?? 0) + index * (steps[axis] ?? 1)) * (strides[axis] ?? 0),
      0
    )
  )
}

/** All elements combined, for reductions over everything. */
export const fold = (
  a: Content,
  f: (dtype: DType, a: Element, b: Element) => Element | undefined
): Element | undefined => {
  const [first, ...rest] = a.elements
  return rest.reduce<Element | undefined>(
    (sum, element) => (sum === undefined ? undefined : f(a.dtype, sum, element)),
    first
  )
}
