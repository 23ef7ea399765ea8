/**
 * Group: nodes that one region computes, over a domain. Each value in it has a place: how an element of the value follows
 * from a point of the domain.
 *
 *   contraction over [b, s, 512] with a member of shape [b, s, 8, 64]: its place is the chain of that reshape
 */
import type { Node } from "@anneal/ir/Graph"
import * as Movement from "./Movement.ts"
import type { Chain, Shape } from "./Movement.ts"
import type { Scope } from "./Scope.ts"
import * as View from "./View.ts"

export interface Place {
  /** `row`: one value for all inner axes. */
  readonly per: "element" | "row"
  /** From the domain to the value. Every movement goes backwards too; a reduction only backwards. */
  readonly chain: Chain
}

export type GroupKind =
  /** A pass over the domain; with inner axes: rows. */
  | "loop"
  /** A contraction, convolution or window with what follows it. */
  | "anchored"
  /** One node: attention, recurrent layers, whole nodes, branches, host steps. */
  | "single"
  /** Copies and fills. */
  | "concat"
  | "pad"

export interface Group {
  readonly order: number
  readonly kind: GroupKind
  readonly anchor: Node | undefined
  readonly domain: Shape
  /** Which axes of the domain are combined by reductions; undefined: none. */
  inner: ReadonlyArray<boolean> | undefined
  readonly members: Set<Node>
  readonly places: Map<string, Place>
  /** Depends on constants alone. */
  readonly prepared: boolean
  readonly dependencies: Set<Group>
}

/** Where elements go: a view over the value as one over the group's domain. */
export const toDomain = (place: Place, view: View.View): View.View | undefined => Movement.invert(place.chain, view)

/** A view that tells every element of a shape apart. */
export const probe = (shape: Shape): View.View => View.contiguous("", "f32", shape)

/** The view whose element at a point is the point's index along an axis. */
export const indexView = (shape: Shape, axis: number): View.View => ({
  buffer: "",
  dtype: "i64",
  shape,
  offset: 0,
  strides: shape.map((_, other) => (other === axis ? 1 : 0))
})

/** A value as it is read over another shape; the value lies row-major where its chain cannot be said by strides. */
export const readProbe = (
  scope: Scope,
  id: string,
  spread: (view: View.View) => View.View | undefined
): View.View | undefined => {
  const { chain, root } = scope.resolve(id)
  const own = Movement.apply(chain, probe(scope.typeOf(root).shape))
  return spread(own ?? probe(scope.typeOf(id).shape))
}

/** Whether what is read at each point of a member is what another member made at that point. */
export const readsInPlace = (
  scope: Scope,
  id: string,
  spread: (view: View.View) => View.View | undefined,
  reader: Place,
  maker: Place
): boolean => {
  const { chain, root } = scope.resolve(id)
  const whole = probe(scope.typeOf(root).shape)
  const moved = Movement.apply(chain, whole)
  const spreadOut = moved === undefined ? undefined : spread(moved)
  const read = spreadOut === undefined ? undefined : toDomain(reader, spreadOut)
  const made = toDomain(maker, whole)
  return read !== undefined && made !== undefined && Movement.sameView(read, made)
}

/** Which axes of the domain lie along these axes of a value; undefined where an axis of the domain is mixed. */
export const axesOfDomain = (
  domain: Shape,
  place: Place,
  shape: Shape,
  axes: ReadonlyArray<number>
): ReadonlyArray<boolean> | undefined => {
  const strides = View.rowMajor(shape)
  const along = (inside: boolean): View.View | undefined =>
    toDomain(place, {
      ...probe(shape),
      strides: strides.map((stride, axis) => (axes.includes(axis) === inside ? stride : 0))
    })
  const [inner, outer] = [along(true), along(false)]
  if (inner === undefined || outer === undefined) return undefined
  const flags: Array<boolean> = []
  for (const [axis, extent] of domain.entries()) {
    const [moves, stays] = [inner.strides[axis] !== 0, outer.strides[axis] !== 0]
    if (extent !== 1 && moves === stays) return undefined
    flags.push(extent !== 1 && moves)
  }
  return flags
}
