// Expressions of +, −, ×, ÷ by constants and small powers, as polynomials in two atoms: however a model writes
// x·0.5·(1 + g), (0.5·x)·g + 0.5·x or x/2·(g + 1), the polynomial is the same.
import type { DType } from "@anneal/ir/DType"
import type { Editor } from "@anneal/ir/Editor"
import type { Node } from "@anneal/ir/Graph"
import * as ScalarConstant from "./ScalarConstant.ts"

/** Coefficients by `"i,j"`: of xⁱ·gʲ. No zeros. */
export type Polynomial = ReadonlyMap<string, number>

export interface Atoms {
  readonly x: string
  readonly g?: string
}

const highestDegree = 4
const deepest = 12

const single = (key: string, value: number): Polynomial => new Map(value === 0 ? [] : [[key, value]])
const degrees = (key: string): readonly [number, number] => {
  const [i, j] = key.split(",")
  return [Number(i), Number(j)]
}

const plus = (a: Polynomial, b: Polynomial, sign: number): Polynomial => {
  const sum = new Map(a)
  for (const [key, value] of b) {
    const next = (sum.get(key) ?? 0) + sign * value
    if (next === 0) sum.delete(key)
    else sum.set(key, next)
  }
  return sum
}

const times = (a: Polynomial, b: Polynomial): Polynomial | undefined => {
  let product: Polynomial = new Map()
  for (const [left, p] of a)
    for (const [right, q] of b) {
      const [[i, j], [k, l]] = [degrees(left), degrees(right)]
      if (i + k > highestDegree || j + l > 1) return undefined
      product = plus(product, single(`${i + k},${j + l}`, p * q), 1)
    }
  return product
}

/** The number, when the polynomial is one. */
const numberOf = (a: Polynomial): number | undefined => (a.size === 0 ? 0 : a.size === 1 ? a.get("0,0") : undefined)

/** The value as a polynomial in the atoms; `visited` collects the nodes that it is made by. */
export const of = (
  editor: Editor,
  id: string,
  atoms: Atoms,
  visited: Set<Node>,
  depth = deepest
): Polynomial | undefined => {
  const resolved = editor.value(id).id
  if (resolved === atoms.x) return single("1,0", 1)
  if (resolved === atoms.g) return single("0,1", 1)
  const constant = ScalarConstant.read(editor, resolved)
  if (constant !== undefined) return Number.isFinite(constant) ? single("0,0", constant) : undefined
  const node = editor.producer(resolved)
  if (node === undefined || depth === 0) return undefined
  const operand = (position: number): Polynomial | undefined => {
    const input = node.inputs[position]
    return typeof input === "string" ? of(editor, input, atoms, visited, depth - 1) : undefined
  }
  const result = combine(node.op.name, operand)
  if (result !== undefined) visited.add(node)
  return result
}

const combine = (op: string, operand: (position: number) => Polynomial | undefined): Polynomial | undefined => {
  if (!arithmetic.has(op)) return undefined
  const a = operand(0)
  if (a === undefined) return undefined
  if (op === "neg") return plus(new Map(), a, -1)
  const b = operand(1)
  if (b === undefined) return undefined
  if (op === "add") return plus(a, b, 1)
  if (op === "sub") return plus(a, b, -1)
  if (op === "mul") return times(a, b)
  const number = numberOf(b)
  if (number === undefined) return undefined
  if (op === "div") return number === 0 ? undefined : times(a, single("0,0", 1 / number))
  if (number === 2) return times(a, a)
  const squared = number === 3 ? times(a, a) : undefined
  return squared === undefined ? undefined : times(squared, a)
}

/** Ops that a polynomial is made of. */
export const arithmetic: ReadonlySet<string> = new Set(["add", "sub", "mul", "div", "pow", "neg"])

/** Whether the coefficients are these, and no others, up to the rounding of the constants of a dtype. */
export const isAbout = (a: Polynomial | undefined, wanted: Readonly<Record<string, number>>, dtype: DType): boolean => {
  if (a === undefined) return false
  const keys = Object.keys(wanted)
  return a.size === keys.length && keys.every((key) => ScalarConstant.isAbout(a.get(key) ?? 0, wanted[key] ?? 0, dtype))
}
