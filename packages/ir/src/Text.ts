// The readable text form of a graph: printed, parsed, hashed, stored, and used by tests as before / expected.
//
//   graph "model" {
//     input "x" %x : f32[batch, 3]
//     constant %w "fc.weight" : f32[3, 2] sha256:9f86…
//     constant %c : f32[] = 0.5
//     %y : f32[batch, 2] = matmul(%x, %w) {"axis":1} from "fc" by "fuse"
//     output "y" = %y
//   }
//
// One statement a line. A node with sub-graphs lists them after `with`, each `name graph "…" { … }`. Small constants
// (up to 16 elements) are written out; others are named by digest and looked up when parsed.
import type { Constant } from "./Constant.ts"
import * as Constants from "./Constant.ts"
import * as Dim from "./Dim.ts"
import * as DTypes from "./DType.ts"
import { IrError, refuse } from "./Errors.ts"
import type { Alias, ConstantEntry, Constraint, Graph, Input, Node, Output, Value } from "./Graph.ts"
import * as Op from "./Op.ts"
import * as Tensor from "./Tensor.ts"
import * as Type from "./Type.ts"

/** Constants of at most so many elements are written out. */
const inlineElements = 16

export interface PrintOptions {
  /** Leave lineage out; tests compare without it. */
  readonly lineage?: boolean
  /** Write every constant by digest; the form that is stored and hashed. */
  readonly digests?: boolean
}

/** The text form. Deterministic: equal graphs give equal text. */
export const print = (graph: Graph, options: PrintOptions = {}): string => `${printBlock(graph, "", options)}\n`

const printBlock = (graph: Graph, indent: string, options: PrintOptions): string => {
  const lines = [
    ...graph.inputs.map((input) => `input ${JSON.stringify(input.name)} ${ref(input.id)} : ${Type.format(input.type)}`),
    ...[...graph.constants].map(([id, entry]) => printConstant(id, entry, options)),
    ...graph.constraints.map(
      ({ left, right, what }) => `require ${JSON.stringify([Dim.format(left), Dim.format(right), what])}`
    ),
    ...graph.nodes.map((node) =>
      options.lineage === false ? printNode(node, indent, options) : statement(node, indent, options)
    ),
    ...graph.outputs.map((output) => `output ${JSON.stringify(output.name)} = ${ref(output.id)}`),
    ...graph.aliases.map((alias) => `alias ${JSON.stringify([alias.input, alias.output])}`)
  ]
  const body = lines.map((line) => `${indent}  ${line}\n`).join("")
  return `graph ${JSON.stringify(graph.name)} {\n${body}${indent}}`
}

const ref = (id: string | null): string =>
  id === null ? "_" : /^[A-Za-z0-9_][A-Za-z0-9_.]*$/.test(id) ? `%${id}` : `%${JSON.stringify(id)}`

const printConstant = (id: string, { constant, name }: ConstantEntry, options: PrintOptions): string => {
  const title = name === undefined ? "" : ` ${JSON.stringify(name)}`
  const type = Type.format({ dtype: constant.dtype, shape: constant.shape })
  const inline = options.digests !== true && Tensor.size(constant.shape) <= inlineElements
  const value = inline ? `= ${printElements(Constants.load(constant))}` : `sha256:${constant.digest}`
  return `constant ${ref(id)}${title} : ${type} ${value}`
}

/** Elements as JSON numbers; narrow floats as their bits, so that nothing is lost. */
const printElements = (tensor: Tensor.Tensor): string => {
  const texts: Array<string> = []
  for (const element of tensor.data) {
    if (typeof element === "bigint") texts.push(String(element))
    else if (Object.is(element, -0)) texts.push("-0")
    else texts.push(String(element))
  }
  return tensor.shape.length === 0 ? (texts[0] ?? "") : `[${texts.join(", ")}]`
}

/** Statements with lineage of nodes without sub-graphs: nodes are immutable, and most of them outlive a pass. */
const statements = new WeakMap<Node, string>()

const isFlat = (node: Node): boolean => Object.keys(node.graphs).length === 0

const statement = (node: Node, indent: string, options: PrintOptions): string => {
  if (!isFlat(node)) return printNode(node, indent, options)
  const known = statements.get(node)
  if (known !== undefined) return known
  const text = printNode(node, indent, options)
  statements.set(node, text)
  return text
}

const printNode = (node: Node, indent: string, options: PrintOptions): string => {
  const results = node.outputs.map(({ id, type }) => `${ref(id)} : ${Type.format(type)}`).join("; ")
  const encoded = Op.attributesText(node.op, node.attributes)
  const attributes = encoded === "{}" ? "" : ` ${encoded}`
  const inner = Object.entries(node.graphs)
    .map(([name, graph]) => ` with ${name} ${printBlock(graph, `${indent}  `, options)}`)
    .join("")
  const { rewrites, sources } = node.lineage
  const shown = options.lineage !== false
  const from = shown && sources.length > 0 ? ` from ${sources.map((source) => JSON.stringify(source)).join(", ")}` : ""
  const by = shown && rewrites.length > 0 ? ` by ${rewrites.map((rewrite) => JSON.stringify(rewrite)).join(", ")}` : ""
  return `${results} = ${node.op.name}(${node.inputs.map(ref).join(", ")})${attributes}${inner}${from}${by}`
}

// ---- parsing --------------------------------------------------------------------------------------------------------

export interface ParseOptions {
  /** Definitions by name; see `Ops.table`. */
  readonly ops: ReadonlyMap<string, Op.OpDefinition>
  /** Finds the bytes of a constant that is named by digest. */
  readonly constant?: (digest: string, dtype: DTypes.DType, shape: ReadonlyArray<number>) => Constant | undefined
  /** A graph that much of the text is expected to say again: a node that is written the same is the same object. */
  readonly like?: Graph | undefined
}

/** What the text may say again of a graph: nodes without sub-graphs by statement, others by their first result. */
interface Familiar {
  readonly flat: ReadonlyMap<string, Node>
  readonly nested: ReadonlyMap<string, Node>
}

const unfamiliar: Familiar = { flat: new Map(), nested: new Map() }

const familiarIn = (graph: Graph | undefined, { ops }: ParseOptions): Familiar => {
  if (graph === undefined) return unfamiliar
  const flat = new Map<string, Node>()
  const nested = new Map<string, Node>()
  for (const node of graph.nodes) {
    if (!isFlat(node)) nested.set(node.outputs[0]?.id ?? "", node)
    else if (ops.get(node.op.name) === node.op) flat.set(statement(node, "", {}), node)
  }
  return { flat, nested }
}

/** Reads the text form. Throws `IrError` (`Syntax`, `UnknownOp`, `BadAttribute` …) with the line. */
export const parse = (text: string, options: ParseOptions): Graph => {
  const cursor = new Cursor(text)
  const graph = parseGraph(cursor, options, options.like)
  cursor.space()
  if (!cursor.atEnd()) cursor.fail("text after the graph")
  return graph
}

const patterns = {
  blank: /\s*/y,
  quoted: /"(?:[^"\\]|\\.)*"/y,
  value: /[A-Za-z0-9_.]+/y,
  type: /[a-z0-9]+\[(?:[^\]"]|"[^"]*")*\]/y,
  digest: /[0-9a-f]{64}/y,
  number: /-?(?:Infinity|NaN|[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)/y,
  op: /[A-Za-z_][A-Za-z0-9_.]*/y,
  word: /[a-z]+/y
}
const isWord = /^[a-z]+$/
const goesOn = /[A-Za-z0-9_]/

class Cursor {
  readonly text: string
  position = 0
  /** Types read so far: a graph has few different ones. */
  readonly #types = new Map<string, Type.TensorType>()
  constructor(text: string) {
    this.text = text
  }
  /** Refuses at the present position, or at an earlier one. */
  fail(detail: string, position = this.position): never {
    const line = this.text.slice(0, position).split("\n").length
    const found = this.text.slice(position, position + 30).split("\n")[0]
    return refuse("Syntax", `${detail}, found "${found}"`, `line ${line}`)
  }
  space(): void {
    patterns.blank.lastIndex = this.position
    patterns.blank.test(this.text)
    this.position = patterns.blank.lastIndex
  }
  atEnd(): boolean {
    return this.position >= this.text.length
  }
  /** Takes a token if it comes next. */
  take(token: string): boolean {
    this.space()
    if (!this.text.startsWith(token, this.position)) return false
    if (isWord.test(token) && goesOn.test(this.text[this.position + token.length] ?? "")) return false
    this.position += token.length
    return true
  }
  /** Takes the rest of the line when it is one of these. */
  line<A>(known: ReadonlyMap<string, A>): A | undefined {
    if (known.size === 0) return undefined
    const end = this.text.indexOf("\n", this.position)
    const found = end < 0 ? undefined : known.get(this.text.slice(this.position, end))
    if (found !== undefined) this.position = end
    return found
  }
  expect(token: string): void {
    if (!this.take(token)) this.fail(`expected ${token}`)
  }
  /** Takes what a sticky pattern finds here. */
  pattern(pattern: RegExp, what: string): string {
    this.space()
    pattern.lastIndex = this.position
    const found = pattern.exec(this.text)
    if (found === null) return this.fail(`expected ${what}`)
    this.position += found[0].length
    return found[0]
  }
  string(): string {
    return String(JSON.parse(this.pattern(patterns.quoted, "a quoted name")))
  }
  strings(): ReadonlyArray<string> {
    const found = [this.string()]
    while (this.take(",")) found.push(this.string())
    return found
  }
  ref(): string {
    this.expect("%")
    return this.text[this.position] === '"' ? this.string() : this.pattern(patterns.value, "a value")
  }
  type(): Type.TensorType {
    const text = this.pattern(patterns.type, "a type")
    const known = this.#types.get(text)
    if (known !== undefined) return known
    const type = Type.parse(text)
    this.#types.set(text, type)
    return type
  }
  /** A JSON value in braces or brackets. */
  json(): unknown {
    this.space()
    const start = this.position
    let depth = 0
    for (; this.position < this.text.length; this.position++) {
      const char = this.text[this.position]
      if (char === '"') {
        this.pattern(patterns.quoted, "a string")
        this.position--
      } else if (char === "{" || char === "[") depth++
      else if (char === "}" || char === "]") {
        depth--
        if (depth === 0) {
          this.position++
          break
        }
      }
    }
    try {
      return JSON.parse(this.text.slice(start, this.position))
    } catch (cause) {
      this.position = start
      return this.fail(`attributes are not JSON (${cause instanceof Error ? cause.message : String(cause)})`)
    }
  }
}

const parseGraph = (cursor: Cursor, options: ParseOptions, like: Graph | undefined): Graph => {
  const familiar = familiarIn(like, options)
  cursor.expect("graph")
  const name = cursor.string()
  cursor.expect("{")
  const inputs: Array<Input> = []
  const outputs: Array<Output> = []
  const nodes: Array<Node> = []
  const constants = new Map<string, ConstantEntry>()
  const constraints: Array<Constraint> = []
  const aliases: Array<Alias> = []
  const defined = new Set<string>()
  const define = (id: string): string => {
    if (defined.has(id)) cursor.fail(`%${id} is defined twice`)
    defined.add(id)
    return id
  }
  const addNode = (node: Node, start: number): void => {
    for (const id of node.inputs)
      if (id !== null && !defined.has(id)) cursor.fail(`%${id} is used before it is defined`, start)
    for (const output of node.outputs) define(output.id)
    nodes.push(node)
  }
  while (!cursor.take("}")) {
    const start = cursor.position
    const same = cursor.line(familiar.flat)
    if (same !== undefined) addNode(same, start)
    else if (cursor.take("input")) {
      const inputName = cursor.string()
      const id = define(cursor.ref())
      cursor.expect(":")
      inputs.push({ name: inputName, id, type: cursor.type() })
    } else if (cursor.take("constant")) {
      const [id, entry] = parseConstant(cursor, options)
      constants.set(define(id), entry)
    } else if (cursor.take("require")) {
      const [left, right, what] = strings(cursor)
      constraints.push({ left: Dim.parse(left ?? ""), right: Dim.parse(right ?? ""), what: what ?? "" })
    } else if (cursor.take("output")) {
      const outputName = cursor.string()
      cursor.expect("=")
      outputs.push({ name: outputName, id: cursor.ref() })
    } else if (cursor.take("alias")) {
      const [input, output] = strings(cursor)
      aliases.push({ input: input ?? "", output: output ?? "" })
    } else {
      addNode(parseNode(cursor, options, familiar), start)
    }
  }
  for (const output of outputs) if (!defined.has(output.id)) cursor.fail(`output %${output.id} is not defined`)
  return { name, inputs, outputs, constants, nodes, constraints, aliases }
}

const strings = (cursor: Cursor): ReadonlyArray<string> => {
  const value = cursor.json()
  return Array.isArray(value) ? value.map(String) : cursor.fail("expected a list of names")
}

const parseConstant = (cursor: Cursor, options: ParseOptions): readonly [string, ConstantEntry] => {
  const id = cursor.ref()
  cursor.space()
  const name = cursor.text[cursor.position] === '"' ? cursor.string() : undefined
  cursor.expect(":")
  const type = cursor.type()
  const shape = Type.staticShape(type) ?? cursor.fail("a constant has a static shape")
  const entry = (constant: Constant): readonly [string, ConstantEntry] => [
    id,
    name === undefined ? { constant } : { constant, name }
  ]
  if (cursor.take("=")) return entry(Constants.fromTensor(parseElements(cursor, type.dtype, shape)))
  cursor.expect("sha256:")
  const digest = cursor.pattern(patterns.digest, "a digest")
  const found = options.constant?.(digest, type.dtype, shape)
  const missing = (): Uint8Array => {
    throw new IrError({
      reason: "ConstantUnavailable",
      detail: `the bytes of constant %${id} (sha256:${digest}) are not at hand`
    })
  }
  return entry(found ?? Constants.lazy(digest, type.dtype, shape, missing))
}

const parseElements = (cursor: Cursor, dtype: DTypes.DType, shape: ReadonlyArray<number>): Tensor.Tensor => {
  const texts: Array<string> = []
  if (cursor.take("[")) {
    while (!cursor.take("]")) {
      texts.push(cursor.pattern(patterns.number, "a number"))
      cursor.take(",")
    }
  } else texts.push(cursor.pattern(patterns.number, "a number"))
  const data = DTypes.allocate(dtype, texts.length)
  for (const [index, text] of texts.entries()) data[index] = DTypes.isBig(dtype) ? BigInt(text) : Number(text)
  return Tensor.make(dtype, shape, data)
}

const parseNode = (cursor: Cursor, options: ParseOptions, { nested }: Familiar): Node => {
  const outputs: Array<Value> = []
  if (!cursor.take("=")) {
    do {
      const id = cursor.ref()
      cursor.expect(":")
      outputs.push({ id, type: cursor.type() })
    } while (cursor.take(";"))
    cursor.expect("=")
  }
  const opName = cursor.pattern(patterns.op, "an op")
  const op = options.ops.get(opName) ?? refuse("UnknownOp", `no op is called ${opName}`)
  cursor.expect("(")
  const inputs: Array<string | null> = []
  while (!cursor.take(")")) {
    inputs.push(cursor.take("_") ? null : cursor.ref())
    cursor.take(",")
  }
  cursor.space()
  const encoded = cursor.text[cursor.position] === "{" ? cursor.json() : {}
  const attributes = Op.decodeAttributes(op, encoded, `%${outputs[0]?.id ?? "?"}`)
  const graphs: Record<string, Graph> = {}
  while (cursor.take("with")) {
    const name = cursor.pattern(patterns.word, "a sub-graph's name")
    graphs[name] = parseGraph(cursor, options, nested.get(outputs[0]?.id ?? "")?.graphs[name])
  }
  const sources = cursor.take("from") ? cursor.strings() : []
  const rewrites = cursor.take("by") ? cursor.strings() : []
  return { op, inputs, outputs, attributes, graphs, lineage: { sources, rewrites } }
}
