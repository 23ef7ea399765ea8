// Operators that choose by index: Gather, GatherElements, GatherND, ScatterElements, ScatterND, Scatter, TensorScatter,
// OneHot, Compress, ArrayFeatureExtractor.
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import * as Content from "../Content.ts"
import type { Context, Operator } from "../Operator.ts"

/** Indices as i32 or i64. */
const indices = (c: Context, index: number): Value => {
  const given = c.input(index)
  return given.type.dtype === "i32" ? given : c.e.cast(given, "i64")
}

export const gather: Operator = {
  name: "Gather",
  since: [1],
  translate: (c) => {
    const data = c.operand(0)
    const axis = c.axis(c.attribute.int("axis", 0), data.type.shape.length)
    const at = c.content(1)
    const known = data.content === undefined || at === undefined ? undefined : Content.gather(data.content, at, axis)
    return known === undefined ? c.e.gather(data.value(), indices(c, 1), axis) : c.known(known)
  }
}

export const gatherElements: Operator = {
  name: "GatherElements",
  since: [11],
  translate: (c) => {
    const axis = c.axis(c.attribute.int("axis", 0), c.rank(0))
    return c.e.b.one(Ops.gatherElements, [c.input(0), indices(c, 1)], { axis })
  }
}

export const gatherNd: Operator = {
  name: "GatherND",
  since: [11, 12],
  translate: (c) =>
    c.e.b.one(Ops.gatherNd, [c.input(0), indices(c, 1)], { batchDims: c.attribute.int("batch_dims", 0) })
}

type Reduction = "none" | "add" | "mul" | "max" | "min"
const reduction = (c: Context): Reduction => {
  const given = c.attribute.string("reduction", "none")
  return given === "none" || given === "add" || given === "mul" || given === "max" || given === "min"
    ? given
    : c.fail(`reduction "${given}" is not known`)
}

const scatterElementsAs = (name: string, since: ReadonlyArray<number>): Operator => ({
  name,
  since,
  translate: (c) => {
    const axis = c.axis(c.attribute.int("axis", 0), c.rank(0))
    return c.e.b.one(Ops.scatterElements, [c.input(0), indices(c, 1), c.input(2)], { axis, reduction: reduction(c) })
  }
})
export const scatterElements = scatterElementsAs("ScatterElements", [11, 16, 18])
/** The name that ScatterElements had. */
export const scatter = scatterElementsAs("Scatter", [9])

export const scatterNd: Operator = {
  name: "ScatterND",
  since: [11, 16, 18],
  translate: (c) => c.e.b.one(Ops.scatterNd, [c.input(0), indices(c, 1), c.input(2)], { reduction: reduction(c) })
}

/** Writes `update` into a cache along `axis`, each batch from its own position, wrapping round when circular. */
export const tensorScatter: Operator = {
  name: "TensorScatter",
  since: [24],
  translate: (c) => {
    const { e } = c
    const [cache, update] = [c.input(0), c.input(1)]
    const { shape } = update.type
    const rank = shape.length
    const axis = c.axis(c.attribute.int("axis", -2), rank)
    const extent = cache.type.shape[axis] ?? 1
    const mode = c.attribute.string("mode", "linear")
    const steps = e.along(e.iota(shape[axis] ?? 1, "i64"), rank, axis)
    const given = c.optional(2)
    const start = given === undefined ? e.scalar("i64", 0) : e.along(e.cast(given, "i64"), rank, 0)
    const sum = e.add(start, steps)
    const at = mode === "circular" ? e.b.one(Ops.mod, [sum, e.size(extent, "i64")], { rounding: "floor" }) : sum
    return e.b.one(Ops.scatterElements, [cache, e.expand(at, shape), update], { axis, reduction: "none" })
  }
}

/** values = [off, on]; an index outside [−depth, depth) gives a row of off values. */
export const oneHot: Operator = {
  name: "OneHot",
  since: [9, 11],
  translate: (c) => {
    const { e } = c
    const given = c.input(0)
    const rank = given.type.shape.length + 1
    const axis = c.axis(c.attribute.int("axis", -1), rank)
    const known = c.content(1)?.elements[0]
    const depth =
      typeof known === "number"
        ? Math.trunc(known)
        : (c.read(e.cast(e.reshape(c.input(1), []), "i64"))[0] ?? c.fail("the depth is missing"))
    const positions = e.cast(given, "i64")
    const zero = e.scalar("i64", 0)
    const counted = e.select(e.binary(Ops.less, positions, zero), e.add(positions, e.size(depth, "i64")), positions)
    const shape = [...given.type.shape]
    shape.splice(axis, 0, 1)
    const isHot = e.binary(Ops.equal, e.reshape(counted, shape), e.along(e.iota(depth, "i64"), rank, axis))
    const values = c.input(2)
    const value = (index: number): Value => e.reshape(e.part(values, 0, index, 1), [])
    return e.select(isHot, value(1), value(0))
  }
}

/** Slices where the condition holds; the flat tensor without an axis. */
export const compress: Operator = {
  name: "Compress",
  since: [9],
  translate: (c) => {
    const { e } = c
    const flat = !c.attribute.has("axis")
    const x = flat ? e.reshape(c.input(0), [Dim.product(c.type(0).shape)]) : c.input(0)
    const axis = flat ? 0 : c.axis(c.attribute.int("axis"), c.rank(0))
    const found = e.b.one(Ops.nonZero, [c.input(1)], {})
    return e.gather(x, e.reshape(found, [found.type.shape[1] ?? 0]), axis)
  }
}

export const arrayFeatureExtractor: Operator = {
  name: "ArrayFeatureExtractor",
  domain: "ai.onnx.ml",
  since: [1],
  translate: (c) => {
    const { e } = c
    const at = indices(c, 1)
    const picked = e.gather(c.input(0), e.reshape(at, [Dim.product(at.type.shape)]), c.rank(0) - 1)
    return c.rank(0) === 1 ? e.reshape(picked, [1, ...picked.type.shape]) : picked
  }
}

export const all: ReadonlyArray<Operator> = [
  gather,
  gatherElements,
  gatherNd,
  scatterElements,
  scatter,
  scatterNd,
  tensorScatter,
  oneHot,
  compress,
  arrayFeatureExtractor
]
