/**
 * Emit: groups and their storage as steps: regions with their views and expressions, copies where a view cannot be had,
 * host steps. Nothing is decided here.
 */
import * as Dim from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import type { Node } from "@anneal/ir/Graph"
import * as Anchor from "./Anchor.ts"
import * as Canonical from "./Canonical.ts"
import type { Grouping } from "./Fuse.ts"
import type { Group, Place } from "./Group.ts"
import * as Groups from "./Group.ts"
import * as Movement from "./Movement.ts"
import type { Shape } from "./Movement.ts"
import type { Step } from "./Program.ts"
import type { Recipe } from "./Recipe.ts"
import type { Region, Result } from "./Region.ts"
import type { Scalar } from "./Scalar.ts"
import * as Scalars from "./Scalar.ts"
import type { Scope } from "./Scope.ts"
import * as Stages from "./Stages.ts"
import type { Storage } from "./Storage.ts"
import type { View } from "./View.ts"
import * as Views from "./View.ts"

export interface Emitter {
  /** A value as a view with its own axes; copied first where no view can be had. */
  readonly viewOf: (id: string) => View
  /** A row-major copy of a value, made once. */
  readonly dense: (id: string) => View
  readonly storageOf: (root: string) => View | undefined
  readonly add: (region: Region, prepared: boolean) => void
  readonly step: (step: Step) => void
}

export interface Emitting {
  readonly scope: Scope
  readonly grouping: Grouping
  readonly storage: Storage
  /** In front of ids of regions. */
  readonly prefix: string
  readonly allocate: (id: string, dtype: DType, shape: Shape, prepared: boolean) => View
  /** Told of each copy that takes the place of a view. */
  readonly copied: (root: string, id: string, why: string, copy: View) => void
  readonly emitStep: (step: Step, prepared: boolean) => void
  readonly tactic: (region: Region) => Extract<Step, { readonly kind: "region" }>["tactic"]
}

const defect = (what: string): never => {
  throw new RangeError(`lowering: ${what}; this is a defect of anneal`)
}

export const make = (emitting: Emitting): Emitter => {
  const { allocate, copied, emitStep, prefix, scope, storage, tactic } = emitting
  /** By the movement that strides could not say. */
  const copies = new Map<Movement.Movement, View>()
  const add = (region: Region, prepared: boolean): void =>
    emitStep({ kind: "region", region, tactic: tactic(region) }, prepared)
  const counters = new Map<string, View>()
  /** Counting has no place of its own: where a reader needs one, it is written out. */
  const counted = (root: string): View | undefined => {
    if (scope.inline(root)?.kind !== "iota") return undefined
    const known = counters.get(root)
    if (known !== undefined) return known
    const { dtype, shape } = scope.typeOf(root)
    const prepared = scope.constantOnly.has(root)
    const view = allocate(`${root}.counted`, dtype, shape, prepared)
    add(fill(`${prefix}${root}.counted`, originOf(scope, root), counting(shape, dtype), view), prepared)
    counters.set(root, view)
    return view
  }
  const viewOf = (id: string): View => {
    const { chain, root } = scope.resolve(id)
    let view = storage.of(root) ?? counted(root) ?? defect(`%${root} is read from memory and has no place`)
    // As far as strides go; then a row-major copy, and on from there.
    for (const [position, step] of chain.entries()) {
      const next = copies.get(step) ?? step.apply(view)
      if (next !== undefined) {
        view = next
        continue
      }
      const prepared = scope.constantOnly.has(root) && isFixed(view)
      const dense = allocate(`${id}.copy${position}`, view.dtype, view.shape, prepared)
      add(copy(`${prefix}${id}.copy${position}`, originOf(scope, id), view, dense), prepared)
      copied(root, id, "strides cannot say this movement of that layout", dense)
      view = step.apply(dense) ?? defect(`%${id} is no view of a row-major tensor`)
      copies.set(step, view)
    }
    return view
  }
  const denseViews = new Map<string, View>()
  const dense = (id: string): View => {
    const known = denseViews.get(id)
    if (known !== undefined) return known
    const view = viewOf(id)
    const prepared = scope.constantOnly.has(scope.resolve(id).root) && isFixed(view)
    const whole = allocate(`${id}.dense`, view.dtype, view.shape, prepared)
    add(copy(`${prefix}${id}.dense`, originOf(scope, id), view, whole), prepared)
    copied(scope.resolve(id).root, id, "its reader cannot take that layout", whole)
    denseViews.set(id, whole)
    return whole
  }
  return { viewOf, dense, storageOf: storage.of, add, step: (step) => emitStep(step, false) }
}

/** Whether the same elements are meant whatever the sizes of a run: a constant that is repeated `batch` times is not. */
const isFixed = ({ offset, shape, strides }: View): boolean => [offset, ...shape, ...strides].every(Dim.isStatic)

const originOf = (scope: Scope, id: string): ReadonlyArray<Node> => {
  const node = scope.producer(id)
  return node === undefined ? [] : [scope.flat.origin.get(node) ?? node]
}

/** Elements from one view to another over one shape. */
export const copy = (id: string, members: ReadonlyArray<Node>, from: View, to: View): Region =>
  Canonical.loop({
    kind: "loop",
    id,
    members,
    domain: to.shape,
    operands: [from],
    results: [{ view: to, value: Scalars.load(0, from.dtype) }]
  })

/** The numbers 0, 1, …, in row-major order. */
const counting = (shape: Shape, dtype: DType): Scalar => Scalars.cast(affine(Groups.probe(shape)), dtype)

/** One value, or one that the index decides, everywhere in a view. */
export const fill = (id: string, members: ReadonlyArray<Node>, value: Scalar, to: View): Region =>
  Canonical.loop({ kind: "loop", id, members, domain: to.shape, operands: [], results: [{ view: to, value }] })

/** Operands of a region, each view once. */
export interface Operands {
  readonly views: Array<View>
  readonly load: (view: View) => Scalar
}

export const operands = (): Operands => {
  const views: Array<View> = []
  const known = new Map<string, number>()
  return {
    views,
    load: (view) => {
      const key = [view.buffer, view.dtype, Dim.format(view.offset), ...view.strides.map(Dim.format)].join("|")
      const position = known.get(key) ?? views.length
      if (position === views.length) {
        known.set(key, position)
        views.push(view)
      }
      return Scalars.load(position, view.dtype)
    }
  }
}

/** The number that a view's element lies at, over the domain: offset + Σ stride · index. */
export const affine = (view: View): Scalar => {
  const terms = view.strides.flatMap((stride, axis): ReadonlyArray<Scalar> => {
    if (stride === 0 || view.shape[axis] === 1) return []
    const index: Scalar = { kind: "index", dtype: "i64", axis }
    return [stride === 1 ? index : Scalars.binary("mul", index, Scalars.dim(stride, "i64"))]
  })
  const all = view.offset === 0 ? terms : [...terms, Scalars.dim(view.offset, "i64")]
  return all.length === 0 ? Scalars.dim(0, "i64") : all.reduce((a, b) => Scalars.binary("add", a, b))
}

/** What a member of a group reads, as expressions over the group's domain. */
export const reader = (scope: Scope, emitter: Emitter, group: Group, into: Operands) => {
  const made = new Map<string, Scalar>()
  const isMember = (root: string): boolean => group.places.has(root) && scope.inline(root) === undefined
  const viewAt = (id: string, spread: (view: View) => View | undefined, place: Place): View => {
    const spreadOut = spread(emitter.viewOf(id))
    const view = spreadOut === undefined ? undefined : Groups.toDomain(place, spreadOut)
    return view ?? viewOfCopy(id, spread, place)
  }
  const viewOfCopy = (id: string, spread: (view: View) => View | undefined, place: Place): View => {
    // Its layout has no strides over the domain: a row-major copy has, or the group would not be one.
    const dense = emitter.dense(id)
    const spreadOut = spread(dense)
    const view = spreadOut === undefined ? undefined : Groups.toDomain(place, spreadOut)
    return view ?? defect(`%${id} cannot be read over the domain of its reader`)
  }
  const element = (id: string, spread: (view: View) => View | undefined, place: Place): Scalar => {
    const { chain, root } = scope.resolve(id)
    const inline = scope.inline(root)
    if (inline?.kind === "constant") return inline.value
    if (inline?.kind === "iota") {
      const counted = Movement.apply(chain, Groups.probe(scope.typeOf(root).shape))
      const spreadOut = counted === undefined ? undefined : spread(counted)
      const view = spreadOut === undefined ? undefined : Groups.toDomain(place, spreadOut)
      if (view !== undefined) return Scalars.cast(affine(view), scope.typeOf(root).dtype)
    } else if (isMember(root)) return made.get(root) ?? defect(`%${root} is read before it is made`)
    return into.load(viewAt(id, spread, place))
  }
  const build = (recipe: Recipe, place: Place): Scalar =>
    recipe.build({
      read: (position) => {
        const read = recipe.reads[position] ?? defect("an operand is missing")
        return element(read.id, read.spread, place)
      },
      displaced: (position, steps) => {
        const read = recipe.displaced[position] ?? defect("an operand is missing")
        const own = emitter.viewOf(read.id)
        const base = into.load(viewAt(read.id, read.spread, place))
        const indirect = steps.map(({ axis, extent, index }) => ({ index, extent, stride: own.strides[axis] ?? 0 }))
        return base.kind === "load" ? { ...base, indirect } : defect("a load is no load")
      },
      index: (axis) => {
        const view = Groups.toDomain(place, Groups.indexView(recipe.shape, axis))
        return view === undefined ? defect("an index has no place") : affine(view)
      }
    })
  return { made, element, build }
}

export type Reader = ReturnType<typeof reader>

// ---- groups ---------------------------------------------------------------------------------------------------------

/** Members in the graph's order, and the nodes of the user's graph that they come from. */
const inOrder = (scope: Scope, group: Group): ReadonlyArray<Node> =>
  [...group.members].sort((a, b) => scope.position(a) - scope.position(b))

const origins = (scope: Scope, members: ReadonlyArray<Node>): ReadonlyArray<Node> => [
  ...new Set(members.map((node) => scope.flat.origin.get(node) ?? node))
]

/** The values of a group that have to be in memory, with where, over its domain. */
const resultsOf = (
  scope: Scope,
  emitter: Emitter,
  group: Group,
  memory: ReadonlySet<string>
): ReadonlyArray<{ readonly id: string; readonly view: View; readonly place: Place }> =>
  [...group.places].flatMap(([id, place]) => {
    if (!memory.has(id)) return []
    const stored = emitter.storageOf(id) ?? defect(`%${id} is read from memory and has no place`)
    const view = Groups.toDomain(place, stored) ?? defect(`%${id} cannot be written where it belongs`)
    return [{ id, view, place }]
  })

/** A loop, rows or anchored group as its region; nothing when nobody reads it from memory. */
export const group = (
  { prefix, scope }: Pick<Emitting, "prefix" | "scope">,
  emitter: Emitter,
  one: Group,
  memory: ReadonlySet<string>
): void => {
  const results = resultsOf(scope, emitter, one, memory)
  if (results.length === 0) return
  const members = inOrder(scope, one)
  const into = operands()
  const read = reader(scope, emitter, one, into)
  const id = `${prefix}${(one.anchor ?? members[0])?.outputs[0]?.id ?? ""}`
  const base = { id, members: origins(scope, members) }
  if (one.inner !== undefined) {
    const { results: made, stages } = Stages.make(scope, one, members, read, results)
    const region = { ...base, kind: "rows" as const, operands: into.views, stages, results: made }
    emitter.add(Canonical.rows(region, one.domain, one.inner), one.prepared)
    return
  }
  const main = one.anchor === undefined ? undefined : mainOf(scope, emitter, one.anchor)
  for (const node of members) {
    const work = scope.work.get(node)
    const output = node.outputs[0]
    if (output === undefined) continue
    const place = one.places.get(output.id) ?? defect(`%${output.id} has no place in its group`)
    if (node === one.anchor) read.made.set(output.id, accumulated(scope, node, read, place))
    else if (work?.kind === "loop") read.made.set(output.id, read.build(work.recipe, place))
  }
  const written = results.map(({ id: value, view }): Result => ({
    view,
    value: read.made.get(value) ?? defect(`%${value} is not made by its group`)
  }))
  if (main === undefined)
    emitter.add(
      Canonical.loop({ ...base, kind: "loop", domain: one.domain, operands: into.views, results: written }),
      one.prepared
    )
  else emitter.add(Anchor.regionOf(main, id, base.members, { operands: into.views, results: written }), one.prepared)
}

const mainOf = (scope: Scope, emitter: Emitter, anchor: Node): Anchor.Main =>
  Anchor.mainOf(anchor, scope, (position, form) => {
    const id = anchor.inputs[position] ?? ""
    return form(emitter.viewOf(id)) ?? form(emitter.dense(id)) ?? defect(`%${id} has no form for ${anchor.op.name}`)
  })

/** The anchor's own result: what its main loop summed, with the bias of a convolution, rounded once. */
const accumulated = (scope: Scope, node: Node, read: Reader, place: Place): Scalar => {
  const type = node.outputs[0]?.type
  const sum = Scalars.previous("accumulator", Anchor.accumulator(node, scope))
  const bias = node.op.name === "conv" || node.op.name === "convTranspose" ? node.inputs[2] : undefined
  if (type === undefined) return sum
  const total = scaled(scope, node, read, place, sum)
  if (bias === undefined || bias === null) return Scalars.cast(total, type.dtype)
  const added = Scalars.cast(read.element(bias, alongChannels(type.shape, 1), place), total.dtype)
  return Scalars.cast(Scalars.binary("add", total, added), type.dtype)
}

/** A vector (or one number) along an axis of a shape, the same on the others. */
const alongChannels =
  (shape: Shape, channel: number) =>
  (view: View): View | undefined => {
    const isSingle = view.shape.every((extent) => extent === 1)
    const column = Views.reshape(
      view,
      shape.map((extent, axis) => (axis === channel && !isSingle ? extent : 1))
    )
    return column === undefined ? undefined : Views.expand(column, shape)
  }

/** A sum of integers by its scales, where it has any; other sums as they are. */
const scaled = (scope: Scope, node: Node, read: Reader, place: Place, sum: Scalar): Scalar => {
  const product = scope.products.get(node)
  const shape = node.outputs[0]?.type.shape ?? []
  if (product?.scale === undefined) return sum
  const channel = node.op.name === "matmul" ? shape.length - 1 : 1
  const factor = read.element(product.scale, alongChannels(shape, channel), place)
  return Scalars.binary("mul", Scalars.cast(sum, "f32"), factor)
}
